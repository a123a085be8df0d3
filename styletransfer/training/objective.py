"""What is asked of a fake painting by itself: each term of the objective, top to bottom, and their weighted sum.

Style is the sliced Wasserstein distance of features (Heitz 2021) in two pretrained networks: an early part (VGG-19 at
three octaves: strokes and their colors) and a deep part (SqueezeNet: waves, swirls, ornament), which a gray part may
ask for once more in the luminance alone, where no color can pay for a missing wave. Style is asked of the whole crop
and once more of the calmest place of its photo, so that skies and walls are painted, too. Content is asked of deep
layers only, and of the arrangement of light and dark: neither forbids a stroke.

A term whose weight is zero costs nothing and builds nothing. game.py adds the terms that need the other networks.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styletransfer.errors import InputError
from styletransfer.models import losses
from styletransfer.models.features import Features, load_lpips_heads
from styletransfer.models.looks import Look, Part
from styletransfer.training.config import TrainingConfig, pairs

TARGET_PAINTINGS = 64  # of a style: as many are looked at
CLOUD = 4096  # feature vectors kept of each layer and style, drawn from all of its paintings
CLOUD_OF_EACH = 512  # of each of its paintings, where style is compared with one of them at a time
CALM_TRIES = 12  # places looked at to find a calm one
CALM_SPREAD = 0.15  # deviation of luminance in [-1, 1] at which a place counts half as calm as a blank one
OUTSIDE = 2.0  # added to a place's deviation where none of it lies in the region that is asked for
FIRST_CONTENT = 0.25  # of the content weight, at the first step

CPU = torch.device("cpu")

Paintings = Callable[[str, int], Iterable[Tensor]]  # of a style, at most so many: (1, 3, H, W) in [-1, 1]


class Draws:
    """The random numbers of one step: a pure function of seed and step, the same in every process, pass and device."""

    def __init__(self, seed: int, step: int, device: torch.device = CPU) -> None:
        self._source = torch.Generator().manual_seed((seed * 1_000_003 + step + 2**62) % 2**63)
        self.device = device

    def directions(self, channels: int, count: int) -> Tensor:
        """(channels, count) of unit length, evenly over the sphere."""
        return self._sent(F.normalize(torch.randn(channels, min(channels, count), generator=self._source), dim=0))

    def places(self, available: int, count: int) -> Tensor:
        """(count,) numbers below `available`, each drawn by itself."""
        return self._sent(torch.randint(available, (count,), generator=self._source))

    def number(self, below: int) -> int:
        """One number below `below`."""
        return int(torch.randint(below, (1,), generator=self._source))

    def _sent(self, numbers: Tensor) -> Tensor:
        """On the device; from pinned memory, so that a GPU's queue does not run dry at each of a step's hundred."""
        if self.device.type != "cuda":
            return numbers.to(self.device)
        return numbers.pin_memory().to(self.device, non_blocking=True)

    def corners(self, height: int, width: int, side: int, count: int) -> list[tuple[int, int]]:
        """Top and left of `count` squares inside a picture."""
        drawn = torch.rand(count, 2, generator=self._source).tolist()
        return [(int(y * (height - side + 1)), int(x * (width - side + 1))) for y, x in drawn]


# ---- style -----------------------------------------------------------------------------------------------------------


class SlicedStyle(nn.Module):
    """Sliced Wasserstein distance of features to those of a style's paintings, mean over layers and octaves.

    Each channel is measured in units of its deviation over the paintings, plus `floor` times the layer's mean
    deviation, so that a channel which hardly ever fires does not drown the others.

    Args:
        part: where it is measured.
        floor: in mean deviations.
        places: of the picture that are compared, at most.
        directions: drawn anew in each step, at most.
        each: of several paintings, whether one at a time is the target, drawn anew for each layer; else all together.
            Over the steps that asks for what lies between the paintings (their barycenter, Rabin 2011), not for their
            mixture, which holds the calmest and the wildest of them at once.
    """

    def __init__(self, part: Part, floor: float, places: int, directions: int, each: bool = False) -> None:
        super().__init__()
        self.part, self.floor, self.places, self.directions, self.each = part, floor, places, directions, each
        self.cloud = CLOUD_OF_EACH * TARGET_PAINTINGS if each else CLOUD
        self.paintings: list[int] = []  # of each style
        self.clouds = nn.ParameterList()  # per octave and layer: (S, cloud, C), in units, painting after painting
        self.units = nn.ParameterList()  # (S, C)

    def observe(self, look: Look, draws: Draws, share: float) -> list[Tensor]:
        """Per octave and layer (P, C): feature vectors of one painting, its share of a cloud."""
        layers = [_vectors(layer)[0].float() for layer in look.features(self.part)]
        return [layer[draws.places(len(layer), math.ceil(share * self.cloud))] for layer in layers]

    def learn(self, styles: Sequence[Sequence[list[Tensor]]]) -> None:
        """Take the targets from what was observed in each painting of each style."""
        self.paintings = [len(paintings) for paintings in styles]
        per_style = [[torch.cat(seen)[: self.cloud] for seen in zip(*paintings, strict=True)] for paintings in styles]
        for layer in zip(*per_style, strict=True):
            units = torch.stack([_units(cloud, self.floor) for cloud in layer])
            self.units.append(nn.Parameter(units, requires_grad=False))
            self.clouds.append(nn.Parameter(torch.stack(layer) / units[:, None], requires_grad=False))

    def forward(self, look: Look, style_weights: Tensor, draws: Draws) -> Tensor:
        """(N,), for styles that are not mixed: the rows of style_weights (N, S) are one-hot."""
        style, per_layer = style_weights.argmax(dim=1), []
        targets = zip(look.features(self.part), look.places(self.part), self.clouds, self.units, strict=True)
        for layer, inside, clouds, units in targets:
            vectors = _vectors(layer)
            available = vectors.shape[1] if inside is None else len(inside)
            if not available:  # of the region nothing lies in what is shown
                continue
            count = min(self.places, available)
            ours = draws.places(available, count)
            target = self._drawn(clouds, count, draws)[style]
            ours = ours if inside is None else inside[ours]
            directions = draws.directions(clouds.shape[2], self.directions)
            places = vectors.index_select(1, ours).float() / units[style][:, None]
            per_layer.append(losses.sliced_wasserstein_loss(places, target, directions))
        return torch.stack(per_layer).mean(dim=0) if per_layer else style.new_zeros(len(style), dtype=torch.float32)

    def _drawn(self, clouds: Tensor, count: int, draws: Draws) -> Tensor:
        """(S, count, C): vectors of all of a style's paintings, or of one of them."""
        if not self.each:
            return clouds.index_select(1, draws.places(clouds.shape[1], count))
        drawn = []
        for cloud, paintings in zip(clouds, self.paintings, strict=True):
            share = math.ceil(len(cloud) / paintings)
            start = share * draws.number(paintings)
            drawn.append(cloud[start + draws.places(min(share, len(cloud) - start), count)])
        return torch.stack(drawn)


