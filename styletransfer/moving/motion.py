"""What moves between two frames: the camera as a whole, then what moves otherwise, and where both can be trusted.

The camera's move is a shift with a rotation and a zoom (four numbers), from tracked corners (Lucas-Kanade pyramids)
with RANSAC, so that what moves in front of a scene does not count. What is left is dense optical flow (DIS, Kroeger
2016), believed where it leads there and back again (Sundaram 2010) and where the two frames then look alike.
"""

from typing import NamedTuple

import cv2
import numpy as np

CORNERS = 400
LEAST_CORNERS, LEAST_SHARE = 12, 0.35  # of corners that must follow the camera, else it is taken to stand still
STILL = 0.08  # pixels: a move below is noise, and the camera stands still
FLOW_SIDE = 480  # pixels: flow is computed at most at this long side
RESTING = 0.35  # pixels: flow below is error, and what moves so little is left where it is
QUIET = 3.0  # levels of difference, smoothed: where there is less, nothing moves, whatever flow is found in the noise
ALIKE = 14.0  # levels of difference, smoothed, from which on two frames do not show the same
CUT_DIFFERENCE, CUT_OVERLAP = 18.0, 0.72  # levels of mean difference, share of histograms in common
THUMB = (64, 36)

Similarity = np.ndarray  # (2, 3) float64: where a pixel (x, y, 1) goes
STAYS: Similarity = np.float64([[1, 0, 0], [0, 1, 0]])


class Flow(NamedTuple):
    """How the picture before has moved into this one, place by place."""

    back: (
        np.ndarray | None
    )  # (H, W, 2) float32: from each pixel to its place in the picture before; None: nothing moves
    trust: np.ndarray  # (H, W) float32 from 0 to 1


def camera_move(before: np.ndarray, now: np.ndarray) -> Similarity:
    """Where the camera's move takes each pixel of the gray frame before, in the frame now."""
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.005, 7)
    if corners is None or len(corners) < LEAST_CORNERS:
        return STAYS
    found, is_there, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None, winSize=(15, 15), maxLevel=4)
    kept = is_there.ravel() == 1
    old, new = corners[kept].reshape(-1, 2), found[kept].reshape(-1, 2)
    if len(old) < LEAST_CORNERS:
        return STAYS
    cv2.setRNGSeed(0)  # the same frames give the same move
    move, inliers = cv2.estimateAffinePartial2D(old, new, ransacReprojThreshold=0.6, refineIters=10)
    if move is None or inliers.sum() < max(LEAST_CORNERS, LEAST_SHARE * len(old)):
        return STAYS
    return STAYS if _is_still(move, now.shape) else move


def flow_between(before: np.ndarray, now: np.ndarray) -> Flow:
    """The flow between two gray pictures (H, W) uint8 that lie over one another, up to what moves by itself."""
    quiet = np.clip(2 - _difference(before, now) / QUIET, 0, 1)
    if quiet.min() == 1:
        return Flow(None, quiet)
    small_before, small_now = (cv2.GaussianBlur(_small(x), (0, 0), 0.8) for x in (before, now))
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back = finder.calc(small_now, small_before, None)
    forth = finder.calc(small_before, small_now, None)
    agree = _agreement(back, forth)
    scale = now.shape[1] / small_now.shape[1]
    back = _resized(back, now.shape) * scale
    length = np.linalg.norm(back, axis=2)
    back *= (np.clip((length - RESTING) / RESTING, 0, 1) * (quiet < 1))[..., None]
    alike = 1 - np.clip(_difference(warped(before, back), now) / ALIKE - 0.5, 0, 1)
    moves = bool(back.any())
    return Flow(back if moves else None, np.maximum(quiet, _resized(agree, now.shape) * alike))


def warped(picture: np.ndarray, back: np.ndarray) -> np.ndarray:
    """The picture before, (H, W, ...), moved into this one by its flow `back`."""
    height, width = back.shape[:2]
    down, across = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(
        picture, across + back[..., 0], down + back[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def is_cut(before: np.ndarray, now: np.ndarray) -> bool:
    """Whether two RGB frames are of two shots: they differ everywhere, and so do their colors."""
    one, other = (cv2.resize(frame, THUMB, interpolation=cv2.INTER_AREA) for frame in (before, now))
    if cv2.absdiff(one, other).mean() < CUT_DIFFERENCE:
        return False
    histograms = [
        cv2.calcHist([cv2.cvtColor(x, cv2.COLOR_RGB2HSV)], [0, 1, 2], None, [8, 4, 8], [0, 180, 0, 256, 0, 256])
        for x in (one, other)
    ]
    return float(np.minimum(*histograms).sum()) / (THUMB[0] * THUMB[1]) < CUT_OVERLAP


def gray(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) uint8."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def _is_still(move: Similarity, shape: tuple[int, ...]) -> bool:
    height, width = shape
    corners = np.float64([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
    return float(np.abs(corners @ (move - STAYS).T).max()) < STILL


def _small(picture: np.ndarray) -> np.ndarray:
    scale = min(1.0, FLOW_SIDE / max(picture.shape))
    return picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _resized(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(values, shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _agreement(back: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """(h, w): 1 where the flow back and the flow forth cancel, 0 where they do not (Sundaram 2010, eq. 5)."""
    there_and_back = back + warped(forth, back)
    error = (there_and_back**2).sum(axis=2)
    limit = 0.01 * ((back**2).sum(axis=2) + (forth**2).sum(axis=2)) + 0.5
    agree = np.clip(2 - error / limit, 0, 1)
    return cv2.blur(cv2.erode(agree, np.ones((3, 3), np.uint8)), (3, 3))


def _difference(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """(H, W): levels by which two gray frames differ around each place; noise is smoothed away."""
    one, other = (cv2.GaussianBlur(x, (0, 0), 2) for x in (before, now))
    return cv2.dilate(cv2.absdiff(one, other), np.ones((5, 5), np.uint8)).astype(np.float32)
