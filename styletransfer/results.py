"""The file that is taken home: named after photo and style, its settings inside so that it can be made again."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from styletransfer.errors import InputError
from styletransfer.images.files import load_picture, save_picture

KEY = "styletransfer"  # of the text in a PNG; JPEG has the EXIF tag UserComment
MAX_TEXT = 60_000  # bytes: a JPEG's EXIF block ends at 64 KB
MAX_NAME = 100  # characters

_ASCII = b"ASCII\0\0\0"  # how a UserComment says what it is written in


def result_name(photo: str, styles: Mapping[str, float] | str, suffix: str = ".png") -> str:
    """The name of a painting: beach.jpg and monet give beach-monet.png; a mix joins its names with +."""
    names = [styles] if isinstance(styles, str) else list(styles)
    style = "+".join(name.rpartition(":")[2] for name in names)
    return f"{Path(photo).stem[:MAX_NAME]}-{style[:MAX_NAME]}{suffix}"


def save_result(image: Image.Image, path: str | Path, settings: Mapping[str, Any]) -> None:
    """Write a painting as PNG, JPEG, WebP or AVIF with its settings inside and an sRGB profile.

    Args:
        image: RGB or RGBA in sRGB.
        path: where; its suffix says the format. PNG is lossless and keeps transparency.
        settings: JSON values by name. A "mask" too large for the format is left out, and said to be.

    Raises:
        InputError: as `save_picture`.
    """
    path = Path(path)
    text = _text(settings, None if path.suffix.lower() == ".png" else MAX_TEXT)
    notes = PngInfo()
    notes.add_text(KEY, text)
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = KEY
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _ASCII + text.encode("ascii")
    save_picture(image, path, pnginfo=notes, exif=exif.tobytes(), icc_profile=_srgb_profile())


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings inside a painting's file.

    Raises:
        InputError: no picture that can be read, or one without settings.
    """
    try:
        with Image.open(path) as image:
            text = image.info.get(KEY)
            if text is None:
                comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
                text = comment.removeprefix(_ASCII).decode("ascii") if isinstance(comment, bytes) else comment
        settings = json.loads(text)
    except OSError as error:
        raise InputError(f"{path} is not a picture that can be read; give a painting's file") from error
    except (ValueError, TypeError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise InputError(f"{path} has no settings inside: only paintings saved by this program have")
    return settings


def mask_to_text(mask: Image.Image) -> str:
    """A mask ("L") for the settings: a PNG in base64, lossless."""
    file = io.BytesIO()
    mask.convert("L").save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def mask_from_text(text: str) -> Image.Image:
    """The mask ("L") of settings; raises InputError where it is damaged."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InputError("The mask among the settings is damaged: draw it again.") from error
    return load_picture(content).rgb.convert("L")


def _text(settings: Mapping[str, Any], limit: int | None) -> str:
    text = json.dumps(dict(settings))  # ASCII, whatever a title holds
    if limit is not None and len(text) > limit:
        text = json.dumps({**settings, "mask": "left out: too large for this format, PNG keeps it"})
    return text


def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
