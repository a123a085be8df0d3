"""What the folder of a style pack may hold: file names, style names, sizes; and the one reader of its JSON files."""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from styletransfer.errors import InputError, first_line

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
CARD = "README.md"
RECIPE = "training_config.json"
RUN = "training_run.json"
EVALUATION = "evaluation.json"
SAMPLES = "samples"
DISCRIMINATOR = "discriminator"  # optional folder: the network that the generator was trained against
PHOTO = "_photo"  # the sample that shows the photo all others were painted from; no style can have this name
PROGRESS = "progress"  # in RUN, of a pack from the middle of a training: "step 4 of 20"
BASE = "base"  # in RUN, of a style that was learned: the pack and revision that it started from
COMMAND = "command"  # in RUN: what made the pack, where that was no run of train_accelerate.py
PROJECT = "project"  # in RUN: the web address of the source that trained the pack
DISCOVERY_TAG = "styletransfer-pack"

# A pack may come from a stranger: its size is bounded before anything is fetched, read or built.
MAX_STYLES = 256
MAX_TITLE = 200  # characters
MAX_BYTES = {CONFIG: 256 << 10, WEIGHTS: 64 << 20, **dict.fromkeys((CARD, RECIPE, RUN, EVALUATION), 1 << 20)}
MAX_BYTES |= {f"{DISCRIMINATOR}/{CONFIG}": 64 << 10, f"{DISCRIMINATOR}/{WEIGHTS}": 64 << 20}
MAX_SAMPLE_BYTES = 2 << 20
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")  # never opened, since reading a pickle can run code


def read_json(folder: Path, name: str, called: object = None) -> dict[str, Any]:
    """The JSON object in a file of a pack; an empty one where the file is missing.

    Args:
        folder: the pack.
        name: the file.
        called: what people call the pack, where that is not its folder.

    Raises:
        InputError: the file is too large, cannot be read, or holds something other than a JSON object.
    """
    path, limit = folder / name, MAX_BYTES[name]
    if not path.is_file():
        return {}
    if path.stat().st_size > limit:
        raise InputError(
            "The {file} of {pack} is larger than {most} KB, which no pack needs.",
            file=name,
            pack=called or folder,
            most=limit >> 10,
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = first_line(error).replace(str(path), name)
        raise InputError(
            "The {file} of {pack} cannot be read: {reason}.", file=name, pack=called or folder, reason=reason
        ) from error
    if not isinstance(value, dict):
        raise InputError("The {file} of {pack} must hold a JSON object.", file=name, pack=called or folder)
    return value


def max_bytes(name: str) -> int | None:
    """The largest size in bytes of a file of a pack, or None for a file that does not belong to a pack.

    Args:
        name: path relative to the pack, with `/`.
    """
    folder, _, file = name.rpartition("/")
    shown = file.removesuffix(".webp")
    if folder == SAMPLES and shown != file and (shown == PHOTO or is_style_name(shown)):
        return MAX_SAMPLE_BYTES
    return MAX_BYTES.get(name)


def leaves_folder(name: str) -> bool:
    """Whether a file name could point outside the folder that it is written into, on any operating system."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name


def is_style_name(name: str) -> bool:
    """Whether it fits file names and URLs: lower-case letters, digits, single inner dashes; at most 64 characters."""
    return 0 < len(name) <= 64 and all(
        part.isascii() and part.isalnum() and part == part.lower() for part in name.split("-")
    )


def style_name(text: str) -> str:
    """What a style can be named after a file or folder: "My_Painting 2" becomes "my-painting-2".

    Returns the text itself where nothing would be left.
    """
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:64].rstrip("-") or text


def is_style_table(styles: Any) -> bool:
    """Whether a value from JSON is a list of (name, title) pairs with valid, unique names and printable titles."""
    if not isinstance(styles, list) or not 1 <= len(styles) <= MAX_STYLES:
        return False
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(t, str) for t in pair) for pair in styles):
        return False
    names = [name for name, _ in styles]
    return len(set(names)) == len(names) and all(is_style_name(n) and is_title(title) for n, title in styles)


def is_title(text: str) -> bool:
    """Whether a terminal and a page can show the text as one line: no control characters, no lone surrogates."""
    return 0 < len(text) <= MAX_TITLE and text.isprintable()
