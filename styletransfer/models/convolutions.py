"""Convolutions that spare memory traffic: at twice the resolution computed at the lower one, and with their ReLU."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = Callable[[Tensor], Tensor]
_Settling = TypeVar("_Settling", bound="Settling")


class Settling(nn.Conv2d, ABC):
    """A 3x3 convolution that is computed with four times the channels, the four pixels of a place beside one another.

    What becomes one pixel a place by a pixel shuffle is a quarter as wide and as high: less memory to move.
    """

    def __init__(self, in_channels: int, out_channels: int, padding: int = 0) -> None:
        super().__init__(in_channels, out_channels, 3, padding=padding)
        self.register_buffer("settled", None, persistent=False)

    @abstractmethod
    def fourfold(self) -> Tensor:
        """(4 D, ., 3, 3), float32: the weights of the four pixels."""

    @torch.no_grad()
    def settle(self: _Settling) -> _Settling:
        """Compute the weights of the four pixels once, for use: what is learned later is not seen."""
        self.settled = self._rounded(self.fourfold()).to(memory_format=torch.channels_last)
        return self

    def _rounded(self, fourfold: Tensor) -> Tensor:
        """The weights of the four pixels in the dtype of the convolution."""
        return fourfold.to(self.weight.dtype)

    def _four_weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the four pixels."""
        weight = self.fourfold() if self.settled is None else self.settled
        return weight, self.bias.repeat_interleave(4)


class DoublingConv(Settling):
    """A 3x3 convolution of a picture enlarged to twice its sides, without that larger picture ever being made.

    The enlarging is bilinear: transposed convolutions, and pixel shuffles with weights of their own, leave a grid. Each
    of the four pixels that a place becomes is another weighted sum of the 3x3 places around it, so one convolution with
    four times the channels makes all four (Shi 2016), a fraction of the memory to move.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, D, 2h, 2w)."""
        return F.pixel_shuffle(self.fours(x), 2)

    def fours(self, x: Tensor, convolve: Callable[..., Tensor] = F.conv2d) -> Tensor:
        """(N, C, h, w) -> (N, 4 D, h, w): what becomes (N, D, 2h, 2w) by a pixel shuffle."""
        # What lies beyond an edge is its last place, as bilinear interpolation has it.
        return convolve(_edges_repeated(x), *self._four_weights())

    def rectified_fours(self, x: Tensor) -> Tensor:
        """The ReLU of `fours`; for use."""
        return self.fours(x, rectified)

    def fourfold(self) -> Tensor:
        """(4 D, C, 3, 3), float32: the weights of the four pixels, for a picture that is not enlarged."""
        taps = bilinear_taps().to(self.weight.device)
        with torch.autocast(taps.device.type, enabled=False):
            each = torch.einsum("pjk,qlm,dckm->dpqcjl", taps, taps, self.weight.float())
        return each.flatten(0, 2)

    def _rounded(self, fourfold: Tensor) -> Tensor:
        return _rounded_alike(fourfold, self.weight.dtype)


class EvenConv(Settling):
    """A 3x3 convolution with zeros beyond the edges, also of pictures that are kept four pixels a place."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, padding=1)

    def between_fours(self, x: Tensor) -> Tensor:
        """(N, 4 C, h, w) -> (N, 4 D, h, w): the convolution of (N, C, 2h, 2w), before and after a pixel shuffle."""
        return F.conv2d(x, *self._four_weights(), padding=1)

    def fourfold(self) -> Tensor:
        """(4 D, 4 C, 3, 3), float32: the weights of the four pixels, for four pixels a place."""
        weight = self.weight.new_zeros((self.out_channels, 2, 2, self.in_channels, 2, 2, 3, 3), dtype=torch.float32)
        for row, column, down, across in itertools.product(range(2), range(2), range(3), range(3)):
            (far, below), (wide, beside) = divmod(row + down - 1, 2), divmod(column + across - 1, 2)
            weight[:, row, column, :, below, beside, far + 1, wide + 1] = self.weight.detach()[:, :, down, across]
        return weight.reshape(4 * self.out_channels, 4 * self.in_channels, 3, 3)


def _edges_repeated(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, h + 2, w + 2): beyond an edge is its last place once more."""
    if torch.compiler.is_dynamo_compiling():  # torch 2.14 mistakes the layout of the padding's gradient
        x = torch.cat([x[..., :1], x, x[..., -1:]], dim=3)
        return torch.cat([x[..., :1, :], x, x[..., -1:, :]], dim=2)
    return F.pad(x, (1, 1, 1, 1), mode="replicate")


