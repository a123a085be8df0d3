"""One frame of something that moves, and the form that all frames of a clip share."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from styletransfer.errors import Sentence

BT601, BT709 = 5, 1  # numbers of the matrices of YUV, as FFmpeg has them


@dataclass(frozen=True)
class Frame:
    """A frame as people see it: upright, in the size and the colors of the screen, with its time."""

    rgb: np.ndarray  # (H, W, 3) uint8
    start: int  # ticks of the clip's time base, rising from frame to frame
    length: int  # ticks, at least 1
    alpha: np.ndarray | None = None  # (H, W) uint8; None: nothing is transparent


@dataclass(frozen=True)
class Form:
    """What all frames of a clip share."""

    size: tuple[int, int]  # width and height in pixels
    ticks: Fraction  # seconds that a tick lasts
    rate: Fraction  # frames in a second, on average
    count: int  # of frames, as the file has it; 0 where it does not
    matrix: int = BT709  # of YUV, in which the painting is written
    is_full_range: bool = False  # whether YUV runs from 0 to 255, and not from 16 to 235
    loops: int | None = None  # how often an animated picture is shown, 0 for ever; None for once


class Clip(Protocol):
    """What can be painted frame by frame."""

    form: Form
    notes: list[Sentence]  # what was left out or changed, for the user to read

    def frames(self) -> Iterator[Frame]:
        """All frames in their order, each read when it is asked for."""


def even_note() -> Sentence:
    """What is said where a frame got a row or a column more, since yuv420p needs even sides."""
    return Sentence("A video needs even sides: its last row or column of pixels is there twice.")
