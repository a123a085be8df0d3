"""Wider and narrower strokes of a picture that is painted in parts, each in a way of its own."""

from collections.abc import Callable

from PIL import Image

from styletransfer.images.finishing import shapes_reach, with_shapes_of
from styletransfer.models.canvas import Loaded, Repainted, grown, part_of, rescaled, resized, stages
from styletransfer.steps import Steps, stretched

ROWS = 512  # of a painting at a time: whole cells

Painting = Callable[[Image.Image], Steps[Image.Image]]  # of a picture as it is, strokes as wide as learned


def scaled_steps(rgb: Image.Image, scale: float, brush: float, wrap: bool, painted: Painting) -> Steps[Image.Image]:
    """A painting whose strokes are wider than learned, or narrower.

    Args:
        rgb: "RGB" of at least 16x16 pixels.
        scale: width of the strokes in the picture's pixels, as a multiple of what was learned.
        brush: what of it is the brush's; the rest is the picture's.
        wrap: whether the left edge continues the right one.
        painted: paints a picture of any size with strokes as learned.
    """
    if scale == 1:
        return (yield from painted(rgb))
    if scale < 1:
        painting = yield from painted(rescaled(rgb, 1 / scale, wrap))
        return resized(painting, rgb.size, Image.Resampling.LANCZOS, wrap)
    larger, wider = stages(scale, brush)
    first = 1 / (1 + larger**2)  # share of all pixels that are painted
    small = rescaled(rgb, 1 / larger, wrap)
    painting = yield from stretched(scaled_steps(small, wider, wider, wrap, painted), 0, first)
    canvas = Repainted(Loaded(rgb, wrap), small, painting, larger, is_shown=scale > brush)
    again = yield from stretched(painted(canvas.crop((0, 0, *rgb.size))), first, 1)
    return _with_shapes(canvas, again) if canvas.is_shown else again


def _with_shapes(canvas: Repainted, painting: Image.Image) -> Image.Image:
    """The whole painting, with the shapes of the small one that was painted over; a few rows at a time."""
    (width, height), painted = canvas.size, Loaded(painting, canvas.wrap)
    found, reach = Image.new("RGB", canvas.size), shapes_reach(canvas.scale)
    for top in range(0, height, ROWS):
        box = (0, top, width, min(height, top + ROWS))
        around = grown(box, reach, canvas.size, canvas.wrap)
        rows = with_shapes_of(canvas.enlarged(around), painted.crop(around), canvas.scale)
        found.paste(part_of(rows, box, around), (0, top))
    return found
