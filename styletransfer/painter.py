"""One network at work: any photo in any settings, in one pass or tile by tile."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.images.files import Picture, load_picture, picture_to_tensor, tensor_to_picture
from styletransfer.images.finishing import finish, shapes_reach, soft_mask, with_shapes_of
from styletransfer.models.canvas import (
    LEAST_SIDE,
    Box,
    Canvas,
    Loaded,
    Repainted,
    grown,
    margins_of,
    part_of,
    rescaled,
    resized,
    scaled_size,
    stages,
    tiles_of,
)
from styletransfer.models.crew import side_by_side
from styletransfer.models.eight_bits import multiplies_eight_bits
from styletransfer.models.generator import STRIDE, Generator, PlainGenerator
from styletransfer.models.onnx_network import FrozenOnnxNetwork, OnnxNetwork
from styletransfer.packs import folder as packs
from styletransfer.settings import Mask, PaintSettings, Style, shown
from styletransfer.steps import Steps, drained, stretched

WHOLE_PIXELS = 1024 * 1024  # up to here a picture is painted in one pass, with its own statistics
BACKENDS = ("torch", "onnx")
TILE_SIZE = 1024  # side of what a tile adds to a larger picture; margins come on top

Photo = Mask  # both are pictures, opened or not
Touch = Callable[[Image.Image, bool], Steps[Image.Image]]  # "RGB" and whether it wraps -> its painting, see `frozen`


class Part(NamedTuple):
    """What one network gives to a painting; the shares of all sum to 1."""

    painter: "Painter"
    mix: dict[str, float]  # by the names that the painter knows
    share: float


class Layers:
    """The two layers of a painting that take long, made anew each time; who turns one photo often may keep them."""

    def mask(self, mask: Image.Image, size: tuple[int, int]) -> Image.Image:
        """The mask for a picture of that size, its edge softened."""
        return soft_mask(mask, size)

    def painting(self, painter: "Painter", rgb: Image.Image, settings: PaintSettings) -> Steps[Image.Image]:
        """The painting alone, "RGB", as large as the photo."""
        return painter.paint_steps(
            rgb, settings.mix, settings.stroke_scale(rgb.size), settings.wrap, settings.brush_size
        )


class Painter:
    """Paints photos with a trained generator.

    Args:
        generator: in float32; it is moved to `device` and its convolutions run in `dtype` from here on.
        folder: the pack it came from, for its sample pictures.
        device: where to paint; the fastest one there is when None.
        dtype: of the convolutions; when None the fastest: int8, bfloat16 or float32, as the device has them.
        backend: "torch", or "onnx" for onnxruntime, which paints on the processor in float32.

    Raises:
        InputError: an unknown backend, one that is not installed, or a device or dtype that it does not have.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        folder: Path | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        backend: str = "torch",
    ) -> None:
        self.device, self.dtype = place_of(device, dtype, backend)
        self.generator = _convolving(generator.to(self.device), self.dtype).eval()
        self.folder, self.backend = folder, backend
        self._onnx = OnnxNetwork.of(self.generator) if backend == "onnx" else None

    @property
    def network(self) -> Generator | OnnxNetwork:
        """What paints: the generator, or its copy in onnxruntime."""
        return self._onnx or self.generator

    @property
    def styles(self) -> dict[str, str]:
        """Name -> title of every style, in the pack's order."""
        return self.generator.styles

    def sample(self, style: str) -> Path | None:
        """The picture that shows a style, where the pack has one."""
        return packs.sample_path(self.folder, style) if self.folder else None

    def __call__(self, photo: Photo, style: Style | PaintSettings, **turns: Any) -> Image.Image:
        """Paint one photo, see `StyleTransferPipeline.__call__`."""
        return drained(self.steps(photo, style, **turns))

    @torch.inference_mode()
    def steps(
        self, photo: Photo, style: Style | PaintSettings, *, layers: Layers | None = None, **turns: Any
    ) -> Steps[Image.Image]:
        """Paint a photo tile by tile: yields the share that is done, returns the painting.

        Args:
            photo: a picture, opened or not; any size from 16x16 pixels.
            style: settings; or a style or a mix, with the other settings as keywords, see `PaintSettings`.
            layers: keeps what was made before; None makes all of it anew.

        Raises:
            InputError: unreadable or too small photo, settings out of bounds, unknown style, or a network that paints
                no numbers.
        """
        settings, layers = PaintSettings.of(style, **turns), layers or Layers()
        self.check(settings)
        picture = photo if isinstance(photo, Picture) else load_picture(photo)
        check_size(picture.size)
        mask = None if settings.mask is None else layers.mask(settings.mask, picture.size)
        if settings.strength == 0:
            return picture.compose().copy()  # the caller goes on with the photo
        painting = yield from layers.painting(self, picture.rgb, settings)
        laid = finish(picture.rgb, painting, strength=settings.strength, keep_colors=settings.keep_colors, mask=mask)
        return Picture(laid, picture.alpha).compose()

    def to(self, *place: str | torch.device | torch.dtype) -> "Painter":
        """Move to a device, a dtype of the convolutions, or both, as in diffusers; returns the painter itself."""
        for one in place:
            self.placed(**({"dtype": one} if isinstance(one, torch.dtype) else {"device": one}))
        return self

    def placed(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "Painter":
        """The painter itself, moved to what is given."""
        self.device, self.dtype = place_of(device or self.device, dtype or self.dtype, self.backend)
        self.generator = _convolving(self.generator.to(self.device), self.dtype)
        return self

    def check(self, settings: PaintSettings) -> None:
        """Raises InputError where the settings ask for a style that is not here."""
        unknown = [name for name in settings.mix if name not in self.styles]
        if unknown:
            raise no_style(unknown[0], self.styles)

    def paint(self, rgb: Image.Image, style: Style, scale: float = 1.0) -> Image.Image:
        """The painting alone: "RGB" of at least 16x16 pixels in, "RGB" of the same size out; see `paint_steps`."""
        settings = PaintSettings(style)
        self.check(settings)
        return drained(self.paint_steps(rgb, settings.mix, scale))

    @torch.inference_mode()
    def paint_steps(
        self, rgb: Image.Image, mix: Mapping[str, float], scale: float = 1.0, wrap: bool = False, brush: float = 1.0
    ) -> Steps[Image.Image]:
        """The painting alone, in steps.

        Args:
            rgb: "RGB" of at least 16x16 pixels.
            mix: style name -> share, as `PaintSettings` has them.
            scale: width of the strokes in the picture's pixels, as a multiple of what was learned.
            wrap: whether the left edge continues the right one.
            brush: what of the scale is the brush's; the rest is the picture's.
        """
        if scale < 1:
            painting = yield from self._painted(Loaded(rescaled(rgb, 1 / scale, wrap), wrap), mix, 1, 1)
            return resized(painting, rgb.size, Image.Resampling.LANCZOS, wrap)
        if wrap and rgb.width % STRIDE:
            painting = yield from self.paint_steps(_fitting(rgb), mix, scale, wrap, brush)
            return resized(painting, rgb.size, Image.Resampling.BICUBIC, wrap)
        return (yield from self._painted(Loaded(rgb, wrap), mix, scale, brush))

    @torch.inference_mode()
    def strokes(
        self, canvas: Canvas, mix: Mapping[str, float], scale: float = 1.0, brush: float = 1.0
    ) -> Steps["Strokes"]:
        """All that is measured before a picture is painted tile by tile; in steps.

        Args:
            canvas: the photo.
            mix: style name -> share, as `PaintSettings` has them.
            scale, brush: as for `paint_steps`; the scale is at least 1.
        """
        weights = self.style_weights(mix)
        if scale > 1:
            larger, wider = stages(scale, brush)
            small = canvas.reduced(scaled_size(canvas.size, 1 / larger))
            painting = yield from self._painted(Loaded(small, canvas.wrap), mix, wider, wider)
            canvas = Repainted(canvas, small, painting, larger, is_shown=scale > brush)
        width, height = canvas.size
        if width * height <= WHOLE_PIXELS and not canvas.wrap:
            return Strokes(self, canvas, lambda tile, *_: self.network(tile, weights), max(width, height))
        return Strokes(self, canvas, self._folded(canvas, weights).inside, TILE_SIZE)

    def frozen(self, rgb: Image.Image, mix: Mapping[str, float]) -> Touch:
        """How to paint whatever belongs to one picture alike: its parts, other projections of it, the next frame.

        Args:
            rgb: "RGB" of at least 16x16 pixels, on which the statistics are measured (URST, Chen 2022).
            mix: style name -> share, as `PaintSettings` has them.

        Returns:
            Of an "RGB" picture of at least 16x16 pixels, and of whether its left edge continues the right one, the
            painting in steps, strokes as wide as learned.
        """
        return self.touch_of(self._folded(Loaded(rgb), self.style_weights(mix)))

    def touch_of(self, plain: PlainGenerator | FrozenOnnxNetwork) -> Touch:
        """As `frozen`, for a network that was folded already."""
        return lambda part, wrap: self._touched(plain, part, wrap)

    @torch.inference_mode()
    def _folded(self, canvas: Canvas, weights: Tensor) -> PlainGenerator | FrozenOnnxNetwork:
        """The network for one mix, with the statistics of one picture."""
        most = math.sqrt(WHOLE_PIXELS / math.prod(canvas.size))
        size = scaled_size(canvas.size, min(1, most))
        if isinstance(canvas, Repainted) and canvas.is_shown:
            size = min(size, canvas.small.size)  # what was enlarged from it tells no more
        return self.network.fold(weights, self.network.measure(self._tensor(canvas.reduced(size)), weights))

    def _touched(self, plain: PlainGenerator | FrozenOnnxNetwork, rgb: Image.Image, wrap: bool) -> Steps[Image.Image]:
        if wrap and rgb.width % STRIDE:
            painting = yield from self._touched(plain, _fitting(rgb), wrap)
            return resized(painting, rgb.size, Image.Resampling.BICUBIC, wrap)
        return (yield from _assembled(Strokes(self, Loaded(rgb, wrap), plain.inside, TILE_SIZE)))

    def _painted(self, canvas: Canvas, mix: Mapping[str, float], scale: float, brush: float) -> Steps[Image.Image]:
        first = 0.0 if scale == 1 else 1 / (1 + scale**2)  # share of all pixels that are painted
        strokes = yield from stretched(self.strokes(canvas, mix, scale, brush), 0, first)
        return (yield from stretched(_assembled(strokes), first, 1))

    def parts(self, mix: Mapping[str, float]) -> list[Part]:
        """The networks that paint a mix, for who runs them himself, as frames of a video are painted."""
        return [Part(self, dict(mix), 1.0)]

    def style_weights(self, mix: Mapping[str, float]) -> Tensor:
        """(1, S) weights of a mix of the network's styles, on its device."""
        most = max(mix.values())  # first to at most 1: float32 does not hold 1e-60
        return self.generator.style_weights({name: w / most for name, w in mix.items()}).to(self.device)

    def _tensor(self, rgb: Image.Image) -> Tensor:
        return picture_to_tensor(rgb).to(self.device)

    def _image(self, tile: Tensor) -> Image.Image:
        if not tile.sum().isfinite():  # as 8 bits it would be black
            raise InputError(
                "The network of {styles} paints no picture, its weights are damaged: use another copy of the pack.",
                styles=" + ".join(self.styles.values()),
            )
        return tensor_to_picture(tile)


@dataclass(frozen=True)
class Strokes:
    """A picture ready to be painted, tile by tile.

    Args:
        painter: whose network it is.
        canvas: what is painted.
        paint: as `PlainGenerator.inside`.
        side: of a tile, in pixels; margins come on top.
    """

    painter: Painter
    canvas: Canvas
    paint: Callable[..., Tensor]
    side: int

    @property
    def reach(self) -> int:
        """How far a tile looks beyond its sides, in pixels."""
        return self.painter.generator.margin + self._shapes_reach

    @property
    def shares_work(self) -> bool:
        """Whether several tiles may be painted at a time."""
        return self.painter.device.type == "cpu" and self.painter.backend == "torch"

    @property
    def _shapes_reach(self) -> int:
        return shapes_reach(self.canvas.scale) if self._keeps_shapes else 0

    @property
    def _keeps_shapes(self) -> bool:
        return isinstance(self.canvas, Repainted) and self.canvas.is_shown

    def tiles(self) -> Iterator[Box]:
        """Boxes that together cover the picture, row by row, those of a row equally high."""
        return tiles_of(self.canvas.size, self.side)

    @torch.inference_mode()
    def tile(self, box: Box) -> Image.Image:
        """What is painted in one of the boxes, "RGB"; raises InputError where the network paints no numbers."""
        canvas = self.canvas
        if not self._keeps_shapes:
            around = self._around(box)
            return self._painted(box, around, canvas.crop(around))
        inner = grown(box, self._shapes_reach, canvas.size, canvas.wrap)
        around = self._around(inner)
        enlarged = canvas.enlarged(around)
        painted = self._painted(inner, around, canvas.with_photo(enlarged, around))
        return part_of(with_shapes_of(part_of(enlarged, inner, around), painted, canvas.scale), box, inner)

    def _around(self, box: Box) -> Box:
        return grown(box, self.painter.generator.margin, self.canvas.size, self.canvas.wrap)

    def _painted(self, box: Box, around: Box, seen: Image.Image) -> Image.Image:
        """A box, from what is seen of the canvas around it."""
        canvas, painter = self.canvas, self.painter
        margins = margins_of(around, painter.generator.margin, canvas)
        corner = torch.tensor([[around[1], around[0]]], device=painter.device)
        painted = self.paint(painter._tensor(seen), margins, corner, canvas.size[0] if canvas.wrap else None)
        left, top = box[0] - around[0] - margins.left, box[1] - around[1] - margins.top
        return painter._image(painted[..., top : top + box[3] - box[1], left : left + box[2] - box[0]])


class OverlaidPainter(Painter):
    """Paints a mix of networks that were trained apart: each its own painting, laid over one another.

    Args:
        painters: style name -> the painter that has it, and its name there.
    """

    def __init__(self, painters: Mapping[str, tuple[Painter, str]]) -> None:
        first = next(iter(painters.values()))[0]
        self.device, self.dtype, self.generator, self.folder = first.device, first.dtype, first.generator, None
        self.backend = first.backend
        self._painters = dict(painters)

    @property
    def styles(self) -> dict[str, str]:
        """Name -> title of every style of the mix."""
        return {name: painter.styles[own] for name, (painter, own) in self._painters.items()}

    def strokes(
        self, canvas: Canvas, mix: Mapping[str, float], scale: float = 1.0, brush: float = 1.0
    ) -> Steps["OverlaidStrokes"]:
        """As `Painter.strokes`, of all painters."""
        layers, total = [], 0.0
        for painter, own, share in self.parts(mix):
            total += share
            layers.append(((yield from painter.strokes(canvas, own, scale, brush)), share / total))
        return OverlaidStrokes(layers)

    def parts(self, mix: Mapping[str, float]) -> list[Part]:
        """As `Painter.parts`, one for each network of the mix."""
        total = sum(mix.values())
        found = [(*self._painters[name], share / total) for name, share in mix.items() if share]
        return [Part(painter, {own: 1.0}, share) for painter, own, share in found]

    def paint_steps(
        self, rgb: Image.Image, mix: Mapping[str, float], scale: float = 1.0, wrap: bool = False, brush: float = 1.0
    ) -> Steps[Image.Image]:
        """The weighted mean of the paintings, within a level; arguments as `Painter.paint_steps`."""
        turns = (scale, wrap, brush)
        paintings = [(part.share, part.painter.paint_steps(rgb, part.mix, *turns)) for part in self.parts(mix)]
        return (yield from _laid(paintings))

    def frozen(self, rgb: Image.Image, mix: Mapping[str, float]) -> Touch:
        """As `Painter.frozen`; each network has its own statistics."""
        touches = [(part.share, part.painter.frozen(rgb, part.mix)) for part in self.parts(mix)]
        return lambda piece, wrap: _laid([(share, touch(piece, wrap)) for share, touch in touches])


@dataclass(frozen=True)
class OverlaidStrokes:
    """Several paintings of one picture, laid over one another tile by tile; each with its share of all so far."""

    layers: Sequence[tuple[Strokes, float]]

    @property
    def reach(self) -> int:
        """As `Strokes.reach`."""
        return max(strokes.reach for strokes, _ in self.layers)

    @property
    def shares_work(self) -> bool:
        """As `Strokes.shares_work`."""
        return all(strokes.shares_work for strokes, _ in self.layers)

    def tiles(self) -> Iterator[Box]:
        """As `Strokes.tiles`."""
        return self.layers[0][0].tiles()

    def tile(self, box: Box) -> Image.Image:
        """As `Strokes.tile`."""
        laid = None
        for strokes, share in self.layers:
            painting = strokes.tile(box)
            laid = painting if laid is None else Image.blend(laid, painting, share)
        return laid


def painted_tiles(strokes: "Strokes | OverlaidStrokes", boxes: Sequence[Box]) -> Iterator[tuple[Box, Image.Image]]:
    """The boxes in order, each with what is painted there; on a processor several are painted at a time."""
    if strokes.shares_work and len(boxes) > 1:
        yield from side_by_side(strokes.tile, boxes)
    else:
        yield from ((box, strokes.tile(box)) for box in boxes)


def _assembled(strokes: Strokes) -> Steps[Image.Image]:
    """All tiles of a picture, painted and put together."""
    painting, done = Image.new("RGB", strokes.canvas.size), 0
    for box, tile in painted_tiles(strokes, list(strokes.tiles())):
        painting.paste(tile, box[:2])
        done += (box[2] - box[0]) * (box[3] - box[1])
        yield done / (painting.width * painting.height)
    return painting


def _fitting(rgb: Image.Image) -> Image.Image:
    """A picture that goes all around, as wide as whole cells."""
    return resized(rgb, (rgb.width + -rgb.width % STRIDE, rgb.height), Image.Resampling.BICUBIC, True)


def _laid(paintings: Sequence[tuple[float, Steps[Image.Image]]]) -> Steps[Image.Image]:
    """The mean of paintings, by their shares, each made when the one before it is there."""
    laid, total = None, 0.0
    for place, (share, steps) in enumerate(paintings):
        painting = yield from stretched(steps, place / len(paintings), (place + 1) / len(paintings))
        total += share
        laid = painting if laid is None else Image.blend(laid, painting, share / total)
    return laid


def no_style(name: str, known: Mapping[str, object]) -> InputError:
    """There is no style of that name; the sentence lists those that there are."""
    listed = ", ".join(known)
    return InputError("There is no style {style}: choose from {styles}.", style=repr(name[:80]), styles=listed)


def check_size(size: tuple[int, int]) -> None:
    """Raises InputError for a photo (width, height) that is too small to be painted."""
    width, height = size
    if min(size) < LEAST_SIDE:
        raise InputError(
            "The photo is {width}x{height} pixels: the least that can be painted is 16x16.", width=width, height=height
        )


def place_of(
    device: str | torch.device | None = None, dtype: torch.dtype | None = None, backend: str = "torch"
) -> tuple[torch.device, torch.dtype]:
    """Where to paint, and in which arithmetic: what is given, else the fastest there is.

    Raises:
        InputError: an unknown backend, or a device or dtype that it does not have.
    """
    if backend not in BACKENDS:
        raise InputError("The backend is torch or onnx, not {value}.", value=shown(backend))
    if backend == "onnx":
        if torch.device(device or "cpu").type != "cpu" or dtype not in (None, torch.float32):
            raise InputError("The backend onnx paints on the processor in float32: leave device and dtype out.")
        return torch.device("cpu"), torch.float32
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    has_eight_bits = device.type == "cpu" and multiplies_eight_bits()
    if dtype == torch.int8 and not has_eight_bits:
        raise InputError("This device has no fast 8-bit arithmetic: leave dtype out, or give bfloat16 or float32.")
    return device, dtype or (torch.int8 if has_eight_bits else fastest_dtype(device))


def _convolving(generator: Generator, dtype: torch.dtype) -> Generator:
    return generator.convolve_in(dtype, rest=fastest_dtype(next(generator.parameters()).device))


def fastest_dtype(device: torch.device) -> torch.dtype:
    """The fastest to train in, too: bfloat16 where the hardware multiplies it natively, elsewhere float32."""
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def fastest_format(device: torch.device) -> torch.memory_format:
    """How weights lie in memory that are learned fastest there.

    In float32 a processor's step of `learn` takes a sixth less time with channel after channel (AVX2, torch 2.14).
    """
    is_plain = device.type == "cpu" and fastest_dtype(device) == torch.float32
    return torch.contiguous_format if is_plain else torch.channels_last


def _cpu_has_bfloat16() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, absent in some releases
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
