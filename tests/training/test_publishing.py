"""Trainings that push to a Hub over real HTTP, and go on from there on another machine."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from fake_hub.server import hub
from training_kit import (
    HUB_PORT,
    PATIENCE,
    ROOT,
    SCRIPT,
    WEIGHTS,
    checkpoint,
    differences,
    flags,
    free_port,
    losses,
    train,
    trained,
)

REPO = "painter/waves"
BRANCH = "checkpoints"
LAUNCHER = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCHER += ["--mixed_precision", "no", "--dynamo_backend", "no"]

# As a power cut at step 8, but not before the test has seen on the Hub what it waits for.
DOOMED = """
import os, runpy, signal, sys, time
seen = sys.argv.pop(1)
def end(event, arguments):
    if event == "os.mkdir" and "step-00000008" in str(arguments[0]):
        while not os.path.exists(seen):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(end)
runpy.run_path("train_accelerate.py", run_name="__main__")
"""


@pytest.fixture
def running(tmp_path):
    with hub(tmp_path / "hub", port=HUB_PORT) as server:
        yield server


@pytest.fixture(scope="module")
def settings(settings):
    return {**settings, "steps": 8}


def run(running, output, settings, role="write"):
    """A training to its end, of a user whose token may or may not write."""
    return train(output, settings, environment={"HF_TOKEN": running.token("painter", role)})


def finished(command, environment):
    """What a program said that must end well."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.1)


def tree(repo, branch="main"):
    return {path for path in repo.paths(branch) if path != ".gitattributes"}


def test_two_processes_push_packs_and_checkpoints_once(running, settings, tmp_path):
    output = tmp_path / "run"
    pushing = {"push_to_hub": REPO, "push_every": 4, "hub_checkpoint": True, "private": True, "batch_size": 1}
    command = [*LAUNCHER, "--main_process_port", free_port(), SCRIPT, *flags(output, {**settings, **pushing})]
    said = finished(command, running.environment("painter"))

    assert json.loads((checkpoint(output, 8) / "progress.json").read_text())["processes"] == 2
    repo = running.repo(REPO)
    assert repo.private
    assert repo.read(WEIGHTS) == (output / "pack" / WEIGHTS).read_bytes()
    assert {"config.json", "README.md", "training_config.json", "samples/waves.webp"} <= tree(repo)
    assert "v1" in repo.tags or {"v1-step-4-of-8", "v2"} <= repo.tags.keys(), said
    card = repo.read("README.md").decode()
    assert "- training time: " in card and "shared by 2 processes" in card
    here = {f"step-00000008/{path.name}" for path in checkpoint(output, 8).iterdir()}
    assert tree(repo, BRANCH) == here  # the newest, and neither older ones nor the pack
    assert "not on the Hub" not in said
    assert not (output / ".pushing").exists()


@pytest.mark.slow
def test_another_machine_goes_on_to_the_same_weights(running, settings, tmp_path):
    expected = trained(tmp_path / "whole", settings)
    pushing = {**settings, "push_to_hub": REPO, "hub_checkpoint": True, "push_every": 4}

    first, seen = tmp_path / "first" / "run", tmp_path / "seen"
    doomed = subprocess.Popen(
        [sys.executable, "-c", DOOMED, seen, *flags(first, pushing)],
        cwd=ROOT,
        env={**running.environment("painter"), "OMP_NUM_THREADS": "1"},
    )
    wait_until(lambda: doomed.poll() is not None or (_has_checkpoint(running, 4) and _tags(running)))
    seen.touch()
    assert doomed.wait(PATIENCE) == -signal.SIGKILL
    shutil.rmtree(first.parent)  # the first machine never comes back
    on_the_way = running.repo(REPO)
    assert on_the_way.tags.keys() == {"v1-step-4-of-8"}
    assert on_the_way.head.title == "Push style pack, step 4 of 8"
    card = on_the_way.read("README.md").decode()
    assert "Unfinished: this pack is from step 4 of 8" in card and "Trained up to step 4 of 8;" in card

    second = tmp_path / "second" / "run"
    done = run(running, second, {**pushing, "resume": True})
    assert done.code == 0, done.err
    assert "Continuing from step-00000004" in done.out
    assert losses(second) == losses(expected)  # the first machine's lines, too
    assert differences(expected / "pack" / WEIGHTS, second / "pack" / WEIGHTS) == []
    for name in ("model.safetensors", "model_1.safetensors"):
        assert differences(checkpoint(expected, 8) / name, checkpoint(second, 8) / name) == []


