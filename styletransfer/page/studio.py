"""What the page does, without the page: photos of many visitors, turned at screen size and painted at full size."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from PIL import Image

from styletransfer.catalog import Catalog
from styletransfer.errors import InputError, Sentence
from styletransfer.evaluation.explain import Reading, departures, doubts, read
from styletransfer.images.files import Picture, declared_size, load_picture
from styletransfer.large import Origin, paint_strips, reader_for_strips
from styletransfer.models.canvas import LEAST_SIDE
from styletransfer.models.discriminator import Discriminator
from styletransfer.models.memory import give_memory_back
from styletransfer.packs.folder import load_discriminator
from styletransfer.page.session import Session
from styletransfer.painter import Layers, OverlaidPainter, Painter
from styletransfer.results import result_name, save_result
from styletransfer.settings import PaintSettings
from styletransfer.steps import Steps, in_time, stretched

PREFIX = "STYLETRANSFER_"  # of the environment variables that change a limit
KEPT_SESSIONS = 24  # photos in memory at screen size, at most some 10 MB each
SMALL_SIDE = 176  # pixels of a preview in every style
BEFORE_SAVING = 0.8  # of the time that a file takes: compressing PNG takes its share
LARGE = 4_000_000  # pixels of a photo that takes so much memory that what is freed should go back to the system
VISITS = 16  # paintings on the screen, after which freed memory goes back
FORMATS = {"PNG": ".png", "JPEG": ".jpg"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask of the page, read from STYLETRANSFER_MAX_MB and so on; every number is at least 1."""

    max_mb: int = 50  # of an uploaded file
    max_megapixels: int = 100  # of a photo
    max_photos: int = 20  # at once
    max_seconds: int = 300  # of painting, in one call
    queue: int = 32  # visitors waiting
    workers: int = 1  # paintings at the same time
    live_visitors: int = 1  # whose camera is painted at the same time
    live_seconds: int = 300  # for which one's is
    own_minutes: int = 2  # for which a visitor's own painting is learned
    own_waiting: int = 3  # visitors waiting for that
    video_seconds: int = 30  # of a video
    video_side: int = 768  # pixels, of a painted video
    video_waiting: int = 3  # visitors waiting for theirs

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """Raises InputError for what is no whole number of at least 1."""
        given = {field.name: environment.get(PREFIX + field.name.upper(), "") for field in fields(cls)}
        for name, text in given.items():
            if text and not (text.isascii() and text.isdigit() and int(text) >= 1):
                raise InputError(
                    "{name} must be a whole number of at least 1, not {value}.",
                    name=PREFIX + name.upper(),
                    value=repr(text),
                )
        return cls(**{name: int(text) for name, text in given.items() if text})


@dataclass(frozen=True)
class Shown:
    """A painting at screen size."""

    before: Image.Image
    after: Image.Image
    title: str
    full_size: tuple[int, int]
    notes: tuple[Sentence, ...]


@dataclass(frozen=True)
class Explained:
    """What a painting did to its photo."""

    reading: Reading
    departs: Image.Image  # red where it departs most
    doubted: Image.Image | None  # red where the pack's discriminator still sees a photo; None where it carries none