class GramStyle(nn.Module):
    """Distance of Gram matrices (Gatys 2016), plain or centered, mean over octaves and layers.

    Args:
        part: where it is measured.
        patches: see `losses.gram_style_loss`.
        centered: covariances in place of Gram matrices.
    """

    def __init__(self, part: Part, patches: int = 1, centered: bool = False) -> None:
        super().__init__()
        self.part, self.patches, self.centered = part, patches, centered
        self.grams = nn.ParameterList()  # per octave and layer: (S, C, C)

    def observe(self, look: Look, draws: Draws, share: float) -> list[Tensor]:
        """Per octave and layer (C, C): the Gram matrix of one painting."""
        del draws, share
        return [losses.gram_matrix(layer, self.centered)[0] for layer in look.features(self.part)]

    def learn(self, styles: Sequence[Sequence[list[Tensor]]]) -> None:
        """Take the targets, mean Gram matrices, from those of each painting of each style."""
        self.grams.extend(_means(styles))

    def forward(self, look: Look, style_weights: Tensor, draws: Draws) -> Tensor:
        """(N,); targets are mixed as style_weights (N, S) say."""
        del draws
        targets = [torch.einsum("ns,scd->ncd", style_weights, gram) for gram in self.grams]
        return losses.gram_style_loss(look.features(self.part), targets, self.patches, self.centered)


