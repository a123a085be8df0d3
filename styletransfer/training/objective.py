"""What the networks are asked for: a table of weights over the losses, and the pretrained networks they look with.

A loss whose weight is zero costs nothing and builds nothing; presets.py holds the tables of weights that go together.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styletransfer.data.samples import Batch
from styletransfer.errors import InputError
from styletransfer.models import losses
from styletransfer.models.discriminator import augment
from styletransfer.models.features import Features
from styletransfer.training.config import TrainingConfig, pairs
from styletransfer.training.networks import Networks
from styletransfer.training.patch_head import choose_places, is_mirrored

TARGET_PAINTINGS = 64  # of a style, for its mean Gram matrices and mean activations


class Objective(nn.Module):
    """What is asked of a fake painting by itself: style of the paintings, content of the photo, colors, smoothness.

    Args:
        config: weights and networks.
        style_features: what style is measured in; None where neither style nor content has a weight.
        target_grams: for each octave, for each layer (S, C, C), the mean Gram matrix of each style's paintings.
        matched_features: what feature matching looks with; None where it has no weight.
        target_means: for each of its layers (S, C), the mean activations over each style's paintings.
    """

    def __init__(
        self,
        config: TrainingConfig,
        style_features: Features | None,
        target_grams: Sequence[Tensor],
        matched_features: Features | None = None,
        target_means: Sequence[Tensor] = (),
    ) -> None:
        super().__init__()
        self.config = config
        self.style_features = style_features
        self.shared = _same_network(config)
        apart = config.content_loss_weight and not self.shared
        self.content_features = content_network(config, config.content_layers) if apart else None
        for index, gram in enumerate(target_grams):
            self.register_buffer(f"gram_{index}", gram)
        self.matched_features = matched_features
        for index, means in enumerate(target_means):
            self.register_buffer(f"mean_{index}", means)
        balance = pairs("--content-balance", config.content_balance)
        unknown = set(balance) - set(config.style_sources)
        if unknown:
            raise InputError(f"--content-balance names {sorted(unknown)[0]!r}, which no --style names.")
        factors = [_number(name, balance.get(name, "1")) for name in config.style_sources]
        self.register_buffer("content_factors", torch.tensor(factors))

    def forward(self, fake_painting: Tensor, photo: Tensor, style_weights: Tensor) -> dict[str, Tensor]:
        """Weighted terms by name; pictures (N, 3, H, W) in [-1, 1], style_weights (N, S)."""
        config, terms = self.config, {}
        features = self.style_features(fake_painting) if self.style_features else []
        if config.style_loss_weight:
            terms["style"] = config.style_loss_weight * self._style(features, fake_painting, style_weights)
        if config.content_loss_weight:
            content = self._content(features, fake_painting, photo) * (style_weights @ self.content_factors)
            terms["content"] = config.content_loss_weight * content.mean()
        if config.feature_matching_weight:
            matched = self._feature_matching(fake_painting, style_weights)
            terms["feature_matching"] = config.feature_matching_weight * matched
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

    def _feature_matching(self, fake_painting: Tensor, style_weights: Tensor) -> Tensor:
        features = self.matched_features(fake_painting)
        targets = [style_weights @ getattr(self, f"mean_{index}") for index in range(len(features))]
        return losses.feature_matching_loss(features, targets).mean()


def build_objective(
    config: TrainingConfig,
    paintings: Callable[[str, int], Iterable[Tensor]],  # of a style, at most so many: (1, 3, H, W) in [-1, 1]
    device: torch.device,
) -> Objective:
    """The objective of a config, its targets taken from the paintings of each style, which are read once."""
    features, matched = style_network(config), None
    if config.feature_matching_weight:
        matched = content_network(config, config.feature_matching_layers)
    for network in filter(None, (features, matched)):
        network.to(device)

    def look(painting: Tensor) -> list[Tensor]:
        painting = painting.to(device)
        grams = style_grams(features, painting, len(config.style_layers), config.style_octaves) if features else []
        return grams + (activations(matched, painting) if matched else [])

    styles = config.style_sources if features or matched else ()
    per_style = [mean_over(paintings(style, TARGET_PAINTINGS), look) for style in styles]
    targets = [torch.stack(per_layer) for per_layer in zip(*per_style, strict=True)]
    grams = len(config.style_layers) * config.style_octaves if features else 0
    return Objective(config, features, targets[:grams], matched, targets[grams:]).to(device)


class Scene(NamedTuple):
    """One pass: what came from the data, and what the networks made of it; whole crops, (N, 3, c, c) in [-1, 1]."""

    batch: Batch
    fake_painting: Tensor
    fake_photo: Tensor | None  # of the painting, where there are cycles

    def inside(self, margin: int) -> "Scene":
        """What the losses look at: far enough inside that the crop's own border cannot be painted for them."""
        return Scene(
            self.batch._replace(photo=_inside(self.batch.photo, margin), painting=_inside(self.batch.painting, margin)),
            _inside(self.fake_painting, margin),
            None if self.fake_photo is None else _inside(self.fake_photo, margin),
        )


