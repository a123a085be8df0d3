"""What is painted, place by place: a picture in memory, one whose rows pass by, or a painting that is painted over."""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from PIL import Image

from styletransfer.models.generator import STRIDE, Sides

LEAST_SIDE = 16  # pixels, of what can be painted
REDUCING_GAP = 3.0  # of Pillow: first the mean of whole blocks, as long as Lanczos still has three pixels for each

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
Size = tuple[int, int]  # width, height in pixels


class Canvas(Protocol):
    """A picture as far as a painter has to know it."""

    @property
    def size(self) -> Size:
        """Of the picture."""

    @property
    def wrap(self) -> bool:
        """Whether its left edge continues the right one; then boxes may reach beyond both."""

    def crop(self, box: Box) -> Image.Image:
        """A part of it, "RGB"."""

    def reduced(self, size: Size) -> Image.Image:
        """All of it, "RGB", at a smaller size."""


class Loaded:
    """A picture in memory.

    Args:
        rgb: "RGB".
        wrap: whether its left edge continues the right one.
    """

    def __init__(self, rgb: Image.Image, wrap: bool = False) -> None:
        self.rgb, self.wrap = rgb, wrap

    @property
    def size(self) -> Size:
        """As `Canvas.size`."""
        return self.rgb.size

    def crop(self, box: Box) -> Image.Image:
        """As `Canvas.crop`."""
        return cut_around(self.rgb, box) if self.wrap else self.rgb.crop(box)

    def reduced(self, size: Size) -> Image.Image:
        """As `Canvas.reduced`."""
        return resized(self.rgb, size, Image.Resampling.LANCZOS, self.wrap, REDUCING_GAP)


class Repainted:
    """A small painting, enlarged to the size of its photo, to be painted over; made where it is looked at.

    Enlarged strokes are blurred. Painted over once more they are sharp again, and stay large. A share of the photo
    keeps its contours, and makes the step from a brush of 1 to a slightly larger one a small one.

    Args:
        photo: the photo.
        small: the photo, "RGB", as small as it was painted first.
        painting: "RGB", of the same size.
        scale: how many times smaller it was painted.
        is_shown: whether the small painting is what is looked at first, so that this one has to keep its shapes.
    """

    def __init__(self, photo: Canvas, small: Image.Image, painting: Image.Image, scale: float, is_shown: bool) -> None:
        self.photo, self.small, self.painting = photo, small, painting
        self.scale, self.share, self.is_shown = scale, 1 / scale**2, is_shown

    @property
    def size(self) -> Size:
        """As `Canvas.size`."""
        return self.photo.size

    @property
    def wrap(self) -> bool:
        """As `Canvas.wrap`."""
        return self.photo.wrap

    def crop(self, box: Box) -> Image.Image:
        """As `Canvas.crop`."""
        return self.with_photo(self.enlarged(box), box)

    def with_photo(self, enlarged: Image.Image, box: Box) -> Image.Image:
        """A part of the enlarged painting with its share of the photo."""
        return Image.blend(enlarged, self.photo.crop(box), self.share)

    def enlarged(self, box: Box) -> Image.Image:
        """A part of the enlarged painting alone, "RGB"."""
        painting, size = self.painting, (box[2] - box[0], box[3] - box[1])
        across, down = (small / large for small, large in zip(painting.size, self.size, strict=True))
        left, top, right, bottom = box[0] * across, box[1] * down, box[2] * across, box[3] * down
        if self.wrap:
            edge = 4 + max(0, math.ceil(-left), math.ceil(right) - painting.width)  # further than the filter reaches
            painting = cut_around(painting, (-edge, 0, painting.width + edge, painting.height))
            left, right = left + edge, right + edge
        return painting.resize(size, Image.Resampling.BICUBIC, (left, top, right, bottom))

    def reduced(self, size: Size) -> Image.Image:
        """As `Canvas.reduced`."""
        layers = (resized(each, size, Image.Resampling.BICUBIC, self.wrap) for each in (self.painting, self.small))
        return Image.blend(*layers, self.share)


