"""A picture optimized on its pixels: nearer to the painting, in the places asked for, and a picture at any moment."""

import math

import numpy as np
import pytest
import torch
from painting_kit import farthest, refusal
from PIL import Image

from styletransfer.images.files import picture_to_tensor
from styletransfer.learning.optimize import PictureOptimizer, Pyramid, StylePicture, fitted, scales
from styletransfer.learning.recipe import NetworkWeights

RANDOM = NetworkWeights(style="random", content="random")


@pytest.fixture
def optimizer(painting_file, photo):
    def make(*styles, **settings):
        styles = styles or (StylePicture(painting_file),)
        return PictureOptimizer(photo, styles, **({"weights": RANDOM, "size": 160, "device": "cpu"} | settings))

    return make


def worked(optimizer, steps=6):
    return list(optimizer.optimize(math.inf, steps))


def test_a_picture_as_large_as_the_photo_comes_nearer_to_the_painting(optimizer, photo):
    made = optimizer()
    losses = []
    objective = made._objective(96)
    for _ in range(2):
        x = picture_to_tensor(made.picture())
        with torch.no_grad():
            terms = objective(x, picture_to_tensor(photo), torch.ones(1, 1), done=1.0)
        losses.append(float(terms["style"] + terms["deep_style"]))
        worked(made, 15)
    assert made.picture().size == photo.size
    assert losses[1] < 0.9 * losses[0]


def test_steps_are_shared_out_from_coarse_to_fine(optimizer, photo):
    made = PictureOptimizer(photo.resize((400, 333)), [StylePicture(photo)], size=384, weights=RANDOM, device="cpu")
    sights = worked(made, 6)
    sides = [sight.size[0] for sight in sights]
    assert sides == sorted(sides) and sides[0] == 192 and sides[-1] == 384
    assert (len(sights), sights[-1].done) == (6, 1.0)


def test_the_time_ends_it(optimizer):
    made = optimizer()
    sights = list(made.optimize(1.0))
    assert sights == [] or sights[-1].done == 1.0
    assert made.picture().size == (96, 80)


def test_who_stops_asking_keeps_the_picture_so_far(optimizer, photo):
    made = optimizer()
    next(made.optimize(3600.0))
    assert 0 < farthest(made.picture(), photo) < 255


def test_a_painting_with_a_mask_paints_there(optimizer, painting_file, photo):
    mask = Image.new("L", photo.size, 0)
    mask.paste(255, (0, 0, 48, 80))
    made = optimizer(StylePicture(painting_file, mask=mask))
    worked(made, 8)
    change = np.abs(np.asarray(made.picture()).astype(int) - np.asarray(photo)).mean(axis=(0, 2))
    assert change[:40].mean() > 1
    assert change[56:].max() < 1  # a level of rounding


def test_two_paintings_share_out_a_photo_by_their_masks(photo):
    left, right = Image.new("L", photo.size, 0), Image.new("L", photo.size, 0)
    left.paste(255, (0, 0, 48, 80))
    right.paste(255, (48, 0, 96, 80))
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = (255, 40, 40)
    red = Image.fromarray(stripes)
    blue = Image.fromarray(np.ascontiguousarray(stripes[..., ::-1]))
    styles = [StylePicture(red, mask=left), StylePicture(blue, mask=right)]
    made = PictureOptimizer(photo, styles, size=160, weights=RANDOM, device="cpu")
    worked(made, 30)
    redder = (np.asarray(made.picture()).astype(int) - np.asarray(photo))[..., [0, 2]].mean(axis=0)
    redder = redder[:, 0] - redder[:, 1]  # how much more red than blue each column has become
    assert redder[:40].mean() > redder[56:].mean() + 5


def test_paintings_take_turns_as_their_weights_say(optimizer, painting_file):
    made = optimizer(StylePicture(painting_file, 3.0), StylePicture(painting_file, 1.0))
    turns = []
    for _ in range(8):
        turns.append(made._next_style())
        made.steps += 1
    assert turns.count(0) == 6 and turns.count(1) == 2


@pytest.mark.parametrize("init", ["photo", "style", "noise"])
def test_each_start_ends_in_a_picture(optimizer, init, photo):
    made = optimizer(init=init)
    first = made.picture()
    assert first.size == photo.size
    assert (farthest(first, photo) == 0) == (init == "photo")
    worked(made, 1)


def test_the_same_seed_makes_the_same_picture(optimizer):
    made = [optimizer(seed=3, init="noise") for _ in range(2)]
    for each in made:
        worked(each, 2)
    assert farthest(made[0].picture(), made[1].picture()) == 0


def test_transparency_is_kept(painting_file, photo):
    photo = photo.convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    made = PictureOptimizer(photo, [StylePicture(painting_file)], size=160, weights=RANDOM, device="cpu")
    assert made.picture().getchannel("A").tobytes() == photo.getchannel("A").tobytes()


def test_a_pyramid_is_the_picture_that_it_was_made_of(photo):
    x = picture_to_tensor(photo)
    assert torch.allclose(Pyramid(x)(), x, atol=1e-5)


@pytest.mark.parametrize(("size", "expected"), [(512, [256, 362, 512]), (200, [200]), (100, [100]), (272, [192, 272])])
def test_sizes_rise_to_the_last(size, expected):
    assert [pytest.approx(side, abs=1) for side in expected] == scales(size)


def test_no_side_is_too_short_for_the_networks():
    assert fitted((1000, 100), 512) == (800, 80)
    assert fitted((300, 200), 150) == (150, 100)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"size": 64}, "128 to 2048"),
        ({"size": 5000}, "128 to 2048"),
        ({"init": "zeros"}, "no init 'zeros'"),
        ({"init": "style", "style": "nobody"}, "no style 'nobody'"),
    ],
)
def test_settings_out_of_bounds_are_refused(optimizer, settings, part):
    assert part in refusal(optimizer, **settings)


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf])
def test_a_weight_that_is_none_is_refused(optimizer, painting_file, weight):
    assert "weight" in refusal(optimizer, StylePicture(painting_file, weight))


def test_what_is_no_picture_is_refused(optimizer, painting_file, photo):
    black = Image.new("L", photo.size, 0)
    assert "black all over" in refusal(optimizer, StylePicture(painting_file, mask=black))
    assert "blank" in refusal(optimizer, StylePicture(Image.new("RGB", (200, 200))))
    assert "no painting" in refusal(PictureOptimizer, photo, [])
