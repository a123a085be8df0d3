"""Reads a SOURCE into a dataset of pictures: a folder, one picture file, or a dataset on the Hugging Face Hub.

On the Hub: `org/name[@revision][:split][:column][:label=value]`, as in `huggan/monet2photo:train:imageB` or
`huggan/wikiart:train:image:artist=claude-monet`. A folder or file of that name on this disk is used first.
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name

from styletransfer.errors import InputError, first_line
from styletransfer.hub.errors import LOG_IN
from styletransfer.images.files import PICTURE_SUFFIXES, load_picture

Source = datasets.Dataset | datasets.IterableDataset

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^:\s]+))?(?P<selectors>(:[^:]+)*)", re.ASCII)
_NAMED = 12  # labels listed in a message, at most


class HubId(NamedTuple):
    """The parts of `org/name[@revision][:split][:column][:label=value]`."""

    repo: str
    revision: str | None
    selectors: list[str]  # split and column, where given
    labels: dict[str, str]  # column -> value that a row must have


def parse_hub_id(source: str) -> HubId | None:
    """The parts of a source on the Hub, or None where it cannot be one."""
    match = _HUB_ID.fullmatch(source)
    if match is None:
        return None
    selectors = match["selectors"].split(":")[1:]
    labels = dict(selector.split("=", 1) for selector in selectors if "=" in selector)
    return HubId(match["repo"], match["revision"], [part for part in selectors if "=" not in part], labels)


def hub_dataset(source: str) -> str | None:
    """`org/name` of a source that is on the Hub and not on this disk, else None."""
    path = os.path.expanduser(source)
    hub_id = None if os.path.exists(path) else parse_hub_id(source)
    return hub_id.repo if hub_id else None


def load_source(source: str, streaming: bool = False) -> Source:
    """The pictures of a folder (subfolders too, in the order of their names), of one picture file, or of the Hub.

    Returns a dataset with the one column "image", its rows not decoded: {"path": str, "bytes": bytes | None}. With
    `streaming` a source on the Hub is not downloaded first: it comes as an IterableDataset.

    Raises:
        InputError: the source does not exist, holds no picture, or may not be read.
    """
    path = os.path.expanduser(source)  # the shell leaves the ~ of --style NAME=~/paintings as it is
    if os.path.isdir(path):
        return _from_files(_pictures_in(path))
    if os.path.isfile(path):
        load_picture(path)
        return _from_files([path])
    hub_id = parse_hub_id(source)
    if hub_id is None and "::" in source:
        raise InputError(f'"{source}" has nothing between two colons: write org/name:split:column, each of them named.')
    if hub_id is None:
        raise InputError(
            f'"{source}" is neither a folder nor a picture file, nor a dataset on the Hub (org/name:split:column).'
        )
    if os.path.isdir(hub_id.repo):
        rest = source[len(hub_id.repo) :]
        raise InputError(f'"{hub_id.repo}" is a folder here, which is used before the Hub is: leave out "{rest}".')
    with _one_sentence(hub_id):
        return _from_hub(hub_id, streaming)


# ---- folders and files ----------------------------------------------------------------------------------------------


def _from_files(paths: list[str]) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(decode=False)})
    return datasets.Dataset.from_dict({"image": paths}, features=features)


def _pictures_in(folder: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}): give a folder that you may read.")

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        # Hidden files are left out: thumbnails, notebooks' copies, and the "._photo.jpg" that macOS writes.
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (name for name in names if not name.startswith("."))
        found += [Path(parent, name) for name in visible if Path(name).suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise InputError(f"There is no picture in {folder}: put some there ({', '.join(sorted(PICTURE_SUFFIXES))}).")
    return [str(path) for path in sorted(found, key=lambda path: path.parts)]


# ---- the Hub --------------------------------------------------------------------------------------------------------


def _from_hub(hub_id: HubId, streaming: bool) -> Source:
    builder, selectors = _builder(hub_id)
    _check_pinned(hub_id, builder)
    if streaming:
        if hasattr(builder.config, "decode_num_threads"):  # of loose files: threads would open them far ahead
            builder.config.decode_num_threads = 0
        splits = builder.as_streaming_dataset()
    else:
        builder.download_and_prepare()
        splits = builder.as_dataset()
    split = _split(hub_id, selectors, splits)
    dataset = splits[split]
    features = dataset.features or datasets.Features()
    column = _image_column(hub_id, selectors, features, splits)
    labels = {name: _label(hub_id, features, name, value) for name, value in hub_id.labels.items()}
    # Before any row is read: other columns may hold pictures, too, which would be decoded.
    dataset = dataset.select_columns([column, *labels]).cast_column(column, datasets.Image(decode=False))
    dataset = _matching(hub_id, dataset, column, labels).select_columns([column])
    return dataset if column == "image" else dataset.rename_column(column, "image")


def _builder(hub_id: HubId) -> tuple[datasets.DatasetBuilder, list[str]]:
    """The builder of the dataset, and the selectors that remain when one of them names a configuration."""
    path = f"hf://datasets/{hub_id.repo}"  # not the bare name: datasets would prefer a folder of that name
    try:
        return datasets.load_dataset_builder(path, revision=hub_id.revision), hub_id.selectors
    except ValueError as error:
        if "Config name is missing" not in str(error):
            raise
    names = datasets.get_dataset_config_names(path, revision=hub_id.revision)
    if not hub_id.selectors or hub_id.selectors[0] not in names:
        raise InputError(f"{hub_id.repo} has several configurations: choose {hub_id.repo}:NAME from {_listed(names)}.")
    name, *selectors = hub_id.selectors
    return datasets.load_dataset_builder(path, name=name, revision=hub_id.revision), selectors


def _check_pinned(hub_id: HubId, builder: datasets.DatasetBuilder) -> None:
    """Refuse a revision other than the one asked for: without the Hub, datasets uses any revision in its cache."""
    if hub_id.revision is None:
        return
    folder = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=hub_id.repo, repo_type="dataset"))
    reference = folder / "refs" / hub_id.revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else hub_id.revision
    if builder.hash != commit:
        raise InputError(
            f"The Hub does not answer, and revision {hub_id.revision} of {hub_id.repo} is not the one in the cache: "
            "try again later."
        )


def _split(hub_id: HubId, selectors: list[str], splits: Mapping[str, Source]) -> str:
    wanted = selectors[0] if selectors else None
    if wanted in splits:
        return selectors.pop(0)
    default = "train" if "train" in splits else next(iter(splits))
    if len(selectors) < 2 and (default == "train" or len(splits) == 1):  # one selector may be the column's
        return default
    problem = f"has no split {wanted}" if wanted else "has several splits"
    raise InputError(f"{hub_id.repo} {problem}: choose from {_listed(splits)}.")


def _image_column(
    hub_id: HubId, selectors: list[str], features: Mapping[str, object], splits: Mapping[str, Source]
) -> str:
    columns = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if not columns:
        raise InputError(f"{hub_id.repo} has no column of pictures: its columns are {_listed(features) or 'unknown'}.")
    if len(selectors) > 1:
        raise InputError(f"{hub_id.repo} has no part for :{selectors[1]}: write org/name:split:column:label=value.")
    if selectors and selectors[0] not in columns:
        raise InputError(
            f"{hub_id.repo} has no split and no column of pictures called {selectors[0]}: "
            f"its splits are {_listed(splits)}, its columns of pictures {_listed(columns)}."
        )
    if not selectors and len(columns) > 1:
        raise InputError(
            f"{hub_id.repo} has several columns of pictures: choose from {_listed(columns)}, "
            f"as in {hub_id.repo}:train:{columns[0]}."
        )
    return selectors[0] if selectors else columns[0]


def _label(hub_id: HubId, features: Mapping[str, object], name: str, text: str) -> int | str:
    """The value in the rows for a label that is given by name, number or text."""
    if name not in features:
        others = [other for other, feature in features.items() if not isinstance(feature, datasets.Image)]
        raise InputError(f"{hub_id.repo} has no label {name}: its columns are {_listed(others) or 'pictures only'}.")
    feature = features[name]
    if not isinstance(feature, datasets.ClassLabel):
        return text
    if text in feature.names:
        return feature.names.index(text)
    if text.isdecimal() and int(text) < feature.num_classes:
        return int(text)
    raise InputError(f"{hub_id.repo} has no {name} called {text}: {_choices(text, feature.names)}.")


def _choices(text: str, names: Iterable[str]) -> str:
    """A list of the names, similar ones first."""
    names = list(names)
    near = [name for name in names if text.lower() in name.lower()]  # "monet" means "claude-monet"
    near += [name for name in difflib.get_close_matches(text, names, n=3) if name not in near]
    ordered = near + [name for name in names if name not in near]
    return f"choose from {_listed(ordered)}"


def _listed(names: Iterable[object]) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _has_labels(*values: object, wanted: tuple[int | str, ...]) -> bool:
    """Whether a row has the labels: numbers are those of a ClassLabel, texts are compared with the value as text."""
    pairs = zip(values, wanted, strict=True)
    return all(value == right if isinstance(right, int) else str(value) == right for value, right in pairs)


def _matching(hub_id: HubId, dataset: Source, column: str, labels: Mapping[str, int | str]) -> Source:
    """The rows with those labels; without streaming, rows without a picture are left out, too."""
    wanted = tuple(labels.values())
    if isinstance(dataset, datasets.IterableDataset):
        return dataset.filter(partial(_has_labels, wanted=wanted), input_columns=list(labels)) if labels else dataset
    keep = dataset.data.column(column).is_valid().to_numpy()  # two columns of unequal lengths end in empty rows
    if labels:
        columns = [dataset.data.column(name).to_pylist() for name in labels]
        found = np.array([_has_labels(*values, wanted=wanted) for values in zip(*columns, strict=True)], dtype=bool)
        if not found.any():
            sought = " and ".join(f"{name}={text}" for name, text in hub_id.labels.items())
            there = "; ".join(
                f"its {name}: {_choices(hub_id.labels[name], sorted({str(value) for value in values}))}"
                for name, values in zip(labels, columns, strict=True)
                if not isinstance(labels[name], int)
            )
            raise InputError(f"{hub_id.repo} has no row with {sought}" + (f"; {there}." if there else "."))
        keep = keep & found
    if not keep.any():
        raise InputError(f"{hub_id.repo} has no picture in the rows asked for: check split, column and labels.")
    return dataset if keep.all() else dataset.select(np.flatnonzero(keep))


# ---- errors ---------------------------------------------------------------------------------------------------------


@contextmanager
def _one_sentence(hub_id: HubId) -> Iterator[None]:
    """Turn any error of the libraries below into an InputError of one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(_sentence(hub_id, error)) from error


