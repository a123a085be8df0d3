"""The table of weights asks for what it says: style of the painting asked for, content of the photo, nothing unpaid."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styletransfer import losses
from styletransfer.config import TrainingConfig
from styletransfer.data import Batch
from styletransfer.discriminator import augment
from styletransfer.errors import InputError
from styletransfer.objective import Objective, discriminator_terms, mean_grams, style_network

FREE = {"adversarial_weight": 0.0, "total_variation_weight": 0.0, "grid_weight": 0.0}


def configure(**settings: object) -> TrainingConfig:
    """Style and content in a small network with random filters, which needs no file."""
    small = {
        "style": ("wave=w", "night=n"),
        "style_network": "squeezenet1_1",
        "style_layers": ("relu1", "fire2"),
        "style_network_weights": "random",
        "content_network": "squeezenet1_1",
        "content_layers": ("fire3",),
        "content_network_weights": "random",
    }
    return TrainingConfig(**{**small, **FREE, **settings})


def random_pictures(count: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(count, 3, 20, 20, generator=source), (64, 64), mode="bicubic").clamp(0, 1) * 2 - 1


def build(config: TrainingConfig, paintings: Tensor) -> Objective:
    """An objective whose styles are one painting each."""
    features, count = style_network(config), len(config.style_layers)
    per_style = [mean_grams(features, [painting[None]], count, config.style_octaves) for painting in paintings]
    return Objective(config, features, [torch.stack(grams) for grams in zip(*per_style, strict=True)])


PAINTINGS, PHOTOS, STYLES = random_pictures(2, seed=1), random_pictures(2, seed=2), torch.eye(2)


def test_mean_grams_are_means_over_paintings_for_every_octave_and_layer() -> None:
    config = configure()
    features, paintings = style_network(config), [PAINTINGS[:1], PAINTINGS[1:, :, :40]]
    found = mean_grams(features, iter(paintings), 2, octaves=2)
    expected = []
    for shrink in (1, 2):
        for layer in range(2):
            grams = [losses.gram_matrix(features(F.avg_pool2d(x, shrink))[layer])[0] for x in paintings]
            expected.append((grams[0] + grams[1]) / 2)
    assert len(found) == 4
    for gram, by_hand in zip(found, expected, strict=True):
        torch.testing.assert_close(gram, by_hand)


def test_a_painting_has_its_own_style_and_a_photo_its_own_content() -> None:
    objective = build(configure(style_patches=1), PAINTINGS)
    own = objective(PAINTINGS, PHOTOS, STYLES)
    assert own["style"].item() == pytest.approx(0, abs=1e-5)
    assert own["content"].item() > 0.1
    kept = objective(PHOTOS, PHOTOS, STYLES)
    assert kept["content"].item() == pytest.approx(0, abs=1e-5)
    assert kept["style"].item() > 0.01
    swapped = objective(PAINTINGS, PHOTOS, STYLES.flip(0))
    assert swapped["style"].item() > 0.01  # each is measured against the style asked for


def test_without_a_weight_a_term_is_not_paid_for() -> None:
    assert set(build(configure(), PAINTINGS)(PAINTINGS, PHOTOS, STYLES)) == {"style", "content"}


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("style", "style_loss_weight"),
        ("content", "content_loss_weight"),
        ("l1", "l1_weight"),
        ("color", "color_weight"),
        ("total_variation", "total_variation_weight"),
        ("grid", "grid_weight"),
    ],
)
def test_every_weight_multiplies_its_term(name: str, flag: str) -> None:
    small, large = (
        build(configure(**{flag: weight}), PAINTINGS)(PAINTINGS.flip(3), PHOTOS, STYLES) for weight in (1.0, 3.0)
    )
    assert small[name].item() > 0
    assert small.keys() == large.keys()
    for term in small:
        torch.testing.assert_close(large[term], small[term] * (3 if term == name else 1))


def test_content_balance_weighs_one_style() -> None:
    plain = build(configure(), PAINTINGS)
    each = [plain(PAINTINGS[i : i + 1], PHOTOS[i : i + 1], STYLES[i : i + 1])["content"] for i in range(2)]
    balanced = build(configure(content_balance=("night=0.25",)), PAINTINGS)
    expected = (each[0] + 0.25 * each[1]) / 2
    torch.testing.assert_close(balanced(PAINTINGS, PHOTOS, STYLES)["content"], expected)


@pytest.mark.parametrize(
    ("text", "named"),
    [("monet=2", "'monet'"), ("wave=much", "wave=much"), ("wave=nan", "wave=nan"), ("wave=-1", "wave=-1")],
)
def test_a_content_balance_that_makes_no_sense_is_refused(text: str, named: str) -> None:
    with pytest.raises(InputError, match="--content-balance") as caught:
        build(configure(content_balance=(text,)), PAINTINGS)
    assert named in str(caught.value)


@pytest.mark.parametrize("distance", ["energy", "normalized"])
def test_content_is_the_same_whether_its_network_is_shared_or_not(distance: str) -> None:
    shared = build(configure(content_distance=distance), PAINTINGS)
    apart = build(configure(content_distance=distance), PAINTINGS)
    apart.shared, apart.content_features = (
        False,
        style_network(configure(style_layers=("fire3",), content_layers=("fire3",))),
    )
    apart.content_features.taps = apart.content_features.taps[:1]
    for term, value in shared(PAINTINGS, PHOTOS, STYLES).items():
        torch.testing.assert_close(apart(PAINTINGS, PHOTOS, STYLES)[term], value)


def test_every_term_pulls_on_the_painting_and_on_nothing_else() -> None:
    weights = {"l1_weight": 1.0, "color_weight": 1.0, "total_variation_weight": 1.0, "grid_weight": 1.0}
    objective = build(configure(**weights), PAINTINGS)
    for name in ("style", "content", "l1", "color", "total_variation", "grid"):
        grain = 0.2 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))
        painting = (random_pictures(2, seed=3) + grain).requires_grad_()
        objective(painting, PHOTOS, STYLES)[name].backward()
        assert painting.grad.isfinite().all()
        assert painting.grad.abs().max() > 0, name
    assert all(values.grad is None for values in objective.parameters())


@pytest.mark.parametrize("settings", [{"style_octaves": 8}, {"style_patches": 40}])
def test_octaves_and_patches_that_leave_nothing_of_a_crop_are_refused(settings: dict) -> None:
    with pytest.raises(InputError, match="--style-"):
        TrainingConfig(**settings)


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
