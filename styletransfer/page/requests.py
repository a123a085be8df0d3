"""Files of the page: what a browser has sent, looked at before it is opened, and what is made for it to fetch."""

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.page.studio import load_limited
from styletransfer.settings import PaintSettings, checked_share, no_name

File = Mapping[str, Any]  # of an upload, as the browser names it
MASK_MEGAPIXELS = 100
PREVIEW_QUALITY = 92  # of the JPEG shown on the page; what is taken home is painted anew


class Asked(NamedTuple):
    """What a request sets about a painting, as it was sent, in the order of the page's controls and the endpoints."""

    style: Any
    strength: Any = 1.0
    brush_size: Any = 1.0
    keep_colors: Any = False
    second: Any = ""
    second_share: Any = 0.5
    third: Any = ""
    third_share: Any = 0.5
    mask: Any = None  # an upload; to the canvas's own download what was drawn
    file_format: Any = "PNG"

    def settings(self) -> PaintSettings:
        """Checked, with styles by the catalog's keys; raises InputError for what is out of bounds or no setting."""
        mix: dict[str, float] = {}
        for key, share in ((self.style, 1.0), (self.second, self.second_share), (self.third, self.third_share)):
            if key and not isinstance(key, str):
                raise no_name(key)
            if key:
                mix[key] = mix.get(key, 0.0) + checked_share(share)
        mix = {key: share for key, share in mix.items() if share}
        if not mix:
            raise InputError("There is no style yet: choose one first.")
        mask = self.mask and load_limited(uploaded(self.mask, "mask"), MASK_MEGAPIXELS, "mask").rgb
        colors = False if self.keep_colors is None else self.keep_colors
        return PaintSettings(mix, self.strength, self.brush_size, colors, mask or None)


SETTING_NAMES = Asked._fields[:-2]  # without mask and format


def uploaded(photo: Mapping[str, Any] | None, what: str = "photo") -> Path:
    """The file of a photo. A request could name any file of this machine: only what was uploaded is opened."""
    if not isinstance(photo, Mapping) or not isinstance(photo.get("path"), str):
        raise InputError("There is no {what} yet: add one first.", what=what)
    file = Path(photo["path"]).resolve()
    if not (file.is_file() and file.is_relative_to(files_folder())):
        raise InputError("The {what} is no longer here: add it again.", what=what)
    return file


def drawn_mask(canvas: Mapping[str, Any] | None) -> Image.Image | None:
    """What was drawn on the canvas, as the browser sent it: "L", white where there is paint; None for nothing."""
    mask = None
    for layer in (canvas or {}).get("layers") or []:
        alpha = load_limited(uploaded(layer, "drawing"), MASK_MEGAPIXELS, "drawing").alpha
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


def zip_files(files: Sequence[Path], target: Path) -> Path:
    """A zip of files, stored as they are: pictures do not get smaller."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.name)
    return target


def save_preview(image: Image.Image, name: str) -> str:
    """A picture for the screen, quick to write and to send: JPEG, or PNG where there is transparency."""
    if image.mode == "RGBA":
        file = new_folder() / f"{name}.png"
        image.save(file, compress_level=1)
    else:
        file = new_folder() / f"{name}.jpg"
        image.save(file, quality=PREVIEW_QUALITY, subsampling=0)
    return str(file)
