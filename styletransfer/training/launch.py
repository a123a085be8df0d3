"""A training as a command: `main` of train_accelerate.py, its exit codes, and what to do next when it broke off."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace

from styletransfer.errors import InputError, StreamError, TrainingError
from styletransfer.training.checkpoints import checkpoint_folder, list_checkpoints
from styletransfer.training.config import TrainingConfig
from styletransfer.training.flags import parse_command
from styletransfer.training.trainer import Trainer

UNPUSHED = 3  # exit code
SCRIPT = "train_accelerate.py"
MONET_DATASET = "huggan/monet2photo"  # imageA: paintings by Monet, imageB: photos


def main(argv: Sequence[str]) -> int:
    """Run a training from flags.

    Returns:
        The exit code: 0 for success, 1 when training broke off, 2 for input that cannot be used, 3 when training
        succeeded and all is saved here, but not all could be pushed to the Hub.
    """
    debug = "--debug" in argv
    try:
        config, token = parse_command(argv, prog=SCRIPT)
        if token:  # every client of the Hub reads it there, in processes that load pictures, too
            os.environ["HF_TOKEN"] = token
        config = or_monet(config)
        trainer = Trainer(config)
        pack = trainer.train()
    except (InputError, TrainingError) as error:
        if debug:
            raise
        way = f" {how_to_resume(argv, config)}" if isinstance(error, StreamError) else ""
        print(f"error: {error}{way}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if is_main_process():
        print(f"pack: {pack}")
    for sentence in trainer.unpushed:
        print(f"error: {sentence}", file=sys.stderr)
    return UNPUSHED if trainer.unpushed else 0


def is_main_process() -> bool:
    """Whether this is the process that speaks, known before Accelerate is set up."""
    return int(os.environ.get("RANK", 0)) == 0


def or_monet(config: TrainingConfig) -> TrainingConfig:
    """The config; one without any source trains Monet, and says so before anything is downloaded."""
    if config.photos or config.style:
        return config
    if is_main_process():
        print(f"No source is given: training Monet on {MONET_DATASET}, into {config.output_dir}.", flush=True)
    return replace(
        config,
        photos=(f"{MONET_DATASET}:train:imageB",),
        style=(f"monet={MONET_DATASET}:train:imageA",),
        title=config.title or ("monet=Claude Monet",),
        note=config.note or (f"monet=Paintings by Claude Monet, from {MONET_DATASET}",),
    )


def how_to_resume(argv: Sequence[str], config: TrainingConfig) -> str:
    """The newest checkpoint of a run that broke off, and the command that continues from it."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    launch = "accelerate launch" + (f" --multi_gpu --num_processes {processes}" if processes > 1 else "")
    again = f"{launch} {SCRIPT} {shlex.join(_without(argv, '--resume', '--hub-token'))}".strip()
    whole = list_checkpoints(checkpoint_folder(config))
    if not whole:
        return f"There is no checkpoint yet: start again later with {again}"
    return f"{whole[-1]} is whole: continue from it with {again} --resume"


def _without(argv: Sequence[str], *flags: str) -> list[str]:
    """The words of a command line without these flags and their values."""
    kept, dropping = [], False
    for word in argv:
        dropping = word.partition("=")[0] in flags or (dropping and not word.startswith("-"))
        if not dropping:
            kept.append(word)
    return kept
