"""Before the first step: the accelerator of a run, and the checks of what the run was given."""

import sys
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    is_tensorboard_available,
    is_trackio_available,
    is_wandb_available,
)

from styletransfer.data.sources import hub_dataset
from styletransfer.errors import InputError
from styletransfer.hub.repos import check_repo_id
from styletransfer.packs.contents import MAX_TITLE, is_style_name, is_title
from styletransfer.training.config import TrainingConfig, pairs


def build_accelerator(config: TrainingConfig) -> Accelerator:
    """The Accelerator of a run. Raises InputError where this machine cannot do what the config asks for."""
    tracker = _tracker(config.tracker)
    mixed = {"fp32": "no"}.get(config.mixed_precision, config.mixed_precision)
    if mixed == "fp16" and (config.cpu or not torch.cuda.is_available()):
        raise InputError("--mixed-precision fp16 needs a GPU: use bf16 or fp32 on the CPU.")
    return Accelerator(
        cpu=config.cpu,
        mixed_precision=mixed,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        log_with=tracker,
        project_dir=config.output_dir,
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def _tracker(name: str) -> str | None:
    """The tracker, where it is installed. The default one may be missing: losses.jsonl is always written."""
    installed = {
        "tensorboard": is_tensorboard_available,
        "trackio": is_trackio_available,
        "wandb": is_wandb_available,
    }
    if name == "none" or installed[name]():
        return None if name == "none" else name
    if name == "tensorboard":
        print(
            "TensorBoard is not installed (pip install tensorboard): losses go to losses.jsonl only.", file=sys.stderr
        )
        return None
    raise InputError(f"--tracker {name} is not installed: pip install {name}, or choose another.")


def hub_datasets(config: TrainingConfig) -> list[str]:
    """The datasets on the Hub that a run learns from, `org/name`."""
    found = (hub_dataset(source) for source in (*config.photos, *config.style_sources.values()))
    return [name for name in found if name]


def required(sources: Sequence[str], flag: str) -> Sequence[str]:
    """The sources. Raises InputError when there is none."""
    if not sources:
        raise InputError(f"There is nothing to train on: give at least one {flag}.")
    return sources


def check_names(config: TrainingConfig) -> None:
    """Refuse, before anything is fetched and not after hours of training, what no pack may hold and no Hub takes.

    Raises:
        InputError: no style, a name that cannot be part of a file name and a URL, a title of many lines or characters,
            words about a style that there is not, a --push-to-hub that is not org/name.
    """
    if config.push_to_hub is not None:
        check_repo_id(config.push_to_hub, flag="--push-to-hub")
    required(config.style, "--style NAME=SOURCE")
    for name in config.style_sources:
        if not is_style_name(name):
            raise InputError(
                f"A style cannot be named {name!r}: use lower-case letters, digits and dashes, at most 64."
            )
    for flag, values in (("--title", config.title), ("--note", config.note)):
        for name, text in pairs(flag, values).items():
            if name not in config.style_sources:
                raise InputError(f"{flag} names {name!r}, which is no --style: check the name.")
            if flag == "--title" and not is_title(text):
                raise InputError(f"The --title of {name!r} must be one line of at most {MAX_TITLE} characters.")
