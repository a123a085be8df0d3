"""Photo in, painting out: many styles in one network.

The residual network of Johnson (2016) moved to a quarter of the resolution (space-to-depth in, interpolation and
convolutions out), with conditional instance normalization (Dumoulin 2017): a style is one scale and one shift per
channel and layer, and styles mix by weights. The statistics of a picture can be measured once and frozen (thumbnail
instance normalization, URST, Chen 2022); then every place of a picture is painted alike, wherever a tile is cut, and
the network folds into plain convolutions. A faint grain, always the same, is laid over the photo first, so that strokes
have something to start from where the photo is calm.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from styletransfer.models.convolutions import DoublingConv, EvenConv, Layer, PlainBlocks, PlainEnd, Settling, rectified
from styletransfer.models.eight_bits import FrozenBlocks, MeasuredBlocks, RecentMixes

STRIDE = 4  # pixels per cell of the quarter-resolution grid
RIM = 12  # pixels of mirrored photo painted round the picture and cut off: padding leaves its traces there
LATE_RIM = 8  # what is left of it above quarter resolution, where layers see less far; their zero padding stays within
_LATE_REACH = 12  # pixels: how far the layers above quarter resolution see, 4 + 2 + 2 + 2 + 1 + 1
# Wide enough to keep the rounding of bfloat16 on a blank wall from being painted as texture.
EPSILON = 1e-3
GRAIN_SIDE = 1024  # pixels after which the grain repeats
GRAIN_CELLS = (4, 8, 16)  # pixels: sizes of its grains, each as strong as the others
LEAST_KINSHIP = 0.5
_FOUR = {torch.bfloat16: torch.int64, torch.float16: torch.int64, torch.float32: torch.complex128}  # as wide as four
# What a pack may ask for, so that a stranger's config builds nothing huge.
BOUNDS = {"channels": (4, 256), "blocks": (1, 32)}


class Moments(NamedTuple):
    """Mean and inverse standard deviation of one layer's channels, each (N, C), float32."""

    mean: Tensor
    rstd: Tensor


Statistics = Sequence[Moments]  # one per normalized layer, in order


class Sides(NamedTuple):
    """One value for each side of a picture."""

    left: int
    top: int
    right: int
    bottom: int

    def around(self, x: Tensor) -> Tensor:
        """(N, C, h, w), mirrored outwards by so many places on each side."""
        if not any(self):
            return x
        return F.pad(x, (self.left, self.right, self.top, self.bottom), mode="reflect")

    def cut(self, x: Tensor) -> Tensor:
        """(N, C, h, w) without so many places on each side."""
        return x[..., self.top : x.shape[-2] - self.bottom, self.left : x.shape[-1] - self.right]

    def chosen(self, where: int, elsewhere: int) -> "Sides":
        """One number for the sides that are not 0, another for those that are."""
        return Sides(*(where if side else elsewhere for side in self))