def stages(scale: float, brush: float) -> tuple[float, float]:
    """How many times smaller a picture is painted first, and how much wider than learned strokes are there already.

    First as small as it is seen on a screen, by whatever brush; then at its own size.

    Args:
        scale: width of the strokes in the picture's pixels, as a multiple of what was learned; above 1.
        brush: what of it the brush asks for; the rest is because the picture is large.
    """
    larger = min(scale, max(1.0, scale / brush))
    return (larger, scale / larger) if larger > 1 else (scale, 1.0)


def scaled_size(size: Size, scale: float) -> Size:
    """The size of a picture at that scale, no side of it below what can be painted."""
    return max(LEAST_SIDE, round(size[0] * scale)), max(LEAST_SIDE, round(size[1] * scale))


def rescaled(rgb: Image.Image, scale: float, wrap: bool = False) -> Image.Image:
    """The picture at that scale, no side of it below what can be painted."""
    return resized(rgb, scaled_size(rgb.size, scale), Image.Resampling.LANCZOS, wrap, REDUCING_GAP)


def resized(
    rgb: Image.Image, size: Size, resample: Image.Resampling, wrap: bool, reducing_gap: float | None = None
) -> Image.Image:
    """The picture at that size; `wrap`: what lies beyond an edge is what the other edge begins with."""
    if not wrap:
        return rgb.resize(size, resample, reducing_gap=reducing_gap)
    edge = 4 * math.ceil(max(1, rgb.width / size[0]))  # further than any filter reaches
    box = (edge, 0, edge + rgb.width, rgb.height)
    return cut_around(rgb, (-edge, 0, rgb.width + edge, rgb.height)).resize(size, resample, box, reducing_gap)


def cut_around(rgb: Image.Image, box: Box) -> Image.Image:
    """A box of a picture whose left edge continues the right one."""
    left, top, right, bottom = box
    return Image.fromarray(np.asarray(rgb)[top:bottom].take(range(left, right), axis=1, mode="wrap"))


def tiles_of(size: Size, side: int) -> Iterator[Box]:
    """Boxes that cover a picture, row by row, as equal in size as whole cells allow and no side longer than `side`."""
    for top, bottom in _parts(size[1], side):
        for left, right in _parts(size[0], side):
            yield left, top, right, bottom


def _parts(length: int, most: int) -> Iterator[tuple[int, int]]:
    assert most >= length or most % STRIDE == 0
    step = math.ceil(length / math.ceil(length / most) / STRIDE) * STRIDE
    return ((start, min(start + step, length)) for start in range(0, length, step))


def grown(box: Box, margin: int, size: Size, wrap: bool = False) -> Box:
    """The box with its margin, inside the picture; the margin is a whole number of cells, so cells stay in place."""
    assert margin % STRIDE == 0
    (width, height), (left, top, right, bottom) = size, box
    top, bottom = max(0, top - margin), min(height, bottom + margin)
    if wrap:
        return left - margin, top, right + margin, bottom
    return max(0, left - margin), top, min(width, right + margin), bottom


def part_of(image: Image.Image, box: Box, around: Box) -> Image.Image:
    """A box of a picture, from the image of another box around it."""
    return image.crop((box[0] - around[0], box[1] - around[1], box[2] - around[0], box[3] - around[1]))


def margins_of(around: Box, margin: int, canvas: Canvas) -> Sides:
    """What of a box with its margin is not wanted: nothing on a side where the picture ends."""
    (width, height), (left, top, right, bottom) = canvas.size, around
    ends = (left <= 0, top <= 0, right >= width, bottom >= height)
    if canvas.wrap:
        ends = (False, ends[1], False, ends[3])
    return Sides(*(0 if end else margin for end in ends))
