"""Numbers for one painting: how much of the photo it keeps, how close the style is, which faults the network left.

Pictures are (N, 3, H, W) tensors in [-1, 1], as `images.files.picture_to_tensor` makes them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styletransfer.images.lab import color_statistics
from styletransfer.models.features import LPIPS_CHANNELS, Features, load_lpips_heads
from styletransfer.models.losses import border_loss, gram_matrix, luminance

GRID_FREQUENCIES = {"4": 1 / 4, "8/3": 3 / 8, "2": 1 / 2}  # period in pixels -> cycles per pixel, as upsampling leaves
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
PATCH_SIDE, PATCH_OCTAVES, PATCH_COUNT, PATCH_DIRECTIONS = 7, 3, 4096, 128


class Lpips(nn.Module):
    """Learned perceptual distance, LPIPS version 0.1 on SqueezeNet 1.1 (Zhang 2018, section 3.2, eq. 1).

    The input scaling of the paper is ImageNet's normalization, written for [-1, 1]: `Features` applies it.

    Args:
        network_weights: safetensors file of SqueezeNet's features, or None for torchvision's (downloaded once).
        linear_weights: file of seven linear heads, keys `lin0.model.1.weight` (1, C, 1, 1) to `lin6`: squeeze.pth of
            the authors' package `lpips` (its folder weights/v0.1), or the same as safetensors.

    Raises:
        InputError: a file cannot be read or lacks weights (the first missing one is named).
    """

    def __init__(self, network_weights: str | Path | None, linear_weights: str | Path) -> None:
        super().__init__()
        self.features = Features("squeezenet1_1", tuple(LPIPS_CHANNELS), weights=network_weights)
        heads = load_lpips_heads(linear_weights).values()
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, 3, H, W) in [-1, 1], sides at least 32 -> distances (N,); 0 for equal pictures."""
        distance = torch.zeros((), device=a.device)
        for head, of_a, of_b in zip(self.heads, self.features(a), self.features(b), strict=True):
            difference = (_unit_length(of_a) - _unit_length(of_b)).square()
            distance = distance + (difference * head).sum(dim=1).mean(dim=(1, 2))
        return distance


