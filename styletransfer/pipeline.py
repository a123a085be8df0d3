"""One call from picture to picture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from styletransfer.catalog import Catalog, shipped_catalog
from styletransfer.errors import InputError, Sentence
from styletransfer.hub import repos
from styletransfer.large import Origin, paint_file
from styletransfer.models.canvas import Canvas
from styletransfer.packs import folder as packs
from styletransfer.painter import Layers, OverlaidStrokes, Painter, Part, Photo, Strokes, Touch
from styletransfer.settings import Mask, PaintSettings, Style
from styletransfer.steps import Steps, drained


class StyleTransferPipeline(Painter):
    """Paints photos in the styles of a pack, or in all styles that ship.

        pipeline = StyleTransferPipeline.from_pretrained("org/name")
        pipeline("photo.jpg", style="monet", strength=0.8).save("painting.png")

    Args:
        generator: in float32; it is moved to `device` and its convolutions run in `dtype` from here on.
        folder: the pack it came from, for its sample pictures.
        device: where to paint; the fastest one there is when None.
        dtype: of the convolutions; when None the fastest: int8, bfloat16 or float32, as the device has them.
        backend: "torch", or "onnx" for onnxruntime, which paints on the processor in float32.
    """

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        torch_dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        backend: str = "torch",
    ) -> "StyleTransferPipeline":
        """Load a style pack.

        Args:
            source: its folder, or `org/name` or `org/name@revision` on the Hub, fetched once and then cached. None: all
                styles that ship with the package, each pack loaded when one of its styles is used.
            revision: branch, tag or commit on the Hub, where `source` does not name one; "main" when None.
            token: of a user who may read the pack; the one logged in when None.
            cache_dir: where packs of the Hub are kept; the Hub client's own cache when None.
            local_files_only: take what is in the cache, and ask the Hub nothing.
            torch_dtype: of the convolutions, as diffusers calls it; the same as `dtype`.
            device: where to paint; the fastest one there is when None.
            dtype: of the convolutions; when None the fastest: int8, bfloat16 or float32, as the device has them.
            backend: "torch", or "onnx" for onnxruntime, which paints on the processor in float32.

        Raises:
            InputError: no pack of that name, no way to it, or not a sound one; a revision of a folder; or a backend
                that is unknown or not installed.
        """
        place = {"device": device, "dtype": dtype or torch_dtype, "backend": backend}
        if source is None:
            return ShippedPipeline(shipped_catalog(), **place)
        folder = repos.resolve_pack(
            source, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
        )
        name = folder if Path(source) == folder else source  # nobody looks for a pack of the Hub in its cache
        return cls(packs.load_pack(folder, name), folder=folder, **place)

    def __call__(
        self,
        photo: Photo | Sequence[Photo],
        style: Style | PaintSettings,
        *,
        strength: float = 1.0,
        brush_size: float = 1.0,
        keep_colors: bool = False,
        mask: Mask | None = None,
        wrap: bool = False,
    ) -> Image.Image | list[Image.Image]:
        """Paint a photo, or several in the same settings.

        Args:
            photo: one, or a list of them. A path, bytes, an open file, a PIL image, a NumPy array (H, W, C) or a tensor
                (C, H, W), uint8 from 0 to 255 or floating point from 0 to 1; any size from 16x16 pixels. Arrays
                (N, H, W, C) and tensors (N, C, H, W) are N photos.
            style: a name, or names with shares to mix ({"monet": 0.6, "great-wave": 0.4}), each from 0 to 100, scaled
                to sum to 1. Or `PaintSettings`, and then no other setting.
            strength: 0 to 1. 0 gives the photo's pixels exactly, 1 the painting, between them a blend.
            brush_size: 0.5 to 4, width of the strokes relative to the picture. 1 is as the style learned them, seen on
                a picture of 768 pixels: a larger photo gets wider strokes, and its painting looks the same.
            keep_colors: luminance from the painting, color from the photo.
            mask: a picture, white where to paint, stretched over the photo. Its edge is softened inwards; where it is
                black, the photo's pixels stay exactly.
            wrap: whether the photo's left edge continues the right one, as in a panorama all around: so does the
                painting's then.

        Returns:
            RGB, or RGBA where the photo has transparency (kept bit for bit), as large as the upright photo; of several
            photos a list. The same photo and settings give the same picture.

        Raises:
            InputError: unreadable or too small photo or mask, unknown style, or a setting out of bounds.
        """
        turns = {"strength": strength, "brush_size": brush_size, "keep_colors": keep_colors, "mask": mask, "wrap": wrap}
        settings = PaintSettings.of(style, **turns)
        several = _several(photo)
        if several is None:
            return drained(self.steps(photo, settings))
        return [drained(self.steps(one, settings)) for one in several]

    def paint_file(
        self, photo: str | Path, painting: str | Path, style: Style | PaintSettings, *, pack: str = "", **turns: Any
    ) -> list[Sentence]:
        """Paint a photo's file into another file, with the settings inside and an sRGB profile.

        Above 40 million pixels, from and to JPEG, PNG or TIFF, memory does not grow with the photo; up to a billion
        pixels are painted so.

        Args:
            photo: its file.
            painting: the file to write; its suffix says the format. It is written whole or not at all.
            style: as for `__call__`; or `PaintSettings`, and then no other setting.
            pack: where the pack can be had, for the record in the file.
            turns: the other settings, as for `__call__`.

        Returns:
            What is to be said about the photo, such as a color profile that was ignored.

        Raises:
            InputError: as `__call__`, or the file cannot be written.
        """
        photo, settings = Path(photo), PaintSettings.of(style, **turns)
        return drained(paint_file(self, photo, Path(painting), settings, Origin(photo.name, pack)))


class ShippedPipeline(StyleTransferPipeline):
    """Paints in every style of a catalog, and mixes of them; `StyleTransferPipeline.from_pretrained()` gives one.

    Args:
        catalog: of the styles; the pipeline moves its painters.
        device, dtype, backend: as for `StyleTransferPipeline`.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        backend: str = "torch",
    ) -> None:
        self.catalog, self.folder, self.backend = catalog, None, backend
        self.placed(device, dtype)

    @property
    def styles(self) -> dict[str, str]:
        """Name -> title of every style."""
        return {key: card.title for key, card in self.catalog.styles.items()}

    def sample(self, style: str) -> Path | None:
        """The picture that shows a style, where its pack has one."""
        return self.catalog.card(style).sample

    def check(self, settings: PaintSettings) -> None:
        """Raises InputError where the settings ask for a style that is not here."""
        for name in settings.mix:
            self.catalog.card(name)

    def steps(
        self, photo: Photo, style: Style | PaintSettings, *, layers: Layers | None = None, **turns: Any
    ) -> Steps[Image.Image]:
        """As `Painter.steps`, by the painter of the style or of the mix."""
        settings = PaintSettings.of(style, **turns)
        painter, mix = self.catalog.pipeline(settings.mix)
        return painter.steps(photo, replace(settings, style=mix), layers=layers)

    def paint_steps(
        self, rgb: Image.Image, mix: Mapping[str, float], scale: float = 1.0, wrap: bool = False, brush: float = 1.0
    ) -> Steps[Image.Image]:
        """As `Painter.paint_steps`, by the painter of the style or of the mix."""
        painter, names = self.catalog.pipeline(mix)
        return painter.paint_steps(rgb, names, scale, wrap, brush)

    def parts(self, mix: Mapping[str, float]) -> list[Part]:
        """As `Painter.parts`, by the painter of the style or of the mix."""
        painter, names = self.catalog.pipeline(mix)
        return painter.parts(names)

    def frozen(self, rgb: Image.Image, mix: Mapping[str, float]) -> Touch:
        """As `Painter.frozen`, by the painter of the style or of the mix."""
        painter, names = self.catalog.pipeline(mix)
        return painter.frozen(rgb, names)

    def strokes(
        self, canvas: Canvas, mix: Mapping[str, float], scale: float = 1.0, brush: float = 1.0
    ) -> Steps[Strokes | OverlaidStrokes]:
        """As `Painter.strokes`, by the painter of the style or of the mix."""
        painter, names = self.catalog.pipeline(mix)
        return painter.strokes(canvas, names, scale, brush)

    def placed(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "ShippedPipeline":
        """The pipeline itself, which paints there from here on."""
        self.device, self.dtype = self.catalog.move(device, dtype, self.backend)
        return self


def _several(photo: Any) -> list[Any] | None:
    """The photos of a list or of a batch; None for a single photo. Raises InputError for an empty list."""
    if isinstance(photo, np.ndarray | torch.Tensor):
        return list(photo) if photo.ndim == 4 else None
    if not isinstance(photo, list | tuple):
        return None
    if not photo:
        raise InputError("The list of photos is empty: give at least one.")
    return list(photo)
