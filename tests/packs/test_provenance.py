"""What a run tells of its machine, its time and its source."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import torch

from styletransfer.packs.provenance import run_facts, versions

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45.4, "45 s"), (60, "1 min"), (3570, "1 h 0 min"), (12_000, "3 h 20 min"), (200_000, "55 h 33 min")],
)
def test_training_time_is_told_in_words(seconds, text):
    assert run_facts(CPU, seconds=seconds)["training time"] == text


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot give a process fewer cores")
def test_the_cores_that_training_may_use_are_counted():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert run_facts(CPU, processes=2) == {"hardware": "1 CPU core shared by 2 processes"}
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_told_by_its_name():
    name = torch.cuda.get_device_name(0)
    assert run_facts(torch.device("cuda:0"), processes=4)["hardware"] == f"4 x {name}"


def test_what_is_unknown_is_absent_and_each_dataset_is_there_once():
    assert run_facts(CPU).keys() == {"hardware"}
    assert run_facts(CPU, datasets=["a/b", "c/d", "a/b"])["datasets"] == ["a/b", "c/d"]


def test_versions_name_the_libraries_and_the_commit():
    found = versions()
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert {"python", "diffusers", "accelerate"} <= found.keys()
    root = Path(__file__).resolve().parents[2]
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode == 0 and (root / ".git").exists():
        assert re.fullmatch(f"{head.stdout.strip()}(-dirty)?", found["git commit"])
    else:
        assert "git commit" not in found
