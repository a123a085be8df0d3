"""Makes batches of photos and paintings from datasets of pictures.

A sample is a pure function of the seed and its number. So a run resumes by starting at another number, and any number
of processes and workers gives the same samples.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice, pairwise
from typing import NamedTuple, Protocol

import datasets
import numpy as np
import torch
from cachetools import LRUCache
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from styletransfer.data.crops import AUGMENTATION, Cropper, LoadRow, Row, Size, bad_file, load_row, nothing_usable
from styletransfer.errors import InputError
from styletransfer.images.files import fit_long_side, picture_to_tensor

KEPT_PAINTINGS = 64  # a style with at most this many paintings keeps them in memory, decoded and scaled
KEPT_PHOTOS = 256  # sources of at most this many photos keep them in memory, decoded
KEPT_PHOTO_PIXELS = 60_000_000  # of all photos together, in each worker; 3 bytes each
KEPT_PIXELS = 20_000_000  # of all styles together, in each worker; 3 bytes each
STREAM_LOOK = 4  # in a stream with bad pictures, at most this many times the number wanted are tried

# Independent streams of random numbers, after those of the crops; STYLES + i orders style i.
PHOTOS, STYLES, CHOICE = 3, 4, 2**20


class Batch(NamedTuple):
    """N samples; c is the crop size, S the number of styles."""

    photo: Tensor  # (N, 3, c, c) float32 in [-1, 1]
    painting: Tensor  # (N, 3, c, c) float32 in [-1, 1]
    style_weights: Tensor  # (N, S) float32, one-hot: the style of the painting
    augmentation: Tensor  # (N, 2, 8) float32, uniform in [0, 1), for the discriminator: [:, 0] real, [:, 1] fake
    skipped: list[str]  # "path: reason" of each file that could not be used
    position: str = ""  # JSON: where streams continue after this batch; empty where nothing is streamed


class Pictures(Protocol):
    """An endless supply of pictures."""

    keeps: bool  # whether the pictures stay in memory as `load` returned them

    def take(self, number: int, load: LoadRow) -> tuple[Image.Image, list[str]]:
        """What `load` returns for the next row that can be used, and the files skipped before it."""


class Shuffled:
    """The pictures of a source without end: each epoch has all of them once, in an order of its own."""

    def __init__(
        self,
        name: str,
        rows: datasets.Dataset,
        seed: int,
        stream: int,
        kept: "Kept | None" = None,  # for pictures as `load` returns them
        decoded: "Kept | None" = None,  # for pictures as they are decoded, where `load` returns others each time
    ) -> None:
        """Raises InputError where no file can be used: here, as a worker would wrap the message in a traceback."""
        self.rows = rows
        self.seed, self.stream = seed, stream
        self.keeps = kept is not None and len(rows) <= KEPT_PAINTINGS
        self._kept = kept
        self._decoded = decoded if len(rows) <= KEPT_PHOTOS else None
        _first_good(name, rows, range(len(rows)), lambda index: load_row(rows[index], lambda size: 0.0))

    def take(self, number: int, load: LoadRow) -> tuple[Image.Image, list[str]]:
        """Picture `number` of the order, or the next one that can be used."""
        epoch, first = divmod(number, len(self.rows))
        order = _order(self.seed, self.stream, epoch, len(self.rows))
        turned = (int(order[(first + i) % len(order)]) for i in range(len(order)))
        return _first_good("the pictures of a source", self.rows, turned, partial(self._load, load))

    def _load(self, load: LoadRow, index: int) -> Image.Image:
        if self.keeps:
            return self._kept.get((self.stream, index), lambda: load(self.rows[index]))
        if self._decoded is None:
            return load(self.rows[index])

        def keep(size: Size, decode: Callable[[], Image.Image]) -> Image.Image:
            return self._decoded.get((self.stream, index, *size), decode)

        return load(self.rows[index], keep=keep)


@lru_cache(maxsize=32)
def _order(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    """The permutation (count,) of a source's pictures in one epoch."""
    return np.random.default_rng((seed, stream, epoch)).permutation(count)


