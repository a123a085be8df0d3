"""The networks that a generator is trained against: is this patch painted, in this style?

Patches (Isola 2017) at several scales (Wang 2018), one set of logits per style, and differentiable augmentation
(Zhao 2020) without which a single painting is memorized in a few hundred steps.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from styletransfer.models.features import Features

AUGMENTATION_NUMBERS = 8  # uniform random numbers that `augment` takes per picture
# What a pack may ask for, so that a stranger's config builds nothing huge.
DISCRIMINATOR_BOUNDS = {"channels": (4, 128), "resolutions": (1, 4)}
UNDECIDED = {"least-squares": 0.5}  # form of the adversarial loss -> logit between "painted" and "not"; else 0


class Discriminator(ModelMixin, ConfigMixin):
    """Patch logits at several scales of a picture.

    Args:
        styles: how many styles; each has its own output channel.
        channels: width of the first layer; it doubles twice.
        resolutions: how many of them look at the picture, each half of the one before.
        spectral_norm: bound each layer's gain (Miyato 2018).
        undecided: the logit that says neither "painted" nor "not"; its training decides which.
    """

    @register_to_config
    def __init__(
        self,
        styles: int,
        channels: int = 32,
        resolutions: int = 2,
        spectral_norm: bool = False,
        undecided: float = 0.0,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patch_network(styles, channels, spectral_norm) for _ in range(resolutions))

    def forward(self, painting: Tensor, style_weights: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] and (N, S) -> one (N, 1, h, w) of logits per scale; large means "painted"."""
        logits = []
        # Always in float32: R1 differentiates these gradients once more, and the network is small.
        with torch.autocast(painting.device.type, enabled=False):
            x = painting.float()
            for network in self.scales:
                per_style = network(x)
                logits.append((per_style * style_weights.float()[:, :, None, None]).sum(dim=1, keepdim=True))
                x = F.avg_pool2d(x, 2)
        return logits

    def rows_per_style(self) -> list[str]:
        """The tensors of `state_dict` whose first dimension counts styles: those of each scale's last layer."""
        last = len(self.scales[0]) - 1
        state = self.state_dict().items()
        return [key for key, x in state if f".{last}." in key and x.shape[:1] == (self.config.styles,)]


class FeatureDiscriminator(nn.Module):
    """Patch logits from what a frozen pretrained network sees (Li & Wand 2016; Sauer 2021, section 3.1).

    A small network looks at each layer of features. Only these are trained, and no pack holds them: the page explains a
    painting with a discriminator of pixels.

    Args:
        styles: how many styles; each has its own output channel.
        features: the frozen network, at the layers that are looked at.
        widths: channels of each of these layers.
        channels: width of the small networks.
    """

    def __init__(self, styles: int, features: Features, widths: Sequence[int], channels: int = 64) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList(
            nn.Sequential(
                with_spectral_norm(nn.Conv2d(width, channels, 1)),
                nn.LeakyReLU(0.2),
                with_spectral_norm(nn.Conv2d(channels, channels, 4, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
                with_spectral_norm(nn.Conv2d(channels, styles, 3, padding=1)),
            )
            for width in widths
        )

    def forward(self, painting: Tensor, style_weights: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] and (N, S) -> one (N, 1, h, w) of logits per layer; large means "painted"."""
        with torch.autocast(painting.device.type, enabled=False):  # as in Discriminator
            seen = self.features(painting.float())
            per_layer = [head(layer) for head, layer in zip(self.heads, seen, strict=True)]
            chosen = style_weights.float()[:, :, None, None]
            return [(per_style * chosen).sum(dim=1, keepdim=True) for per_style in per_layer]


def _patch_network(styles: int, channels: int, spectral_norm: bool) -> nn.Sequential:
    norm = with_spectral_norm if spectral_norm else nn.Identity()
    layers: list[nn.Module] = []
    widths: Sequence[int] = (3, channels, 2 * channels, 4 * channels)
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, norm(nn.Conv2d(widths[-1], styles, 3, padding=1)))


def augment(pictures: Tensor, numbers: Tensor) -> Tensor:
    """Differentiable augmentation of what the discriminator sees, real and fake alike (Zhao 2020, section 3.2).

    Random numbers come from outside (the data), so that a resumed or distributed run augments as the plain one.

    Args:
        pictures: (N, 3, H, W) in [-1, 1].
        numbers: (N, 8) uniform in [0, 1): brightness, saturation, contrast, shift in x and y, mirror, place of the
            cutout in x and y.
    """
    brightness, saturation, contrast, dx, dy, mirror, cx, cy = numbers.to(pictures).unbind(1)
    # Colors move half as far as in the paper: a palette is part of a style.
    x = pictures + _column(brightness - 0.5) * 0.5
    gray = x.mean(dim=1, keepdim=True)
    x = gray + (x - gray) * _column(0.5 + saturation)
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    x = middle + (x - middle) * _column(0.75 + contrast / 2)
    x = torch.where(_column(mirror) < 0.5, x.flip(3), x)
    x = _translate(x, (dx - 0.5) / 4, (dy - 0.5) / 4)
    return x * _cutout_mask(x, cx, cy)


def _column(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1)


def _translate(x: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Shift by fractions of the side, in whole pixels, zeros entering."""
    n, _, height, width = x.shape
    rows = torch.arange(height, device=x.device) + (dy * height).round().long()[:, None]
    columns = torch.arange(width, device=x.device) + (dx * width).round().long()[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    picture = torch.arange(n, device=x.device)[:, None, None]
    moved = x[picture, :, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    return moved.permute(0, 3, 1, 2) * inside


def _cutout_mask(x: Tensor, cx: Tensor, cy: Tensor) -> Tensor:
    """Zeros in a square of half the side around (cx, cy), ones elsewhere; (N, 1, H, W)."""
    height, width = x.shape[-2:]
    far_y = (torch.arange(height, device=x.device) / height - cy[:, None]).abs() > 0.25
    far_x = (torch.arange(width, device=x.device) / width - cx[:, None]).abs() > 0.25
    return (far_y[:, None, :, None] | far_x[:, None, None, :]).to(x.dtype)
