"""Photos in other hues, contrast and light, so that the few that ship stand for many that do not."""

import math

import numpy as np
from torch import Tensor
from torchvision.transforms import functional

ANOTHER_HUE = 0.6  # share of the photos whose hues are turned; skies should be blue, and leaves green, in the others
CONTRASTS = (-0.6, 0.4)  # of the contrast, logarithms
GAMMAS = (-0.5, 0.5)  # of the exponent of the light, logarithms


def varied(photo: Tensor, random: np.random.Generator) -> Tensor:
    """A photo (1, 3, H, W) in [-1, 1] as it might have been taken elsewhere: shapes stay, colors and light do not.

    A network that learns a painting on five photos learns their colors by heart. On photos that it had not seen it then
    kept less than it was asked to, see docs/own-painting.md.
    """
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
