"""A checkpoint of a running training: written by all its processes, whole or not at all."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from tqdm import tqdm

from styletransfer.errors import InputError
from styletransfer.folders import commit, partial_path, why_unwritten
from styletransfer.training.checkpoints import PROGRESS, checkpoint_path, list_checkpoints, prune

POSITION = "stream-{rank}.json"
STREAM_SETTINGS = ("streaming", "photos", "style", "shuffle_buffer", "seed")  # what a position in the streams hangs on


def write_checkpoint(
    accelerator: Accelerator,
    folder: Path,
    step: int,
    config: Mapping[str, Any],
    *,
    seconds: float,
    keep: int,
    position: str = "",
) -> Path:
    """Write everything that `--resume` needs, and prune all but the newest `keep`; every process must call it.

    Args:
        accelerator: of the run; it has prepared or registered everything that has a state.
        folder: the run's folder of checkpoints.
        step: optimizer updates done.
        config: the settings, as plain values.
        seconds: of training so far.
        keep: so many checkpoints stay.
        position: where the streams of this process go on; empty without any.

    Returns:
        The folder of the new checkpoint.

    Raises:
        InputError: it cannot be written; the message names the checkpoint that is whole.
    """
    target = checkpoint_path(folder, step)
    partial = partial_path(target)  # every process writes its part into it, so no process can own it
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)  # of a killed run: its files are not those of this state
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(partial))
        if position:
            (partial / POSITION.format(rank=accelerator.process_index)).write_text(position, encoding="utf-8")
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            progress = {
                "step": step,
                "processes": accelerator.num_processes,
                "seconds": seconds,
                "config": dict(config),
            }
            (partial / PROGRESS).write_text(json.dumps(progress, indent=2), encoding="utf-8")
            commit(target)
            prune(folder, keep)
    except Exception as error:  # each library has its own class for a full disk
        prune(folder, keep)
        whole = list_checkpoints(folder)
        kept = f"{whole[-1]} is whole, go on from it with --resume" if whole else "there was none before"
        raise InputError(f"The checkpoint of step {step} cannot be written: {why_unwritten(error)}; {kept}.") from error
    accelerator.wait_for_everyone()
    return target


def read_progress(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: "step", "processes", "seconds" and "config"."""
    return json.loads((path / PROGRESS).read_text(encoding="utf-8"))


def read_position(path: Path, accelerator: Accelerator, config: Mapping[str, Any]) -> str:
    """Where the streams of this process go on; empty where other processes, or other settings, wrote the checkpoint."""
    saved = read_progress(path)["config"]
    changed = [name for name in STREAM_SETTINGS if saved.get(name) != config[name]]
    written = len(list(path.glob(POSITION.format(rank="*"))))
    if changed or written != accelerator.num_processes:
        why = f"with other {' and '.join(changed)}" if changed else f"by {written} processes"
        if accelerator.is_main_process:
            tqdm.write(f"{path} was written {why}: the streams begin a new pass")
        return ""
    return (path / POSITION.format(rank=accelerator.process_index)).read_text(encoding="utf-8")
