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
from styletransfer.paths import __version__
from styletransfer.settings import PaintSettings

KEY = "styletransfer"  # of the text in a PNG; JPEG has the EXIF tag UserComment
MAX_TEXT = 60_000  # bytes: a JPEG's EXIF block ends at 64 KB
MAX_NAME = 100  # characters

_ASCII = b"ASCII\0\0\0"  # how a UserComment says what it is written in


def result_name(photo: str, styles: Mapping[str, float] | str, suffix: str = ".png") -> str:
    """The name of a painting: beach.jpg and monet give beach-monet.png; a mix joins its names with +."""
    names = [styles] if isinstance(styles, str) else list(styles)
    style = "+".join(name.rpartition(":")[2] for name in names)
    return f"{Path(photo).stem[:MAX_NAME]}-{style[:MAX_NAME]}{suffix}"


def save_result(
    image: Image.Image,
    path: str | Path,
    settings: PaintSettings,
    *,
    photo: str = "",
    pack: str = "",
    also: Mapping[str, Any] | None = None,
    xmp: bytes | None = None,
) -> None:
    """Write a painting with its settings inside and an sRGB profile.

    Args:
        image: RGB or RGBA in sRGB.
        path: where; its suffix says the format. PNG is lossless and keeps transparency; BMP holds no settings.
        settings: it was painted with. A mask too large for the format is left out, and said to be.
        photo: name of the photo's file.
        pack: the style's pack, as `from_pretrained` takes it; empty for those that ship.
        also: JSON values by name that stand beside the settings, for what else was asked.
        xmp: a packet that viewers read, as `surround.gpano` makes it; PNG, JPEG, WebP and AVIF hold one.

    Raises:
        InputError: as `save_picture`.
    """
    save_picture(image, path, **embedded(settings, Path(path).suffix, photo=photo, pack=pack, also=also, xmp=xmp))


def embedded(
    settings: PaintSettings,
    suffix: str,
    *,
    photo: str = "",
    pack: str = "",
    also: Mapping[str, Any] | None = None,
    xmp: bytes | None = None,
) -> dict[str, Any]:
    """What goes into a painting's file beside its pixels: `pnginfo`, `exif`, `icc_profile` and `xmp` of `save_picture`.

    Args:
        settings, photo, pack, also, xmp: as for `save_result`.
        suffix: of the file.
    """
    record = {**record_of(settings, photo, pack), **(also or {})}
    text = _text(record, None if suffix.lower() == ".png" else MAX_TEXT)
    notes = PngInfo()
    notes.add_text(KEY, text)
    if xmp:
        notes.add_itxt("XML:com.adobe.xmp", xmp.decode())
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = KEY
    if suffix.lower() in (".tif", ".tiff"):  # Pillow writes no block of comments there
        exif[ExifTags.Base.ImageDescription] = text
    else:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _ASCII + text.encode("ascii")
    return {"pnginfo": notes, "exif": exif.tobytes(), "icc_profile": _srgb_profile(), "xmp": xmp}


def record_of(settings: PaintSettings, photo: str = "", pack: str = "") -> dict[str, Any]:
    """The settings as JSON values by name, with what else it takes to paint the same again."""
    return {
        "program": f"styletransfer {__version__}",
        "photo": photo,
        "pack": pack,
        "style": settings.mix,
        "strength": settings.strength,
        "brush_size": settings.brush_size,
        "keep_colors": settings.keep_colors,
        "mask": None if settings.mask is None else mask_to_text(settings.mask),
        **({"wrap": True} if settings.wrap else {}),
    }


def settings_of(record: Mapping[str, Any]) -> PaintSettings:
    """The settings of a record; raises InputError where they are out of bounds, or its mask was left out or damaged."""
    names = ("style", "strength", "brush_size", "keep_colors", "wrap")
    mask = record.get("mask")
    return PaintSettings(**{name: record[name] for name in names if name in record}, mask=mask and mask_from_text(mask))


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings inside a painting's file.

    Raises:
        InputError: no picture that can be read, or one without settings.
    """
    try:
        with Image.open(path) as image:
            settings = json.loads(image.info.get(KEY) or _comment(image.getexif()))
    except OSError as error:
        raise InputError("{name} is not a picture that can be read: give a painting's file.", name=path) from error
    except (ValueError, TypeError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise InputError("{name} has no settings inside: only paintings saved by this program have.", name=path)
    return settings


def _comment(exif: Image.Exif) -> str:
    comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if comment is None:
        return exif.get(ExifTags.Base.ImageDescription, "")
    return comment.removeprefix(_ASCII).decode("ascii") if isinstance(comment, bytes) else comment


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
