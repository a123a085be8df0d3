"""Flags that several commands of `python -m styletransfer` have, the bar that shows how far they are, and its lines."""

import argparse
import os
import sys
import threading

from tqdm import tqdm

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
