"""8-bit residual blocks paint what the others paint, whole or in tiles, measured or folded, for whatever mix."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from small_generators import random_generator, random_photo

from styletransfer.models import eight_bits
from styletransfer.models.eight_bits import EightBitConv, Levels, given_levels, multiplies_eight_bits
from styletransfer.models.generator import RecentMixes, Sides

needs_eight_bits = pytest.mark.skipif(not multiplies_eight_bits(), reason="this processor has no fast 8-bit arithmetic")
STYLES = {"wave": "The Wave", "night": "Night"}
LEVEL = 2 / 255


def conv_of(weight, bias):
    conv = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3)
    conv.weight.data, conv.bias.data = weight, bias
    return conv


@pytest.fixture
def exact():
    return random_generator(STYLES, channels=32, blocks=4)


@pytest.fixture
def brief(exact):
    return deepcopy(exact).convolve_in(torch.int8)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("band", [1, 2**18])
def test_levels_are_the_nearest_and_cut_what_they_do_not_hold(monkeypatch, band):
    monkeypatch.setattr(eight_bits, "BAND", band)
    levels = Levels.between(torch.tensor([0.0, -10.0]), torch.tensor([255.0, 41.0]), torch.zeros(2))
    x = torch.tensor([[-3.0, 0.4, 0.6, 254.4, 300.0], [-11.0, -10.0, -9.9, -9.8, 60.0]]).view(1, 2, 1, 5)
    x = x.expand(1, 2, 3, 5).contiguous(memory_format=torch.channels_last)
    expected = torch.tensor([[0, 0, 1, 254, 255], [0, 0, 1, 1, 255]], dtype=torch.uint8)
    assert torch.equal(levels.of(x), expected.view(1, 2, 1, 5).expand(1, 2, 3, 5))
    assert torch.equal(levels.of(x.bfloat16())[0, :, 0, [0, 4]], expected[:, [0, 4]])


@needs_eight_bits
def test_a_convolution_of_levels_is_that_of_what_they_mean():
    source = torch.Generator().manual_seed(1)
    levels = torch.randint(0, 256, (1, 8, 7, 9), generator=source, dtype=torch.uint8)
    inside = Levels(torch.randn(8, generator=source), torch.full((8,), 0.25), torch.zeros(8))
    weight = torch.randint(-127, 128, (5, 8, 3, 3), generator=source) / 64.0
    weight[:, 0, 0, 0] = 127 / 64  # the largest of each: then all are multiples of the unit, and nothing is rounded
    bias = torch.randn(5, generator=source)
    meant = inside.lowest[:, None, None] + inside.unit[:, None, None] * levels
    expected = F.conv2d(meant.double(), weight.double(), bias.double())
    found = EightBitConv(conv_of(weight, bias), inside)(levels.contiguous(memory_format=torch.channels_last))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    # Rectified, and in levels again, each channel in a unit of its own.
    outside = Levels(torch.zeros(5), torch.rand(5, generator=source) + 0.5, torch.zeros(5))
    rectified = EightBitConv(conv_of(weight, bias), inside, outside)(levels)
    nearest = (expected / outside.unit[:, None, None]).clamp(0, 255)
    assert rectified.dtype == torch.uint8 and nearest.max() == 255 and nearest.min() == 0
    # Its weights are in other units, and rounded there.
    assert (rectified - nearest).abs().max() <= 0.5 + 1e-3 * float(nearest.max())


@needs_eight_bits
def test_a_channel_that_never_fires_does_no_harm():
    levels = torch.zeros(1, 4, 5, 5, dtype=torch.uint8)
    nothing = Levels.between(*torch.zeros(3, 4))
    assert (EightBitConv(conv_of(torch.zeros(3, 4, 3, 3), torch.ones(3)), nothing)(levels) == 1).all()


@torch.no_grad()
def test_what_blocks_are_given_lies_within_their_levels(exact):
    photo, weights = random_photo(120, 140), exact.style_weights({"wave": 1})
    given = []
    for layer in exact.body:
        layer.register_forward_pre_hook(lambda layer, inputs: given.append(inputs[0].clone()))
    exact(photo, weights)
    levels = given_levels(*exact._scales_and_shifts(weights))
    assert len(given) == len(levels) == 8
    for x, (lowest, unit, mean) in zip(given, levels, strict=True):
        off = (x - lowest[:, None, None]) / unit[:, None, None]
        outside = ((off < -0.5) | (off > 255.5)).float().mean()
        assert outside < 1e-4
        deviation = x.std(dim=(0, 2, 3))
        assert ((x.mean(dim=(0, 2, 3)) - mean) / deviation).abs().median() < 0.1
        used = (off.amax(dim=(0, 2, 3)) - off.amin(dim=(0, 2, 3))).median()
        assert used > 60  # at least six of the eight bits say something


# ---------------------------------------------------------------- pictures


@needs_eight_bits
@torch.no_grad()
@pytest.mark.parametrize("mix", [{"wave": 1}, {"wave": 0.3, "night": 0.7}])
@pytest.mark.parametrize("form", ["measured", "folded"])
def test_eight_bits_paint_nearly_the_same(exact, brief, mix, form):
    photo, weights = random_photo(61, 78), exact.style_weights(mix)
    expected = exact(photo, weights)
    painted = brief(photo, weights)
    if form == "folded":
        painted = brief.fold(weights, exact.measure(photo, weights))(photo)
    assert painted.dtype == torch.float32
    difference = (painted - expected).abs()
    assert 0 < difference.mean() <= 1.5 * LEVEL
    assert difference.max() <= 16 * LEVEL


@needs_eight_bits
@torch.no_grad()
def test_what_is_measured_is_nearly_the_same(exact, brief):
    photo, weights = random_photo(61, 78), exact.style_weights({"night": 1})
    one, other = exact.measure(photo, weights), brief.measure(photo, weights)
    assert len(one) == len(other) == len(exact.body) + 4
    for first, second in zip(one, other, strict=True):
        assert first.mean.shape == second.mean.shape and second.mean.dtype == torch.float32
        assert ((first.mean - second.mean) * first.rstd).abs().max() < 0.05  # in deviations
        assert (first.rstd / second.rstd - 1).abs().max() < 0.05


@needs_eight_bits
@torch.no_grad()
def test_a_tile_equals_its_place_in_the_whole(brief):
    photo, weights = random_photo(250, 303), brief.style_weights({"wave": 1})
    folded = brief.fold(weights, brief.measure(F.avg_pool2d(photo, 2), weights))
    whole, margin = folded(photo), brief.margin
    left, top, right, bottom = 124, 100, 172, 148
    around = photo[..., top - margin : bottom + margin, left - margin : right + margin]
    tile = folded.inside(around, Sides(*[margin] * 4), torch.tensor([[top - margin, left - margin]]))
    assert (tile - whole[..., top:bottom, left:right]).abs().max() <= 1e-5


@needs_eight_bits
@torch.no_grad()
@pytest.mark.parametrize("level", [-0.9, -0.2, 0.4])
def test_an_even_photo_stays_even(brief, level):
    painted = brief(torch.full((1, 3, 64, 72), level), brief.style_weights({"wave": 1}))
    assert (painted - painted[..., :1, :1]).abs().max() <= 0.1 * LEVEL


@needs_eight_bits
@torch.no_grad()
def test_several_pictures_at_a_time_are_painted_as_before(exact, brief):
    photos, weights = torch.cat([random_photo(40, 40), random_photo(40, 40, seed=1)]), torch.eye(2)
    torch.testing.assert_close(brief(photos, weights), exact(photos, weights), rtol=0, atol=1e-5)


# ---------------------------------------------------------------- mixes


@needs_eight_bits
@torch.no_grad()
def test_threads_that_paint_other_mixes_do_not_disturb_each_other(brief):
    mixes = [brief.style_weights({"wave": 1, "night": share}) for share in torch.linspace(0, 3, 12).tolist()]
    photo = random_photo(32, 40)
    expected = [brief(photo, mix) for mix in mixes]
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(torch.no_grad()(lambda mix: brief(photo, mix)), mixes * 3))
    assert all(torch.equal(one, other) for one, other in zip(again, expected * 3, strict=True))


def test_the_last_mixes_are_kept_and_a_copy_has_none():
    mixes, make = RecentMixes(), Mock(side_effect=lambda: object())
    kept = [mixes.of((float(share),), make) for share in range(RecentMixes.most)]
    assert mixes.of((0.0,), make) is kept[0] and make.call_count == RecentMixes.most
    mixes.of((-1.0,), make)
    assert mixes.of((7.0,), make) is kept[7] and mixes.of((0.0,), make) is not kept[0]
    assert deepcopy(mixes).of((7.0,), make) is not kept[7]


@needs_eight_bits
@torch.no_grad()
def test_other_weights_are_seen_after_another_arithmetic_was_asked_for(brief):
    photo, weights = random_photo(32, 40), brief.style_weights({"wave": 1})
    before = brief(photo, weights)
    for layer in brief.body:
        layer.conv.weight.neg_()
    assert not torch.equal(brief.convolve_in(torch.int8)(photo, weights), before)


# ---------------------------------------------------------------- the processor


def test_a_processor_without_the_instructions_has_none(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert not multiplies_eight_bits.__wrapped__()
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported")
    assert not multiplies_eight_bits.__wrapped__()


@pytest.mark.parametrize("fault", [AttributeError, RuntimeError])
def test_operations_that_are_missing_or_mean_something_else_are_not_used(monkeypatch, fault):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    monkeypatch.setattr(eight_bits, "EightBitConv", Mock(side_effect=fault))
    assert not multiplies_eight_bits.__wrapped__()
    monkeypatch.setattr(eight_bits, "EightBitConv", Mock(return_value=lambda levels: torch.zeros(1, 4, 1, 1)))
    assert not multiplies_eight_bits.__wrapped__()