def play(networks: Networks, batch: Batch) -> Scene:
    """Paint the photos, and where there are cycles turn the paintings into photos."""
    fake_painting = networks.generator(batch.photo, batch.style_weights)
    back = networks.photo_generator
    return Scene(batch, fake_painting, back(batch.painting, batch.style_weights) if back else None)


def discriminator_terms(
    config: TrainingConfig,
    discriminator: nn.Module,
    batch: Batch,
    fake_painting: Tensor,  # (N, 3, H, W), detached
    penalize: bool,  # on one step of `r1_every`: the gradient penalty, made up for the steps without
    fake_style_weights: Tensor | None = None,  # (N, S) of the fakes, where a pool has mixed them; else the batch's
) -> dict[str, Tensor]:
    """What the discriminator is asked for, weighted, by name: real against fake paintings, and R1."""
    painting = batch.painting.requires_grad_(penalize)
    real_logits = discriminator(augment(painting, batch.augmentation[:, 0]), batch.style_weights)
    fake_style_weights = batch.style_weights if fake_style_weights is None else fake_style_weights
    fake_logits = discriminator(augment(fake_painting, batch.augmentation[:, 1]), fake_style_weights)
    terms = {"discriminator": losses.discriminator_loss(real_logits, fake_logits, config.adversarial)}
    if penalize:
        weight = config.r1_weight / 2 * config.r1_every
        terms["r1_penalty"] = weight * losses.r1_penalty(real_logits, painting)
    return terms


def as_photos(batch: Batch) -> Batch:
    """The batch as the discriminator of photos sees it: photos in place of paintings, all of the one kind."""
    ones = batch.style_weights.new_ones(len(batch.photo), 1)
    return batch._replace(painting=batch.photo.detach(), style_weights=ones)


def generator_terms(
    config: TrainingConfig,
    networks: Networks,  # as trained: forward passes go through what wraps them
    bare: Networks,  # the same without wrappers
    scene: Scene,
    step: int,  # chooses the places that PatchNCE compares
) -> dict[str, Tensor]:
    """What the generator is asked for by the other networks, weighted, by name; no gradient reaches discriminators."""
    inner = scene.inside(config.loss_margin)
    with frozen(bare.judges):
        terms = _adversarial_terms(config, bare, inner)
    repainted = None
    if config.identity_weight or config.contrastive_identity_weight:
        repainted = networks.generator(inner.batch.painting.detach(), inner.batch.style_weights)
    if config.identity_weight:
        terms |= _identity_terms(config, networks, inner, repainted)
    if networks.head:
        terms |= _contrastive_terms(config, networks, bare, inner, repainted, step)
    if networks.photo_generator:
        terms |= _cycle_terms(config, networks, scene)
    if config.border_weight:  # of the whole crop, which is painted as a photo is: the others do not look at its rim
        terms["border"] = config.border_weight * losses.border_loss(scene.fake_painting, scene.batch.photo)
    return terms


def _adversarial_terms(config: TrainingConfig, bare: Networks, inner: Scene) -> dict[str, Tensor]:
    # The bare modules: with their parameters frozen, the distributed wrappers would wait for their gradients.
    if not config.adversarial_weight:
        return {}
    numbers = inner.batch.augmentation[:, 1]
    sides = {"adversarial": (bare.discriminator, inner.fake_painting, inner.batch)}
    if bare.photo_discriminator:
        sides["adversarial_photo"] = (bare.photo_discriminator, inner.fake_photo, as_photos(inner.batch))
    return {
        name: config.adversarial_weight
        * losses.generator_loss(judge(augment(fake, numbers), batch.style_weights), config.adversarial)
        for name, (judge, fake, batch) in sides.items()
    }


def _identity_terms(
    config: TrainingConfig, networks: Networks, inner: Scene, repainted: Tensor | None
) -> dict[str, Tensor]:
    """What is already a painting stays as it is, and what is already a photo (Zhu 2017, section 5.2)."""
    batch, weight = inner.batch, config.identity_weight
    terms = {"identity": weight * losses.l1_loss(repainted, batch.painting)}
    if networks.photo_generator:
        same = networks.photo_generator(batch.photo, batch.style_weights)
        terms["identity_photo"] = weight * losses.l1_loss(same, batch.photo)
    return terms