class Studio:
    """Sessions by photo, over a catalog; safe to use from any thread. Its calls raise InputError for bad input."""

    def __init__(self, catalog: Catalog, limits: Limits) -> None:
        self.catalog = catalog
        self.limits = limits
        self._lock = threading.Lock()
        self._sessions: LRUCache[Path, Session] = LRUCache(KEPT_SESSIONS)
        self._ahead: dict[bytes, Session] = {}  # by content: what visitors bring is a copy
        self._ahead_sizes: set[int] = set()  # of those files, in bytes
        self._discriminators: WeakKeyDictionary[Painter, Discriminator | None] = WeakKeyDictionary()
        self._painting = 0  # visitors, at this moment
        self._visits = 0  # since the start
        self._last_visit = time.monotonic()

    def show(self, photo: Path, settings: PaintSettings) -> Shown:
        """The photo and its painting at screen size. The file's name has to stand for its content.

        Args:
            photo: its file.
            settings: their styles by the keys of the catalog.
        """
        painter, mix = self.catalog.pipeline(settings.mix)
        session = self._session(photo)
        with self._visit():
            after = session.render(painter, replace(settings, style=mix))
        titles, notes = [painter.styles[name] for name in mix], session.notes
        if isinstance(painter, OverlaidPainter):
            notes = (*notes, _laid_over(titles))
        return Shown(session.picture.compose(), after, " + ".join(titles), session.full_size, notes)

    def painted(self, picture: Picture, settings: PaintSettings, layers: Layers | None = None) -> Steps[Image.Image]:
        """The painting of a picture that nobody keeps; `settings` and `layers` as for `paint`."""
        painter, mix = self.catalog.pipeline(settings.mix)
        with self._visit():
            return (yield from painter.steps(picture, replace(settings, style=mix), layers=layers))

    def paint(
        self,
        photo: Path,
        settings: PaintSettings,
        folder: Path,
        file_format: str = "PNG",
        left: float | None = None,
        layers: Layers | None = None,
        **extras: Any,
    ) -> Steps[Path]:
        """The painting at the photo's full size, in a file of the folder, settings inside; in steps.

        It may take as long as a call may, or what is `left` of these seconds. `layers` are painted in place of the
        plain ones, and `extras` are what else `save_result` is to write.
        """
        if not isinstance(file_format, str) or file_format not in FORMATS:
            raise InputError(
                "There is no format {format}: choose from {formats}.",
                format=repr(file_format)[:40],
                formats=", ".join(FORMATS),
            )
        painter, mix = self.catalog.pipeline(settings.mix)
        asked = replace(settings, style=mix)
        file = _unused(folder / result_name(photo.name, mix, FORMATS[file_format]))
        check_megapixels(photo, self.limits.max_megapixels)
        reader = None if layers else reader_for_strips(photo, file, asked)
        if reader is not None:  # too large for memory
            origin = Origin(photo.name, self._packs(settings))
            strips = paint_strips(painter, reader, file, asked, origin)
            with self._visit():
                yield from in_time(strips, self.limits.max_seconds, left)
            return file
        picture = self._load(photo)
        try:
            painting = in_time(self.painted(picture, settings, layers), self.limits.max_seconds, left)
            image = yield from stretched(painting, 0, BEFORE_SAVING)
            save_result(image, file, asked, photo=photo.name, pack=self._packs(settings), **extras)
        finally:
            size, image, painting = picture.size, None, None
            del picture
            give_memory_back_of(size)
        yield 1.0
        return file

    def paint_all(
        self, photos: Sequence[Path], settings: PaintSettings, folder: Path, file_format: str
    ) -> Iterator[float | Path | InputError]:
        """For each photo its painting's file, or the reason why there is none; before it, the shares of it done.

        All of them together may take as long as one call may.
        """
        if len(photos) > self.limits.max_photos:
            raise InputError(
                "{photos} photos are too many: {limit} at once is the limit.",
                photos=len(photos),
                limit=self.limits.max_photos,
            )
        self.catalog.pipeline(settings.mix)  # a style that is not here is told once, not for each photo
        end = time.monotonic() + self.limits.max_seconds
        for photo in photos:
            left = end - time.monotonic()
            if left <= 0:
                yield InputError(
                    "All photos together took longer than {seconds} seconds, the limit here: bring fewer at once.",
                    seconds=self.limits.max_seconds,
                )
                continue
            try:
                yield (yield from self.paint(photo, settings, folder, file_format, left))
            except InputError as error:
                yield error

    def paint_ahead(self, photo: Path, style: str) -> None:
        """Keep the painting of a photo in one style (key), for whoever brings a file of the same content."""
        digest = _digest(photo)
        session = self._ahead.get(digest) or Session(self._load(photo))
        painter, mix = self.catalog.pipeline({style: 1.0})
        session.paint_ahead(painter, next(iter(mix)))
        self._ahead[digest] = session
        self._ahead_sizes.add(photo.stat().st_size)

    @property
    def quiet_seconds(self) -> float:
        """For how long nobody has painted."""
        return 0.0 if self._painting else time.monotonic() - self._last_visit

    def is_visited(self) -> None:
        """Somebody is here who paints by other means: nothing is painted ahead for some seconds."""
        self._last_visit = time.monotonic()

    @contextmanager
    def _visit(self) -> Iterator[None]:
        with self._lock:
            self._painting += 1
        try:
            yield
        finally:
            with self._lock:
                self._painting -= 1
                self._last_visit = time.monotonic()
                self._visits += 1
                is_time = self._visits % VISITS == 0
            if is_time:
                give_memory_back()

    def explain(self, photo: Path, settings: PaintSettings) -> Explained:
        """What the painting did to the photo, at screen size."""
        before, after = self._session(photo).picture.rgb, self.show(photo, settings).after.convert("RGB")
        painter, mix = self.catalog.pipeline(settings.mix)
        discriminator = self._discriminator(painter)
        doubted = discriminator and doubts(after, discriminator, painter.generator.style_weights(mix))
        sample = self.catalog.card(max(settings.mix, key=settings.mix.__getitem__)).sample
        reading = read(before, after, load_picture(sample).rgb if sample else None)
        return Explained(reading, departures(before, after), doubted)

    def screen_photo(self, photo: Path) -> Image.Image:
        """The photo itself at screen size, for the caller to draw on."""
        return self._session(photo).picture.compose()

    def in_every_style(self, photo: Path) -> Steps[dict[str, Image.Image]]:
        """Style key -> a small painting, for every style of the packs that are on this machine; in steps."""
        session = self._session(photo)
        small = session.picture.rgb
        small.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.LANCZOS)
        previews, keys, done = {}, self.catalog.at_hand(), 0
        for key in keys:
            try:
                painter, mix = self.catalog.pipeline({key: 1.0})
                with self._visit():
                    previews[key] = _small(painter, small, next(iter(mix)))
            except InputError as error:  # of a pack; the others are not to suffer from it
                _log.warning("%s", error)
            done += 1
            yield done / len(keys)
        return previews

    def _discriminator(self, painter: Painter) -> Discriminator | None:
        """The discriminator that the painter's pack carries, if it does; one that cannot be read is none."""
        if painter not in self._discriminators:
            try:
                self._discriminators[painter] = load_discriminator(painter.folder) if painter.folder else None
            except InputError as error:
                _log.warning("%s", error)
                self._discriminators[painter] = None
        return self._discriminators[painter]

    def _session(self, photo: Path) -> Session:
        with self._lock:
            session = self._sessions.get(photo)
        if session is None and photo.stat().st_size in self._ahead_sizes:
            session = self._ahead.get(_digest(photo))
        if session is None:  # two visitors may open one photo at the same time: the same work twice, nothing worse
            session = Session(self._load(photo))
            give_memory_back_of(session.full_size)
        with self._lock:
            self._sessions[photo] = session
        return session

    def _packs(self, settings: PaintSettings) -> str:
        """The packs of the styles, once each."""
        return " + ".join(dict.fromkeys(self.catalog.card(key).pack for key in settings.mix))

    def _load(self, photo: Path) -> Picture:
        return load_limited(photo, self.limits.max_megapixels)


