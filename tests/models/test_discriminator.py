"""The discriminator scores patches per style and scale, and its augmentation is what its numbers say, no more."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from styletransfer.models.discriminator import AUGMENTATION_NUMBERS, Discriminator, FeatureDiscriminator, augment
from styletransfer.models.features import Features

# brightness, saturation, contrast, shift in x and y, mirror: as it was; the cutout lies in the upper left corner.
STILL = (0.5, 0.5, 0.5, 0.5, 0.5, 0.9, 0.0, 0.0)
NAMES = ("brightness", "saturation", "contrast", "dx", "dy", "mirror", "cx", "cy")


def pictures(count=2, side=32, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def numbers(count=1, **changed):
    """The numbers that leave a picture as it was, but for its cutout, with some of them changed."""
    row = [changed.get(name, still) for name, still in zip(NAMES, STILL, strict=True)]
    return torch.tensor([row] * count)


def uncut(side):
    """True where the cutout of `STILL` is not: outside of the upper left quarter square."""
    place = torch.arange(side) / side
    return (place[:, None] > 0.25) | (place > 0.25)


@pytest.fixture
def discriminator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Discriminator(styles=3, channels=8, resolutions=2)


# ---------------------------------------------------------------- the network


@torch.no_grad()
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_each_scale_gives_one_logit_per_patch(scales):
    logits = Discriminator(styles=2, channels=4, resolutions=scales)(pictures(3, side=64), torch.eye(2)[[0, 1, 0]])
    assert [tuple(x.shape) for x in logits] == [(3, 1, 8 >> scale, 8 >> scale) for scale in range(scales)]
    assert all(x.dtype == torch.float32 and x.std() > 0 for x in logits)


@torch.no_grad()
def test_the_second_scale_sees_half_the_resolution(discriminator):
    weights, picture = torch.eye(3)[:1], pictures(1)
    checkers = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    fine, coarse = discriminator(picture, weights)
    fine_again, coarse_again = discriminator(picture + 0.5 * checkers, weights)
    torch.testing.assert_close(coarse_again, coarse, rtol=0, atol=1e-5)  # pairs of pixels have the same mean
    assert (fine_again - fine).abs().max() > 1e-2


def test_a_discriminator_of_features_scores_each_layer_and_leaves_the_frozen_network_alone():
    features = Features("vgg19", ("relu1_1", "relu2_1"), "random")
    assert features.widths == [64, 128]
    discriminator = FeatureDiscriminator(2, features, features.widths, channels=8)
    painting = pictures(2, side=64).requires_grad_()
    logits = discriminator(painting, torch.eye(2))
    assert [tuple(x.shape) for x in logits] == [(2, 1, 32, 32), (2, 1, 16, 16)]
    sum(x.mean() for x in logits).backward()
    assert painting.grad.abs().max() > 0
    trained = {name for name, parameter in discriminator.named_parameters() if parameter.grad is not None}
    assert trained and all(name.startswith("heads.") for name in trained)
    with torch.no_grad():
        swapped = discriminator(painting, torch.eye(2).flip(0))
    assert all((a - b).abs().max() > 0 for a, b in zip(logits, swapped, strict=True))  # each style has its own logits


@torch.no_grad()
def test_a_patch_sees_its_own_place_only(discriminator):
    picture = pictures(1, side=128)
    changed = picture.clone()
    changed[..., :8, :8] = 1
    difference = (discriminator(changed, torch.eye(3)[:1])[0] - discriminator(picture, torch.eye(3)[:1])[0])[0, 0]
    assert difference[0, 0] != 0
    assert difference[6:, :].abs().max() == 0
    assert difference[:, 6:].abs().max() == 0


@torch.no_grad()
def test_each_style_has_logits_of_its_own(discriminator):
    picture, weights = pictures(1), torch.tensor([[0.0, 1.0, 0.0]])
    before = discriminator(picture, weights)
    heads = [network[-1] for network in discriminator.scales]
    for head in heads:
        head.weight[[0, 2]] *= -3
        head.bias[[0, 2]] += 5
    for again, logits in zip(discriminator(picture, weights), before, strict=True):
        assert torch.equal(again, logits)
    for head in heads:
        head.bias[1] += 5
    for again, logits in zip(discriminator(picture, weights), before, strict=True):
        torch.testing.assert_close(again, logits + 5)


@torch.no_grad()
def test_pictures_of_a_batch_are_scored_each_by_itself_and_in_its_style(discriminator):
    batch, weights = pictures(3), torch.eye(3)
    together = discriminator(batch, weights)
    for index in range(3):
        alone = discriminator(batch[index : index + 1], weights[index : index + 1])
        for part, whole in zip(alone, together, strict=True):
            torch.testing.assert_close(part[0], whole[index], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_float32_whatever_autocast_says(discriminator, dtype):
    picture, weights = pictures(1), torch.eye(3)[:1]
    expected = discriminator(picture, weights)
    with torch.autocast("cpu", dtype):
        for logits, plain in zip(discriminator(picture, weights), expected, strict=True):
            assert torch.equal(logits, plain)


def test_gradients_are_those_of_small_steps(discriminator):
    picture, weights = pictures(2).requires_grad_(), torch.eye(3)[:2]

    def score(x):
        return sum(logits.double().square().sum() for logits in discriminator(x, weights))

    (gradient,) = torch.autograd.grad(score(picture), picture)
    with torch.no_grad():
        step = 1e-2 * gradient / gradient.norm()
        slope = (score(picture + step) - score(picture - step)) / 2e-2
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=2e-2)


def convolutions(discriminator):
    return [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]


def gain(conv):
    return torch.linalg.matrix_norm(conv.weight.detach().flatten(1), 2).item()


@pytest.mark.parametrize("factor", [0.1, 30.0])
def test_spectral_norm_brings_the_gain_of_every_layer_to_one(factor):
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        discriminator = Discriminator(styles=3, channels=8, resolutions=2, spectral_norm=True)
        for conv in convolutions(discriminator):
            conv.parametrizations.weight.original *= factor
        for _ in range(30):  # each look at a picture is one power iteration
            discriminator(pictures(1), torch.eye(3)[:1])
    assert len(convolutions(discriminator)) == 8
    assert [gain(conv) for conv in convolutions(discriminator)] == pytest.approx([1.0] * 8, abs=0.02)


def test_without_spectral_norm_layers_are_left_alone(discriminator):
    assert not any(is_parametrized(module) for module in discriminator.modules())
    with torch.no_grad():
        for conv in convolutions(discriminator):
            conv.weight *= 30
    assert min(gain(conv) for conv in convolutions(discriminator)) > 2


# ---------------------------------------------------------------- augmentation


def test_numbers_in_the_middle_leave_all_but_the_cutout_as_it_was():
    picture = pictures(1)
    augmented, kept = augment(picture, numbers()), uncut(32)
    torch.testing.assert_close(augmented[..., kept], picture[..., kept], rtol=0, atol=1e-6)
    assert augmented[..., ~kept].abs().max() == 0
    assert (~kept).sum() == 9 * 9


def test_there_are_as_many_numbers_as_the_data_draws():
    assert len(NAMES) == AUGMENTATION_NUMBERS
    augment(pictures(2), torch.rand(2, AUGMENTATION_NUMBERS))


@pytest.mark.parametrize(("number", "added"), [(0.0, -0.25), (0.25, -0.125), (1.0, 0.25)])
def test_brightness_is_added(number, added):
    picture, kept = pictures(1), uncut(32)
    brighter = augment(picture, numbers(brightness=number))
    torch.testing.assert_close((brighter - picture)[..., kept], torch.full((1, 3, int(kept.sum())), added))


@pytest.mark.parametrize(("number", "factor"), [(0.0, 0.5), (1.0, 1.5)])
def test_saturation_moves_colors_from_and_to_their_gray(number, factor):
    kept = uncut(8)
    picture = torch.tensor([0.6, 0.0, -0.3]).view(1, 3, 1, 1).expand(1, 3, 8, 8)  # its gray is 0.1
    expected = 0.1 + factor * torch.tensor([0.5, -0.1, -0.4])
    augmented = augment(picture, numbers(saturation=number))[..., kept]
    torch.testing.assert_close(augmented, expected.view(1, 3, 1).expand_as(augmented))
    gray = torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8)
    torch.testing.assert_close(augment(gray, numbers(saturation=number))[..., kept], gray[..., kept])


@pytest.mark.parametrize(("number", "factor"), [(0.0, 0.75), (1.0, 1.25)])
def test_contrast_stretches_around_the_mean_of_the_picture(number, factor):
    picture, kept = pictures(2), uncut(32)
    picture[1] /= 4
    middle = picture.mean(dim=(1, 2, 3), keepdim=True)
    augmented = augment(picture, numbers(2, contrast=number))
    torch.testing.assert_close(augmented[..., kept], (middle + factor * (picture - middle))[..., kept])


def test_mirror_turns_left_to_right():
    picture, kept = pictures(1), uncut(32)
    for number, expected in ((0.0, picture.flip(3)), (0.49, picture.flip(3)), (0.5, picture)):
        augmented = augment(picture, numbers(mirror=number))
        torch.testing.assert_close(augmented[..., kept], expected[..., kept], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0), (0.25, 1.0), (0.125, 0.0)])
def test_shift_moves_by_up_to_an_eighth_of_the_side_and_zeros_enter(dx, dy):
    side = 32
    ones, place = torch.ones(1, 3, side, side), torch.arange(side)
    picture = torch.stack([ones[0, 0], ones[0, 0] * place / side, ones[0, 0] * place[:, None] / side])[None]
    x, y = round((dx - 0.5) / 4 * side), round((dy - 0.5) / 4 * side)
    came_from_x, came_from_y = place + x, place[:, None] + y
    inside = (came_from_x >= 0) & (came_from_x < side) & (came_from_y >= 0) & (came_from_y < side)
    expected = torch.stack([inside, inside * came_from_x / side, inside * came_from_y / side])
    augmented = augment(picture, numbers(dx=dx, dy=dy))
    torch.testing.assert_close(augmented[..., uncut(side)], expected[None, :, uncut(side)], rtol=0, atol=1e-6)
    assert (inside.sum() < side * side) == ((dx, dy) != (0.5, 0.5))


@pytest.mark.parametrize(
    ("cx", "cy", "columns", "rows"),
    [(0.5, 0.5, (8, 24), (8, 24)), (0.0, 0.5, (0, 8), (8, 24)), (1.0, 0.25, (24, 32), (0, 16))],
)
def test_cutout_is_a_square_of_half_the_side_around_its_place(cx, cy, columns, rows):
    mask = augment(torch.ones(1, 3, 32, 32), numbers(cx=cx, cy=cy))[0, 0] == 0
    assert set(mask.unique().tolist()) == {True, False}
    place = torch.arange(32)
    expected = ((place >= columns[0]) & (place <= columns[1])) & ((place >= rows[0]) & (place <= rows[1]))[:, None]
    assert torch.equal(mask, expected)


def test_augmentation_is_a_pure_function_of_its_numbers():
    batch, rows = pictures(3), torch.rand(3, 8, generator=torch.Generator().manual_seed(1))
    kept_batch, kept_rows, state = batch.clone(), rows.clone(), torch.get_rng_state()
    first, second = augment(batch, rows), augment(batch, rows)
    assert torch.equal(first, second)
    assert torch.equal(batch, kept_batch)
    assert torch.equal(rows, kept_rows)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, augment(batch, 1 - rows))


def test_every_picture_follows_its_own_numbers():
    batch, rows = pictures(4), torch.rand(4, 8, generator=torch.Generator().manual_seed(2))
    together = augment(batch, rows)
    for index in range(4):
        torch.testing.assert_close(augment(batch[index, None], rows[index, None])[0], together[index])


def test_augmentation_keeps_size_for_sides_that_differ():
    wide = torch.rand(2, 3, 16, 48)
    augmented = augment(wide, numbers(2, dx=1.0))
    assert augmented.shape == wide.shape
    torch.testing.assert_close(augmented[..., 5:, :42], wide[..., 5:, 6:], rtol=0, atol=1e-6)


def test_augmentation_is_differentiable_twice_over():
    rows = torch.rand(2, 8, generator=torch.Generator().manual_seed(3))
    rows[:, 3] = torch.tensor([0.0, 1.0])  # far enough to move
    rows[:, 5] = torch.tensor([0.1, 0.9])  # one of them is mirrored
    batch = pictures(2, side=5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, rows), (batch,))
    assert torch.autograd.gradgradcheck(lambda x: augment(x, rows).square(), (batch,))
