"""The style pack: a folder that is written whole, read strictly, and described by a card made from its own files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError, safe_open

from styletransfer.errors import InputError
from styletransfer.folders import why_unwritten, written_whole
from styletransfer.generator import BOUNDS, Generator

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
RECIPE = "training_config.json"
EVALUATION = "evaluation.json"
SAMPLES = "samples"
DISCOVERY_TAG = "styletransfer-pack"
SHIPPED_PACK = Path(__file__).resolve().parent.parent / "styles" / "first"

# A pack comes from strangers: what it may ask of this machine is bounded before anything is built.
MAX_CONFIG_BYTES = 256 * 1024
MAX_WEIGHT_BYTES = 64 * 1024 * 1024
MAX_STYLES = 256


def load_pack(folder: str | Path) -> Generator:
    """The generator of a pack, in float32, for use.

    Raises:
        InputError: no such folder, no or foreign config, numbers out of bounds, pickle weights only, or weights that
            do not fit the config. Nothing is half loaded.
    """
    folder = _existing(folder)
    generator = Generator(**_read_config(folder))
    _load_weights(folder, generator)
    return generator.eval().requires_grad_(False)


def pack_styles(folder: str | Path) -> dict[str, str]:
    """Name -> title of a pack's styles in its order, read without its weights; raises InputError as `load_pack`."""
    return dict(_read_config(_existing(folder))["styles"])


def sample_path(folder: str | Path, style: str) -> Path | None:
    """The picture that shows a style of the pack, where the pack has one."""
    path = Path(folder) / SAMPLES / f"{style}.webp"
    return path if is_style_name(style) and path.is_file() else None


def save_pack(
    folder: Path,
    generator: Generator,
    *,
    samples: Mapping[str, Image.Image],
    recipe: Mapping[str, Any],
) -> None:
    """Write a pack whole or not at all; a pack of that name is replaced.

    Args:
        folder: the pack's place; its parent must exist.
        generator: the averaged generator, in float32.
        samples: style name -> what the gallery shows.
        recipe: the settings of the training run.
    """
    try:
        with written_whole(folder) as partial:
            generator.save_pretrained(partial, safe_serialization=True)
            (partial / SAMPLES).mkdir()
            for style, picture in samples.items():
                picture.save(partial / SAMPLES / f"{style}.webp", quality=88, method=6)
            (partial / RECIPE).write_text(json.dumps(dict(recipe), indent=2) + "\n", encoding="utf-8")
            write_card(partial)
    except (OSError, SafetensorError) as error:
        raise InputError(f"The pack {folder} cannot be written: {why_unwritten(error)}.") from error


def write_card(folder: Path) -> None:
    """(Re)write README.md of a pack from its config, recipe and evaluation."""
    styles = dict(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["styles"])
    recipe = _read_json(folder / RECIPE)
    sections = [_front_matter(recipe), _intro(styles, recipe), _scores(_read_json(folder / EVALUATION)), _usage(styles)]
    (folder / "README.md").write_text("\n\n".join(filter(None, sections)) + "\n", encoding="utf-8")


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no style pack at {folder}: give the folder of a pack.")
    return folder


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} is no style pack: it has no {CONFIG}.")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise InputError(f"The {CONFIG} of {folder} is larger than {MAX_CONFIG_BYTES // 1024} KB: no pack needs that.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The {CONFIG} of {folder} cannot be read: {error}.") from error
    if not isinstance(config, dict) or config.get("_class_name") != Generator.__name__:
        raise InputError(f"{folder} is no style pack: its {CONFIG} does not describe a {Generator.__name__}.")
    for name, (least, most) in BOUNDS.items():
        if type(config.get(name)) is not int or not least <= config[name] <= most:
            raise InputError(f"The pack {folder} has {name} = {config.get(name)!r}: it must be {least} to {most}.")
    styles = config.get("styles")
    if not _is_style_table(styles):
        raise InputError(f"The pack {folder} must list 1 to {MAX_STYLES} styles as name and title, both texts.")
    return {"styles": styles, **{name: config[name] for name in BOUNDS}}


def _is_style_table(styles: Any) -> bool:  # noqa: ANN401 whatever a stranger's JSON holds
    if not isinstance(styles, list) or not 1 <= len(styles) <= MAX_STYLES:
        return False
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(t, str) for t in pair) for pair in styles):
        return False
    names = [name for name, _ in styles]
    return len(set(names)) == len(names) and all(is_style_name(n) and _is_title(title) for n, title in styles)


