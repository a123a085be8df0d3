"""The generator keeps its budget, paints any size, and is one and the same network whole, tiled, mixed or folded."""

import pytest
import torch
import torch.nn.functional as F
from small_generators import random_generator, random_photo
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from styletransfer.models.convolutions import DoublingConv, EvenConv, PlainBlocks, PlainEnd
from styletransfer.models.generator import (
    EPSILON,
    RIM,
    STRIDE,
    Generator,
    Moments,
    PlainGenerator,
    Share,
    blended,
    with_grain,
)

STYLES = {"wave": "The Wave", "night": "Night", "alps": "High Alps"}  # not in the order of the alphabet
LEVEL = 2 / 255  # one grey level, on the range -1 to 1


def one_hot(generator, style):
    return generator.style_weights({style: 1.0})


@pytest.fixture
def generator():
    return random_generator(STYLES)


def test_default_network_with_four_styles_stays_within_two_million_parameters():
    count = sum(values.numel() for values in Generator(dict.fromkeys("abcd", "A title")).parameters())
    assert 100_000 < count <= 2_000_000


def test_painting_512x512_stays_within_60_gflop():
    generator, photo = Generator(dict.fromkeys("abcd", "A title")), torch.zeros(1, 3, 512, 512)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        generator(photo, one_hot(generator, "a"))
    one_body_layer = 2 * 64 * 64 * 9 * 128 * 128  # a multiplication and an addition per weight and cell
    assert 16 * one_body_layer < flops.get_total_flops() <= 60e9


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (16, 17), (17, 16), (18, 19), (19, 97), (97, 19), (31, 33), (64, 48), (16, 203)]
)
def test_a_painting_has_the_size_of_its_photo(generator, height, width):
    painting = generator(random_photo(height, width, count=2), torch.eye(3)[:2])
    assert painting.shape == (2, 3, height, width)
    assert painting.dtype == torch.float32
    assert painting.isfinite().all()
    assert painting.abs().max() <= 1
    assert painting.std() > 0.1


@torch.no_grad()
def test_every_pixel_of_an_odd_size_depends_on_its_own_place_in_the_photo(generator):
    photo = random_photo(37, 43)
    for row, column in ((36, 42), (0, 42), (36, 0)):
        changed = photo.clone()
        changed[..., row, column] = -changed[..., row, column].sign()
        difference = generator(changed, one_hot(generator, "wave")) - generator(photo, one_hot(generator, "wave"))
        change = difference.abs().amax(dim=(0, 1))
        around = change[max(0, row - STRIDE) : row + STRIDE + 1, max(0, column - STRIDE) : column + STRIDE + 1]
        assert around.max() > 3 * LEVEL


@torch.no_grad()
@pytest.mark.parametrize("mix", [{"wave": 1}, {"alps": 1}, {"wave": 0.3, "night": 0.6, "alps": 0.1}])
@pytest.mark.parametrize(("height", "width"), [(40, 56), (35, 50)])
def test_folded_network_paints_the_same_picture(mix, height, width):
    generator = random_generator(STYLES, blocks=8)
    photo, weights = random_photo(height, width), generator.style_weights(mix)
    statistics = generator.measure(random_photo(64, 64, seed=1), weights)
    expected = generator(photo, weights, statistics)
    folded = generator.fold(weights, statistics)
    assert (folded(photo) - expected).abs().max() <= 1e-4
    kinds = {PlainGenerator, PlainBlocks, PlainEnd, nn.ModuleList, nn.Conv2d, DoublingConv, EvenConv}
    assert {type(module) for module in folded.modules()} == kinds
    other = generator.fold(one_hot(generator, "night"), statistics)
    assert (other(photo) - expected).abs().mean() > 0.05


@torch.no_grad()
def test_folding_leaves_the_generator_and_torchs_random_numbers_alone(generator):
    photo, weights = random_photo(32, 32), one_hot(generator, "wave")
    before = generator(photo, weights)
    state = torch.get_rng_state()
    generator.fold(weights, generator.measure(photo, weights))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(generator(photo, weights), before)


# Corners, edges and the middle of 203x150, whose sides no cell divides.
TILES = [
    (0, 0, 48, 48),
    (152, 0, 203, 40),
    (0, 104, 40, 150),
    (152, 100, 203, 150),
    (64, 48, 112, 96),
    (196, 60, 203, 64),
]


def paint_tile(paint, photo, tile, margin):
    left, top, right, bottom = tile
    x, y = max(0, left - margin), max(0, top - margin)
    painted = paint(photo[..., y : bottom + margin, x : right + margin])
    return painted[..., top - y : bottom - y, left - x : right - x]


