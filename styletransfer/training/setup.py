"""What stands before the first step: the accelerator, optimizers, schedules, and the checks of what a run was given."""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    is_tensorboard_available,
    is_trackio_available,
    is_wandb_available,
)
from diffusers.optimization import get_scheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from styletransfer.data.sources import hub_dataset
from styletransfer.errors import InputError
from styletransfer.hub.repos import check_repo_id
from styletransfer.models.discriminator import DISCRIMINATOR_BOUNDS, Discriminator
from styletransfer.models.generator import Generator
from styletransfer.packs.contents import MAX_TITLE, is_style_name, is_title
from styletransfer.training.checkpoints import list_checkpoints
from styletransfer.training.config import TrainingConfig, pairs

SCRIPT = "train_accelerate.py"
MONET_DATASET = "huggan/monet2photo"  # imageA: paintings by Monet, imageB: photos

# Settings that a checkpoint's tensors depend on; the others may change when a run is continued.
SHAPES = ("channels", "blocks", "discriminator_channels", "discriminator_scales", "spectral_norm")

CONTRASTIVE = ("contrastive_weight", "contrastive_identity_weight")
CONTRASTIVE_SHAPES = ("contrastive_layers", "contrastive_channels")


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


def adam(networks: Sequence[nn.Module], learning_rate: float) -> torch.optim.Adam:
    """Adam with the short memory that adversarial training wants (Radford 2016)."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=learning_rate, betas=(0.5, 0.99))


def build_scheduler(config: TrainingConfig, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """Warm-up and decay, stepped once per optimizer update. Raises InputError for a schedule diffusers lacks."""
    try:
        return get_scheduler(
            config.schedule, optimizer, num_warmup_steps=config.warmup_steps, num_training_steps=config.steps
        )
    except (ValueError, TypeError, AttributeError) as error:  # the last two: one that needs rules of its own
        raise InputError(
            f"--schedule {config.schedule} is none that can be used here: try cosine or linear."
        ) from error


def or_monet(config: TrainingConfig) -> TrainingConfig:
    """The config; without any source it is to train Monet, which is said before anything is fetched."""
    if config.photos or config.style:
        return config
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"No source is given: training Monet on {MONET_DATASET}, into {config.output_dir}.", flush=True)
    return replace(
        config,
        photos=(f"{MONET_DATASET}:train:imageB",),
        style=(f"monet={MONET_DATASET}:train:imageA",),
        title=config.title or ("monet=Claude Monet",),
        note=config.note or (f"monet=Paintings by Claude Monet, from {MONET_DATASET}",),
    )


def checkpoint_folder(config: TrainingConfig) -> Path:
    """Folder of a run's checkpoints."""
    return Path(config.output_dir, "checkpoints")


def how_to_resume(argv: Sequence[str], config: TrainingConfig) -> str:
    """What is kept of a run that broke off through no fault of its own, and the command that continues it."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    launch = "accelerate launch" + (f" --num_processes {processes}" if processes > 1 else "")
    again = f"{launch} {SCRIPT} {shlex.join(word for word in argv if word != '--resume')}".strip()
    whole = list_checkpoints(checkpoint_folder(config))
    if not whole:
        return f"there is no checkpoint yet; start again later with: {again}"
    return f"{whole[-1]} is whole; go on from it with: {again} --resume"


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


def find_checkpoint(config: TrainingConfig, folder: Path) -> Path | None:
    """The checkpoint to continue from.

    Raises:
        InputError: --resume without a checkpoint, or a folder with checkpoints without --resume.
    """
    found = list_checkpoints(folder)
    if config.resume and not found:
        raise InputError(
            f"There is no checkpoint in {folder} to resume: check --output-dir, or start without --resume."
        )
    if found and not config.resume:
        raise InputError(f"{folder} holds checkpoints of an earlier run: add --resume, or choose another --output-dir.")
    return found[-1] if found else None


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


def initialize(generator: Generator, trained: Generator) -> None:
    """Start from a trained generator: its weights, and the scales and shifts of the styles both have.

    A new style starts from the mean of the trained ones. Raises InputError when the sizes differ.
    """
    for name in ("channels", "blocks"):
        if generator.config[name] != trained.config[name]:
            raise InputError(
                f"--initialize-from has {name} {trained.config[name]}: use --{name} {trained.config[name]}."
            )
    state = trained.state_dict()
    per_style = [key for key in state if key.endswith((".scale", ".shift"))]
    generator.load_state_dict(_restyled(state, per_style, trained.styles, generator.styles))


def initialize_discriminator(
    discriminator: Discriminator, trained: Discriminator, styles: Iterable[str], pack: Generator
) -> bool:
    """Start from a trained discriminator, as `initialize`; False, with nothing changed, where its sizes differ.

    Args:
        discriminator: it will judge `styles`, in that order.
        trained: of `pack`, whose styles it judges.
        styles: by name.
        pack: the generator it was trained with.
    """
    sizes = (*DISCRIMINATOR_BOUNDS, "spectral_norm", "undecided")
    if any(discriminator.config[name] != trained.config[name] for name in sizes):
        return False
    discriminator.load_state_dict(_restyled(trained.state_dict(), trained.rows_per_style(), pack.styles, styles))
    return True


def _restyled(
    state: dict[str, Tensor], per_style: Iterable[str], known: Iterable[str], wanted: Iterable[str]
) -> dict[str, Tensor]:
    """The state with a row for each wanted style: its own where it is known, else the mean of all."""
    rows = {name: row for row, name in enumerate(known)}
    for key in per_style:
        value, mean = state[key], state[key].mean(dim=0)
        state[key] = torch.stack([value[rows[name]] if name in rows else mean for name in wanted])
    return state