class FeatureMatching(nn.Module):
    """Distance of mean activations to those over a style's paintings (Salimans 2016, section 3.1)."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part
        self.means = nn.ParameterList()  # per layer: (S, C)

    def observe(self, look: Look, draws: Draws, share: float) -> list[Tensor]:
        """Per layer (C,): mean activations of one painting."""
        del draws, share
        return [layer[0].float().mean(dim=(1, 2)) for layer in look.features(self.part)]

    def learn(self, styles: Sequence[Sequence[list[Tensor]]]) -> None:
        """Take the targets from the means of each painting of each style."""
        self.means.extend(_means(styles))

    def forward(self, look: Look, style_weights: Tensor, draws: Draws) -> Tensor:
        """(N,); targets are mixed as style_weights (N, S) say."""
        del draws
        targets = [style_weights @ means for means in self.means]
        return losses.feature_matching_loss(look.features(self.part), targets)


# ---- content ---------------------------------------------------------------------------------------------------------


class Content(nn.Module):
    """Distance of features from those of the photo, times each style's balance.

    Args:
        part: where it is measured.
        distance: "energy" (Johnson 2016), "normalized" (LPIPS with equal heads) or "lpips" (Zhang 2018).
        balance: (S,) factors.
        heads: of LPIPS, one (1, C, 1, 1) per layer, for the distance "lpips".
    """

    def __init__(self, part: Part, distance: str, balance: Tensor, heads: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.part = part
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)
        self.distance = {
            "energy": losses.content_loss,
            "normalized": losses.perceptual_distance,
            "lpips": lambda a, b: losses.learned_perceptual_distance(a, b, list(self.heads)),
        }[distance]
        self.register_buffer("balance", balance)

    def forward(self, look: Look, photo: Look, style_weights: Tensor) -> Tensor:
        """(N,)"""
        with torch.no_grad():
            kept = photo.features(self.part)
        return self.distance(look.features(self.part), kept) * (style_weights @ self.balance)


# ---- all of it -------------------------------------------------------------------------------------------------------


class Objective(nn.Module):
    """The terms of a config, their targets taken from the paintings of each style, which are read once.

    Args:
        config: weights, networks and layers.
        paintings: of each style.
        device: where the networks look.
    """

    def __init__(self, config: TrainingConfig, paintings: Paintings, device: torch.device) -> None:
        super().__init__()
        self.config = config
        self.style, self.matching, self.content = _style_terms(config), _matching(config), _content(config)
        self.parts = [term.part for term in self._terms()]
        self.networks = nn.ModuleDict(_networks(config, self.parts))
        self.to(device)
        if self.style or self.matching:
            self._learn(paintings)

    def forward(
        self,
        fake_painting: Tensor,
        photo: Tensor,
        style_weights: Tensor,
        step: int = 0,
        *,
        done: float | None = None,
        region: Tensor | None = None,
        content_factor: float = 1.0,
    ) -> dict[str, Tensor]:
        """Weighted terms by name.

        Args:
            fake_painting, photo: (N, 3, H, W) in [-1, 1].
            style_weights: (N, S), the style asked of each.
            step: decides the random directions and places.
            done: share of the run that is behind, for runs that end by the clock; None: as the config's steps say.
            region: (1, 1, H, W), 1 where style is asked for; None: everywhere. The sliced distance knows regions.
            content_factor: on the weight of content, for who lets it follow what is reached.
        """
        config, terms, draws = self.config, {}, Draws(self.config.seed, step, fake_painting.device)
        look = self._look(fake_painting, self._window(fake_painting, draws), region)
        relative = {"style": 1.0, "deep_style": config.deep_style_weight, "gray_style": config.gray_style_weight}
        weights = {name: config.style_loss_weight * weight for name, weight in relative.items()}
        for name, term in self.style.items():
            terms[name] = weights[name] * term(look, style_weights, draws).mean()
        if self.style and config.calm_weight:
            places, calmness = calmest(fake_painting, photo, config.calm_size, draws, region)
            calm = self._look(places)
            asked = {name: calmness * term(calm, style_weights, draws) for name, term in self.style.items()}
            terms["calm"] = config.calm_weight * sum(weights[name] * loss.mean() for name, loss in asked.items())
        if self.content:
            weight = content_factor * self.content_weight(step / config.steps if done is None else done)
            terms["content"] = weight * self.content(look, self._look(photo), style_weights).mean()
        if self.matching:
            terms["feature_matching"] = (
                config.feature_matching_weight * self.matching(look, style_weights, draws).mean()
            )
        return terms | self._of_pixels(fake_painting, photo)

    def content_weight(self, done: float) -> float:
        """The weight of content when that share of a run is behind: asked for in full at first, it forbids strokes."""
        ramp = self.config.content_ramp
        share = FIRST_CONTENT + (1 - FIRST_CONTENT) * min(1.0, done / ramp) if ramp else 1.0
        return self.config.content_loss_weight * share

    def _of_pixels(self, fake_painting: Tensor, photo: Tensor) -> dict[str, Tensor]:
        config = self.config
        of_pixels = {
            "tone": (config.tone_weight, lambda: losses.tone_loss(fake_painting, photo).mean()),
            "halo": (config.halo_weight, lambda: losses.halo_loss(fake_painting, photo).mean()),
            "l1": (config.l1_weight, lambda: losses.l1_loss(fake_painting, photo)),
            "color": (config.color_weight, lambda: losses.color_loss(fake_painting, photo)),
            "total_variation": (config.total_variation_weight, lambda: losses.total_variation(fake_painting)),
            "grid": (config.grid_weight, lambda: losses.grid_loss(fake_painting)),
        }
        return {name: weight * loss() for name, (weight, loss) in of_pixels.items() if weight}

    def _terms(self) -> list[nn.Module]:
        return [*self.style.values(), *filter(None, [self.matching, self.content])]

    def _look(self, pictures: Tensor, window: tuple[int, int, int] | None = None, region: Tensor | None = None) -> Look:
        return Look(pictures, self.networks, self.parts, window, region)

    def _window(self, pictures: Tensor, draws: Draws) -> tuple[int, int, int] | None:
        side, (height, width) = self.config.style_window, pictures.shape[-2:]
        if not side or side > min(height, width):
            return None
        return (*draws.corners(height, width, side, 1)[0], side)

    @torch.no_grad()
    def _learn(self, paintings: Paintings) -> None:
        """Targets of every term that has some; each painting is looked at once."""
        learners = [*self.style.values(), *filter(None, [self.matching])]
        device = next(self.networks.buffers()).device
        draws = Draws(self.config.seed, step=-1, device=device)
        observed: list[list[list[list[Tensor]]]] = [[] for _ in learners]
        for style in self.config.style_sources:
            pictures = list(paintings(style, TARGET_PAINTINGS))
            looks = (self._look(picture.to(device)) for picture in pictures)
            seen = [[term.observe(look, draws, 1 / len(pictures)) for term in learners] for look in looks]
            for of_term, of_style in zip(observed, zip(*seen, strict=True), strict=True):
                of_term.append(list(of_style))
        for term, styles in zip(learners, observed, strict=True):
            term.learn(styles)


def without_border(pictures: Tensor, margin: int) -> Tensor:
    """Pictures (N, C, H, W) without a border of `margin` pixels: what is asked of a crop is asked of its inside."""
    height, width = pictures.shape[-2:]
    return pictures[..., margin : height - margin, margin : width - margin]


def calmest(
    pictures: Tensor, photos: Tensor, side: int, draws: Draws, region: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(N, 3, H, W) -> (N, 3, side, side): of each picture the square whose photo varies least in luminance.

    Style is a distribution over the whole crop: asked of the whole only, strokes crowd where the photo is busy, and its
    sky stays bare. With each square comes how calm it is, (N,), 1.5 where it is blank: a crop without a calm place
    should keep its photo. Outside of the region (1, 1, H, W), where there is one, no place is calm.
    """
    height, width = pictures.shape[-2:]
    side = min(side, height, width)
    squares = [
        (..., slice(top, top + side), slice(left, left + side))
        for top, left in draws.corners(height, width, side, CALM_TRIES)
    ]
    gray = losses.luminance(photos.float())
    spread = torch.stack([gray[square].flatten(1).std(dim=1) for square in squares])  # (tries, N)
    if region is not None:
        outside = torch.stack([1 - region[square].float().mean() for square in squares])
        spread = spread + OUTSIDE * outside[:, None]
    candidates = torch.stack([pictures[square] for square in squares])  # (tries, N, 3, side, side)
    least, chosen = spread.min(dim=0)
    calmness = 1.5 / (1 + (least / CALM_SPREAD).square())
    return candidates[chosen, torch.arange(len(pictures), device=pictures.device)], calmness


