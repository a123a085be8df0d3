"""`python -m styletransfer learn` as people run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from styletransfer.cli.paint import main
from styletransfer.packs.folder import load_pack

ROOT = Path(__file__).resolve().parents[2]
RANDOM = ("--style-network-weights", "random", "--content-network-weights", "random")


@pytest.fixture
def command(painting_file, tiny_pack, tmp_path, photo):
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photos/field.png")
    places = ("--base", tiny_pack, "--photos", tmp_path / "photos", "-o", tmp_path / "mine")
    return ["learn", str(painting_file), *map(str, places), *RANDOM]


def test_a_pack_and_a_preview_are_written_and_paint(command, tmp_path, capsys):
    code = main([*command, "--steps", "2", "--preview", str(tmp_path / "seen.png"), "--title", "Mine!"])
    said = capsys.readouterr().err
    assert code == 0, said
    assert "starting from tiny-pack@" in said and "(2 steps)" in said
    assert load_pack(tmp_path / "mine").styles == {"mine": "Mine!"}
    assert Image.open(tmp_path / "seen.png").size == (96, 80)
    pack, photo, painting = (str(tmp_path / name) for name in ("mine", "photos/field.png", "out.png"))
    assert main([photo, "--pack", pack, "--style", "mine", "-o", painting]) == 0


def test_a_folder_of_any_name_is_a_style(command, tmp_path, capsys):
    folder = tmp_path / "My_Painting (2)"
    assert main([*command[:-5], str(folder), *command[-4:], "--steps", "1"]) == 0, capsys.readouterr().err
    assert load_pack(folder).styles == {"my-painting-2": "My Painting 2"}


def test_progress_comes_as_lines_of_json(command, capsys):
    assert main([*command, "--steps", "1", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    moments = [line for line in lines if "steps" in line]
    assert moments[-1]["done"] == 1.0
    assert moments[-1]["is_better"] is True


@pytest.mark.parametrize("end", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_run_that_is_ended_leaves_a_whole_pack_or_none(command, tmp_path, end):
    process = subprocess.Popen(
        [sys.executable, "-m", "styletransfer", *command, "--minutes", "30", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs tests in the background has them ignore Ctrl-C, which their children would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for line in process.stdout:
            if '"is_better": true' in line:  # it has been saved once
                break
        time.sleep(0.3)
        process.send_signal(end)
        code = process.wait(timeout=120)
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
    assert code == (130 if end == signal.SIGINT else -signal.SIGKILL)
    assert load_pack(tmp_path / "mine").styles == {"mine": "Mine"}


@pytest.mark.slow
def test_on_a_leash_it_ends_with_who_started_it(command, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "styletransfer", *command, "--minutes", "30", "--json", "--leash"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        process.stdout.readline()  # it is at work
        process.stdin.close()
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (["--minutes", "0"], "0.1 to 1440 minutes"),
        (["--base", "nobody"], "no style pack"),
        (["--photos", "nowhere"], "no file or folder nowhere"),
        (["--name", "Not A Name"], "cannot be named"),
        (["--preview", "nowhere/seen.png"], "no folder nowhere"),
        (["--lpips-weights", "nowhere.pth"], "cannot be read"),
        (["--steps", "-3"], "whole number"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(command, tmp_path, capsys, changes, part):
    assert main([*command, *changes]) == 2
    said = capsys.readouterr().err
    assert part in said and said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "mine").exists()


def test_a_painting_that_is_none_is_one_sentence(command, tmp_path, capsys):
    Image.new("RGB", (200, 200), "white").save(tmp_path / "blank.png")
    assert main(["learn", str(tmp_path / "blank.png"), *command[2:]]) == 2
    assert "blank" in capsys.readouterr().err
