"""Pictures in, batches of photos and paintings out.

Every sample is a pure function of the seed and its number: a run resumes by starting at another number, and any count
of processes and workers gives the same stream.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice, pairwise
from typing import NamedTuple, Protocol

import datasets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from styletransfer.data.crops import AUGMENTATION, Cropper, LoadRow, Row, bad_file, load_row, nothing_usable
from styletransfer.errors import InputError
from styletransfer.images.files import fit_long_side, picture_to_tensor

KEPT_PAINTINGS = 64  # a style with at most so many paintings has them kept in memory, ready to be cut
KEPT_PIXELS = 20_000_000  # of all of them together, in each worker; 3 bytes each
STREAM_LOOK = 4  # so many times the paintings wanted are looked at, at most, where a stream has bad ones

# Independent streams of random numbers, after those of the crops; style i is ordered by STYLES + i, another by CHOICE.
PHOTOS, STYLES, CHOICE = 3, 4, 2**20


class Batch(NamedTuple):
    """N samples; c is the crop size, S the number of styles."""

    photo: Tensor  # (N, 3, c, c) float32 in [-1, 1]
    painting: Tensor  # (N, 3, c, c) float32 in [-1, 1]
    style_weights: Tensor  # (N, S) float32, one-hot: the style of the painting
    augmentation: Tensor  # (N, 2, 8) float32, uniform in [0, 1), for the discriminator: [:, 0] real, [:, 1] fake
    skipped: list[str]  # "path: reason" of each bad file met on the way
    position: str = ""  # JSON: where streams go on after this batch; empty where nothing is streamed


class Pictures(Protocol):
    """An endless supply of pictures for sample after sample."""

    keeps: bool  # whether the pictures stay in memory, as `load` made them

    def take(self, number: int, load: LoadRow) -> tuple[Image.Image, list[str]]:
        """What `load` makes of the next row that it can use, and the bad files before it."""


class Shuffled:
    """The pictures of a source in an endless order: all of them once, then all in another order."""

    def __init__(self, name: str, rows: datasets.Dataset, seed: int, stream: int, kept: "Kept | None" = None) -> None:
        """Raises InputError where every file is bad: here and not in a worker, which would wrap the sentence."""
        self.rows = rows
        self.seed, self.stream = seed, stream
        self.keeps = kept is not None and len(rows) <= KEPT_PAINTINGS
        self._kept = kept
        _first_good(name, rows, range(len(rows)), partial(load_row, factor=lambda size: 0.0))

    def take(self, number: int, load: LoadRow) -> tuple[Image.Image, list[str]]:
        """The picture `number` of the order, or the next one that can be used."""
        epoch, first = divmod(number, len(self.rows))
        order = _order(self.seed, self.stream, epoch, len(self.rows))
        turned = (int(order[(first + i) % len(order)]) for i in range(len(order)))
        return _first_good("the pictures of a source", self.rows, turned, load, self._kept_picture)

    def _kept_picture(self, index: int, load: Callable[[], Image.Image]) -> Image.Image:
        return self._kept.get((self.stream, index), load) if self.keeps else load()


@lru_cache(maxsize=32)
def _order(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    """The order (count,) in which an epoch takes the pictures of a source."""
    return np.random.default_rng((seed, stream, epoch)).permutation(count)


def _first_good(
    name: str,
    rows: datasets.Dataset,
    order: Iterable[int],
    load: LoadRow,
    keep: Callable[[int, Callable[[], Image.Image]], Image.Image] = lambda index, load: load(),
) -> tuple[Image.Image, list[str]]:
    """What `load` makes of the first row that it can use, and what was wrong with those before."""
    skipped: list[str] = []
    for index in order:
        try:
            return keep(index, lambda index=index: load(rows[index])), skipped
        except InputError as error:
            skipped.append(bad_file(rows[index], f"picture {index}", error))
    raise nothing_usable(name, skipped)


class Kept:
    """Pictures in memory, those used last, up to a number of pixels; they do not travel to other processes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pixels = 0
        self.pictures: OrderedDict[tuple[int, int], Image.Image] = OrderedDict()

    def __reduce__(self) -> tuple[type["Kept"], tuple[int]]:
        return Kept, (self.limit,)

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