def _is_title(text: str) -> bool:
    """One line that a terminal and a page can show: no control characters, no halves of characters."""
    return 0 < len(text) <= 200 and text.isprintable()


def is_style_name(name: str) -> bool:
    """Names end in file names and URLs: lower-case letters, digits, single dashes inside; at most 64 characters."""
    return 0 < len(name) <= 64 and all(
        part.isascii() and part.isalnum() and part == part.lower() for part in name.split("-")
    )


def _load_weights(folder: Path, generator: Generator) -> None:
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = [file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt")]
        if pickles:
            raise InputError(
                f"The pack {folder} holds {pickles[0]}, a pickle that could run code: only {WEIGHTS} is read."
            )
        raise InputError(f"The pack {folder} has no weights: {WEIGHTS} is missing.")
    if path.stat().st_size > MAX_WEIGHT_BYTES:
        raise InputError(f"The weights of {folder} are larger than {MAX_WEIGHT_BYTES >> 20} MB: no pack needs that.")
    expected = {name: tensor.shape for name, tensor in generator.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 not a dict
            stored = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"The weights of {folder} cannot be read: {error}.") from error
    odd = [name for name in sorted(expected.keys() | stored.keys()) if name not in stored or name not in expected]
    odd = odd or [name for name, tensor in stored.items() if tensor.shape != expected[name]]
    odd = odd or [name for name, tensor in stored.items() if not tensor.is_floating_point()]
    if odd:
        raise InputError(
            f"The weights of {folder} do not fit its {CONFIG} (first at {odd[0]}): the two belong to different packs."
        )
    if not all(tensor.isfinite().all() for tensor in stored.values()):
        raise InputError(f"The weights of {folder} hold numbers that are not finite: train the pack again.")
    generator.load_state_dict(stored)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _front_matter(recipe: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "---",
            f"license: {json.dumps(recipe.get('license', 'mit'))}",
            "library_name: styletransfer",
            "pipeline_tag: image-to-image",
            "tags:",
            f"- {DISCOVERY_TAG}",
            "- style-transfer",
            "- gan",
            "---",
        ]
    )


def _intro(styles: Mapping[str, str], recipe: Mapping[str, Any]) -> str:
    notes = dict(text.split("=", 1) for text in recipe.get("note", []))
    rows = [
        f"| ![{plain(title)}]({SAMPLES}/{name}.webp) | `{name}` | {plain(title)} | {plain(notes.get(name, ''))} |"
        for name, title in styles.items()
    ]
    table = ["| sample | style | title | painting |", "|---|---|---|---|", *rows]
    made = f"Trained for {recipe.get('steps', '?')} steps; every setting is in `{RECIPE}`." if recipe else ""
    return "\n".join(["# Style pack", "", "Photo in, painting out: one network, these styles.", "", *table, "", made])


def _scores(evaluation: Mapping[str, Any]) -> str:
    if not evaluation.get("styles"):
        return ""
    rows = [
        f"| `{name}` | {scores['content']:.3f} | {scores['style']:.3f} |"
        for name, scores in evaluation["styles"].items()
    ]
    head = [f"## Measured on {evaluation.get('photos', '?')} photos that training never saw", ""]
    return "\n".join([*head, "| style | content (LPIPS) | style (Gram distance) |", "|---|---|---|", *rows])


def _usage(styles: Mapping[str, str]) -> str:
    return "\n".join(
        [
            "## Use",
            "",
            "```python",
            "from styletransfer import StyleTransferPipeline",
            "",
            'pipeline = StyleTransferPipeline.from_pretrained("this/folder")',
            f'pipeline("photo.jpg", style="{next(iter(styles))}").save("painting.png")',
            "```",
        ]
    )


def plain(text: str) -> str:
    """A stranger's text as one line of Markdown text: no markup, no table cells."""
    return "".join(f"&#{ord(c)};" if c in "<>&|[]`*_~\\!" else c for c in " ".join(text.split()))