@torch.no_grad()
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("form", ["styled", "folded"])
def test_a_tile_with_margin_equals_the_same_place_of_the_whole(generator, tile, form):
    photo, weights = random_photo(150, 203), generator.style_weights({"wave": 0.7, "alps": 0.3})
    statistics = generator.measure(F.avg_pool2d(photo, 2), weights)
    paint = {"styled": lambda x: generator(x, weights, statistics), "folded": generator.fold(weights, statistics)}[form]
    left, top, right, bottom = tile
    whole = paint(photo)[..., top:bottom, left:right]
    assert (paint_tile(paint, photo, tile, generator.margin) - whole).abs().max() <= 1e-5
    assert (paint_tile(paint, photo, tile, 2 * STRIDE) - whole).abs().max() > LEVEL  # or the check above sees nothing


@torch.no_grad()
def test_a_tile_with_its_own_statistics_does_not_equal_the_whole(generator):
    photo, weights = random_photo(150, 203), one_hot(generator, "wave")
    left, top, right, bottom = tile = TILES[0]
    measured = paint_tile(lambda x: generator(x, weights), photo, tile, generator.margin)
    assert (measured - generator(photo, weights)[..., top:bottom, left:right]).abs().max() > 10 * LEVEL


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_pixel_sees_as_far_as_the_margin_and_no_farther(blocks):
    generator = random_generator(STYLES, channels=4, blocks=blocks)
    with torch.no_grad():  # nothing negative: no path from pixel to pixel is closed by a ReLU or cancelled
        for values in generator.parameters():
            values.abs_()
        generator.to_rgb.weight *= 1e-3
    open_statistics = [
        Moments(torch.zeros(1, len(conv.bias)), torch.ones(1, len(conv.bias)) / 10) for conv in convs(generator)
    ]
    reach = 0
    for row in range(80, 80 + STRIDE):
        photo = random_photo(160, 160).requires_grad_()
        generator(photo, one_hot(generator, "wave"), open_statistics)[..., row, 80].sum().backward()
        seen = photo.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        # A tile begins where a cell begins, so it is the distance from the pixel's own cell that counts.
        reach = max(reach, 80 - int(seen.min()), int(seen.max()) - (80 + STRIDE - 1))
    assert generator.margin - STRIDE <= reach <= generator.margin
    assert generator.margin % STRIDE == 0


def convs(generator):
    return [
        layer.conv
        for layer in (generator.stem, *generator.body, generator.up_half, generator.narrow, generator.up_full)
    ]


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 51)])
def test_an_even_photo_becomes_an_even_painting_without_grid_or_frame(generator, height, width):
    weights = one_hot(generator, "wave")
    statistics = generator.measure(random_photo(64, 64), weights)
    painting = generator(torch.full((1, 3, height, width), 0.3), weights, statistics)
    assert (painting - painting[..., :1, :1]).abs().max() <= 1e-5
    assert painting.abs().max() < 0.95  # not merely cut off at white


@torch.no_grad()
@pytest.mark.parametrize("level", [-1.0, 0.2, 1.0])
def test_an_even_photo_measured_by_itself_stays_even_in_bfloat16(level):
    generator = random_generator(STYLES, blocks=8).convolve_in(torch.bfloat16)
    painting = generator(torch.full((1, 3, 64, 64), level), one_hot(generator, "night"))
    assert painting.isfinite().all()
    assert (painting - painting.mean(dim=(2, 3), keepdim=True)).abs().max() <= 4 * LEVEL


# ---------------------------------------------------------------- statistics


@torch.no_grad()
def test_frozen_statistics_of_a_photo_paint_it_as_measuring_does(generator):
    photos, weights = random_photo(45, 38, count=3), torch.eye(3)
    statistics = generator.measure(photos, weights)
    measured = generator(photos, weights)
    torch.testing.assert_close(generator(photos, weights, statistics), measured, rtol=0, atol=1e-5)
    foreign = generator.measure(random_photo(45, 38, count=3, seed=9) / 3, weights)
    assert (generator(photos, weights, foreign) - measured).abs().mean() > 10 * LEVEL


def test_statistics_are_mean_and_inverse_deviation_of_each_layers_convolution(generator):
    photo = random_photo(24, 32)
    cells = generator.stem.conv(F.pixel_unshuffle(F.pad(photo, [RIM] * 4, mode="reflect"), STRIDE))
    first, *others = generator.measure(photo, one_hot(generator, "wave"))
    torch.testing.assert_close(first.mean, cells.mean(dim=(2, 3)), rtol=0, atol=1e-5)
    variance = cells.var(dim=(2, 3), correction=0)
    torch.testing.assert_close(first.rstd, (variance + EPSILON).rsqrt(), rtol=1e-4, atol=1e-5)
    assert len(others) == 2 * 2 + 3
    assert all(
        values.dtype == torch.float32 and not values.requires_grad for moments in (first, *others) for values in moments
    )


