"""The style pack: a folder that is written whole, read strictly, and described by its card."""

import copy
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError, safe_open

from styletransfer.errors import InputError
from styletransfer.folders import why_unwritten, written_whole
from styletransfer.models.discriminator import DISCRIMINATOR_BOUNDS, Discriminator
from styletransfer.models.generator import BOUNDS, Generator
from styletransfer.packs.card import write_card
from styletransfer.packs.contents import (
    CONFIG,
    DISCRIMINATOR,
    MAX_BYTES,
    MAX_STYLES,
    PICKLES,
    RECIPE,
    RUN,
    SAMPLES,
    WEIGHTS,
    is_style_name,
    is_style_table,
)
from styletransfer.packs.provenance import versions


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


def load_discriminator(folder: str | Path) -> Discriminator | None:
    """The discriminator that a pack carries, in float32, for use; None where it carries none.

    Nothing but the page's explanation and fine-tuning needs it.

    Raises:
        InputError: as `load_pack`; or it knows another number of styles than the pack.
    """
    folder = _existing(folder)
    place = folder / DISCRIMINATOR
    if not place.is_dir():
        return None
    styles, config = len(pack_styles(folder)), _read_json(place)
    if config.get("_class_name") != Discriminator.__name__ or config.get("styles") != styles:
        raise InputError(f"{place} is no discriminator of {styles} styles: the two belong to different packs.")
    _check_bounds(place, config, DISCRIMINATOR_BOUNDS)
    undecided = config.get("undecided")
    if not (type(config.get("spectral_norm")) is bool and type(undecided) in (int, float) and math.isfinite(undecided)):
        raise InputError(f"The {CONFIG} of {place} must say whether spectral_norm is on, and a number of undecided.")
    names = (*DISCRIMINATOR_BOUNDS, "styles", "spectral_norm", "undecided")
    discriminator = Discriminator(**{name: config[name] for name in names})
    _load_weights(place, discriminator)
    return discriminator.eval().requires_grad_(False)


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
    run: Mapping[str, Any] | None = None,
    discriminator: Discriminator | None = None,
    half: bool = False,
) -> None:
    """Write a pack whole or not at all; a pack of that name is replaced.

    Args:
        folder: the pack's place; its parent must exist.
        generator: the averaged generator, in float32.
        samples: style name -> what the gallery shows; under PHOTO the photo they were painted from.
        recipe: the settings of the training run.
        run: what its card tells of the run beside the versions of libraries, name -> text ("hardware", "training
            time"); and under "datasets" the list of the Hub datasets it learned from, as `org/name`.
        discriminator: what the generator was trained against, to be carried in half precision, as 16 bits of each
            weight are enough for what it is used for.
        half: store 16 bits of each weight, which halves the pack; painting rounds them to as many anyway.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    try:
        with written_whole(folder) as partial:
            (copy.deepcopy(generator).half() if half else generator).save_pretrained(partial, safe_serialization=True)
            (partial / SAMPLES).mkdir()
            for style, picture in samples.items():
                picture.save(partial / SAMPLES / f"{style}.webp", quality=82, method=6)
            for name, told in ((RECIPE, recipe), (RUN, {**versions(), **(run or {})})):
                (partial / name).write_text(json.dumps(dict(told), indent=2) + "\n", encoding="utf-8")
            shutil.copymode(partial / RECIPE, partial / WEIGHTS)  # safetensors hides what it writes from other users
            if discriminator is not None:
                _save_discriminator(partial, discriminator)
            write_card(partial)
    except (OSError, SafetensorError) as error:
        raise InputError(f"The pack {folder} cannot be written: {why_unwritten(error)}.") from error


def _save_discriminator(pack: Path, discriminator: Discriminator) -> None:
    place = pack / DISCRIMINATOR
    place.mkdir()
    copy.deepcopy(discriminator).cpu().half().save_pretrained(place, safe_serialization=True)
    for path in (place / CONFIG, place / WEIGHTS):
        shutil.copymode(pack / RECIPE, path)


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no style pack at {folder}: give a pack's folder, or its org/name on the Hub.")
    return folder


def _read_config(folder: Path) -> dict[str, Any]:
    config = _read_json(folder)
    if config.get("_class_name") != Generator.__name__:
        raise InputError(f"{folder} is no style pack: its {CONFIG} does not describe a {Generator.__name__}.")
    _check_bounds(folder, config, BOUNDS)
    styles = config.get("styles")
    if not is_style_table(styles):
        raise InputError(f"The pack {folder} must list 1 to {MAX_STYLES} styles as name and title, both texts.")
    grain = config.get("grain", 0.0)  # packs from before there was one have none
    if type(grain) not in (int, float) or not 0 <= grain <= 1:
        raise InputError(f"The pack {folder} has grain = {grain!r}: it must be 0 to 1.")
    return {"styles": styles, **{name: config[name] for name in BOUNDS}, "grain": float(grain)}


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} is no style pack: it has no {CONFIG}.")
    if path.stat().st_size > MAX_BYTES[CONFIG]:
        raise InputError(f"The {CONFIG} of {folder} is larger than {MAX_BYTES[CONFIG] >> 10} KB: no pack needs that.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The {CONFIG} of {folder} cannot be read: {error}.") from error
    return config if isinstance(config, dict) else {}


def _check_bounds(folder: Path, config: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> None:
    for name, (least, most) in bounds.items():
        if type(config.get(name)) is not int or not least <= config[name] <= most:
            raise InputError(f"The pack {folder} has {name} = {config.get(name)!r}: it must be {least} to {most}.")


def _load_weights(folder: Path, network: Generator | Discriminator) -> None:
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = [file.name for file in folder.iterdir() if file.suffix in PICKLES]
        if pickles:
            raise InputError(
                f"The pack {folder} holds {pickles[0]}, a pickle that could run code: only {WEIGHTS} is read."
            )
        raise InputError(f"The pack {folder} has no weights: {WEIGHTS} is missing.")
    if path.stat().st_size > MAX_BYTES[WEIGHTS]:
        raise InputError(f"The weights of {folder} are larger than {MAX_BYTES[WEIGHTS] >> 20} MB: no pack needs that.")
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
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
    network.load_state_dict(stored)
