"""The style pack on disk: written atomically, read strictly, described by its card."""

import copy
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError

from styletransfer.errors import InputError
from styletransfer.folders import why_unwritten, written_whole
from styletransfer.models.discriminator import DISCRIMINATOR_BOUNDS, Discriminator
from styletransfer.models.generator import BOUNDS, Generator
from styletransfer.models.stored_weights import read_weights
from styletransfer.packs.card import named_texts, write_card
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
    read_json,
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
        InputError: the folder or its config is missing, the config describes something else or has a number out of
            bounds, there are only pickled weights, or the weights do not fit the config.
    """
    folder, name = _existing(folder, name), name or folder
    generator = Generator(**_read_config(folder, name))
    _load_weights(folder, generator, name)
    return generator.eval().requires_grad_(False)


def load_discriminator(folder: str | Path) -> Discriminator | None:
    """The discriminator of a pack, in float32, for use; None where the pack has none.

    The page needs it to explain a painting, and training to continue from the pack.

    Raises:
        InputError: as `load_pack`, or the discriminator was trained for another number of styles.
    """
    folder = _existing(folder)
    place = folder / DISCRIMINATOR
    if not place.is_dir():
        return None
    styles, config = len(pack_styles(folder)), _read_config_file(place, place)
    if config.get("_class_name") != Discriminator.__name__ or config.get("styles") != styles:
        raise InputError(
            "{pack} is not a discriminator for {styles} styles: it belongs to another pack.",
            pack=place,
            styles=styles,
        )
    _check_bounds(place, config, DISCRIMINATOR_BOUNDS)
    undecided = config.get("undecided")
    if not (type(config.get("spectral_norm")) is bool and type(undecided) in (int, float) and math.isfinite(undecided)):
        raise InputError(
            "The {file} of {pack} must have a boolean spectral_norm and a finite number undecided.",
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


def pack_notes(folder: str | Path) -> dict[str, str]:
    """Style name -> what the recipe says about its painting (painter, title, year); empty for an unreadable recipe."""
    try:
        return named_texts(read_json(Path(folder), RECIPE).get("note"))
    except InputError:
        return {}


def sample_path(folder: str | Path, style: str) -> Path | None:
    """The picture that shows a style of the pack, or None where there is none."""
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
    """Write a pack atomically; an older pack in the same folder is replaced.

    Args:
        folder: where the pack goes; its parent must exist.
        generator: the averaged generator, in float32.
        samples: style name -> the picture that the gallery shows; under PHOTO the photo that all were painted from.
        recipe: the settings of the training run.
        run: facts for the card besides the library versions, name -> text ("hardware", "training time"); "datasets"
            lists the Hub datasets that the run trained on, as `org/name`.
        discriminator: stored in float16, which is precise enough for its uses.
        half: store the generator in float16, which halves the pack. Painting rounds weights to 16 bits anyway.

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
            shutil.copymode(
                partial / RECIPE, partial / WEIGHTS
            )  # safetensors writes files that only their owner may read
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
    config = _read_config_file(folder, name)
    if config.get("_class_name") != Generator.__name__:
        raise InputError(
            "{pack} is not a style pack: its {file} does not describe a {kind}.",
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


def _read_config_file(folder: Path, name: object) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        raise InputError("{pack} is not a style pack: it has no {file}.", pack=name, file=CONFIG)
    return read_json(folder, CONFIG, name)


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
            "The weights of {pack} are larger than {most} MB, which no pack needs.",
            pack=name,
            most=MAX_BYTES[WEIGHTS] >> 20,
        )
    expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    stored = read_weights(path, "The weights of", name)
    odd = [key for key in sorted(expected.keys() | stored.keys()) if key not in stored or key not in expected]
    odd = odd or [key for key, tensor in stored.items() if tensor.shape != expected[key]]
    odd = odd or [key for key, tensor in stored.items() if not tensor.is_floating_point()]
    if odd:
        raise InputError(
            "The weights of {pack} do not fit its {file}, first at {place}: the two belong to different packs.",
            pack=name,
            file=CONFIG,
            place=odd[0],
        )
    if not all(tensor.isfinite().all() for tensor in stored.values()):
        raise InputError("The weights of {pack} contain NaN or infinity: train the pack again.", pack=name)
    if any(tensor.abs().max() > MAX_WEIGHT for tensor in stored.values() if tensor.numel()):
        raise InputError(
            "The weights of {pack} contain numbers above {most}, which paint no picture: train the pack again.",
            pack=name,
            most=MAX_WEIGHT,
        )
    network.load_state_dict(stored)


def _no_weights(folder: Path, name: object) -> InputError:
    pickles = [file.name for file in folder.iterdir() if file.suffix in PICKLES]
    if not pickles:
        return InputError("The pack {pack} has no weights: {file} is missing.", pack=name, file=WEIGHTS)
    return InputError(
        "The pack {pack} holds {found}, a pickle, which could run code: only {file} is read.",
        pack=name,
        found=pickles[0],
        file=WEIGHTS,
    )
