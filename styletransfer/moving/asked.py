"""What is asked of something painted that moves: checked, and done frame by frame."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.folders import check_parent
from styletransfer.images.finishing import finish, soft_mask
from styletransfer.moving.frames import Frame
from styletransfer.moving.steady import STEADINESS, SteadyPainter
from styletransfer.painter import Painter
from styletransfer.settings import PaintSettings, shown

USUAL_SIZE = 1280  # pixels: long side of what is painted, where the source is not smaller
SIZES = (16, 4096)


class FramePainter:
    """Paints frames in all settings of a painting.

    Args:
        settings: of the painting.
        size: (width, height) of the frames.
        steady: paints them.
    """

    def __init__(self, settings: PaintSettings, size: tuple[int, int], steady: SteadyPainter) -> None:
        self.settings, self.steady = settings, steady
        self._mask = None if settings.mask is None else soft_mask(settings.mask, size)

    def paint(self, frame: Frame) -> np.ndarray:
        """The frame's painting, (H, W, 3) uint8."""
        painting, settings = self.steady.paint(frame.rgb), self.settings
        if settings.strength == 1 and not settings.keep_colors and self._mask is None:
            return painting
        pictures = Image.fromarray(frame.rgb), Image.fromarray(painting)
        laid = finish(*pictures, strength=settings.strength, keep_colors=settings.keep_colors, mask=self._mask)
        return np.asarray(laid)


def frame_painter(painter: Painter, settings: PaintSettings, size: tuple[int, int], steadiness: float) -> FramePainter:
    """Of plain frames; steadiness is 0 to 1."""
    parts, scale = painter.parts(settings.mix), settings.stroke_scale(size)
    return FramePainter(settings, size, SteadyPainter(parts, size, scale, steadiness))


def check_turns(settings: PaintSettings, size: int, steadiness: float) -> None:
    """Raises InputError where something that moves cannot be painted so."""
    if settings.wrap:
        raise InputError("Wrapping is for panoramas, not for what moves: leave it out.")
    if not (isinstance(size, int) and SIZES[0] <= size <= SIZES[1]):
        raise InputError(
            "The size must be {least} to {most} pixels, not {value}.", least=SIZES[0], most=SIZES[1], value=shown(size)
        )
    if not STEADINESS[0] <= steadiness <= STEADINESS[1]:
        raise InputError("Steadiness must be 0 to 1, not {value}.", value=shown(steadiness))


def check_output(source: Path, output: Path, kinds: Iterable[str]) -> None:
    """Raises InputError where no result of one of these kinds (suffixes) can be written there."""
    if output.suffix.lower() not in kinds:
        raise InputError(
            "{name} cannot hold what moves: end the name with one of {kinds}.", name=output, kinds=", ".join(kinds)
        )
    check_parent(output)
    if output.is_dir():
        raise InputError("{name} is a folder: give another name for the video.", name=output)
    if output.exists() and source.exists() and output.samefile(source):
        raise InputError("{name} is the video itself: give the painting another name.", name=output)