def test_training_and_use_paint_alike(generator):
    photos, weights = random_photo(40, 36, count=2), torch.eye(3)[:2]
    training = generator(photos, weights)
    assert training.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(training, generator(photos, weights), rtol=0, atol=1e-5)
    statistics = generator.measure(photos, weights)
    torch.testing.assert_close(training, generator(photos, weights, statistics), rtol=0, atol=1e-5)


# ---------------------------------------------------------------- styles


def test_columns_of_style_weights_are_in_the_order_of_the_styles(generator):
    assert generator.styles == STYLES
    assert list(generator.styles) == list(STYLES)
    torch.testing.assert_close(generator.style_weights({"alps": 3, "wave": 1}), torch.tensor([[0.25, 0, 0.75]]))
    assert generator.style_weights({"night": 1}).tolist() == [[0, 1, 0]]


def test_saved_and_loaded_by_diffusers_every_style_still_paints_as_before(generator, tmp_path):
    generator.save_pretrained(tmp_path)
    loaded = Generator.from_pretrained(tmp_path)
    photo = random_photo(24, 24)
    assert list(loaded.styles.items()) == list(STYLES.items())
    with torch.no_grad():
        for style in STYLES:
            assert torch.equal(loaded(photo, one_hot(loaded, style)), generator(photo, one_hot(generator, style)))


@torch.no_grad()
def test_a_mix_paints_with_the_mean_of_the_styles_scales_and_shifts(generator):
    photo, weights = random_photo(32, 40), torch.tensor([[0.2, 0.5, 0.3]])
    mixed = generator(photo, weights)
    for layer in (generator.stem, *generator.body, generator.up_half, generator.narrow, generator.up_full):
        for values in (layer.scale, layer.shift):
            values[0] = 0.2 * values[0] + 0.5 * values[1] + 0.3 * values[2]
    torch.testing.assert_close(mixed, generator(photo, one_hot(generator, "wave")), rtol=0, atol=1e-5)
    assert (mixed - generator(photo, one_hot(generator, "night"))).abs().mean() > 5 * LEVEL


@torch.no_grad()
def test_pictures_of_a_batch_do_not_touch_each_other(generator):
    photos, weights = random_photo(28, 36, count=3), torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [0.5, 0.5, 0]])
    together = generator(photos, weights)
    for photo, row, painting in zip(photos, weights, together, strict=True):
        torch.testing.assert_close(generator(photo[None], row[None])[0], painting, rtol=0, atol=1e-5)
    assert (together[0] - together[1]).abs().mean() > 10 * LEVEL


def test_every_parameter_of_the_styles_asked_for_learns_and_no_other(generator):
    generator(random_photo(32, 32, count=2), torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])).square().sum().backward()
    for name, values in generator.named_parameters():
        if name.endswith(("scale", "shift")):
            assert values.grad[1].abs().max() == 0, name
            assert values.grad[[0, 2]].abs().amax(dim=1).min() > 0, name
        elif name.endswith("weight"):  # a bias before a normalization changes nothing
            assert values.grad.abs().max() > 0, name


# ---------------------------------------------------------------- features on the way in


