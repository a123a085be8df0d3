"""A kill at any moment leaves whole checkpoints: real processes are killed, and what they leave is read."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from styletransfer.folders import commit, partial_path, written_whole
from styletransfer.training.checkpoints import checkpoint_path, list_checkpoints, prune

ROOT = Path(__file__).resolve().parents[2]
FILES = ("model.bin", "optimizer.bin", "nested/random.bin")

# Writes checkpoints of `FILES`, each byte the step's, without end or until a given moment; never a test by itself.
WRITER = """
import os, signal, sys, types
package = types.ModuleType("styletransfer")  # without its __init__: starting must be quick
package.__path__ = [sys.argv[1]]
sys.modules["styletransfer"] = package
from pathlib import Path
from styletransfer.training.checkpoints import checkpoint_path, prune
from styletransfer.folders import commit, partial_path

folder, mode, moment = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def write(step, content):
    path = checkpoint_path(folder, step)
    for name in {files!r}:
        file = partial_path(path) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([content % 256]) * 20_000)
    commit(path)

seen = 0
def die_at_the_moment(event, arguments):
    global seen
    if event == "open" or event.startswith(("os.", "shutil.")):
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

if mode == "endless":
    print("ready", flush=True)
    for step in range(1, 10**6):
        write(step, step)
        prune(folder, 2)
if moment:
    sys.addaudithook(die_at_the_moment)
if mode == "next":
    write(3, 3)
    prune(folder, 2)
if mode == "again":
    write(2, 99)
