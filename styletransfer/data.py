"""Folders of pictures in, batches of photos and paintings out.

Every sample is a pure function of the seed and its number: a run resumes by starting at another number, and any count
of processes and workers gives the same stream.
"""

import io
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from .errors import InputError
from .images import MAX_PIXELS, PICTURE_SUFFIXES, fit_long_side, load_picture, picture_to_tensor

LEAST_SIDE = 16  # pixels; less is a tracking pixel or an icon, nothing to learn from
KEPT_PAINTINGS = 64  # a style with at most so many paintings has them kept in memory, ready to be cut
KEPT_PIXELS = 20_000_000  # of all of them together, in each worker; 3 bytes each

# Independent streams of random numbers, so that a bad photo moves no painting; style i is ordered by _STYLES + i.
_CUT_PHOTO, _CUT_PAINTING, _AUGMENTATION, _PHOTOS, _STYLES = range(5)

Size = tuple[int, int]  # width and height in pixels


class Batch(NamedTuple):
    """N samples; c is the crop size, S the number of styles."""

    photo: Tensor  # (N, 3, c, c) float32 in [-1, 1]
    painting: Tensor  # (N, 3, c, c) float32 in [-1, 1]
    style_weights: Tensor  # (N, S) float32, one-hot: the style of the painting
    augmentation: Tensor  # (N, 2, 8) float32, uniform in [0, 1), for the discriminator: [:, 0] real, [:, 1] fake
    skipped: list[str]  # "path: reason" of each bad file met on the way


def load_source(source: str) -> datasets.Dataset:
    """The pictures of a folder (with its subfolders, in the order of their names), or one picture file.

    Returns a dataset with the one column "image", its rows not decoded: {"path": str, "bytes": None}.

    Raises:
        InputError: there is no such folder or file, or no picture in it.
    """
    path = os.path.expanduser(source)  # the shell leaves the ~ of --style NAME=~/paintings as it is
    if os.path.isdir(path):
        paths = _pictures_in(path)
    elif os.path.isfile(path):
        load_picture(path)
        paths = [path]
    else:
        raise InputError(f'"{source}" is neither a folder nor a picture file; give one of these')
    features = datasets.Features({"image": datasets.Image(decode=False)})
    return datasets.Dataset.from_dict({"image": paths}, features=features)


