"""What a painting is asked: one type for library, page, endpoints, commands and files, checked in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.images.files import Picture, Source, load_picture

STRENGTHS = (0.0, 1.0)  # the photo, the painting
BRUSH_SIZES = (0.5, 4.0)
SHARES = (0.0, 100.0)  # percent will do, and so will parts
SCREEN_SIDE = 768  # pixels: the picture on which a brush of 1 is as wide as the style learned it

Style = str | Mapping[str, float]
Mask = Picture | Source


@dataclass(frozen=True)
class PaintSettings:
    """All that can be set about a painting, in bounds.

    Args:
        style: a name, or names with shares to mix ({"monet": 0.6, "great-wave": 0.4}), each from 0 to 100 and one of
            them above 0; they are scaled to sum to 1.
        strength: 0 gives the photo's pixels exactly, 1 the painting, between them a blend.
        brush_size: width of the strokes relative to the picture, 0.5 to 4. 1 is as the style learned them, seen on a
            picture of 768 pixels: larger photos get strokes as much wider, so that a painting looks the same at any
            size; smaller ones get them as they were learned.
        keep_colors: luminance from the painting, color from the photo.
        mask: a picture, opened or not, white where to paint; None: everywhere. It is kept as an "L" image.
        wrap: whether the left edge continues the right one, as in a panorama all around.

    Raises:
        InputError: a value out of its bounds or of another kind, or a mask that cannot be read.
    """

    style: Style
    strength: float = 1.0
    brush_size: float = 1.0
    keep_colors: bool = False
    mask: Mask | None = field(default=None, repr=False)
    wrap: bool = False

    def __post_init__(self) -> None:
        checked = {
            "style": self.style if isinstance(self.style, str) else _checked_mix(self.style),
            "strength": _number(self.strength, "Strength must be {least} to {most}, not {value}.", STRENGTHS),
            "brush_size": _number(
                self.brush_size, "The brush size must be {least} to {most}, not {value}.", BRUSH_SIZES
            ),
            "keep_colors": _switch(self.keep_colors, "Keeping the colors is true or false, not {value}."),
            "mask": None if self.mask is None else _as_mask(self.mask),
            "wrap": _switch(self.wrap, "Wrapping is true or false, not {value}."),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, style: "Style | PaintSettings", **turns: Any) -> "PaintSettings":
        """Settings from a style and keywords; settings that are whole already stay as they are."""
        return style if isinstance(style, PaintSettings) else cls(style, **turns)

    @property
    def mix(self) -> dict[str, float]:
        """Name -> share, as they were given; of one style alone 1."""
        return {self.style: 1.0} if isinstance(self.style, str) else dict(self.style)

    def stroke_scale(self, size: tuple[int, int]) -> float:
        """How many times as wide as learned, in pixels, the strokes of a picture (width, height) are to be."""
        return self.brush_size * max(1.0, max(size) / SCREEN_SIDE)


def shown(value: object) -> str:
    """A value as a sentence names it: short, whatever was sent."""
    try:
        text = f"{value:g}" if isinstance(value, float) else repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        text = f"a number of kind {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _number(value: Any, refusal: str, bounds: tuple[float, float]) -> float:
    least, most = bounds
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not (is_number and least <= value <= most):  # NaN is in no bounds
        raise InputError(refusal, least=f"{least:g}", most=f"{most:g}", value=shown(value))
    return float(value)


def checked_share(share: Any) -> float:
    """The share of one style in a mix; raises InputError for one out of bounds."""
    return _number(share, "The share of a style must be {least} to {most}, not {value}.", SHARES)


def no_name(value: object) -> InputError:
    """It cannot be the name of a style."""
    return InputError("A style is a name, or names with shares, not {value}.", value=shown(value))


def _checked_mix(mix: Any) -> dict[str, float]:
    if not isinstance(mix, Mapping) or not all(isinstance(name, str) for name in mix):
        raise no_name(mix)
    shares = {name: checked_share(share) for name, share in mix.items()}
    if not any(shares.values()):
        raise InputError("A mix needs at least one style with a share above 0.")
    return shares


def _switch(value: Any, refusal: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InputError(refusal, value=shown(value))
    return bool(value)


def _as_mask(mask: Mask) -> Image.Image:
    if isinstance(mask, Image.Image) and mask.mode == "L" and not mask.info and min(mask.size) > 0:
        return mask  # nothing to be read in it but its levels
    return (mask if isinstance(mask, Picture) else load_picture(mask)).rgb.convert("L")
