"""Pictures as the pretrained networks see them: layers, at several resolutions, of a window, of the luminance alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from styletransfer.models import losses
from styletransfer.models.features import Features


class Part(NamedTuple):
    """Layers of one network at some octaves: octave 0 is the picture itself, each further one half of it."""

    network: str  # "style" or "content"
    layers: tuple[str, ...]
    octaves: tuple[int, ...] = (0,)
    gray: bool = False  # of the luminance alone


class Look:
    """What the networks see in a batch of pictures; every network runs once per octave, for all terms that ask.

    Args:
        pictures: (N, 3, H, W) in [-1, 1].
        networks: by name.
        parts: all that will be asked for.
        window: (top, left, side) of what the network of style sees at full resolution, where it costs most.
        region: (1, 1, H, W), 1 where style is asked for; None: everywhere.
    """

    def __init__(
        self,
        pictures: Tensor,
        networks: Mapping[str, Features],
        parts: Sequence[Part],
        window: tuple[int, int, int] | None = None,
        region: Tensor | None = None,
    ) -> None:
        self.pictures, self.networks, self.parts, self.window = pictures, networks, parts, window
        self.region = region
        self._seen: dict[tuple[str, int, bool], dict[str, Tensor]] = {}

    def features(self, part: Part) -> list[Tensor]:
        """One (N, C, h, w) for each octave, for each layer of the part."""
        return [self._at(part, octave)[layer] for octave in part.octaves for layer in part.layers]

    def places(self, part: Part) -> list[Tensor | None]:
        """For each of the part's features the numbers of the places that lie in the region; None: all."""
        if self.region is None:
            return [None] * (len(part.octaves) * len(part.layers))
        return [
            _within(self._shown(self.region, part.network, octave), self._at(part, octave)[layer])
            for octave in part.octaves
            for layer in part.layers
        ]

    def _at(self, part: Part, octave: int) -> dict[str, Tensor]:
        view = (part.network, octave, part.gray)
        if view not in self._seen:
            asking = [p for p in self.parts if octave in p.octaves and (p.network, octave, p.gray) == view]
            layers = tuple(dict.fromkeys(layer for p in asking for layer in p.layers))
            pictures = self._shown(self.pictures, part.network, octave)
            if part.gray:
                pictures = losses.luminance(pictures).expand_as(pictures)
            self._seen[view] = dict(zip(layers, self.networks[part.network](pictures, layers), strict=True))
        return self._seen[view]

    def _shown(self, pictures: Tensor, network: str, octave: int) -> Tensor:
        """What a network is shown of the pictures, or of the region, at an octave."""
        if octave:
            return F.avg_pool2d(pictures, 2**octave)
        if network == "style" and self.window:
            top, left, side = self.window
            return pictures[..., top : top + side, left : left + side]
        return pictures


def _within(region: Tensor, features: Tensor) -> Tensor:
    """Numbers of the places of features (N, C, h, w) that lie in a region (1, 1, H, W)."""
    shrunk = F.adaptive_avg_pool2d(region.float(), features.shape[-2:])
    return (shrunk.flatten() > 0.5).nonzero()[:, 0]
