"""Colors as the eye tells them apart: CIELAB, and the colors of one picture given to another.

Pictures are (N, 3, H, W) tensors of sRGB values in [-1, 1], as `images.files.picture_to_tensor` makes them.
"""

import torch
from torch import Tensor

# IEC 61966-2-1: linear sRGB -> XYZ under D65.
SRGB_TO_XYZ = (
    (0.4124, 0.3576, 0.1805),
    (0.2126, 0.7152, 0.0722),
    (0.0193, 0.1192, 0.9505),
)
WHITE = (0.9505, 1.0, 1.089)  # the sum of each row: sRGB's own white
EDGE = 6 / 29  # below it CIELAB's cube root goes on as a line


def rgb_to_lab(picture: Tensor) -> Tensor:
    """sRGB in [-1, 1] -> CIELAB (N, 3, H, W) under D65: L* from 0 to 100, a* and b* to about 110 (CIE 15:2004)."""
    value = ((picture.double() + 1) / 2).clamp(0, 1)
    linear = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = _mix(linear, torch.tensor(SRGB_TO_XYZ)) / _column(WHITE, linear)
    f = torch.where(xyz > EDGE**3, xyz.clamp(min=0) ** (1 / 3), xyz / (3 * EDGE**2) + 4 / 29)
    x, y, z = f.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1).to(picture.dtype)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIELAB (N, 3, H, W) -> sRGB in [-1, 1]; colors that sRGB does not hold are cut off, channel by channel."""
    lightness, a, b = lab.double().unbind(dim=1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(f > EDGE, f**3, 3 * EDGE**2 * (f - 4 / 29)) * _column(WHITE, f)
    linear = _mix(xyz, torch.linalg.inv(torch.tensor(SRGB_TO_XYZ, dtype=torch.float64))).clamp(0, 1)
    value = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (value * 2 - 1).to(lab.dtype)


def color_statistics(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (N, 3, 1, 1) of L*, a* and b* over the picture."""
    lab = rgb_to_lab(picture)
    return lab.mean(dim=(2, 3), keepdim=True), lab.std(dim=(2, 3), unbiased=False, keepdim=True)


def transfer_colors(photo: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """The photo with the mean and the standard deviation of each color axis set to those given (Reinhard 2001, eq. 10).

    The paper works in l-alpha-beta; CIELAB is as little correlated and the one that others measure in. A photo without
    any contrast on an axis keeps none.

    Args:
        photo: (N, 3, H, W) sRGB in [-1, 1].
        mean, deviation: (N or 1, 3, 1, 1) of L*, a*, b*, as `color_statistics` gives them.
    """
    own_mean, own_deviation = color_statistics(photo)
    gain = deviation / own_deviation.clamp(min=1e-6)
    return lab_to_rgb((rgb_to_lab(photo) - own_mean) * gain + mean)


def _mix(channels: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", matrix.to(channels), channels)


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values).to(like).view(1, 3, 1, 1)
