"""What the page does, without the page: photos of many visitors, turned at screen size and painted at full size."""

import hashlib
import logging
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from PIL import Image

import styletransfer
from styletransfer.catalog import Catalog
from styletransfer.errors import InputError
from styletransfer.images.files import Picture, declared_size, load_picture
from styletransfer.models.discriminator import Discriminator
from styletransfer.packs.folder import load_discriminator
from styletransfer.page.explain import Reading, departures, doubts, read
from styletransfer.page.limits import Limits
from styletransfer.page.session import SCREEN_SIDE, Session
from styletransfer.pipeline import StyleTransferPipeline, relative_brush
from styletransfer.results import mask_to_text, result_name, save_result
from styletransfer.steps import Steps, stretched

KEPT_SESSIONS = 24  # photos in memory at screen size, at most some 10 MB each
SMALL_SIDE = 176  # pixels of a preview in every style
BEFORE_SAVING = 0.8  # of the time that a file takes: compressing PNG takes its share
FORMATS = {"PNG": ".png", "JPEG": ".jpg"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Turn:
    """All that can be set about a painting."""

    mix: Mapping[str, float]  # style key of the catalog -> weight
    strength: float = 1.0
    brush_size: float = 1.0  # relative to the picture: 1 is the network's own on a picture of SCREEN_SIDE pixels
    keep_colors: bool = False
    mask: Image.Image | None = None


@dataclass(frozen=True)
class Shown:
    """A painting at screen size."""

    before: Image.Image
    after: Image.Image
    title: str
    full_size: tuple[int, int]
    notes: tuple[str, ...]


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
        self._sessions: OrderedDict[Path, Session] = OrderedDict()
        self._ahead: dict[bytes, Session] = {}  # by content: what visitors bring is a copy
        self._ahead_sizes: set[int] = set()  # of those files, in bytes
        self._judges: WeakKeyDictionary[StyleTransferPipeline, Discriminator | None] = WeakKeyDictionary()
        self._painting = 0  # visitors, at this moment
        self._last_visit = time.monotonic()

    def show(self, photo: Path, turn: Turn) -> Shown:
        """The photo and its painting at screen size. The file's name has to stand for its content."""
        pipeline, mix = self.catalog.pipeline(turn.mix)
        session = self._session(photo)
        with self._visit():
            after = session.render(
                pipeline,
                mix,
                strength=turn.strength,
                brush_size=turn.brush_size,
                keep_colors=turn.keep_colors,
                mask=turn.mask,
            )
        title = " + ".join(pipeline.styles[name] for name in mix)
        return Shown(session.picture.compose(), after, title, session.full_size, session.notes)

    def paint(self, photo: Path, turn: Turn, folder: Path, file_format: str = "PNG") -> Steps[Path]:
        """The painting at the photo's full size, in a file of the folder, settings inside; in steps."""
        if file_format not in FORMATS:
            raise InputError(f"There is no format {file_format!r}: choose from {', '.join(FORMATS)}.")
        pipeline, mix = self.catalog.pipeline(turn.mix)
        picture = self._load(photo)
        brush = relative_brush(turn.brush_size, picture.size, SCREEN_SIDE)
        painting = pipeline.steps(
            picture, mix, strength=turn.strength, brush_size=brush, keep_colors=turn.keep_colors, mask=turn.mask
        )
        with self._visit():
            image = yield from stretched(painting, 0, BEFORE_SAVING)
        file = _unused(folder / result_name(photo.name, mix, FORMATS[file_format]))
        save_result(image, file, self._settings(photo, turn, mix, brush))
        yield 1.0
        return file

    def paint_all(
        self, photos: Sequence[Path], turn: Turn, folder: Path, file_format: str
    ) -> Iterator[float | Path | InputError]:
        """For each photo its painting's file, or the reason why there is none; before it, the shares of it done."""
        if len(photos) > self.limits.max_photos:
            raise InputError(f"{len(photos)} photos are too many: {self.limits.max_photos} at once is the limit.")
        self.catalog.pipeline(turn.mix)  # a fault of the settings is told once, not for each photo
        for photo in photos:
            try:
                yield (yield from self.paint(photo, turn, folder, file_format))
            except InputError as error:
                yield error

    def paint_ahead(self, photo: Path, style: str) -> None:
        """Keep the painting of a photo in one style (key), for whoever brings a file of the same content."""
        digest = _digest(photo)
        session = self._ahead.get(digest) or Session(self._load(photo))
        pipeline, mix = self.catalog.pipeline({style: 1.0})
        session.paint_ahead(pipeline, next(iter(mix)))
        self._ahead[digest] = session
        self._ahead_sizes.add(photo.stat().st_size)

    @property
    def quiet_seconds(self) -> float:
        """For how long nobody has painted."""
        return 0.0 if self._painting else time.monotonic() - self._last_visit

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

    def explain(self, photo: Path, turn: Turn) -> Explained:
        """What the painting did to the photo, at screen size."""
        before, after = self._session(photo).picture.rgb, self.show(photo, turn).after.convert("RGB")
        pipeline, mix = self.catalog.pipeline(turn.mix)
        judge = self._judge(pipeline)
        doubted = judge and doubts(after, judge, pipeline.generator.style_weights(mix))
        sample = self.catalog.card(max(turn.mix, key=turn.mix.__getitem__)).sample
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
        previews, keys = {}, self.catalog.at_hand()
        for key in keys:
            pipeline, mix = self.catalog.pipeline({key: 1.0})
            with self._visit():
                previews[key] = _small(pipeline, small, next(iter(mix)))
            yield len(previews) / len(keys)
        return previews

    def _judge(self, pipeline: StyleTransferPipeline) -> Discriminator | None:
        """The discriminator that the pipeline's pack carries, if it does; one that cannot be read is none."""
        if pipeline not in self._judges:
            try:
                self._judges[pipeline] = load_discriminator(pipeline.folder) if pipeline.folder else None
            except InputError as error:
                _log.warning("%s", error)
                self._judges[pipeline] = None
        return self._judges[pipeline]

    def _session(self, photo: Path) -> Session:
        with self._lock:
            session = self._sessions.get(photo)
        if session is None and photo.stat().st_size in self._ahead_sizes:
            session = self._ahead.get(_digest(photo))
        if session is None:  # two visitors may open one photo at the same time: the same work twice, nothing worse
            picture = self._load(photo)
            session = Session(picture)
        with self._lock:
            self._sessions[photo] = session
            self._sessions.move_to_end(photo)
            while len(self._sessions) > KEPT_SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def _load(self, photo: Path) -> Picture:
        return load_limited(photo, self.limits.max_megapixels)

    def _settings(self, photo: Path, turn: Turn, mix: Mapping[str, float], brush: float) -> dict[str, object]:
        return {
            "program": f"styletransfer {styletransfer.__version__}",
            "photo": photo.name,
            "pack": self.catalog.styles[next(iter(turn.mix))].pack,
            "style": dict(mix),
            "strength": turn.strength,
            "brush_size": brush,
            "keep_colors": turn.keep_colors,
            "mask": None if turn.mask is None else mask_to_text(turn.mask),
        }


def load_limited(file: Path, megapixels: int, what: str = "photo") -> Picture:
    """The picture of a file that a visitor sent, its size looked at before anything is decoded.

    Raises:
        InputError: more megapixels than the limit, or whatever `load_picture` refuses.
    """
    with file.open("rb") as opened:  # its path on this machine is nothing for an error to tell
        width, height = declared_size(opened)
        if width * height > megapixels * 1_000_000:
            pixels = width * height / 1e6
            raise InputError(
                f"The {what} has {pixels:.0f} megapixels: {megapixels} is the limit here, make it smaller."
            )
        return load_picture(opened)


def zip_files(files: Sequence[Path], target: Path) -> Path:
    """A zip of files, stored as they are: pictures do not get smaller."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.name)
    return target


def _small(pipeline: StyleTransferPipeline, small: Image.Image, style: str) -> Image.Image:
    return pipeline.paint(small, style) if min(small.size) >= 16 else small


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
