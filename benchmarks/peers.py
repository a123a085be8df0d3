"""The networks that ours is compared with, as their authors' code has them; random weights run as fast."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def johnson_network() -> nn.Sequential:
    """Johnson (2016) with instance normalization, as PyTorch's fast_neural_style example has it."""
    down = [*_conv_norm(3, 32, 9, 1), *_conv_norm(32, 64, 3, 2), *_conv_norm(64, 128, 3, 2)]
    up = [_Nearest(), *_conv_norm(128, 64, 3, 1), _Nearest(), *_conv_norm(64, 32, 3, 1)]
    return nn.Sequential(*down, *(_Residual(128) for _ in range(5)), *up, _conv(32, 3, 9, 1)).eval()


def cyclegan_network() -> nn.Sequential:
    """The generator of CycleGAN (Zhu 2017) with nine residual blocks, which its users run: `resnet_9blocks`."""
    down = [*_conv_norm(3, 64, 7, 1), *_strided(64, 128), *_strided(128, 256)]
    up = [*_transposed(256, 128), *_transposed(128, 64)]
    blocks = (_Residual(256, affine=False) for _ in range(9))
    return nn.Sequential(*down, *blocks, *up, _conv(64, 3, 7, 1), nn.Tanh()).eval()


def patchgan_network() -> nn.Sequential:
    """The discriminator of CycleGAN: patches of 70 pixels (Isola 2017)."""
    strides = ((64, 128, 2), (128, 256, 2), (256, 512, 1))
    inner = [
        layer
        for inputs, outputs, stride in strides
        for layer in (nn.Conv2d(inputs, outputs, 4, stride, 1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2))
    ]
    return nn.Sequential(nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2), *inner, nn.Conv2d(512, 1, 4, 1, 1)).eval()


class AdaIN(nn.Module):
    """Huang (2017): VGG-19 up to relu4_1, the style's means and deviations, a mirrored decoder; one style is given."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *_plain(3, 64, 64), nn.MaxPool2d(2), *_plain(64, 128, 128), nn.MaxPool2d(2),
            *_plain(128, 256, 256, 256, 256), nn.MaxPool2d(2), *_plain(256, 512),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            *_plain(512, 256), _Nearest(), *_plain(256, 256, 256, 256, 128), _Nearest(),
            *_plain(128, 128, 64), _Nearest(), *_plain(64, 64), _conv(64, 3, 3, 1),
        )  # fmt: skip
        self.register_buffer("style", torch.rand(2, 1, 512, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W), sides multiples of 8."""
        x = self.encoder(x)
        deviation, mean = torch.std_mean(x, dim=(2, 3), keepdim=True)
        return self.decoder((x - mean) / (deviation + 1e-5) * self.style[0] + self.style[1])


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride))


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int, affine: bool = True) -> list[nn.Module]:
    return [_conv(inputs, outputs, kernel, stride), nn.InstanceNorm2d(outputs, affine=affine), nn.ReLU()]


def _strided(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, 2, padding=1), nn.InstanceNorm2d(outputs), nn.ReLU()]


def _transposed(inputs: int, outputs: int) -> list[nn.Module]:
    up = nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1)
    return [up, nn.InstanceNorm2d(outputs), nn.ReLU()]


def _plain(*widths: int) -> list[nn.Module]:
    pairs = zip(widths, widths[1:], strict=False)
    return [layer for inputs, outputs in pairs for layer in (_conv(inputs, outputs, 3, 1), nn.ReLU())]


class _Residual(nn.Module):
    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__()
        first, second = (_conv_norm(channels, channels, 3, 1, affine) for _ in range(2))
        self.body = nn.Sequential(*first, *second[:2])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Nearest(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest")