def picture_grams(picture: Tensor, features: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
    """(N, 3, H, W) -> one Gram matrix (N, C, C) per layer of `features`, divided by positions."""
    return [gram_matrix(layer) for layer in features(picture)]


def gram_distance(grams: Sequence[Tensor], target_grams: Sequence[Tensor]) -> float:
    """Style distance of a painted photo to a painting: 0 is equal, a plain photo is often near 1.

    Mean over the layers of ||G(painted) - G(painting)|| / ||G(painting)||, Frobenius norms of the Gram matrices of
    Gatys 2016.

    Args:
        grams, target_grams: `picture_grams` of the two, one (1, C, C) per layer; the sizes of the pictures may differ.
    """
    per_layer = [(ours - target).norm() / target.norm() for ours, target in zip(grams, target_grams, strict=True)]
    return torch.stack(per_layer).mean().item()


def grid_amplitude(picture: Tensor) -> float:
    """Strength of the grid that upsampling leaves, in gray levels: photos have 0.1, a visible grid 1 and more.

    The mean spectrum of the rows is multiplied by 2 / width, so that a wave A * cos has amplitude A (pixels that
    alternate between +A and -A have 2 A, their full swing). From its largest value within one bin of 1/4, 3/8 and 1/2
    cycles per pixel the median of the bins up to six away is subtracted. The result is the maximum over rows, columns
    and frequencies.

    Args:
        picture: (1, 3, H, W) in [-1, 1].
    """
    return max(grid_amplitudes(picture).values())


def grid_amplitudes(picture: Tensor) -> dict[str, float]:
    """Period in pixels ("4", "8/3", "2") -> `grid_amplitude` at that period, the maximum of rows and columns."""
    gray = (picture[0].double().mean(dim=0) + 1) / 2 * 255
    return {
        period: max(_spectral_peak(lines, frequency) for lines in (gray, gray.T))
        for period, frequency in GRID_FREQUENCIES.items()
    }


def border_ratio(painted: Tensor, photo: Tensor) -> float:
    """How much the painting's border differs from what is beside it, relative to its photo: 1 is as in the photo.

    The difference is |mean(outer 4-pixel ring) - mean(next 4 pixels)| + |the same of standard deviations|, for values
    in [0, 1], plus 0.01.

    Args:
        painted, photo: (1, 3, H, W) each in [-1, 1], sides at least 20.
    """
    return border_loss(painted.double(), photo.double()).item()


def luminance_ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity of luminance, 1 for equal pictures (Wang 2004, eq. 13, with their window and constants).

    Gaussian window of 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, values in [0, 1]; the mean over all positions at
    which the window fits.

    Args:
        a, b: (1, 3, H, W) each in [-1, 1], sides at least 11.
    """
    x, y = (luminance((picture.double() + 1) / 2) for picture in (a, b))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = map(_windowed, (x, y, x * x, y * y, x * y))
    brightness = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    covariance, variances = mean_xy - mean_x * mean_y, mean_xx - mean_x**2 + mean_yy - mean_y**2
    return (brightness * (2 * covariance + 0.03**2) / (variances + 0.03**2)).mean().item()


def patch_projections(picture: Tensor, count: int = PATCH_COUNT, seed: int = 0) -> Tensor:
    """Random 7x7 patches of three octaves, projected on 128 directions, for `patch_distance`.

    The directions are always the same; the positions depend on the seed alone.

    Args:
        picture: (1, 3, H, W) in [-1, 1], sides at least 28.
        count: patches of each octave.

    Returns:
        (octaves, count, directions) in gray levels, each column in ascending order; on the CPU.
    """
    drawn = torch.randn(3 * PATCH_SIDE**2, PATCH_DIRECTIONS, generator=torch.Generator().manual_seed(0))
    directions, random = F.normalize(drawn, dim=0).to(picture), torch.Generator().manual_seed(seed)
    projected, levels = [], (picture + 1) / 2 * 255
    for octave in range(PATCH_OCTAVES):
        levels = F.avg_pool2d(levels, 2) if octave else levels
        height, width = (side - PATCH_SIDE + 1 for side in levels.shape[2:])
        top, left = (torch.randint(side, (count, 1, 1), generator=random) for side in (height, width))
        within = torch.arange(PATCH_SIDE)
        patches = levels[0][:, top + within.view(1, -1, 1), left + within.view(1, 1, -1)]  # (3, count, 7, 7)
        projected.append(patches.transpose(0, 1).flatten(start_dim=1) @ directions)
    return sorted_patches(torch.stack(projected))


def sorted_patches(projections: Tensor) -> Tensor:
    """(octaves, count, directions) with each column in ascending order, on the CPU."""
    return torch.from_numpy(np.sort(projections.cpu().numpy(), axis=1))  # five times as fast as torch's


def patch_distance(projections: Tensor, target: Tensor) -> float:
    """Sliced Wasserstein-1 distance of two sets of patches, in gray levels (Rabin 2011; patches as in Karras 2018, 5).

    Patches are compared quantile by quantile along each direction; the result is the mean over directions and octaves.

    Args:
        projections, target: (octaves, count, directions) each, from `patch_projections`; the counts may differ.
    """
    if target.shape[1] != projections.shape[1]:
        place = torch.arange(projections.shape[1], device=target.device) + 0.5
        target = target[:, (place * (target.shape[1] / projections.shape[1])).long()]
    return (projections - target).abs().mean().item()


def clipped_share(picture: Tensor) -> float:
    """Share of pixels with a channel at 0 or 255, of a picture (1, 3, H, W) in [-1, 1]."""
    return (picture.abs() > 1 - 1 / 255).any(dim=1).double().mean().item()


def color_shift(painted: Tensor, photo: Tensor) -> float:
    """Distance of the mean colors of painting and photo in CIELAB, where 1 is just visible; (1, 3, H, W) in [-1, 1]."""
    return (color_statistics(painted)[0] - color_statistics(photo)[0]).norm().item()


def _unit_length(features: Tensor) -> Tensor:
    # The epsilon is outside the root, as in the reference: inside it would change the published values.
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _windowed(values: Tensor) -> Tensor:
    """Gaussian means at every position where SSIM's window fits."""
    reach = torch.arange(SSIM_WINDOW, dtype=values.dtype, device=values.device) - SSIM_WINDOW // 2
    window = F.normalize(torch.exp(-(reach**2) / (2 * SSIM_SIGMA**2)), p=1, dim=0)
    return F.conv2d(F.conv2d(values, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))


def _spectral_peak(lines: Tensor, frequency: float) -> float:
    """Lines (count, length) -> the peak of their mean spectrum at `frequency` (cycles per pixel) above its median."""
    length = lines.shape[1]
    spectrum = torch.fft.rfft(lines, dim=1).abs().mean(dim=0) * 2 / length
    center = round(frequency * length)
    near, around = (spectrum[max(center - reach, 0) : center + reach + 1] for reach in (1, 6))
    # quantile(0.5) instead of median(), which takes the lower of two middle values
    return (near.max() - around.quantile(0.5)).item()
