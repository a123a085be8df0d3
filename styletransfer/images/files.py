"""Pictures in, tensors out, and back.

With `colors` the only place that knows EXIF, ICC, alpha, 16 bit and [-1, 1]: all others see a `Picture`, upright and
in sRGB, or a tensor.
"""

import errno
import io
import os
import re
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

from styletransfer.errors import InputError, Sentence
from styletransfer.folders import check_parent
from styletransfer.images.colors import fill_hidden, split_alpha, to_8_bit, to_srgb
from styletransfer.images.png import COLOR_TYPES, write_png

MAX_PIXELS = 200_000_000  # checked in the header, before a decoder takes any memory
MAX_FILE_PIXELS = 1_000_000_000  # of a file that is painted strip by strip: some minutes of work, and no memory

# Files of a folder with other suffixes are no pictures to us.
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".heic", ".heif"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)

# Nothing else is tried: Pillow knows formats too whose readers start other programs (EPS).
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM")
_READABLE = "a JPEG, PNG, WebP, AVIF, TIFF, GIF, BMP or PPM file"

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # pillow-heif reads these

# PNG of the usual modes is written by `png`, others by Pillow.
_SAVED_AS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
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

Source = str | Path | bytes | BinaryIO | Image.Image | np.ndarray | Tensor

