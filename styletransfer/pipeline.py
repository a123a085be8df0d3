"""One call from picture to picture."""

import math
from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import BinaryIO

import torch
from PIL import Image
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.hub import repos
from styletransfer.images.files import MAX_PIXELS, Picture, load_picture, picture_to_tensor, tensor_to_picture
from styletransfer.images.finishing import finish, soft_mask
from styletransfer.models.generator import STRIDE, Generator
from styletransfer.packs import folder as packs
from styletransfer.steps import Steps, drained, stretched

LEAST_SIDE = 16  # pixels
WHOLE_PIXELS = 1024 * 1024  # up to here a picture is painted in one pass, with its own statistics
BRUSH_SIZES = (0.25, 64.0)
TILE_SIZE = 512  # side of what a tile adds to a larger picture; margins come on top

Photo = Image.Image | Picture | str | Path | bytes | BinaryIO
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class StyleTransferPipeline:
    """Paints photos with a trained generator.

    Args:
        generator: in float32; it is moved to `device` and its convolutions run in `dtype` from here on.
        folder: the pack it came from, for its sample pictures.
        device: where to paint; the fastest one there is when None.
        dtype: of the convolutions; bfloat16 where the device computes it natively when None, else float32.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        folder: Path | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = dtype or fastest_dtype(self.device)
        self.generator = generator.to(self.device).convolve_in(self.dtype).eval()
        self.folder = folder

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> "StyleTransferPipeline":
        """Load a style pack: a folder, or `org/name` or `org/name@revision` on the Hub, fetched once and then cached.

        Raises InputError for anything that is not a sound one.
        """
        folder = repos.resolve_pack(source)
        return cls(packs.load_pack(folder), folder=folder, device=device, dtype=dtype)

    @property
    def styles(self) -> dict[str, str]:
        """Name -> title of every style, in the pack's order."""
        return self.generator.styles

    def sample(self, style: str) -> Path | None:
        """The picture that shows a style, where the pack has one."""
        return packs.sample_path(self.folder, style) if self.folder else None

    def __call__(
        self,
        photo: Photo,
        style: str | Mapping[str, float],
        *,
        strength: float = 1.0,
        brush_size: float = 1.0,
        keep_colors: bool = False,
        mask: Photo | None = None,
    ) -> Image.Image:
        """Paint a photo.

        Args:
            photo: a picture, opened or not; any size from 16x16 pixels.
            style: a name, or names with weights to mix ({"monet": 0.6, "great-wave": 0.4}), scaled to sum to 1.
            strength: 0 gives the photo's pixels exactly, 1 the painting, between them a blend.
            brush_size: width of the strokes, 1 as learned in pixels of the photo; `relative_brush` turns a width
                relative to the picture into this one. Between 0.25 and 64.
            keep_colors: luminance from the painting, color from the photo.
            mask: a picture, white where to paint, stretched over the photo. Its edge is softened inwards; where it is
                black, the photo's pixels stay exactly.

        Returns:
            RGB, or RGBA where the photo has transparency (kept bit for bit), as large as the upright photo. The same
            photo and settings give the same picture.

        Raises:
            InputError: unreadable or too small photo or mask, unknown style, weights, strength or brush out of range.
        """
        settings = {"strength": strength, "brush_size": brush_size, "keep_colors": keep_colors, "mask": mask}
        return drained(self.steps(photo, style, **settings))

    @torch.inference_mode()
    def steps(
        self,
        photo: Photo,
        style: str | Mapping[str, float],
        *,
        strength: float = 1.0,
        brush_size: float = 1.0,
        keep_colors: bool = False,
        mask: Photo | None = None,
    ) -> Steps[Image.Image]:
        """Paint a photo tile by tile, see `__call__`: yields the share that is done, returns the painting."""
        self._style_weights(style)
        picture = photo if isinstance(photo, Picture) else load_picture(photo)
        check_settings(picture, strength, brush_size)
        soft = None if mask is None else soft_mask(_opened(mask), picture.size)
        if strength == 0:
            return picture.compose().copy()  # the caller goes on with the photo
        painting = yield from self._paint_steps(picture.rgb, style, brush_size)
        finished = finish(picture.rgb, painting, strength=strength, keep_colors=keep_colors, mask=soft)
        return Picture(finished, picture.alpha).compose()

    def paint(self, rgb: Image.Image, style: str | Mapping[str, float], *, brush_size: float = 1.0) -> Image.Image:
        """The painting alone: "RGB" of at least 16x16 pixels in, "RGB" of the same size out. See `__call__`."""
        return drained(self._paint_steps(rgb, style, brush_size))

    @torch.inference_mode()
    def _paint_steps(self, rgb: Image.Image, style: str | Mapping[str, float], brush_size: float) -> Steps[Image.Image]:
        weights = self._style_weights(style)
        if brush_size == 1:
            return (yield from self._painted(rgb, weights))
        first = 1.0 if brush_size < 1 else 1 / (1 + brush_size**2)  # share of all pixels that are painted
        painting = yield from stretched(self._painted(rescaled(rgb, 1 / brush_size), weights), 0, first)
        painting = painting.resize(rgb.size, Image.Resampling.LANCZOS if brush_size < 1 else Image.Resampling.BICUBIC)
        if brush_size < 1:
            return painting
        # Enlarged strokes are blurred. Painted over once more they are sharp again, and stay large. The share of the
        # photo keeps its contours, and makes the step from a brush of 1 to a slightly larger one a small one.
        again = Image.blend(painting, rgb, 1 / brush_size**2)
        return (yield from stretched(self._painted(again, weights), first, 1))

    def _painted(self, rgb: Image.Image, weights: Tensor) -> Steps[Image.Image]:
        painting, done = Image.new("RGB", rgb.size), 0
        for box, tile in self._paint(rgb, weights):
            painting.paste(tensor_to_picture(tile), box[:2])
            done += (box[2] - box[0]) * (box[3] - box[1])
            yield done / (rgb.width * rgb.height)
        return painting

    def _style_weights(self, style: str | Mapping[str, float]) -> Tensor:
        mix = {style: 1.0} if isinstance(style, str) else dict(style)
        unknown = [name for name in mix if name not in self.styles]
        if unknown:
            raise InputError(f"There is no style {unknown[0]!r}: choose from {', '.join(self.styles)}.")
        check_mix(mix)
        most = max(float(w) for w in mix.values())  # first to at most 1: float32 holds neither 1e300 nor 1e-60
        return self.generator.style_weights({name: float(w) / most for name, w in mix.items()}).to(self.device)

    def _paint(self, rgb: Image.Image, weights: Tensor) -> Iterator[tuple[Box, Tensor]]:
        """Painted boxes (1, 3, h, w) that together cover the picture."""
        width, height = rgb.size
        if width * height <= WHOLE_PIXELS:
            yield (0, 0, width, height), self.generator(self._tensor(rgb), weights)
            return
        plain = self.generator.fold(weights, self.generator.measure(self._tensor(_thumbnail(rgb)), weights))
        for box in _tiles(width, height, TILE_SIZE):
            around = _grow(box, self.generator.margin, width, height)
            corner = torch.tensor([[around[1], around[0]]], device=self.device)
            painted = plain(self._tensor(rgb.crop(around)), corner)
            left, top = box[0] - around[0], box[1] - around[1]
            yield box, painted[..., top : top + box[3] - box[1], left : left + box[2] - box[0]]

    def _tensor(self, rgb: Image.Image) -> Tensor:
        return picture_to_tensor(rgb).to(self.device)


