"""Videos of the whole sphere: each frame painted as a photo of it is, and steady in time as other videos are.

Such a camera stands on a tripod, or turns with the world inside the picture, so the canvas stays where it is; what
moves takes its paint along by optical flow. Left of the left edge lies the right one, for the flow, too.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from styletransfer.errors import Sentence
from styletransfer.models.canvas import Box
from styletransfer.moving.asked import FramePainter
from styletransfer.moving.filming import VideoJob
from styletransfer.moving.motion import STAYS, Similarity
from styletransfer.moving.steady import Past, Shot, SteadyPainter
from styletransfer.moving.video import short
from styletransfer.painter import Painter, Part
from styletransfer.settings import PaintSettings
from styletransfer.steps import drained
from styletransfer.surround.boxes import SUFFIXES, is_spherical, say_spherical
from styletransfer.surround.panorama import check_panorama, painted_sphere, stroke_scale

USUAL_SIZE = 2048  # pixels of the longer side: a view of 90 degrees has a quarter of them
CELLS = 8  # pixels: the width is a whole number of these, and so the height of the network's cells
BEYOND = 96  # pixels of the other edge at each side, in which flow finds what comes around


class SphereShot(Shot):
    """The networks of a mix, which paint band and poles with the statistics of a shot."""

    @torch.inference_mode()
    def run(self, canvas: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
        """As `Shot.run`, of the whole sphere."""
        picture = canvas.round().clip(0, 255).astype(np.uint8)
        return sum(
            np.float32(share) * np.asarray(drained(painted_sphere(picture, painter.touch_of(network))))
            for (painter, _, share), network in zip(self._parts, self._networks, strict=True)
        )


class SphereSteadyPainter(SteadyPainter):
    """Paints the frames of a video of the sphere; arguments as for `SteadyPainter`."""

    def __init__(self, parts: Sequence[Part], size: tuple[int, int], scale: float, steadiness: float) -> None:
        super().__init__(parts, size, scale, steadiness)
        width = max(CELLS, round(self.inner[0] / CELLS) * CELLS)
        self.inner, self.shot = (width, width // 2), SphereShot(parts)

    def _place(self, past: Past, screen: np.ndarray) -> Similarity:
        return STAYS

    def _news(self, trust: np.ndarray, covered: np.ndarray) -> list[Box] | None:
        return None  # a part of a sphere is no picture that the networks could paint alone

    def _remembered(
        self, frame: np.ndarray, covered: np.ndarray, old: Past
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        edge = min(BEYOND, frame.shape[1] // 2)
        layers = {name: _around(getattr(old, name), edge) for name in ("frame", "painting", "covered")}
        around = replace(old, **layers)
        found = super()._remembered(_around(frame, edge), _around(covered, edge), around)
        return tuple(np.ascontiguousarray(x[:, edge:-edge]) for x in found)


class SphereVideoJob(VideoJob):
    """As `VideoJob`, of a video of the whole sphere; raises InputError where it is not twice as wide as high."""

    facts = {"panorama": True}

    def _frame_painter(self, painter: Painter, steadiness: float) -> FramePainter:
        check_panorama(self.form.size)
        scale = stroke_scale(self.settings.brush_size, self.form.size[0])
        steady = SphereSteadyPainter(painter.parts(self.settings.mix), self.form.size, scale, steadiness)
        return FramePainter(self.settings, self.form.size, steady)

    def _told(self, file: Path) -> list[Sentence]:
        if self.output.suffix.lower() in SUFFIXES and say_spherical(file):
            return []
        return [Sentence("The file does not say that it is a sphere: tell the player, or name it .mp4.")]


def is_sphere(source: Path, is_asked: bool) -> bool:
    """Whether a video is painted as a sphere: because it is asked for, or because the file says so itself."""
    return is_asked or (source.suffix.lower() in SUFFIXES and is_spherical(source))


def sphere_job_of(
    painter: Painter,
    source: Path,
    output: Path,
    settings: PaintSettings,
    *,
    most_seconds: float | None = None,
    **turns: Any,
) -> VideoJob:
    """What paints this video; arguments and errors as for `job_of`."""
    return short(SphereVideoJob(painter, source, output, settings, **turns), most_seconds)


def _around(values: np.ndarray, edge: int) -> np.ndarray:
    return np.concatenate([values[:, -edge:], values, values[:, :edge]], axis=1)