class StyledConv(nn.Module):
    """Convolution, then instance normalization with the scale and shift of a mix of styles (Dumoulin 2017, eq. 5)."""

    def __init__(self, conv: nn.Conv2d, styles: int) -> None:
        super().__init__()
        self.conv = conv
        out_channels = conv.out_channels
        self.scale = nn.Parameter(torch.ones(styles, out_channels))
        self.shift = nn.Parameter(torch.zeros(styles, out_channels))

    def forward(
        self, x: Tensor, style_weights: Tensor, moments: Moments | None, fours: bool = False
    ) -> tuple[Tensor, Moments | None]:
        """(N, C, h, w) -> (N, D, h, w); measures the moments when none are given.

        fours: leave the four pixels of each place as channels, (N, 4 D, h, w), where the convolution doubles; for use.
        """
        x, each = (self.conv.fours(x), 4) if fours else (self.conv(x), 1)
        with torch.autocast(x.device.type, enabled=False):  # the norm keeps x's dtype and sums in float32 by itself
            scale, shift = style_weights.float() @ self.scale, style_weights.float() @ self.shift
            if moments is not None:
                gain = scale * moments.rstd
                return _affine(x, *_repeated(each, gain, shift - moments.mean * gain)), moments
            if torch.is_grad_enabled():
                # In training nobody reads the moments, and this backward is six times as fast as group_norm's.
                return _affine(F.instance_norm(x, eps=EPSILON), scale, shift), None
            n, c, h, w = x.shape
            # Only the CPU takes float32 scales beside bfloat16 features.
            fuse = n == 1 and (x.device.type == "cpu" or x.dtype == torch.float32)
            scale, shift = _repeated(each, scale, shift)
            fused = (scale[0], shift[0]) if fuse else (None, None)
            if x.device.type != "cpu":
                x = x.contiguous()  # CUDA's kernel refuses channels_last
            x, mean, rstd = torch.native_group_norm(x, *fused, n, c, h * w, c // each, EPSILON)
            return x if fuse else _affine(x, scale, shift), Moments(mean.float(), rstd.float())

    def fold(self, style_weights: Tensor, moments: Moments, dtype: torch.dtype | None = None) -> nn.Conv2d:
        """The same layer for one style and frozen moments, as a plain convolution; in its own dtype when None."""
        gain = (style_weights @ self.scale * moments.rstd)[0]
        shift = (style_weights @ self.shift)[0]
        conv = deepcopy(self.conv)  # of the same kind, and no random numbers are drawn
        conv.weight.data = self.conv.weight.float() * gain[:, None, None, None]
        conv.bias.data = (self.conv.bias.float() - moments.mean[0]) * gain + shift
        conv = conv.to(dtype=dtype or self.conv.weight.dtype, memory_format=torch.channels_last)
        return conv.settle() if isinstance(conv, Settling) else conv


class Generator(ModelMixin, ConfigMixin):
    """Paints photos in the styles it has learned.

    Args:
        styles: name -> title of each style, in the order of the columns of `style_weights`; or pairs of both.
        channels: width at quarter resolution.
        blocks: residual blocks of two 3x3 convolutions each.
        grain: deviation of the grain laid over the photo, in the units of [-1, 1]. A sky without any texture leaves
            a convolution nothing to paint strokes from.
    """

    @register_to_config
    def __init__(
        self,
        styles: Mapping[str, str] | Sequence[Sequence[str]],
        channels: int = 64,
        blocks: int = 8,
        grain: float = 0.0,
    ) -> None:
        super().__init__()
        # Pairs, because diffusers sorts the keys of what it writes to config.json, and the order of styles matters.
        self.register_to_config(styles=[list(pair) for pair in dict(styles).items()])
        count = len(self.styles)
        mirrored = {"padding": 1, "padding_mode": "reflect"}
        half, quarter = channels // 2, channels // 4
        self.stem = StyledConv(nn.Conv2d(3 * STRIDE**2, channels, 3, **mirrored), count)
        self.body = nn.ModuleList(
            StyledConv(nn.Conv2d(channels, channels, 3, **mirrored), count) for _ in range(2 * blocks)
        )
        self.up_half = StyledConv(DoublingConv(channels, half), count)
        # Zeros, whose traces stay within the late rim: mirroring copies a picture's worth of memory in each layer.
        self.narrow = StyledConv(nn.Conv2d(half, quarter, 3, padding=1), count)
        self.up_full = StyledConv(DoublingConv(quarter, quarter), count)
        self.to_rgb = EvenConv(quarter, 3)
        self._eight_bits: RecentMixes | None = None

    @property
    def styles(self) -> dict[str, str]:
        """Name -> title, in the order of the columns of `style_weights`."""
        return dict(self.config.styles)

    @property
    def margin(self) -> int:
        """How far a pixel sees, in pixels, rounded up to whole cells: a tile with this margin equals the whole."""
        return STRIDE * (len(self.body) + 6)

    def convolve_in(self, dtype: torch.dtype, rest: torch.dtype = torch.float32) -> "Generator":
        """Run the convolutions in `dtype` (for use, not for training); styles and statistics stay in float32.

        int8: the residual blocks have 8-bit arithmetic when a single picture is painted, all else is in `rest`.
        """
        self._eight_bits = RecentMixes() if dtype == torch.int8 else None
        dtype = rest if dtype == torch.int8 else dtype
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(dtype=dtype, memory_format=torch.channels_last)
            if isinstance(module, Settling):
                module.settle()
        return self

    def style_weights(self, mix: Mapping[str, float]) -> Tensor:
        """(1, S) weights of a mix of known styles, summing to 1."""
        row = torch.tensor([[float(mix.get(name, 0.0)) for name in self.styles]])
        return row / row.sum()

    def forward(
        self,
        photo: Tensor,
        style_weights: Tensor,
        statistics: Statistics | None = None,
        corner: Tensor | None = None,
    ) -> Tensor:
        """Paint photos.

        Args:
            photo: (N, 3, H, W) in [-1, 1], H and W at least 16.
            style_weights: (N, S), rows sum to 1.
            statistics: from `measure`, to paint tiles or frames alike; None measures each photo by itself.
            corner: (N, 2) whole numbers, top and left of each photo in the picture that it was cut from, so that a tile
                has the grain of its place; None for whole pictures.

        Returns:
            (N, 3, H, W) in [-1, 1].
        """
        return self._run(with_grain(photo, self.config.grain, corner), style_weights, statistics)[0]

    def encode(self, picture: Tensor, style_weights: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """What the network sees on its way in, place by place: the features that PatchNCE compares (Park 2020).

        Args:
            picture: (N, 3, H, W) in [-1, 1], H and W at least 16.
            style_weights: (N, S), rows sum to 1.
            layers: 0 for the pixels of each cell (48 channels), 1 for the stem, 1 + k for what residual block k leaves.

        Returns:
            One (N, C, ceil(H / 4), ceil(W / 4)) per layer, in the order asked for.
        """
        seen = [_cells(picture.to(self.to_rgb.weight.dtype))]
        if max(layers) > 0:
            seen.append(_relu(self.stem(seen[0], style_weights, None)[0]))
        inside = self.body[: 2 * max(0, max(layers) - 1)]
        for first, second in zip(inside[::2], inside[1::2], strict=True):
            inner = _relu(first(seen[-1], style_weights, None)[0])
            seen.append(seen[-1] + second(inner, style_weights, None)[0])
        rim, height, width = (RIM // STRIDE, *(-(-side // STRIDE) for side in picture.shape[-2:]))
        return [seen[layer][..., rim : rim + height, rim : rim + width] for layer in layers]

    @torch.no_grad()
    def measure(self, photo: Tensor, style_weights: Tensor) -> Statistics:
        """The statistics with which `forward` would paint this photo, to be frozen for its tiles or its full size."""
        return self._run(with_grain(photo, self.config.grain), style_weights, None)[1]

    def fold(self, style_weights: Tensor, statistics: Statistics) -> "PlainGenerator":
        """The same network for one style mix (1, S) and frozen statistics, as plain convolutions."""
        with torch.no_grad():
            brief = None if self._eight_bits is None else torch.float32  # what is rounded to levels is rounded once
            dtypes = [brief if layer in self.body else None for layer in self._styled()]
            folding = zip(self._styled(), statistics, dtypes, strict=True)
            convs = [layer.fold(style_weights, moments, dtype) for layer, moments, dtype in folding]
            stem, *body, up_half, narrow, up_full = convs
            if self._eight_bits is None:
                blocks = PlainBlocks(body)
            else:
                blocks = FrozenBlocks(body, *self._scales_and_shifts(style_weights))
            return PlainGenerator(stem, blocks, PlainEnd(up_half, narrow, up_full, self.to_rgb), self.config.grain)

    def _styled(self) -> Iterator[StyledConv]:
        return iter((self.stem, *self.body, self.up_half, self.narrow, self.up_full))

    def _scales_and_shifts(self, weights: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(C,) of a mix (1, S), of the stem and of the residual blocks."""
        layers = (self.stem, *self.body)
        return [(weights @ layer.scale)[0] for layer in layers], [(weights @ layer.shift)[0] for layer in layers]

    def _through_eight_bits(self, x: Tensor, weights: Tensor) -> tuple[Tensor, list[Moments]]:
        """The residual blocks, measured: (1, C, h, w) in and out."""

        def make() -> MeasuredBlocks:
            convs = [layer.conv for layer in self.body]
            return MeasuredBlocks(convs, *self._scales_and_shifts(weights), EPSILON)

        blocks = self._eight_bits.of(tuple(weights[0].tolist()), make)
        painted, measured = blocks(x, Sides(1, 1, 1, 1).around)
        return painted.to(x.dtype), [Moments(*layer) for layer in measured]

    def _run(self, photo: Tensor, weights: Tensor, frozen: Statistics | None) -> tuple[Tensor, list[Moments]]:
        measured = []
        given = iter(frozen) if frozen is not None else None

        def styled(layer: StyledConv) -> Layer:
            def paint(x: Tensor, **how: bool) -> Tensor:
                x, moments = layer(x, weights, next(given) if given is not None else None, **how)
                measured.append(moments)
                return x

            return paint

        stem, *body, up_half, narrow, up_full = map(styled, self._styled())
        height, width = photo.shape[-2:]
        x = _relu(stem(_cells(photo.to(self.to_rgb.weight.dtype))))
        if self._eight_bits is not None and given is None and len(photo) == 1 and not torch.is_grad_enabled():
            x, moments = self._through_eight_bits(x, weights)
            measured += moments
        else:
            for first, second in zip(body[::2], body[1::2], strict=True):
                x = second(_relu(first(x))).add_(x)
        x = _relu(up_half(_without_alternation(_without_outer_cells(x), Sides(2, 2, 2, 2))))
        x = _relu(narrow(x))
        if self.to_rgb.settled is None or torch.is_grad_enabled():
            x = self.to_rgb(_relu(up_full(x)))
        else:
            x = F.pixel_shuffle(self.to_rgb.between_fours(_relu(up_full(x, fours=True))), 2)
        return torch.tanh(x[..., LATE_RIM : LATE_RIM + height, LATE_RIM : LATE_RIM + width].float()), measured


class Share(NamedTuple):
    """What one network gives to a blend."""

    generator: Generator
    style: str  # of the generator
    name: str  # of that style in the blend
    weight: float


def blended(shares: Sequence[Share]) -> Generator:
    """One network between several of one family: each weight is the weighted mean of theirs (Wang 2019, eq. 4).

    Networks that were trained on from the same one stay near one another, and what lies between them paints a style
    between theirs. Those that were trained apart have nothing between them that paints.

    Args:
        shares: of which the names differ, and not all weights are 0.

    Returns:
        A generator of these styles, in that order, in float32. It paints well with just these weights.

    Raises:
        ValueError: sizes differ, or the networks were trained apart.
    """
    first, total = shares[0].generator, sum(share.weight for share in shares)
    sizes = {name: first.config[name] for name in ("channels", "blocks", "grain")}
    if any({name: share.generator.config[name] for name in sizes} != sizes for share in shares):
        raise ValueError("their networks are of different sizes")
    states = [{key: x.float().cpu() for key, x in share.generator.state_dict().items()} for share in shares]
    if any(_kinship(states[0], other) < LEAST_KINSHIP for other in states[1:]):
        raise ValueError("their networks were trained apart")
    rows = [list(share.generator.styles).index(share.style) for share in shares]
    blend = {
        key: torch.stack([state[key][row] for state, row in zip(states, rows, strict=True)])
        if key.endswith((".scale", ".shift"))
        else sum(state[key] * (share.weight / total) for state, share in zip(states, shares, strict=True))
        for key in states[0]
    }
    found = Generator({share.name: share.generator.styles[share.style] for share in shares}, **sizes)
    found.load_state_dict(blend)
    return found.eval().requires_grad_(False)


def _kinship(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Cosine of the residual blocks' weights: near 1 where both were trained on from the same network, else near 0."""
    keys = [key for key in one if key.startswith("body.") and key.endswith("conv.weight")]
    first, second = (torch.cat([state[key].flatten() for key in keys]) for state in (one, other))
    return F.cosine_similarity(first, second, dim=0).item()


class PlainGenerator(nn.Module):
    """A generator folded for one style and one picture: convolutions only. (1, 3, H, W) -> (1, 3, H, W)."""

    def __init__(self, stem: nn.Conv2d, blocks: PlainBlocks | FrozenBlocks, end: PlainEnd, grain: float) -> None:
        super().__init__()
        self.stem, self.blocks, self.end, self.grain = stem, blocks, end, grain

    def forward(self, photo: Tensor, corner: Tensor | None = None, around: int | None = None) -> Tensor:
        """(1, 3, H, W) in [-1, 1] -> painting of the same shape; `corner` and `around` as for `with_grain`."""
        return self.inside(photo, Sides(0, 0, 0, 0), corner, around)

    def inside(self, tile: Tensor, margins: Sides, corner: Tensor | None = None, around: int | None = None) -> Tensor:
        """A tile of a picture without its margins, as the whole picture has it.

        Each layer leaves away the places that no later one looks at. So a margin costs half of what it does in
        `forward`, and where it is, nothing has to be mirrored.

        Args:
            tile: (1, 3, h, w) in [-1, 1].
            margins: pixels on each side that are not wanted: `Generator.margin`, or 0 where the picture ends.
            corner, around: as for `with_grain`.

        Returns:
            (1, 3, height, width) in [-1, 1].
        """
        photo = with_grain(tile, self.grain, corner, around).to(self.stem.weight.dtype)
        rim, one, two = (margins.chosen(0, width) for width in (RIM, 1, 2))
        x = rectified(one.around(_cells(photo, rim)), self.stem.weight, self.stem.bias)
        x = self.blocks(x, one.around, margins.chosen(2, 0).cut).to(photo.dtype)
        x = margins.chosen(0, (RIM - LATE_RIM) // STRIDE).cut(x)
        x = self.end(_without_alternation(x, two))
        # Rows that fill up the last cell lie beyond an edge, as the rim does.
        height, width = tile.shape[-2:]
        late = margins.chosen(_LATE_REACH, LATE_RIM)
        late = late._replace(right=late.right + -width % STRIDE, bottom=late.bottom + -height % STRIDE)
        return torch.tanh(late.cut(F.pixel_shuffle(x, 2)).float())


def with_grain(photo: Tensor, amount: float, corner: Tensor | None = None, around: int | None = None) -> Tensor:
    """Photos (N, 3, H, W) with the grain of their place in the picture.

    Args:
        photo: in [-1, 1].
        amount: deviation of the grain.
        corner: (N, 2) whole numbers, top and left in the picture; None for 0.
        around: width of a picture whose left edge continues the right one; None for others.
    """
    if not amount:
        return photo
    field, (height, width) = _grain().to(photo), photo.shape[-2:]
    if corner is None and max(height, width) <= GRAIN_SIDE:
        return torch.add(photo, field[:height, :width], alpha=amount)
    down, across = (torch.arange(side, device=photo.device) for side in (height, width))
    corner = torch.zeros(1, 2, dtype=torch.long, device=photo.device) if corner is None else corner
    down, across = (start[:, None] + run for start, run in zip(corner.T, (down, across), strict=True))
    down, across = down % GRAIN_SIDE, (across if around is None else across % around) % GRAIN_SIDE
    return torch.add(photo, field[down[:, :, None], across[:, None, :]][:, None], alpha=amount)


@lru_cache(maxsize=1)
def _grain() -> Tensor:
    """(GRAIN_SIDE, GRAIN_SIDE) of deviation 1; its edges fit together, so it repeats without a seam."""
    field = sum(_woven(cells, size) / _woven(cells, size).std() for size, cells in _coarse_grain())
    return field / field.std()


def grain_cells() -> list[tuple[int, Tensor]]:
    """What the grain is woven from: the size of its grains in pixels, and their coarse field (1, 1, n + 4, n + 4).

    A field overlaps itself by two cells on each side. Enlarged by the size with bicubic interpolation, without that
    rim, and added up, the three are the grain.
    """
    scaled = [(size, cells / _woven(cells, size).std()) for size, cells in _coarse_grain()]
    whole = sum(_woven(cells, size) for size, cells in scaled).std()
    return [(size, cells / whole) for size, cells in scaled]


def _coarse_grain() -> list[tuple[int, Tensor]]:
    source, counts = torch.Generator().manual_seed(0), [(size, GRAIN_SIDE // size) for size in GRAIN_CELLS]
    fields = [(size, torch.randn(1, 1, count, count, generator=source)) for size, count in counts]
    return [(size, F.pad(field, (2, 2, 2, 2), mode="circular")) for size, field in fields]


def _woven(cells: Tensor, size: int) -> Tensor:
    smooth = F.interpolate(cells, scale_factor=size, mode="bicubic", align_corners=False)
    return smooth[0, 0, 2 * size : -2 * size, 2 * size : -2 * size]


def _cells(photo: Tensor, rim: Sides | None = None) -> Tensor:
    """(N, 3, H, W) -> (N, 48, h, w): the photo with its rim, the pixels of each 4x4 cell as channels."""
    height, width = photo.shape[-2:]
    rim = rim or Sides(RIM, RIM, RIM, RIM)
    filled = rim._replace(right=rim.right + -width % STRIDE, bottom=rim.bottom + -height % STRIDE)
    photo, four = filled.around(photo), _FOUR.get(photo.dtype)
    if torch.is_grad_enabled() or photo.device.type != "cpu" or four is None:
        photo = photo.contiguous(memory_format=torch.channels_last)
        return F.pixel_unshuffle(photo, STRIDE).contiguous(memory_format=torch.channels_last)
    # Four pixels of a row are moved as one number.
    rows = photo.contiguous().view(four).unflatten(2, (-1, STRIDE)).permute(0, 2, 4, 1, 3)
    return rows.contiguous().view(photo.dtype).flatten(3).permute(0, 3, 1, 2)


def _without_outer_cells(x: Tensor) -> Tensor:
    """(N, C, h, w) with what is left of the rim."""
    cut = (RIM - LATE_RIM) // STRIDE
    return x[..., cut : x.shape[2] - cut, cut : x.shape[3] - cut]


def _without_alternation(x: Tensor, mirrored: Sides) -> Tensor:
    """Features without what alternates from cell to cell.

    Such a pattern keeps step with the grid of cells, and once interpolated the next ReLU would make the grid visible.
    The filter, 1 - sin^4(pi f) in each direction, is zero there and hardly touches what is slower.
    """
    kernel = alternation_kernel().to(x).expand(x.shape[1], 1, 5, 5)
    return F.conv2d(mirrored.around(x), kernel, groups=x.shape[1])


def alternation_kernel() -> Tensor:
    """(5, 5) of `_without_alternation`."""
    taps = torch.tensor([-1.0, 4.0, 10.0, 4.0, -1.0]) / 16
    return taps[:, None] * taps


def _relu(x: Tensor) -> Tensor:
    # In place: at full resolution fetching fresh memory takes longer than the arithmetic.
    return F.relu(x, inplace=True)


def _repeated(each: int, *values: Tensor) -> list[Tensor]:
    """(N, C), every number so many times in a row."""
    return [value.repeat_interleave(each, dim=1) for value in values]


def _affine(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """(N, C, h, w) times (N, C) plus (N, C), in x's dtype."""
    gain, shift = (values[:, :, None, None].to(x.dtype) for values in (gain, shift))
    return torch.addcmul(shift, x, gain)
