"""The contrast of a pack's paintings, set on whole photos once it is trained.

Training sees crops, each normalized by its own statistics; a whole photo holds calmer places beside busy ones, and is
painted paler. Gram matrices of the first packs' paintings had 70 to 80 % of the paintings' energy. A tenth more
contrast took a third of the style distance away, for a hundredth of LPIPS.
"""

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from styletransfer.data.sources import load_source
from styletransfer.errors import InputError
from styletransfer.evaluation.evaluate import check_known, evenly_spaced
from styletransfer.evaluation.judge import Judge, WeightFiles, mean_style
from styletransfer.evaluation.metrics import border_ratio, picture_grams, relative_gram_distance
from styletransfer.images.files import fit_long_side, load_picture, picture_to_tensor
from styletransfer.models.generator import Generator
from styletransfer.packs.contents import PHOTO, RECIPE, RUN, SAMPLES
from styletransfer.packs.folder import load_discriminator, load_pack, save_pack
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.samples import first_readable, pack_samples

FACTORS = tuple(1 + step / 20 for step in range(-4, 11))  # of the values before the last tanh
PHOTOS = 12
CALM_BORDER = 1.15  # border ratio up to which a rim costs nothing: contrast raises it, and 1.2 is seen
PAINTINGS = 16  # of a collection


def calibrate(
    pack: str | Path, photos: str, styles: Mapping[str, str], weights: WeightFiles, *, size: int = 512
) -> dict[str, float]:
    """Give each style of a pack the contrast at which its style and content distance together are least.

    A mean border ratio above CALM_BORDER counts as a distance, too. The pack is written, its samples painted anew where
    it holds their photo, and its evaluation.json goes, because it measured other paintings.

    Args:
        pack: a folder.
        photos: source of photos of which twelve are painted; those of training, so that unseen ones stay unseen.
        styles: name in the pack -> source of its paintings.
        weights: of VGG-19, SqueezeNet and the heads of LPIPS.
        size: long side of photos and paintings in pixels.

    Returns:
        Style -> factor of its contrast, 0.8 to 1.5; 1 leaves it as it was.

    Raises:
        InputError: unknown style, unusable pack, source or weights; or weights that cannot be had.
    """
    folder = Path(pack)
    pipeline = StyleTransferPipeline.from_pretrained(folder)
    check_known(pipeline, styles)
    judge = Judge(weights, torch.device("cpu"))
    if judge.notes:
        raise InputError(judge.notes[0])
    pictures, factors = _pictures(photos, PHOTOS, size), {}
    for name, source in styles.items():
        looks = [judge.look(picture_to_tensor(painting)) for painting in _pictures(source, PAINTINGS, size)]
        target = mean_style(looks).grams
        factors[name] = _least(lambda factor, n=name, t=target: _distance(pipeline, judge, n, factor, pictures, t))
    _rewrite(folder, factors)
    return factors


def _pictures(source: str, count: int, size: int) -> list[Image.Image]:
    rows = load_source(source)
    chosen = rows.select(evenly_spaced(range(len(rows)), count))
    return [fit_long_side(picture, size) for picture in first_readable(chosen, count)]


@torch.no_grad()
def _distance(
    pipeline: StyleTransferPipeline,
    judge: Judge,
    style: str,
    factor: float,
    photos: list[Image.Image],
    target: list[Tensor],
) -> float:
    """Mean of style and content distance over the photos, painted with that much contrast, and what their rims cost."""
    generator, total, borders = pipeline.generator, 0.0, 0.0
    generator.scale_contrast(style, factor)
    for photo in photos:
        painted, original = picture_to_tensor(pipeline(photo, style)), picture_to_tensor(photo)
        total += relative_gram_distance(picture_grams(painted, judge.vgg), target)
        total += judge.lpips(painted, original).item()
        borders += border_ratio(painted, original)
    generator.scale_contrast(style, 1 / factor)
    return total / len(photos) + max(0.0, borders / len(photos) - CALM_BORDER)


def _least(distance: Callable[[float], float]) -> float:
    """The factor of the least distance, going from 1 the way it falls until it rises."""
    start = FACTORS.index(1.0)
    known = {start: distance(1.0)}
    for way in (1, -1):
        place = start
        while 0 <= place + way < len(FACTORS):
            known[place + way] = distance(FACTORS[place + way])
            if known[place + way] >= known[place]:
                break
            place += way
        if place != start:
            return FACTORS[place]
    return 1.0


def _rewrite(folder: Path, factors: Mapping[str, float]) -> None:
    generator, run = load_pack(folder), _told(folder / RUN)
    for name, factor in factors.items():
        generator.scale_contrast(name, factor)
    before = run.get("contrast", {})
    run["contrast"] = {**before, **{name: round(before.get(name, 1.0) * f, 4) for name, f in factors.items()}}
    change_weights(folder, generator, run)


def change_weights(folder: Path, generator: Generator, run: Mapping[str, Any]) -> None:
    """Write a pack again with other weights of its generator; `run` is what is told of how they came about.

    Its samples are painted anew where it holds their photo, and its evaluation.json goes, because it measured others.
    """
    discriminator, recipe = load_discriminator(folder), _told(folder / RECIPE)
    samples = {path.stem: load_picture(path).rgb for path in (folder / SAMPLES).glob("*.webp")}
    if PHOTO in samples:  # else nobody knows what they show: they stay as they are
        painter = StyleTransferPipeline(copy.deepcopy(generator))  # a copy, because a pipeline takes precision away
        samples = pack_samples(painter, samples[PHOTO])
    save_pack(folder, generator, samples=samples, recipe=recipe, run=run, discriminator=discriminator)


def _told(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
