"""One training, the same numbers: over processes, over forward passes, and over the ends of processes."""

import itertools
import random
import shutil
import time

import pytest
from training_kit import (
    ONE_BATCH,
    ONE_PROCESS,
    PATIENCE,
    TWO_PROCESSES,
    Training,
    accelerate_launch,
    assert_alike,
    assert_same_run,
    checkpoint,
    checkpoints,
    flags,
    loss_lines,
    losses,
    progress,
    ranks,
    resumed_on_one,
    train,
    trained,
)

STEPS = list(range(1, 9))
R1_STEPS = [1, 4, 7]


# Slow in what grows rounding errors: faster networks make a thousandfold of them in these few steps.
SLOW = {"learning_rate": 2e-5, "discriminator_learning_rate": 1e-3}


@pytest.fixture(scope="session")
def settings(settings):
    return {**settings, **SLOW}


@pytest.fixture(scope="session")
def launched(settings, tmp_path_factory):
    """A whole training on two processes under the real launcher, which takes its time to begin."""
    output = tmp_path_factory.mktemp("two") / "run"
    return output, accelerate_launch(output, {**settings, **TWO_PROCESSES})


@pytest.fixture(scope="session")
def two_processes(launched, one_process):
    output, launcher = launched
    finished = launcher.wait()
    assert finished.code == 0, finished.err
    return output


@pytest.fixture(scope="session")
def one_process(launched, settings, tmp_path_factory):
    """The same training on one process, each step in two forward passes."""
    return trained(tmp_path_factory.mktemp("one") / "run", {**settings, **ONE_PROCESS})


# ---------------------------------------------------------------- over processes and forward passes


def assert_close(expected, found, steps=STEPS):
    assert [step for step in steps if step not in found] == []
    for step in steps:
        assert_alike(found[step], expected[step], rel=1e-4, abs=1e-7, what=f"step {step}")


def test_launcher_really_starts_two_processes(two_processes, one_process):
    assert progress(two_processes, 8)["processes"] == 2
    assert progress(one_process, 8)["processes"] == 1


def test_two_processes_give_the_losses_of_one(two_processes, one_process):
    assert [step for step, line in losses(one_process).items() if "r1_penalty" in line] == R1_STEPS
    assert_close(losses(one_process), losses(two_processes))


def test_two_processes_write_each_line_and_file_once(two_processes):
    assert [line["step"] for line in loss_lines(two_processes)] == STEPS
    assert checkpoints(two_processes) == ["step-00000004", "step-00000008"]


def test_accumulated_passes_give_the_losses_of_one_large_batch(one_process, settings, tmp_path):
    output = trained(tmp_path / "run", {**settings, **ONE_BATCH})
    assert_close(losses(output), losses(one_process))


@pytest.mark.slow
def test_pictures_loaded_by_another_process_give_the_same_run(one_process, settings, tmp_path):
    output = trained(tmp_path / "run", {**settings, **ONE_PROCESS, "workers": 1})
    assert_same_run(one_process, output)


# ---------------------------------------------------------------- killed and taken up again


# The checkpoint before is that of step 4, which is not at the end of an epoch; the losses up to step 8 are told.
WITH_8_STEPS = {"die_before": ("os.mkdir", ".partial-step-00000008", 1)}


def assert_killed_with_8_steps(training, output):
    assert training.wait().code == -9, training.wait().err
    assert [line["step"] for line in loss_lines(output)] == STEPS
    assert checkpoint(output, 4).exists() and not checkpoint(output, 8).exists()


@pytest.fixture(scope="session")
def taken_up_on_one(settings, tmp_path_factory):
    """The training of `one_process`, killed in between."""
    output, settings = tmp_path_factory.mktemp("killed-one") / "run", {**settings, **ONE_PROCESS}
    training = Training(flags(output, settings), output.parent / "logs", **WITH_8_STEPS)
    assert_killed_with_8_steps(training, output)
    return resumed_on_one(output, settings)


@pytest.fixture(scope="session")
def taken_up_on_two(settings, tmp_path_factory):
    """The training of `two_processes`, killed in between."""
    output, settings = tmp_path_factory.mktemp("killed-two") / "run", {**settings, **TWO_PROCESSES}
    first, second = ranks(output, settings, **WITH_8_STEPS)
    assert_killed_with_8_steps(first, output)
    second.kill()
    finished = [training.wait() for training in ranks(output, {**settings, "resume": True})]
    assert [f.code for f in finished] == [0, 0], [f.err for f in finished]
    return output


def test_killed_run_resumes_exactly_on_one_process(one_process, taken_up_on_one):
    assert_same_run(one_process, taken_up_on_one)


