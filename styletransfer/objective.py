"""What the generator is asked for: a table of weights over the losses, and the pretrained networks they look with.

The objective of the article that started this project: adversarial, pretrained-CNN style, and content (perceptual or
L1); color, identity and smoothness by option.
"""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styletransfer import losses
from styletransfer.config import TrainingConfig, pairs
from styletransfer.data import Batch
from styletransfer.discriminator import augment
from styletransfer.errors import InputError
from styletransfer.features import Features


class Objective(nn.Module):
    """The perceptual objective: style of the paintings, content of the photo.

    Args:
        config: weights and networks.
        style_features: what style is measured in.
        target_grams: for each octave, for each layer (S, C, C), the mean Gram matrix of each style's paintings.
    """

    def __init__(self, config: TrainingConfig, style_features: Features, target_grams: Sequence[Tensor]) -> None:
        super().__init__()
        self.config = config
        self.style_features = style_features
        self.shared = _same_network(config)
        self.content_features = None if self.shared else content_network(config)
        for index, gram in enumerate(target_grams):
            self.register_buffer(f"gram_{index}", gram)
        balance = pairs("--content-balance", config.content_balance)
        unknown = set(balance) - set(config.style_sources)
        if unknown:
            raise InputError(f"--content-balance names {sorted(unknown)[0]!r}, which no --style names.")
        factors = [_number(name, balance.get(name, "1")) for name in config.style_sources]
        self.register_buffer("content_factors", torch.tensor(factors))

    def forward(self, fake_painting: Tensor, photo: Tensor, style_weights: Tensor) -> dict[str, Tensor]:
        """Weighted terms by name; pictures (N, 3, H, W) in [-1, 1], style_weights (N, S)."""
        config = self.config
        features = self.style_features(fake_painting)
        content = self._content(features, fake_painting, photo) * (style_weights @ self.content_factors)
        terms = {
            "style": config.style_loss_weight * self._style(features, fake_painting, style_weights),
            "content": config.content_loss_weight * content.mean(),
        }
        extra = {
            "l1": (config.l1_weight, losses.l1_loss),
            "color": (config.color_weight, losses.color_loss),
            "total_variation": (config.total_variation_weight, lambda painting, _: losses.total_variation(painting)),
            "grid": (config.grid_weight, lambda painting, _: losses.grid_loss(painting)),
        }
        return terms | {name: weight * loss(fake_painting, photo) for name, (weight, loss) in extra.items() if weight}

    def _style(self, features: list[Tensor], fake_painting: Tensor, style_weights: Tensor) -> Tensor:
        """Mean over octaves of the Gram distance, half of the whole crop, half of its patches."""
        count, per_octave = len(self.config.style_layers), []
        for octave in range(self.config.style_octaves):
            if octave:
                features = self.style_features(F.avg_pool2d(fake_painting, 2**octave), layers=count)
            targets = [
                torch.einsum("ns,scd->ncd", style_weights, getattr(self, f"gram_{octave * count + layer}"))
                for layer in range(count)
            ]
            per_octave.append(losses.gram_style_loss(features[:count], targets, self.config.style_patches).mean())
        return torch.stack(per_octave).mean()

    def _content(self, features: list[Tensor], fake_painting: Tensor, photo: Tensor) -> Tensor:
        distance = {"energy": losses.content_loss, "normalized": losses.perceptual_distance}[
            self.config.content_distance
        ]
        network = self.style_features if self.shared else self.content_features
        start = len(self.config.style_layers) if self.shared else 0
        with torch.no_grad():
            photo_features = network(photo)[start:]
        return distance(features[start:] if self.shared else network(fake_painting), photo_features)


def discriminator_terms(
    config: TrainingConfig,
    discriminator: nn.Module,
    batch: Batch,
    fake_painting: Tensor,  # (N, 3, H, W), detached
    penalize: bool,  # on one step of `r1_every`: the gradient penalty, made up for the steps without
) -> dict[str, Tensor]:
    """What the discriminator is asked for, weighted, by name: real against fake paintings, and R1."""
    painting = batch.painting.requires_grad_(penalize)
    real_logits = discriminator(augment(painting, batch.augmentation[:, 0]), batch.style_weights)
    fake_logits = discriminator(augment(fake_painting, batch.augmentation[:, 1]), batch.style_weights)
    terms = {"discriminator": losses.discriminator_loss(real_logits, fake_logits, config.adversarial)}
    if penalize:
        weight = config.r1_weight / 2 * config.r1_every
        terms["r1_penalty"] = weight * losses.r1_penalty(real_logits, painting)
    return terms


def style_network(config: TrainingConfig) -> Features:
    """The network that style is measured in; content layers follow the style layers where the network serves both."""
    layers = (*config.style_layers, *(config.content_layers if _same_network(config) else ()))
    features = Features(config.style_network, layers, config.style_network_weights)
    return features.to(memory_format=torch.channels_last)


def content_network(config: TrainingConfig) -> Features:
    """The network that content is measured in, where it is another one."""
    features = Features(config.content_network, config.content_layers, config.content_network_weights)
    return features.to(memory_format=torch.channels_last)


@torch.no_grad()
def mean_grams(features: Features, paintings: Iterable[Tensor], layers: int, octaves: int) -> list[Tensor]:
    """Mean Gram matrices over paintings (1, 3, H, W): for each octave, for each of the first `layers` layers (C, C)."""
    per_painting = []
    for painting in paintings:
        pyramid = [painting, *(F.avg_pool2d(painting, 2**octave) for octave in range(1, octaves))]
        per_painting.append([losses.gram_matrix(x)[0] for level in pyramid for x in features(level, layers)])
    return [torch.stack(grams).mean(dim=0) for grams in zip(*per_painting, strict=True)]


def _same_network(config: TrainingConfig) -> bool:
    return (config.style_network, config.style_network_weights) == (
        config.content_network,
        config.content_network_weights,
    )


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:  # NaN fails this, too
        raise InputError(f"--content-balance {name}={text} must be a number of at least 0.")
    return number
