"""What is laid over a painting, without the network: whose colors, how strong, and where; and whose large shapes.

Pure functions of pictures of one size, in gray levels (0 to 255). They answer in milliseconds, so that a page can
follow its sliders while the painting itself is made once.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageChops

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of ITU-R BT.601, as in JPEG
FEATHER = 0.015  # width of a mask's soft edge, as a share of the picture's longer side
MASK_SIDE = 768  # pixels: a soft edge needs no finer grid
SHAPES = 0.5  # pixels of a small painting: deviation of the blur that tells its shapes from finer strokes
COARSE = 2.0  # pixels: a blur of so much needs only a quarter of the resolution
ROWS = 256  # floats of so many rows at a time: memory stays a fraction of the picture's


def finish(
    photo: Image.Image,
    painting: Image.Image,
    *,
    strength: float = 1.0,
    keep_colors: bool = False,
    mask: Image.Image | None = None,
) -> Image.Image:
    """The photo with its painting laid over it.

    Args:
        photo: "RGB".
        painting: "RGB", of the same size.
        strength: 0 gives the photo's pixels exactly, 1 the painting's.
        keep_colors: luminance from the painting, color from the photo.
        mask: "L", of the same size, from `soft_mask`; where it is 0, the photo's pixels stay exactly. None: everywhere.

    Returns:
        "RGB".
    """
    if strength == 1 and not keep_colors and mask is None:
        return painting
    finished = Image.new("RGB", photo.size)
    for box in _stripes(photo.size):
        below, above = (np.asarray(image.crop(box), dtype=np.float32) for image in (photo, painting))
        if keep_colors:
            above = with_colors_of(below, above)
        share = np.float32(strength)
        if mask is not None:
            share = share * (np.asarray(mask.crop(box), dtype=np.float32) / 255)[..., None]
        levels = below + share * (above - below)
        finished.paste(Image.fromarray(levels.round().clip(0, 255).astype(np.uint8)), box[:2])
    return finished


def with_colors_of(photo: np.ndarray, painting: np.ndarray) -> np.ndarray:
    """The painting's luminance with the photo's color ("Preserving color in neural artistic style transfer", Gatys
    et al. 2016, section 3.2).

    Where the photo's color at the painting's luminance lies outside of what a screen shows, it is grayed just enough.
    Cutting channels off instead would change hue and luminance, and rim every dark stroke with bright color.

    Args:
        photo: (..., 3) float32 levels.
        painting: the same shape.

    Returns:
        The same shape, within 0 to 255, its luma that of the painting.
    """
    luma = (painting @ LUMA)[..., None]
    chroma = photo - (photo @ LUMA)[..., None]
    above = (255 - luma) / np.maximum(chroma.max(axis=-1, keepdims=True), 1e-3)
    below = luma / np.maximum(-chroma.min(axis=-1, keepdims=True), 1e-3)
    return luma + chroma * np.minimum(1, np.minimum(above, below))


def with_shapes_of(small: Image.Image, painting: Image.Image, scale: float) -> Image.Image:
    """A painting in which what can be seen in a smaller one is as it is there: back-projection (Irani & Peleg 1991).

    Painted over at full size, a small painting's strokes become sharp, but also lighter, darker or other strokes, and
    who saved the painting would not get the one that was seen. So the difference of both is blurred by about half a
    pixel of the small one, and taken back.

    Args:
        small: "RGB", the small painting, enlarged by interpolation.
        painting: "RGB", of the same size.
        scale: how many pixels of the painting a pixel of the small one is.

    Returns:
        "RGB". What lies `shapes_reach` or further from an edge does not depend on where the pictures were cut, as long
        as that was at whole cells of 4 pixels.
    """
    step = _coarseness(scale)
    apart = np.array(small, dtype=np.float32)
    apart -= np.asarray(painting)
    deviation = math.sqrt(max(0.1, (SHAPES * scale) ** 2 - (step**2 - 1) / 4))  # of what the coarse grid leaves to do
    if step > 1:
        below, right = (-side % step for side in apart.shape[:2])
        apart = cv2.copyMakeBorder(apart, 0, below, 0, right, cv2.BORDER_REPLICATE)
        apart = cv2.resize(apart, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(apart, (0, 0), deviation / step, borderType=cv2.BORDER_REPLICATE)
    if step > 1:
        blurred = cv2.resize(blurred, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    levels = blurred[: painting.height, : painting.width]
    levels += np.asarray(painting)
    np.clip(np.rint(levels, out=levels), 0, 255, out=levels)
    return Image.fromarray(levels.astype(np.uint8))


def shapes_reach(scale: float) -> int:
    """How far a pixel of `with_shapes_of` sees, in pixels, rounded up to whole cells of 4."""
    return 4 * math.ceil((4 * SHAPES * scale + 2 * _coarseness(scale)) / 4)


def _coarseness(scale: float) -> int:
    return 4 if SHAPES * scale >= COARSE else 1


def soft_mask(mask: Image.Image, size: tuple[int, int], feather: float = FEATHER) -> Image.Image:
    """A mask for `finish`, its edge softened inwards: what was 0 stays 0.

    Args:
        mask: any mode and size, white (255) where to paint; it is stretched to the picture.
        size: of the picture, in pixels.
        feather: width of the soft edge, as a share of the picture's longer side. What is too narrow for it gets a
            narrower edge instead of vanishing.

    Returns:
        "L", of that size.
    """
    return SoftMask(mask, size, feather).crop((0, 0, *size))


class SoftMask:
    """What `soft_mask` gives, place by place; arguments as there."""

    def __init__(self, mask: Image.Image, size: tuple[int, int], feather: float = FEATHER) -> None:
        scale = min(1, MASK_SIDE / max(size))
        small_size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        self.size, self._mask = size, mask.convert("L")
        small = np.asarray(self._mask.resize(small_size, Image.Resampling.BILINEAR), dtype=np.float32)
        levels = torch.from_numpy(small.copy())[None, None]
        soft = torch.minimum(_ramp(levels / 255, max(1, round(feather * max(small_size)))) * 255, levels)
        self._soft = Image.fromarray(soft[0, 0].round().to(torch.uint8).numpy())

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """A part of it, "L"."""
        if self._soft.size == self.size:
            return self._soft.crop(box)
        # Enlarged, the soft edge reaches a pixel too far: the mask at full size has the last word.
        return ImageChops.darker(*(self._enlarged(each, box) for each in (self._soft, self._mask)))

    def _enlarged(self, image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
        across, down = (own / whole for own, whole in zip(image.size, self.size, strict=True))
        part = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
        return image.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR, part)


def _ramp(mask: torch.Tensor, width: int) -> torch.Tensor:
    """(1, 1, H, W) in [0, 1]: distance from the nearest 0, of `width` pixels, by the largest there is around.

    Beyond its border the picture goes on. Distances are the chessboard's: how often the mask can be shrunk by a pixel.
    """
    distance, shrunk = mask.clone(), mask
    for _ in range(width - 1):
        shrunk = -F.max_pool2d(-shrunk, 3, stride=1, padding=1)
        distance += shrunk
    around = F.max_pool2d(distance, (2 * width + 1, 1), stride=1, padding=(width, 0))
    around = F.max_pool2d(around, (1, 2 * width + 1), stride=1, padding=(0, width))
    return distance / around.clamp(min=1e-3)


def _stripes(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    for top in range(0, height, ROWS):
        yield 0, top, width, min(top + ROWS, height)
