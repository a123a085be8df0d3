"""What the folder of a style pack may hold: file names, style names, and how large each may be. Opens nothing."""

from pathlib import PurePosixPath
from typing import Any

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
CARD = "README.md"
RECIPE = "training_config.json"
RUN = "training_run.json"
EVALUATION = "evaluation.json"
SAMPLES = "samples"
DISCRIMINATOR = "discriminator"  # a folder: the network that the generator was trained against, where a pack carries it
PHOTO = "_photo"  # among the samples the photo they were painted from; no style can be called so
PROGRESS = "progress"  # in RUN, of a pack whose training has not ended: "step 4 of 20"
PROJECT = "project"  # in RUN: address of the source that trained the pack
DISCOVERY_TAG = "styletransfer-pack"

# A pack comes from strangers: what it may ask of this machine is bounded before anything is fetched or built.
MAX_STYLES = 256
MAX_TITLE = 200  # characters
MAX_BYTES = {CONFIG: 256 << 10, WEIGHTS: 64 << 20, **dict.fromkeys((CARD, RECIPE, RUN, EVALUATION), 1 << 20)}
MAX_BYTES |= {f"{DISCRIMINATOR}/{CONFIG}": 64 << 10, f"{DISCRIMINATOR}/{WEIGHTS}": 64 << 20}
MAX_SAMPLE_BYTES = 2 << 20
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")  # reading one can run code: none is ever opened


def max_bytes(name: str) -> int | None:
    """How large the file of that name, relative to the pack with `/`, may be; None for a file that no pack has."""
    folder, _, file = name.rpartition("/")
    shown = file.removesuffix(".webp")
    if folder == SAMPLES and shown != file and (shown == PHOTO or is_style_name(shown)):
        return MAX_SAMPLE_BYTES
    return MAX_BYTES.get(name)


def leaves_folder(name: str) -> bool:
    """Whether a file name could point out of the folder it is written into, on any system."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name


def is_style_name(name: str) -> bool:
    """Names end in file names and URLs: lower-case letters, digits, single dashes inside; at most 64 characters."""
    return 0 < len(name) <= 64 and all(
        part.isascii() and part.isalnum() and part == part.lower() for part in name.split("-")
    )


def is_style_table(styles: Any) -> bool:
    """Whether a stranger's JSON is a list of (name, title), names sound and each there once, titles fit to be shown."""
    if not isinstance(styles, list) or not 1 <= len(styles) <= MAX_STYLES:
        return False
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(t, str) for t in pair) for pair in styles):
        return False
    names = [name for name, _ in styles]
    return len(set(names)) == len(names) and all(is_style_name(n) and is_title(title) for n, title in styles)


def is_title(text: str) -> bool:
    """One line that a terminal and a page can show: no control characters, no halves of characters."""
    return 0 < len(text) <= MAX_TITLE and text.isprintable()
