"""The objective asks for what it says: style of the painting asked for, content and tones of the photo."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.models import losses
from styletransfer.models.looks import Look, Part
from styletransfer.training.config import TrainingConfig
from styletransfer.training.objective import CALM_TRIES, FIRST_CONTENT, Draws, Objective, calmest

FREE = {"adversarial_weight": 0.0, "grid_weight": 0.0, "tone_weight": 0.0, "calm_weight": 0.0}


def configure(**settings: object) -> TrainingConfig:
    """Style and content in a small network with random filters, which needs no file."""
    small = {
        "style": ("wave=w", "night=n"),
        "style_network": "squeezenet1_1",
        "style_layers": ("relu1", "fire2"),
        "deep_style_layers": ("fire4",),
        "gray_style_weight": 0.0,
        "style_octaves": 2,
        "style_window": 0,
        "style_network_weights": "random",
        "content_network": "squeezenet1_1",
        "content_layers": ("fire3",),
        "content_network_weights": "random",
    }
    return TrainingConfig(**{**small, **FREE, **settings})


def random_pictures(count: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(count, 3, 20, 20, generator=source), (64, 64), mode="bicubic").clamp(0, 1) * 2 - 1


def build(config: TrainingConfig, *styles: list[Tensor]) -> Objective:
    """An objective whose styles have these paintings; one painting each when none are given."""
    paintings = dict(zip(config.style_sources, styles or ([PAINTINGS[:1]], [PAINTINGS[1:]]), strict=True))
    return Objective(config, lambda style, limit: iter(paintings[style]), torch.device("cpu"))


PAINTINGS, PHOTOS, STYLES = random_pictures(2, seed=1), random_pictures(2, seed=2), torch.eye(2)
GRAM = {"style_distance": "gram"}


# ---------------------------------------------------------------- style


@pytest.mark.parametrize("distance", ["sliced", "gram", "centered-gram"])
def test_a_painting_has_its_own_style_and_a_photo_its_own_content(distance: str) -> None:
    objective = build(configure(style_distance=distance))
    own = objective(PAINTINGS, PHOTOS, STYLES)
    swapped = objective(PAINTINGS, PHOTOS, STYLES.flip(0))
    least = 1.22 if distance == "sliced" else 1.5  # a distance in place of a square: the root of 1.5
    for name in objective.style:
        assert swapped[name].item() > least * own[name].item()  # each is measured against the style asked for
    assert own["content"].item() > 0.02
    assert objective(PHOTOS, PHOTOS, STYLES)["content"].item() == pytest.approx(0, abs=1e-5)


def test_the_sliced_style_of_a_collection_is_drawn_from_all_of_its_paintings() -> None:
    dark = PAINTINGS[1:, :, :40] * 0.2 - 0.7
    together = build(configure(), [PAINTINGS[:1], dark], [PHOTOS[:1]]).style["style"]
    apart = build(configure(), [PAINTINGS[:1]], [dark]).style["style"]
    cloud = together.clouds[0][0] * together.units[0][0]
    first, second = (apart.clouds[0][i] * apart.units[0][i] for i in range(2))
    for half, whole in zip(cloud.split(2048), (first, second), strict=True):
        torch.testing.assert_close(half.mean(dim=0), whole.mean(dim=0), atol=0.2, rtol=0)
    assert (first.mean(dim=0) - second.mean(dim=0)).abs().max() > 0.3


def test_a_collection_can_be_compared_with_one_of_its_paintings_at_a_time() -> None:
    term = build(configure(collection_target="each"), [PAINTINGS[:1], PAINTINGS[1:]], [PHOTOS[:1]]).style["style"]
    blocks = term.clouds[0][0].chunk(2)
    chosen = []
    for step in range(20):
        drawn = term._drawn(term.clouds[0], 30, Draws(0, step))[0]
        inside = [(drawn[:, None] == block).all(dim=2).any(dim=1) for block in blocks]
        assert any(hits.all() for hits in inside)
        chosen += [hits.all().item() for hits in inside[:1]]
    assert 3 < sum(chosen) < 17


def test_units_are_deviations_over_the_painting_with_a_floor() -> None:
    term = build(configure()).style["style"]
    for clouds, units in zip(term.clouds, term.units, strict=True):
        for cloud, unit in zip(clouds, units, strict=True):
            deviations = (cloud * unit).std(dim=0)
            torch.testing.assert_close(unit, deviations + 0.2 * deviations.mean())


def test_the_sliced_style_by_hand() -> None:
    config = configure(style_octaves=1, style_layers=("relu1",), deep_style_weight=0.0, style_places=100)
    objective = build(config)
    term, draws = objective.style["style"], Draws(config.seed, 7)
    (layer,) = objective.networks["style"](PHOTOS[:1])
    vectors = layer[0].flatten(1).T
    ours, theirs = draws.places(len(vectors), 100), draws.places(term.clouds[0].shape[1], 100)
    directions = draws.directions(64, 32)
    expected = losses.sliced_wasserstein_loss(
        vectors[ours][None] / term.units[0][1], term.clouds[0][1][theirs][None], directions
    )
    found = objective(PHOTOS[:1], PHOTOS[:1], STYLES[1:], step=7)["style"]
    torch.testing.assert_close(found, expected[0])


def test_a_light_rim_beside_a_contour_costs_by_its_weight() -> None:
    photo = torch.ones(1, 3, 96, 96) * 0.6
    photo[..., 48:] = -0.8
    rim = photo.clone()
    rim[..., 40:48] = 0.9
    objective = build(configure(style_loss_weight=0.0, content_loss_weight=0.0, halo_weight=2.0))
    assert objective(photo, photo, STYLES[:1])["halo"].item() == pytest.approx(0, abs=1e-3)
    assert objective(rim, photo, STYLES[:1])["halo"].item() > 0.2


def test_the_gray_style_sees_no_colors() -> None:
    objective = build(configure(gray_style_weight=1.0))
    gray = losses.luminance(PHOTOS).expand_as(PHOTOS)
    of_colors, of_gray = (objective(pictures, PHOTOS, STYLES) for pictures in (PHOTOS, gray))
    torch.testing.assert_close(of_colors["gray_style"], of_gray["gray_style"])
    assert (of_colors["deep_style"] - of_gray["deep_style"]).abs() > 1e-3


def test_random_numbers_are_those_of_the_step_and_of_nothing_else() -> None:
    objective = build(configure())
    first, again, next_step = (objective(PHOTOS, PHOTOS, STYLES, step)["style"] for step in (3, 3, 4))
    assert first == again and first != next_step


def test_two_processes_see_what_one_sees() -> None:
    """The mean over both halves of a batch is the loss of the whole: every picture meets the same random numbers."""
    objective = build(configure(calm_weight=1.0, calm_size=24, tone_weight=1.0, style_window=48))
    whole = objective(PAINTINGS.flip(3), PHOTOS, STYLES, step=5)
    halves = [objective(PAINTINGS[i : i + 1].flip(3), PHOTOS[i : i + 1], STYLES[i : i + 1], step=5) for i in range(2)]
    for name, value in whole.items():
        torch.testing.assert_close(value, (halves[0][name] + halves[1][name]) / 2, msg=name)


def test_mean_grams_are_means_over_paintings_for_every_octave_and_layer() -> None:
    config, paintings = configure(**GRAM), [PAINTINGS[:1], PAINTINGS[1:, :, :40]]
    objective = build(config, paintings, [PHOTOS[:1]])
    expected = []
    for shrink in (1, 2):
        for layer in range(2):
            grams = [
                losses.gram_matrix(objective.networks["style"](F.avg_pool2d(x, shrink))[layer])[0] for x in paintings
            ]
            expected.append((grams[0] + grams[1]) / 2)
    assert len(objective.style["style"].grams) == 4
    for gram, by_hand in zip(objective.style["style"].grams, expected, strict=True):
        torch.testing.assert_close(gram[0], by_hand)


def test_feature_matching_is_the_distance_to_the_mean_over_the_paintings_of_the_style_asked_for() -> None:
    config = configure(feature_matching_weight=2.0, feature_matching_layers=("fire2", "fire4"))
    wave = [PAINTINGS[:1], PAINTINGS[1:, :, :40]]
    objective = build(config, wave, [PHOTOS[:1]])
    layers = [objective.networks["content"](picture, ("fire2", "fire4")) for picture in (*wave, PAINTINGS[:1])]
    per_layer = []
    for first, second, painted in zip(*layers, strict=True):
        mean = (first.mean(dim=(0, 2, 3)) + second.mean(dim=(0, 2, 3))) / 2
        per_layer.append((painted.mean(dim=(0, 2, 3)) - mean).square().sum() / mean.square().sum())
    found = objective(PAINTINGS[:1], PHOTOS[:1], STYLES[:1])["feature_matching"]
    torch.testing.assert_close(found, 2 * (per_layer[0] + per_layer[1]) / 2)
    own = objective(PHOTOS[:1], PHOTOS[:1], STYLES[1:])["feature_matching"]
    assert own.item() == pytest.approx(0, abs=1e-5)


# ---------------------------------------------------------------- calm places


def test_the_calm_place_is_where_the_photo_varies_least() -> None:
    photos, draws = torch.rand(2, 3, 96, 96) * 2 - 1, Draws(0, 0)
    corners = Draws(0, 0).corners(96, 96, 24, CALM_TRIES)
    for photo, (top, left) in zip(photos, corners[2:4], strict=True):
        photo[:, top : top + 24, left : left + 24] *= 0.05
    pictures = torch.rand(2, 3, 96, 96)
    found, calmness = calmest(pictures, photos, 24, draws)
    for picture, square, (top, left) in zip(pictures, found, corners[2:4], strict=True):
        assert torch.equal(square, picture[:, top : top + 24, left : left + 24])
    assert calmness.min() > 1.4


def test_a_photo_without_a_calm_place_keeps_more_of_itself() -> None:
    busy = torch.rand(1, 3, 96, 96).round() * 2 - 1
    _, blank = calmest(busy, torch.zeros_like(busy), 24, Draws(0, 0))
    _, calmness = calmest(busy, busy, 24, Draws(0, 0))
    assert blank.item() == pytest.approx(1.5) and calmness.item() < 0.2


def test_content_is_asked_for_little_by_little() -> None:
    objective = build(configure(steps=100, content_ramp=0.5))
    start, middle, later, end = (
        objective(PAINTINGS, PHOTOS, STYLES, step)["content"].item() for step in (0, 25, 50, 99)
    )
    assert start == pytest.approx(FIRST_CONTENT * end) and later == pytest.approx(end)
    assert middle == pytest.approx((1 + FIRST_CONTENT) / 2 * end)
    whole = build(configure(steps=100, content_ramp=0.0))
    assert whole(PAINTINGS, PHOTOS, STYLES, 0)["content"].item() == pytest.approx(end)


def test_calm_places_are_asked_for_the_style_once_more() -> None:
    config = configure(calm_weight=0.5, calm_size=64)  # the whole picture is the calmest place
    terms = build(config)(PHOTOS, PHOTOS, STYLES)
    assert terms["calm"].item() > 0
    with_more = build(configure(calm_weight=1.5, calm_size=64))(PHOTOS, PHOTOS, STYLES)
    torch.testing.assert_close(with_more["calm"], 3 * terms["calm"])


def test_at_full_resolution_style_is_measured_on_a_window() -> None:
    part = Part("style", ("relu1",), (0, 1))
    objective = build(configure(style_window=32))
    look = Look(PHOTOS, objective.networks, [part], (8, 16, 32))
    full, half = look.features(part)
    torch.testing.assert_close(full, objective.networks["style"](PHOTOS[..., 8:40, 16:48], ("relu1",))[0])
    torch.testing.assert_close(half, objective.networks["style"](F.avg_pool2d(PHOTOS, 2), ("relu1",))[0])


# ---------------------------------------------------------------- the table of weights


def test_without_a_weight_a_term_is_not_paid_for() -> None:
    assert set(build(configure())(PAINTINGS, PHOTOS, STYLES)) == {"style", "deep_style", "content"}


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("deep_style", "deep_style_weight"),
        ("gray_style", "gray_style_weight"),
        ("calm", "calm_weight"),
        ("content", "content_loss_weight"),
        ("tone", "tone_weight"),
        ("l1", "l1_weight"),
        ("color", "color_weight"),
        ("total_variation", "total_variation_weight"),
        ("grid", "grid_weight"),
    ],
)
def test_every_weight_multiplies_its_term(name: str, flag: str) -> None:
    small, large = (build(configure(**{flag: weight}))(PAINTINGS.flip(3), PHOTOS, STYLES) for weight in (1.0, 3.0))
    assert small[name].item() > 0
    assert small.keys() == large.keys()
    for term in small:
        torch.testing.assert_close(large[term], small[term] * (3 if term == name else 1))


def test_content_balance_weighs_one_style() -> None:
    plain = build(configure())
    each = [plain(PAINTINGS[i : i + 1], PHOTOS[i : i + 1], STYLES[i : i + 1])["content"] for i in range(2)]
    balanced = build(configure(content_balance=("night=0.25",)))
    expected = (each[0] + 0.25 * each[1]) / 2
    torch.testing.assert_close(balanced(PAINTINGS, PHOTOS, STYLES)["content"], expected)


@pytest.mark.parametrize(
    ("text", "named"),
    [("monet=2", "'monet'"), ("wave=much", "wave=much"), ("wave=nan", "wave=nan"), ("wave=-1", "wave=-1")],
)
def test_a_content_balance_that_makes_no_sense_is_refused(text: str, named: str) -> None:
    with pytest.raises(InputError, match="--content-balance") as caught:
        build(configure(content_balance=(text,)))
    assert named in str(caught.value)


def test_every_term_pulls_on_the_painting_and_on_nothing_else() -> None:
    weights = {"l1_weight": 1.0, "color_weight": 1.0, "total_variation_weight": 1.0, "grid_weight": 1.0}
    objective = build(configure(**weights, tone_weight=1.0, calm_weight=1.0, calm_size=32))
    for name in ("style", "deep_style", "calm", "content", "tone", "l1", "color", "total_variation", "grid"):
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
