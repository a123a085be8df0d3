"""What will keep a photo from becoming a good painting, said before anybody wonders, and what helps.

The thresholds were measured on 123 photos of the BSDS (blocks: on 245): as they are, blurred by a Gaussian of 2 pixels
and more, darkened to a fifth, and saved as JPEG of quality 5 to 75. Each stands in the gap between sound and faulty.
"""

import numpy as np
from PIL import Image, ImageFilter

from styletransfer.errors import Sentence

LEAST_SHORT_SIDE = 64  # pixels; a stroke is about 8 wide
MAX_LEFT_AFTER_BLUR = 0.8  # share of the steepest steps; sound 0.27 to 0.69, blurred by 2 pixels 0.88 to 1
LEAST_HIGHLIGHT = 60  # gray levels; 95th percentile: sound 108 to 255, at a fifth of the light 21 to 51
MAX_BLOCKS = 1.95  # steps at borders of 8x8 blocks over steps inside; sound up to 1.65, quality 75 1.89, 10 mostly 2.65

SIDE = 1024  # pixels: finer blur than a pixel of this size nobody sees on a screen
TILE = 768  # pixels of the middle of a photo in which blocks are looked for


def advise(rgb: Image.Image) -> tuple[Sentence, ...]:
    """One sentence for each fault of an "RGB" photo that will show in its painting."""
    checks = (
        (
            is_tiny,
            "The photo is very small, so strokes are wider than its details: a larger copy, or a finer brush, helps.",
        ),
        (is_dark, "The photo is very dark, and painting keeps it so: brighten it first."),
        (is_blurred, "The photo is blurred, so there are few edges for strokes to follow: a sharper copy helps."),
        (is_blocky, "The photo was compressed so much that its blocks may be painted, too: the original file helps."),
    )
    return tuple(Sentence(text) for fault, text in checks if fault(rgb))


def is_tiny(rgb: Image.Image) -> bool:
    """Whether the shorter side is below LEAST_SHORT_SIDE."""
    return min(rgb.size) < LEAST_SHORT_SIDE


def is_dark(rgb: Image.Image) -> bool:
    """Whether even the brighter parts are dark; a night with lights is not."""
    return bool(np.percentile(_gray(_small(rgb)), 95) < LEAST_HIGHLIGHT)


def is_blurred(rgb: Image.Image) -> bool:
    """Whether blurring it by a pixel more leaves its steepest steps nearly as steep (Crete et al. 2007's idea)."""
    small = _small(rgb)
    before, after = (_steepest(_gray(image)) for image in (small, small.filter(ImageFilter.BoxBlur(1))))
    # Less than that is a wall without any edge, blurred or not.
    return min(small.size) >= LEAST_SHORT_SIDE and before > 4 and after / before > MAX_LEFT_AFTER_BLUR


def is_blocky(rgb: Image.Image) -> bool:
    """Whether steps are larger in every eighth column and row, wherever the first of them lies."""
    left, top = (max(0, (side - TILE) // 2) for side in rgb.size)
    gray = _gray(rgb.crop((left, top, min(rgb.width, left + TILE), min(rgb.height, top + TILE))))
    if min(gray.shape) < 2 * LEAST_SHORT_SIDE:
        return False
    down, across = (_blocks(np.abs(np.diff(gray, axis=axis)).mean(axis=1 - axis)) for axis in (0, 1))
    return bool(np.sqrt(down * across) > MAX_BLOCKS)


def _blocks(steps: np.ndarray) -> float:
    whole = len(steps) // 8 * 8
    phases = np.median(steps[:whole].reshape(-1, 8), axis=0)
    border = phases.argmax()
    return float(phases[border] / max(np.median(np.delete(phases, border)), 0.3))


def _steepest(gray: np.ndarray) -> float:
    steps = [np.abs(np.diff(gray, axis=axis)).ravel() for axis in (0, 1)]
    return float(np.percentile(np.concatenate(steps), 99.5))


def _small(rgb: Image.Image) -> Image.Image:
    small = rgb.copy() if max(rgb.size) <= SIDE else rgb.reduce(max(1, max(rgb.size) // SIDE))
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return small


def _gray(rgb: Image.Image) -> np.ndarray:
    return np.asarray(rgb.convert("L"), dtype=np.float32)
