"""Frames of a camera, painted as they come: so large that the machine keeps up, steady, and in one tone.

Statistics are measured once a second and averaged with those before, so that a picture does not change its tone from
frame to frame. Where nothing moves the frames themselves are averaged: a camera's noise would make every stroke
tremble. What the machine cannot paint in time at full size it paints smaller; the frame is then enlarged.
"""

import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from PIL import Image

from styletransfer.images.files import picture_to_tensor, tensor_to_picture
from styletransfer.images.finishing import finish
from styletransfer.models.canvas import LEAST_SIDE
from styletransfer.models.generator import EPSILON, STRIDE, Moments
from styletransfer.painter import Painter

BUDGET = 0.075  # seconds for a frame
SCALES = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0)  # of a frame's sides
FIRST = 1  # place among them to begin with
AGREED = 6  # frames in a row that ask for a change of scale, before it is made
MEASURED = 1.0  # seconds between two measurements of statistics
MEASURED_SCALE = 0.7  # of a frame's sides: half the pixels say the same
NEW_SHARE = 0.35  # of a measurement in the average
STILL, MOVING = 6.0, 18.0  # gray levels: less is noise of the camera, more is movement
KEPT = 0.7  # of what was seen before, where nothing moves


class LivePainter:
    """Paints the frames of one camera in one style; not for several threads at a time.

    Args:
        painter: of the style; not an overlaid mix.
        style: one of the painter's.
        clock: seconds.
    """

    def __init__(self, painter: Painter, style: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.painter, self.clock = painter, clock
        self.scale = SCALES[FIRST]
        self._weights = painter.style_weights({style: 1.0})
        self._moments: Sequence[Moments] | None = None
        self._plain: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._measured_at = -np.inf
        self._seen: np.ndarray | None = None
        self._wishes: list[float] = []

    def paint(self, frame: Image.Image, *, strength: float = 1.0, keep_colors: bool = False) -> Image.Image:
        """The painting of the next frame: "RGB" in, "RGB" of the same size out; see `finish` for the settings."""
        small = Image.fromarray(self._steadied(np.asarray(_resized(frame, _size(frame.size, self.scale)))))
        if self._plain is None or self.clock() - self._measured_at > MEASURED:
            self._measure(small)
        start = self.clock()
        with torch.inference_mode():
            painting = tensor_to_picture(self._plain(picture_to_tensor(small).to(self.painter.device)))
        painting = painting.resize(frame.size, Image.Resampling.BICUBIC)
        self._adapt(self.clock() - start)
        return finish(frame, painting, strength=strength, keep_colors=keep_colors)

    def _steadied(self, frame: np.ndarray) -> np.ndarray:
        """The frame, averaged with those before it where it does not differ from them."""
        if self._seen is None or self._seen.shape != frame.shape:
            self._seen = frame.astype(np.float32)
            return frame
        apart = cv2.blur(np.abs(frame - self._seen).mean(axis=2), (5, 5))
        kept = KEPT * np.clip((MOVING - apart) / (MOVING - STILL), 0, 1)[..., None]
        self._seen = kept * self._seen + (1 - kept) * frame
        return self._seen.round().astype(np.uint8)

    @torch.inference_mode()
    def _measure(self, frame: Image.Image) -> None:
        small = picture_to_tensor(_resized(frame, _size(frame.size, MEASURED_SCALE))).to(self.painter.device)
        fresh = self.painter.network.measure(small, self._weights)
        self._moments = fresh if self._moments is None else averaged(self._moments, fresh, NEW_SHARE)
        self._plain = self.painter.network.fold(self._weights, self._moments)
        self._measured_at = self.clock()

    def _adapt(self, seconds: float) -> None:
        """Paint larger or smaller from now on, where the last frames agree that it is time to."""
        whole = seconds / self.scale**2
        wish = max([scale for scale in SCALES if whole * scale**2 <= BUDGET], default=SCALES[0])
        if wish > self.scale and whole * wish**2 > 0.85 * BUDGET:  # it would soon be too large again
            wish = self.scale
        self._wishes = [*self._wishes, wish][-AGREED:]
        larger, smaller = (all(same(each) for each in self._wishes) for same in (self._is_larger, self._is_smaller))
        if len(self._wishes) == AGREED and (larger or smaller):
            self.scale = min(self._wishes) if larger else max(self._wishes)
            self._wishes = []

    def _is_larger(self, scale: float) -> bool:
        return scale > self.scale

    def _is_smaller(self, scale: float) -> bool:
        return scale < self.scale


def averaged(old: Sequence[Moments], new: Sequence[Moments], share: float) -> list[Moments]:
    """Statistics between two: means and variances, `share` of the new ones."""
    found = []
    for before, now in zip(old, new, strict=True):
        variances = [1 / each.rstd**2 - EPSILON for each in (before, now)]
        variance = (1 - share) * variances[0] + share * variances[1]
        found.append(Moments((1 - share) * before.mean + share * now.mean, (variance + EPSILON).rsqrt()))
    return found


def _size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """About that much of a width and height, in whole cells of the network."""
    return tuple(max(LEAST_SIDE, round(side * scale / STRIDE) * STRIDE) for side in size)


def _resized(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    return frame if size == frame.size else frame.resize(size, Image.Resampling.BILINEAR)
