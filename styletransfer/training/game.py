"""One pass of the game: what the networks make of a batch, and what both sides are asked for."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from styletransfer.data.samples import Batch
from styletransfer.models import losses
from styletransfer.models.discriminator import augment
from styletransfer.models.generator import GRAIN_SIDE
from styletransfer.training.config import TrainingConfig
from styletransfer.training.networks import Networks
from styletransfer.training.patch_head import choose_places, is_mirrored


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
    # Crops come from all over the picture, and so does their grain; the discriminator's numbers serve once more.
    corner = (batch.augmentation[:, 0, 6:] * GRAIN_SIDE).long()
    fake_painting = networks.generator(batch.photo, batch.style_weights, corner=corner)
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
