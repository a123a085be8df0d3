"""The generator against the discriminator: the pictures of one pass, and the losses of both sides.

objective.py has the losses of a painting by itself. Here are those that need other networks: the adversarial losses,
and, where the config gives them a weight, identity, PatchNCE and cycles. Each loss is one function; a loss whose weight
is zero costs nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from styletransfer.data.samples import Batch
from styletransfer.models import losses
from styletransfer.models.discriminator import augment
from styletransfer.models.generator import GRAIN_SIDE
from styletransfer.training.config import TrainingConfig
from styletransfer.training.networks import Networks, choose_places, is_mirrored
from styletransfer.training.objective import without_border
from styletransfer.training.picture_pool import Pools


class Scene(NamedTuple):
    """The pictures of one pass, whole crops (N, 3, c, c) in [-1, 1]: those from the data and those painted."""

    batch: Batch
    fake_painting: Tensor
    fake_photo: Tensor | None  # of the painting, where there are cycles

    def inside(self, margin: int) -> "Scene":
        """The scene without the border of its crops, which no loss looks at."""
        return Scene(
            self.batch._replace(
                photo=without_border(self.batch.photo, margin), painting=without_border(self.batch.painting, margin)
            ),
            without_border(self.fake_painting, margin),
            None if self.fake_photo is None else without_border(self.fake_photo, margin),
        )


class Game:
    """Paints the pictures of each pass and computes the losses of both sides, with the picture pools between them.

    Args:
        config: of the run.
        networks: as trained: forward passes go through what wraps them.
        bare: the same networks without wrappers.
        pools: fake pictures of earlier steps.
    """

    def __init__(self, config: TrainingConfig, networks: Networks, bare: Networks, pools: Pools) -> None:
        self.config, self.networks, self.bare, self.pools = config, networks, bare, pools
        self._passes = 0

    def play(self, batch: Batch) -> Scene:
        """Begin a pass: paint the photos, and where there are cycles turn the paintings into photos."""
        self._passes += 1
        return play(self.networks, batch)

    def discriminator_terms(self, scene: Scene, step: int) -> dict[str, Tensor]:
        """The weighted losses of the discriminators, by name; some of the fakes come from the pools."""
        config, terms = self.config, {}
        number = (self._passes - 1) % config.gradient_accumulation_steps
        penalize = config.r1_weight > 0 and step % config.r1_every == 0
        for side in sides(self.networks, scene.inside(config.loss_margin)):
            fake, styles = self.pools.exchange(side.kind, side.fake.detach(), side.batch.style_weights, step, number)
            found = discriminator_terms(config, side.discriminator, side.batch, fake, penalize, styles)
            terms |= {side.named(name): value for name, value in found.items()}
        return terms

    def generator_terms(self, scene: Scene, step: int) -> dict[str, Tensor]:
        """The weighted losses of the generator that need other networks, by name."""
        return generator_terms(self.config, self.networks, self.bare, scene, step)

    def save(self, folder: Path) -> None:
        """Write what this process keeps between steps into a checkpoint."""
        self.pools.save(folder)

    def load(self, folder: Path, device: torch.device) -> None:
        """Take up what all processes wrote into a checkpoint."""
        self.pools.load(folder, device)


def play(networks: Networks, batch: Batch) -> Scene:
    """Paint the photos, and where there are cycles turn the paintings into photos."""
    # Crops come from all over a picture, and so must their grain: its place is taken from the augmentation's numbers.
    corner = (batch.augmentation[:, 0, 6:] * GRAIN_SIDE).long()
    fake_painting = networks.generator(batch.photo, batch.style_weights, corner=corner)
    back = networks.photo_generator
    return Scene(batch, fake_painting, back(batch.painting, batch.style_weights) if back else None)


class Side(NamedTuple):
    """A discriminator and the pictures it must tell apart."""

    kind: str  # "painting" or "photo"
    discriminator: nn.Module
    batch: Batch  # the real pictures are `batch.painting`
    fake: Tensor  # (N, 3, H, W)

    def named(self, loss: str) -> str:
        """A loss of the discriminator of photos is called loss_photo."""
        return loss if self.kind == "painting" else f"{loss}_{self.kind}"


def sides(networks: Networks, inner: Scene) -> list[Side]:
    """The discriminator of paintings, and where there are cycles that of photos."""
    found = [Side("painting", networks.discriminator, inner.batch, inner.fake_painting)]
    if networks.photo_discriminator:
        found.append(Side("photo", networks.photo_discriminator, as_photos(inner.batch), inner.fake_photo))
    return found


def as_photos(batch: Batch) -> Batch:
    """The batch for the discriminator of photos: photos in place of paintings, all of one style."""
    ones = batch.style_weights.new_ones(len(batch.photo), 1)
    return batch._replace(painting=batch.photo.detach(), style_weights=ones)


# ---- the discriminator's losses --------------------------------------------------------------------------------------


def discriminator_terms(
    config: TrainingConfig,
    discriminator: nn.Module,
    batch: Batch,
    fake_painting: Tensor,  # (N, 3, H, W), detached
    penalize: bool,  # with the gradient penalty, which is due in one step of `r1_every`
    fake_style_weights: Tensor | None = None,  # (N, S) of the fakes, where a pool has mixed them; else the batch's
) -> dict[str, Tensor]:
    """Real against fake paintings, and R1 (Mescheder 2018): weighted losses by name."""
    painting = batch.painting.requires_grad_(penalize)
    real_logits = discriminator(augment(painting, batch.augmentation[:, 0]), batch.style_weights)
    fake_style_weights = batch.style_weights if fake_style_weights is None else fake_style_weights
    fake_logits = discriminator(augment(fake_painting, batch.augmentation[:, 1]), fake_style_weights)
    terms = {"discriminator": losses.discriminator_loss(real_logits, fake_logits, config.adversarial)}
    if penalize:
        weight = config.r1_weight / 2 * config.r1_every  # makes up for the steps without it
        terms["r1_penalty"] = weight * losses.r1_penalty(real_logits, painting)
    return terms


# ---- the generator's losses ------------------------------------------------------------------------------------------


def generator_terms(
    config: TrainingConfig,
    networks: Networks,  # as trained: forward passes go through what wraps them
    bare: Networks,  # the same without wrappers
    scene: Scene,
    step: int,  # chooses the places that PatchNCE compares
) -> dict[str, Tensor]:
    """The weighted losses of the generator that need other networks, by name; discriminators get no gradient."""
    inner = scene.inside(config.loss_margin)
    with frozen(bare.judges):
        terms = adversarial_terms(config, bare, inner)
    repainted = None
    if config.identity_weight or config.contrastive_identity_weight:
        repainted = networks.generator(inner.batch.painting.detach(), inner.batch.style_weights)
    if config.identity_weight:
        terms |= identity_terms(config, networks, inner, repainted)
    if networks.head:
        terms |= contrastive_terms(config, networks, bare, inner, repainted, step)
    if networks.photo_generator:
        terms |= cycle_terms(config, networks, scene)
    if config.border_weight:  # of the whole crop: the other losses do not look at its border
        terms["border"] = config.border_weight * losses.border_loss(scene.fake_painting, scene.batch.photo)
    return terms


def adversarial_terms(config: TrainingConfig, bare: Networks, inner: Scene) -> dict[str, Tensor]:
    """How far the fakes are from being taken for real (Goodfellow 2014, Lim 2017 or Mao 2017)."""
    # The bare modules: with frozen parameters, the distributed wrappers would wait for gradients that never come.
    if not config.adversarial_weight:
        return {}
    terms = {}
    for side in sides(bare, inner):
        fake = augment(side.fake, inner.batch.augmentation[:, 1])
        logits = side.discriminator(fake, side.batch.style_weights)
        terms[side.named("adversarial")] = config.adversarial_weight * losses.generator_loss(logits, config.adversarial)
    return terms


def identity_terms(
    config: TrainingConfig, networks: Networks, inner: Scene, repainted: Tensor | None
) -> dict[str, Tensor]:
    """The generator leaves paintings as they are, the photo generator photos (Zhu 2017, section 5.2)."""
    batch, weight = inner.batch, config.identity_weight
    terms = {"identity": weight * losses.l1_loss(repainted, batch.painting)}
    if networks.photo_generator:
        same = networks.photo_generator(batch.photo, batch.style_weights)
        terms["identity_photo"] = weight * losses.l1_loss(same, batch.photo)
    return terms


def contrastive_terms(
    config: TrainingConfig, networks: Networks, bare: Networks, inner: Scene, repainted: Tensor | None, step: int
) -> dict[str, Tensor]:
    """PatchNCE (Park 2020) between photos and their paintings, and between paintings and their repainted selves."""
    styles, layers = inner.batch.style_weights, config.contrastive_layers
    mirrored = config.contrastive_flips and is_mirrored(config.seed, step)

    def distance(fake: Tensor, source: Tensor) -> Tensor:
        queries = bare.generator.encode(fake, styles, layers)
        places = choose_places(queries, config.contrastive_patches, config.seed, step)
        with torch.no_grad():
            seen = bare.generator.encode(source, styles, layers)
            if mirrored:  # FastCUT: features of the mirrored picture, mirrored back (but not layer 0, the raw pixels)
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


def cycle_terms(config: TrainingConfig, networks: Networks, scene: Scene) -> dict[str, Tensor]:
    """Photo to painting to photo, and painting to photo to painting (Zhu 2017, eq. 2)."""
    styles, margin = scene.batch.style_weights, config.loss_margin
    photo = networks.photo_generator(scene.fake_painting, styles)
    painting = networks.generator(scene.fake_photo, styles)
    cycles = {"cycle_photo": (photo, scene.batch.photo), "cycle_painting": (painting, scene.batch.painting)}
    return {
        name: config.cycle_weight * losses.l1_loss(without_border(found, margin), without_border(source, margin))
        for name, (found, source) in cycles.items()
    }


@contextmanager
def frozen(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, the networks' parameters get no gradients; those that never do are left as they are."""
    trained = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
