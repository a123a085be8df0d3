"""A convolution at twice the resolution, computed at the lower one."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoublingConv(nn.Conv2d):
    """A 3x3 convolution of a picture enlarged to twice its sides, without that larger picture ever being made.

    The enlarging is bilinear: transposed convolutions, and pixel shuffles with weights of their own, leave a grid. Each
    of the four pixels that a place becomes is another weighted sum of the 3x3 places around it, so one convolution with
    four times the channels makes all four (Shi 2016), a fraction of the memory to move.
    """

    def __init__(self, in_channels: int, out_channels: int, device: torch.device | None = None) -> None:
        super().__init__(in_channels, out_channels, 3, device=device)
        self.register_buffer("settled", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, D, 2h, 2w)."""
        weight = self.fourfold() if self.settled is None else self.settled
        # What lies beyond an edge is its last place, as bilinear interpolation has it.
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, self.bias.repeat_interleave(4))
        return F.pixel_shuffle(x, 2)

    def fourfold(self) -> Tensor:
        """(4 D, C, 3, 3), float32: the weights of the four pixels, for a picture that is not enlarged."""
        taps = bilinear_taps().to(self.weight.device)
        with torch.autocast(taps.device.type, enabled=False):
            each = torch.einsum("pjk,qlm,dckm->dpqcjl", taps, taps, self.weight.float())
        return each.flatten(0, 2)

    @torch.no_grad()
    def settle(self) -> "DoublingConv":
        """Compute the weights of the four pixels once, for use: what is learned later is not seen."""
        self.settled = _rounded_alike(self.fourfold(), self.weight.dtype)
        return self


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
    return rounded.reshape(fourfold.shape).to(dtype, memory_format=torch.channels_last)


def bilinear_taps() -> Tensor:
    """(2, 3, 3): how three neighbors in an enlarged row come from three in the row.

    The first index is that of the pixel, left or right, the second that of the place before, at or after it, the third
    that of the enlarged row's neighbor before, at or after the pixel.
    """
    left = [[0.75, 0.25, 0], [0.25, 0.75, 0.75], [0, 0, 0.25]]
    right = [[0.25, 0, 0], [0.75, 0.75, 0.25], [0, 0.25, 0.75]]
    return torch.tensor([left, right])
