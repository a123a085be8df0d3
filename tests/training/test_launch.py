"""What a training says when it begins and when it cannot, its exit codes, and the settings of speed and length."""

import re
import shutil
import sys
import types

import datasets
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.tracking import WandBTracker
from PIL import Image
from training_kit import (
    SCRIPT,
    WEIGHTS,
    Command,
    checkpoint,
    differences,
    flags,
    losses,
    progress,
    ranks,
    train,
    trained,
)

from styletransfer.errors import InputError
from styletransfer.training.batches import with_steps
from styletransfer.training.checkpoints import find_checkpoint
from styletransfer.training.config import TrainingConfig, configure
from styletransfer.training.launch import how_to_resume
from styletransfer.training.networks import build_networks
from styletransfer.training.setup import emulated
from styletransfer.training.trainer import adam
from styletransfer.training.watch import LossLog

BRIEF = {"steps": 2, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    """Two epochs of five photos in batches of two: five steps, with a checkpoint at step 4."""
    output = tmp_path_factory.mktemp("whole") / "run"
    finished = train(output, {**settings, "epochs": 2})
    assert finished.code == 0, finished.err
    return output, finished


def refused(finished, *parts):
    """The one line of an error that ended a program before it changed anything."""
    lines = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert finished.code == 2 and len(lines) == 1 and "Traceback" not in finished.err, finished.err
    assert not [part for part in parts if str(part) not in lines[0]], lines[0]
    return lines[0]


# ---------------------------------------------------------------- what begins


def test_a_run_says_what_begins(run, pictures):
    output, finished = run
    said = finished.out.splitlines()
    for line in (
        "steps: 5",
        "processes: 1, each on cpu, in fp32",
        "batch: 2 pictures per step (1 process x 2 pictures)",
        f"photos in {pictures.photos}: 5 pictures",
        "paintings of waves: 3 pictures",
        "paintings of dots: 1 pictures",
        f"output: {output}",
    ):
        assert line in said, finished.out
    (sizes,) = (line for line in said if line.startswith("generator: "))
    network = build_networks(configure({"style": ("waves=a", "dots=b"), "channels": 8, "blocks": 1}))
    assert f"generator: {sum(p.numel() for p in network.generator.parameters()):,} parameters" in sizes
    (objective,) = (line for line in said if line.startswith("objective: "))
    assert objective.startswith("objective: brushwork with weights style_loss 1, deep_style 0.3, gray_style 0.5, ")
    assert "cycle" not in objective


def test_epochs_are_passes_through_all_photos(run):
    assert progress(run[0], 5)["step"] == 5 and sorted(losses(run[0])) == [1, 2, 3, 4, 5]


def test_two_processes_share_the_epochs_and_speak_once(settings, tmp_path):
    finished = [r.wait() for r in ranks(tmp_path / "run", {**settings, "epochs": 1, "gradient_accumulation_steps": 2})]
    assert [f.code for f in finished] == [0, 0], [f.err for f in finished]
    assert progress(tmp_path / "run", 1)["processes"] == 2
    first, second = (f.out.splitlines() for f in finished)
    assert "batch: 8 pictures per step (2 processes x 2 pictures x 2 passes)" in first and "steps: 1" in first
    assert not [line for line in second if line.startswith(("steps: ", "batch: "))]


@pytest.mark.slow
def test_accelerate_that_starts_one_process_of_two_is_noticed(settings, tmp_path):
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", 2, "--num_machines", 1]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    finished = Command([*launcher, SCRIPT, *flags(tmp_path / "run", {**settings, **BRIEF})]).wait()
    assert finished.code == 0, finished.err
    assert progress(tmp_path / "run", 2)["processes"] == 1
    (warning,) = (line for line in finished.out.splitlines() if line.startswith("warning: accelerate"))
    assert "started one" in warning and "--multi_gpu --num_processes 2" in warning


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_that_the_processor_emulates_is_warned_of(monkeypatch, native):
    found = torch.bfloat16 if native else torch.float32
    monkeypatch.setattr("styletransfer.training.setup.fastest_dtype", lambda device: found)
    warning = emulated(TrainingConfig(mixed_precision="bf16"), torch.device("cpu"))
    assert (warning is None) == native
    assert native or "--mixed-precision fp32" in warning
    assert emulated(TrainingConfig(mixed_precision="fp32"), torch.device("cpu")) is None


# ---------------------------------------------------------------- what cannot begin


def test_weights_that_cannot_be_downloaded_name_the_flags_and_the_objectives_without(settings, tmp_path):
    unreachable = {"TORCH_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    pretrained = {"style_network": "vgg19", "style_network_weights": None, "style_layers": "relu1_1"}
    finished = train(tmp_path / "run", {**settings, **pretrained}, environment=unreachable)
    told = ("weights of vgg19 cannot be downloaded", "--style-network-weights FILE", "--objective contrastive, ")
    assert refused(finished, *told).endswith("contrastive-fast, cycle.")
    assert not (tmp_path / "run").exists()


def test_photos_that_cannot_be_read_are_called_what_they_are(settings, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no picture")
    finished = train(tmp_path / "run", {**settings, "photos": [tmp_path / "photos"]})
    assert "sample" not in refused(finished, f"--photos {tmp_path / 'photos'}", "a.jpg")


def test_tf32_without_a_gpu_is_refused(settings, tmp_path):
    refused(train(tmp_path / "run", {**settings, "tf32": True}), "--tf32 needs an NVIDIA GPU")


def test_epochs_of_a_stream_are_refused():
    stream = datasets.Dataset.from_dict({"image": ["a.png"]}).to_iterable_dataset()
    with pytest.raises(InputError, match="give --steps"):
        with_steps(configure({"epochs": 1}), [stream], processes=1)


# ---------------------------------------------------------------- resume from a folder


def test_a_run_continues_from_the_folder_of_another_with_all_its_losses(run, settings, tmp_path):
    whole, output = run[0], tmp_path / "run"
    trained(output, {**settings, "epochs": 2, "resume": checkpoint(whole, 4)})
    assert losses(output) == losses(whole)
    assert differences(whole / "pack" / WEIGHTS, output / "pack" / WEIGHTS) == []


def test_the_newest_checkpoint_of_a_run_is_taken_and_a_newer_one_here_is_not_overwritten(run, tmp_path):
    def find(resume, output):
        config = configure({"resume": str(resume), "output_dir": str(output)})
        return find_checkpoint(config, output / "checkpoints")

    output = tmp_path / "run"
    assert find(run[0], output) == find(run[0] / "checkpoints", output) == checkpoint(run[0], 5)
    with pytest.raises(InputError, match="holds no checkpoint: give a folder"):
        find(tmp_path, output)
    shutil.copytree(checkpoint(run[0], 5), checkpoint(output, 5))
    with pytest.raises(InputError, match="step-00000005 is newer than step-00000004"):
        find(checkpoint(run[0], 4), output)


def test_the_command_that_continues_has_neither_token_nor_folder(run, settings):
    config = configure({"output_dir": str(run[0])})
    argv = ["--steps", "9", "--hub-token", "hf_secret", "--resume", "elsewhere", "--cpu", "--hub-token=hf_secret"]
    assert how_to_resume(argv, config).endswith("train_accelerate.py --steps 9 --cpu --resume")


# ---------------------------------------------------------------- optimizer, memory, speed


def test_adam_has_the_rates_and_the_decay_of_the_settings():
    settings = {"adam_beta1": 0.25, "adam_beta2": 0.75, "adam_weight_decay": 0.5}
    linear = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        linear.weight.fill_(1.0)
    optimizer = adam(configure(settings), [linear], 0.1)
    assert optimizer.param_groups[0]["betas"] == (0.25, 0.75)
    linear.weight.grad = torch.zeros(1, 1)
    optimizer.step()
    assert linear.weight.item() == pytest.approx(1 - 0.1 * 0.5)  # decoupled: not divided by the gradient's size


def test_gradient_checkpointing_changes_no_number(run, settings, tmp_path):
    output = trained(tmp_path / "run", {**settings, "epochs": 2, "gradient_checkpointing": True})
    assert losses(output) == losses(run[0])
    assert differences(run[0] / "pack" / WEIGHTS, output / "pack" / WEIGHTS) == []


def test_gradient_checkpointing_runs_the_blocks_again_in_the_backward_pass():
    counts = {}
    for again in (False, True):
        config = configure({"style": ("a=b",), "channels": 8, "blocks": 2, "gradient_checkpointing": again})
        generator = build_networks(config).generator
        calls = []
        generator.body[0].conv.register_forward_hook(lambda *ignored, calls=calls: calls.append(1))
        generator(torch.zeros(1, 3, 32, 32), torch.ones(1, 1)).sum().backward()
        counts[again] = len(calls)
    assert counts == {False: 1, True: 2}


@pytest.mark.slow
def test_a_compiled_generator_learns_the_same(run, settings, tmp_path):
    output = trained(tmp_path / "run", {**settings, "epochs": 2, "compile": True})
    for step, line in losses(run[0]).items():
        assert losses(output)[step] == pytest.approx(line, rel=1e-2, abs=1e-3), step


def test_a_profile_tells_the_share_of_each_part_and_changes_no_number(run, settings, tmp_path):
    finished = train(tmp_path / "run", {**settings, "epochs": 2, "profile": True})
    assert finished.code == 0, finished.err
    (line,) = (line for line in finished.out.splitlines() if line.startswith("profile of "))
    shares = {name: float(share) for name, share in re.findall(r"([a-z][a-z' ]+) (\d+\.\d)%", line.partition(": ")[2])}
    assert {"pictures", "painting", "objective", "backward passes", "updates", "checkpoints"} < shares.keys()
    assert sum(shares.values()) == pytest.approx(100, abs=1) and all(share >= 0 for share in shares.values())
    assert list(shares.values()) == sorted(shares.values(), reverse=True) and shares["backward passes"] > 0
    assert losses(tmp_path / "run") == losses(run[0])


# ---------------------------------------------------------------- sample grids in the tracker


@pytest.fixture
def accelerator():
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def test_wandb_gets_the_sample_grid(accelerator, monkeypatch, tmp_path):
    shown = []
    run = types.SimpleNamespace(log=lambda values, step=None, **more: shown.append((step, values)))
    stub = types.SimpleNamespace(init=lambda **options: run, Image=lambda picture: ("image", picture.size))
    monkeypatch.setitem(sys.modules, "wandb", stub)
    tracker = WandBTracker("styletransfer")
    getattr(tracker, "start", lambda: None)()  # older releases of accelerate start it at once
    accelerator.trackers = [tracker]
    LossLog(accelerator, tmp_path, {}).samples(7, Image.fromarray(np.zeros((4, 6, 3), dtype=np.uint8)))
    assert shown == [(7, {"samples": [("image", (6, 4))]})]
