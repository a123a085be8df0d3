"""Every loss gives the answer worked out by hand, the right gradient, and never mixes the pictures of a batch."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styletransfer.models import losses

LN2 = math.log(2)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def logits(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 1, 1, -1)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


# ---------------------------------------------------------------- adversarial


@pytest.mark.parametrize(
    ("kind", "real", "fake", "expected"),
    [
        ("non-saturating", (0.0,), (0.0,), 2 * LN2),
        ("non-saturating", (3.0,), (-2.0,), softplus(-3) + softplus(-2)),
        ("non-saturating", (0.0, 2.0), (1.0, 1.0), (LN2 + softplus(-2)) / 2 + softplus(1)),
        ("hinge", (0.0,), (0.0,), 2.0),
        ("hinge", (1.5, 0.5), (-3.0, 0.5), 0.25 + 0.75),
        ("hinge", (-1.0,), (2.0,), 2.0 + 3.0),
        ("least-squares", (0.0,), (0.0,), 1.0),
        ("least-squares", (1.0, 3.0), (0.0, 2.0), 2.0 + 2.0),
    ],
)
def test_discriminator_loss_by_hand(kind: str, real: tuple, fake: tuple, expected: float) -> None:
    assert losses.discriminator_loss([logits(*real)], [logits(*fake)], kind).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "fake", "expected"),
    [
        ("non-saturating", (0.0,), LN2),
        ("non-saturating", (-4.0, 1.0), (softplus(4) + softplus(-1)) / 2),
        ("hinge", (-4.0, 1.0), 1.5),
        ("hinge", (5.0,), -5.0),
        ("least-squares", (1.0,), 0.0),
        ("least-squares", (-1.0, 2.0), 2.5),
    ],
)
def test_generator_loss_by_hand(kind: str, fake: tuple, expected: float) -> None:
    assert losses.generator_loss([logits(*fake)], kind).item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("kind", losses.ADVERSARIAL)
def test_every_scale_counts_the_same_however_many_patches_it_has(kind: str) -> None:
    fine, coarse = torch.full((2, 1, 8, 8), 0.3), torch.full((2, 1, 2, 2), -0.8)
    both = losses.discriminator_loss([fine, coarse], [coarse, fine], kind)
    each = [losses.discriminator_loss([r], [f], kind) for r, f in ((fine, coarse), (coarse, fine))]
    torch.testing.assert_close(both, sum(each) / 2)
    each = [losses.generator_loss([fake], kind) for fake in (fine, coarse)]
    torch.testing.assert_close(losses.generator_loss([fine, coarse], kind), sum(each) / 2)


@pytest.mark.parametrize("kind", losses.ADVERSARIAL)
def test_adversaries_pull_the_logits_apart_and_do_not_overflow(kind: str) -> None:
    real, fake = logits(0.1, 0.2).requires_grad_(), logits(0.1, 0.2).requires_grad_()
    losses.discriminator_loss([real], [fake], kind).backward()
    assert (real.grad < 0).all()  # a step against the gradient raises the score of real paintings
    assert (fake.grad > 0).all()
    fake.grad = None
    losses.generator_loss([fake], kind).backward()
    assert (fake.grad < 0).all()
    huge = logits(-1e4, 1e4)
    assert losses.discriminator_loss([huge], [huge], kind).isfinite()
    half = torch.tensor([300.0], dtype=torch.float16)  # its square is too large for float16
    assert losses.generator_loss([half], kind).isfinite()


def test_an_adversarial_loss_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        losses.generator_loss([logits(0.0)], "wasserstein")


# ---------------------------------------------------------------- R1


def test_r1_of_a_linear_discriminator_is_the_squared_norm_of_its_weight() -> None:
    paintings, weight = random(4, 3, 6, 5).requires_grad_(), random(3, 6, 5, seed=1).requires_grad_()
    scores = (paintings * weight).sum(dim=(1, 2, 3), keepdim=True)
    penalty = losses.r1_penalty([scores], paintings)
    torch.testing.assert_close(penalty, weight.square().sum())
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * weight.detach())  # so the penalty can be trained on


def test_r1_is_the_mean_over_pictures_of_the_gradient_of_the_mean_logit() -> None:
    paintings = random(3, 3, 4, 4).requires_grad_()
    factors = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
    fine, coarse = (paintings * factors)[:, :1], (paintings * factors)[:, 1:2, :2, :2] * 5
    # Two scales: the first spreads 1/2 over 16 patches, the second 5/2 over 4.
    per_picture = (16 * (0.5 / 16) ** 2 + 4 * (2.5 / 4) ** 2) * factors.square().flatten()
    torch.testing.assert_close(losses.r1_penalty([fine, coarse], paintings), per_picture.mean())


# ---------------------------------------------------------------- Gram


def test_gram_matrix_by_hand() -> None:
    features = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, -1.0, 0.0, 1.0]]).view(1, 2, 2, 2)
    expected = torch.tensor([[[7.5, 0.5], [0.5, 0.5]]])
    torch.testing.assert_close(losses.gram_matrix(features), expected)
    torch.testing.assert_close(losses.gram_matrix(features.contiguous(memory_format=torch.channels_last)), expected)
    tiled = features.repeat(1, 1, 3, 2)  # the average over positions does not know how many there are
    torch.testing.assert_close(losses.gram_matrix(tiled), expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gram_gradient_is_that_of_the_plain_formula(memory_format: torch.memory_format) -> None:
    ours = random(2, 5, 4, 3).contiguous(memory_format=memory_format).requires_grad_()
    plain, outer = ours.detach().clone().requires_grad_(), random(2, 5, 5, seed=1)  # not symmetric
    (losses.gram_matrix(ours) * outer).sum().backward()
    flat = plain.flatten(2)
    (torch.einsum("ncp,ndp->ncd", flat, flat) / flat.shape[2] * outer).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gram_matrix_is_summed_in_float32(dtype: torch.dtype) -> None:
    features = torch.full((1, 2, 16, 16), 200.0, dtype=dtype)  # one square already passes the largest float16
    with torch.autocast("cpu", torch.bfloat16):
        gram = losses.gram_matrix(features)
    assert gram.dtype == torch.float32
    assert gram.flatten().tolist() == pytest.approx([4e4] * 4)


def test_gram_style_loss_by_hand() -> None:
    features = [torch.ones(1, 2, 3, 3), torch.full((1, 1, 2, 2), 2.0)]  # Gram matrices: all ones; 4
    targets = [torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[[1.0]]])]
    first, second = (0 + 1 + 1 + 1) / (1 + 4), (4 - 1) ** 2 / 1
    loss = losses.gram_style_loss(features, targets)
    torch.testing.assert_close(loss, torch.tensor([(first + second) / 2]))
    own = [losses.gram_matrix(layer) for layer in features]
    assert losses.gram_style_loss(features, own).tolist() == [0.0]


def test_patches_ask_for_the_style_everywhere() -> None:
    even = torch.full((1, 1, 4, 6), 2.0)  # Gram matrix 4, in the whole and in each patch
    crowded = torch.zeros(1, 1, 4, 6)
    crowded[..., :2, :3] = 4.0  # the same over the whole, all of it in the first of four patches
    target = [torch.tensor([[[4.0]]])]
    for patches in (1, 2):
        assert losses.gram_style_loss([even], target, patches).tolist() == [0.0]
    assert losses.gram_style_loss([crowded], target, 1).tolist() == [0.0]
    in_patches = ((16 - 4) ** 2 + 3 * 4**2) / 4 / 4**2
    torch.testing.assert_close(losses.gram_style_loss([crowded], target, 2), torch.tensor([in_patches / 2]))


def test_every_place_lies_in_a_patch_of_its_own_picture() -> None:
    features, target = random(2, 3, 9, 8), [losses.gram_matrix(random(2, 3, 6, 6, seed=1))]
    parts = [features[:, :, y : y + 3, x : x + 2] for y in (0, 3, 6) for x in (0, 2, 4)]  # what is left over is cut off
    local = torch.stack([losses.gram_style_loss([part], target) for part in parts]).mean(dim=0)
    whole = losses.gram_style_loss([features[..., :9, :6]], target)
    torch.testing.assert_close(losses.gram_style_loss([features], target, 3), (whole + local) / 2)


# ---------------------------------------------------------------- content


def test_content_loss_by_hand() -> None:
    photo = [torch.tensor([3.0, 4.0]).view(1, 1, 1, 2), torch.tensor([2.0]).view(1, 1, 1, 1)]
    painting = [torch.tensor([3.0, 9.0]).view(1, 1, 1, 2), torch.tensor([1.0]).view(1, 1, 1, 1)]
    expected = (5**2 / (9 + 16) + 1**2 / 4) / 2
    torch.testing.assert_close(losses.content_loss(painting, photo), torch.tensor([expected]))
    assert losses.content_loss(photo, photo).tolist() == [0.0]


def test_content_loss_of_a_photo_without_features_is_finite() -> None:
    assert losses.content_loss([torch.ones(1, 2, 2, 2)], [torch.zeros(1, 2, 2, 2)]).isfinite().all()
    assert losses.perceptual_distance([torch.ones(1, 2, 2, 2)], [torch.zeros(1, 2, 2, 2)]).isfinite().all()


def test_perceptual_distance_by_hand() -> None:
    along, across = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1), torch.tensor([0.0, 7.0]).view(1, 2, 1, 1)
    slanted = torch.tensor([3.0, 3.0]).view(1, 2, 1, 1)
    half = torch.cat([along, across], dim=3)  # like `along` in one place of two
    cases = [(along, across, 2.0), (along, slanted, 2 - math.sqrt(2)), (along.expand(1, 2, 1, 2), half, 1.0)]
    for painting, photo, expected in cases:
        assert losses.perceptual_distance([painting], [photo]).tolist() == pytest.approx([expected], abs=1e-5)
    both = losses.perceptual_distance([along, along], [across, slanted])
    assert both.tolist() == pytest.approx([2 - math.sqrt(2) / 2], abs=1e-5)


def test_perceptual_distance_does_not_mind_how_strongly_features_fire() -> None:
    features = random(2, 8, 5, 5).abs() + 0.1
    assert losses.perceptual_distance([features], [features * 3]).max() <= 1e-5
    assert losses.content_loss([features], [features * 3]).min() > 0.4


# ---------------------------------------------------------------- pixels


def test_l1_loss_by_hand() -> None:
    photo = torch.zeros(2, 3, 2, 2)
    painting = photo.clone()
    painting[0, 0, 0, 0], painting[1, 2, 1, 1] = 3.0, -1.0
    assert losses.l1_loss(painting, photo).item() == pytest.approx(4 / 24)


def test_color_loss_sees_the_color_of_a_place_but_no_strokes_in_it() -> None:
    photo = torch.zeros(1, 3, 32, 32)
    strokes = photo + (torch.arange(32) % 2 * 2.0 - 1)  # black and white lines: even on the average
    assert losses.color_loss(strokes, photo).item() == pytest.approx(0, abs=1e-6)
    assert losses.l1_loss(strokes, photo).item() == 1
    red = photo.clone()
    red[:, 0, :16, :16] = 0.6  # one cell of four, one channel of three
    assert losses.color_loss(red, photo).item() == pytest.approx(0.6 / 12, rel=1e-5)
    assert losses.color_loss(red, photo, blur=32).item() == pytest.approx(0.6 / 12, rel=1e-5)
    swapped = red.flip(3)  # the same colors in other places
    assert losses.color_loss(swapped, red).item() == pytest.approx(2 * 0.6 / 12, rel=1e-5)


def test_color_loss_takes_cells_cut_by_the_border_for_what_they_are() -> None:
    assert losses.color_loss(torch.full((1, 3, 20, 37), 0.5), torch.zeros(1, 3, 20, 37)).item() == pytest.approx(0.5)


def test_total_variation_by_hand() -> None:
    ramp = torch.arange(5.0).view(1, 1, 1, 5).expand(2, 3, 4, 5)  # 1 from each column to the next, 0 from row to row
    assert losses.total_variation(ramp).item() == pytest.approx(1)
    assert losses.total_variation(2 * ramp.transpose(2, 3)).item() == pytest.approx(4)
    assert losses.total_variation(torch.full((1, 3, 4, 4), 0.7)).item() == 0
    corner = torch.zeros(1, 1, 2, 3)
    corner[..., 0, 0] = 3.0
    assert losses.total_variation(corner).item() == pytest.approx(9 / 4 + 9 / 3)


def wave(period: float, height: int = 64, width: int = 64) -> Tensor:
    """Vertical lines, 20 gray levels strong, twice that at period 2 (there both halves of the spectrum meet)."""
    return (20 / 127.5 * torch.cos(2 * math.pi * torch.arange(width) / period)).expand(1, 3, height, width).clone()


@pytest.mark.parametrize(("period", "expected"), [(4, 20), (8 / 3, 20), (2, 40), (16, 0), (3.2, 0)])
def test_grid_loss_is_the_strength_of_a_pattern_at_the_periods_of_upsampling(period: float, expected: float) -> None:
    assert losses.grid_loss(wave(period)).item() == pytest.approx(expected, abs=0.01)
    assert losses.grid_loss(wave(period).transpose(2, 3)).item() == pytest.approx(expected, abs=0.01)
    both = wave(period) + wave(4).transpose(2, 3)
    assert losses.grid_loss(both).item() == pytest.approx(expected + 20, abs=0.01)


def test_grid_loss_lets_edges_and_noise_pass() -> None:
    edge = torch.zeros(1, 3, 128, 128)
    edge[..., 50:] = 1.0
    assert losses.grid_loss(edge).item() < 0.1 * losses.grid_loss(127.5 / 20 * wave(4)).item()
    noise = random(1, 3, 256, 256).mul(0.2)
    assert losses.grid_loss(noise).item() < 0.1 * losses.grid_loss(wave(4, 256, 256)).item()
    assert losses.grid_loss(noise + wave(4, 256, 256)).item() > 15


# ---------------------------------------------------------------- places told apart


def test_patch_nce_by_hand() -> None:
    """Two places, queries (1, 0) and (0.6, 0.8), keys (1, 0) and (0, 1), tau 0.5: cosines 1, 0 and 0.6, 0.8."""
    queries, keys = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]]), torch.eye(2)[None]
    first = -math.log(math.exp(2.0) / (math.exp(2.0) + math.exp(0.0)))
    second = -math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
    assert losses.patch_nce_loss([queries], [keys], 0.5).tolist() == pytest.approx([(first + second) / 2])
    # A layer without any difference between its places: all P are as likely, whatever tau.
    even = torch.full((1, 5, 4), 0.5)
    assert losses.patch_nce_loss([even], [even], 0.07).item() == pytest.approx(math.log(5))
    both = losses.patch_nce_loss([queries, even], [keys, even], 0.5).item()
    assert both == pytest.approx(((first + second) / 2 + math.log(5)) / 2)


def test_patch_nce_is_the_cross_entropy_of_the_authors_code() -> None:
    """As contrastive-unpaired-translation writes it: the positive in column 0, the diagonal taken out with -10."""
    q, k = (torch.nn.functional.normalize(random(2, 6, 8, seed=seed), dim=2) for seed in (0, 1))
    positive = (q * k).sum(dim=2).view(12, 1)
    negative = (q @ k.transpose(1, 2)).masked_fill(torch.eye(6, dtype=torch.bool), -10.0).view(12, 6)
    out = torch.cat([positive, negative], dim=1) / 0.07
    expected = torch.nn.functional.cross_entropy(out, torch.zeros(12, dtype=torch.long), reduction="none")
    torch.testing.assert_close(losses.patch_nce_loss([q], [k]), expected.view(2, 6).mean(dim=1))


def test_patch_nce_pulls_on_the_painting_and_not_on_the_photo() -> None:
    queries, keys = random(1, 4, 3).requires_grad_(), random(1, 4, 3, seed=1).requires_grad_()
    losses.patch_nce_loss([queries], [keys]).sum().backward()
    assert queries.grad.abs().max() > 0
    assert keys.grad is None


# ---------------------------------------------------------------- brushwork


def test_the_sliced_distance_of_shifted_clouds_is_the_shift_along_each_direction() -> None:
    cloud, shift, directions = random(1, 50, 3), torch.tensor([3.0, 0.0, 4.0]), torch.eye(3)
    found = losses.sliced_wasserstein_loss(cloud + shift, cloud[:, torch.randperm(50)], directions)
    assert found.tolist() == pytest.approx([(3 + 0 + 4) / 3], rel=1e-5)
    along = F.normalize(shift, dim=0)[:, None]
    assert losses.sliced_wasserstein_loss(cloud + shift, cloud, along).item() == pytest.approx(5, rel=1e-5)


def test_the_sliced_distance_tells_clouds_of_equal_mean_and_covariance() -> None:
    """Where Gram matrices see no difference: a coin and a bell curve of the same deviation."""
    bell = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.001, 0.999, 1000)).view(1, 1000, 1)
    coin = torch.where(bell > 0, 1.0, -1.0) * bell.std(correction=0)
    grams = [losses.gram_matrix(x.view(1, 1, 10, 100)) for x in (bell, coin)]
    torch.testing.assert_close(*grams)
    expected = (bell - coin).abs().mean().item()
    assert losses.sliced_wasserstein_loss(bell, coin, torch.ones(1, 1)).item() == pytest.approx(expected, rel=1e-5)


def test_a_centered_gram_matrix_is_the_covariance_and_does_not_see_a_shift() -> None:
    features = random(2, 4, 6, 6)
    covariance = torch.cov(features[0].flatten(1), correction=0)
    torch.testing.assert_close(losses.gram_matrix(features, centered=True)[0], covariance)
    shifted = losses.gram_matrix(features + 5, centered=True)
    torch.testing.assert_close(shifted, losses.gram_matrix(features, centered=True), atol=1e-4, rtol=1e-4)


def test_tones_are_in_place_whatever_contrast_color_and_strokes_are() -> None:
    photo = F.interpolate(random(2, 3, 4, 4), scale_factor=16)
    strokes = 0.3 * torch.tensor([1.0, -1.0]).repeat(32)  # within every cell
    assert losses.tone_loss(0.2 * photo - 0.5 + strokes, photo).tolist() == pytest.approx([0, 0], abs=0.06)
    assert losses.tone_loss(-photo, photo).tolist() == pytest.approx([2, 2], abs=0.05)
    colored = photo + torch.tensor([0.587, -0.299, 0.0]).view(1, 3, 1, 1)  # the same luminance
    assert losses.tone_loss(colored, photo).tolist() == pytest.approx([0, 0], abs=1e-3)


def test_tones_of_a_blank_photo_let_a_calm_painting_be() -> None:
    blank, calm = torch.zeros(1, 3, 64, 64), 0.01 * random(1, 3, 64, 64)
    assert losses.tone_loss(calm.requires_grad_(), blank).item() < 0.01
    losses.tone_loss(calm, blank).sum().backward()


# ---------------------------------------------------------------- batches and gradients


def layers(count: int, seed: int) -> list[Tensor]:
    return [random(count, 4, 6, 6, seed=seed), random(count, 3, 3, 3, seed=seed + 1)]


PER_PICTURE = {
    "gram_style_loss": lambda a, b: losses.gram_style_loss(a, [losses.gram_matrix(layer) for layer in b]),
    "gram_style_loss in patches": lambda a, b: losses.gram_style_loss(a, [losses.gram_matrix(x) for x in b], 3),
    "gram_style_loss, centered": lambda a, b: losses.gram_style_loss(
        a, [losses.gram_matrix(x, centered=True) for x in b], centered=True
    ),
    "sliced_wasserstein_loss": lambda a, b: losses.sliced_wasserstein_loss(
        *(x[0].flatten(2).transpose(1, 2) for x in (a, b)), F.normalize(random(4, 5), dim=0)
    ),
    "tone_loss": lambda a, b: losses.tone_loss(*(x[0][:, :3].repeat(1, 1, 4, 4) for x in (a, b)), cells=(4,)),
    "content_loss": losses.content_loss,
    "perceptual_distance": losses.perceptual_distance,
    "patch_nce_loss": lambda a, b: losses.patch_nce_loss([x.flatten(2) for x in a], [x.flatten(2) for x in b], 2.0),
}


@pytest.mark.parametrize("name", PER_PICTURE)
def test_a_pictures_feature_loss_does_not_depend_on_its_batch(name: str) -> None:
    loss, painting, photo = PER_PICTURE[name], layers(3, seed=0), layers(3, seed=10)
    together = loss(painting, photo)
    assert together.shape == (3,)
    for index in range(3):
        alone = loss([x[index, None] for x in painting], [x[index, None] for x in photo])
        torch.testing.assert_close(alone[0], together[index])
    assert together.std() > 1e-3


def rimmed(brighter: float, side: int = 32) -> Tensor:
    """Gray, its outer four pixels brighter by so much of the range from black to white."""
    picture = torch.zeros(1, 3, side, side)
    rim = torch.ones(side, side, dtype=torch.bool)
    rim[4:-4, 4:-4] = False
    picture[..., rim] = 2 * brighter
    return picture


def test_halo_loss_is_how_much_brighter_a_surface_is_beside_a_contour() -> None:
    photo = torch.full((1, 3, 128, 128), 0.5)
    photo[..., 64:] = -0.5  # a wall of light beside a wall of dark
    plain, light, dark = (photo.clone() for _ in range(3))
    light[..., 52:64] += 0.3  # 3 cells, as far as is looked
    dark[..., 52:64] -= 0.3
    assert losses.halo_loss(plain, photo).item() == pytest.approx(0, abs=1e-4)
    assert losses.halo_loss(dark, photo).item() == pytest.approx(0, abs=1e-4)
    # Of the 9 columns of cells that are compared, 4 cells apart, less than a third lie in the rim.
    assert 0.2 < losses.halo_loss(light, photo).item() < 0.3
    assert losses.halo_loss(torch.cat([plain, light]), photo.repeat(2, 1, 1, 1)).shape == (2,)


def test_halo_loss_minds_neither_strokes_nor_pictures_without_contours() -> None:
    photo = torch.full((1, 3, 128, 128), 0.5)
    photo[..., 64:] = -0.5
    strokes = photo + 0.2 * torch.sign(torch.sin(torch.arange(128.0) * torch.pi / 8))[:, None]  # across the contour
    halo = losses.halo_loss(strokes, photo).item()
    light = photo.clone()
    light[..., 52:64] += 0.2
    assert halo < 0.2 * losses.halo_loss(light, photo).item()
    assert losses.halo_loss(strokes, torch.zeros_like(photo)).item() == 0


def test_border_loss_is_the_rim_of_the_painting_over_that_of_its_photo() -> None:
    paintings = torch.cat([rimmed(0.2), rimmed(0.0)])
    photos = torch.cat([rimmed(0.04), rimmed(0.01)])
    assert losses.border_loss(paintings, photos).item() == pytest.approx((0.21 / 0.05 + 0.01 / 0.02) / 2, rel=1e-5)
    assert losses.border_loss(photos, photos).item() == 1.0


def test_border_loss_has_finite_gradients_that_reach_the_rim_only() -> None:
    for painting in (rimmed(0.2), random(1, 3, 32, 32)):  # rings of one color have no contrast to speak of
        painting.requires_grad_()
        losses.border_loss(painting, random(1, 3, 32, 32, seed=1)).backward()
        assert painting.grad.isfinite().all()
        assert painting.grad[..., :8, :].abs().max() > 0
        assert painting.grad[..., 8:-8, 8:-8].abs().max() == 0


BATCH_MEANS = {
    "l1_loss": losses.l1_loss,
    "color_loss": lambda a, b: losses.color_loss(a, b, blur=4),
    "total_variation": lambda a, _: losses.total_variation(a),
    **{
        f"discriminator {kind}": lambda a, b, k=kind: losses.discriminator_loss([a], [b], k)
        for kind in losses.ADVERSARIAL
    },
    **{f"generator {kind}": lambda a, _, k=kind: losses.generator_loss([a], k) for kind in losses.ADVERSARIAL},
}


@pytest.mark.parametrize("name", BATCH_MEANS)
def test_the_mean_over_two_equal_batches_is_the_loss_of_both_together(name: str) -> None:
    loss, a, b = BATCH_MEANS[name], random(4, 1, 8, 8), random(4, 1, 8, 8, seed=1)
    torch.testing.assert_close((loss(a[:2], b[:2]) + loss(a[2:], b[2:])) / 2, loss(a, b))


def test_the_grid_of_one_picture_is_not_hidden_by_another() -> None:
    grid, other = wave(4), wave(64 / 13)  # what is counted in one stands, in the other, beside what is counted
    expected = (losses.grid_loss(grid) + losses.grid_loss(other)) / 2
    torch.testing.assert_close(losses.grid_loss(torch.cat([grid, other])), expected)


@pytest.mark.parametrize("name", [*PER_PICTURE, *BATCH_MEANS])
def test_gradients_are_those_of_small_steps(name: str) -> None:
    if name in PER_PICTURE:
        painting, photo = random(2, 4, 6, 6).requires_grad_(), random(2, 4, 6, 6, seed=1)
        loss = lambda x: PER_PICTURE[name]([x], [photo]).double().sum()  # noqa: E731
    else:
        painting, photo = random(2, 1, 8, 8).requires_grad_(), random(2, 1, 8, 8, seed=1)
        loss = lambda x: BATCH_MEANS[name](x, photo).double()  # noqa: E731
    (gradient,) = torch.autograd.grad(loss(painting), painting)
    with torch.no_grad():
        step = 1e-2 * gradient / gradient.norm()
        slope = (loss(painting + step) - loss(painting - step)) / 2e-2
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=1e-2)
