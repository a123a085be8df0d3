"""Brushwork in numbers: how much of the distance from photo to painting a painted photo closes, without its colors.

Recoloring a photo reduces its Gram distance a lot, and these numbers not at all. Pictures are compared in luminance,
after mean and deviation were set to the painting's, by the sliced Wasserstein-1 distance of network features (Rabin
2011; Heitz 2021). Each number is 1 - distance(painted photo) / distance(photo): 0 for a recolored photo, 1 for the
painting itself.

    strokes  VGG-19 relu2_1 and relu3_1 at three octaves
    flat     the same in the calmest quarter of the photo's 64-pixel cells: are skies and walls painted or bare?
    deep     SqueezeNet 1.1 fire3, fire5, fire7, fire9: waves, swirls, ornament

Pictures are (1, 3, H, W) in [-1, 1]; the numbers are meant for photos and paintings with a long side of 512 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from styletransfer.models.features import Features
from styletransfer.models.losses import luminance

EARLY_LAYERS = ("relu2_1", "relu3_1")  # of VGG-19
DEEP_LAYERS = ("fire3", "fire5", "fire7", "fire9")  # of SqueezeNet 1.1
OCTAVES, DIRECTIONS, POINTS, CELL = 3, 64, 4099, 64
FLOOR = 0.2  # share of a layer's mean deviation, added to each channel's, so that silent channels are not amplified
SEED = 7
MEASURES = ("flat", "deep", "strokes")


@dataclass(frozen=True)
class _Layer:
    unit: Tensor  # (C, 1)
    directions: Tensor  # (DIRECTIONS, C) of unit length
    quantiles: Tensor  # (DIRECTIONS, POINTS) of the painting, sorted


@dataclass(frozen=True)
class BrushworkTarget:
    """What the networks see in the luminance of one painting, for comparisons; tensors on the CPU."""

    mean: Tensor
    deviation: Tensor
    early: list[_Layer]
    deep: list[_Layer]


@dataclass(frozen=True)
class Distances:
    """The distances of one picture to one painting, summed over layers."""

    strokes: float
    flat: float
    deep: float

    def closed(self, painted: "Distances") -> dict[str, float]:
        """Name -> the share of this photo's distance that its painted photo closes; 0 where the distance is 0."""
        pairs = {name: (getattr(self, name), getattr(painted, name)) for name in MEASURES}
        return {name: 1 - after / before if before else 0.0 for name, (before, after) in pairs.items()}


class BrushworkMeter:
    """Measures brushwork.

    Args:
        vgg: a network with EARLY_LAYERS.
        squeezenet: a network with DEEP_LAYERS.
        device: where both run.
    """

    def __init__(self, vgg: Features, squeezenet: Features, device: torch.device) -> None:
        self.vgg, self.squeezenet, self.device = vgg, squeezenet, device

    @torch.inference_mode()
    def target(self, painting: Tensor) -> BrushworkTarget:
        """The target that a painting (1, 3, H, W) in [-1, 1] sets."""
        y = _values(painting.to(self.device))
        random = torch.Generator().manual_seed(SEED)
        early, deep = ([_layer(f, random) for f in see(y)] for see in (self._early, self._deep))
        return BrushworkTarget(y.mean().cpu(), y.std().cpu(), early, deep)

    @torch.inference_mode()
    def distances(self, picture: Tensor, target: BrushworkTarget, calm: Tensor) -> Distances:
        """The distances of a picture (1, 3, H, W) in [-1, 1]; `calm` is `calm_places` of its photo."""
        y = _values(picture.to(self.device))
        y = (y - y.mean()) / (y.std() + 1e-6) * target.deviation.to(y) + target.mean.to(y)
        early = self._early(y)
        here = [_shrunk(calm.to(y.device), f.shape[1:]) for f in early]
        return Distances(
            strokes=_total([f.flatten(1) for f in early], target.early),
            flat=_total([f[:, places] for f, places in zip(early, here, strict=True)], target.early),
            deep=_total([f.flatten(1) for f in self._deep(y)], target.deep),
        )

    def _early(self, y: Tensor) -> list[Tensor]:
        seen = []
        for octave in range(OCTAVES):
            if octave:
                y = F.interpolate(y, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
            seen += [f[0] for f in self.vgg(_gray(y), EARLY_LAYERS)]
        return seen

    def _deep(self, y: Tensor) -> list[Tensor]:
        return [f[0] for f in self.squeezenet(_gray(y), DEEP_LAYERS)]


def calm_places(photo: Tensor) -> Tensor:
    """(H, W) bool: the quarter of the photo's complete cells with the least deviation of luminance.

    A photo smaller than a cell has no calm place; `Distances.flat` is then 0.
    """
    y = _values(photo)[0, 0]
    height, width = (side // CELL * CELL for side in y.shape)
    calm = torch.zeros_like(y, dtype=torch.bool)
    if height and width:
        cells = y[:height, :width].unflatten(1, (-1, CELL)).unflatten(0, (-1, CELL)).permute(0, 2, 1, 3)
        spread = cells.flatten(2).std(dim=2)
        chosen = spread <= torch.quantile(spread.flatten(), 0.25)
        calm[:height, :width] = chosen.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
    return calm


def _values(picture: Tensor) -> Tensor:
    """(1, 3, H, W) in [-1, 1] -> luminance (1, 1, H, W) in [0, 1]."""
    return luminance((picture.float() + 1) / 2)


def _gray(y: Tensor) -> Tensor:
    """(1, 1, H, W) in [0, 1] -> (1, 3, H, W) in [-1, 1], as networks take it."""
    return (y * 2 - 1).expand(1, 3, -1, -1)


def _layer(features: Tensor, random: torch.Generator) -> _Layer:
    cloud = features.flatten(1)
    deviations = cloud.std(dim=1, keepdim=True)
    unit = deviations + FLOOR * deviations.mean()
    directions = F.normalize(torch.randn(DIRECTIONS, len(cloud), generator=random), dim=1).to(cloud)
    return _Layer(unit.cpu(), directions.cpu(), _quantiles(cloud, unit, directions).cpu())


def _quantiles(cloud: Tensor, unit: Tensor, directions: Tensor) -> Tensor:
    """(C, P) -> (DIRECTIONS, POINTS), sorted; positions are dropped or repeated evenly."""
    places = torch.linspace(0, cloud.shape[1] - 1, POINTS).long().to(cloud.device)
    return (directions @ (cloud[:, places] / unit)).sort(dim=1).values


def _total(clouds: Sequence[Tensor], layers: Sequence[_Layer]) -> float:
    return sum(_distance(cloud, layer) for cloud, layer in zip(clouds, layers, strict=True) if cloud.shape[1])


def _distance(cloud: Tensor, layer: _Layer) -> float:
    unit, directions, quantiles = (x.to(cloud) for x in (layer.unit, layer.directions, layer.quantiles))
    return (_quantiles(cloud, unit, directions) - quantiles).abs().mean().item()


def _shrunk(calm: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(calm[None, None].float(), size=tuple(size), mode="nearest")[0, 0] > 0
