"""What a painting did to its photo: three plain numbers, where it departs most, and where it is still taken for one.

No pretrained network is needed; all is measured on the very pictures given. Pictures are "RGB" images of one size.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from styletransfer.evaluation.metrics import (
    PATCH_OCTAVES,
    PATCH_SIDE,
    grid_amplitude,
    luminance_ssim,
    patch_distance,
    patch_projections,
)
from styletransfer.images.files import picture_to_tensor
from styletransfer.images.lab import rgb_to_lab
from styletransfer.models.discriminator import Discriminator

LEAST_SIDE = PATCH_SIDE * 2 ** (PATCH_OCTAVES - 1)  # pixels: the coarsest octave has to hold one patch
LEAST_PATCH = 16  # pixels, at the coarsest scale of a discriminator
AREA = 9  # pixels: the eye compares areas, not single pixels
INK = np.array([226, 88, 34], dtype=np.float32)  # of the overlay
LEAST_DOUBT = 0.1  # as a logit: a discriminator that doubts by less is as good as undecided
GRAY_SHARE = 0.6  # of the contrast of the painting below it


@dataclass(frozen=True)
class Reading:
    """Three numbers about a painting."""

    kept: float  # structural similarity of luminance to the photo, 1: all of it
    nearer: float | None  # how much of the way from photo to the style's sample; None where that cannot be said
    grid: float  # gray levels of the grid that a network may leave: photos have 0.1, from 1 on it is seen


@torch.inference_mode()
def read(photo: Image.Image, painting: Image.Image, sample: Image.Image | None) -> Reading:
    """Measure a painting.

    `nearer` is 1 - d(painting, sample) / d(photo, sample), where d is the sliced Wasserstein distance of small patches
    (Rabin 2011): colors and strokes, not what is depicted. The sample is a photo that the style has painted, not the
    artist's own picture, which a pack does not carry. It is None without a sample, for pictures with a side below
    28 pixels, and for a photo that is the sample.

    Args:
        photo, painting: of one size, sides at least 16.
        sample: of any size; it is made as large as the photo at most.
    """
    before, after = picture_to_tensor(photo), picture_to_tensor(painting)
    nearer = None
    if sample is not None:
        shown = sample.copy()
        shown.thumbnail((max(photo.size),) * 2, Image.Resampling.LANCZOS)
        if min(*shown.size, *photo.size) >= LEAST_SIDE:
            nearer = _nearer(before, after, picture_to_tensor(shown))
    return Reading(luminance_ssim(before, after), nearer, grid_amplitude(after))


@torch.inference_mode()
def departures(photo: Image.Image, painting: Image.Image) -> Image.Image:
    """The painting in gray, red where it departs most from the photo: CIELAB distance of areas, over the largest.

    What half of the picture departs by is the style's palette, which is everywhere: only what is more turns red.
    """
    before, after = (rgb_to_lab(_areas(picture_to_tensor(picture))) for picture in (photo, painting))
    distance = (before - after).norm(dim=1)[0]
    more = (distance - distance.median()).clamp(min=0)
    return _inked(painting, more / more.max().clamp(min=1.0))  # 1 is just seen: less is no departure


@torch.inference_mode()
def doubts(painting: Image.Image, discriminator: Discriminator, style_weights: Tensor) -> Image.Image | None:
    """The painting in gray, red where the discriminator takes it for no painting: its logits, over the strongest.

    A discriminator that is convinced everywhere leaves no red.

    Args:
        painting: as it is shown.
        discriminator: of the pack that painted it.
        style_weights: (1, S), the mix it was painted in.

    Returns:
        None for a painting too small for the discriminator's coarsest look.
    """
    if min(painting.size) < LEAST_PATCH << (discriminator.config.resolutions - 1):
        return None
    size = painting.height, painting.width
    logits = discriminator(picture_to_tensor(painting), style_weights)
    maps = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in logits]
    doubt = (discriminator.config.undecided - torch.stack(maps).mean(dim=0)[0, 0]).clamp(min=0)
    return _inked(painting, doubt / doubt.max().clamp(min=LEAST_DOUBT))


def _inked(painting: Image.Image, share: Tensor) -> Image.Image:
    """The painting in gray, with so much (H, W) ink."""
    share = share.numpy()[..., None]
    gray = np.asarray(painting.convert("L"), dtype=np.float32)[..., None] * GRAY_SHARE + 255 * (1 - GRAY_SHARE)
    return Image.fromarray((gray + share * (INK - gray)).round().clip(0, 255).astype(np.uint8))


def _nearer(before: Tensor, after: Tensor, sample: Tensor) -> float | None:
    target = patch_projections(sample)
    whole = patch_distance(patch_projections(before), target)
    return 1 - patch_distance(patch_projections(after), target) / whole if whole else None


def _areas(picture: Tensor) -> Tensor:
    return F.avg_pool2d(picture, AREA, stride=1, padding=AREA // 2, count_include_pad=False)
