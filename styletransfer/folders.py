"""A folder written whole or not at all: a kill at any moment leaves the old one or the new one, never half of one."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from styletransfer.errors import InputError

PARTIAL = ".partial-"


def partial_path(folder: Path) -> Path:
    """Where a folder is written before it gets its name: beside it, so that the rename is atomic."""
    return folder.with_name(PARTIAL + folder.name)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Yield the partial folder to write into; commit it at the end, or remove it when that fails."""
    partial = partial_path(folder)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        commit(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def commit(folder: Path) -> None:
    """Flush the written partial folder to the disk and give it its name; an older folder of that name is replaced."""
    partial = partial_path(folder)
    for path in [*partial.rglob("*"), partial]:
        _flush(path)
    if folder.exists() and _exchange(partial, folder):
        _flush(folder.parent)
        shutil.rmtree(partial, ignore_errors=True)
        return
    retired = _retire(folder) if folder.exists() else None
    partial.rename(folder)
    _flush(folder.parent)
    if retired:
        shutil.rmtree(retired, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete a folder: it loses its name first, so that a kill leaves no half of it under that name."""
    shutil.rmtree(_retire(folder), ignore_errors=True)


def check_parent(path: Path) -> None:
    """Raises InputError where the folder that a file or folder is to be written into is not there."""
    if not os.path.isdir(path.absolute().parent):
        raise InputError("There is no folder {folder} for {name}: make it first.", folder=path.parent, name=path.name)


def why_unwritten(error: Exception) -> str:
    """In plain words: torch, safetensors and the system each tell of a full disk in their own way."""
    text = str(error)
    full = any(sign in text for sign in ("No space left on device", "unexpected pos"))
    return "the disk is full" if full else text


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, where the system can (Linux); elsewhere replacing takes two, with a gap between."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return renameat2(here, os.fsencode(one), here, os.fsencode(other), swap) == 0


def _retire(folder: Path) -> Path:
    retired = folder.with_name(f"{PARTIAL}old-{folder.name}")
    shutil.rmtree(retired, ignore_errors=True)
    return folder.rename(retired)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
