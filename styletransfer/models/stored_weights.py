"""The one reader of weights files: tensors by name, without running anything that a file holds."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from styletransfer.errors import InputError, first_line

PICKLED = (".pth", ".pt")  # the authors of LPIPS and of FID's ports publish their weights in these


def read_weights(path: Path, what: str, called: object = None, *, pickled: bool = False) -> dict[str, Tensor]:
    """Name -> tensor of a weights file; floating-point tensors come in float32.

    Args:
        path: a safetensors file.
        what: begins the sentence of an error, in the plural ("LPIPS weights").
        called: what people call the file, or what it belongs to, where that is not its path.
        pickled: also read .pth and .pt files, with the loader that accepts tensors and nothing else.

    Raises:
        InputError: the file cannot be read, or holds something other than named tensors.
    """
    is_pickled = pickled and path.suffix in PICKLED
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True) if is_pickled else _read_safetensors(path)
    except Exception as error:
        kind = "a .pth of tensors" if is_pickled else "safetensors"
        reason = first_line(error).replace(str(path), path.name)
        raise InputError(
            "{what} {file} cannot be read as {kind}: {reason}.",
            what=what,
            file=called or path,
            kind=kind,
            reason=reason,
        ) from error
    if not isinstance(stored, dict) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise InputError(
            "{what} {file} hold something other than named tensors: give a file of weights.",
            what=what,
            file=called or path,
        )
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 not a dict
