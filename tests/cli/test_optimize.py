"""`python -m styletransfer optimize` as people run it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styletransfer.cli.paint import main

ROOT = Path(__file__).resolve().parents[2]
RANDOM = ["--style-network-weights", "random", "--content-network-weights", "random"]


@pytest.fixture
def pictures(painting_file, tmp_path, photo):
    """The photo's file, a painting's, a mask's and where the result goes."""
    photo.save(tmp_path / "photo.png")
    mask = Image.new("L", photo.size, 0)
    mask.paste(255, (0, 0, 96, 40))
    mask.save(tmp_path / "sky.png")
    return str(tmp_path / "photo.png"), str(painting_file), str(tmp_path / "sky.png"), str(tmp_path / "out.png")


def test_a_photo_is_painted_like_two_paintings_each_in_its_place(pictures, photo):
    photo_file, painting, mask, output = pictures
    words = ["--weights", "2", "1", "--mask", f"1={mask}", "--steps", "3"]
    assert main(["optimize", photo_file, painting, painting, "-o", output, *words, *RANDOM]) == 0
    made = Image.open(output)
    assert made.size == photo.size
    assert np.abs(np.asarray(made).astype(int) - np.asarray(photo)).mean() > 1


@pytest.mark.slow
def test_an_interrupted_run_keeps_the_picture_so_far(pictures, tmp_path):
    photo_file, painting, _, output = pictures
    process = subprocess.Popen(
        [sys.executable, "-m", "styletransfer", "optimize", photo_file, painting, "-o", output, "--minutes", "30"]
        + RANDOM,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""},
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in test_learn.py
    )
    try:
        end = time.monotonic() + 120
        while not Path(output).exists() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.stderr.close()
    assert Image.open(output).size == (96, 80)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (["--minutes", "0"], "0.1 to 1440 minutes"),
        (["--steps", "0"], "at least 1"),
        (["--size", "10"], "128 to 2048"),
        (["--init", "zero"], "no init 'zero'"),
        (["--weights", "1", "2"], "2 --weights for 1 paintings"),
        (["--weights", "0"], "weight of a painting"),
        (["--mask", "2=sky.png"], "N from 1 to 1"),
        (["--mask", "1=nowhere.png"], "nowhere.png"),
        (["--lpips-weights", "nowhere.pth"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(pictures, capsys, changes, part):
    photo_file, painting, _, output = pictures
    assert main(["optimize", photo_file, painting, "-o", output, *RANDOM, *changes]) == 2
    said = capsys.readouterr().err
    assert part in said and said.startswith("error: ") and said.count("\n") == 1
    assert not Path(output).exists()


def test_the_photo_is_never_overwritten(pictures, capsys):
    photo_file, painting, *_ = pictures
    before = Path(photo_file).read_bytes()
    assert main(["optimize", photo_file, painting, "-o", photo_file, *RANDOM]) == 2
    assert "another name" in capsys.readouterr().err
    assert Path(photo_file).read_bytes() == before
