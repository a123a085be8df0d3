"""What both sides of the game are asked for: the discriminator's terms, cycles, identities, PatchNCE, by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styletransfer.data.samples import Batch
from styletransfer.models import losses
from styletransfer.models.discriminator import augment
from styletransfer.training.config import TrainingConfig
from styletransfer.training.game import Scene, as_photos, discriminator_terms, generator_terms, play
from styletransfer.training.networks import Networks, PatchHead, choose_places, is_mirrored


def configure(**settings: object) -> TrainingConfig:
    """Nothing is asked for but what the settings name."""
    free = {"style": ("wave=w", "night=n"), "adversarial_weight": 0.0}
    return TrainingConfig(**{**free, **settings})


def random_pictures(count: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(count, 3, 20, 20, generator=source), (64, 64), mode="bicubic").clamp(0, 1) * 2 - 1


PAINTINGS, PHOTOS, STYLES = random_pictures(2, seed=1), random_pictures(2, seed=2), torch.eye(2)


# ---------------------------------------------------------------- the discriminator's side


class Linear(nn.Module):
    """One logit per picture: its product with a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0)) / 10)

    def forward(self, painting: Tensor, style_weights: Tensor) -> list[Tensor]:
        return [(painting * self.weight).sum(dim=(1, 2, 3), keepdim=True)]


@pytest.mark.parametrize("kind", losses.ADVERSARIAL)
def test_the_discriminator_tells_augmented_paintings_from_augmented_fakes(kind: str) -> None:
    numbers = torch.rand(2, 2, 8, generator=torch.Generator().manual_seed(1))
    real, fake = PAINTINGS[..., :16, :16].clone(), PHOTOS[..., :16, :16].clone()
    batch, discriminator = Batch(fake, real, STYLES, numbers, []), Linear()
    config = configure(adversarial=kind, r1_weight=2.0, r1_every=4)
    terms = discriminator_terms(config, discriminator, batch, fake, penalize=False)
    real_logits = discriminator(augment(real, numbers[:, 0]), STYLES)
    fake_logits = discriminator(augment(fake, numbers[:, 1]), STYLES)
    assert set(terms) == {"discriminator"}
    torch.testing.assert_close(terms["discriminator"], losses.discriminator_loss(real_logits, fake_logits, kind))

    # The same gradient at every painting would be the weight; augmentation turns it, so it is taken by autograd.
    painting = real.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(augment(painting, numbers[:, 0]), STYLES)[0].sum(), painting)
    penalty = gradient.square().sum(dim=(1, 2, 3)).mean() * 2.0 / 2 * 4  # gamma / 2, made up for the steps between
    terms = discriminator_terms(config, discriminator, batch, fake, penalize=True)
    torch.testing.assert_close(terms["r1_penalty"], penalty)
    sum(terms.values()).backward()
    assert discriminator.weight.grad.abs().max() > 0


# ---------------------------------------------------------------- networks against and with one another


