"""The ONNX graph paints what PyTorch paints: every size, mix, tile and precision."""

import builtins

import numpy as np
import onnx
import pytest
import torch
from small_generators import random_generator

from styletransfer.errors import InputError
from styletransfer.models.generator import GRAIN_SIDE
from styletransfer.models.onnx_graph import (
    AROUND,
    CORNER,
    MEASURED,
    NOT_AROUND,
    OPSET,
    PAINTING,
    PHOTO,
    STATISTICS,
    STYLE_WEIGHTS,
    onnx_graph,
)
from styletransfer.models.onnx_network import OnnxNetwork

STYLES = {"wave": "The Wave", "night": "Night", "alps": "High Alps"}
MOST_APART = 1e-3


def grainy(styles=STYLES, **sizes):
    """A random generator that lays a strong grain over its photos."""
    generator = random_generator(styles, **sizes)
    generator.register_to_config(grain=0.2)
    return generator


def photos(height, width, count=1, seed=0):
    coarse = (
        torch.rand(count, 3, height // 8 + 2, width // 8 + 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    )
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(-1, 1)


def apart(one, other):
    assert one.shape == other.shape
    return (one - other).abs().max().item()


@pytest.fixture(scope="module")
def generator():
    return grainy()


@pytest.fixture(scope="module")
def network(generator):
    return OnnxNetwork.of(generator)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (96, 64), (123, 250), (40, GRAIN_SIDE + 37)])
@pytest.mark.parametrize("mix", [{"night": 1}, {"wave": 0.2, "alps": 0.8}, dict.fromkeys(STYLES, 1)])
def test_any_size_and_mix_is_painted_as_by_pytorch(generator, network, size, mix):
    photo, weights = photos(*size), generator.style_weights(mix)
    with torch.no_grad():
        expected = generator(photo, weights)
    assert apart(network(photo, weights), expected) < MOST_APART
    assert apart(network(photo, weights), photo) > 0.1  # it paints


def test_styles_differ_and_several_photos_are_painted_at_once_each_in_its_own(generator, network):
    weights = torch.cat([generator.style_weights({"wave": 1}), generator.style_weights({"night": 1})])
    pair = photos(48, 60, count=2)
    painted = network(pair, weights)
    for one, row, painting in zip(pair, weights, painted, strict=True):
        with torch.no_grad():
            assert apart(painting[None], generator(one[None], row[None])) < MOST_APART
    assert apart(network(pair[:1], weights[:1]), network(pair[:1], weights[1:])) > 0.1


def test_statistics_are_measured_and_frozen_as_by_pytorch(generator, network):
    photo, tile, weights = photos(80, 120), photos(32, 40, seed=1), generator.style_weights({"wave": 1, "alps": 2})
    measured = network.measure(photo, weights)
    moments = generator.measure(photo, weights)
    assert apart(measured[0, 0], torch.cat([each.mean[0] for each in moments])) < MOST_APART
    corner = torch.tensor([[GRAIN_SIDE - 8, 64]])  # where the grain begins again
    with torch.no_grad():
        expected = generator(tile, weights, moments, corner)
    assert apart(network(tile, weights, measured, corner), expected) < MOST_APART
    assert apart(network.fold(weights, measured)(tile, corner), expected) < MOST_APART
    assert apart(network(tile, weights), expected) > 0.05  # by its own statistics, with the grain of another place


def test_a_tile_with_its_margin_is_the_same_place_of_the_whole(generator, network):
    photo, weights = photos(200, 240), generator.style_weights({"night": 1})
    measured, margin = network.measure(photo, weights), generator.margin
    tile = photo[..., : 80 + margin, 40 : 160 + margin]
    painted = network(tile, weights, measured, torch.tensor([[0, 40]]))[..., :80, margin:120]
    assert apart(painted, network(photo, weights)[..., :80, 40 + margin : 160]) < 1e-4


def test_without_grain_the_corner_changes_nothing():
    generator = random_generator(STYLES)
    network, weights, photo = OnnxNetwork.of(generator), generator.style_weights({"wave": 1}), photos(40, 40)
    with torch.no_grad():
        expected = generator(photo, weights)
    assert apart(network(photo, weights, corner=torch.tensor([[8, 8]])), expected) < MOST_APART


def test_half_the_bytes_hold_the_weights_rounded_to_float16_and_nothing_else_is_rounded():
    generator = grainy(channels=32, blocks=4)
    half = onnx_graph(generator, half=True).SerializeToString()
    whole = onnx_graph(generator).SerializeToString()
    grain = 4 * sum(count**2 for count in (260, 132, 68))  # is not halved
    assert len(half) - grain < 0.65 * (len(whole) - grain)
    rounded = grainy(channels=32, blocks=4)
    with torch.no_grad():
        for values in rounded.parameters():
            values.copy_(values.half().float())
        weights, photo = generator.style_weights({"alps": 1}), photos(70, 90)
        assert apart(OnnxNetwork(half)(photo, weights), rounded(photo, weights)) < MOST_APART


def test_a_generator_that_convolves_in_another_dtype_is_written_as_it_is():
    generator, weights, photo = grainy(), torch.tensor([[1.0, 0, 0]]), photos(40, 50)
    with torch.no_grad():
        expected = generator(photo, weights)
        network = OnnxNetwork.of(generator.half().convolve_in(torch.float16))
    assert apart(network(photo, weights), expected) < 0.02


def test_the_graph_is_sound_names_its_inputs_and_fixes_no_size(generator):
    model = onnx_graph(generator)
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    channels = shapes[MEASURED][2]
    assert shapes == {
        PHOTO: ["photos", 3, "height", "width"],
        STYLE_WEIGHTS: ["photos", 3],
        STATISTICS: ["statistics_photos", 2, channels],
        CORNER: [2],
        AROUND: [1],
        PAINTING: ["photos", 3, "height", "width"],
        MEASURED: ["photos", 2, channels],
    }


def test_without_defaults_every_input_is_asked_for(generator, network):
    photo, weights = photos(40, 48), generator.style_weights({"alps": 1})
    strict = OnnxNetwork(onnx_graph(generator, defaults=False).SerializeToString()).session
    names = [each.name for each in strict.get_inputs()]
    assert names == [PHOTO, STYLE_WEIGHTS, STATISTICS, CORNER, AROUND]
    channels = strict.get_inputs()[2].shape[2]
    given = {PHOTO: photo.numpy(), STYLE_WEIGHTS: weights.numpy(), STATISTICS: np.zeros((1, 2, channels), np.float32)}
    given |= {CORNER: np.zeros(2, np.int64), AROUND: np.array([NOT_AROUND])}
    assert apart(torch.from_numpy(strict.run([PAINTING], given)[0]), network(photo, weights)) == 0


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_in_one_sentence(generator, missing, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == missing:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=f"^The package {missing} is missing: pip install onnx onnxruntime.$"):
        OnnxNetwork.of(generator)


def test_numbers_that_are_none_are_handed_on(generator, network):
    photo = photos(32, 32)
    photo[0, 0, 5, 5] = np.nan
    assert not network(photo, generator.style_weights({"wave": 1})).isfinite().all()
