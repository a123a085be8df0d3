"""Tensors of a weights file, read without running anything that it holds."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from styletransfer.errors import InputError

PICKLED = (".pth", ".pt")  # how the authors of LPIPS and of FID's ports hand out theirs


def read_weights(path: Path, what: str) -> dict[str, Tensor]:
    """Name -> tensor, floating ones in float32, of a safetensors file or of a .pth that holds tensors only.

    Raises:
        InputError: the file cannot be read, or holds something else; `what` begins the sentence.
    """
    try:
        if path.suffix in PICKLED:
            stored = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with safe_open(path, framework="pt") as file:
                stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 not a dict
    except Exception as error:
        kind = "a .pth of tensors" if path.suffix in PICKLED else "safetensors"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{what} {path} cannot be read as {kind}: {reason}.") from error
    if not isinstance(stored, dict) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise InputError(f"{what} {path} hold something other than named tensors: give the file that is asked for.")
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}
