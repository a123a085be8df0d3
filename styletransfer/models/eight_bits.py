"""Residual blocks in 8-bit arithmetic: where there is VNNI twice the rate of bfloat16, four times that of float32.

Nothing has to be calibrated (static quantization, Jacob 2018, section 3): what a normalized layer gives has its style's
shift as mean and its style's scale as deviation, channel by channel, whatever the photo. So the range that 8 bits hold
is known from the style alone, each channel has a unit of its own, and that goes into the weights that read it. The sum
that runs past the blocks stays in float32.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from styletransfer.models.convolutions import Layer

HIGHEST = 255
REACH = 9.0  # deviations from the mean that 8 bits hold; what is further off is cut
LEAST_UNIT = 1e-5
BAND = 5 * 2**18  # numbers that are rounded at a time: more than 512 pixels take, and they stay in the cache

Measured = tuple[Tensor, Tensor]  # mean and inverse deviation of a layer, (1, C)


class Levels(NamedTuple):
    """What 8-bit numbers mean: lowest + unit * number, channel by channel; all (C,), float32."""

    lowest: Tensor
    unit: Tensor
    mean: Tensor  # of what they stand for, as far as it is known

    @classmethod
    def between(cls, lowest: Tensor, highest: Tensor, mean: Tensor) -> "Levels":
        """The levels that hold these ranges (C,)."""
        return cls(lowest, ((highest - lowest) / HIGHEST).clamp_min(LEAST_UNIT), mean)

    def of(self, x: Tensor) -> Tensor:
        """(1, C, h, w) -> the nearest levels, uint8."""
        gain, shift = (values[:, None, None] for values in (1 / self.unit, 0.5 - self.lowest / self.unit))
        return _whole(x, lambda band: torch.addcmul(shift, band, gain))


class EightBitConv:
    """A 3x3 convolution of levels, without padding.

    What rounding the weights shifts on the mean is taken back by the bias (Nagel 2019, section 4.2).

    Args:
        conv: of what the levels mean; its padding is left out.
        inside: what the levels mean.
        outside: to get the levels of the convolution's ReLU, from 0 on, in place of its values.
    """

    def __init__(self, conv: nn.Conv2d, inside: Levels, outside: Levels | None = None) -> None:
        weight, bias = conv.weight.detach().float(), conv.bias.detach().float()
        bias = bias + torch.einsum("dcjk,c->d", weight, inside.lowest)
        weight = weight * inside.unit[:, None, None]
        if outside:
            weight, bias = weight / outside.unit[:, None, None, None], bias / outside.unit
        self._scales = (weight.abs().amax(dim=(1, 2, 3)) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        wide = self._scales[:, None, None, None]
        whole = (weight / wide).round()
        rounded_off = torch.einsum("dcjk,c->d", weight - whole * wide, (inside.mean - inside.lowest) / inside.unit)
        self._bias, self._zeros = bias + rounded_off, torch.zeros(len(bias), dtype=torch.int64)
        self._packed = torch.ops.onednn.qconv_prepack(
            whole.to(torch.int8), self._scales, 1.0, 0, _ONE, _NONE, _ONE, 1, None
        )
        self._kind = (torch.uint8, "relu") if outside else (torch.float32, "none")

    def __call__(self, levels: Tensor) -> Tensor:
        """(1, C, h, w) uint8 -> (1, D, h - 2, w - 2), float32 or levels."""
        made, then = self._kind
        weight = (self._packed, self._scales, self._zeros, self._bias)
        return torch.ops.onednn.qconv2d_pointwise(
            levels, 1.0, 0, *weight, _ONE, _NONE, _ONE, 1, 1.0, 0, made, then, [], ""
        )


class FrozenBlocks:
    """The residual blocks folded for one style and one picture.

    Args:
        convs: folded, two for each block.
        scales, shifts: (C,) of the style, of the layer before the blocks and of theirs.
    """

    def __init__(self, convs: Sequence[nn.Conv2d], scales: Sequence[Tensor], shifts: Sequence[Tensor]) -> None:
        given, self._blocks = given_levels(scales, shifts), []
        for place in range(0, len(convs), 2):
            stream, inner = given[place : place + 2]
            first = EightBitConv(convs[place], stream, inner)
            self._blocks.append((stream, first, EightBitConv(convs[place + 1], inner)))

    def __call__(self, x: Tensor, around: Layer, inside: Layer) -> Tensor:
        """As `PlainBlocks`; float32."""
        x = x.float()
        for stream, first, second in self._blocks:
            x = second(around(first(around(stream.of(x))))).add_(inside(x))
        return x


class MeasuredBlocks:
    """The residual blocks for one mix of styles, each layer normalized by what is measured.

    Args:
        convs: of the blocks, two each.
        scales, shifts: as for `FrozenBlocks`, of the mix.
        epsilon: of the normalization.
    """

    def __init__(
        self, convs: Sequence[nn.Conv2d], scales: Sequence[Tensor], shifts: Sequence[Tensor], epsilon: float
    ) -> None:
        self._given, self._epsilon = given_levels(scales, shifts), epsilon
        self._convs = [EightBitConv(conv, levels) for conv, levels in zip(convs, self._given, strict=True)]
        self._styles = list(zip(scales[1:], shifts[1:], strict=True))

    def __call__(self, x: Tensor, around: Layer) -> tuple[Tensor, list[Measured]]:
        """(1, C, h, w) -> what the blocks make of it, float32, and what was measured in each layer."""
        x, measured = x.float(), []
        for place in range(0, len(self._convs), 2):
            inner = self._convs[place](around(self._given[place].of(x)))
            (scale, shift), unit = self._styles[place], self._given[place + 1].unit
            inner = self._normalized(inner, scale / unit, shift / unit + 0.5, measured)
            inner = self._convs[place + 1](around(_whole(inner, lambda band: band)))
            x = self._normalized(inner, *self._styles[place + 1], measured).add_(x)
        return x, measured

    def _normalized(self, x: Tensor, scale: Tensor, shift: Tensor, measured: list[Measured]) -> Tensor:
        n, c, h, w = x.shape
        x, *moments = torch.native_group_norm(x, scale, shift, n, c, h * w, c, self._epsilon)
        measured.append(tuple(moments))
        return x


class RecentMixes:
    """What was made for the last mixes of styles; a copy of it is empty."""

    most = 8

    def __init__(self) -> None:
        self._made: dict[tuple[float, ...], MeasuredBlocks] = {}

    def of(self, mix: tuple[float, ...], make: Callable[[], MeasuredBlocks]) -> MeasuredBlocks:
        """What belongs to a mix, made where it is not there; threads may ask side by side."""
        made = self._made.get(mix)
        if made is None:
            made = make()
            self._made = dict([*self._made.items(), (mix, made)][-self.most :])  # a new one: others may be reading
        return made

    def __deepcopy__(self, memo: dict) -> "RecentMixes":
        return RecentMixes()


def given_levels(scales: Sequence[Tensor], shifts: Sequence[Tensor]) -> list[Levels]:
    """The levels of what each layer of the blocks is given.

    Args:
        scales, shifts: (C,) of the layer before the blocks, which a ReLU follows, and of theirs, two each, with a ReLU
            between them.
    """
    (scale, *scales), (shift, *shifts) = scales, shifts
    highest, mean = _rectified(scale, shift)
    middle, half, found = highest / 2, highest / 2, []
    for place in range(0, len(scales), 2):
        inner = _rectified(scales[place], shifts[place])
        found.append(Levels.between(middle - half, middle + half, mean))
        found.append(Levels.between(torch.zeros_like(mean), inner.highest, inner.mean))
        moved = shifts[place + 1]
        middle, half, mean = middle + moved, torch.hypot(half, REACH * scales[place + 1]), mean + moved
    return found


class _Rectified(NamedTuple):
    highest: Tensor
    mean: Tensor


def _rectified(scale: Tensor, shift: Tensor) -> _Rectified:
    """The highest value and the mean (C,) of the ReLU of a normal distribution."""
    deviation = scale.abs().clamp_min(torch.finfo(scale.dtype).tiny)
    normal, score = torch.distributions.Normal(0.0, 1.0), shift / deviation
    mean = shift * normal.cdf(score) + deviation * normal.log_prob(score).exp()
    return _Rectified((shift + REACH * deviation).clamp_min(0), mean.clamp_min(0))


@lru_cache(maxsize=1)
def multiplies_eight_bits() -> bool:
    """Whether this processor multiplies 8-bit numbers faster than others, and this PyTorch as we know it."""
    if not getattr(torch.cpu, "_is_vnni_supported", lambda: False)():
        return False
    levels, conv = torch.full((1, 4, 3, 3), 3, dtype=torch.uint8), skip_init(nn.Conv2d, 4, 4, 3)
    conv.weight.data.fill_(1), conv.bias.data.fill_(1)
    plain = Levels(torch.zeros(4), torch.ones(4), torch.zeros(4))
    try:
        values, rectified = (EightBitConv(conv, plain, outside)(levels) for outside in (None, plain))
    except (AttributeError, RuntimeError):  # not there, or called otherwise
        return False
    return torch.allclose(values, torch.full_like(values, 109.0)) and bool((rectified == 109).all())


def _whole(x: Tensor, levels: Layer) -> Tensor:
    """The levels, uint8, of (1, C, h, w), from what gives them with a half added; those may be overwritten.

    Band by band, so that what lies between stays in the cache; by way of int16, which is vectorized.
    """
    found = torch.empty(x.shape, dtype=torch.uint8, device=x.device, memory_format=torch.channels_last)
    rows = max(1, BAND // (x.shape[1] * x.shape[3]))
    for top in range(0, x.shape[2], rows):
        band = (..., slice(top, top + rows), slice(None))
        found[band].copy_(levels(x[band]).clamp_(0, HIGHEST + 0.5).to(torch.int16))
    return found


_ONE, _NONE = [1, 1], [0, 0]  # stride and dilation, padding
