"""One picture, its pixels optimized until it is painted (Gatys 2016): minutes for a photo, more than a network can.

The objective is that of the networks. From coarse to fine, as crowsonkb's style-transfer-pytorch does: large strokes
are laid out on a small picture, and each larger one begins with what the one before has come to. Pixels are the sum of
a pyramid (STROTSS, Kolkin 2019, section 2.4), so that one step moves whole strokes and single pixels alike.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from styletransfer.errors import InputError, Sentence
from styletransfer.images.files import Picture, Source, load_picture, picture_to_tensor, tensor_to_picture
from styletransfer.learning.paintings import prepare_painting
from styletransfer.learning.recipe import NetworkWeights, build_objective, learning_config
from styletransfer.models.losses import luminance
from styletransfer.painter import check_size, place_of
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import shown

INITS = ("photo", "style", "noise")
SIZES = (128, 2048)  # pixels of the long side
COARSEST = 192  # pixels of the long side of the first picture
GROWTH = 2**0.5  # from one to the next
LEAST_SIDE = 80  # pixels of a short side: the networks halve it several times
SCALE_SHARES = 1.4  # times as long for each next picture
LEVELS = 5  # of the pyramid
LEARNING_RATE = 0.03  # in the units of [-1, 1]
LAYER_RATES = (1.0, 1.0, 1.0, 0.7, 0.35)  # of it, from the coarsest layer on: Adam moves single pixels into noise
LAST_RATE = 0.1  # share of it that is left at the end of a scale
NOISE = 0.5  # deviation of --init noise
# Pixels, unlike a network, can follow every photo closely, so content needs to be asked for less than there.
CONTENT_SHARE = 0.12
WINDOW, WHOLE = 256, 400  # pixels: what the costliest layers see of a picture with a long side of more than WHOLE
JITTER = 8  # pixels: networks look from another corner in each step, else their strides are painted as a grid
CALM_EVERY = 3  # steps, in one of which style is asked of calm places alone, so that skies are painted, too
CALM_SHARE = 0.35  # of the picture that counts as calm
CALM_CELL = 1 / 16  # of the long side: where calmness is measured


@dataclass(frozen=True)
class StylePicture:
    """A painting, what it counts, and where.

    Args:
        painting: a picture, opened or not.
        weight: beside the other paintings, above 0.
        mask: a picture, white where this painting is the style, stretched over the photo; None: everywhere. Where no
            painting is the style, the photo stays.
    """

    painting: Source | Picture
    weight: float = 1.0
    mask: Source | Picture | None = field(default=None)


@dataclass(frozen=True)
class Sight:
    """How far a picture is."""

    seconds: float
    done: float  # share of the time that is behind, 0 to 1
    steps: int
    size: tuple[int, int]  # width and height that are worked on now


class PictureOptimizer:
    """A photo on its way to being painted like one or several paintings; what there is so far is a picture at any time.

    Args:
        photo: a picture, opened or not.
        styles: the paintings.
        size: long side of the result in pixels; a smaller photo keeps its own.
        init: what the first picture is: "photo", "style" (the photo, painted by the network of `style`) or "noise".
        style: one that ships, for `init` "style".
        weights: of the networks that look at pictures.
        device: where they run; the fastest one there is when None.
        seed: of noise, directions and places.

    Raises:
        InputError: what was given cannot be used.
    """

    def __init__(
        self,
        photo: Source | Picture,
        styles: Sequence[StylePicture],
        *,
        size: int = 512,
        init: str = "photo",
        style: str = "points",
        weights: NetworkWeights | None = None,
        device: str | torch.device | None = None,
        seed: int = 0,
    ) -> None:
        self.began = time.monotonic()
        _check(styles, size, init)
        self.device, _ = place_of(device)
        picture = photo if isinstance(photo, Picture) else load_picture(photo)
        check_size(picture.size)
        self.alpha, self.photo = picture.alpha, picture.rgb
        self.size = min(size, max(picture.size))
        prepared = [s.painting if isinstance(s.painting, Picture) else prepare_painting(s.painting) for s in styles]
        self.paintings = [each.rgb for each in prepared]
        self.notes: tuple[Sentence, ...] = (*picture.notes, *(note for each in prepared for note in each.notes))
        self.shares = [style.weight / sum(style.weight for style in styles) for style in styles]
        self.masks = [None if style.mask is None else _mask(style.mask) for style in styles]
        self.weights, self.seed, self.steps = weights or NetworkWeights(), seed, 0
        self._objectives = {scales(self.size)[0]: self._objective(scales(self.size)[0])}  # a fault is said now
        self._now = self._first(init, style)
        self._spent = [0.0] * len(styles)

    def optimize(self, seconds: float, steps: int | None = None) -> Iterator[Sight]:
        """Work until the time is over; yields after each step, and whoever stops asking stops the work.

        Args:
            seconds: since this object was made; `math.inf` with `steps`.
            steps: in all, shared out over the sizes; None: as many as there is time for.
        """
        sides = scales(self.size)
        shares = [SCALE_SHARES**number for number in range(len(sides))]
        end = 0.0
        for side, share in zip(sides, shares, strict=True):
            start, end = end, end + share / sum(shares)
            yield from self._at(side, start, end, seconds, steps)

    def picture(self) -> Image.Image:
        """What there is so far, at full size; RGBA where the photo has transparency."""
        width, height = fitted(self.photo.size, self.size)
        whole = F.interpolate(self._now.detach().float().cpu(), size=(height, width), mode="bicubic", antialias=True)
        alpha = self.alpha and self.alpha.resize((width, height), Image.Resampling.LANCZOS)
        return Picture(tensor_to_picture(whole.clamp(-1, 1)), alpha).compose()

    def _at(self, side: int, start: float, end: float, seconds: float, steps: int | None) -> Iterator[Sight]:
        """Work on a picture of one size, from one share of the time to another."""
        width, height = fitted(self.photo.size, side)
        photo = self._tensor(self.photo, (width, height))
        objective = self._objectives.pop(side, None) or self._objective(side)
        regions = [None if mask is None else self._region(mask, (width, height)) for mask in self.masks]
        everywhere = calm_places(photo)
        calm = [everywhere if region is None else everywhere * region for region in regions]
        painted = None if any(region is None for region in regions) else torch.stack(regions).amax(dim=0)
        begin = F.interpolate(self._now, size=(height, width), mode="bicubic", antialias=True)
        pyramid = Pyramid(begin)

        def picture() -> Tensor:  # where no painting is the style, the photo stays
            return pyramid() if painted is None else torch.lerp(photo, pyramid(), painted)

        groups = [{"params": [layer], "share": share} for layer, share in zip(pyramid.layers, LAYER_RATES, strict=True)]
        optimizer = torch.optim.Adam(groups, lr=LEARNING_RATE, betas=(0.9, 0.99))
        while (done := self._done(seconds, steps)) < end:
            within = max(0.0, (done - start) / (end - start))
            for group in optimizer.param_groups:
                fading = 0.5 * (1 + math.cos(math.pi * within))
                group["lr"] = LEARNING_RATE * group["share"] * (LAST_RATE + (1 - LAST_RATE) * fading)
            number = self._next_style()
            style = F.one_hot(torch.tensor([number]), len(self.paintings)).float().to(self.device)
            region = calm[number] if self.steps % CALM_EVERY == CALM_EVERY - 1 else regions[number]
            seen = self._jittered(picture(), photo, region)
            terms = objective(seen[0], seen[1], style, self.steps, done=done, region=seen[2])
            optimizer.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
            self.steps += 1
            self._now = picture().detach()
            yield Sight(
                time.monotonic() - self.began, min(1.0, self._done(seconds, steps)), self.steps, (width, height)
            )

    def _done(self, seconds: float, steps: int | None) -> float:
        return max((time.monotonic() - self.began) / seconds, self.steps / steps if steps else 0.0)

    def _next_style(self) -> int:
        """The painting whose turn it is: one a step, each as often as its weight says."""
        number = max(range(len(self.shares)), key=lambda n: self.shares[n] * (self.steps + 1) - self._spent[n])
        self._spent[number] += 1
        return number

    def _objective(self, side: int) -> nn.Module:
        """The objective at a size: the paintings are seen at the size of the picture, as they will be compared."""
        names = [f"painting-{number}" for number in range(len(self.paintings))]
        recipe = learning_config(names, self.weights, seed=self.seed)
        config = replace(
            recipe,
            content_loss_weight=CONTENT_SHARE * recipe.content_loss_weight,
            style_window=WINDOW if side > WHOLE else 0,
            calm_weight=0.0,
        )
        seen = {name: self._tensor(p, fitted(p.size, side)) for name, p in zip(names, self.paintings, strict=True)}
        return build_objective(config, seen, self.device)

    def _first(self, init: str, style: str) -> Tensor:
        size = fitted(self.photo.size, self.size)
        if init == "style":
            painted = StyleTransferPipeline.from_pretrained(device=self.device)(self.photo.resize(size), style=style)
            return self._tensor(painted, size)
        photo = self._tensor(self.photo, size)
        if init == "photo":
            return photo
        source = torch.Generator().manual_seed(self.seed)
        width, height = fitted(self.photo.size, COARSEST)
        return (NOISE * torch.randn(1, 3, height, width, generator=source)).clamp(-1, 1).to(self.device)

    def _jittered(self, *pictures: Tensor | None) -> list[Tensor | None]:
        """The pictures without a few rows and columns at their edges, others in each step."""
        source = torch.Generator().manual_seed(self.seed * 1_000_003 + self.steps)
        top, left = torch.randint(JITTER, (2,), generator=source).tolist()
        return [None if x is None else x[..., top:, left:] for x in pictures]

    def _tensor(self, rgb: Image.Image, size: tuple[int, int]) -> Tensor:
        return picture_to_tensor(rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)).to(self.device)

    def _region(self, mask: Image.Image, size: tuple[int, int]) -> Tensor:
        return self._tensor(mask.convert("RGB"), size)[:, :1] / 2 + 0.5


class Pyramid(nn.Module):
    """A picture as the sum of finer and finer layers, each enlarged to its size."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        height, width = picture.shape[-2:]
        rest, layers = picture, []
        for level in reversed(range(LEVELS)):
            size = (math.ceil(height / 2**level), math.ceil(width / 2**level))
            coarse = F.interpolate(rest, size=size, mode="area") if level else rest
            layers.append(nn.Parameter(coarse.detach().clone()))
            rest = rest - _enlarged(coarse, (height, width))
        self.layers, self.size = nn.ParameterList(layers), (height, width)

    def forward(self) -> Tensor:
        """(1, 3, H, W) in [-1, 1]."""
        whole = sum(_enlarged(layer, self.size) for layer in self.layers)
        return whole + (whole.clamp(-1, 1) - whole).detach()  # what is too bright may still become darker


