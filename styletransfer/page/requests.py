"""Files of the page: what a browser has sent, looked at before it is opened, and what is made for it to fetch."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.images.files import load_picture
from styletransfer.page.studio import zip_files

PREVIEW_QUALITY = 92  # of the JPEG shown on the page; what is taken home is painted anew


def uploaded(photo: Mapping[str, Any] | None, what: str = "photo") -> Path:
    """The file of a photo. A request could name any file of this machine: only what was uploaded is opened."""
    if not isinstance(photo, Mapping) or not isinstance(photo.get("path"), str):
        raise InputError(f"There is no {what} yet: add one first.")
    file = Path(photo["path"]).resolve()
    if not (file.is_file() and file.is_relative_to(files_folder())):
        raise InputError(f"The {what} is no longer here: add it again.")
    return file


def drawn_mask(canvas: Mapping[str, Any] | None) -> Image.Image | None:
    """What was drawn on the canvas, as the browser sent it: "L", white where there is paint; None for nothing."""
    mask = None
    for layer in (canvas or {}).get("layers") or []:
        with uploaded(layer, "drawing").open("rb") as file:
            alpha = load_picture(file).alpha
        if alpha is None:  # drawn over as a whole: all of the photo is painted, as without a mask
            return None
        mask = mask or Image.new("L", alpha.size)
        mask.paste(255, mask=alpha.resize(mask.size).point(lambda level: 255 * (level > 127)))
    return mask if mask and mask.getextrema()[1] else None


def files_folder() -> Path:
    """Where Gradio keeps uploads, serves files from, and cleans up."""
    return Path(gr.utils.get_upload_folder()).resolve()


def new_folder() -> Path:
    """A folder of its own for what one event makes."""
    files_folder().mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=files_folder()))


def archive_of(painted: list[str]) -> str | None:
    """The zip of several paintings; None where there are none."""
    return str(zip_files([Path(file) for file in painted], new_folder() / "paintings.zip")) if painted else None


def save_preview(image: Image.Image, name: str) -> str:
    """A picture for the screen, quick to write and to send: JPEG, or PNG where there is transparency."""
    if image.mode == "RGBA":
        file = new_folder() / f"{name}.png"
        image.save(file, compress_level=1)
    else:
        file = new_folder() / f"{name}.jpg"
        image.save(file, quality=PREVIEW_QUALITY, subsampling=0)
    return str(file)
