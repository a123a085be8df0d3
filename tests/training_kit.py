"""Trainings in miniature: pictures drawn by code, settings that take a second, processes that end, fail or are killed.

Importing torch and its company takes longer than such a training, so processes are forked from a server that has
imported them; what they run is train_accelerate.py, as from a command line.
"""

import atexit
import json
import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "train_accelerate.py"
HUB_PORT_HOLDER = socket.socket()  # keeps the port for the Hub of these trainings: they know it from their start on
HUB_PORT_HOLDER.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
HUB_PORT_HOLDER.bind(("127.0.0.1", 0))
HUB_PORT = HUB_PORT_HOLDER.getsockname()[1]
PATIENCE = 1800  # seconds until a training that takes a few is taken for hanging
WEIGHTS = "diffusion_pytorch_model.safetensors"

# Loud in what must come out the same: a quick discriminator, R1 at steps 1, 4 and 7, changing learning rates.
TINY = {
    "crop_size": 96,
    "loss_margin": 16,
    "painting_size": 128,
    "channels": 8,
    "blocks": 1,
    "discriminator_channels": 8,
    "batch_size": 2,
    "style_network": "squeezenet1_1",
    "content_network": "squeezenet1_1",
    "style_network_weights": "random",
    "content_network_weights": "random",
    "style_layers": "relu1",
    "deep_style_layers": "fire2",
    "content_layers": "relu1",
    "style_octaves": 2,
    "style_places": 64,
    "style_window": 48,
    "calm_size": 32,
    "adversarial_weight": 1,
    "r1_weight": 1000,
    "r1_every": 3,
    "grid_weight": 0.1,
    "identity_weight": 1,
    "learning_rate": 5e-4,
    "discriminator_learning_rate": 4e-3,
    "warmup_steps": 2,
    "steps": 8,
    "checkpoint_every": 4,
    "log_every": 1,
    "tracker": "none",
    "cpu": True,
}

# One step of the same four samples, taken in three ways.
TWO_PROCESSES = {"batch_size": 1, "gradient_accumulation_steps": 2}
ONE_PROCESS = {"batch_size": 2, "gradient_accumulation_steps": 2}
ONE_BATCH = {"batch_size": 4, "gradient_accumulation_steps": 1}


# ---------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Pictures:
    """Five photos, three paintings of waves and one of dots: no step of the trainings here ends with an epoch."""

    photos: Path
    waves: Path
    dots: Path

    @property
    def sources(self):
        return {"photos": [self.photos], "style": [f"waves={self.waves}", f"dots={self.dots}"]}


def draw_pictures(folder):
    photos, waves, dots = folder / "photos", folder / "waves", folder / "dots.png"
    rng = np.random.default_rng(0)
    photos.mkdir()
    waves.mkdir()
    for number, size in enumerate([(150, 120), (120, 150), (130, 130), (160, 110), (140, 104)]):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(photos / f"photo-{number}.png")
    y, x = np.mgrid[0:112, 0:128].astype(np.float64)
    for number in range(3):
        wave = np.sin(x / (4 + number) + 3 * np.sin(y / 21))[..., None]
        pixels = 128 + wave * [90, 60, -100] + rng.normal(0, 8, (112, 128, 3))
        Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)).save(waves / f"wave-{number}.png")
    dot = ((x % 12 - 6) ** 2 + (y % 12 - 6) ** 2 < 16)[..., None]
    Image.fromarray(np.where(dot, [230, 60, 40], [240, 225, 180]).astype(np.uint8)).save(dots)
    return Pictures(photos, waves, dots)


# ---------------------------------------------------------------- command lines


def flags(output, settings):
    """The command line of settings: a list repeats its flag, True is a switch, None is left out."""
    line = []
    for name, value in {"output_dir": output, **settings}.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            line.append(flag)
        elif isinstance(value, list):
            line += [word for item in value for word in (flag, str(item))]
        elif value is not None:
            line += [flag, str(value)]
    return line


@dataclass(frozen=True)
class Finished:
    """What a program leaves behind: its exit code, or minus the signal that ended it, and what it said."""

    code: int
    out: str
    err: str


class Training:
    """train_accelerate.py in a process of its own, forked from a server that has the libraries loaded."""

    def __init__(self, argv, logs, environment=None, die_before=None):
        logs.mkdir(parents=True, exist_ok=True)
        number = len(list(logs.glob("*.out")))
        self.out, self.err = logs / f"{number}.out", logs / f"{number}.err"
        self.out.touch()
        self.process = forked().Process(
            target=_command_line,
            args=([str(word) for word in argv], str(self.out), str(self.err), environment or {}, die_before),
        )
        self.process.start()

    def wait(self):
        self.process.join(PATIENCE)
        if self.process.exitcode is None:
            self.kill()
            raise AssertionError(f"no end after {PATIENCE} s: {self.err.read_text()}")
        return Finished(self.process.exitcode, self.out.read_text(), self.err.read_text())

    def kill(self):
        """At once and without a word, as a power cut does."""
        self.process.kill()
        self.process.join()