# ---- from a config ---------------------------------------------------------------------------------------------------


def _style_terms(config: TrainingConfig) -> nn.ModuleDict:
    """The early, the deep and the gray part of style; none without a weight."""
    if not config.style_loss_weight:
        return nn.ModuleDict()
    early = Part("style", config.style_layers, tuple(range(config.style_octaves)))
    if config.style_distance != "sliced":
        centered = config.style_distance == "centered-gram"
        return nn.ModuleDict({"style": GramStyle(early, config.style_patches, centered)})
    places, each = config.style_places, config.collection_target == "each"
    terms = {"style": SlicedStyle(early, 0.2, places, 32, each)}
    if config.deep_style_weight:
        terms["deep_style"] = SlicedStyle(Part("content", config.deep_style_layers), 0.3, places, 48, each)
    if config.gray_style_weight:
        gray = Part("content", config.deep_style_layers, gray=True)
        terms["gray_style"] = SlicedStyle(gray, 0.3, places, 48, each)
    return nn.ModuleDict(terms)


def _matching(config: TrainingConfig) -> FeatureMatching | None:
    if not config.feature_matching_weight:
        return None
    return FeatureMatching(Part("content", config.feature_matching_layers))


def _content(config: TrainingConfig) -> Content | None:
    balance = pairs("--content-balance", config.content_balance)
    unknown = set(balance) - set(config.style_sources)
    if unknown:
        raise InputError(f"--content-balance names {sorted(unknown)[0]!r}, which no --style names.")
    factors = torch.tensor([_number(name, balance.get(name, "1")) for name in config.style_sources])
    if not config.content_loss_weight:
        return None
    part, heads = Part("content", config.content_layers), []
    if config.content_distance == "lpips":
        known = load_lpips_heads(config.lpips_weights)
        heads = [known[layer] for layer in part.layers]
    return Content(part, config.content_distance, factors, heads)


