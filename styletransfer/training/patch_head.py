"""The small network between the generator's features and the contrastive loss; it exists only while training.

A place of a picture becomes a direction (Park 2020, section 3: a two-layer perceptron per layer, as in SimCLR).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchHead(nn.Module):
    """One two-layer perceptron per layer of features.

    Args:
        widths: channels of each layer of features.
        channels: length of the directions.
    """

    def __init__(self, widths: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Linear(width, channels), nn.ReLU(), nn.Linear(channels, channels)) for width in widths
        )

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """One (N, C, h, w) per layer and the numbers (P,) of its places -> one (N, P, channels) of unit length."""
        directions = []
        for perceptron, layer, chosen in zip(self.perceptrons, features, places, strict=True):
            patches = layer.flatten(2)[:, :, chosen.to(layer.device)].transpose(1, 2)
            directions.append(F.normalize(perceptron(patches).float(), dim=2))
        return directions


def choose_places(features: Sequence[Tensor], count: int, seed: int, step: int) -> list[Tensor]:
    """For each layer at most `count` numbers of places, none twice: a pure function of seed and step.

    So a resumed run compares the same places, and so does every process and every accumulated pass of a step.
    """
    source = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    return [torch.randperm(layer[0, 0].numel(), generator=source)[:count] for layer in features]


def is_mirrored(seed: int, step: int) -> bool:
    """Whether this is one of the half of all steps whose photos are looked at in the mirror: as `choose_places`."""
    source = torch.Generator().manual_seed((seed * 1_000_003 + step + 2**61) % 2**63)
    return bool(torch.rand((), generator=source) < 0.5)
