"""The network of FID and KID: Inception v3 of TensorFlow in 2015, which all published values use.

torchvision's own weights of Inception v3 give other numbers. Layers and keys are torchvision's; the scaling to 299x299
and some pooling differ (Heusel 2017; ported as in pytorch-fid and torch-fidelity).
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styletransfer.errors import InputError
from styletransfer.models.stored_weights import read_weights

SIDE = 299


class FidInception(nn.Module):
    """The 2,048 features of FID and KID of a picture.

    Args:
        weights: pt_inception-2015-12-05-6726825d.pth of pytorch-fid's releases (torch-fidelity's of that date holds
            the same), or the same tensors as safetensors.

    Raises:
        InputError: the file cannot be read or holds another network.
    """

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        stored = read_weights(Path(weights), "Inception weights", pickled=True)
        self.network = _build()
        expected = self.network.state_dict()
        # Counters that only training uses; files of old torch releases lack them.
        stored |= {key: torch.tensor(0) for key in expected if key.endswith("num_batches_tracked")}
        wrong = [key for key in expected if key not in stored or stored[key].shape != expected[key].shape]
        if wrong:
            raise InputError(
                f"Inception weights {Path(weights).name} lack {wrong[0]} of shape {tuple(expected[wrong[0]].shape)}: "
                "FID needs pt_inception-2015-12-05-6726825d.pth."
            )
        self.network.load_state_dict({key: stored[key] for key in expected}, assign=True)
        self.eval().requires_grad_(False)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1], of 8 bit -> (N, 2048)."""
        levels = ((picture + 1) * 127.5).round()
        return self.network((_resize(levels) - 128) / 128)


def _build() -> nn.Sequential:
    # Imported here, because importing torchvision takes time and only FID and KID need it.
    from torchvision.models import inception

    class A(inception.InceptionA):
        def forward(self, x: Tensor) -> Tensor:
            triple = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
            double = self.branch5x5_2(self.branch5x5_1(x))
            return torch.cat([self.branch1x1(x), double, triple, self.branch_pool(_mean_inside(x))], dim=1)

    class C(inception.InceptionC):
        def forward(self, x: Tensor) -> Tensor:
            one = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
            two = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
            two = self.branch7x7dbl_5(self.branch7x7dbl_4(two))
            return torch.cat([self.branch1x1(x), one, two, self.branch_pool(_mean_inside(x))], dim=1)

    class E(inception.InceptionE):
        def __init__(self, channels: int, largest: bool) -> None:
            super().__init__(channels)
            self.largest = largest

        def forward(self, x: Tensor) -> Tensor:
            one, two = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
            wide = [
                self.branch3x3_2a(one),
                self.branch3x3_2b(one),
                self.branch3x3dbl_3a(two),
                self.branch3x3dbl_3b(two),
            ]
            pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.largest else _mean_inside(x)
            return torch.cat([self.branch1x1(x), *wide, self.branch_pool(pooled)], dim=1)

    conv = inception.BasicConv2d
    layers = {
        "Conv2d_1a_3x3": conv(3, 32, kernel_size=3, stride=2),
        "Conv2d_2a_3x3": conv(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": conv(32, 64, kernel_size=3, padding=1),
        "pool1": nn.MaxPool2d(3, stride=2),
        "Conv2d_3b_1x1": conv(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": conv(80, 192, kernel_size=3),
        "pool2": nn.MaxPool2d(3, stride=2),
        "Mixed_5b": A(192, pool_features=32),
        "Mixed_5c": A(256, pool_features=64),
        "Mixed_5d": A(288, pool_features=64),
        "Mixed_6a": inception.InceptionB(288),
        "Mixed_6b": C(768, channels_7x7=128),
        "Mixed_6c": C(768, channels_7x7=160),
        "Mixed_6d": C(768, channels_7x7=160),
        "Mixed_6e": C(768, channels_7x7=192),
        "Mixed_7a": inception.InceptionD(768),
        "Mixed_7b": E(1280, largest=False),
        "Mixed_7c": E(2048, largest=True),
        "mean": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
    }
    network = nn.Sequential()
    with torch.device("meta"):  # all weights are assigned
        for name, layer in layers.items():
            network.add_module(name, layer)
    return network


def _mean_inside(x: Tensor) -> Tensor:
    """Means of 3x3 in which the rim does not count, as TensorFlow takes them."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _resize(picture: Tensor) -> Tensor:
    """Bilinear to 299x299 as TensorFlow 1 did it: pixel i of the result stands at i * old / new of the picture."""
    for dim in (2, 3):
        length = picture.shape[dim]
        place = torch.arange(SIDE, device=picture.device, dtype=picture.dtype) * (length / SIDE)
        first = place.floor().long()
        second = (first + 1).clamp(max=length - 1)
        part = (place - first).view(-1, 1) if dim == 2 else place - first
        picture = torch.lerp(picture.index_select(dim, first), picture.index_select(dim, second), part)
    return picture
