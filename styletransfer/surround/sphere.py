"""The sphere of an equirectangular picture: flat charts of its poles, and a place to begin that turns with it.

A row of an equirectangular picture is stretched by 1 / cos(latitude), without bounds towards the poles. There the
sphere is seen in a stereographic chart instead (Snyder, "Map Projections: A Working Manual", 1987, section 21): it
keeps shapes, and 54 degrees from its middle its scale is 1.26 times what it is in the middle. A perspective view
stretches by 1.4 in one direction and by 2 in the other at 45 degrees already.

Pictures are (H, W, 3) uint8, rows from the north pole to the south pole, columns once around; angles are in radians.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np

EDGE = 4  # pixels beyond a picture's edge that interpolation reads
ROWS = 256  # of a picture at a time: maps take 8 bytes a pixel
DENSITY = (
    0.95  # of a chart's middle, relative to the rows: its strokes are then no wider and no narrower than the band's
)


def heading(picture: np.ndarray) -> int:
    """The column at which the brighter half of the picture begins: who rolls the picture rolls it along, exactly."""
    columns = picture.sum(axis=(0, 2), dtype=np.int64)
    around = np.concatenate([columns, columns])
    sums = np.concatenate([[0], np.cumsum(around)])
    width = len(columns)
    halves = sums[width // 2 : width // 2 + width] - sums[:width]
    return int(halves.argmax())


def chart_of_pole(picture: np.ndarray, reach: float) -> np.ndarray:
    """The stereographic chart of the north pole, (S, S, 3); for the south pole give the picture upside down.

    Args:
        picture: of the whole sphere.
        reach: how far from the pole the middles of the chart's edges are.
    """
    height, width = picture.shape[:2]
    radius = math.ceil(chart_scale(height) * math.tan(reach / 2))
    known = _with_edges(picture[: min(height, math.ceil(_farthest(reach) / math.pi * height) + 2 * EDGE)])
    chart = np.empty((2 * radius, 2 * radius, 3), np.uint8)
    x = np.arange(2 * radius, dtype=np.float32) + 0.5 - radius
    for top in range(0, 2 * radius, ROWS):
        y = x[top : top + ROWS, None]
        away = 2 * np.arctan(np.hypot(x, y) / np.float32(chart_scale(height)))
        column = (np.arctan2(-y, x) / (2 * math.pi) + 0.5) * width - 0.5 + EDGE
        row = away / math.pi * height - 0.5 + EDGE
        chart[top : top + ROWS] = _looked_up(known, column, np.broadcast_to(row, column.shape))
    return chart


def rows_of_pole(chart: np.ndarray, size: tuple[int, int], rows: range) -> np.ndarray:
    """What a chart of the north pole says of rows of the picture, (R, W, 3).

    Args:
        chart: as `chart_of_pole` gives it.
        size: width and height of the picture.
        rows: of the picture, all inside the chart's circle.
    """
    width, height = size
    radius = chart.shape[0] / 2
    around = ((np.arange(width, dtype=np.float32) + 0.5) / width - 0.5) * (2 * math.pi)
    away = (np.asarray(rows, dtype=np.float32)[:, None] + 0.5) / height * math.pi
    distance = np.float32(chart_scale(height)) * np.tan(away / 2)
    return _looked_up(chart, distance * np.cos(around) + radius - 0.5, -distance * np.sin(around) + radius - 0.5)


def view(picture: np.ndarray, yaw: float, pitch: float, side: int, angle: float = math.pi / 2) -> np.ndarray:
    """What is seen in a direction: a perspective view, (side, side, 3).

    Args:
        picture: of the whole sphere.
        yaw: 0 is the middle column, to the right from there.
        pitch: 0 is the horizon, up to pi / 2 at the north pole.
        side: in pixels.
        angle: of view, from edge to edge.
    """
    height, width = picture.shape[:2]
    across = ((np.arange(side) + 0.5) / side * 2 - 1) * math.tan(angle / 2)
    right, up = np.meshgrid(across, -across)
    ahead = math.cos(pitch) - up * math.sin(pitch)
    high = math.sin(pitch) + up * math.cos(pitch)
    longitude, latitude = np.arctan2(right, ahead) + yaw, np.arctan2(high, np.hypot(right, ahead))
    column = (longitude / (2 * math.pi) + 0.5) % 1 * width - 0.5 + EDGE
    row = (0.5 - latitude / math.pi) * height - 0.5 + EDGE
    known = np.concatenate([_with_edges(picture), _with_edges(picture[::-1])[:EDGE][::-1]])
    return _looked_up(known, column.astype(np.float32), row.astype(np.float32))


def strips(rows: range) -> Iterator[range]:
    """The rows, a few at a time."""
    for top in range(rows.start, rows.stop, ROWS):
        yield range(top, min(top + ROWS, rows.stop))


def chart_scale(height: int) -> float:
    """Pixels of a chart per unit of the plane that touches its middle at half the sphere's radius."""
    return 2 * DENSITY * height / math.pi


def _farthest(reach: float) -> float:
    """How far from the pole a chart's corners are."""
    return min(math.pi, 2 * math.atan(math.sqrt(2) * math.tan(reach / 2)))


def _with_edges(picture: np.ndarray) -> np.ndarray:
    """The picture with what lies beyond its left and right edge, and beyond the pole above it."""
    beyond = np.roll(picture[:EDGE][::-1], picture.shape[1] // 2, axis=1)
    return np.pad(np.concatenate([beyond, picture]), ((0, 0), (EDGE, EDGE), (0, 0)), mode="wrap")


def _looked_up(picture: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    return cv2.remap(picture, column, row, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