class Brighter(nn.Module):
    """A generator whose every cycle can be worked out by hand."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, picture: Tensor, style_weights: Tensor, corner: Tensor | None = None) -> Tensor:
        return picture + self.by

    def encode(self, picture: Tensor, style_weights: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
        return [F.avg_pool2d(picture, 2**layer) * self.by for layer in layers]


def scene_of(networks: Networks) -> Scene:
    numbers = torch.rand(2, 2, 8, generator=torch.Generator().manual_seed(1))
    return play(networks, Batch(PHOTOS.clone(), PAINTINGS.clone(), STYLES, numbers, []))


def test_cycles_and_identities_by_hand() -> None:
    networks = Networks(Brighter(0.25), Linear(), photo_generator=Brighter(-0.5), photo_discriminator=Linear())
    config = configure(cycle_weight=10.0, identity_weight=5.0, loss_margin=8, crop_size=80)
    terms = generator_terms(config, networks, networks, scene_of(networks), step=0)
    by_hand = {"cycle_photo": 2.5, "cycle_painting": 2.5, "identity": 1.25, "identity_photo": 2.5}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(by_hand, rel=1e-4)


def test_cycles_look_at_whole_crops_and_losses_inside_them() -> None:
    """What a network makes of the rim is given on, but not asked about."""

    class RimPainter(Brighter):
        def forward(self, picture: Tensor, style_weights: Tensor, corner: Tensor | None = None) -> Tensor:
            assert picture.shape[-1] == 64
            return picture + self.by * F.pad(torch.zeros(48, 48), (8, 8, 8, 8), value=1.0)

    networks = Networks(RimPainter(0.5), Linear(), photo_generator=RimPainter(0.5), photo_discriminator=Linear())
    config = configure(cycle_weight=10.0, loss_margin=8, crop_size=80)
    terms = generator_terms(config, networks, networks, scene_of(networks), step=0)
    assert {name: term.item() for name, term in terms.items()} == {"cycle_photo": 0.0, "cycle_painting": 0.0}


def test_the_border_term_alone_looks_at_the_rim() -> None:
    networks = Networks(Brighter(0.25), Linear())
    scene = scene_of(networks)
    terms = {}
    for weight in (0.0, 0.5):
        config = configure(border_weight=weight, loss_margin=8, crop_size=80)
        terms[weight] = generator_terms(config, networks, networks, scene, step=0)
    assert "border" not in terms[0.0]
    rim = losses.border_loss(scene.fake_painting, scene.batch.photo)
    assert terms[0.5]["border"].item() == pytest.approx(0.5 * rim.item())
    terms[0.5]["border"].backward()
    assert networks.generator.by.grad is not None


def test_each_side_is_asked_to_fool_its_own_discriminator_which_learns_nothing_from_it() -> None:
    judges = Linear(), Linear()
    judges[1].weight.data.neg_()
    networks = Networks(Brighter(0.25), judges[0], photo_generator=Brighter(-0.5), photo_discriminator=judges[1])
    config = configure(cycle_weight=1.0, adversarial_weight=2.0, loss_margin=24, crop_size=112)
    scene = scene_of(networks)
    terms = generator_terms(config, networks, networks, scene, step=0)
    numbers, inside = scene.batch.augmentation[:, 1], (..., slice(24, 40), slice(24, 40))
    for name, judge, fake in (
        ("adversarial", judges[0], PHOTOS + 0.25),
        ("adversarial_photo", judges[1], PAINTINGS - 0.5),
    ):
        logits = judge(augment(fake[inside], numbers), STYLES)
        torch.testing.assert_close(terms[name], 2 * losses.generator_loss(logits, config.adversarial))
    sum(terms.values()).backward()
    assert all(judge.weight.grad is None and judge.weight.requires_grad for judge in judges)
    assert networks.generator.by.grad != 0 and networks.photo_generator.by.grad != 0


def test_places_of_a_painting_are_told_apart_in_the_generators_own_features() -> None:
    torch.manual_seed(0)
    networks = Networks(Brighter(0.25), Linear(), head=PatchHead([3, 3], channels=4))
    config = configure(
        contrastive_weight=2.0,
        contrastive_identity_weight=3.0,
        contrastive_layers=(0, 2),
        contrastive_patches=5,
        loss_margin=8,
        crop_size=80,
    )
    terms = generator_terms(config, networks, networks, scene_of(networks), step=7)
    inside = (..., slice(8, 56), slice(8, 56))
    for name, weight, source in (("contrastive", 2, PHOTOS), ("contrastive_identity", 3, PAINTINGS)):
        fake, real = (networks.generator.encode(x[inside], STYLES, (0, 2)) for x in (source + 0.25, source))
        places = choose_places(fake, 5, config.seed, 7)
        expected = losses.patch_nce_loss(networks.head(fake, places), networks.head(real, places)).mean()
        torch.testing.assert_close(terms[name], weight * expected)
    sum(terms.values()).backward()
    assert all(values.grad.abs().max() > 0 for values in networks.head.parameters())
    assert networks.generator.by.grad != 0


def test_flips_compare_a_place_with_the_same_place_seen_in_the_mirror() -> None:
    """A generator that sees the same in the mirror has the same loss with flips; one that does not, another."""

    class Leaning(Brighter):
        def encode(self, picture: Tensor, style_weights: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
            ramp = torch.linspace(0, 5, picture.shape[3])
            return super().encode(picture * ramp, style_weights, layers)

    steps = {is_mirrored(0, step): step for step in range(20)}
    for kind, alike in ((Brighter, True), (Leaning, False)):
        torch.manual_seed(0)
        networks = Networks(kind(0.25), Linear(), head=PatchHead([3, 3], channels=4))
        found = {}
        for flips in (False, True):
            for mirrored, step in steps.items():
                config = configure(
                    contrastive_weight=2.0,
                    contrastive_layers=(0, 2),
                    contrastive_flips=flips,
                    loss_margin=8,
                    crop_size=80,
                )
                terms = generator_terms(config, networks, networks, scene_of(networks), step)
                found[flips, mirrored] = terms["contrastive"].item()
        assert found[True, False] == found[False, False]  # only in mirrored steps
        assert (found[True, True] == pytest.approx(found[False, True], rel=1e-5)) == alike


def test_the_discriminator_of_photos_sees_photos_of_one_kind() -> None:
    batch = Batch(PHOTOS, PAINTINGS, STYLES, torch.zeros(2, 2, 8), [])
    seen = as_photos(batch)
    assert torch.equal(seen.painting, PHOTOS) and seen.style_weights.tolist() == [[1.0], [1.0]]
    assert not PHOTOS.requires_grad and not discriminator_terms(
        configure(), Linear(), as_photos(Batch(PHOTOS[..., :16, :16], *batch[1:])), PHOTOS[..., :16, :16], True
    ).keys() ^ {"discriminator", "r1_penalty"}
    assert not PHOTOS.requires_grad


def test_fakes_of_a_pool_are_judged_in_the_style_they_were_painted_in() -> None:
    class ByStyle(nn.Module):
        def forward(self, painting: Tensor, style_weights: Tensor) -> list[Tensor]:
            return [style_weights[:, :1, None, None] * 3.0]

    batch = Batch(PHOTOS, PAINTINGS, STYLES, torch.zeros(2, 2, 8), [])
    mixed = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    terms = discriminator_terms(configure(), ByStyle(), batch, PHOTOS, False, mixed)
    expected = losses.discriminator_loss(ByStyle()(PHOTOS, STYLES), ByStyle()(PHOTOS, mixed), "non-saturating")
    torch.testing.assert_close(terms["discriminator"], expected)
