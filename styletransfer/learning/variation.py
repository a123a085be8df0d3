"""Photos from another place, in another light, less sharp, so that the few that ship stand for many that do not."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import functional

ANOTHER_PLACE = 0.7  # share of the photos that are turned, sheared and enlarged
TURNS = (-0.5, 0.5)  # radians
SHEARS = (-0.3, 0.3)  # across, of what is down
ENLARGEMENTS = (0.0, 0.7)  # logarithms
STRETCHES = (-0.25, 0.25)  # of the width, against the height, logarithms
LESS_SHARP = 0.3  # share of the photos that lose their finest detail
SHRINKAGES = (1.2, 2.2)  # to so many times fewer pixels a side
ANOTHER_HUE = 0.6  # share of the photos whose hues are turned; skies should be blue, and leaves green, in the others
CONTRASTS = (-0.6, 0.4)  # of the contrast, logarithms
GAMMAS = (-0.5, 0.5)  # of the exponent of the light, logarithms


def varied(photo: Tensor, random: np.random.Generator) -> Tensor:
    """A photo (1, 3, H, W) in [-1, 1] as it might have been taken elsewhere.

    A network that learns a painting on five photos learns them by heart. On photos that it had not seen it then kept
    and painted less than it was asked to, see docs/own-painting.md.
    """
    photo = in_another_light(photo, random)
    if random.random() < ANOTHER_PLACE:
        photo = from_another_place(photo, random)
    if random.random() < LESS_SHARP:
        photo = blurred(photo, random.uniform(*SHRINKAGES))
    return photo


def in_another_light(photo: Tensor, random: np.random.Generator) -> Tensor:
    """A photo (1, 3, H, W) in [-1, 1] in other colors; shapes stay."""
    turned = random.random() < ANOTHER_HUE
    hue = float(random.uniform(-0.5, 0.5))
    contrast, gamma = (math.exp(random.uniform(*logarithms)) for logarithms in (CONTRASTS, GAMMAS))
    return changed(photo, hue if turned else 0.0, contrast, gamma)


def changed(photo: Tensor, hue: float, contrast: float, gamma: float) -> Tensor:
    """A photo (N, 3, H, W) in [-1, 1] with other colors.

    Args:
        photo: is left as it is.
        hue: turns, -0.5 to 0.5, which both make red cyan.
        contrast: 1 leaves it, 0 leaves gray.
        gamma: exponent of the light in [0, 1]: above 1 the photo gets darker.
    """
    light = functional.adjust_contrast(functional.adjust_hue((photo + 1) / 2, hue), contrast)
    return functional.adjust_gamma(light, gamma) * 2 - 1


def from_another_place(photo: Tensor, random: np.random.Generator) -> Tensor:
    """A photo (1, 3, H, W) in [-1, 1], a part of it turned, sheared and enlarged."""
    turn, shear = random.uniform(*TURNS), random.uniform(*SHEARS)
    share, stretch = math.exp(-random.uniform(*ENLARGEMENTS)), math.exp(random.uniform(*STRETCHES))
    part = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    part = part @ np.array([[1, shear], [0, 1]]) @ np.diag([share * stretch, share / stretch])
    room = np.maximum(0, 1 - np.abs(part).sum(axis=1))
    return part_of(photo, part, random.uniform(-room, room))


def part_of(photo: Tensor, part: np.ndarray, center: np.ndarray) -> Tensor:
    """A part of a photo (1, 3, H, W) in [-1, 1], as large as the whole; beyond its edges lies its reflection.

    Args:
        photo: is left as it is.
        part: (2, 2), from right and down in the result to right and down in the photo.
        center: (2,) of the part, right and down; the photo lies between -1 and 1.
    """
    transform = torch.from_numpy(np.column_stack([part, center])).to(photo)[None]
    places = F.affine_grid(transform, list(photo.shape), align_corners=False)
    found = F.grid_sample(photo, places, mode="bicubic", padding_mode="reflection", align_corners=False)
    return found.clamp(-1, 1)


def blurred(photo: Tensor, times: float) -> Tensor:
    """A photo (N, 3, H, W) in [-1, 1] as if it had so many times fewer pixels a side."""
    size = photo.shape[-2:]
    few = [max(1, round(side / times)) for side in size]
    small = F.interpolate(photo, size=few, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=size, mode="bicubic", align_corners=False).clamp(-1, 1)