def _contrastive_terms(
    config: TrainingConfig, networks: Networks, bare: Networks, inner: Scene, repainted: Tensor | None, step: int
) -> dict[str, Tensor]:
    """PatchNCE between photos and their paintings, and between paintings and themselves painted again."""
    styles, layers = inner.batch.style_weights, config.contrastive_layers
    mirrored = config.contrastive_flips and is_mirrored(config.seed, step)

    def distance(fake: Tensor, source: Tensor) -> Tensor:
        queries = bare.generator.encode(fake, styles, layers)
        places = choose_places(queries, config.contrastive_patches, config.seed, step)
        with torch.no_grad():
            seen = bare.generator.encode(source, styles, layers)
            if mirrored:  # FastCUT: a place looks the same in the mirror (the pixels of a cell, layer 0, do not)
                turned = bare.generator.encode(source.flip(3), styles, layers)
                seen = [turned[i].flip(3) if layer else seen[i] for i, layer in enumerate(layers)]
            keys = networks.head(seen, places)
        directions = networks.head(queries, places)
        return losses.patch_nce_loss(directions, keys, config.contrastive_temperature).mean()

    terms = {}
    if config.contrastive_weight:
        terms["contrastive"] = config.contrastive_weight * distance(inner.fake_painting, inner.batch.photo)
    if config.contrastive_identity_weight:
        again = distance(repainted, inner.batch.painting)
        terms["contrastive_identity"] = config.contrastive_identity_weight * again
    return terms


def _cycle_terms(config: TrainingConfig, networks: Networks, scene: Scene) -> dict[str, Tensor]:
    """Photo to painting to photo, and painting to photo to painting (Zhu 2017, eq. 2)."""
    styles, margin = scene.batch.style_weights, config.loss_margin
    photo = networks.photo_generator(scene.fake_painting, styles)
    painting = networks.generator(scene.fake_photo, styles)
    cycles = {"cycle_photo": (photo, scene.batch.photo), "cycle_painting": (painting, scene.batch.painting)}
    return {
        name: config.cycle_weight * losses.l1_loss(_inside(found, margin), _inside(source, margin))
        for name, (found, source) in cycles.items()
    }


def _inside(pictures: Tensor, margin: int) -> Tensor:
    height, width = pictures.shape[-2:]
    return pictures[..., margin : height - margin, margin : width - margin]


@contextmanager
def frozen(networks: Iterable[nn.Module]) -> Iterator[None]:
    """The generator's backward pass must leave no gradient in these."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


def style_network(config: TrainingConfig) -> Features | None:
    """The network that style is measured in; content layers follow the style layers where the network serves both.

    None where neither style nor content has a weight: then no pretrained network is needed.
    """
    if not config.style_loss_weight and not (config.content_loss_weight and _same_network(config)):
        return None
    layers = (*config.style_layers, *(config.content_layers if _same_network(config) else ()))
    features = Features(config.style_network, layers, config.style_network_weights)
    return features.to(memory_format=torch.channels_last)


def content_network(config: TrainingConfig, layers: Sequence[str]) -> Features:
    """The network that content is measured in, as far as these layers: another one than that of style, or deeper."""
    features = Features(config.content_network, layers, config.content_network_weights)
    return features.to(memory_format=torch.channels_last)


@torch.no_grad()
def mean_over(paintings: Iterable[Tensor], look: Callable[[Tensor], list[Tensor]]) -> list[Tensor]:
    """Means over paintings (1, 3, H, W) of each tensor that is seen in one."""
    per_painting = [look(painting) for painting in paintings]
    return [torch.stack(seen).mean(dim=0) for seen in zip(*per_painting, strict=True)]


def style_grams(features: Features, painting: Tensor, layers: int, octaves: int) -> list[Tensor]:
    """Gram matrices of a painting (1, 3, H, W): for each octave, for each of the first `layers` layers (C, C)."""
    pyramid = [painting, *(F.avg_pool2d(painting, 2**octave) for octave in range(1, octaves))]
    return [losses.gram_matrix(x)[0] for level in pyramid for x in features(level, layers)]


def activations(features: Features, painting: Tensor) -> list[Tensor]:
    """Mean activations over the places of a painting (1, 3, H, W): for each layer (C,)."""
    return [layer[0].mean(dim=(1, 2)) for layer in features(painting)]


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
