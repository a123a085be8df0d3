"""A painting becomes a style: a pack like any other, that says where it came from and loses nobody's files."""

import json
import math

import pytest
import torch
from painting_kit import refusal

from styletransfer.catalog import Catalog, folder_entry
from styletransfer.errors import InputError
from styletransfer.learning.learner import Learner, learn_style
from styletransfer.learning.recipe import NetworkWeights
from styletransfer.learning.start import STARTS, likely_bases, named_base, nearest, shipped_bases
from styletransfer.models.features import DownloadError
from styletransfer.models.generator import Share, blended
from styletransfer.packs.folder import load_pack
from styletransfer.pipeline import ShippedPipeline, StyleTransferPipeline

RANDOM = NetworkWeights(style="random", content="random")


@pytest.fixture
def learn(painting_file, tiny_pack, photo):
    """A learner that starts from a small pack."""

    def make(**settings):
        given = {"base": str(tiny_pack), "photos": [photo], "weights": RANDOM, "device": "cpu"}
        return Learner(painting_file, **(given | settings))

    return make


def learned(learner, steps=2):
    return list(learner.learn(math.inf, steps))


def test_a_style_is_learned_saved_and_painted_with(learn, tmp_path, photo, tiny_pack):
    learner = learn(name="my-own", title="My Own")
    moments = learned(learner)
    learner.save(tmp_path / "own")
    assert [moment.steps for moment in moments] == [1, 2, 2]
    assert (moments[-1].done, moments[-1].is_better) == (1.0, True)
    pipeline = StyleTransferPipeline.from_pretrained(tmp_path / "own", device="cpu")
    assert pipeline.styles == {"my-own": "My Own"}
    assert pipeline(photo, style="my-own", strength=0.5, brush_size=2).size == photo.size
    assert pipeline.sample("my-own").is_file()


def test_the_pack_names_its_base_with_its_revision_and_the_command(learn, tmp_path, tiny_pack):
    learner = learn()
    learned(learner, 1)
    learner.save(tmp_path / "mine")
    run = json.loads((tmp_path / "mine/training_run.json").read_text())
    card = (tmp_path / "mine/README.md").read_text()
    assert run["base"] == f"tiny-pack@{named_base(str(tiny_pack)).revision}"
    assert run["steps"] == "1"
    assert "python -m styletransfer learn" in card and "train_accelerate" not in card


