"""A network on its way to one painting: it gets nearer, and only what should move moves."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_generators import random_generator

from styletransfer.images.files import load_picture
from styletransfer.learning.budget import MOST
from styletransfer.learning.fit import Fit, crop_score, cropper_of, start_from
from styletransfer.learning.recipe import NetworkWeights, build_objective, learning_config, scaled_painting
from styletransfer.models.generator import Share

RANDOM = NetworkWeights(style="random", content="random")  # untrained filters, always the same: nothing is downloaded


@pytest.fixture
def objective(painting_file):
    config = learning_config(["mine"], RANDOM, crop_size=128, painting_size=160, calm_size=64, style_window=64)
    return build_objective(
        config, {"mine": scaled_painting(config, load_picture(painting_file).rgb)}, torch.device("cpu")
    )


@pytest.fixture
def fit(objective, photo):
    def make(way="all", **settings):
        start = start_from([Share(random_generator({"a": "A", "b": "B"}, 8, 2), "a", "a", 1.0)], "mine", "Mine")
        return Fit(start, objective, [photo], way=way, **settings)

    return make


def test_learning_brings_the_painting_nearer(fit, objective, photo):
    learning = fit()
    crop = cropper_of(objective.config).cut_photo(999, photo)
    before = crop_score(learning.averaged(), objective, crop)
    for step in range(25):
        learning.step(step / 25)
    assert crop_score(learning.averaged(), objective, crop) < 0.9 * before


def test_the_weight_of_content_follows_the_distance_after_the_first_strokes(fit):
    learning = fit()
    learning.budget.allowed = 1e-6  # whatever is reached is too far
    learning.step(0.1)
    assert learning.budget.factor == 1.0
    learning.step(0.5)
    assert learning.budget.factor == MOST


@pytest.mark.parametrize("way", ["all", "styles", "low-rank"])
def test_what_moves_is_what_was_asked_for_and_the_result_is_a_plain_network(fit, way):
    learning = fit(way)
    before = fit().averaged().state_dict()
    for step in range(3):
        learning.step(step / 10)
    after = learning.averaged().state_dict()
    assert after.keys() == before.keys()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    styles = {name for name in after if name.endswith((".scale", ".shift"))}
    weights = {name for name in after if name.endswith("weight")}
    assert moved >= styles
    assert {"all": moved >= weights, "styles": moved == styles, "low-rank": moved == styles | weights}[way]


def test_the_same_seed_learns_the_same(fit):
    one, other = fit(), fit()
    for step in range(2):
        one.step(step / 2)
        other.step(step / 2)
    states = one.averaged().state_dict(), other.averaged().state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_style_so_far_does_not_disturb_the_learning(fit):
    looked, unseen = fit(), fit()
    for step in range(3):
        looked.step(step / 3)
        looked.averaged()
        unseen.step(step / 3)
    assert all(torch.equal(a, b) for a, b in zip(looked.moving, unseen.moving, strict=True))


def test_an_update_that_is_no_number_is_left_out(fit, monkeypatch):
    learning = fit()
    before = [weight.detach().clone() for weight in learning.moving]
    broken = learning.objective.forward
    monkeypatch.setattr(
        learning.objective,
        "forward",
        lambda *a, **b: {name: value * torch.nan for name, value in broken(*a, **b).items()},
    )
    learning.step(0.0)
    assert (learning.steps, learning.skipped) == (1, 1)
    assert all(torch.equal(a, b) for a, b in zip(learning.moving, before, strict=True))


def test_a_start_from_one_style_paints_like_it(photo):
    trained = random_generator({"a": "A", "b": "B"})
    start = start_from([Share(trained, "b", "b", 1.0)], "mine", "Mine").eval()
    x = torch.from_numpy(np.array(photo.resize((64, 64), Image.Resampling.BOX))).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        assert torch.allclose(start(x, torch.ones(1, 1)), trained(x, trained.style_weights({"b": 1.0})), atol=1e-6)


def test_a_start_from_several_styles_of_a_network_is_their_mean():
    trained = random_generator({"a": "A", "b": "B"})
    shares = [Share(trained, name, name, 1.0) for name in ("a", "b")]
    start, scale = start_from(shares, "mine", "Mine"), trained.stem.scale
    assert torch.allclose(start.stem.scale, scale.mean(dim=0, keepdim=True))
    assert start.styles == {"mine": "Mine"}


def test_networks_that_were_trained_apart_have_no_mean():
    shares = [Share(random_generator({"a": "A"}, seed=seed), "a", f"a{seed}", 1.0) for seed in (0, 1)]
    with pytest.raises(ValueError, match="apart"):
        start_from(shares, "mine", "Mine")