print("through", flush=True)
""".replace("{files!r}", repr(FILES))


def start(folder: Path, mode: str, moment: int = 0) -> subprocess.Popen:
    command = [sys.executable, "-S", "-c", WRITER, str(ROOT / "styletransfer"), str(folder), mode, str(moment)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write_checkpoint(folder: Path, step: int) -> Path:
    path = checkpoint_path(folder, step)
    for name in FILES:
        file = partial_path(path) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([step % 256]) * 20_000)
    commit(path)
    return path


def content(path: Path) -> set[int]:
    """The bytes that a checkpoint holds; one byte says which, where it is whole."""
    assert sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()) == sorted(FILES), path
    assert all((path / name).stat().st_size == 20_000 for name in FILES)
    return {byte for name in FILES for byte in (path / name).read_bytes()}


def step_of(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


# ---------------------------------------------------------------- names


def test_checkpoints_are_named_and_sorted_by_step(tmp_path: Path) -> None:
    for step in (1000, 20, 3, 100_000):
        write_checkpoint(tmp_path, step)
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == [3, 20, 1000, 100_000]
    assert all(content(checkpoint_path(tmp_path, step)) == {step % 256} for step in (3, 20, 1000, 100_000))


def test_there_are_no_checkpoints_in_an_empty_or_missing_folder(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path) == []
    assert list_checkpoints(tmp_path / "none") == []
    prune(tmp_path / "none", 2)


def test_what_is_not_committed_is_no_checkpoint(tmp_path: Path) -> None:
    partial = partial_path(checkpoint_path(tmp_path, 7))
    partial.mkdir()
    (partial / "model.bin").write_bytes(b"half")
    (tmp_path / "step-notes.txt").write_text("a file")
    assert list_checkpoints(tmp_path) == []
    assert partial.parent == tmp_path  # the same disk, so that the rename is one step


def test_committing_replaces_an_older_checkpoint_of_that_name(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 5)
    (path / "left-over.bin").write_bytes(b"old")
    write_checkpoint(tmp_path, 5)
    assert content(path) == {5}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_committing_what_was_never_written_keeps_the_old(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 5)
    with pytest.raises(OSError, match="partial"):
        commit(path)
    assert content(path) == {5}


def test_a_folder_written_whole_appears_at_the_end_with_nothing_of_the_old(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "pack"
    for content_now in ("first", "second"):
        with written_whole(folder) as partial:
            (partial / content_now).write_text(content_now)
            assert not (folder / content_now).exists()
        assert [p.name for p in folder.iterdir()] == [content_now]
    assert [p.name for p in folder.parent.iterdir()] == ["pack"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_folder_that_fails_while_it_is_written_leaves_the_old_one(error: BaseException, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    with written_whole(folder) as partial:
        (partial / "old").write_text("old")
    with pytest.raises(type(error)), written_whole(folder) as partial:
        (partial / "half").write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["pack"]
    assert [p.name for p in folder.iterdir()] == ["old"]


# ---------------------------------------------------------------- pruning


@pytest.mark.parametrize(("keep", "left"), [(1, [40]), (2, [30, 40]), (4, [10, 20, 30, 40]), (9, [10, 20, 30, 40])])
def test_pruning_keeps_the_newest(keep: int, left: list[int], tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        write_checkpoint(tmp_path, step)
    prune(tmp_path, keep)
    assert [step_of(path) for path in list_checkpoints(tmp_path)] == left
    assert all(content(path) == {step_of(path)} for path in list_checkpoints(tmp_path))


def test_pruning_removes_what_a_killed_run_left_and_nothing_else(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 10)
    half = partial_path(checkpoint_path(tmp_path, 20))
    half.mkdir()
    (half / "model.bin").write_bytes(b"half")
    (tmp_path / "samples").mkdir()
    (tmp_path / "losses.jsonl").write_text("{}")
    prune(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["losses.jsonl", "samples", "step-00000010"]


# ---------------------------------------------------------------- kills


def test_ten_kills_at_random_moments_leave_the_newest_checkpoint_whole(tmp_path: Path) -> None:
    moments = random.Random(0)
    for kill in range(10):
        folder = tmp_path / str(kill)
        folder.mkdir()
        writer = start(folder, "endless")
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
        least = 1 + kill // 2  # later ones prune, too
        wait_for(lambda folder=folder, least=least: newest_step(folder) >= least)
        time.sleep(moments.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        last = list_checkpoints(folder)[-1]
        assert step_of(last) >= least
        assert content(last) == {step_of(last) % 256}


def newest_step(folder: Path) -> int:
    return max((step_of(path) for path in list_checkpoints(folder)), default=0)


def wait_for(ready: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.001)


def after_each_kill(tmp_path: Path, mode: str) -> list[Path]:
    """Folders with checkpoints 1 and 2, each after a process that wrote another was killed one system call later."""
    folders = []
    for moment in range(1, 200):
        folder = tmp_path / f"{mode}-{moment}"
        folder.mkdir()
        for step in (1, 2):
            write_checkpoint(folder, step)
        writer = start(folder, mode, moment)
        output, errors = writer.communicate(timeout=60)
        folders.append(folder)
        if writer.returncode == 0:
            assert output == "through\n"
            return folders
        assert writer.returncode == -signal.SIGKILL, errors
    raise AssertionError("the writer never comes to its end")


def test_a_kill_at_any_step_of_writing_and_pruning_leaves_whole_checkpoints_only(tmp_path: Path) -> None:
    folders = after_each_kill(tmp_path, "next")
    assert len(folders) > 15
    for folder in folders:
        found = list_checkpoints(folder)
        assert len(found) >= 2
        for path in found:  # all of them: one that is half deleted must not pass for a checkpoint
            assert content(path) == {step_of(path)}
    assert [step_of(path) for path in list_checkpoints(folders[0])] == [1, 2]
    assert [step_of(path) for path in list_checkpoints(folders[-1])] == [2, 3]


def test_a_kill_at_any_step_of_replacing_a_checkpoint_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    folders = after_each_kill(tmp_path, "again")
    assert len(folders) > 15
    for folder in folders:
        assert [step_of(path) for path in list_checkpoints(folder)] == [1, 2]
        assert content(checkpoint_path(folder, 2)) in ({2}, {99})
    assert content(checkpoint_path(folders[-1], 2)) == {99}


def test_a_run_after_a_kill_clears_up_and_goes_on(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1)
    write_checkpoint(tmp_path, 2)
    writer = start(tmp_path, "next", moment=6)
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    assert any(p.name.startswith(".") for p in tmp_path.iterdir())
    assert start(tmp_path, "next").wait() == 0
    assert sorted(os.listdir(tmp_path)) == ["step-00000002", "step-00000003"]
    assert content(checkpoint_path(tmp_path, 3)) == {3}
