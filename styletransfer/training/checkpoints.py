"""A checkpoint of a running training: a folder that holds everything `--resume` needs, written whole or not at all."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from styletransfer.errors import InputError
from styletransfer.folders import PARTIAL, commit, partial_path, remove, why_unwritten

if TYPE_CHECKING:  # a command that only asks what a folder holds need not load them
    from accelerate import Accelerator

    from styletransfer.training.config import TrainingConfig

BRANCH = "checkpoints"  # of a repository on the Hub: it holds the newest checkpoint of a run
CHECKPOINTS = "checkpoints"  # in the output folder of a run
PREFIX = "step-"
PROGRESS = "progress.json"  # written last
POSITION = "stream-{rank}.json"
STREAM_SETTINGS = (
    "streaming",
    "photos",
    "style",
    "shuffle_buffer",
    "seed",
)  # a position in the streams depends on them

# Settings that a checkpoint's tensors depend on; the others may change when a run is continued.
SHAPES = ("channels", "blocks", "discriminator_channels", "discriminator_scales", "spectral_norm")
CONTRASTIVE = ("contrastive_weight", "contrastive_identity_weight")
CONTRASTIVE_SHAPES = ("contrastive_layers", "contrastive_channels")


def checkpoint_folder(config: "TrainingConfig") -> Path:
    """Folder of a run's checkpoints."""
    return Path(config.output_dir, CHECKPOINTS)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` optimizer updates lives."""
    return folder / f"{PREFIX}{step:08d}"


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a complete checkpoint."""
    return folder.name.startswith(PREFIX) and (folder / PROGRESS).is_file()


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.is_dir())


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and partial ones of a killed run."""
    for old in list_checkpoints(folder)[:-keep]:
        remove(old)
    for partial in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)


def write_checkpoint(
    accelerator: "Accelerator",
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
        accelerator: of the run; all objects with a state are prepared by it or registered with it.
        folder: the run's folder of checkpoints.
        step: optimizer updates done.
        config: the settings, as plain values.
        seconds: of training so far.
        keep: number of newest checkpoints that are kept.
        position: where the streams of this process continue; empty without streams.

    Returns:
        The folder of the new checkpoint.

    Raises:
        InputError: it cannot be written; the message names the newest complete checkpoint.
    """
    target = checkpoint_path(folder, step)
    partial = partial_path(target)  # all processes write into it
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)  # left by a killed run
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
        kept = f"continue from {whole[-1]} with --resume" if whole else "there is no earlier one"
        raise InputError(f"The checkpoint of step {step} cannot be written: {why_unwritten(error)}; {kept}.") from error
    accelerator.wait_for_everyone()
    return target


def read_progress(path: Path) -> dict[str, Any]:
    """The description in a checkpoint: "step", "processes", "seconds" and "config"."""
    return json.loads((path / PROGRESS).read_text(encoding="utf-8"))


def read_position(path: Path, accelerator: "Accelerator", config: Mapping[str, Any]) -> str:
    """Where the streams of this process continue; empty if the number of processes or the sources have changed."""
    saved = read_progress(path)["config"]
    changed = [name for name in STREAM_SETTINGS if saved.get(name) != config[name]]
    written = len(list(path.glob(POSITION.format(rank="*"))))
    if changed or written != accelerator.num_processes:
        why = f"with other {' and '.join(changed)}" if changed else f"by {written} processes"
        if accelerator.is_main_process:
            print(f"{path} was written {why}: the streams start again from their beginning.", flush=True)
        return ""
    return (path / POSITION.format(rank=accelerator.process_index)).read_text(encoding="utf-8")


def find_checkpoint(config: "TrainingConfig", folder: Path) -> Path | None:
    """The checkpoint to continue from; None for a run that starts anew.

    Raises:
        InputError: --resume without a checkpoint, or a folder with checkpoints without --resume.
    """
    found = list_checkpoints(folder)
    if isinstance(config.resume, str):
        return _named_checkpoint(Path(config.resume), found)
    if config.resume and not found:
        hub = config.hub_checkpoint
        places = f", nor on the branch {BRANCH} of {config.push_to_hub} on the Hub" if hub else ""
        check = "--output-dir and --push-to-hub" if hub else "--output-dir"
        raise InputError(
            f"There is no checkpoint to resume in {folder}{places}: check {check}, or start without --resume."
        )
    if found and not config.resume:
        raise InputError(f"{folder} holds checkpoints of an earlier run: add --resume, or choose another --output-dir.")
    return found[-1] if found else None


def _named_checkpoint(source: Path, here: Sequence[Path]) -> Path:
    """The checkpoint of `--resume FOLDER`: the folder itself, or the newest of a run's folder."""
    found = [source] if is_checkpoint(source) else list_checkpoints(source) or list_checkpoints(source / CHECKPOINTS)
    if not found:
        raise InputError(
            f"--resume {source} holds no checkpoint: give a folder called {PREFIX}00001000, or a run's --output-dir."
        )
    if here and here[-1].name > found[-1].name:
        raise InputError(
            f"{here[-1]} is newer than {found[-1].name}, from which --resume starts: choose another --output-dir, "
            "or delete the newer checkpoints."
        )
    return found[-1]


def check_same_networks(saved: Mapping[str, Any], config: Mapping[str, Any], path: Path) -> None:
    """Raises InputError when a checkpoint's networks are not those of the config."""
    saved_styles, styles = ([text.split("=")[0] for text in settings["style"]] for settings in (saved, config))
    if saved_styles != styles:
        raise InputError(f"{path} was trained on the styles {', '.join(saved_styles)}: resume with the same, in order.")
    contrast = any(config[name] for name in CONTRASTIVE)
    for name in (*SHAPES, *(CONTRASTIVE_SHAPES if contrast else ())):
        if saved.get(name, config[name]) != config[name]:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{path} was trained with {flag} {saved[name]}: resume with the same.")
    for names in (CONTRASTIVE, ("cycle_weight",)):
        before, now = (any(settings.get(name) for name in names) for settings in (saved, config))
        if before != now:
            flag, word = "--" + names[0].replace("_", "-"), "with" if before else "without"
            raise InputError(f"{path} was trained {word} {flag}: resume {word} it, since it has networks of its own.")
