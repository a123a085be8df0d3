"""PNG written strip by strip: memory stays that of a few strips, and all cores compress.

Pillow compresses on one core and tries five filters for every row. Paintings have no two rows alike, so searching for
earlier copies finds little: one filter for all (the average of left and above), runs and Huffman codes (zlib's Z_RLE)
make files of the same size in a third of the time, and strips apart from one another on as many threads as there are.
"""

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOR_TYPES = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}  # Pillow's mode -> PNG's color type, 8 bit each
STRIP_BYTES = 2**20  # of what is compressed at a time

_AVERAGE, _NO_FILTER = 3, 0
_ADLER_BASE = 65521


class _Deflated(NamedTuple):
    content: bytes  # whole bytes of a deflate stream that goes on
    adler: int  # of what was compressed
    length: int


class PngWriter:
    """A PNG file in the making: `write` its rows from the top, then `close`.

    Args:
        file: open for writing.
        size: width and height in pixels.
        mode: "L", "LA", "RGB" or "RGBA".
        chunks: name and content of what stands before the pixels, as text does.
        icc_profile: of the colors; None for none.
        compressed: False stores the pixels as they are, for a reader in the same process.
        threads: that compress; as many as there are cores, at most 8, when None.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: tuple[int, int],
        mode: str,
        *,
        chunks: Iterable[tuple[bytes, bytes]] = (),
        icc_profile: bytes | None = None,
        compressed: bool = True,
        threads: int | None = None,
    ) -> None:
        self._file, self._compressed = file, compressed
        self._threads = threads or min(8, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads)
        self._waiting: deque[Future[_Deflated]] = deque()
        self._last_row: np.ndarray | None = None
        self._adler = zlib.adler32(b"")
        file.write(SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, COLOR_TYPES[mode], 0, 0, 0))
        if icc_profile:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
        for name, content in chunks:
            self._chunk(name, content)
        self._chunk(b"IDAT", b"\x78\x01")  # the head of a zlib stream

    def write(self, rows: Image.Image) -> None:
        """The next rows, in the mode and width of the file."""
        levels = np.asarray(rows)
        levels = levels.reshape(levels.shape[0], levels.shape[1], -1)
        count = max(1, STRIP_BYTES // levels[0].size)
        for top in range(0, len(levels), count):
            above = levels[top - 1] if top else self._last_row
            self._waiting.append(self._pool.submit(_deflated, levels[top : top + count], above, self._compressed))
            if len(self._waiting) > 2 * self._threads:
                self._take(self._waiting.popleft().result())
        self._last_row = levels[-1].copy()

    def close(self) -> None:
        """Finish the file; it stays open."""
        while self._waiting:
            self._take(self._waiting.popleft().result())
        self._pool.shutdown()
        end = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
        self._chunk(b"IDAT", end + struct.pack(">I", self._adler))
        self._chunk(b"IEND", b"")

    def __enter__(self) -> "PngWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._pool.shutdown(cancel_futures=True)

    def _take(self, strip: _Deflated) -> None:
        self._adler = _adler_of_both(self._adler, strip.adler, strip.length)
        self._chunk(b"IDAT", strip.content)

    def _chunk(self, name: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)) + name)
        self._file.write(content)
        self._file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))


def write_png(file: BinaryIO, image: Image.Image, **options: Any) -> None:
    """The whole image as PNG; options as for `PngWriter`."""
    with PngWriter(file, image.size, image.mode, **options) as writer:
        writer.write(image)


def _deflated(levels: np.ndarray, above: np.ndarray | None, compressed: bool) -> _Deflated:
    filtered = (_averaged(levels, above) if compressed else _unfiltered(levels)).tobytes()
    strategy = zlib.Z_RLE if compressed else zlib.Z_DEFAULT_STRATEGY
    deflate = zlib.compressobj(int(compressed), zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    content = deflate.compress(filtered) + deflate.flush(zlib.Z_SYNC_FLUSH)  # to a whole byte: strips follow each other
    return _Deflated(content, zlib.adler32(filtered), len(filtered))


def _unfiltered(levels: np.ndarray) -> np.ndarray:
    rows = levels.reshape(len(levels), -1)
    return np.pad(rows, ((0, 0), (1, 0)), constant_values=_NO_FILTER)


def _averaged(levels: np.ndarray, above: np.ndarray | None) -> np.ndarray:
    """(h, w, C) uint8 -> (h, 1 + w * C): each level less the mean of its left and its upper neighbor (PNG, 9.4)."""
    left, up = np.zeros_like(levels), np.zeros_like(levels)
    left[:, 1:], up[1:] = levels[:, :-1], levels[:-1]
    if above is not None:
        up[0] = above
    mean = (left & up) + ((left ^ up) >> 1)  # rounded down, without a ninth bit
    filtered = np.empty((len(levels), 1 + levels[0].size), np.uint8)
    filtered[:, 0] = _AVERAGE
    np.subtract(levels.reshape(len(levels), -1), mean.reshape(len(levels), -1), out=filtered[:, 1:])
    return filtered


def _adler_of_both(first: int, second: int, length: int) -> int:
    """Adler-32 of two pieces from those of each, and the length of the second, as zlib's adler32_combine."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + length * ((first & 0xFFFF) - 1)
    return (high % _ADLER_BASE) << 16 | low % _ADLER_BASE