def test_without_a_look_at_the_clock_the_same_steps_give_the_same_style(learn):
    states = []
    for _ in range(2):
        learner = learn()
        learned(learner)
        states.append(learner.best().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_learning_ends_with_its_time(learn):
    moments = list(learn().learn(0.5))
    assert moments[-1].done == 1.0
    assert moments[-1].steps >= 1


def test_who_stops_asking_keeps_what_there_is(learn, tmp_path):
    learner = learn()
    for moment in learner.learn(3600):
        assert moment.done < 1
        break
    learner.save(tmp_path / "mine")
    assert load_pack(tmp_path / "mine").styles == {"mine": "Mine"}


def test_a_worse_moment_does_not_replace_the_best(learn):
    learner = learn()
    learned(learner)
    best = {name: value.clone() for name, value in learner.best().state_dict().items()}
    with torch.no_grad():
        for weight in learner.fit._average:
            weight.add_(torch.randn_like(weight))
    learner.fit.steps += 1  # as if there had been one more step, which spoilt everything
    assert all(torch.equal(value, best[name]) for name, value in learner.best().state_dict().items())


def test_one_call_does_all_of_it(painting_file, tiny_pack, photo, tmp_path):
    seen = []

    def on_moment(moment, learner):
        seen.append(moment.steps)
        return moment.steps < 2

    settings = {"base": str(tiny_pack), "photos": [photo], "weights": RANDOM, "device": "cpu"}
    pipeline = learn_style(painting_file, tmp_path / "mine", on_moment=on_moment, **settings)
    assert seen == [1, 2]
    assert pipeline(photo, style="mine").size == photo.size
    assert (tmp_path / "mine/config.json").is_file()


def test_a_learned_style_of_a_shipped_base_is_small_and_mixes_with_it(painting_file, tmp_path, photo):
    learner = Learner(painting_file, base="points", photos=[photo], weights=RANDOM, device="cpu")
    learned(learner, 1)
    learner.save(tmp_path / "mine")
    size = sum(path.stat().st_size for path in (tmp_path / "mine").rglob("*") if path.is_file())
    assert size < 3_000_000
    base = named_base("points")
    mixed = blended(
        [
            Share(load_pack(tmp_path / "mine"), "mine", "mine", 1.0),
            Share(load_pack(base.folder), "points", "points", 1.0),
        ]
    )
    assert list(mixed.styles) == ["mine", "points"]
    catalog = Catalog()
    catalog.add(folder_entry(base.folder))
    catalog.add(folder_entry(tmp_path / "mine"))
    pipeline = ShippedPipeline(catalog, device="cpu")
    assert pipeline(photo, style={"mine": 0.5, "points": 0.5}).size == photo.size


# ---------------------------------------------------------------- where it starts


def test_the_likely_bases_are_those_of_the_table_and_every_style_can_be_named():
    assert {base.style for base in likely_bases()} == set(STARTS)
    assert {"great-wave", "monet", "composition-viii"} <= {base.style for base in shipped_bases()}
    assert str(named_base("monet")).startswith("collections@")


def test_the_nearest_base_is_the_one_that_pleases_most(learn, monkeypatch):
    from styletransfer.learning import start

    learner, wanted = learn(), {"points": 2.0, "rooster": 1.0, "wheat-field": 3.0}
    monkeypatch.setattr(start, "distance", lambda base, objective, crop: wanted[base.style])
    assert nearest(likely_bases(), learner.objective, learner.photos, learner.device).style == "rooster"


@pytest.mark.parametrize("base", ["no-such-style", "folder/that/is/not/there"])
def test_a_base_that_is_not_there_is_refused(learn, base):
    assert "no style pack" in refusal(learn, base=base)


# ---------------------------------------------------------------- what is refused


def test_a_folder_with_other_things_is_never_replaced(learn, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mine.txt").write_text("dear")
    learner = learn()
    learned(learner, 1)
    assert "is there already" in refusal(learner.save, tmp_path / "photos")
    assert (tmp_path / "photos/mine.txt").read_text() == "dear"


def test_a_pack_that_was_not_learned_is_never_replaced(painting_file, tiny_pack):
    assert "is there already" in refusal(learn_style, painting_file, tiny_pack)


def test_a_learned_pack_is_replaced_by_a_later_moment_of_it(learn, tmp_path):
    for steps in (1, 2):
        learner = learn()
        learned(learner, steps)
        learner.save(tmp_path / "mine")
    assert json.loads((tmp_path / "mine/training_run.json").read_text())["steps"] == "2"


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"name": "My Style"}, "cannot be named"),
        ({"title": "two\nlines"}, "one line"),
        ({"photos": [b"nothing"]}, "picture"),
        ({"weights": NetworkWeights(style="nowhere.safetensors", content="random")}, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(learn, settings, part):
    assert part in refusal(learn, **settings)


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf, 10**6])
def test_a_time_that_is_none_is_refused(painting_file, minutes):
    assert "minutes" in refusal(learn_style, painting_file, minutes=minutes)


def test_weights_that_nobody_can_have_are_said_in_a_sentence(learn, monkeypatch):
    from styletransfer.learning import recipe

    def offline(*given):
        raise DownloadError("vgg19", "no route to host")

    monkeypatch.setattr(recipe, "Objective", offline)
    with pytest.raises(InputError, match="no route to host.*--style-network-weights"):
        learn()
