"""`python -m styletransfer distill` as people run it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_generators import random_generator

from styletransfer.cli.paint import main
from styletransfer.packs.folder import load_pack

ROOT = Path(__file__).resolve().parents[2]
RANDOM = ("--content-network-weights", "random")


@pytest.fixture
def pack(tmp_path):
    """A pack of two blocks."""
    random_generator({"red": "Red", "blue": "Blue"}, channels=8, blocks=2).save_pretrained(tmp_path / "pack")
    return tmp_path / "pack"


@pytest.fixture
def command(pack, tmp_path, photo):
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photos/field.png")
    places = (pack, "--photos", tmp_path / "photos", "-o", tmp_path / "few")
    return ["distill", *map(str, places), "--blocks", "1", *RANDOM]


def test_a_pack_with_fewer_blocks_is_written_and_paints(command, tmp_path, capsys):
    assert main([*command, "--steps", "2"]) == 0
    assert "1 residual block in place of 2" in capsys.readouterr().err
    assert load_pack(tmp_path / "few").config["blocks"] == 1
    photo, painting = (str(tmp_path / name) for name in ("photos/field.png", "out.png"))
    assert main([photo, "--pack", str(tmp_path / "few"), "--style", "blue", "-o", painting]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--blocks", "2"), "has 2 residual blocks: keep fewer"),
        (("--blocks", "0"), "not a whole number above 0"),
        (("-o", "taken"), "is there already: name another"),
        (("-o", "nowhere/few"), "There is no folder nowhere for few: make it first"),
        (("--photos", "nowhere"), "There is no file or folder nowhere"),
        (("--content-network-weights", "nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_bad_input_gets_one_sentence_before_any_work(command, tmp_path, monkeypatch, capsys, change, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine.txt").write_text("mine")
    assert main([*command, *change]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (tmp_path / "few").exists() and (tmp_path / "taken/mine.txt").read_text() == "mine"


def test_a_pack_that_is_not_there_gets_one_sentence(command, capsys):
    assert main([command[0], "./no-pack", *command[2:]]) == 2
    assert "no-pack" in capsys.readouterr().err


def test_ctrl_c_writes_nothing(command, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "styletransfer", *command, "--steps", "100000"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert "2 residual blocks to 1" in process.stderr.readline()  # now it begins
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "Traceback" not in process.stderr.read()
    assert not (tmp_path / "few").exists()