THE_PICTURE = "The picture"  # how one is called that has no name
_ADDRESS = re.compile(r"\s*(https?|ftp|data|file|s3|hf):", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A picture as people see it: upright, sRGB, 8 bit, its transparency kept apart."""

    rgb: Image.Image  # mode "RGB"; under transparent pixels the color of their visible neighbors
    alpha: Image.Image | None = None  # mode "L", same size; None: the file has no transparency
    notes: tuple[Sentence, ...] = ()  # what was left out or guessed, for the user to read
    xmp: bytes = b""  # the packet that the file holds, as it stands there

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
    """Reads a picture from a file, a file's bytes, an open file, a PIL image, an array or a tensor.

    Turned upright by its EXIF orientation and converted to sRGB by its ICC profile; of an animation the first frame.
    The alpha is kept bit for bit. The color under fully transparent pixels, which files leave undefined, is grown from
    the visible ones, so that a network with a wide view is not disturbed by what nobody sees.

    Args:
        source: a path; bytes; an open file; a PIL image; a NumPy array (H, W) or (H, W, C); or a tensor (C, H, W) or
            (1, C, H, W). C is 1 (gray), 3 (RGB) or 4 (RGBA), in sRGB, uint8 from 0 to 255 or floating point from 0
            to 1.

    Raises:
        InputError: missing, a folder, an address, unreadable, not a picture, damaged, no pixels, more than
            `MAX_PIXELS`, an array or tensor of other shape, kind or range, or a source of another type.
    """
    image, notes = _opened(source)
    profile = image.info.get("icc_profile")
    colors, alpha = split_alpha(_upright(image, notes))
    rgb = to_srgb(to_8_bit(colors, notes), profile, notes)
    if alpha is not None:
        rgb = fill_hidden(rgb, alpha)
        alpha.info.clear()
    return Picture(rgb, alpha, tuple(notes), _xmp_of(image))


def _opened(source: Any) -> tuple[Image.Image, list[Sentence]]:
    """The source as a decoded image of whatever mode, and what is to be said about it."""
    if isinstance(source, np.ndarray | Tensor):
        source = image_of_values(source)
    if isinstance(source, Image.Image):
        return _decode(source, THE_PICTURE)
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(io.BytesIO(source), THE_PICTURE)
    if isinstance(source, str) and _ADDRESS.match(source) and not os.path.exists(source):
        raise InputError(
            "{address} is an address, and nothing is fetched from the network here: save the picture, give its file.",
            address=source.strip()[:200],
        )
    if isinstance(source, str | os.PathLike):
        with _open_file(Path(source)) as file:
            return _read(file, str(source))
    if callable(getattr(source, "read", None)) and callable(getattr(source, "seek", None)):
        return _read(source, THE_PICTURE)
    raise InputError(
        "A picture is a path, bytes, an open file, a PIL image, a NumPy array (H, W, 3) or a tensor (3, H, W), not a "
        "{kind}.",
        kind=type(source).__name__,
    )


def image_of_values(values: np.ndarray | Tensor) -> Image.Image:
    """An array (H, W) or (H, W, C), or a tensor (C, H, W) or (1, C, H, W), as an "L", "RGB" or "RGBA" image.

    Floating point values, from 0 to 1, are rounded to 8 bit. Raises InputError for another shape, kind or range.
    """
    is_tensor = isinstance(values, Tensor)
    shape = tuple(values.shape)
    if is_tensor:
        values = values.detach()
        values = (values.float() if values.is_floating_point() else values).cpu().numpy()
        values = values[0] if values.ndim == 4 and shape[0] == 1 else values
        values = np.moveaxis(values, 0, -1) if values.ndim == 3 else np.empty(())
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[-1] not in (1, 3, 4):
        raise InputError(
            "The shape of {what} must be {form} with 1, 3 or 4 channels, not {shape}.",
            what="a tensor" if is_tensor else "an array",
            form="(C, H, W)" if is_tensor else "(H, W, C)",
            shape=shape,
        )
    levels = np.ascontiguousarray(_as_levels(values))
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def _as_levels(values: np.ndarray) -> np.ndarray:
    """uint8 from 0 to 255, of uint8 or of floating point values from 0 to 1."""
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError("The values of a picture must be uint8 or floating point, not {kind}.", kind=values.dtype.name)
    if values.size and not (values.min() >= 0 and values.max() <= 1):  # NaN is in no range
        raise InputError(
            "Floating point values of a picture must be 0 to 1, not {least} to {most}: scale them first.",
            least=f"{values.min():g}",
            most=f"{values.max():g}",
        )
    return (values * 255).round().astype(np.uint8)


def declared_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height that an open picture file declares, before anything is decoded; the file is at its start again.

    Raises:
        InputError: not a picture, or more than `MAX_PIXELS`.
    """
    with _pillow_limit, _decoder_errors(THE_PICTURE):
        size = _undecoded(file, THE_PICTURE).size
    file.seek(0)
    if size[0] * size[1] > MAX_PIXELS:
        raise too_large(THE_PICTURE)
    return size


def embedded_xmp(path: str | Path) -> bytes:
    """The XMP packet inside a picture's file, empty where there is none. Raises InputError as `load_picture`."""
    with _open_file(Path(path)) as file, _pillow_limit, _decoder_errors(str(path)):
        image = _undecoded(file, str(path))
        if image.format == "PNG" and "xmp" not in image.info:  # its texts may stand behind the pixels
            image.load()
        return _xmp_of(image)


def _xmp_of(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return found.encode() if isinstance(found, str) else bytes(found)


def _open_file(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError("{name} is a folder: give a picture file.", name=path)
        if not stat.S_ISREG(mode):  # a pipe or a device may block, or never end
            raise InputError("{name} is not a regular file: give a picture file.", name=path)
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("There is no file {name}: check the name.", name=path) from None
    except OSError as error:
        raise InputError(
            "{name} cannot be read ({reason}): give a file that you may read.", name=path, reason=error.strerror
        ) from error


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(name) from error
    except UnidentifiedImageError as error:
        raise InputError(
            "{name} is not a picture that can be read: give {kinds}.", name=name, kinds=_READABLE
        ) from error
    except MemoryError as error:
        raise InputError("{name} does not fit into the memory of this machine: make it smaller.", name=name) from error
    except Exception as error:  # on damaged bytes a decoder may raise anything
        raise InputError("{name} is damaged or cut short: give a whole picture file.", name=name) from error


def too_large(name: str, limit: int = MAX_PIXELS) -> InputError:
    """The picture has more pixels than the limit."""
    limit //= 1_000_000
    return InputError("{name} has more than {limit} million pixels: make it smaller.", name=name, limit=limit)


class _PillowLimit:
    """Raises Pillow's own limit on pixels, one for the whole process and below ours, while pictures are read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._usual = Image.MAX_IMAGE_PIXELS

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_FILE_PIXELS
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                Image.MAX_IMAGE_PIXELS = self._usual


_pillow_limit = _PillowLimit()


def _read(file: BinaryIO, name: str) -> tuple[Image.Image, list[Sentence]]:
    with _pillow_limit:
        with _decoder_errors(name):
            image = _undecoded(file, name)
        return _decode(image, name)


def _undecoded(file: BinaryIO, name: str) -> Image.Image:
    return Image.open(file, formats=("HEIF",) if _is_heif(file, name) else _FORMATS)


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
            "{name} is a HEIC file, which cannot be read here: save it as JPEG, or `pip install pillow-heif`.",
            name=name,
        ) from None
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _decode(image: Image.Image, name: str) -> tuple[Image.Image, list[Sentence]]:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise too_large(name)
    if width * height == 0:
        raise InputError("{name} has no pixels: give a picture of at least 1x1.", name=name)
    notes = []
    with _decoder_errors(name):
        # Phones write MPO: a JPEG with a depth or brightness map behind it, which is no second frame.
        if getattr(image, "is_animated", False) and image.format != "MPO":
            frame = image.tell() + 1
            notes.append(Sentence("The picture has several frames: only frame {frame} is used.", frame=frame))
        image.load()
    return image, notes


def _upright(image: Image.Image, notes: list[Sentence]) -> Image.Image:
    # Not ImageOps.exif_transpose: it also writes the EXIF block anew and fails on tags that it cannot write.
    method = _TRANSPOSE_OF_ORIENTATION.get(_orientation(image, notes))
    return image if method is None else image.transpose(method)


def _orientation(image: Image.Image, notes: list[Sentence]) -> int:
    """1 to 8, as EXIF counts them; 1 is upright."""
    try:
        found = image.getexif().get(_ORIENTATION_TAG, 1)
        return found if found in _TRANSPOSE_OF_ORIENTATION else 1
    except Exception:  # the EXIF block of a good picture may hold any bytes
        notes.append(Sentence("The picture's EXIF data is damaged and was ignored: it may lie on its side."))
        return 1


@dataclass(frozen=True)
class Header:
    """What a picture file says about itself before a pixel is decoded."""

    size: tuple[int, int]  # as it is stored
    format: str  # as Pillow calls it
    mode: str  # as Pillow calls it
    orientation: int  # 1 to 8; 1 is upright
    profile: bytes | None
    is_plain: bool  # one frame, its rows from top to bottom, its transparency (if any) a channel
    notes: tuple[Sentence, ...]


def read_header(path: str | Path) -> Header:
    """The header of a picture file; raises InputError as `load_picture`, but for size."""
    notes: list[Sentence] = []
    with _open_file(Path(path)) as file, _pillow_limit, _decoder_errors(str(path)):
        image = _undecoded(file, str(path))
        profile, orientation = image.info.get("icc_profile"), _orientation(image, notes)
        jumbled = any(image.info.get(name) for name in ("progressive", "interlace"))
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # as in _decode
        is_plain = frames == 1 and not jumbled and "transparency" not in image.info
        return Header(image.size, image.format, image.mode, orientation, profile, is_plain, tuple(notes))


# ---------------------------------------------------------------------------------------------------------------------
# Tensors and sizes


def picture_to_tensor(rgb: Image.Image) -> Tensor:
    """An "RGB" image as a tensor (1, 3, H, W), float32 in [-1, 1]."""
    if rgb.mode != "RGB":
        raise ValueError(f'an image of mode "RGB" is needed, not "{rgb.mode}": use load_picture(...).rgb')
    levels = torch.from_numpy(np.array(rgb)).permute(2, 0, 1).unsqueeze(0)
    return levels.contiguous().float().div_(127.5).sub_(1)


def tensor_to_picture(tensor: Tensor) -> Image.Image:
    """A tensor (1, 3, H, W) or (3, H, W) in [-1, 1] as an "RGB" image; values beyond are cut off.

    Exact inverse of `picture_to_tensor`.
    """
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ValueError(f"a tensor (1, 3, H, W) or (3, H, W) is needed, not {tuple(tensor.shape)}")
    levels = tensor.detach().float().clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def fit_long_side(image: Image.Image, size: int) -> Image.Image:
    """The image scaled, up or down, until its longer side has `size` pixels; itself if it has."""
    scaled = tuple(max(1, round(side * (size / max(image.size)))) for side in image.size)
    return image if scaled == image.size else image.resize(scaled, Image.Resampling.LANCZOS)


# ---------------------------------------------------------------------------------------------------------------------
# To a file


def save_picture(
    image: Image.Image,
    path: str | Path,
    *,
    pnginfo: PngInfo | None = None,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    xmp: bytes | None = None,
) -> None:
    """Writes the image in the format that the name ends with; a file of that name is replaced whole or not at all.

    Formats without transparency (JPEG, BMP) get a white ground. `pnginfo` is text to embed, which only PNG keeps;
    `exif` is kept by JPEG, WebP, AVIF and TIFF, `icc_profile` by all but BMP, `xmp` by JPEG, WebP and AVIF (a PNG's
    stands in `pnginfo`).

    Raises:
        InputError: unknown suffix, missing folder, no permission, disk full, too many pixels for the format.
    """
    path = Path(path)
    check_target(path)
    file_format, options = _SAVED_AS[path.suffix.lower()]
    extras = {"icc_profile": icc_profile}
    extras |= {"pnginfo": pnginfo} if file_format == "PNG" else {}
    extras |= {"exif": exif} if file_format in ("JPEG", "WEBP", "AVIF", "TIFF") else {}
    extras |= {"xmp": xmp} if file_format in ("JPEG", "WEBP", "AVIF") else {}
    options = options | {name: value for name, value in extras.items() if value is not None}
    write_whole(path, _encode(image, path, file_format, options))


def check_target(path: Path) -> None:
    """Raises InputError where a picture cannot be written: unknown suffix, missing folder, or a folder itself."""
    if path.suffix.lower() not in _SAVED_AS:
        raise InputError(
            "{name} does not say which format to save: end the name with one of {kinds}.",
            name=path,
            kinds=", ".join(_SAVED_AS),
        )
    check_parent(path)
    if os.path.isdir(path):
        raise InputError("{name} is a folder: give another name for the picture.", name=path)


def _encode(image: Image.Image, path: Path, file_format: str, options: dict[str, Any]) -> bytes:
    if image.mode == "RGBA" and file_format in _OPAQUE_FORMATS:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    encoded = io.BytesIO()  # in memory: Pillow's own writing to disk hides why it failed
    if file_format == "PNG" and image.mode in COLOR_TYPES:
        chunks = [tuple(chunk[:2]) for chunk in options["pnginfo"].chunks] if "pnginfo" in options else ()
        write_png(encoded, image, chunks=chunks, icc_profile=options.get("icc_profile"))
        return encoded.getvalue()
    try:
        image.save(encoded, file_format, **options)
    except (OSError, ValueError) as error:
        raise InputError(
            "{name} cannot be saved, {format} does not hold such a picture ({reason}): save it as .png.",
            name=path,
            format=file_format,
            reason=error,
        ) from error
    return encoded.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file; one of that name is replaced whole or not at all. Raises InputError where it cannot be written."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, open for writing, that takes its name once all is written, or is gone.

    Raises:
        InputError: no permission, disk full, or whatever else the system refuses.
    """
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # some disks say only now that they are full
        os.replace(part, path)
    except OSError as error:
        raise unsaved(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def unsaved(path: Path, error: OSError) -> InputError:
    """A file cannot be written; the sentence says why, and what helps."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError("{name} cannot be saved, the disk is full: make room or use another folder.", name=path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError("{name} cannot be saved, you may not write there: use another folder.", name=path)
    return InputError(
        "{name} cannot be saved ({reason}): use another name or folder.", name=path, reason=error.strerror
    )