def test_killed_run_resumes_exactly_on_two_processes(two_processes, taken_up_on_two):
    assert progress(taken_up_on_two, 8)["processes"] == 2
    assert_same_run(two_processes, taken_up_on_two)


def test_resumed_run_tells_the_losses_of_each_step_once(taken_up_on_one):
    assert [line["step"] for line in loss_lines(taken_up_on_one)] == STEPS


def test_checkpoint_of_two_processes_continues_on_one(two_processes, one_process, settings, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(checkpoint(two_processes, 4), checkpoint(output, 4))
    resumed_on_one(output, {**settings, **ONE_PROCESS})
    assert_close(losses(one_process), losses(output), steps=STEPS[4:])


# ---------------------------------------------------------------- killed while a checkpoint is written

EVERY_STEP = {"checkpoint_every": 1, "keep_checkpoints": 1}


def newest_whole(output):
    """The step that --resume takes up; 0 where there is no checkpoint yet."""
    names = [name for name in checkpoints(output) if name.startswith("step-")] if output.exists() else []
    if not names:
        return 0
    step = int(names[-1].removeprefix("step-"))
    assert progress(output, step)["step"] == step
    return step


def cut_short(output, settings, **options):
    """Take the training up and see it end by SIGKILL."""
    settings = {**settings, "resume": newest_whole(output) > 0 or None}
    finished = train(output, settings, **options)
    assert finished.code == -9, finished.err


def test_kill_at_a_file_operation_of_a_checkpoint_leaves_the_last_one_whole(one_process, settings, tmp_path):
    output, settings = tmp_path / "run", {**settings, **ONE_PROCESS, **EVERY_STEP}
    # Two saves go through: the third is about to get its name.
    cut_short(output, settings, die_before=("os.rename", ".partial-step-", 3))
    assert newest_whole(output) == 2
    # All but the last file of the new one is written, beside what was left behind.
    cut_short(output, settings, die_before=("open", ".partial-step-00000003/progress.json", 1))
    assert newest_whole(output) == 2
    # It has its name; the files of the old one are deleted, its folder not yet.
    cut_short(output, settings, die_before=("os.rmdir", "step-00000002", 1))
    assert newest_whole(output) == 3
    resumed_on_one(output, settings)
    assert checkpoints(output) == ["step-00000008"]
    assert_same_run(one_process, output)


def killed_while_writing(output, settings, delay):
    resume = newest_whole(output) > 0 or None
    training = Training(flags(output, {**settings, "resume": resume}), output.parent / "logs")
    folder = output / "checkpoints"
    before = set(folder.glob("*"))
    end = time.monotonic() + PATIENCE
    while not set(folder.glob("*")) - before:
        assert training.process.is_alive() and time.monotonic() < end, training.err.read_text()
        time.sleep(0.001)
    time.sleep(delay)
    training.kill()


def killed_at_random(times, settings, output):
    """Kills at random moments from the first trace of a checkpoint on; then the run ends as if nothing had been."""
    chance = random.Random(0)
    for _ in range(times):
        before = newest_whole(output)
        if before < 8:
            killed_while_writing(output, settings, chance.uniform(0, 0.05))
        assert newest_whole(output) >= before
    resumed_on_one(output, {**settings, "resume": newest_whole(output) > 0 or None})


def test_kills_at_random_moments_of_checkpoints_leave_the_last_one_whole(one_process, settings, tmp_path):
    output = tmp_path / "run"
    killed_at_random(3, {**settings, **ONE_PROCESS, **EVERY_STEP}, output)
    assert_same_run(one_process, output)


@pytest.mark.slow
def test_many_kills_at_random_moments_leave_the_last_checkpoint_whole(settings, tmp_path):
    longer = {**settings, **EVERY_STEP, "steps": 40}
    unbroken = trained(tmp_path / "unbroken" / "run", longer)
    output = tmp_path / "killed" / "run"
    killed_at_random(30, longer, output)
    assert_same_run(unbroken, output, step=40)


@pytest.mark.slow
def test_kill_at_every_file_operation_of_a_checkpoint_leaves_the_last_one_whole(settings, tmp_path):
    longer = {**settings, **EVERY_STEP, "steps": 60}
    unbroken = trained(tmp_path / "unbroken" / "run", longer)
    output = tmp_path / "killed" / "run"
    for number in itertools.count(1):
        before = newest_whole(output)
        cut_short(output, longer, die_before=("any", ".partial-step-", number))
        assert newest_whole(output) >= before
        if f".partial-step-{before + 2:08d}" in checkpoints(output):
            break  # one save went through; this was the first operation of the next
    assert number > 10, "the operations of a save were not counted"
    resumed_on_one(output, longer)
    assert_same_run(unbroken, output, step=60)
