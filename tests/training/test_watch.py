"""A run watches itself: quiet while it is well, plain when it is not, and its best average is not lost."""

import shutil

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_kit import (
    WEIGHTS,
    assert_same_run,
    checkpoint,
    differences,
    resumed_on_one,
    same_bits,
    train,
    trained,
)

from styletransfer.images.files import picture_to_tensor
from styletransfer.models.generator import Generator
from styletransfer.packs.folder import load_pack
from styletransfer.training.config import configure
from styletransfer.training.objective import Objective
from styletransfer.training.watch import Watch, score, yardstick_config

RHYTHM = {"sample_every": 2, "checkpoint_every": 4}


@pytest.fixture(scope="module")
def settings(settings):
    return {**settings, "ema_decay": 0.5}


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("watched") / "run", {**settings, **RHYTHM})


def scores(output, step):
    with safe_open(checkpoint(output, step) / "best.safetensors", framework="pt") as file:
        return file.metadata()["scores"]


# ---------------------------------------------------------------- warnings


def test_a_run_that_learns_is_left_in_peace(settings, tmp_path):
    learn = {"steps": 24, "checkpoint_every": 24, "sample_every": 8, "learning_rate": 1e-2, "schedule": "constant"}
    finished = train(tmp_path / "run", {**settings, **learn})
    assert finished.code == 0, finished.err
    assert "warning" not in finished.out + finished.err


def test_a_discriminator_that_wins_is_told_while_it_trains(settings, tmp_path):
    """The generator stands still, and nothing holds the discriminator back."""
    lost = {"learning_rate": 0, "discriminator_learning_rate": 1e-2, "r1_weight": 0, "schedule": "constant"}
    finished = train(tmp_path / "run", {**settings, **lost, "steps": 80, "checkpoint_every": 80})
    assert finished.code == 0, finished.err
    told = [line for line in finished.out.splitlines() if "warning" in line]
    assert told and all("the discriminator of paintings wins everywhere since step" in line for line in told)
    assert "--discriminator-learning-rate" in told[0]


@pytest.fixture
def watch(settings, pictures, tmp_path):
    small = {name: (value,) if name.endswith("_layers") else value for name, value in settings.items()}
    small |= {"photos": (), "style": tuple(settings["style"]), "output_dir": str(tmp_path / "run")}
    config = configure(small)
    photos = [Image.open(path).convert("RGB") for path in sorted(pictures.photos.iterdir())[:3]]

    def paintings(style, limit):
        path = pictures.dots if style == "dots" else sorted(pictures.waves.iterdir())[0]
        return [picture_to_tensor(Image.open(path).convert("RGB"))]

    return Watch(config, photos, paintings, Objective(config, paintings, torch.device("cpu")), torch.device("cpu"))


def test_a_generator_that_collapsed_is_told_by_style(watch, capsys):
    """All it makes is one blue."""

    def generator():
        blue = Generator(watch.config.style_titles, channels=8, blocks=1).eval().requires_grad_(False)
        blue.to_rgb.weight.zero_()
        blue.to_rgb.bias.copy_(torch.tensor([-3.0, -3.0, 3.0]))
        return blue

    watch.look(10, generator)
    assert "warning" not in capsys.readouterr().out
    watch.look(20, generator)
    told = capsys.readouterr().out.splitlines()
    for style in ("waves", "dots"):
        alike = [line for line in told if "alike" in line and f"in style {style} since step 10" in line]
        assert len(alike) == 1 and "--adversarial-weight" in alike[0]


# ---------------------------------------------------------------- the best average


def test_the_best_average_is_kept_beside_a_last_one_that_is_worse(settings, run, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(checkpoint(run, 4), checkpoint(output, 4))
    file = checkpoint(output, 4) / "best.safetensors"
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(file), file, metadata={**metadata, "scores": '{"2": 9.0, "4": 0.001}'})  # not to be beaten
    finished = train(output, {**settings, **RHYTHM, "resume": True})
    assert finished.code == 0, finished.err
    assert f"{output / 'pack-best'} holds the average of step 4" in finished.out
    pack = load_pack(output / "pack-best")
    average = torch.load(checkpoint(run, 4) / "custom_checkpoint_2.pkl", weights_only=False)["shadow_params"]
    assert all(same_bits(a, b) for a, b in zip(pack.parameters(), average, strict=True))
    assert differences(output / "pack" / WEIGHTS, output / "pack-best" / WEIGHTS) != []


def test_scores_of_other_losses_are_forgotten(settings, run, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(checkpoint(run, 4), checkpoint(output, 4))
    trained(output, {**settings, **RHYTHM, "resume": True, "style_loss_weight": 1e-3})
    assert '"4"' not in scores(output, 8) and '"8"' in scores(output, 8)


def test_no_second_pack_where_the_last_average_is_the_best(settings, run, tmp_path):
    assert (run / "pack").exists() and not (run / "pack-best").exists()
    output = shutil.copytree(run, tmp_path / "run")
    shutil.copytree(output / "pack", output / "pack-best")
    resumed_on_one(output, {**settings, **RHYTHM})
    assert not (output / "pack-best").exists(), "it was the best of an earlier end"


def test_scores_and_best_average_go_on_exactly(settings, run, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(checkpoint(run, 4), checkpoint(output, 4))
    shutil.copy(run / "losses.jsonl", output / "losses.jsonl")
    resumed_on_one(output, {**settings, **RHYTHM})
    assert_same_run(run, output)
    assert scores(output, 8) == scores(run, 8)
    assert '"2"' in scores(run, 4) and '"4"' in scores(run, 4), "a step's score belongs into its own checkpoint"
    name = "best.safetensors"
    assert differences(checkpoint(run, 8) / name, checkpoint(output, 8) / name) == []


def test_the_score_is_the_mean_of_the_trainings_own_losses(watch):
    photos = [torch.rand(1, 3, 100, 80) * 2 - 1, torch.rand(1, 3, 64, 96) * 2 - 1, torch.rand(1, 3, 20, 400)]
    painted = [[torch.rand_like(photo) for photo in photos] for _ in range(2)]
    by_hand = [
        sum(watch.objective(painted[style][n][..., :96, :], photos[n][..., :96, :], torch.eye(2)[style, None]).values())
        for style in range(2)
        for n in range(2)  # the third is too small
    ]
    assert score(watch.objective, photos, painted) == pytest.approx(torch.stack(by_hand).mean().item())
    assert score(watch.objective, photos[2:], [row[2:] for row in painted]) != 0.0


def test_where_all_networks_learn_the_yardstick_stands_still():
    """Losses of a step's own discriminator and encoder cannot be compared with those of another step."""
    perceptual, contrastive = (
        configure({"objective": name, "style": ("a=b",)}) for name in ("perceptual", "contrastive")
    )
    assert yardstick_config(perceptual) is perceptual
    fixed = yardstick_config(contrastive)
    assert (fixed.style_network_weights, fixed.content_network_weights) == ("random", "random")
    assert fixed.style_loss_weight > 0 and fixed.content_loss_weight > 0
