"""Pictures in, tensors out, and back.

With `colors` the only place that knows EXIF, ICC, alpha, 16 bit and [-1, 1]: all others see a `Picture`, upright and
in sRGB, or a tensor.
"""

import errno
import io
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.images.colors import fill_hidden, split_alpha, to_8_bit, to_srgb

MAX_PIXELS = 200_000_000  # checked in the header, before a decoder takes any memory

# Files of a folder with other suffixes are no pictures to us.
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".heic", ".heif"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)

# Nothing else is tried: Pillow knows formats too whose readers start other programs (EPS).
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM")
_READABLE = "a JPEG, PNG, WebP, AVIF, TIFF, GIF, BMP or PPM file"

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # pillow-heif reads these

_SAVED_AS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 92}),
    ".avif": ("AVIF", {"quality": 90}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".bmp": ("BMP", {}),
}
_OPAQUE_FORMATS = ("JPEG", "BMP")

_ORIENTATION_TAG = 0x0112
_TRANSPOSE_OF_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Source = str | Path | bytes | BinaryIO | Image.Image


@dataclass(frozen=True)
class Picture:
    """A picture as people see it: upright, sRGB, 8 bit, its transparency kept apart."""

    rgb: Image.Image  # mode "RGB"; under transparent pixels the color of their visible neighbors
    alpha: Image.Image | None = None  # mode "L", same size; None: the file has no transparency
    notes: tuple[str, ...] = ()  # what was left out or guessed, for the user to read

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.size

    def compose(self) -> Image.Image:
        """One image: RGB, or RGBA where there is transparency."""
        if self.alpha is None:
            return self.rgb
        return Image.merge("RGBA", (*self.rgb.split(), self.alpha))


# ---------------------------------------------------------------------------------------------------------------------
# From a file to a Picture


def load_picture(source: Source) -> Picture:
    """Reads a picture from a file, a file's bytes, an open file or a PIL image.

    Turned upright by its EXIF orientation and converted to sRGB by its ICC profile; of an animation the first frame.
    The alpha is kept bit for bit. The color under fully transparent pixels, which files leave undefined, is grown from
    the visible ones, so that a network with a wide view is not disturbed by what nobody sees.

    Raises:
        InputError: missing, a folder, unreadable, not a picture, damaged, no pixels or more than `MAX_PIXELS`.
    """
    name = str(source) if isinstance(source, str | os.PathLike) else "the picture"
    if isinstance(source, Image.Image):
        image, notes = _decode(source, name)
    elif isinstance(source, bytes | bytearray | memoryview):
        image, notes = _read(io.BytesIO(source), name)
    elif isinstance(source, str | os.PathLike):
        with _open_file(Path(source)) as file:
            image, notes = _read(file, name)
    else:
        image, notes = _read(source, name)

    profile = image.info.get("icc_profile")
    colors, alpha = split_alpha(_upright(image, notes))
    rgb = to_srgb(to_8_bit(colors, notes), profile, notes)
    if alpha is not None:
        rgb = fill_hidden(rgb, alpha)
        alpha.info.clear()
    return Picture(rgb, alpha, tuple(notes))


def declared_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height that an open picture file declares, before anything is decoded; the file is at its start again.

    Raises:
        InputError: not a picture, or more than `MAX_PIXELS`.
    """
    name = "the picture"
    with _pillow_limit, _decoder_errors(name):
        size = Image.open(file, formats=("HEIF",) if _is_heif(file, name) else _FORMATS).size
    file.seek(0)
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(name)
    return size


def _open_file(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder; give a picture file")
        if not stat.S_ISREG(mode):  # a pipe or a device may block, or never end
            raise InputError(f"{path} is not a regular file; give a picture file")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no file {path}; check the name") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; give a file that you may read") from error


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not a picture that can be read; give {_READABLE}") from error
    except MemoryError as error:
        raise InputError(f"{name} does not fit into the memory of this machine; make it smaller") from error
    except Exception as error:  # on damaged bytes a decoder may raise anything
        raise InputError(f"{name} is damaged or cut short; give a whole picture file") from error


def _too_large(name: str) -> InputError:
    return InputError(f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller")


class _PillowLimit:
    """Raises Pillow's own limit on pixels, one for the whole process and below ours, while pictures are read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._usual = Image.MAX_IMAGE_PIXELS

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                Image.MAX_IMAGE_PIXELS = self._usual


_pillow_limit = _PillowLimit()


def _read(file: BinaryIO, name: str) -> tuple[Image.Image, list[str]]:
    with _pillow_limit:
        with _decoder_errors(name):
            image = Image.open(file, formats=("HEIF",) if _is_heif(file, name) else _FORMATS)
        return _decode(image, name)


