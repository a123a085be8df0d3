"""Wider and narrower strokes of a picture that is painted in parts, each in a way of its own."""

from collections.abc import Callable

from PIL import Image

from styletransfer.models.canvas import Loaded, Repainted, rescaled, resized
from styletransfer.steps import Steps, stretched

Painting = Callable[[Image.Image], Steps[Image.Image]]  # of a picture as it is, strokes as wide as learned


def scaled_steps(rgb: Image.Image, scale: float, wrap: bool, painted: Painting) -> Steps[Image.Image]:
    """A painting whose strokes are wider than learned, or narrower.

    Args:
        rgb: "RGB" of at least 16x16 pixels.
        scale: width of the strokes in the picture's pixels, as a multiple of what was learned.
        wrap: whether the left edge continues the right one.
        painted: paints a picture of any size with strokes as learned.
    """
    if scale == 1:
        return (yield from painted(rgb))
    first = 1.0 if scale < 1 else 1 / (1 + scale**2)  # share of all pixels that are painted
    painting = yield from stretched(painted(rescaled(rgb, 1 / scale, wrap)), 0, first)
    if scale < 1:
        return resized(painting, rgb.size, Image.Resampling.LANCZOS, wrap)
    again = Repainted(Loaded(rgb, wrap), painting, scale).crop((0, 0, *rgb.size))
    return (yield from stretched(painted(again), first, 1))
