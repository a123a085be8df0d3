"""Measures a pack on photos that training never saw, beside two baselines: the photo itself, and its colors changed.

Of n processes each measures every n-th picture; all of them return the same numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import datasets
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from styletransfer.data.crops import Row, row_name, row_source
from styletransfer.data.sources import load_source
from styletransfer.errors import InputError
from styletransfer.evaluation.meter import LEAST_SIDE, Look, Meter, Score, Style, WeightFiles, mean_style
from styletransfer.evaluation.metrics import PATCH_COUNT
from styletransfer.evaluation.report import PAINTED, PICTURES, collection_rows, summary
from styletransfer.images.files import fit_long_side, load_picture, picture_to_tensor, tensor_to_picture
from styletransfer.images.lab import transfer_colors
from styletransfer.pipeline import StyleTransferPipeline

STYLE_PAINTINGS = 64  # at most so many paintings of a collection define its Gram matrices and patches
BRUSHWORK_PAINTINGS = 5  # at most so many are compared with for brushwork, which is the mean over them
LEAST_COLLECTION = 4  # paintings: a covariance needs two in each half
FIGURE_PHOTOS = 20
FIGURE_SIDE = 252  # pixels, long side of a picture in the figure

Found = TypeVar("Found")


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    `numbers` is the content of evaluation.json: "photos" (count), "long_side", "seed", "processes", "networks" (measure
    -> network and file), "notes" (what was left out, and why), and "styles": name -> the means over painted photos from
    `report.summary` and `collection_rows`, "each" (the scores of each photo), "photo_itself" and "colors_only" (the
    same for the two baselines) and, for a collection, "floor". A measure without weights is absent.
    """

    numbers: dict[str, Any]
    figure: dict[str, list[Image.Image]]  # small pictures by column: "photo", then each style, its painting first


@dataclass
class _Photo:
    """The measures of one photo, by style and kind of picture."""

    scores: dict[str, dict[str, Score]]
    features: dict[str, dict[str, dict[str, Tensor]]]
    small: dict[str, Image.Image]  # "photo" and style -> small picture, for the figure


@dataclass
class _Paintings:
    style: Style
    features: list[dict[str, Tensor]]  # one per painting of a collection
    small: Image.Image


