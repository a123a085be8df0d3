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

from styletransfer.errors import InputError, first_line
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

MAX_WEIGHT = 10_000  # the styles that ship stay below 2; far above it all that is painted is black or white


def load_pack(folder: str | Path, name: object = None) -> Generator:
    """The generator of a pack, in float32, for use.

    Args:
        folder: the pack.
        name: what people call it, for the sentences of errors, where that is not its folder: a pack of the Hub lies
            somewhere in a cache, and a visitor of the page is told no paths.

    Raises:
        InputError: no such folder, no or foreign config, numbers out of bounds, pickle weights only, or weights that
            do not fit the config. Nothing is half loaded.
    """
    folder, name = _existing(folder, name), name or folder
    generator = Generator(**_read_config(folder, name))
    _load_weights(folder, generator, name)
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
    styles, config = len(pack_styles(folder)), _read_json(place, place)
    if config.get("_class_name") != Discriminator.__name__ or config.get("styles") != styles:
        raise InputError(
            "{pack} is no discriminator of {styles} styles: the two belong to different packs.",
            pack=place,
            styles=styles,
        )
    _check_bounds(place, config, DISCRIMINATOR_BOUNDS)
    undecided = config.get("undecided")
    if not (type(config.get("spectral_norm")) is bool and type(undecided) in (int, float) and math.isfinite(undecided)):
        raise InputError(
            "The {file} of {pack} must say whether spectral_norm is on, and a number of undecided.",
            file=CONFIG,
            pack=place,
        )
    names = (*DISCRIMINATOR_BOUNDS, "styles", "spectral_norm", "undecided")
    discriminator = Discriminator(**{name: config[name] for name in names})
    _load_weights(place, discriminator, place)
    return discriminator.eval().requires_grad_(False)


def pack_styles(folder: str | Path, name: object = None) -> dict[str, str]:
    """Name -> title of a pack's styles in its order, read without its weights; arguments and errors as `load_pack`."""
    return dict(_read_config(_existing(folder, name), name or folder)["styles"])


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
        raise InputError(
            "The pack {pack} cannot be written: {reason}.", pack=folder, reason=why_unwritten(error)
        ) from error


def _save_discriminator(pack: Path, discriminator: Discriminator) -> None:
    place = pack / DISCRIMINATOR
    place.mkdir()
    copy.deepcopy(discriminator).cpu().half().save_pretrained(place, safe_serialization=True)
    for path in (place / CONFIG, place / WEIGHTS):
        shutil.copymode(pack / RECIPE, path)


def _existing(folder: str | Path, name: object = None) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "There is no style pack at {pack}: give a pack's folder, or its org/name on the Hub.", pack=name or folder
        )
    return folder


def _read_config(folder: Path, name: object) -> dict[str, Any]:
    config = _read_json(folder, name)
    if config.get("_class_name") != Generator.__name__:
        raise InputError(
            "{pack} is no style pack: its {file} does not describe a {kind}.",
            pack=name,
            file=CONFIG,
            kind=Generator.__name__,
        )
    _check_bounds(name, config, BOUNDS)
    styles = config.get("styles")
    if not is_style_table(styles):
        raise InputError(
            "The pack {pack} must list 1 to {most} styles as name and title, both texts.", pack=name, most=MAX_STYLES
        )
    grain = config.get("grain", 0.0)  # packs from before there was one have none
    if type(grain) not in (int, float) or not 0 <= grain <= 1:
        raise _out_of_bounds(name, "grain", grain, 0, 1)
    return {"styles": styles, **{each: config[each] for each in BOUNDS}, "grain": float(grain)}


def _read_json(folder: Path, name: object) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise InputError("{pack} is no style pack: it has no {file}.", pack=name, file=CONFIG)
    if path.stat().st_size > MAX_BYTES[CONFIG]:
        raise InputError(
            "The {file} of {pack} is larger than {most} KB: no pack needs that.",
            file=CONFIG,
            pack=name,
            most=MAX_BYTES[CONFIG] >> 10,
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = first_line(error).replace(str(path), CONFIG)
        raise InputError(
            "The {file} of {pack} cannot be read: {reason}.", file=CONFIG, pack=name, reason=reason
        ) from error
    return config if isinstance(config, dict) else {}


def _check_bounds(pack: object, config: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> None:
    for name, (least, most) in bounds.items():
        if type(config.get(name)) is not int or not least <= config[name] <= most:
            raise _out_of_bounds(pack, name, config.get(name), least, most)


def _out_of_bounds(pack: object, name: str, value: object, least: int, most: int) -> InputError:
    return InputError(
        "The pack {pack} has {name} = {value}: it must be {least} to {most}.",
        pack=pack,
        name=name,
        value=repr(value)[:80],
        least=least,
        most=most,
    )


def _load_weights(folder: Path, network: Generator | Discriminator, name: object) -> None:
    path = folder / WEIGHTS
    if not path.is_file():
        raise _no_weights(folder, name)
    if path.stat().st_size > MAX_BYTES[WEIGHTS]:
        raise InputError(
            "The weights of {pack} are larger than {most} MB: no pack needs that.",
            pack=name,
            most=MAX_BYTES[WEIGHTS] >> 20,
        )
    expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 not a dict
            stored = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in stored.items()}
    except (SafetensorError, OSError) as error:
        reason = first_line(error).replace(str(path), WEIGHTS)
        raise InputError("The weights of {pack} cannot be read: {reason}.", pack=name, reason=reason) from error
    odd = [key for key in sorted(expected.keys() | stored.keys()) if key not in stored or key not in expected]
    odd = odd or [key for key, tensor in stored.items() if tensor.shape != expected[key]]
    odd = odd or [key for key, tensor in stored.items() if not tensor.is_floating_point()]
    if odd:
        raise InputError(
            "The weights of {pack} do not fit its {file} (first at {place}): the two belong to different packs.",
            pack=name,
            file=CONFIG,
            place=odd[0],
        )
    if not all(tensor.isfinite().all() for tensor in stored.values()):
        raise InputError("The weights of {pack} hold numbers that are not finite: train the pack again.", pack=name)
    if any(tensor.abs().max() > MAX_WEIGHT for tensor in stored.values() if tensor.numel()):
        raise InputError(
            "The weights of {pack} hold numbers above {most}, with which no picture is painted: train the pack again.",
            pack=name,
            most=MAX_WEIGHT,
        )
    network.load_state_dict(stored)


def _no_weights(folder: Path, name: object) -> InputError:
    pickles = [file.name for file in folder.iterdir() if file.suffix in PICKLES]
    if not pickles:
        return InputError("The pack {pack} has no weights: {file} is missing.", pack=name, file=WEIGHTS)
    return InputError(
        "The pack {pack} holds {found}, a pickle that could run code: only {file} is read.",
        pack=name,
        found=pickles[0],
        file=WEIGHTS,
    )