class Samples:
    """Sample k: a square of a photo and a square of a painting of the style k mod S, unrelated."""

    def __init__(self, photos: Sequence[Pictures], styles: Sequence[Pictures], cropper: Cropper) -> None:
        self.photos, self.styles, self.cropper = list(photos), list(styles), cropper

    def __call__(self, k: int) -> Batch:
        """Sample k as a batch of one."""
        number, style = divmod(k, len(self.styles))
        photo, bad_photos = self._photo(k)
        painting, bad_paintings = self._painting(k, number, self.styles[style])
        style_weights = torch.zeros(1, len(self.styles))
        style_weights[0, style] = 1
        augmentation = torch.from_numpy(self.cropper.random(AUGMENTATION, k).random((1, 2, 8), dtype=np.float32))
        return Batch(photo, painting, style_weights, augmentation, bad_photos + bad_paintings)

    def _photo(self, k: int) -> tuple[Tensor, list[str]]:
        # By chance and not in turn, which would marry sources of photos to styles.
        source = int(self.cropper.random(CHOICE, k).integers(len(self.photos))) if len(self.photos) > 1 else 0
        photo, skipped = self.photos[source].take(k, partial(load_row, factor=self.cropper.photo_factor(k)))
        return self.cropper.cut_photo(k, photo), skipped

    def _painting(self, k: int, number: int, paintings: Pictures) -> tuple[Tensor, list[str]]:
        load = self._whole_painting if paintings.keeps else self._raw_painting
        painting, skipped = paintings.take(number, load)
        return self.cropper.cut_painting(k, painting), skipped

    def _raw_painting(self, row: Row) -> Image.Image:
        return load_row(row, self.cropper.painting_factor)

    def _whole_painting(self, row: Row) -> Image.Image:
        painting = self._raw_painting(row)
        size = self.cropper.painting_scaled(painting.size)
        if math.prod(size) > KEPT_PIXELS:  # a scroll, so long that only its squares are to be computed
            return painting
        return painting.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


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
        length: int,  # samples in all
        **crop: int | float | bool | tuple[float, float],  # the fields of Cropper
    ) -> None:
        """Raises InputError for a value out of its range, and for a source in which every file is bad."""
        check_sources(photos, styles)
        cropper = Cropper(**crop)
        self.length = length
        self._kept = Kept(KEPT_PIXELS)
        self._samples = Samples(
            [shuffled_photos(photos, cropper.seed)],
            [shuffled_style(*style, i, cropper.seed, self._kept) for i, style in enumerate(styles.items())],
            cropper,
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> Batch:
        """Sample k, from 0 to length - 1."""
        if not 0 <= k < self.length:
            raise IndexError(f"sample {k} of {self.length}")
        return self._samples(k)


def check_sources(photos: Sequence[object], styles: Mapping[str, object]) -> None:
    """Raises InputError where there are no photos or no styles."""
    if not photos:
        raise InputError("there is no source of photos; give at least one")
    if not styles:
        raise InputError("there is no style; give at least one")


def shuffled_photos(photos: Sequence[datasets.Dataset], seed: int) -> Shuffled:
    """Sources of photos that are here, as one."""
    return Shuffled("the photos", datasets.concatenate_datasets(list(photos)), seed, PHOTOS)


def shuffled_style(style: str, paintings: datasets.Dataset, number: int, seed: int, kept: "Kept") -> Shuffled:
    """The paintings of a style that are here; few of them stay in memory."""
    return Shuffled(f'the paintings of "{style}"', paintings, seed, STYLES + number, kept)


def collate(samples: Sequence[Batch]) -> Batch:
    """Samples as one batch."""
    *columns, skipped, position = zip(*samples, strict=True)
    return Batch(*map(torch.cat, columns), sum(skipped, []), position[-1])


class StepSampler(Sampler[int]):
    """The sample numbers from `start` to `stop` - 1, in order."""

    def __init__(self, start: int, stop: int) -> None:
        self.numbers = range(start, stop)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)


def load_paintings(rows: datasets.Dataset | Iterable[Row], size: int, limit: int) -> Iterator[Tensor]:
    """Whole paintings (1, 3, H, W) in [-1, 1] of long side `size`: at most `limit`, evenly picked from the dataset.

    A bad one is replaced by the next that can be used before the following pick. Of a stream, the first ones are taken.

    Raises:
        InputError: none of the paintings looked at can be used.
    """
    if not isinstance(rows, datasets.Dataset):
        yield from _first_paintings(rows, size, limit)
        return
    edges = np.linspace(0, len(rows), min(limit, len(rows)) + 1).astype(int).tolist()
    errors: list[InputError] = []
    for first, last in pairwise(edges):
        try:
            painting, _ = _first_good("the paintings", rows, range(first, last), _load_whole)
        except InputError as error:
            errors.append(error)
            continue
        yield picture_to_tensor(fit_long_side(painting, size))
    if errors and len(errors) == len(edges) - 1:
        raise errors[0]


def _load_whole(row: Row) -> Image.Image:
    # What is measured against paintings should not depend on a decoder's short cut.
    return load_row(row, lambda size: 1.0)


def _first_paintings(rows: Iterable[Row], size: int, limit: int) -> Iterator[Tensor]:
    good, skipped = 0, []
    for row in islice(rows, STREAM_LOOK * limit):
        try:
            painting = _load_whole(row)
        except InputError as error:
            skipped.append(bad_file(row, "a picture", error))
            continue
        yield picture_to_tensor(fit_long_side(painting, size))
        good += 1
        if good == limit:
            return
    if not good:
        raise nothing_usable("the paintings", skipped)
