"""A stereo pair of which is known what is where: a photo with a depth that rises, and a second one before it."""

import cv2
import numpy as np
from PIL import Image

from styletransfer.images.files import load_picture
from styletransfer.paths import EXAMPLES

FAR, NEAR, FRONT = 3.0, 14.0, 26.0  # pixels of disparity at the top, at the bottom, and of what stands in front


def stereo_pair(size=(480, 360), behind="pagoda", front="cat", seed=0):
    """Side by side, "RGB"; the step to the left eye's place for each pixel of the right one; where that is seen.

    size: of one eye. The two eyes have a noise of their own, and the right one is a little brighter.
    """
    width, height = size
    wide = np.asarray(
        load_picture(EXAMPLES / f"{behind}.jpg").rgb.resize((width + 80, height), Image.Resampling.LANCZOS)
    )
    before = np.asarray(load_picture(EXAMPLES / f"{front}.jpg").rgb.resize((width // 2, height // 2)))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    depth = FAR + (NEAR - FAR) * y / height
    left, right = (
        wide[:, 40 : 40 + width].astype(np.float32),
        cv2.remap(wide, x + 40 + depth, y, cv2.INTER_CUBIC).astype(np.float32),
    )

    def disk(column):
        """Of what stands in front: how much of each pixel is covered, and its color."""
        away = np.hypot((x - column) / (width / 5), (y - height * 0.55) / (height / 4.5))
        color = cv2.remap(
            before,
            x - column + width / 4,
            y - height * 0.55 + height / 4,
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.clip((1 - away) * 40, 0, 1)[..., None], color

    covered, color = disk(width * 0.55)
    left += covered * (color - left)
    seen, color = disk(width * 0.55 - FRONT)
    right += seen * (color - right)
    noise = np.random.default_rng(seed)
    eyes = [left + noise.normal(0, 2, left.shape), 1.02 * right + noise.normal(0, 2, left.shape)]
    pair = Image.fromarray(np.concatenate(eyes, axis=1).round().clip(0, 255).astype(np.uint8))
    step = np.where(seen[..., 0] > 0.5, FRONT, depth).astype(np.float32)
    hidden = (seen[..., 0] < 0.5) & (
        cv2.remap(covered[..., 0].astype(np.float32), x + depth, y, cv2.INTER_LINEAR) > 0.05
    )
    return pair, step, ~hidden & (x + step < width - 1)


def apart(pair, step, seen):
    """The mean difference between the eyes of a pair along a known step, in gray levels, where both eyes see."""
    levels = np.asarray(pair).astype(np.float32)
    width = levels.shape[1] // 2
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(levels.shape[0], dtype=np.float32))
    there = cv2.remap(levels[:, :width].copy(), x + step, y, cv2.INTER_CUBIC)
    return float(np.abs(there - levels[:, width:]).mean(axis=2)[seen].mean())
