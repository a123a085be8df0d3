"""Photos of any size, from file to file in the memory of a few strips: read, painted and written from the top down."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Lock

from PIL import Image

from styletransfer.errors import Sentence
from styletransfer.images.files import Picture, load_picture, read_header
from styletransfer.images.finishing import SoftMask, finish
from styletransfer.images.strips import STRIP_ROWS, WRITTEN, StripReader, is_readable, strip_writer
from styletransfer.models.canvas import Box, Size
from styletransfer.models.memory import give_memory_back
from styletransfer.painter import Painter, check_size, painted_tiles
from styletransfer.results import embedded, save_result
from styletransfer.settings import PaintSettings
from styletransfer.steps import Steps, drained

LARGE_PIXELS = 40_000_000  # from here on strip by strip: in memory such a photo takes half a gigabyte


@dataclass(frozen=True)
class Origin:
    """What a painting's file says about where it came from."""

    photo: str = ""  # name of the photo's file
    pack: str = ""  # the style's pack, as `from_pretrained` takes it


class PassingRows:
    """A canvas whose rows pass by, in one pass from the top; what has passed can be let go.

    Args:
        reader: of the photo's file.
    """

    wrap = False

    def __init__(self, reader: StripReader) -> None:
        self._reader = reader
        self._strips: Iterator[tuple[int, Picture]] = reader.strips(STRIP_ROWS)
        self._held: list[tuple[int, Picture]] = []
        self._bottom = 0  # of what was read
        self._reduced: dict[Size, Image.Image] = {}
        self._turn = Lock()  # tiles are painted several at a time

    @property
    def size(self) -> Size:
        """As `Canvas.size`."""
        return self._reader.size

    def crop(self, box: Box) -> Image.Image:
        """As `Canvas.crop`; rows that were let go are gone."""
        return self._part(box, "RGB", lambda picture: picture.rgb)

    def alpha(self, box: Box) -> Image.Image:
        """The transparency of a part, "L"."""
        return self._part(box, "L", lambda picture: picture.alpha)

    def reduced(self, size: Size) -> Image.Image:
        """As `Canvas.reduced`: in a pass of its own."""
        if size not in self._reduced:
            self._reduced[size] = self._reader.reduced(size)
        return self._reduced[size]

    def let_go(self, top: int) -> None:
        """Nobody asks for rows above this one any more."""
        self._held = [(start, picture) for start, picture in self._held if start + picture.size[1] > top]

    def _part(self, box: Box, mode: str, layer: Callable[[Picture], Image.Image]) -> Image.Image:
        with self._turn:
            while self._bottom < box[3]:
                top, picture = next(self._strips)
                self._held.append((top, picture))
                self._bottom = top + picture.size[1]
            held = self._held
        part = Image.new(mode, (box[2] - box[0], box[3] - box[1]))
        for top, picture in held:
            start, end = max(box[1], top), min(box[3], top + picture.size[1])
            if start < end:
                piece = layer(picture).crop((box[0], start - top, box[2], end - top))
                part.paste(piece, (0, start - box[1]))
        return part


def reader_for_strips(source: Path, target: Path, settings: PaintSettings) -> StripReader | None:
    """What reads a photo strip by strip, where it is so large that this is worth it and all else allows it.

    Raises:
        InputError: the file is no picture, or it is too large for strips, too.
    """
    header = read_header(source)
    if math.prod(header.size) <= LARGE_PIXELS or target.suffix.lower() not in WRITTEN or settings.wrap:
        return None
    return StripReader(source, header) if is_readable(source, header) else None


def paint_file(
    painter: Painter, source: Path, target: Path, settings: PaintSettings, origin: Origin | None = None
) -> Steps[list[Sentence]]:
    """Paint a photo's file into another file, with the settings inside; in steps.

    The painting is the same for every size of photo. Above `LARGE_PIXELS`, from and to JPEG, PNG or TIFF, memory does
    not grow with the photo.

    Args:
        painter: of the style.
        source: the photo's file.
        target: the painting's file, see `save_result`; it is written whole or not at all.
        settings: the style among the painter's.
        origin: for the record in the file; None takes the source's name.

    Returns:
        What is to be said about the photo.

    Raises:
        InputError: as `load_picture`, `Painter.steps` and `save_result`.
    """
    origin = origin or Origin(source.name)
    reader = reader_for_strips(source, target, settings)
    if reader is not None:
        return (yield from paint_strips(painter, reader, target, settings, origin))
    picture = load_picture(source)
    painting = yield from painter.steps(picture, settings)
    save_result(painting, target, settings, photo=origin.photo, pack=origin.pack)
    return list(picture.notes)


def paint_strips(
    painter: Painter, reader: StripReader, target: Path, settings: PaintSettings, origin: Origin
) -> Steps[list[Sentence]]:
    """As `paint_file`, for a reader from `reader_for_strips`."""
    painter.check(settings)
    check_size(reader.size)
    rows, extras = PassingRows(reader), embedded(settings, target.suffix, photo=origin.photo, pack=origin.pack)
    with strip_writer(target, reader.size, "RGBA" if reader.has_alpha else "RGB", extras) as write:
        for box, image in _finished(painter, rows, settings):
            if reader.has_alpha:
                image.putalpha(rows.alpha(box))
            write(image)
            yield box[3] / reader.size[1]
    return list(dict.fromkeys(reader.notes))


def _finished(painter: Painter, rows: PassingRows, settings: PaintSettings) -> Iterator[tuple[Box, Image.Image]]:
    """Boxes as wide as the picture, from the top, and what the file shows there, "RGB"."""
    mask = None if settings.mask is None else SoftMask(settings.mask, rows.size)
    if settings.strength == 0:
        for box in _bands(rows.size):
            yield box, rows.crop(box)
            rows.let_go(box[3])
        return
    strokes = drained(painter.strokes(rows, settings.mix, settings.stroke_scale(rows.size), settings.brush_size))
    for _, tiles in groupby(strokes.tiles(), key=lambda box: box[1]):
        band = None
        for box, painting in painted_tiles(strokes, list(tiles)):
            band = band or Image.new("RGB", (rows.size[0], box[3] - box[1]))
            photo = rows.crop(box)
            laid = finish(
                photo,
                painting,
                strength=settings.strength,
                keep_colors=settings.keep_colors,
                mask=mask and mask.crop(box),
            )
            band.paste(laid, (box[0], 0))
        yield (0, box[1], rows.size[0], box[3]), band
        rows.let_go(box[3] - strokes.reach)
        give_memory_back()  # threads that paint side by side have a heap each, and the gaps in them add up


def _bands(size: Size) -> Iterator[Box]:
    return ((0, top, size[0], min(top + STRIP_ROWS, size[1])) for top in range(0, size[1], STRIP_ROWS))
