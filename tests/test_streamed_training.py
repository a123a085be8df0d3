"""Training on the Hub's datasets: streamed and taken up again it is one training, and without a word it is Monet's."""

import json
from pathlib import Path

import pytest
import torch
from hub_pictures import ask, monet2photo
from hub_server import hub
from safetensors.torch import load_file

TINY = (
    "--cpu --tracker none --crop-size 96 --painting-size 96 --channels 8 --blocks 1 --discriminator-channels 8 "
    "--batch-size 2 --style-network-weights random --content-network-weights random --style-layers relu1_1 "
    "--content-layers relu1_1 --style-octaves 1 --style-patches 1 --warmup-steps 1 --checkpoint-every 2 --log-every 1 "
    "--shuffle-buffer 3 --schedule constant"
).split()
SOURCES = ["--photos", "huggan/monet2photo:imageB", "--style", "monet=huggan/monet2photo:imageA", "--streaming"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of the trainings, and what each said: whole, its first half, its second half, one without sources."""
    folder = tmp_path_factory.mktemp("training")
    whole, halves, monet = (["--output-dir", str(folder / name)] for name in ("whole", "halves", "monet"))
    lines = [
        [*TINY, *SOURCES, *whole, "--steps", "4"],
        [*TINY, *SOURCES, *halves, "--steps", "2"],
        [*TINY, *SOURCES, *halves, "--steps", "4", "--resume"],
        [*TINY, *monet, "--steps", "1"],
    ]
    with hub(folder / "hub") as server:
        server.put("huggan/monet2photo", monet2photo(folder), "dataset")
        said = ask(server.environment(), *lines, client=Path(__file__).with_name("train_client.py"))
    return folder, said


def test_a_streamed_training_taken_up_again_is_the_one_never_interrupted(trained):
    folder, said = trained
    assert [answer["code"] for answer in said[:3]] == [0, 0, 0], said
    one, other = (folder / name / "checkpoints" / "step-00000004" for name in ("whole", "halves"))
    for name in ("model.safetensors", "model_1.safetensors"):
        weights, again = load_file(one / name), load_file(other / name)
        assert weights.keys() == again.keys()
        assert [key for key in weights if not torch.equal(weights[key], again[key])] == []
    positions = [json.loads((path / "stream-0.json").read_text()) for path in (one, other)]
    assert positions[0] == positions[1]
    assert len(positions[0]) == 2


def test_without_a_source_monet_is_trained_and_that_is_said_first(trained):
    folder, said = trained
    assert said[3]["code"] == 0, said[3]
    assert said[3]["out"].startswith("No source is given: training Monet on huggan/monet2photo")
    config = json.loads((folder / "monet" / "pack" / "config.json").read_text())
    assert config["styles"] == {"monet": "Claude Monet"}
