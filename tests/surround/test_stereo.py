"""Stereo pairs: both eyes painted alike where both see, each for itself where only one does."""

import numpy as np
import pytest
import torch
from painting_kit import farthest, pixels
from PIL import Image
from small_generators import random_generator
from stereo_kit import apart, stereo_pair

from styletransfer import StyleTransferPipeline
from styletransfer.cli.paint import main
from styletransfer.errors import InputError
from styletransfer.painter import Painter
from styletransfer.paths import SHIPPED_PACK
from styletransfer.results import read_settings
from styletransfer.surround.stereo import correspondence, moved, paint_stereo

FLOAT = {"device": "cpu", "dtype": torch.float32}


def eyes_of(pair):
    levels = np.asarray(pair)
    return np.split(levels, 2, axis=1)


def painted_apart(pipeline, pair, style):
    halves = [np.asarray(pipeline(Image.fromarray(eye), style)) for eye in eyes_of(pair)]
    return Image.fromarray(np.concatenate(halves, axis=1))


@pytest.fixture(scope="module")
def small():
    return Painter(random_generator({"red": "Red"}, channels=8, blocks=1), **FLOAT)


def test_along_the_known_disparity_the_eyes_differ_by_less_than_half_of_what_they_do_when_painted_apart():
    pipeline = StyleTransferPipeline.from_pretrained(SHIPPED_PACK, **FLOAT)
    pair, step, seen = stereo_pair()
    painting = paint_stereo(pipeline, pair, "starry-night")
    assert painting.size == pair.size
    assert apart(painting, step, seen) < 0.3 * apart(painted_apart(pipeline, pair, "starry-night"), step, seen)
    assert farthest(painting.crop((0, 0, 480, 360)), pipeline(pair.crop((0, 0, 480, 360)), "starry-night")) <= 1


def test_disparity_is_found_and_what_one_eye_alone_sees_is_not_trusted():
    pair, step, seen = stereo_pair()
    flow, trust = correspondence(*eyes_of(pair))
    assert np.abs(flow[..., 0] - step)[trust > 0.5].mean() < 0.5
    assert trust[seen].mean() > 0.9
    hidden = ~seen
    hidden[:, -40:] = False  # behind what stands in front; not beyond the edge
    assert trust[hidden].mean() < 0.25
    assert trust[:, -2:].mean() < 0.5  # nor what lies beyond the edge of the other eye


def test_nothing_of_what_stands_in_front_is_left_behind_where_it_hides_nothing(small):
    """A ghost would be the left eye's front, seen a second time beside the right eye's."""
    pair, step, seen = stereo_pair()
    left, right = eyes_of(pair)
    flow, trust = correspondence(left, right)
    own = right.astype(int)
    there = moved(left, right, flow, trust).astype(int)  # the photo itself in place of a painting
    hidden = ~seen
    hidden[:, -40:] = False
    assert np.abs(there - own)[hidden].mean() < 8
    blind = moved(left, right, np.stack([step, 0 * step], axis=2), np.ones_like(step)).astype(int)
    assert np.abs(blind - own)[hidden].mean() > 30


def test_pairs_larger_than_what_disparity_is_looked_for_in_are_moved_at_their_own_size():
    pair, step, seen = stereo_pair((1600, 600))
    flow, trust = correspondence(*eyes_of(pair))
    assert flow.shape[1] == 1280
    left, right = eyes_of(pair)
    there = moved(left, right, flow, trust)
    assert there.shape == right.shape
    assert np.abs(there.astype(int) - right)[seen].mean() < 4


def test_strength_colors_and_brush_are_those_of_any_painting(small):
    pair, _, _ = stereo_pair((96, 80))
    assert farthest(paint_stereo(small, pair, "red", strength=0.0), pair) == 0
    whole = pixels(paint_stereo(small, pair, "red", brush_size=2))
    assert np.abs(whole - pixels(paint_stereo(small, pair, "red"))).mean() > 1


@pytest.mark.parametrize(
    ("size", "said"),
    [((97, 80), "97 pixels wide: two eyes side by side need an even width"), ((20, 80), "10x80 pixels")],
)
def test_what_is_no_pair_is_refused(small, size, said):
    with pytest.raises(InputError, match=said):
        paint_stereo(small, Image.new("RGB", size), "red")


def test_the_command_paints_a_pair_and_says_so_in_the_file(red_arguments, tiny_pack, tmp_path, capsys):
    pair, _, _ = stereo_pair((96, 80))
    pair.save(tmp_path / "pair.png")
    arguments = red_arguments("pair.png")
    assert main([*arguments, "--stereo", "sbs"]) == 0
    assert read_settings(tmp_path / "out.png")["stereo"] == "sbs"
    painting = paint_stereo(StyleTransferPipeline.from_pretrained(tiny_pack, device="cpu"), pair, "red")
    assert farthest(Image.open(tmp_path / "out.png"), painting) == 0
    assert main([*arguments, "--stereo", "sbs", "--panorama"]) == 2
    assert "--stereo alone" in capsys.readouterr().err
