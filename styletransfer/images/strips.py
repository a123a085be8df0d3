"""Pictures too large for memory, strip by strip: libvips decodes rows as they are asked for, and encodes them.

What is read and written is the same to the last bit as `files` reads and writes: the same decoders, the same colors.
Formats that need their whole picture at once (WebP, AVIF, HEIC, progressive JPEG, interlaced PNG) are not for strips.
"""

import errno
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image

from styletransfer.errors import InputError, Sentence
from styletransfer.images import files
from styletransfer.images.colors import grown_colors, split_alpha, to_8_bit, to_srgb
from styletransfer.images.png import PngWriter

if TYPE_CHECKING:
    import pyvips

STRIP_ROWS = 256
READ_FORMATS = ("JPEG", "MPO", "PNG", "TIFF")
WRITTEN = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
COARSE_PIXELS = 2_000_000  # on which colors grow under transparent places
BIG_TIFF_PIXELS = 600_000_000  # from here on 4 GB may not be enough
LYING = 3  # from this orientation on, the last stored row or column is needed first
REDUCING_GAP = 3.0  # of Pillow's resize: first the mean of whole blocks, while three pixels are left for each

WriteRows = Callable[[Image.Image], None]


class StripReader:
    """A picture file as people see it (upright, sRGB, 8 bit), in strips from the top.

    Args:
        path: of the file; `can_read` must be true of its header.
        header: from `files.read_header`.

    Raises:
        InputError: more than `files.MAX_FILE_PIXELS`; and from each pass over the rows, for a damaged file.
    """

    def __init__(self, path: Path, header: files.Header) -> None:
        if math.prod(header.size) > files.MAX_FILE_PIXELS:
            raise files.too_large(str(path), files.MAX_FILE_PIXELS)
        self._path, self._header = path, header
        self._lying: pyvips.Image | None = None  # turned upright, from a temporary file of libvips
        self._coarse: Image.Image | None = None
        self.size = header.size if header.orientation < 5 else header.size[::-1]
        self.has_alpha = header.mode in ("LA", "RGBA")
        self.notes: list[Sentence] = [*header.notes]

    def strips(self, rows: int) -> Iterator[tuple[int, files.Picture]]:
        """Top and pixels of each strip, all of `rows` rows but the last."""
        for top, colors, alpha in self._strips(rows):
            if alpha is not None and not np.asarray(alpha).all():
                colors.paste(self._grown(top, colors.size), mask=alpha.point(lambda level: 255 * (level == 0)))
            yield top, files.Picture(colors, alpha)

    def reduced(self, size: tuple[int, int]) -> Image.Image:
        """The whole picture ("RGB") at a smaller size, bit for bit as Pillow's `resize` with a reducing gap has it."""
        by = tuple(int(large / small / REDUCING_GAP) or 1 for large, small in zip(self.size, size, strict=True))
        blocks = Image.new("RGB", tuple(-(-side // factor) for side, factor in zip(self.size, by, strict=True)))
        for top, picture in self.strips(by[1] * max(1, STRIP_ROWS // by[1])):
            blocks.paste(picture.rgb.reduce(by), (0, top // by[1]))
        box = (0, 0, self.size[0] / by[0], self.size[1] / by[1])
        return blocks.resize(size, Image.Resampling.LANCZOS, box)

    def _strips(self, rows: int) -> Iterator[tuple[int, Image.Image, Image.Image | None]]:
        import pyvips

        width, height = self.size
        with _vips_errors(str(self._path)):
            region = pyvips.Region.new(self._open())
            for top in range(0, height, rows):
                count = min(rows, height - top)
                stored = Image.frombytes(self._header.mode, (width, count), region.fetch(0, top, width, count))
                colors, alpha = split_alpha(stored)
                yield top, to_srgb(to_8_bit(colors, self.notes), self._header.profile, self.notes), alpha

    def _open(self) -> "pyvips.Image":
        import pyvips

        orientation = self._header.orientation
        if orientation < LYING:
            image = pyvips.Image.new_from_file(str(self._path), access="sequential", fail_on="truncated")
            return image.fliphor() if orientation == 2 else image
        if self._lying is None:
            image = pyvips.Image.new_from_file(str(self._path), fail_on="truncated")
            image = image.copy()
            image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
            self._lying = image.autorot()
        return self._lying

    def _grown(self, top: int, size: tuple[int, int]) -> Image.Image:
        """Colors for transparent places of a strip, grown from the visible ones on a coarse picture."""
        if self._coarse is None:
            self._coarse = self._coarse_colors()
        across, down = (small / large for small, large in zip(self._coarse.size, self.size, strict=True))
        box = (0, top * down, size[0] * across, (top + size[1]) * down)
        return self._coarse.resize(size, Image.Resampling.BILINEAR, box)

    def _coarse_colors(self) -> Image.Image:
        by = math.ceil(math.sqrt(math.prod(self.size) / COARSE_PIXELS))
        colors, weights = [], []
        for _, strip, alpha in self._strips(by * max(1, STRIP_ROWS // by)):
            weight = np.asarray(alpha, dtype=np.float32)[..., None] / 255
            total = _block_sums(weight, by)  # floats: of 8 bits nothing is left where little is to be seen
            colors.append(_block_sums(np.asarray(strip) * weight, by) / np.maximum(total, np.float32(1e-6)))
            weights.append(np.minimum(total[..., 0], 1))
        color, weight = np.concatenate(colors).round().astype(np.uint8), np.concatenate(weights)
        return Image.fromarray(grown_colors(color, weight) if weight.any() else color)


def _block_sums(values: np.ndarray, by: int) -> np.ndarray:
    """(h, w, C) -> the sum of each block of by x by places; blocks at the end may be smaller."""
    rows = np.add.reduceat(values, range(0, values.shape[0], by), axis=0)
    return np.add.reduceat(rows, range(0, values.shape[1], by), axis=1)


def can_read(header: files.Header) -> bool:
    """Whether strips of such a file can be read: libvips is here, and decodes the format row by row."""
    if header.format not in READ_FORMATS or header.mode not in ("L", "LA", "RGB", "RGBA") or not header.is_plain:
        return False
    with suppress(ImportError, OSError):  # OSError: the package is here, and its library is not
        import pyvips  # noqa: F401

        return True
    return False


def is_readable(path: Path, header: files.Header) -> bool:
    """Whether libvips sees the same channels of 8 bit in the file as Pillow does."""
    import pyvips

    if not can_read(header):
        return False
    with suppress(pyvips.Error):
        image = pyvips.Image.new_from_file(str(path), access="sequential")
        return (image.format, image.bands) == ("uchar", len(header.mode)) and (image.width, image.height) == header.size
    return False


@contextmanager
def strip_writer(path: Path, size: tuple[int, int], mode: str, extras: dict[str, Any]) -> Iterator[WriteRows]:
    """A function that writes rows, from the top, to a file; it takes its name once all are written.

    Args:
        path: its suffix, one of `WRITTEN`, says the format.
        size: width and height.
        mode: "RGB", or "RGBA" for what keeps transparency.
        extras: `pnginfo`, `exif` and `icc_profile`, as `files.save_picture` takes them.

    Raises:
        InputError: as `files.save_picture`.
    """
    files.check_target(path)
    is_png = path.suffix.lower() == ".png"
    with files.whole_file(path) as file, (_png if is_png else _by_vips)(file, path, size, mode, extras) as write:
        yield write


@contextmanager
def _png(file: BinaryIO, _: Path, size: tuple[int, int], mode: str, extras: dict[str, Any]) -> Iterator[WriteRows]:
    chunks = [tuple(chunk[:2]) for chunk in extras["pnginfo"].chunks]
    with PngWriter(file, size, mode, chunks=chunks, icc_profile=extras["icc_profile"]) as writer:
        yield writer.write


@contextmanager
def _by_vips(
    file: BinaryIO, path: Path, size: tuple[int, int], mode: str, extras: dict[str, Any]
) -> Iterator[WriteRows]:
    """libvips takes the rows in a thread of its own, from a pipe, as a PNG without compression."""
    out, into = os.pipe()
    encoder = _Encoder(out, file.name, path.suffix.lower(), extras)
    encoder.start()
    try:
        with open(into, "wb") as pipe, PngWriter(pipe, size, mode, compressed=False, threads=1) as writer:

            def write(rows: Image.Image) -> None:
                if encoder.failure is not None:
                    raise _not_written(path, str(encoder.failure))
                writer.write(rows)

            yield write
    finally:
        encoder.join()
    if encoder.failure is not None:
        raise _not_written(path, str(encoder.failure)) from encoder.failure


def _not_written(path: Path, reason: str) -> Exception:
    if os.strerror(errno.ENOSPC) in reason:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # for `whole_file` to put into words
    return InputError(
        "{name} cannot be saved, {format} does not hold such a picture ({reason}): save it as .png.",
        name=path,
        format=path.suffix[1:].upper(),
        reason=reason.strip().splitlines()[-1],
    )


class _Encoder(threading.Thread):
    """Reads a PNG from a pipe and writes it to a file in another format.

    Args:
        out: the pipe's descriptor to read from; it is closed at the end.
        target: name of the file.
        suffix: of its format.
        extras: as for `strip_writer`.
    """

    def __init__(self, out: int, target: str, suffix: str, extras: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._out, self._target, self._suffix, self._extras = out, target, suffix, extras
        self.failure: Exception | None = None

    def run(self) -> None:
        """Encode; what goes wrong is kept."""
        try:
            self._encode()
        except Exception as error:
            self.failure = error
            while os.read(self._out, 2**20):  # or whoever writes would wait for a reader
                pass
        finally:
            os.close(self._out)

    def _encode(self) -> None:
        import pyvips

        source = pyvips.Source.new_from_descriptor(self._out)
        image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on="truncated", unlimited=True)
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", self._extras["icc_profile"])
        image.set_type(pyvips.GValue.blob_type, "exif-data", self._extras["exif"])
        if self._suffix in (".tif", ".tiff"):
            exif = Image.Exif()
            exif.load(self._extras["exif"])
            image.set_type(pyvips.GValue.gstr_type, "image-description", exif[ExifTags.Base.ImageDescription])
            image.tiffsave(self._target, compression="deflate", bigtiff=image.width * image.height > BIG_TIFF_PIXELS)
            return
        if image.hasalpha():
            image = image.flatten(background=255)  # as `files` does: no transparency in a JPEG
        image.jpegsave(self._target, Q=95, subsample_mode="off")


@contextmanager
def _vips_errors(name: str) -> Iterator[None]:
    import pyvips

    try:
        yield
    except pyvips.Error as error:
        raise InputError("{name} is damaged or cut short: give a whole picture file.", name=name) from error
