"""Folders of training state: the newest is found, the oldest are pruned."""

import shutil
from pathlib import Path

from styletransfer.folders import PARTIAL, remove

PREFIX = "step-"
PROGRESS = "progress.json"  # written last


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` optimizer updates lives."""
    return folder / f"{PREFIX}{step:08d}"


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a whole checkpoint."""
    return folder.name.startswith(PREFIX) and (folder / PROGRESS).is_file()


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir())


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what a killed run left half written."""
    for old in list_checkpoints(folder)[:-keep]:
        remove(old)
    for partial in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