def _pictures_in(folder: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}; give a folder that you may read")

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        # Hidden: thumbnails, notebooks' copies, and the "._photo.jpg" that macOS puts beside each photo.
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (name for name in names if not name.startswith("."))
        found += [Path(parent, name) for name in visible if Path(name).suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise InputError(f"there is no picture in {folder}; put some there ({', '.join(sorted(PICTURE_SUFFIXES))})")
    return [str(path) for path in sorted(found, key=lambda path: path.parts)]


@lru_cache(maxsize=32)
def _order(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    """The order (count,) in which an epoch takes the pictures of a source."""
    return np.random.default_rng((seed, stream, epoch)).permutation(count)


def _first_good(
    name: str, pictures: datasets.Dataset, order: Iterable[int], load: Callable[[int], Image.Image]
) -> tuple[Image.Image, list[str]]:
    """What `load` makes of the first index that it can use, and what was wrong with those before."""
    skipped = []
    for index in order:
        try:
            return load(index), skipped
        except InputError as error:
            path = (pictures[index]["image"] or {}).get("path") or f"picture {index}"
            reason = str(error)
            for start in (f"{path} is ", f"{path} ", "the picture is ", "the picture "):
                reason = reason.removeprefix(start)
            skipped.append(f"{path}: {reason}")
    first = skipped[0] if skipped else "missing"
    raise InputError(f"none of {name} ({len(skipped)}) can be used; the first is {first}")


def _load(pictures: datasets.Dataset, index: int, factor: Callable[[Size], float]) -> Image.Image:
    """A picture, upright and in sRGB; `factor` tells from its size how it will be scaled afterwards.

    A large JPEG comes at 1/2, 1/4 or 1/8 of its size, at least twice what is asked for: the decoder then leaves fine
    detail out before it costs anything.
    """
    row = pictures[index]["image"] or {}
    source = row.get("path") if row.get("bytes") is None else row["bytes"]
    if source is None:
        raise InputError("the picture is missing from its dataset; leave its row out")
    jpeg = _open_jpeg(source)
    if jpeg is None:
        rgb = load_picture(source).rgb
    else:
        with jpeg:
            if min(jpeg.size) >= LEAST_SIDE and jpeg.width * jpeg.height <= MAX_PIXELS:
                jpeg.draft(None, _scaled(jpeg.size, 2 * factor(jpeg.size), LEAST_SIDE))
            rgb = load_picture(jpeg).rgb
    if min(rgb.size) < LEAST_SIDE:
        raise InputError(f"the picture is only {rgb.width}x{rgb.height}; {LEAST_SIDE}x{LEAST_SIDE} is the least")
    return rgb


def _open_jpeg(source: str | bytes) -> JpegImageFile | None:
    if isinstance(source, str) and not os.path.isfile(source):  # opening a pipe would block
        return None
    try:
        return JpegImageFile(source if isinstance(source, str) else io.BytesIO(source))
    except Exception:  # another format, or damaged: load_picture finds out which
        return None


def _scaled(size: Size, factor: float, least: int) -> Size:
    width, height = (max(least, round(side * factor)) for side in size)
    return width, height


def _cut(image: Image.Image, size: Size, side: int, place: Sequence[float], mirrored: bool) -> Tensor:
    """A square (1, 3, side, side) of the image scaled to `size`; only the square is computed.

    place: two numbers in [0, 1), from the first to the last possible position across and down.
    """
    left, top = (int(part * (length - side + 1)) for part, length in zip(place, size, strict=True))
    edges = (left, top, left + side, top + side)
    if image.size == size:
        square = image.crop(edges)
    else:
        # Integers first: a product with a rounded quotient could end beyond the border.
        box = tuple(edge * old / new for edge, old, new in zip(edges, image.size * 2, size * 2, strict=True))
        square = image.resize((side, side), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    if mirrored:
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture_to_tensor(square)


class _Kept:
    """Pictures in memory, those used last, up to a number of pixels; they do not travel to other processes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pixels = 0
        self.pictures: OrderedDict[tuple[int, int], Image.Image] = OrderedDict()

    def __reduce__(self) -> tuple[type["_Kept"], tuple[int]]:
        return _Kept, (self.limit,)

    def get(self, key: tuple[int, int], make: Callable[[], Image.Image]) -> Image.Image:
        """The picture of that key, made if it is not there."""
        if key in self.pictures:
            self.pictures.move_to_end(key)
            return self.pictures[key]
        picture = make()
        if math.prod(picture.size) <= self.limit:
            self.pictures[key] = picture
            self.pixels += math.prod(picture.size)
        while self.pixels > self.limit:
            self.pixels -= math.prod(self.pictures.popitem(last=False)[1].size)
        return picture


class PairedCrops(Dataset):
    """For each sample number a square of a photo and a square of a painting, unrelated, as a batch of one.

    Sample k shows the style k mod S. The photos, and the paintings of each style, come in an order of their own: all of
    them once, then all in another order. A photo is scaled until its short side is `crop_size` times a random number
    from `photo_scale`, cut at a random place, mirrored half of the time. A painting is scaled to a long side of
    `painting_size`, which sets how large its brush strokes are (larger only where the short side would not hold a
    square), and cut at a random place. A bad file is replaced by the next one of its source and reported.
    """

    def __init__(
        self,
        photos: Sequence[datasets.Dataset],  # from load_source; used as one source
        styles: Mapping[str, datasets.Dataset],  # paintings by the name of their style
        *,
        crop_size: int,  # side of the squares in pixels, at least 16
        photo_scale: tuple[float, float] = (1.0, 1.5),  # short side of a photo in crop sizes: least, greatest
        painting_size: int = 512,  # long side of a painting in pixels
        seed: int = 0,  # at least 0; with the sample number it decides everything
        length: int,  # samples in all
        flip_paintings: bool = False,  # mirrors half of them; off, because strokes have a direction
    ) -> None:
        """Raises InputError for a value out of its range, and for a source in which every file is bad."""
        low, high = photo_scale
        for wrong, sentence in (
            (not photos, "there is no source of photos; give at least one"),
            (not styles, "there is no style; give at least one"),
            (crop_size < LEAST_SIDE, f"crop_size is {crop_size}; it must be at least {LEAST_SIDE}"),
            (not 1 <= low <= high < math.inf, f"photo_scale is {low} to {high}; it must rise and begin at 1 or more"),
            (painting_size < LEAST_SIDE, f"painting_size is {painting_size}; it must be at least {LEAST_SIDE}"),
            (seed < 0, f"seed is {seed}; it must be at least 0"),
        ):
            if wrong:
                raise InputError(sentence)
        self.crop_size = crop_size
        self.photo_scale = photo_scale
        self.painting_size = painting_size
        self.seed = seed
        self.length = length
        self.flip_paintings = flip_paintings
        self._photos = datasets.concatenate_datasets(list(photos))
        self._paintings = list(styles.values())
        self._kept = _Kept(KEPT_PIXELS)
        # Here and not in a worker, which would wrap the sentence into its traceback.
        names = ["the photos", *(f'the paintings of "{style}"' for style in styles)]
        for name, pictures in zip(names, [self._photos, *self._paintings], strict=True):
            _first_good(name, pictures, range(len(pictures)), partial(_load, pictures, factor=lambda size: 0.0))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> Batch:
        """Sample k, from 0 to length - 1."""
        if not 0 <= k < self.length:
            raise IndexError(f"sample {k} of {self.length}")
        photo, bad_photos = self._photo(k)
        painting, bad_paintings = self._painting(k)
        style_weights = torch.zeros(1, len(self._paintings))
        style_weights[0, k % len(self._paintings)] = 1
        augmentation = torch.from_numpy(self._random(_AUGMENTATION, k).random((1, 2, 8), dtype=np.float32))
        return Batch(photo, painting, style_weights, augmentation, bad_photos + bad_paintings)

    def _random(self, stream: int, k: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, stream, k))

    def _take(
        self, pictures: datasets.Dataset, stream: int, number: int, load: Callable[[int], Image.Image]
    ) -> tuple[Image.Image, list[str]]:
        """The picture `number` of an endless order, or the next one that can be used."""
        epoch, first = divmod(number, len(pictures))
        order = _order(self.seed, stream, epoch, len(pictures))
        turned = (int(order[(first + i) % len(order)]) for i in range(len(order)))
        return _first_good("the pictures of a source", pictures, turned, load)

    def _photo(self, k: int) -> tuple[Tensor, list[str]]:
        stretch, flip, *place = self._random(_CUT_PHOTO, k).random(4)
        low, high = self.photo_scale
        short_side = self.crop_size * (low + (high - low) * stretch)
        load = partial(_load, self._photos, factor=lambda size: short_side / min(size))
        photo, skipped = self._take(self._photos, _PHOTOS, k, load)
        size = _scaled(photo.size, short_side / min(photo.size), self.crop_size)
        return _cut(photo, size, self.crop_size, place, flip < 0.5), skipped

    def _painting(self, k: int) -> tuple[Tensor, list[str]]:
        number, style = divmod(k, len(self._paintings))
        paintings = self._paintings[style]

        def factor(size: Size) -> float:
            return max(self.painting_size / max(size), self.crop_size / min(size))

        def whole(index: int) -> Image.Image:
            painting = _load(paintings, index, factor)
            size = _scaled(painting.size, factor(painting.size), self.crop_size)
            if math.prod(size) > KEPT_PIXELS:  # a scroll, so long that only its squares are to be computed
                return painting
            return painting.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)

        def load(index: int) -> Image.Image:
            if len(paintings) > KEPT_PAINTINGS:
                return _load(paintings, index, factor)
            return self._kept.get((style, index), lambda: whole(index))

        painting, skipped = self._take(paintings, _STYLES + style, number, load)
        size = _scaled(painting.size, factor(painting.size), self.crop_size)
        flip, *place = self._random(_CUT_PAINTING, k).random(3)
        return _cut(painting, size, self.crop_size, place, self.flip_paintings and flip < 0.5), skipped


def collate(samples: Sequence[Batch]) -> Batch:
    """Samples as one batch."""
    *columns, skipped = zip(*samples, strict=True)
    return Batch(*map(torch.cat, columns), sum(skipped, []))


class StepSampler(Sampler[int]):
    """The sample numbers from `start` to `stop` - 1, in order."""

    def __init__(self, start: int, stop: int) -> None:
        self.numbers = range(start, stop)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)


def load_paintings(dataset: datasets.Dataset, size: int, limit: int) -> Iterator[Tensor]:
    """Whole paintings (1, 3, H, W) in [-1, 1] of long side `size`: at most `limit`, evenly picked from the dataset.

    A bad one is replaced by the next that can be used before the following pick.

    Raises:
        InputError: none of the paintings looked at can be used.
    """
    edges = np.linspace(0, len(dataset), min(limit, len(dataset)) + 1).astype(int).tolist()
    errors: list[InputError] = []
    for first, last in pairwise(edges):
        # Decoded whole: what is measured against them should not depend on a decoder's short cut.
        load = partial(_load, dataset, factor=lambda size: 1.0)
        try:
            painting, _ = _first_good("the paintings", dataset, range(first, last), load)
        except InputError as error:
            errors.append(error)
            continue
        yield picture_to_tensor(fit_long_side(painting, size))
    if errors and len(errors) == len(edges) - 1:
        raise errors[0]