@cache
def hub_environment():
    """What makes a program take the Hub at HUB_PORT for the real one; it counts when its libraries are imported."""
    home = tempfile.mkdtemp(prefix="hub-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return {
        "HF_ENDPOINT": f"http://127.0.0.1:{HUB_PORT}",
        "HF_HOME": home,
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_ETAG_TIMEOUT": "120",
        "HF_HUB_DOWNLOAD_TIMEOUT": "120",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def forked():
    """Makes processes that have the libraries of a training imported and take the Hub at HUB_PORT for the real one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["styletransfer.training.launch", "torchvision.models", "runpy"])
    before = dict(os.environ)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | hub_environment()
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def _command_line(argv, out, err, environment, die_before):
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
    os.environ.update(environment)
    if die_before:
        sys.addaudithook(_Killer(*die_before))
    sys.argv = [str(SCRIPT), *argv]
    runpy.run_path(str(SCRIPT), run_name="__main__")


class _Killer:
    """Ends this process, as a power cut would, before a file operation: the `number`th `event` with `text` in its path.

    "any" counts every change to files, from the first folder on that is made with `text` in its path.
    """

    CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")

    def __init__(self, event, text, number):
        self.event, self.text, self.left = event, text, number
        self.counting = event != "any"

    def __call__(self, event, arguments):
        found = event in self.CHANGES and self.text in str(arguments[0])
        if self.event == "any":
            self.counting = self.counting or (found and event == "os.mkdir")
            found = event in self.CHANGES
        elif event != self.event:
            return
        if self.counting and found:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def train(output, settings, logs=None, **options):
    """One training to its end."""
    return Training(flags(output, settings), logs or output.parent / "logs", **options).wait()


def trained(output, settings):
    """The output folder of a training that must succeed."""
    finished = train(output, settings)
    assert finished.code == 0, finished.err
    return output


def resumed_on_one(output, settings):
    return trained(output, {**settings, "resume": True})


def ranks(output, settings, count=2, **options):
    """The processes of one training, started as torchrun and `accelerate launch` start them; options for the first."""
    world = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    places = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return [
        Training(
            flags(output, settings),
            output.parent / f"logs-{place['RANK']}",
            environment={**world, **place},
            **(options if place["RANK"] == "0" else {}),
        )
        for place in places
    ]


class Command:
    """A program started as from a shell, in the project's folder."""

    def __init__(self, line):
        self.process = subprocess.Popen(
            [str(word) for word in line],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"} | hub_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self):
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return Finished(self.process.returncode, out, err)


def accelerate_launch(output, settings, processes=2):
    """A training under the real launcher, with everything that comes with it."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", processes]
    launcher += ["--num_machines", 1, "--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher += ["--main_process_port", free_port()]
    return Command([*launcher, SCRIPT, *flags(output, settings)])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---------------------------------------------------------------- what a training leaves


def checkpoint(output, step):
    return output / "checkpoints" / f"step-{step:08d}"


def checkpoints(output):
    """Names of everything in the folder of checkpoints, hidden things too."""
    return sorted(path.name for path in (output / "checkpoints").iterdir())


def progress(output, step):
    return json.loads((checkpoint(output, step) / "progress.json").read_text(encoding="utf-8"))


def loss_lines(output):
    lines = (output / "losses.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "steps_per_second"} for line in lines]


def losses(output):
    """Step -> the numbers logged for it, the last time it was taken."""
    return {line["step"]: line for line in loss_lines(output)}


def differences(expected, found):
    """Names of the tensors in which two safetensors files differ by as much as one bit."""
    a, b = load_file(expected), load_file(found)
    alone = a.keys() ^ b.keys()
    return sorted(alone | {name for name in a.keys() & b.keys() if not same_bits(a[name], b[name])})


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.view(torch.int32), b.view(torch.int32))


def assert_same_run(expected, found, step=8):
    """Two output folders of one training: the same numbers and networks, bit for bit."""
    assert losses(found) == losses(expected)
    for name in ("model.safetensors", "model_1.safetensors"):
        assert differences(checkpoint(expected, step) / name, checkpoint(found, step) / name) == []
    assert differences(expected / "pack" / WEIGHTS, found / "pack" / WEIGHTS) == []


def assert_alike(line, other, *, rel, abs, what):
    """Two lines of losses, but for rounding.

    The grid term is a small difference of large sums, of some hundred gray levels: its rounding is that of the sums.
    """
    line, other = dict(line), dict(other)
    assert line.pop("grid") == pytest.approx(other.pop("grid"), rel=rel, abs=1e-5), what
    assert line == pytest.approx(other, rel=rel, abs=abs), what
