"""Before the first step: the accelerator of a run, the checks of its settings, and the summary of what begins."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    is_tensorboard_available,
    is_trackio_available,
    is_wandb_available,
)
from torch import nn

from styletransfer.data.sources import Source, hub_dataset
from styletransfer.errors import InputError
from styletransfer.hub.repos import check_repo_id
from styletransfer.models.features import DownloadError
from styletransfer.packs.contents import MAX_TITLE, is_style_name, is_title
from styletransfer.painter import fastest_dtype
from styletransfer.training.config import TrainingConfig, pairs
from styletransfer.training.networks import Networks
from styletransfer.training.presets import PRESETS


def build_accelerator(config: TrainingConfig) -> Accelerator:
    """The Accelerator of a run. Raises InputError for settings that this machine does not support."""
    tracker = _tracker(config.tracker)
    mixed = {"fp32": "no"}.get(config.mixed_precision, config.mixed_precision)
    if mixed == "fp16" and (config.cpu or not torch.cuda.is_available()):
        raise InputError("--mixed-precision fp16 needs a GPU: use bf16 or fp32 on the CPU.")
    if config.tf32:
        _allow_tf32(config.cpu)
    return Accelerator(
        cpu=config.cpu,
        mixed_precision=mixed,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        log_with=tracker,
        project_dir=config.output_dir,
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


def _allow_tf32(cpu: bool) -> None:
    if cpu or not torch.cuda.is_available():
        raise InputError("--tf32 needs an NVIDIA GPU: leave it out on other devices.")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True


def _tracker(name: str) -> str | None:
    """The tracker, if it is installed. The default one may be missing, as losses.jsonl is always written."""
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
    """The datasets on the Hub that a run learns from, each as `org/name`."""
    found = (hub_dataset(source) for source in (*config.photos, *config.style_sources.values()))
    return [name for name in found if name]


def required(sources: Sequence[str], flag: str) -> Sequence[str]:
    """The sources. Raises InputError when there is none."""
    if not sources:
        raise InputError(f"There is nothing to train on: give at least one {flag}.")
    return sources


def check_names(config: TrainingConfig) -> None:
    """Check the names and texts for the pack before anything is downloaded, and not after hours of training.

    Raises:
        InputError: no style, a style name that cannot be part of file names and URLs, a title that is too
            long or has line breaks, a title or note for an unknown style, a --push-to-hub that is not org/name.
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


@contextmanager
def weights_from_files() -> Iterator[None]:
    """Where pretrained weights cannot be downloaded, say with which flags a run does without.

    Raises:
        InputError: in place of a DownloadError.
    """
    try:
        yield
    except DownloadError as error:
        unneeded = ("style_loss_weight", "content_loss_weight")
        without = [name for name, table in PRESETS.items() if all(table.get(weight) == 0 for weight in unneeded)]
        raise InputError(
            f"The weights of {error.network} cannot be downloaded ({error.reason}): give safetensors files with "
            "--style-network-weights FILE and --content-network-weights FILE, or take an objective that needs none: "
            f"--objective {', '.join(without)}."
        ) from error


# ---- what begins -----------------------------------------------------------------------------------------------------


def start_summary(
    config: TrainingConfig,
    accelerator: Accelerator,
    networks: Networks,
    sources: Mapping[str, Source],  # name for people -> pictures
    step: int,  # that the run continues from
) -> list[str]:
    """What is about to begin, a line for each thing that may have been meant otherwise."""
    processes, passes = accelerator.num_processes, config.gradient_accumulation_steps
    parts = (f"{processes} process{'es' * (processes > 1)}", f"{config.batch_size} pictures", f"{passes} passes")
    weights = {field.name: getattr(config, field.name) for field in fields(config) if field.name.endswith("_weight")}
    shown = ", ".join(f"{name.removesuffix('_weight')} {value:g}" for name, value in weights.items() if value)
    pushes = f", and to {config.push_to_hub} on the Hub" if config.push_to_hub else ""
    return [
        f"steps: {config.steps}" + (f", continuing from step {step}" if step else ""),
        f"processes: {processes}, each on {accelerator.device}, in {config.mixed_precision}",
        f"batch: {config.batch_size * processes * passes} pictures per step ({' x '.join(parts[: 2 + (passes > 1)])})",
        *(f"{name}: {_pictures(source)}" for name, source in sources.items()),
        f"generator: {_size(networks.players)} parameters; discriminator: {_size(networks.judges)}",
        f"objective: {config.objective} with weights {shown}",
        f"output: {config.output_dir}{pushes}",
    ]


def _pictures(source: Source) -> str:
    return "streamed from the Hub" if isinstance(source, datasets.IterableDataset) else f"{len(source):,} pictures"


def _size(networks: Sequence[nn.Module]) -> str:
    return f"{sum(parameter.numel() for network in networks for parameter in network.parameters()):,}"


def warnings(config: TrainingConfig, accelerator: Accelerator) -> list[str]:
    """What will work and was hardly meant, a sentence each."""
    return [found for found in (lone_process(accelerator), emulated(config, accelerator.device)) if found]


def emulated(config: TrainingConfig, device: torch.device) -> str | None:
    """A warning where bfloat16 was asked for and the processor lacks it: a step then takes many times as long."""
    if config.mixed_precision != "bf16" or device.type == "mps" or fastest_dtype(device) == torch.bfloat16:
        return None
    return "this processor emulates bfloat16, which is many times slower than float32: use --mixed-precision fp32."


def lone_process(accelerator: Accelerator) -> str | None:
    """A warning where `accelerate launch` was asked for several processes and started one, as it does with --cpu."""
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_PORT" in os.environ
    if not launched or "WORLD_SIZE" in os.environ or accelerator.num_processes > 1:
        return None
    return (
        "accelerate launch was asked for several processes and started one. On the CPU it starts several with "
        "--multi_gpu in place of its --cpu: accelerate launch --multi_gpu --num_processes 2 train_accelerate.py --cpu."
    )