def _sentence(hub_id: HubId, error: Exception) -> str:
    text = str(error)
    if "gated dataset" in text or "GatedRepo" in text:
        return (
            f"{hub_id.repo} is gated: accept its conditions at {constants.ENDPOINT}/datasets/{hub_id.repo}, "
            f"then {LOG_IN}."
        )
    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        if text.startswith("Revision"):
            return f"{hub_id.repo} has no revision {hub_id.revision}: give a branch, a tag or a whole commit hash."
        return (
            f"{hub_id.repo} is neither a folder nor a picture file here, nor a dataset on the Hub that you may see: "
            f"check its name, or {LOG_IN} if it is private."
        )
    if isinstance(error, OfflineModeIsEnabled) or "OfflineModeIsEnabled" in text or constants.HF_HUB_OFFLINE:
        return (
            f"{hub_id.repo} is neither a folder nor a picture file here, nor in the cache, and HF_HUB_OFFLINE is set: "
            "check the name, or unset HF_HUB_OFFLINE."
        )
    if isinstance(error, ConnectionError | LocalEntryNotFoundError) or "LocalEntryNotFoundError" in text:
        return (
            f"{hub_id.repo} is neither a folder nor a picture file here, nor in the cache, and the Hub does not answer"
            ": check the name and the network, or try again later."
        )
    if isinstance(error, HfHubHTTPError):
        return f"The Hub refuses {hub_id.repo} ({first_line(error)}): try again later."
    return f"{hub_id.repo} cannot be read as a dataset ({first_line(error)}): choose another."
