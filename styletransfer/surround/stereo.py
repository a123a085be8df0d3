"""Stereo pairs, side by side: the right eye is given the left eye's brushwork, moved to where it belongs.

Painted apart, the two eyes get other strokes in the same place, and looking at them hurts. So the left eye is painted,
and its painting is moved by the disparity of the photos, found in both directions by dense inverse search (Kroeger,
ECCV 2016). Where the two directions agree and the photos do, too, that is the right eye's painting (Chen, "Stereoscopic
Neural Style Transfer", CVPR 2018, section 4, blends so inside of the network); elsewhere, behind edges mostly, it is
painted for itself, with the statistics of the left eye.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.images.files import Picture, load_picture
from styletransfer.models.canvas import LEAST_SIDE
from styletransfer.painter import Layers, Painter, Photo
from styletransfer.settings import PaintSettings, Style
from styletransfer.steps import Steps, drained, stretched
from styletransfer.surround.scaling import scaled_steps

LONGEST = 1280  # pixels of an eye's longer side, at which disparity is looked for
AGREED, APART = 1.0, 2.5  # pixels between the two directions: up to here they agree, from there on they do not
ALIKE, UNLIKE = 14.0, 40.0  # gray levels between the photos, likewise
ROWS = 512  # of a painting at a time


def paint_stereo(pipeline: Painter, photo: Photo, style: Style | PaintSettings, **turns: Any) -> Image.Image:
    """Paint a stereo pair, both eyes alike.

    Args:
        pipeline: paints; a `StyleTransferPipeline`, or any other painter.
        photo: left eye and right eye side by side, opened or not, each at least 16x16 pixels.
        style: settings; or a style or a mix, with the other settings as keywords, see `PaintSettings`. The brush is
            relative to one eye's picture.

    Returns:
        As the pipeline's own call does.

    Raises:
        InputError: as the pipeline does; or the width is odd, or an eye is too small.
    """
    picture = photo if isinstance(photo, Picture) else load_picture(photo)
    check_pair(picture.size)
    return drained(pipeline.steps(picture, PaintSettings.of(style, **turns), layers=PairLayers()))


def check_pair(size: tuple[int, int]) -> None:
    """Raises InputError for a picture (width, height) that cannot be two eyes side by side."""
    width, height = size
    if width % 2:
        raise InputError("The photo is {width} pixels wide: two eyes side by side need an even width.", width=width)
    if min(width // 2, height) < LEAST_SIDE:
        raise InputError(
            "Each eye of the pair has {width}x{height} pixels: the least is 16x16.", width=width // 2, height=height
        )


class PairLayers(Layers):
    """The layers of a painting of two eyes, side by side."""

    def painting(self, painter: Painter, rgb: Image.Image, settings: PaintSettings) -> Steps[Image.Image]:
        """The painting alone, "RGB", as large as the photo."""
        scale = settings.stroke_scale((rgb.width // 2, rgb.height))
        return pair_steps(painter, rgb, settings.mix, scale, settings.brush_size)


def pair_steps(
    painter: Painter, rgb: Image.Image, mix: Mapping[str, float], scale: float, brush: float
) -> Steps[Image.Image]:
    """As `Painter.paint_steps`, for two eyes side by side."""
    half = rgb.width // 2
    left, right = rgb.crop((0, 0, half, rgb.height)), rgb.crop((half, 0, rgb.width, rgb.height))
    touches = {}  # by the size of what they are measured on: the left eye's serve the right eye, too

    def painted(each: Image.Image) -> Steps[Image.Image]:
        if each.size not in touches:
            touches[each.size] = painter.frozen(each, mix)
        return touches[each.size](each, False)

    ours = yield from stretched(scaled_steps(left, scale, brush, False, painted), 0, 0.45)
    alone = yield from stretched(scaled_steps(right, scale, brush, False, painted), 0.45, 0.9)
    flow, trust = correspondence(np.asarray(left), np.asarray(right))
    pair = Image.new("RGB", rgb.size)
    pair.paste(ours)
    pair.paste(Image.fromarray(moved(np.asarray(ours), np.asarray(alone), flow, trust)), (half, 0))
    yield 1.0
    return pair


def correspondence(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the right eye is in the left one, and how far that is to be trusted.

    Args:
        left, right: (H, W, 3) uint8.

    Returns:
        (h, w, 2) float32, steps to the right and down in pixels of the given pictures; and (h, w) from 0 to 1. Both
        for a grid that may be coarser than the pictures.
    """
    shrink = min(1.0, LONGEST / max(left.shape))
    size = tuple(max(LEAST_SIDE, round(side * shrink)) for side in left.shape[1::-1])
    eyes = [
        cv2.cvtColor(cv2.resize(eye, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY) for eye in (left, right)
    ]
    there, back = _flow(eyes[1], eyes[0]), _flow(eyes[0], eyes[1])
    apart = np.linalg.norm(there + _looked_up(back, there), axis=2)
    unlike = cv2.blur(cv2.absdiff(eyes[1], _looked_up(eyes[0], there)).astype(np.float32), (5, 5))
    trust = _falling(apart, AGREED, APART) * _falling(unlike, ALIKE, UNLIKE) * _inside(there)
    trust = cv2.GaussianBlur(cv2.erode(trust, np.ones((3, 3))), (0, 0), 1.5)
    return there * (np.float32(left.shape[1::-1]) / np.float32(size)), trust


def moved(painting: np.ndarray, otherwise: np.ndarray, flow: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """A painting as the other eye sees it, (H, W, 3) uint8.

    Args:
        painting: of the eye that `flow` leads to.
        otherwise: the other eye's own painting, for where there is no trust.
        flow, trust: from `correspondence`.
    """
    height, width = otherwise.shape[:2]
    result = np.empty_like(otherwise)
    for top in range(0, height, ROWS):
        rows = slice(top, min(top + ROWS, height))
        across, down, share = (_enlarged(each, (width, height), rows) for each in (flow[..., 0], flow[..., 1], trust))
        column = np.arange(width, dtype=np.float32) + across
        row = np.arange(height, dtype=np.float32)[rows, None] + down
        there = cv2.remap(painting, column, row, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
        mixed = otherwise[rows] + share[..., None] * (there.astype(np.float32) - otherwise[rows])
        result[rows] = mixed.round().astype(np.uint8)
    return result


def _flow(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setVariationalRefinementIterations(10)
    return search.calc(one, other, None)


def _looked_up(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    height, width = flow.shape[:2]
    column = np.arange(width, dtype=np.float32) + flow[..., 0]
    row = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return cv2.remap(values, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _inside(flow: np.ndarray) -> np.ndarray:
    """1 where a flow leads to a place within the picture."""
    height, width = flow.shape[:2]
    column = np.arange(width, dtype=np.float32) + flow[..., 0]
    row = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return ((column >= 0) & (column <= width - 1) & (row >= -2) & (row <= height + 1)).astype(np.float32)


def _falling(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """1 up to the start, 0 from the end on."""
    return np.clip((end - values) / (end - start), 0, 1).astype(np.float32)


def _enlarged(values: np.ndarray, size: tuple[int, int], rows: slice) -> np.ndarray:
    """Some rows of a grid stretched over a picture (width, height)."""
    width, height = size
    column = (np.arange(width, dtype=np.float32) + 0.5) * (values.shape[1] / width) - 0.5
    row = (np.arange(height, dtype=np.float32)[rows, None] + 0.5) * (values.shape[0] / height) - 0.5
    column, row = np.broadcast_arrays(column, row)
    return cv2.remap(values, column.copy(), row.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