class Evaluator:
    """Measures a pack; see `evaluate`."""

    def __init__(self, pipeline: StyleTransferPipeline, meter: Meter, size: int, team: PartialState) -> None:
        self.pipeline = pipeline
        self.meter = meter
        self.size = size
        self.team = team
        self.notes: list[str] = []

    def shared(self, rows: datasets.Dataset, measure: Callable[[int, Row], Found], what: str) -> list[Found]:
        """`measure` of each row, shared among all processes, in order; a bad picture is left out with a note."""
        found, own = [], range(self.team.process_index, len(rows), self.team.num_processes)
        for index in tqdm(own, what, disable=None if self.team.is_main_process else True, leave=False):
            row = rows[index]
            try:
                found.append((index, measure(index, row), None))
            except InputError as error:
                found.append((index, None, f"{picture_name(row, index)} is left out: {str(error).rstrip('.')}"))
        gathered = sorted(gather_object(found), key=lambda item: item[0])
        self.notes += [note for _, _, note in gathered if note]
        return [result for _, result, note in gathered if note is None]

    def load(self, row: Row) -> Image.Image:
        """The picture of a row, scaled to the long side of this evaluation; InputError where it cannot be used."""
        picture = fit_long_side(load_picture(row_source(row)).rgb, self.size)
        if min(picture.size) < LEAST_SIDE:
            raise InputError(
                f"Scaled it has {picture.width}x{picture.height} pixels: each side needs at least {LEAST_SIDE}."
            )
        return picture

    def paintings(self, name: str, rows: datasets.Dataset) -> _Paintings:
        """The style of the paintings, and their features if they are a collection."""
        chosen = set(evenly_spaced(range(len(rows)), STYLE_PAINTINGS))
        shown = set(evenly_spaced(range(len(rows)), BRUSHWORK_PAINTINGS))
        each = max(-(-PATCH_COUNT // len(chosen)), 64)
        is_collection = len(rows) >= LEAST_COLLECTION

        def measure(index: int, row: Row) -> tuple[Look | None, dict[str, Tensor]]:
            painting = picture_to_tensor(self.load(row))
            look = self.meter.look(painting, each, seed=index) if index in chosen or index in shown else None
            if index in shown:
                look.brushwork = self.meter.brushwork_target(painting)
            return look, self.meter.features(painting) if is_collection else {}

        found = self.shared(rows, measure, f"paintings of {name}")
        looks = [look for look, _ in found if look is not None]
        if not looks:
            raise InputError(f"No painting of {name} can be used: {self.notes[-1]}.")
        small = next(filter(None, (_small_or_none(self.load, row) for row in rows)))
        features = [features for _, features in found] if is_collection else []
        return _Paintings(mean_style(looks), features, small)

    def photo(self, row: Row, name: str, styles: Mapping[str, _Paintings]) -> _Photo:
        """Paint one photo in every style, and measure the paintings and the two baselines."""
        picture = self.load(row)
        tensor = picture_to_tensor(picture)
        look = self.meter.look(tensor)
        collections = any(paintings.features for paintings in styles.values())
        own_features = self.meter.features(tensor) if collections else {}
        result = _Photo({}, {}, {"photo": fit_long_side(picture, FIGURE_SIDE)})
        for style, paintings in styles.items():
            painted = self.pipeline(picture, style)
            colored = tensor_to_picture(transfer_colors(tensor, *paintings.style.colors))
            shown = {
                "photo_itself": tensor,
                "colors_only": picture_to_tensor(colored),
                PAINTED: picture_to_tensor(painted),
            }
            before = self.meter.brushwork_before(tensor, paintings.style)
            looks = {kind: look if x is tensor else self.meter.look(x) for kind, x in shown.items()}
            result.scores[style] = {
                kind: self.meter.score(name, x, tensor, looks[kind], paintings.style, before)
                for kind, x in shown.items()
            }
            if paintings.features:
                result.features[style] = {
                    kind: own_features if x is tensor else self.meter.features(x) for kind, x in shown.items()
                }
            result.small[style] = fit_long_side(painted, FIGURE_SIDE)
        return result


def evaluate(
    pack: str | Path,
    photos: str,
    styles: Mapping[str, str],
    weights: WeightFiles,
    *,
    size: int = 512,
    limit: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a pack on photos, and each style against its paintings.

    Args:
        pack: what `StyleTransferPipeline.from_pretrained` takes.
        photos: source of photos that training never saw, as `load_source` takes it.
        styles: name in the pack -> source of its paintings. Four or more are also compared as a collection, and should
            then be paintings that training never saw.
        weights: files of the networks that measure.
        size: long side of photos and paintings in pixels.
        limit: number of photos, evenly spaced over the source; None takes all.
        seed: of the bootstrap and of KID's draws.

    Raises:
        InputError: a style is unknown, or the pack, a source or a weights file cannot be used.
    """
    team = PartialState(cpu=not torch.cuda.is_available())  # without the argument it ignores a launch without GPUs
    pipeline = StyleTransferPipeline.from_pretrained(pack, device=team.device)
    check_known(pipeline, styles)
    rows = {name: load_source(source) for name, source in styles.items()}
    photo_rows = load_source(photos)
    photo_rows = photo_rows.select(evenly_spaced(range(len(photo_rows)), limit or len(photo_rows)))
    meter = Meter(weights, team.device, collections=any(len(found) >= LEAST_COLLECTION for found in rows.values()))
    evaluator = Evaluator(pipeline, meter, size, team)
    paintings = {name: evaluator.paintings(name, found) for name, found in rows.items()}

    def measure(index: int, row: Row) -> _Photo:
        return evaluator.photo(row, picture_name(row, index), paintings)

    measured = evaluator.shared(photo_rows, measure, "photos")
    if not measured:
        raise InputError(f"No photo can be measured: {evaluator.notes[-1]}.")
    numbers = {
        "photos": len(measured),
        "long_side": size,
        "seed": seed,
        "processes": team.num_processes,
        "networks": meter.networks,
        "styles": {name: _style_numbers(name, measured, found, seed) for name, found in paintings.items()},
    }
    refused = {name: numbers["styles"][name].pop("refused", None) for name in paintings}
    reasons = [f"{name}: {reason}" for name, reason in refused.items() if reason]
    numbers["notes"] = [*meter.notes, *reasons, *evaluator.notes]
    return Evaluation(numbers, _figure(measured, paintings))


def check_known(pipeline: StyleTransferPipeline, styles: Iterable[str]) -> None:
    """Raise InputError for a style that the pack does not have."""
    unknown = [name for name in styles if name not in pipeline.styles]
    if unknown:
        raise InputError(f"The pack has no style {unknown[0]!r}: choose from {', '.join(pipeline.styles)}.")


def evenly_spaced(items: Sequence[Found], count: int) -> list[Found]:
    """`count` of the items, evenly spaced from the first one on; all if there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def picture_name(row: Row, index: int) -> str:
    """The name of a row's picture in tables and notes."""
    return Path(row_name(row, f"picture {index}")).name


def _small_or_none(load: Callable[[Row], Image.Image], row: Row) -> Image.Image | None:
    try:
        return fit_long_side(load(row), FIGURE_SIDE)
    except InputError:
        return None


def _style_numbers(name: str, measured: Sequence[_Photo], paintings: _Paintings, seed: int) -> dict[str, Any]:
    scores = {kind: [photo.scores[name][kind] for photo in measured] for kind in PICTURES}
    rows = {kind: summary(scores[kind], scores["photo_itself"], seed) for kind in PICTURES}
    extra = {}
    if len(paintings.features) >= LEAST_COLLECTION and len(measured) > 1:
        of_pictures = {kind: _stacked([photo.features[name][kind] for photo in measured]) for kind in PICTURES}
        extra = collection_rows(of_pictures, _stacked(paintings.features), rows, seed)
    for kind in PICTURES:
        rows[kind]["each"] = [_plain(score) for score in scores[kind]]
    # The numbers of the painted photos are directly under the style's name, where the card of a pack reads them.
    return {**rows.pop(PAINTED), **rows, **extra}


def _stacked(features: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {key: torch.stack([each[key] for each in features]) for key in features[0]}


def _plain(score: Score) -> dict[str, Any]:
    return {key: value for key, value in asdict(score).items() if value is not None}


def _figure(measured: Sequence[_Photo], paintings: Mapping[str, _Paintings]) -> dict[str, list[Image.Image]]:
    shown = evenly_spaced(measured, FIGURE_PHOTOS)
    columns = {"photo": [photo.small["photo"] for photo in shown]}
    for name, found in paintings.items():
        columns[name] = [found.small, *(photo.small[name] for photo in shown)]
    return columns
