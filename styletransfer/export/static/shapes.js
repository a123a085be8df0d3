// The shapes of a small painting in the one that was painted over it, as images/finishing.py has them.

const SHAPES = 0.5; // pixels of the small painting: deviation of the blur that tells its shapes from finer strokes
const COARSE = 2; // pixels: a blur of so much needs only a quarter of the resolution

const coarseness = (scale) => (SHAPES * scale >= COARSE ? 4 : 1);

// How far a pixel of withShapesOf sees, in pixels, rounded up to whole cells of 4.
export const shapesReach = (scale) => 4 * Math.ceil((4 * SHAPES * scale + 2 * coarseness(scale)) / 4);

// small: ImageData of the small painting, enlarged. painting: of the same size; it is changed and answered.
export function withShapesOf(small, painting, scale) {
  const {width, height} = painting;
  const step = coarseness(scale);
  const [across, down] = [Math.ceil(width / step), Math.ceil(height / step)];
  const deviation = Math.sqrt(Math.max(0.1, (SHAPES * scale) ** 2 - (step ** 2 - 1) / 4)) / step;
  for (let color = 0; color < 3; color++) {
    const apart = blurred(meansOfCells(small.data, painting.data, color, width, height, step), across, down, deviation);
    for (let y = 0; y < height; y++) {
      const [above, below, lower] = neighbors(y, step, down);
      for (let x = 0; x < width; x++) {
        const [left, right, later] = neighbors(x, step, across);
        const top = apart[above * across + left] * (1 - later) + apart[above * across + right] * later;
        const bottom = apart[below * across + left] * (1 - later) + apart[below * across + right] * later;
        painting.data[4 * (y * width + x) + color] += top * (1 - lower) + bottom * lower; // clamped by its type
      }
    }
  }
  return painting;
}

// The two cells that a pixel lies between, and its share of the second.
function neighbors(place, step, count) {
  const cell = Math.min(count - 1, Math.max(0, (place + 0.5) / step - 0.5));
  const first = Math.floor(cell);
  return [first, Math.min(count - 1, first + 1), cell - first];
}

// What one is above the other in one color, as the mean of each cell; beyond the edge its last pixels are repeated.
function meansOfCells(one, other, color, width, height, step) {
  const [across, down] = [Math.ceil(width / step), Math.ceil(height / step)];
  const means = new Float32Array(across * down);
  for (let y = 0; y < down * step; y++)
    for (let x = 0; x < across * step; x++) {
      const place = 4 * (Math.min(y, height - 1) * width + Math.min(x, width - 1)) + color;
      means[Math.floor(y / step) * across + Math.floor(x / step)] += (one[place] - other[place]) / step ** 2;
    }
  return means;
}

// A Gaussian blur, first along rows, then along columns.
function blurred(values, across, down, deviation) {
  const radius = Math.max(1, Math.ceil(4 * deviation));
  const weights = Array.from({length: 2 * radius + 1}, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * deviation ** 2)));
  const sum = weights.reduce((a, b) => a + b);
  const along = (given, length, stride, lines, leap) => {
    const made = new Float32Array(given.length);
    for (let line = 0; line < lines; line++)
      for (let place = 0; place < length; place++) {
        let total = 0;
        for (let i = -radius; i <= radius; i++)
          total += weights[i + radius] * given[line * leap + Math.min(length - 1, Math.max(0, place + i)) * stride];
        made[line * leap + place * stride] = total / sum;
      }
    return made;
  };
  return along(along(values, across, 1, down, across), down, across, across, 1);
}
