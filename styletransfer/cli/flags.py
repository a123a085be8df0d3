"""Flags that several commands of `python -m styletransfer` have, the bar that shows how far they are, and its lines."""

import argparse
import os
import sys
import threading
from pathlib import Path

from tqdm import tqdm

from styletransfer.errors import InputError

BAR = "{percentage:3.0f}%|{bar}| {elapsed}{postfix}"  # of tqdm, for work that ends by the clock
INTERRUPTED = 130  # exit code after Ctrl-C, as shells give it


def add_weights(parser: argparse.ArgumentParser, lpips: str) -> None:
    """The flags for the networks that look at pictures.

    Args:
        parser: gets them.
        lpips: what the heads of LPIPS are for or are, before where they come from.
    """
    add = parser.add_argument
    add("--style-network-weights", metavar="FILE", help="safetensors file of VGG-19 (default: torchvision's)")
    add("--content-network-weights", metavar="FILE", help="safetensors file of SqueezeNet 1.1 (default: torchvision's)")
    add(
        "--lpips-weights",
        metavar="FILE",
        help=f"{lpips}: squeeze.pth of the Python package lpips, or a safetensors file",
    )


def add_photos(parser: argparse.ArgumentParser, what_for: str) -> None:
    """The flag for photos that something is learned from, read by `photo_files`."""
    help_text = f"photos {what_for} (default: the examples that ship)"
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help=help_text)


def photo_files(folder: Path) -> list[Path]:
    """A picture, or those of a folder, in order. Raises InputError where there is none."""
    from styletransfer.images.files import PICTURE_SUFFIXES

    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError("There is no file or folder {photo}: check the name.", photo=folder)
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
    if not found:
        raise InputError("There is no picture in {folder}: give a folder with photos.", folder=folder)
    return found


def count(text: str) -> int:
    """A whole number above 0, as the type of a flag."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def say(line: str) -> None:
    """Print for the user's eyes only, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)


def end_with_stdin() -> None:
    """End this process with its standard input: when the program that started it ends, however it does."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(INTERRUPTED)  # results are written whole or not at all, so there is nothing to wait for