def _tags(running):
    return running.repo(REPO).tags


def _has_checkpoint(running, step):
    try:
        repo = running.repo(REPO)
    except KeyError:
        return False
    return BRANCH in repo.branches and f"step-{step:08d}/progress.json" in repo.paths(BRANCH)


@pytest.mark.slow
def test_refused_push_neither_stops_nor_loses_training(running, settings, tmp_path):
    output = tmp_path / "run"
    pushing = {**settings, "push_to_hub": REPO, "hub_checkpoint": True}
    done = run(running, output, pushing, role="read")

    assert done.code == 3, done.err
    said = done.err
    assert "was not pushed to painter/waves" in done.out and f"pack: {output / 'pack'}" in done.out
    assert checkpoint(output, 8).is_dir()
    hand = [line.partition("Push it with: ")[2] for line in said.splitlines() if "Push it with: " in line]
    assert len(hand) == 2, said  # the pack and the checkpoint, one command each
    for command in hand:
        program, *words = shlex.split(command)
        assert program == "python"
        finished(words, running.environment("painter"))
    repo = running.repo(REPO)
    assert repo.read(WEIGHTS) == (output / "pack" / WEIGHTS).read_bytes()
    assert _has_checkpoint(running, 8)


def test_hub_that_fails_for_a_moment_is_asked_again(running, settings, tmp_path):
    failures = [
        running.fail("/api/models/painter/waves/commit/*", "error", status=500, times=1),
        running.fail("/api/models/painter/waves/commit/*", "rate-limit", times=1),
        running.fail("/api/repos/create", "error", status=503, times=1),
    ]
    output = tmp_path / "run"
    pushing = {**settings, "push_to_hub": REPO}
    done = run(running, output, pushing)

    assert done.code == 0, done.err
    assert [failure.hits for failure in failures] == [1, 1, 1]
    assert "not on the Hub" not in done.out
    assert running.repo(REPO).read(WEIGHTS) == (output / "pack" / WEIGHTS).read_bytes()


def test_a_token_given_as_a_flag_is_used_and_written_nowhere(running, settings, tmp_path):
    output, token = tmp_path / "run", running.token("painter")
    pushing = {**settings, "steps": 2, "checkpoint_every": 2, "push_to_hub": REPO, "hub_token": token}
    done = train(output, pushing)
    assert done.code == 0, done.err
    assert running.repo(REPO).read(WEIGHTS) == (output / "pack" / WEIGHTS).read_bytes()
    holding = [path for path in output.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert holding == [] and token not in done.out + done.err


def test_resume_from_a_branch_that_is_not_there_says_where_it_looked(running, settings, tmp_path):
    resumed = {**settings, "push_to_hub": REPO, "hub_checkpoint": True, "resume": True}
    done = run(running, tmp_path / "run", resumed)
    assert done.code == 2, done.out
    assert f"nor on the branch {BRANCH} of {REPO} on the Hub" in done.err and "--push-to-hub" in done.err


def test_spoiled_checkpoint_is_not_taken(running, settings, tmp_path):
    first = trained(tmp_path / "first", {**settings, "steps": 4})
    push = ["-m", "styletransfer", "push", checkpoint(first, 4), REPO]
    finished(push, running.environment("painter"))

    output = tmp_path / "second"
    resumed = {**settings, "push_to_hub": REPO, "hub_checkpoint": True, "resume": True}
    spoiled = running.fail("*/model.safetensors", "corrupt", method="GET", times=None)
    done = run(running, output, resumed)
    assert done.code == 2, done.out
    assert "does not arrive as it was uploaded" in done.err
    assert spoiled.hits
    assert not list(output.rglob("step-*"))

    running.heal()
    assert run(running, output, resumed).code == 0
    assert checkpoint(output, 8).is_dir()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"push_to_hub": "waves"}, "--push-to-hub 'waves' is not a valid repository name: write org/name."),
        ({"push_every": 5}, "--push-every needs --push-to-hub org/name."),
        ({"hub_checkpoint": True}, "--hub-checkpoint needs --push-to-hub org/name."),
    ],
)
def test_wrong_settings_are_refused_before_training(settings, tmp_path, wrong, sentence):
    done = train(tmp_path / "run", {**settings, **wrong})
    assert (done.code, done.err.strip()) == (2, f"error: {sentence}")
    assert not (tmp_path / "run").exists()
