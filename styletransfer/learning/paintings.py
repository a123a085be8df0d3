"""A painting as somebody has it, made fit to be learned from: without mount and frame, and with a word about both."""

import math

import numpy as np
from PIL import Image

from styletransfer.errors import InputError, Sentence
from styletransfer.images.files import THE_PICTURE, Picture, Source, load_picture

LEAST_SIDE = 64  # pixels; a stroke is about 8 wide
SMALL_SIDE = 256  # pixels below which strokes are enlarged a lot
LEAST_DEVIATION = 2.0  # gray levels; below it there are no strokes to be seen
LONGEST = 6.0  # times as long as wide: of a longer scroll the middle is taken

# Thresholds in gray levels, tried on 54 scans of paintings: 13 had a border or a frame.
LOOK_SIDE = 512  # pixels of the long side in which borders are looked for
MOUNT_DEVIATION = 6.0  # of a row of blank paper or of a scanner's lid
MOUNT_STEP = 14.0  # between such a row and the outermost one
MOST_CUT = 0.25  # of a side: more than that is the painting's own empty paper
FRAME_STEP = 14.0  # median step across a frame's edge, over the length of the side
FRAME_WITHIN = 0.16  # of a side: where a frame ends
RESERVE = 2  # pixels cut off beyond the edge that was found, which blur has mixed


def prepare_painting(source: Source | Picture) -> Picture:
    """A painting, upright and in sRGB, cut to what was painted; `notes` say what was done to it.

    Raises:
        InputError: unreadable, tiny, or of one color only.
    """
    picture = source if isinstance(source, Picture) else load_picture(source)
    rgb, notes = picture.rgb, list(picture.notes)
    if picture.alpha is not None:
        rgb = rgb.crop(picture.alpha.point(lambda level: 255 * (level > 127)).getbbox() or (0, 0, 1, 1))
    _check(rgb, source)
    inside = content_box(rgb)
    if inside != (0, 0, *rgb.size):
        notes.append(
            Sentence(
                "A border or frame was left out: {width}x{height} of {whole_width}x{whole_height} pixels are learned.",
                width=inside[2] - inside[0],
                height=inside[3] - inside[1],
                whole_width=rgb.width,
                whole_height=rgb.height,
            )
        )
        rgb = rgb.crop(inside)
    if max(rgb.size) > LONGEST * min(rgb.size):
        rgb = _middle(rgb)
        notes.append(Sentence("The painting is very long: its middle is learned."))
    if min(rgb.size) < SMALL_SIDE:
        notes.append(Sentence("The painting is small, so its strokes come out soft: a larger copy helps."))
    return Picture(rgb, notes=tuple(notes))


def content_box(rgb: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is painted: without a blank mount, and without a frame inside or around it."""
    scale = max(rgb.size) / LOOK_SIDE
    small = rgb if scale <= 1 else rgb.resize([max(1, round(side / scale)) for side in rgb.size], Image.Resampling.BOX)
    levels = np.asarray(small, dtype=np.float32)
    box = (0, 0, small.width, small.height)
    for find in (_without_mount, _without_frame, _without_mount):  # a mount may lie around a frame, and inside it
        left, top, right, bottom = box
        inner = find(levels[top:bottom, left:right])
        box = (left + inner[0], top + inner[1], left + inner[2], top + inner[3])
    if box == (0, 0, small.width, small.height):
        return (0, 0, *rgb.size)
    across, down = rgb.width / small.width, rgb.height / small.height
    left, right = (round(edge * across) for edge in box[::2])
    top, bottom = (round(edge * down) for edge in box[1::2])
    return left, top, right, bottom


def _check(rgb: Image.Image, source: Source | Picture) -> None:
    name = source if isinstance(source, str) else THE_PICTURE
    if min(rgb.size) < LEAST_SIDE:
        raise InputError(
            "The painting is {width}x{height} pixels: the least that strokes can be learned from is {least}x{least}.",
            width=rgb.width,
            height=rgb.height,
            least=LEAST_SIDE,
        )
    if np.asarray(rgb.convert("L"), dtype=np.float32).std() < LEAST_DEVIATION:
        raise InputError("{name} is blank, so there are no strokes to learn: give a painting.", name=name)


def _middle(rgb: Image.Image) -> Image.Image:
    """The middle of a long scroll, as long as is learned."""
    side = math.floor(LONGEST * min(rgb.size))
    left, top = ((whole - min(whole, side)) // 2 for whole in rgb.size)
    return rgb.crop((left, top, left + min(rgb.width, side), top + min(rgb.height, side)))


def _without_mount(levels: np.ndarray) -> tuple[int, int, int, int]:
    """Edges inside of blank rows and columns; (H, W, 3) levels."""
    (top, bottom), (left, right) = (_blank_ends(turned) for turned in (levels, levels.transpose(1, 0, 2)))
    return left, top, right, bottom


def _blank_ends(levels: np.ndarray) -> tuple[int, int]:
    """Where rows begin and end that are not blank like the outermost; all, where that would cut off too much."""
    count = len(levels)
    ends = []
    for rows in (levels, levels[::-1]):
        deviation = rows.std(axis=1).max(axis=1)
        step = np.abs(np.median(rows, axis=1) - np.median(rows[0], axis=0)).max(axis=1)
        blank = (step < MOUNT_STEP) & (deviation < MOUNT_DEVIATION)
        length = int(np.argmin(blank)) if not blank.all() else 0
        ends.append(length + RESERVE if 0 < length <= MOST_CUT * count else 0)
    return ends[0], count - ends[1]


def _without_frame(levels: np.ndarray) -> tuple[int, int, int, int]:
    """Edges inside of a frame: straight steps along all four sides, each near its border."""
    whole = (0, 0, levels.shape[1], levels.shape[0])
    gray = levels.mean(axis=2)
    found = [_frame_end(side) for side in (gray.T, gray, gray.T[::-1], gray[::-1])]
    if not all(found):  # a horizon or the edge of a table is a straight step, too, but there is no such on every side
        return whole
    left, top, right, bottom = found
    return left, top, whole[2] - right, whole[3] - bottom


def _frame_end(gray: np.ndarray) -> int:
    """Rows from the border to the innermost straight step near it; 0 where there is none."""
    within = max(3, round(FRAME_WITHIN * len(gray)))
    inset = round(FRAME_WITHIN * gray.shape[1])
    middle = gray[:within, inset : gray.shape[1] - inset]
    steps = np.abs(np.median(middle[2:] - middle[:-2], axis=1))
    steep = np.flatnonzero(steps > FRAME_STEP)
    return int(steep[-1]) + 1 + RESERVE if len(steep) else 0
