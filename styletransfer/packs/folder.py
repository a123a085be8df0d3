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


def load_pack(folder: str | Path) -> Generator:
    """The generator of a pack, in float32, for use.

    Raises:
        InputError: the folder or its config is missing, the config describes something else or has a number out of
            bounds, there are only pickled weights, or the weights do not fit the config.
    """
    folder = _existing(folder)
    generator = Generator(**_read_config(folder))
    _load_weights(folder, generator)
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
    styles, config = len(pack_styles(folder)), _read_config_file(place)
    if config.get("_class_name") != Discriminator.__name__ or config.get("styles") != styles:
        raise InputError(f"{place} is not a discriminator for {styles} styles: it belongs to another pack.")
    _check_bounds(place, config, DISCRIMINATOR_BOUNDS)
    undecided = config.get("undecided")
    if not (type(config.get("spectral_norm")) is bool and type(undecided) in (int, float) and math.isfinite(undecided)):
        raise InputError(f"The {CONFIG} of {place} must have a boolean spectral_norm and a finite number undecided.")
    names = (*DISCRIMINATOR_BOUNDS, "styles", "spectral_norm", "undecided")
    discriminator = Discriminator(**{name: config[name] for name in names})
    _load_weights(place, discriminator)
    return discriminator.eval().requires_grad_(False)


def pack_styles(folder: str | Path) -> dict[str, str]:
    """Name -> title of the styles of a pack, in its order, without reading its weights.

    Raises:
        InputError: as `load_pack`.
    """
    return dict(_read_config(_existing(folder))["styles"])


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
    config = _read_config_file(folder)
    if config.get("_class_name") != Generator.__name__:
        raise InputError(f"{folder} is not a style pack: its {CONFIG} does not describe a {Generator.__name__}.")
    _check_bounds(folder, config, BOUNDS)
    styles = config.get("styles")
    if not is_style_table(styles):
        raise InputError(f"The pack {folder} must list 1 to {MAX_STYLES} styles as name and title, both texts.")
    grain = config.get("grain", 0.0)  # older packs lack it
    if type(grain) not in (int, float) or not 0 <= grain <= 1:
        raise InputError(f"The pack {folder} has grain = {grain!r}: it must be 0 to 1.")
    return {"styles": styles, **{name: config[name] for name in BOUNDS}, "grain": float(grain)}


def _read_config_file(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is not a style pack: it has no {CONFIG}.")
    return read_json(folder, CONFIG)


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
                f"The pack {folder} holds {pickles[0]}, a pickle, which could run code: only {WEIGHTS} is read."
            )
        raise InputError(f"The pack {folder} has no weights: {WEIGHTS} is missing.")
    if path.stat().st_size > MAX_BYTES[WEIGHTS]:
        raise InputError(f"The weights of {folder} are larger than {MAX_BYTES[WEIGHTS] >> 20} MB, which no pack needs.")
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    stored = read_weights(path, "The weights")
    odd = [name for name in sorted(expected.keys() | stored.keys()) if name not in stored or name not in expected]
    odd = odd or [name for name, tensor in stored.items() if tensor.shape != expected[name]]
    odd = odd or [name for name, tensor in stored.items() if not tensor.is_floating_point()]
    if odd:
        raise InputError(
            f"The weights of {folder} do not fit its {CONFIG}, first at {odd[0]}: the two belong to different packs."
        )
    if not all(tensor.isfinite().all() for tensor in stored.values()):
        raise InputError(f"The weights of {folder} contain NaN or infinity: train the pack again.")
    network.load_state_dict(stored)