def calm_places(photo: Tensor) -> Tensor:
    """(1, 1, H, W), 1 in the share of the photo (1, 3, H, W) whose luminance varies least around it."""
    y = luminance(photo)
    cell = max(3, round(CALM_CELL * max(y.shape[-2:]))) // 2 * 2 + 1
    mean, square = (F.avg_pool2d(x, cell, 1, cell // 2, count_include_pad=False) for x in (y, y.square()))
    deviation = (square - mean.square()).clamp_min(0)
    return (deviation <= deviation.flatten().quantile(CALM_SHARE)).float()


def scales(size: int) -> list[int]:
    """Long sides to work at, each GROWTH times the one before, the last of them `size`."""
    count = max(0, math.floor(math.log(size / COARSEST, GROWTH) + 1e-6)) if size > COARSEST else 0
    return [round(size / GROWTH**number) for number in reversed(range(count + 1))]


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height of a picture of that size with a long side of `side`, or more, where networks need it."""
    factor = max(side / max(size), LEAST_SIDE / min(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _enlarged(layer: Tensor, size: tuple[int, int]) -> Tensor:
    return layer if layer.shape[-2:] == size else F.interpolate(layer, size=size, mode="bilinear", align_corners=False)


def _mask(source: Source | Picture) -> Image.Image:
    mask = (source if isinstance(source, Picture) else load_picture(source)).rgb.convert("L")
    if not mask.getextrema()[1] > 127:
        raise InputError("A mask is black all over: make it white where its painting is the style.")
    return mask


def _check(styles: Sequence[StylePicture], size: int, init: str) -> None:
    least, most = SIZES
    if not least <= size <= most:
        raise InputError("The size must be {least} to {most} pixels, not {size}.", least=least, most=most, size=size)
    if init not in INITS:
        raise InputError("There is no init {init}: choose from {inits}.", init=shown(init), inits=", ".join(INITS))
    if not styles:
        raise InputError("There is no painting: give at least one.")
    for style in styles:
        if not 0 < style.weight < math.inf:
            raise InputError("The weight of a painting must be above 0, not {weight}.", weight=shown(style.weight))