def _is_heif(file: BinaryIO, name: str) -> bool:
    """Whether it is a phone's HEIC file; raises InputError where nothing here can read one."""
    head = file.read(32)
    file.seek(0)
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS or b"avif" in head:
        return False
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"{name} is a HEIC file, which cannot be read here; save it as JPEG, or `pip install pillow-heif`"
        ) from None
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _decode(image: Image.Image, name: str) -> tuple[Image.Image, list[str]]:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(name)
    if width * height == 0:
        raise InputError(f"{name} has no pixels; give a picture of at least 1x1")
    notes = []
    with _decoder_errors(name):
        # Phones write MPO: a JPEG with a depth or brightness map behind it, which is no second frame.
        if getattr(image, "is_animated", False) and image.format != "MPO":
            notes.append(f"it has several frames: only frame {image.tell() + 1} is used")
        image.load()
    return image, notes


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    # Not ImageOps.exif_transpose: it also writes the EXIF block anew and fails on tags that it cannot write.
    try:
        method = _TRANSPOSE_OF_ORIENTATION.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # the EXIF block of a good picture may hold any bytes
        notes.append("its EXIF data is damaged and was ignored: it may lie on its side")
        return image
    return image if method is None else image.transpose(method)


# ---------------------------------------------------------------------------------------------------------------------
# Tensors and sizes


def picture_to_tensor(rgb: Image.Image) -> Tensor:
    """An "RGB" image as a tensor (1, 3, H, W), float32 in [-1, 1]."""
    if rgb.mode != "RGB":
        raise ValueError(f'an image of mode "RGB" is needed, not "{rgb.mode}": use load_picture(...).rgb')
    levels = torch.from_numpy(np.array(rgb)).permute(2, 0, 1).unsqueeze(0)
    return levels.contiguous().float() / 127.5 - 1


def tensor_to_picture(tensor: Tensor) -> Image.Image:
    """A tensor (1, 3, H, W) or (3, H, W) in [-1, 1] as an "RGB" image; values beyond are cut off.

    Exact inverse of `picture_to_tensor`.
    """
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ValueError(f"a tensor (1, 3, H, W) or (3, H, W) is needed, not {tuple(tensor.shape)}")
    levels = ((tensor.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def fit_long_side(image: Image.Image, size: int) -> Image.Image:
    """The image scaled, up or down, until its longer side has `size` pixels; itself if it has."""
    return _scale(image, size / max(image.size))


def fit_short_side(image: Image.Image, size: int) -> Image.Image:
    """The image scaled, up or down, until its shorter side has `size` pixels; itself if it has."""
    return _scale(image, size / min(image.size))


def _scale(image: Image.Image, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in image.size)
    if (width, height) == image.size:
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)


# ---------------------------------------------------------------------------------------------------------------------
# To a file


def save_picture(
    image: Image.Image,
    path: str | Path,
    *,
    pnginfo: PngInfo | None = None,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
) -> None:
    """Writes the image in the format that the name ends with; a file of that name is replaced whole or not at all.

    Formats without transparency (JPEG, BMP) get a white ground. `pnginfo` is text to embed, which only PNG keeps;
    `exif` is kept by JPEG, WebP and AVIF, `icc_profile` by all but BMP.

    Raises:
        InputError: unknown suffix, missing folder, no permission, disk full, too many pixels for the format.
    """
    path = Path(path)
    if path.suffix.lower() not in _SAVED_AS:
        raise InputError(f"{path} does not say which format to save; end the name with one of {', '.join(_SAVED_AS)}")
    if not os.path.isdir(path.parent):
        raise InputError(f"there is no folder {path.parent} for {path.name}; make it first")
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; give another name for the picture")
    file_format, options = _SAVED_AS[path.suffix.lower()]
    extras = {"icc_profile": icc_profile}
    extras |= {"pnginfo": pnginfo} if file_format == "PNG" else {}
    extras |= {"exif": exif} if file_format in ("JPEG", "WEBP", "AVIF") else {}
    options = options | {name: value for name, value in extras.items() if value is not None}
    _write_whole(path, _encode(image, path, file_format, options))


def _encode(image: Image.Image, path: Path, file_format: str, options: dict[str, Any]) -> bytes:
    if image.mode == "RGBA" and file_format in _OPAQUE_FORMATS:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    encoded = io.BytesIO()  # in memory: Pillow's own writing to disk hides why it failed
    try:
        image.save(encoded, file_format, **options)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {file_format} cannot hold this picture ({error}); save it as .png") from error
    return encoded.getvalue()


def _write_whole(path: Path, content: bytes) -> None:
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some disks say only now that they are full
        os.replace(part, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{path} cannot be saved, the disk is full; make room or use another folder") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(f"{path} cannot be saved, you may not write there; use another folder") from error
        raise InputError(f"{path} cannot be saved: {error.strerror}; use another name or folder") from error
    finally:
        part.unlink(missing_ok=True)