def _networks(config: TrainingConfig, parts: Sequence[Part]) -> dict[str, Features]:
    """The networks that the parts name, each as deep as they ask."""
    files = {
        "style": (config.style_network, config.style_network_weights),
        "content": (config.content_network, config.content_network_weights),
    }
    found = {}
    for name in dict.fromkeys(part.network for part in parts):
        network, weights = files[name]
        layers = tuple(dict.fromkeys(layer for part in parts if part.network == name for layer in part.layers))
        found[name] = Features(network, layers, weights).to(memory_format=torch.channels_last)
    return found


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:  # NaN fails this, too
        raise InputError(f"--content-balance {name}={text} must be a number of at least 0.")
    return number


def _vectors(features: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h * w, C): the feature vector of each place."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _units(cloud: Tensor, floor: float) -> Tensor:
    """(P, C) -> (C,): each channel's deviation plus a share of the mean deviation."""
    deviations = cloud.std(dim=0)
    return deviations + floor * deviations.mean()


def _means(styles: Sequence[Sequence[list[Tensor]]]) -> list[nn.Parameter]:
    """Per layer (S, ...): the mean over each style's paintings of what was observed in them."""
    per_style = [[torch.stack(layer).mean(dim=0) for layer in zip(*paintings, strict=True)] for paintings in styles]
    return [nn.Parameter(torch.stack(layer), requires_grad=False) for layer in zip(*per_style, strict=True)]