def _rounded_alike(fourfold: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights (4 D, C, 3, 3) in a coarser dtype, those of the four pixels with the same sum, as they had before.

    Rounded each by itself, an even wall would get four levels in turn, and a normalization makes a grid of them. So all
    are multiples of one unit, and so many are rounded up, those with most to gain first, that the sum is the nearest.
    """
    taps = fourfold.unflatten(0, (-1, 4)).flatten(3)  # (D, 4, C, 9)
    exponent = torch.frexp(taps.abs().amax(dim=(1, 3), keepdim=True)).exponent
    unit = torch.exp2(exponent - 1.0) * torch.finfo(dtype).eps
    down = (taps / unit).floor()
    rest = taps / unit - down
    total = (taps.sum(dim=3, keepdim=True).mean(dim=1, keepdim=True) / unit).round()
    rank = rest.argsort(dim=3, descending=True).argsort(dim=3)
    rounded = (down + (rank < total - down.sum(dim=3, keepdim=True))) * unit
    return rounded.reshape(fourfold.shape).to(dtype)


def bilinear_taps() -> Tensor:
    """(2, 3, 3): how three neighbors in an enlarged row come from three in the row.

    The first index is that of the pixel, left or right, the second that of the place before, at or after it, the third
    that of the enlarged row's neighbor before, at or after the pixel.
    """
    left = [[0.75, 0.25, 0], [0.25, 0.75, 0.75], [0, 0, 0.25]]
    right = [[0.25, 0, 0], [0.75, 0.75, 0.25], [0, 0.25, 0.75]]
    return torch.tensor([left, right])


class PlainBlocks(nn.Module):
    """Residual blocks of two convolutions each."""

    def __init__(self, convs: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor, around: Layer, inside: Layer) -> Tensor:
        """(1, C, h, w), mirrored `around` before each layer; `inside` cuts what a block's result has no place for."""
        for first, second in zip(self.convs[::2], self.convs[1::2], strict=True):
            inner = rectified(around(x), first.weight, first.bias)
            x = F.conv2d(around(inner), second.weight, second.bias).add_(inside(x))
        return x


class PlainEnd(nn.Module):
    """From quarter resolution to the colors: (1, C, h, w) -> (1, 12, 2h, 2w), before the last pixel shuffle."""

    def __init__(self, up_half: DoublingConv, narrow: nn.Conv2d, up_full: DoublingConv, to_rgb: EvenConv) -> None:
        super().__init__()
        self.up_half, self.narrow, self.up_full, self.to_rgb = up_half, narrow, up_full, to_rgb

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = F.pixel_shuffle(self.up_half.rectified_fours(x), 2)
        x = rectified(x, self.narrow.weight, self.narrow.bias, padding=1)
        return self.to_rgb.between_fours(self.up_full.rectified_fours(x))


@torch.no_grad()
def rectified(x: Tensor, weight: Tensor, bias: Tensor, padding: int = 0) -> Tensor:
    """ReLU of a convolution, for use and not for training: in bfloat16 on a processor in one pass over memory.

    (N, C, h, w), (D, C, k, k), (D) -> (N, D, h', w').
    """
    if x.device.type == "cpu" and x.dtype == torch.bfloat16 and _fuses():
        return _fused(x, weight, bias, padding)
    return F.relu(F.conv2d(x, weight, bias, padding=padding), inplace=True)


@lru_cache(maxsize=1)
def _fuses() -> bool:
    """Whether this PyTorch has the fused operation, which is meant for its own compiler, as we know it."""
    x, weight, bias = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3), torch.randn(2)
    x, weight, bias = (values.to(torch.bfloat16) for values in (x, weight, bias))
    try:
        fused = _fused(x, weight, bias, 1)
    except (AttributeError, RuntimeError):  # not there, or called otherwise
        return False
    return torch.allclose(fused, F.relu(F.conv2d(x, weight, bias, padding=1)), rtol=0.05, atol=0.05)


def _fused(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    both = [1, 1]
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, [padding, padding], both, both, 1, "relu", [], ""
    )  # padding, stride, dilation, groups, and what follows