def _first_good(
    name: str,
    rows: datasets.Dataset,
    order: Iterable[int],
    load: Callable[[int], Image.Image],
) -> tuple[Image.Image, list[str]]:
    """What `load` returns for the first row that can be used, and what is wrong with the rows before it."""
    skipped: list[str] = []
    for index in order:
        try:
            return load(index), skipped
        except InputError as error:
            skipped.append(bad_file(rows[index], f"picture {index}", error))
    raise nothing_usable(name, skipped)


class Kept:
    """Pictures in memory, the most recently used, up to a number of pixels. A worker process begins with none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pictures: LRUCache = LRUCache(limit, getsizeof=lambda picture: math.prod(picture.size))

    def __reduce__(self) -> tuple[type["Kept"], tuple[int]]:
        return Kept, (self.limit,)

    def get(self, key: tuple[int, ...], make: Callable[[], Image.Image]) -> Image.Image:
        """The picture of that key; it is made if it is not there."""
        picture = self.pictures.get(key)
        if picture is None:
            picture = make()
            if math.prod(picture.size) <= self.limit:
                self.pictures[key] = picture
        return picture


class Samples:
    """Sample k: a crop of a photo, and an unrelated crop of a painting in style k mod S."""

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
        # At random and not in turn, which would pair each source of photos with the same styles.
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
        if math.prod(size) > KEPT_PIXELS:  # a long scroll: scale only the crops that are cut out of it
            return painting
        return painting.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


class PairedCrops(Dataset):
    """Sample k is a batch of one: a crop of a photo and an unrelated crop of a painting in style k mod S.

    In each epoch the photos, and the paintings of each style, come once, in an order of their own. A photo is scaled so
    that its short side is `crop_size` times a random number from `photo_scale`, cropped at a random place, and mirrored
    half of the time. A painting is scaled to a long side of `painting_size`, which sets the size of its brush strokes
    (or larger, where its short side would be less than a crop), and cropped at a random place. A file that cannot be
    used is replaced by the next one of its source and reported.
    """

    def __init__(
        self,
        photos: Sequence[datasets.Dataset],  # from load_source; used as one source
        styles: Mapping[str, datasets.Dataset],  # paintings by the name of their style
        *,
        length: int,  # samples in all
        **crop: int | float | bool | tuple[float, float],  # the fields of Cropper
    ) -> None:
        """Raises InputError for a value out of its range, and for a source without a file that can be used."""
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
        raise InputError("There is no source of photos: give at least one.")
    if not styles:
        raise InputError("There is no style: give at least one.")


def shuffled_photos(photos: Sequence[datasets.Dataset], seed: int) -> Shuffled:
    """Downloaded sources of photos, as one; a small number of them stays in memory."""
    together = datasets.concatenate_datasets(list(photos))
    return Shuffled("the photos", together, seed, PHOTOS, decoded=Kept(KEPT_PHOTO_PIXELS))


def shuffled_style(style: str, paintings: datasets.Dataset, number: int, seed: int, kept: "Kept") -> Shuffled:
    """The downloaded paintings of a style; a small number of them stays in memory."""
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

    A file that cannot be used is replaced by one between it and the next pick. Of a stream, the first ones are taken.

    Raises:
        InputError: none of the paintings that were tried can be used.
    """
    if not isinstance(rows, datasets.Dataset):
        yield from _first_paintings(rows, size, limit)
        return
    edges = np.linspace(0, len(rows), min(limit, len(rows)) + 1).astype(int).tolist()
    errors: list[InputError] = []
    for first, last in pairwise(edges):
        try:
            painting, _ = _first_good("the paintings", rows, range(first, last), lambda index: _load_whole(rows[index]))
        except InputError as error:
            errors.append(error)
            continue
        yield picture_to_tensor(fit_long_side(painting, size))
    if errors and len(errors) == len(edges) - 1:
        raise errors[0]


def _load_whole(row: Row) -> Image.Image:
    # Decoded at full size: targets should not depend on the JPEG decoder's fast scaling.
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
