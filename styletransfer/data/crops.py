"""Cuts square crops out of photos and paintings; the place of a crop depends on the seed and its sample number only."""

import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.images.files import MAX_PIXELS, load_picture, picture_to_tensor

LEAST_SIDE = 16  # pixels; smaller pictures are icons and tracking pixels

# Independent streams of random numbers, so that a skipped photo does not change the crops of paintings.
CUT_PHOTO, CUT_PAINTING, AUGMENTATION = range(3)

Size = tuple[int, int]  # width and height in pixels
Row = Mapping[str, Mapping[str, str | bytes | None] | None]  # {"image": {"path", "bytes"}}
LoadRow = Callable[..., Image.Image]  # (Row, keep=): raises InputError for a picture that cannot be used
Keep = Callable[[Size, Callable[[], Image.Image]], Image.Image]  # (decoded size, decode): a cache in front of `decode`


@dataclass(frozen=True)
class Cropper:
    """How crops are cut; its fields are arguments of PairedCrops and StreamedCrops."""

    crop_size: int  # side of the crops in pixels, at least 16
    photo_scale: tuple[float, float]  # short side of a photo in crop sizes: smallest, largest
    painting_size: int  # long side of a painting in pixels
    seed: int = 0  # at least 0

    def __post_init__(self) -> None:
        """Raises InputError for a value out of its range."""
        low, high = self.photo_scale
        for right, sentence in (
            (self.crop_size >= LEAST_SIDE, f"crop_size is {self.crop_size}: it must be at least {LEAST_SIDE}."),
            (1 <= low <= high < math.inf, f"photo_scale is {low} to {high}: it must rise and begin at 1 or more."),
            (
                self.painting_size >= LEAST_SIDE,
                f"painting_size is {self.painting_size}: it must be at least {LEAST_SIDE}.",
            ),
            (self.seed >= 0, f"seed is {self.seed}: it must be at least 0."),
        ):
            if not right:
                raise InputError(sentence)

    def random(self, stream: int, k: int) -> np.random.Generator:
        """The random numbers of sample k for one purpose."""
        return np.random.default_rng((self.seed, stream, k))

    def photo_factor(self, k: int) -> Callable[[Size], float]:
        """The function from the size of photo k to the factor by which it is scaled."""
        low, high = self.photo_scale
        short_side = self.crop_size * (low + (high - low) * self.random(CUT_PHOTO, k).random())
        return lambda size: short_side / min(size)

    def painting_factor(self, size: Size) -> float:
        """The factor by which a painting of that size is scaled."""
        return max(self.painting_size / max(size), self.crop_size / min(size))

    def painting_scaled(self, size: Size) -> Size:
        """The size that a painting has when crops are cut out of it."""
        return _scaled(size, self.painting_factor(size), self.crop_size)

    def cut_photo(self, k: int, photo: Image.Image) -> Tensor:
        """The crop (1, 3, c, c) in [-1, 1] of sample k."""
        _, flip, *place = self.random(CUT_PHOTO, k).random(4)
        size = _scaled(photo.size, self.photo_factor(k)(photo.size), self.crop_size)
        return _cut(photo, size, self.crop_size, place, flip < 0.5)

    def cut_painting(self, k: int, painting: Image.Image) -> Tensor:
        """The crop (1, 3, c, c) in [-1, 1] of sample k."""
        _, *place = self.random(CUT_PAINTING, k).random(3)  # never mirrored: strokes have a direction
        return _cut(painting, self.painting_scaled(painting.size), self.crop_size, place, mirrored=False)


def row_name(row: Row, otherwise: str) -> str:
    """The file of a row, or `otherwise` where it is not known."""
    return str((row["image"] or {}).get("path") or otherwise)


def row_source(row: Row) -> str | bytes:
    """The path or the bytes of the picture in a row of a source. Raises InputError when there is none."""
    image = row["image"] or {}
    source = image.get("path") if image.get("bytes") is None else image["bytes"]
    if source is None:
        raise InputError("The picture is missing from its dataset: leave its row out.")
    return source


def _decode(size: Size, decode: Callable[[], Image.Image]) -> Image.Image:
    del size
    return decode()


def load_row(row: Row, factor: Callable[[Size], float], keep: Keep = _decode) -> Image.Image:
    """The picture of a row, upright and in sRGB; `factor` maps its size to the factor by which it will be scaled.

    A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, but at least at twice the size that is needed: that is
    faster than to decode fine detail and throw it away.

    Args:
        row: of a source.
        factor: from the picture's size.
        keep: may return an earlier result of `decode` for the same size.

    Raises:
        InputError: the picture is missing, damaged or too small.
    """
    source = row_source(row)
    jpeg = _open_jpeg(source)
    if jpeg is None:
        rgb = keep((0, 0), lambda: load_picture(source).rgb)  # always decoded at its own size
    else:
        with jpeg:
            if min(jpeg.size) >= LEAST_SIDE and jpeg.width * jpeg.height <= MAX_PIXELS:
                jpeg.draft(None, _scaled(jpeg.size, 2 * factor(jpeg.size), LEAST_SIDE))
            rgb = keep(jpeg.size, lambda: load_picture(jpeg).rgb)
    if min(rgb.size) < LEAST_SIDE:
        raise InputError(
            f"The picture is only {rgb.width}x{rgb.height} pixels: it must be at least {LEAST_SIDE}x{LEAST_SIDE}."
        )
    return rgb


def bad_file(row: Row, otherwise: str, error: InputError) -> str:
    """The line "file: reason" that reports a row that was skipped."""
    path, reason = row_name(row, otherwise), str(error).rstrip(".")
    for start in (f"{path} is ", f"{path} ", "The picture is ", "The picture ", "the picture is ", "the picture "):
        reason = reason.removeprefix(start)
    return f"{path}: {reason}"


def nothing_usable(name: str, skipped: Sequence[str]) -> InputError:
    """The error for a source in which every file was skipped."""
    return InputError(
        f"None of {name} ({len(skipped)}) can be used; the first is {skipped[0] if skipped else 'missing'}."
    )


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
    """A crop (1, 3, side, side) of the image scaled to `size`; only the crop is computed.

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
