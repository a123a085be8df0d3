"""How good a painting is, in numbers: what is kept of the photo, how near the style is, which faults a network left.

Pictures are (N, 3, H, W) tensors in [-1, 1], as `images.picture_to_tensor` makes them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from styletransfer.errors import InputError
from styletransfer.features import Features
from styletransfer.losses import gram_matrix

LPIPS_LAYERS = ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
LPIPS_CHANNELS = (64, 128, 256, 384, 384, 512, 512)
GRID_FREQUENCIES = (1 / 4, 3 / 8, 1 / 2)  # cycles a pixel: what upsampling by 4 and by 2 leaves behind


class Lpips(nn.Module):
    """Learned perceptual distance, LPIPS version 0.1 on SqueezeNet 1.1 (Zhang 2018, section 3.2, eq. 1).

    The paper's input scaling is ImageNet's normalization written for [-1, 1], which `Features` does already.

    Args:
        network_weights: safetensors file of SqueezeNet's features, or None for torchvision's (downloaded once).
        linear_weights: safetensors file of the seven linear heads, keys `lin0.model.1.weight` (1, C, 1, 1) to `lin6`.

    Raises:
        InputError: a file cannot be read, or does not hold the weights (they are named).
    """

    def __init__(self, network_weights: str | Path | None, linear_weights: str | Path) -> None:
        super().__init__()
        self.features = Features("squeezenet1_1", LPIPS_LAYERS, weights=network_weights)
        self.heads = nn.ParameterList(_load_heads(Path(linear_weights)))
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two (N, 3, H, W) in [-1, 1], sides at least 32 -> distances (N,), 0 for equal pictures."""
        distance = torch.zeros((), device=a.device)
        for head, of_a, of_b in zip(self.heads, self.features(a), self.features(b), strict=True):
            difference = (_unit_length(of_a) - _unit_length(of_b)).square()
            distance = distance + (difference * head).sum(dim=1).mean(dim=(1, 2))
        return distance


def picture_grams(picture: Tensor, features: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
    """(N, 3, H, W) -> one Gram matrix (N, C, C) per layer of `features`, divided by positions."""
    return [gram_matrix(layer) for layer in features(picture)]


def gram_distance(painted: Tensor, painting: Tensor, features: Callable[[Tensor], Sequence[Tensor]]) -> float:
    """How far the style of a painted photo is from a painting's: 0 is equal, a plain photo is often near 1.

    Mean over the layers of ||G(painted) - G(painting)|| / ||G(painting)||, Frobenius norms of the Gram matrices of
    Gatys 2016.

    Args:
        painted, painting: (1, 3, H, W) each in [-1, 1]; their sizes may differ.
        features: picture -> one (1, C, h, w) per layer, such as `Features`.
    """
    return relative_gram_distance(picture_grams(painted, features), picture_grams(painting, features))


def relative_gram_distance(grams: Sequence[Tensor], target_grams: Sequence[Tensor]) -> float:
    """`gram_distance` of Gram matrices (1, C, C) that were measured before, so that a painting is measured once."""
    per_layer = [(ours - target).norm() / target.norm() for ours, target in zip(grams, target_grams, strict=True)]
    return torch.stack(per_layer).mean().item()


def grid_amplitude(picture: Tensor) -> float:
    """Strength of the grid that upsampling leaves, in grey levels: photos measure 0.1, a visible grid 1 and more.

    The mean spectrum of the rows, times 2 / width, so that a wave A * cos measures A (pixels alternating by +A and -A
    measure 2 A, their full swing). Its largest value within one bin of 1/4, 3/8 and 1/2 cycles a pixel stands
    against the median of the bins up to six away. The same for columns; the worst of all.

    Args:
        picture: (1, 3, H, W) in [-1, 1].
    """
    grey = (picture[0].double().mean(dim=0) + 1) / 2 * 255
    return max(_spectral_peak(lines, frequency) for lines in (grey, grey.T) for frequency in GRID_FREQUENCIES)


def border_ratio(painted: Tensor, photo: Tensor) -> float:
    """How much the painting's rim differs from what is beside it, over the same of its photo: 1 is no rim of its own.

    |mean(outer 4-pixel ring) - mean(next 4 pixels)| + |the same of standard deviations|, values in [0, 1], plus 0.01.

    Args:
        painted, photo: (1, 3, H, W) each in [-1, 1], sides at least 20.
    """
    return (_border_step(painted) + 0.01) / (_border_step(photo) + 0.01)


def _load_heads(path: Path) -> list[nn.Parameter]:
    try:
        with safe_open(path, framework="pt") as file:
            stored = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise InputError(f"LPIPS weights {path} cannot be read as safetensors: {error}.") from error
    heads = []
    for index, channels in enumerate(LPIPS_CHANNELS):
        key = f"lin{index}.model.1.weight"
        if key not in stored or stored[key].shape != (1, channels, 1, 1):
            raise InputError(f"LPIPS weights {path.name} lack {key} of shape (1, {channels}, 1, 1) for SqueezeNet 1.1.")
        heads.append(nn.Parameter(stored[key], requires_grad=False))
    return heads


def _unit_length(features: Tensor) -> Tensor:
    # The small number stands outside the root, as in the reference: inside it would change the published values.
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _spectral_peak(lines: Tensor, frequency: float) -> float:
    """Lines (count, length) -> their mean spectrum's peak near `frequency` (cycles a pixel), over what is beside it."""
    length = lines.shape[1]
    spectrum = torch.fft.rfft(lines, dim=1).abs().mean(dim=0) * 2 / length
    center = round(frequency * length)
    near, around = (spectrum[max(center - reach, 0) : center + reach + 1] for reach in (1, 6))
    # numpy's median, not torch's, which takes the lower of two middle values
    return (near.max() - around.quantile(0.5)).item()


def _border_step(picture: Tensor) -> float:
    values = (picture[0].double() + 1) / 2
    outer, inner = _ring(values, 0, 4), _ring(values, 4, 8)
    return ((outer.mean() - inner.mean()).abs() + (outer.std() - inner.std()).abs()).item()


def _ring(values: Tensor, start: int, stop: int) -> Tensor:
    """(3, H, W) -> the values of pixels that are `start` to `stop` - 1 away from the border."""
    height, width = values.shape[1:]
    inside = torch.zeros(height, width, dtype=torch.bool, device=values.device)
    inside[start : height - start, start : width - start] = True
    inside[stop : height - stop, stop : width - stop] = False
    return values[:, inside]