@pytest.mark.parametrize(("height", "width"), [(32, 40), (33, 47)])
@torch.no_grad()
def test_encoding_is_what_the_layers_of_a_painting_see(generator, height, width):
    """Hooks on the layers of a whole pass know the same numbers, rim and all."""
    photo, weights, seen = random_photo(height, width, count=2), one_hot(generator, "night").expand(2, 3), []
    hooks = [
        layer.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
        for layer in (generator.stem, generator.body[0], generator.body[2])
    ]
    generator(photo, weights)
    for hook in hooks:
        hook.remove()
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    inside = (..., slice(RIM // STRIDE, RIM // STRIDE + rows), slice(RIM // STRIDE, RIM // STRIDE + columns))
    pixels, stem, block = (x[inside] for x in seen)
    found = generator.encode(photo, weights, [2, 0, 1])
    for layer, expected in zip(found, (block, pixels, stem), strict=True):
        assert layer.shape[2:] == (rows, columns)
        torch.testing.assert_close(layer, expected, rtol=0, atol=1e-5)
    if (height, width) == (32, 40):
        torch.testing.assert_close(found[1], F.pixel_unshuffle(photo, STRIDE))
    assert len(generator.encode(photo, weights, [3])) == 1  # behind the last block
    with pytest.raises(IndexError):
        generator.encode(photo, weights, [4])


def test_encoding_one_layer_costs_no_layer_behind_it(generator):
    photo, weights = random_photo(32, 32).requires_grad_(), one_hot(generator, "wave")
    generator.encode(photo, weights, [0, 2])[1].square().sum().backward()
    reached = {
        name.split(".")[0] + name.split(".")[1]
        for name, values in generator.named_parameters()
        if values.grad is not None
    }
    assert reached == {"stemconv", "stemscale", "stemshift", "body0", "body1"}
    assert photo.grad.abs().max() > 0


# ---------------------------------------------------------------- precision


@torch.no_grad()
def test_bfloat16_convolutions_paint_nearly_the_same(generator):
    photo, weights = random_photo(50, 62), one_hot(generator, "alps")
    statistics = generator.measure(photo, weights)
    expected = generator(photo, weights)
    generator.convolve_in(torch.bfloat16)
    assert {values.dtype for name, values in generator.named_parameters() if "scale" in name or "shift" in name} == {
        torch.float32
    }
    for painting in (
        generator(photo, weights),
        generator(photo, weights, statistics),
        generator.fold(weights, statistics)(photo),
    ):
        assert painting.dtype == torch.float32
        assert 0 < (painting - expected).abs().mean() <= 2 * LEVEL


def test_autocast_trains_nearly_the_same_and_keeps_the_picture_in_float32(generator):
    photo, weights = random_photo(32, 40), one_hot(generator, "wave")
    with torch.autocast("cpu", torch.bfloat16):
        painting = generator(photo, weights)
    assert painting.dtype == torch.float32
    assert 0 < (painting - generator(photo, weights)).abs().mean() <= 2 * LEVEL
    painting.sum().backward()
    assert all(values.grad is None or values.grad.isfinite().all() for values in generator.parameters())


# ---------------------------------------------------------------- grain and blends


def test_a_tile_has_the_grain_of_its_place():
    photo = torch.zeros(1, 3, 1100, 1300)
    whole = with_grain(photo, 0.04)
    for top, left in ((0, 0), (16, 1000), (1000, 1200)):
        tile = with_grain(photo[..., top : top + 100, left : left + 100], 0.04, torch.tensor([[top, left]]))
        assert torch.equal(tile, whole[..., top : top + 100, left : left + 100])
    assert whole.std().item() == pytest.approx(0.04, rel=0.05) and abs(whole.mean().item()) < 0.002
    assert torch.equal(whole[:, :, :76], whole[:, :, 1024:])  # it repeats
    steps = (whole[..., 1:] - whole[..., :-1]).abs()
    assert steps[..., 1023].max() < 1.5 * steps.max()  # without a seam
    assert with_grain(photo, 0.0) is photo


def test_every_picture_of_a_batch_has_the_grain_of_its_own_corner():
    corners = torch.tensor([[5, 7], [900, 1000]])
    both = with_grain(torch.zeros(2, 3, 200, 90), 1.0, corners)
    for picture, corner in zip(both, corners, strict=True):
        assert torch.equal(picture[None], with_grain(torch.zeros(1, 3, 200, 90), 1.0, corner[None]))


@torch.no_grad()
def test_a_blend_of_a_network_with_itself_is_that_network():
    generator, photo = random_generator({"a": "A", "b": "B"}), torch.rand(1, 3, 40, 48) * 2 - 1
    blend = blended([Share(generator, "a", "one", 3.0), Share(generator, "b", "two", 1.0)])
    assert list(blend.styles.items()) == [("one", "A"), ("two", "B")]
    expected = generator(photo, generator.style_weights({"a": 3, "b": 1}))
    torch.testing.assert_close(blend(photo, blend.style_weights({"one": 3, "two": 1})), expected)


def test_networks_that_are_no_kin_are_not_blended():
    one, other = random_generator({"a": "A"}), random_generator({"a": "A"}, seed=1)
    with pytest.raises(ValueError, match="trained apart"):
        blended([Share(one, "a", "x", 1.0), Share(other, "a", "y", 1.0)])
    with pytest.raises(ValueError, match="different sizes"):
        blended([Share(one, "a", "x", 1.0), Share(random_generator({"a": "A"}, channels=8), "a", "y", 1.0)])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@torch.no_grad()
def test_a_gpu_measures_moments_of_features_in_channels_last():
    generator = Generator({"waves": "Waves"}, channels=8, blocks=1).cuda().to(memory_format=torch.channels_last)
    photo = torch.rand(2, 3, 64, 64, device="cuda") * 2 - 1
    weights = torch.ones(2, 1, device="cuda")
    here = generator(photo, weights).cpu()
    torch.testing.assert_close(here, generator.cpu()(photo.cpu(), weights.cpu()), rtol=0, atol=1e-3)
