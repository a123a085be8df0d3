"""Every preset trains, learns, and resumes bit for bit, on one process and on two; nobody pays for what it lacks."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_kit import (
    ONE_BATCH,
    TINY,
    TWO_PROCESSES,
    assert_alike,
    assert_same_run,
    checkpoint,
    differences,
    draw_pictures,
    loss_lines,
    losses,
    ranks,
    resumed_on_one,
    trained,
)

from styletransfer.errors import InputError
from styletransfer.training.checkpoints import check_same_networks
from styletransfer.training.config import TrainingConfig, config_to_dict, configure, load_config
from styletransfer.training.flags import parse_config
from styletransfer.training.networks import build_networks
from styletransfer.training.objective import Objective
from styletransfer.training.presets import PRESETS

# Weights of TINY that a preset sets are left to it; its networks are as small.
OWN = {name for table in PRESETS.values() for name in table} - {"learning_rate", "schedule", "grid_weight"}
SMALL = {name: value for name, value in TINY.items() if name not in OWN} | {
    "learning_rate": 5e-5,  # faster, rounding errors grow a thousandfold in these few steps
    "contrastive_patches": 16,
    "contrastive_channels": 8,
    "pool_size": 4,  # one for each picture of a step: from the second step on old ones come back
    "steps": 4,
    "checkpoint_every": 2,
}
NETWORKS = {"contrastive": 3, "contrastive-fast": 3, "cycle": 4}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return draw_pictures(tmp_path_factory.mktemp("pictures")).sources


@pytest.fixture(scope="module")
def layers_file(tmp_path_factory):
    """One block has the layers 0, 1 and 2: a list, which a file says best."""
    path = tmp_path_factory.mktemp("settings") / "layers.yaml"
    path.write_text("contrastive_layers: [0, 1, 2]\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(sources, layers_file, tmp_path_factory):
    """Whole trainings by objective, each made when it is first asked for: settings and output folder."""
    made = {}

    def run(objective):
        if objective not in made:
            settings = {**SMALL, **sources, **ONE_BATCH, "objective": objective, "config": layers_file}
            made[objective] = settings, trained(tmp_path_factory.mktemp(objective) / "run", settings)
        return made[objective]

    return run


def models(output, step):
    return sorted(path.name for path in checkpoint(output, step).glob("model*.safetensors"))


def begin_again(whole, again):
    """The folder of a run that was stopped after step 2 of the whole one."""
    shutil.copytree(checkpoint(whole, 2), checkpoint(again, 2))
    shutil.copy(whole / "losses.jsonl", again / "losses.jsonl")


def assert_same_networks(whole, again):
    """Those that exist only while training, too."""
    assert_same_run(whole, again, step=4)
    for name in models(whole, 4):
        assert differences(checkpoint(whole, 4) / name, checkpoint(again, 4) / name) == [], name


@pytest.mark.parametrize("objective", NETWORKS)
def test_a_preset_trains_with_its_own_losses_and_resumes_bit_for_bit(objective, runs, tmp_path):
    settings, output = runs(objective)
    expected = {
        "contrastive": {"contrastive", "contrastive_identity"},
        "contrastive-fast": {"contrastive"},
        "cycle": {"cycle_photo", "cycle_painting", "identity", "identity_photo", "adversarial_photo"},
    }[objective]
    always = {"step", "learning_rate", "discriminator", "adversarial", "grid"}
    sometimes = {"r1_penalty", "r1_penalty_photo", "discriminator_photo"}
    assert [line.keys() - always - sometimes for line in loss_lines(output)] == [expected] * 4
    assert len(models(output, 4)) == NETWORKS[objective]

    again = tmp_path / "run"
    begin_again(output, again)
    resumed_on_one(again, settings)
    assert_same_networks(output, again)
    for name in models(output, 4):
        moved = differences(checkpoint(output, 2) / name, checkpoint(output, 4) / name)
        assert len(moved) > len(load_file(checkpoint(output, 4) / name)) / 2, f"{name} does not learn"


@pytest.mark.parametrize("objective", ["contrastive", pytest.param("cycle", marks=pytest.mark.slow)])
def test_a_preset_on_two_processes_gives_the_losses_of_one_and_resumes_bit_for_bit(objective, runs, tmp_path):
    settings = {**runs(objective)[0], **TWO_PROCESSES}
    whole, again = tmp_path / "whole" / "run", tmp_path / "again" / "run"
    finished = [training.wait() for training in ranks(whole, settings)]
    assert [f.code for f in finished] == [0, 0], [f.err for f in finished]
    for step, line in losses(runs(objective)[1]).items():
        assert_alike(losses(whole)[step], line, rel=1e-3, abs=1e-6, what=f"step {step}")
    begin_again(whole, again)
    finished = [training.wait() for training in ranks(again, {**settings, "resume": True})]
    assert [f.code for f in finished] == [0, 0], [f.err for f in finished]
    assert_same_networks(whole, again)


def test_losses_of_several_presets_mix_and_resume_bit_for_bit(sources, layers_file, tmp_path):
    """Everything at once: a fixed network, PatchNCE, cycles, a pool, spectral normalization."""
    mixed = {"objective": "cycle", "style_loss_weight": 1, "contrastive_weight": 1, "spectral_norm": True}
    settings = {**SMALL, **sources, **ONE_BATCH, "config": layers_file, **mixed}
    output, again = trained(tmp_path / "whole" / "run", settings), tmp_path / "again" / "run"
    named = {"style", "contrastive", "cycle_photo", "cycle_painting", "identity", "identity_photo", "grid"}
    assert all(named <= line.keys() for line in loss_lines(output))
    assert len(models(output, 4)) == 5
    begin_again(output, again)
    resumed_on_one(again, settings)
    assert_same_networks(output, again)


# ---------------------------------------------------------------- tables


def test_a_preset_is_the_table_over_the_defaults_and_what_is_given_stands_over_both(tmp_path):
    for objective, table in PRESETS.items():
        config = configure({"objective": objective})
        assert {name: getattr(config, name) for name in table} == dict(table)
        untouched = {name: value for name, value in vars(config).items() if name not in (*table, "objective")}
        assert untouched == {name: getattr(TrainingConfig(), name) for name in untouched}
    assert configure({"objective": "cycle", "cycle_weight": 3.0}).cycle_weight == 3.0
    path = tmp_path / "settings.yaml"
    path.write_text("objective: cycle\nidentity_weight: 0.5\n", encoding="utf-8")
    config = load_config(path)
    assert (config.cycle_weight, config.identity_weight, config.pool_size) == (10.0, 0.5, 50)
    over = parse_config(["--config", str(path), "--objective", "contrastive", "--identity-weight", "2"], "train")
    assert (over.cycle_weight, over.contrastive_weight, over.identity_weight) == (0.0, 1.0, 2.0)


def test_the_weights_of_the_papers_stand_in_the_tables():
    cut, fast, cycle = (configure({"objective": name}) for name in ("contrastive", "contrastive-fast", "cycle"))
    assert (cut.adversarial_weight, cut.contrastive_weight, cut.contrastive_identity_weight) == (1, 1, 1)
    assert (fast.adversarial_weight, fast.contrastive_weight, fast.contrastive_identity_weight) == (1, 10, 0)
    assert (cycle.adversarial_weight, cycle.cycle_weight, cycle.identity_weight, cycle.pool_size) == (1, 10, 5, 50)


@pytest.mark.parametrize("objective", NETWORKS)
def test_without_style_and_content_no_pretrained_network_is_built(objective):
    config = configure({"objective": objective, "style": ("wave=w",)})
    objective = Objective(config, lambda style, limit: [], torch.device("cpu"))
    assert list(objective.parameters()) == []
    picture = torch.rand(1, 3, 64, 64)
    assert objective(picture, picture, torch.ones(1, 1)).keys() == {"grid"}


def test_networks_are_built_for_losses_with_a_weight_only():
    small = {"style": ("wave=w", "night=n"), "channels": 8, "blocks": 1, "contrastive_layers": (0, 2)}
    for objective, count in {"brushwork": 2, "perceptual": 2, **NETWORKS}.items():
        assert len(build_networks(configure({**small, "objective": objective})).all) == count
    both = build_networks(configure({**small, "objective": "cycle", "contrastive_weight": 1.0}))
    assert len(both.all) == 5 and len(both.players) == 3 and len(both.judges) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blocks": 4}, "--contrastive-layers"),
        ({"contrastive_layers": (-1,)}, "--contrastive-layers"),
        ({"contrastive_temperature": 0.0}, "--contrastive-temperature"),
        ({"contrastive_patches": 0}, "--contrastive-patches"),
        ({"objective": "adversarial"}, "--objective"),
    ],
)
def test_settings_that_cannot_be_compared_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        configure({"objective": "contrastive", **settings})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"contrastive_weight": 0.0, "contrastive_identity_weight": 0.0}, "with --contrastive-weight"),
        ({"cycle_weight": 1.0}, "without --cycle-weight"),
        ({"contrastive_channels": 16}, "--contrastive-channels 256"),
    ],
)
def test_a_checkpoint_with_other_networks_is_refused(changes, words):
    before = {"objective": "contrastive", "style": ("wave=w",)}
    saved, now = (config_to_dict(configure(settings)) for settings in (before, {**before, **changes}))
    with pytest.raises(InputError, match=words):
        check_same_networks(saved, now, Path("step-1"))
    check_same_networks(saved, saved, Path("step-1"))


def test_a_checkpoint_from_before_there_were_presets_goes_on():
    now = config_to_dict(configure({"style": ("wave=w",)}))
    saved = {name: value for name, value in now.items() if not name.startswith(("contrastive", "cycle", "pool", "obj"))}
    check_same_networks(saved, now, Path("step-1"))