def relative_brush(brush_size: float, size: tuple[int, int], side: int) -> float:
    """The brush for a picture of `size` whose strokes look as `brush_size` does on the picture made smaller.

    Args:
        brush_size: on the smaller picture.
        size: width and height of the picture in pixels.
        side: the longer side of the smaller picture; pictures that are no larger keep the brush.
    """
    return min(brush_size * max(1.0, max(size) / side), BRUSH_SIZES[1])


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively; elsewhere it would be emulated, slower than float32."""
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def _cpu_has_bfloat16() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, absent in some releases
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def check_mix(mix: Mapping[str, float]) -> None:
    """Raises InputError where the weights of styles cannot be shares: below 0, no numbers, or all of them 0."""
    usable = all(isinstance(w, Real) and math.isfinite(w) and w >= 0 for w in mix.values())
    if not usable or not any(mix.values()):
        raise InputError(f"Style weights are {dict(mix)}: give numbers of at least 0, one of them larger.")


def check_settings(picture: Picture, strength: float, brush_size: float) -> None:
    """Raises InputError where a photo cannot be painted with these; NaN is out of every range."""
    if not 0 <= strength <= 1:
        raise InputError(f"Strength is {strength}: it must be between 0 (the photo) and 1 (the painting).")
    width, height = picture.size
    if min(picture.size) < LEAST_SIDE:
        raise InputError(f"The photo is {width}x{height} pixels: the least that can be painted is 16x16.")
    least, most = BRUSH_SIZES
    if not least <= brush_size <= most:
        raise InputError(f"The brush size is {brush_size}: it must be between {least} (fine) and {most:g} (broad).")
    if width * height > MAX_PIXELS * brush_size**2:
        raise InputError(f"The photo is too large for a brush of {brush_size}: take a larger brush.")


def _opened(mask: Photo) -> Image.Image:
    picture = mask if isinstance(mask, Picture) else load_picture(mask)
    return picture.rgb


def rescaled(rgb: Image.Image, scale: float) -> Image.Image:
    """The picture at that scale, no side of it below what can be painted."""
    size = (max(LEAST_SIDE, round(rgb.width * scale)), max(LEAST_SIDE, round(rgb.height * scale)))
    return rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _thumbnail(rgb: Image.Image) -> Image.Image:
    """The whole picture with about WHOLE_PIXELS pixels: what its statistics are measured on."""
    return rescaled(rgb, math.sqrt(WHOLE_PIXELS / (rgb.width * rgb.height)))


def _tiles(width: int, height: int, side: int) -> Iterator[Box]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield left, top, min(left + side, width), min(top + side, height)


def _grow(box: Box, margin: int, width: int, height: int) -> Box:
    """The box with its margin, inside the picture; the margin is a whole number of cells, so cells stay in place."""
    assert margin % STRIDE == 0 and TILE_SIZE % STRIDE == 0
    left, top, right, bottom = box
    return max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin)
