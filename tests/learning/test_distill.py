"""A network with fewer residual blocks: what is left of it, and that it comes to paint as its teacher does."""

import json

import pytest
import torch
from PIL import Image
from small_generators import random_generator, random_photo

from styletransfer.errors import InputError
from styletransfer.images.files import tensor_to_picture
from styletransfer.learning.distill import Distillation, save_distilled, with_fewer_blocks
from styletransfer.models.features import Features
from styletransfer.packs.folder import save_pack
from styletransfer.packs.provenance import versions
from styletransfer.pipeline import StyleTransferPipeline

STYLES = {"a": "A", "b": "B"}


@pytest.fixture
def photos(tmp_path):
    """Two files."""
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for number, file in enumerate(files):
        tensor_to_picture(random_photo(300, 320, seed=number)).save(file)
    return files


def apart(one, other, photo):
    """Root mean square between two networks' paintings, style by style, in levels of 255."""
    with torch.no_grad():
        return [
            (127.5 * (one(photo, row) - other(photo, row)).square().mean().sqrt()).item()
            for row in torch.eye(len(one.styles))[:, None]
        ]


def test_blocks_that_are_left_are_evenly_spread_and_as_they_were():
    whole = random_generator(STYLES, 8, blocks=8)
    for kept in ([0], [0, 4], [0, 3, 6], [0, 2, 4, 6], [0, 2, 4, 5, 7], [0, 2, 3, 4, 6, 7]):
        left = with_fewer_blocks(whole, len(kept))
        assert left.config["blocks"] == len(kept) and left.styles == STYLES
        for new, old in enumerate(kept):
            for half in range(2):
                ours, theirs = left.body[2 * new + half], whole.body[2 * old + half]
                assert torch.equal(ours.conv.weight, theirs.conv.weight) and torch.equal(ours.shift, theirs.shift)
    assert torch.equal(left.to_rgb.weight, whole.to_rgb.weight)


@pytest.mark.parametrize("blocks", [0, 2, 3])
def test_only_fewer_blocks_can_be_kept(blocks):
    with pytest.raises(InputError, match="2 residual blocks: keep fewer"):
        with_fewer_blocks(random_generator(STYLES, 8, blocks=2), blocks)


def test_a_student_comes_to_paint_as_its_teacher(photos):
    teacher = random_generator(STYLES, 8, blocks=3)
    distillation = Distillation(teacher, 1, photos)
    unseen = random_photo(96, 112, seed=9)
    before = apart(teacher, distillation.learned(), unseen)
    losses = list(distillation.learn(120))
    after = apart(teacher, distillation.learned(), unseen)
    assert distillation.steps == len(losses) == 120 and losses[0].keys() == {"pixels"}
    assert all(late < early for late, early in zip(after, before, strict=True))
    assert sum(after) < 0.75 * sum(before)


def test_paintings_are_compared_by_features_too(photos):
    features = Features("squeezenet1_1", ("relu1", "fire3"), "random")
    teacher = random_generator({"a": "A"}, 8, blocks=2)
    losses = list(Distillation(teacher, 1, photos, features).learn(60))
    assert losses[0].keys() == {"pixels", "features", "texture"}
    for name in ("features", "texture"):
        early, late = (sum(terms[name] for terms in part) for part in (losses[:6], losses[-6:]))
        assert late < 0.8 * early, name


def test_a_student_that_has_begun_goes_on(photos):
    teacher = random_generator(STYLES, 8, blocks=2)
    first = Distillation(teacher, 1, photos)
    list(first.learn(3))
    second = Distillation(teacher, 1, photos, begun=first.learned())
    states = [network.state_dict() for network in (second.learned(), first.learned())]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
    with pytest.raises(InputError, match="has blocks 2, and 1 are needed"):
        Distillation(teacher, 1, photos, begun=teacher)
    with pytest.raises(InputError, match="has styles"):
        Distillation(teacher, 1, photos, begun=random_generator({"c": "C"}, 8, blocks=1))


def test_the_teacher_stays_as_it_was_and_the_same_seed_gives_the_same_student(photos):
    teacher = random_generator(STYLES, 8, blocks=2)
    kept = {key: value.clone() for key, value in teacher.state_dict().items()}
    first, second, other = (Distillation(teacher, 1, photos, seed=seed) for seed in (0, 0, 1))
    states = []
    for distillation in (first, second, other):
        list(distillation.learn(3))
        states.append(distillation.learned().state_dict())
    assert all(torch.equal(kept[key], value) for key, value in teacher.state_dict().items())
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
    assert any(not torch.equal(states[0][key], value) for key, value in states[2].items())


def test_the_pack_keeps_its_teachers_recipe_and_tells_of_the_distillation(photos, tmp_path):
    teacher, pack = random_generator(STYLES, 8, blocks=2), tmp_path / "whole"
    recipe = {"steps": 7, "note": ["a=Somebody, 1900"]}
    save_pack(pack, teacher, samples={}, recipe=recipe, run={"hardware": "an abacus", "torch": "0.1"})
    distillation = Distillation(teacher, 1, photos)
    list(distillation.learn(2))
    save_distilled(tmp_path / "few", pack, distillation, seconds=75)
    run = json.loads((tmp_path / "few/training_run.json").read_text())
    assert run["distilled"] == "2 residual blocks to 1, 2 steps, 1 min"
    assert (run["hardware"], run["torch"]) == ("an abacus", versions()["torch"])
    assert json.loads((tmp_path / "few/training_config.json").read_text()) == recipe
    assert "distilled" in (tmp_path / "few/README.md").read_text()
    pipeline = StyleTransferPipeline.from_pretrained(tmp_path / "few", device="cpu")
    assert list(pipeline.styles) == list(teacher.styles)
    assert all(pipeline.sample(style).is_file() for style in pipeline.styles)
    assert pipeline(Image.open(photos[0]), next(iter(pipeline.styles))).size == (320, 300)