def load_limited(file: Path, megapixels: int, what: str = "photo") -> Picture:
    """The picture of a file that a visitor sent, its size looked at before anything is decoded.

    Raises:
        InputError: more megapixels than the limit, or whatever `load_picture` refuses.
    """
    check_megapixels(file, megapixels, what)
    with file.open("rb") as opened:  # its path on this machine is nothing for an error to tell
        return load_picture(opened)


def check_megapixels(file: Path, megapixels: int, what: str = "photo") -> None:
    """Raises InputError as `load_limited`, for what a file says of its size."""
    with file.open("rb") as opened:
        width, height = declared_size(opened)
    if width * height > megapixels * 1_000_000:
        raise InputError(
            "The {what} has {pixels} megapixels: {most} is the limit here, make it smaller.",
            what=what,
            pixels=f"{width * height / 1e6:.0f}",
            most=megapixels,
        )


def give_memory_back_of(size: tuple[int, int]) -> None:
    """As `give_memory_back`, after a photo (width, height) that is large."""
    if size[0] * size[1] > LARGE:
        give_memory_back()


def _laid_over(titles: Sequence[str]) -> Sentence:
    return Sentence(
        "{titles} come from networks that were trained apart: their paintings are laid over one another.",
        titles=" + ".join(titles),
    )


def _small(painter: Painter, small: Image.Image, style: str) -> Image.Image:
    return painter.paint(small, style) if min(small.size) >= LEAST_SIDE else small


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def _unused(file: Path) -> Path:
    """The file, or one of a similar name where two photos share theirs."""
    number = 1
    free = file
    while free.exists():
        number += 1
        free = file.with_stem(f"{file.stem}-{number}")
    return free
