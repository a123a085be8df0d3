"""A pack as ONNX files: written whole, with the difference from PyTorch measured and told in their card."""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.folders import check_parent, why_unwritten, written_whole
from styletransfer.images.files import fit_long_side, load_picture, picture_to_tensor
from styletransfer.models.generator import Generator
from styletransfer.models.onnx_graph import IR_VERSION, OPSET, onnx_graph
from styletransfer.models.onnx_network import OnnxNetwork
from styletransfer.packs.card import pack_title, plain
from styletransfer.packs.contents import CARD
from styletransfer.packs.folder import load_pack
from styletransfer.paths import EXAMPLES

REPORT = "export.json"  # also what tells an export from a folder of something else
FILES = {"generator.onnx": False, "generator_fp16.onnx": True}  # name -> whether weights are stored as float16
MOST_APART = 1e-3  # of float32 from PyTorch, in the units of [-1, 1]
SIDES = (512, 333, 96)  # long sides in pixels that parity is measured at, one after another
ALONE = 8  # styles of a pack at most that parity is measured for one by one


class Case(NamedTuple):
    """What both networks paint: a photo (1, 3, H, W) and weights (1, S)."""

    photo: Tensor
    style_weights: Tensor


def export_onnx(pack: Path, folder: Path, name: object = None) -> dict[str, Any]:
    """Write a pack as ONNX files; an older export in the same folder is replaced.

    Args:
        pack: its folder.
        folder: where the files go, a new folder or one with an export; its parent must exist.
        name: what people call the pack, where that is not its folder.

    Returns:
        The report: opset, styles, sizes, and the largest difference of any channel of any pixel from PyTorch.

    Raises:
        InputError: no sound pack, a package is missing, the folder cannot be written or holds something else, or the
            network in float32 differs from PyTorch's by more than 1e-3.
    """
    check_target(folder)
    generator = load_pack(pack, name)
    models = {file: onnx_graph(generator, half=half).SerializeToString() for file, half in FILES.items()}
    cases = list(_cases(generator))
    apart = {file: largest_difference(generator, model, cases) for file, model in models.items()}
    report = _report(str(name or pack), generator, models, apart, len(cases))
    if not apart["generator.onnx"] <= MOST_APART:
        raise InputError(
            "The ONNX network of {pack} differs from PyTorch's by {apart}, more than {most}: nothing was written.",
            pack=name or pack,
            apart=f"{apart['generator.onnx']:.1e}",
            most=MOST_APART,
        )
    try:
        with written_whole(folder) as partial:
            for file, model in models.items():
                (partial / file).write_bytes(model)
            (partial / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            (partial / CARD).write_text(_card(report), encoding="utf-8")
    except OSError as error:
        raise InputError(
            "The folder {folder} cannot be written: {reason}.", folder=folder, reason=why_unwritten(error)
        ) from error
    return report


def check_target(folder: Path) -> None:
    """Raises InputError where an export cannot go there: it would replace files of something else."""
    check_parent(folder)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / REPORT).is_file())):
        raise InputError("{folder} holds something else than an export: name a new folder.", folder=folder)


def largest_difference(generator: Generator, model: bytes, cases: list[Case]) -> float:
    """Between the paintings of PyTorch and of onnxruntime, over all channels of all pixels, in the units of [-1, 1]."""
    network, most = OnnxNetwork(model), 0.0
    for photo, weights in cases:
        with torch.inference_mode():
            most = max(most, (generator(photo, weights) - network(photo, weights)).abs().max().item())
    return most


def _cases(generator: Generator) -> Iterator[Case]:
    """Example photos in styles alone and in all of them mixed, at sizes of which not all fit the network's cells."""
    styles = list(generator.styles)
    photos = [load_picture(path).rgb for path in sorted(EXAMPLES.glob("*.jpg"))]
    mixes = [*({style: 1.0} for style in styles[:ALONE]), *([dict.fromkeys(styles, 1.0)] if len(styles) > 1 else [])]
    rounds = max(len(mixes), len(SIDES))
    for _, mix, side, photo in zip(range(rounds), cycle(mixes), cycle(SIDES), cycle(photos), strict=False):
        yield Case(picture_to_tensor(fit_long_side(photo, side)), generator.style_weights(mix))


def _report(
    pack: str, generator: Generator, models: Mapping[str, bytes], apart: Mapping[str, float], cases: int
) -> dict[str, Any]:
    return {
        "format": "onnx",
        "pack": Path(pack).name if Path(pack).exists() else pack,
        "styles": [list(pair) for pair in generator.styles.items()],
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "margin": generator.margin,
        "files": {
            file: {
                "weights": "float16" if FILES[file] else "float32",
                "bytes": len(model),
                "largest_difference": apart[file],
            }
            for file, model in models.items()
        },
        "measured_on": cases,
        "versions": {package: version(package) for package in ("torch", "onnx", "onnxruntime")},
    }


def _card(report: Mapping[str, Any]) -> str:
    styles = dict(report["styles"])
    rows = "\n".join(
        f"| `{file}` | {facts['weights']} | {facts['bytes'] / 1e6:.1f} MB | {facts['largest_difference']:.0e} |"
        for file, facts in report["files"].items()
    )
    listed = "\n".join(f"{place}. `{name}`: {plain(title)}" for place, (name, title) in enumerate(styles.items()))
    versions = ", ".join(f"{package} {number}" for package, number in report["versions"].items())
    return CARD_TEXT.format(
        title=plain(pack_title(styles)),
        rows=rows,
        listed=listed,
        versions=versions,
        count=len(styles),
        **_facts(report),
    )


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "opset": report["opset"],
        "cases": report["measured_on"],
        "first": "[[" + ", ".join(["1"] + ["0"] * (len(report["styles"]) - 1)) + "]]",
        "margin": report["margin"],
    }


CARD_TEXT = """\
# {title} as ONNX

A network that turns photos into paintings, exported from a style pack. Opset {opset}; both files calculate in float32.

| file | weights | size | largest difference from PyTorch |
|---|---|---:|---:|
{rows}

The difference is that of any channel of any pixel, in the network's range of -1 to 1 (a gray level is 8e-03), over
{cases} example photos of up to 512 pixels, with {versions}.

| input | shape | meaning |
|---|---|---|
| `photo` | N, 3, H, W | float32, -1 to 1, sRGB; H and W of at least 16 |
| `style_weights` | N, {count} | float32, one share per style, summing to 1 |
| `statistics` | 1, 2, C | optional: `measured_statistics` of another run, so that tiles and frames are painted alike |
| `corner` | 2 | optional, int64: top and left of a tile in its picture, both multiples of 4 |
| `around` | 1 | optional, int64: width of a picture whose left edge continues the right one, a multiple of 4 |

Outputs are `painting`, of the shape and range of `photo`, and `measured_statistics`. A tile with {margin} pixels of its
picture around it is painted as the whole picture is.

The styles, in the order of their weights:

{listed}

```python
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("generator.onnx")
photo = np.asarray(Image.open("photo.jpg").convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
weights = np.array({first}, np.float32)
painting = session.run(["painting"], {{"photo": photo, "style_weights": weights}})[0]
levels = ((painting[0].transpose(1, 2, 0) + 1) * 127.5).round().clip(0, 255)
Image.fromarray(levels.astype(np.uint8)).save("painting.png")
```
"""
