"""Where two paintings of one place meet: along the line on which they agree best, which runs between strokes.

The minimum error boundary cut of Efros and Freeman ("Image quilting", SIGGRAPH 2001, section 2.1), closed to a ring.
"""

import cv2
import numpy as np

COARSE = 4  # pixels to a step of the line
STEEPEST = 2  # rows that it may rise or fall in a step


def joined(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """One ring of two: its first row is that of `above`, its last one that of `below`.

    Args:
        above, below: (R, W, 3) uint8, whose left edge continues the right one.

    Returns:
        The same shape.
    """
    height, width = above.shape[:2]
    if height < 2 * COARSE:
        line = np.full(width, height / 2, np.float32)
    else:
        apart = cv2.absdiff(above, below).sum(axis=2, dtype=np.float32)
        line = _enlarged(ring_of_least(cv2.resize(apart, _coarse(apart), interpolation=cv2.INTER_AREA)), width, height)
    soft = max(2.0, height / 24)  # a few pixels: what agrees need not be mixed
    share = np.clip((np.arange(height, dtype=np.float32)[:, None] + 0.5 - line) / soft + 0.5, 0, 1)[..., None]
    mixed = above * (1 - share) + below * share
    return mixed.round().astype(np.uint8)


def ring_of_least(costs: np.ndarray) -> np.ndarray:
    """The row in each column of the cheapest closed line around; `costs` is (R, W), and a line keeps off its edges."""
    height, width = costs.shape
    costs = costs + 1e-3 * costs.mean() * np.abs(np.linspace(-1, 1, height, dtype=np.float32))[:, None]
    first = int(costs.mean(axis=0).argmin())
    costs = np.roll(costs, -first, axis=1)
    start = int(costs[:, 0].argmin())
    total = np.full(height, np.inf, np.float32)
    total[start] = 0
    came = np.empty((width, height), np.int32)
    places = np.arange(height)
    for column in range(1, width + 1):
        reached = np.stack([_moved(total, step) for step in range(-STEEPEST, STEEPEST + 1)])
        best = reached.argmin(axis=0)
        came[column - 1] = places - (best - STEEPEST)
        total = reached[best, places] + costs[:, column % width]
    rows = np.empty(width, np.int32)
    row = start
    for column in range(width - 1, -1, -1):
        row = int(came[column, row])
        rows[column] = row
    return np.roll(rows, first)


def _moved(total: np.ndarray, step: int) -> np.ndarray:
    """The totals of the rows `step` above each; where there is none, infinite."""
    moved = np.full_like(total, np.inf)
    if step >= 0:
        moved[step:] = total[: len(total) - step]
    else:
        moved[:step] = total[-step:]
    return moved


def _coarse(ring: np.ndarray) -> tuple[int, int]:
    return max(1, ring.shape[1] // COARSE), max(1, ring.shape[0] // COARSE)


def _enlarged(line: np.ndarray, width: int, height: int) -> np.ndarray:
    """The rows of a coarse ring as rows of the ring itself, (W,) float32."""
    rows = (line + 0.5) * (height / max(1, height // COARSE))
    at = (np.arange(width) + 0.5) / width * len(line) - 0.5
    return np.interp(at, np.arange(len(line)), rows, period=len(line)).astype(np.float32)
