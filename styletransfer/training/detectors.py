"""Detectors of training failures: a warning says what is wrong, since which step, and what to change.

They use logged losses and the sample paintings. NaN and infinity are handled by `trainer.Updates`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from styletransfer.models import losses

# The loss of a discriminator that cannot tell paintings from fakes.
CHANCE = {"non-saturating": 1.386, "hinge": 2.0, "least-squares": 0.5}
WON = 0.03  # in units of CHANCE: the discriminator recognizes almost every patch
WON_LINES = 10  # logged lines in a row
SAMPLE_LOOKS = 2  # sample grids in a row before a warning
ALIKE = 0.12  # mean difference between paintings, in units of that between their photos
UNTOUCHED = 0.1  # mean difference between painting and photo, in units of the photo's contrast
COPIED = 0.9  # correlation from which a patch is a copy
COPIES = 0.3  # share of copied patches
PATCH = 32  # pixels at half size: large enough for several strokes
LEAST_CONTRAST = 0.05  # root mean square, on [-1, 1], that a patch needs to be recognizable
GRID_LEVELS = 2.0  # gray levels of grid beyond those of photo and paintings
COLOR_LEVELS = 60.0  # distance of the mean color from the line between photo and paintings, in gray levels

ADVICE = {
    "wins": "lower --discriminator-learning-rate, raise --r1-weight, or use --spectral-norm",
    "alike": "lower --adversarial-weight or raise what keeps the photo (--content-loss-weight, --contrastive-weight)",
    "untouched": "raise --style-loss-weight or --adversarial-weight, or lower what keeps the photo",
    "copied": "raise --content-loss-weight or --contrastive-weight, lower --adversarial-weight, or add paintings",
    "grid": "raise --grid-weight or lower --learning-rate",
    "color": "give --color-weight, lower --learning-rate, or go back to an earlier checkpoint",
}


class Samples(NamedTuple):
    """One style at one step: photos, their paintings by the averaged generator, and some paintings of the style."""

    photos: Sequence[Tensor]  # (1, 3, H, W) in [-1, 1], at least 64 pixels high and wide
    painted: Sequence[Tensor]  # of the same sizes
    paintings: Sequence[Tensor]  # (1, 3, H, W) in [-1, 1], at the size that style is learned at


class Streak:
    """Counts how often in a row a fault is seen; one streak leads to one warning."""

    def __init__(self, needed: int) -> None:
        self.needed, self.count, self.since = needed, 0, 0

    def add(self, step: int, so: bool) -> bool:
        """Record whether the fault is there; returns whether to warn now. `since` is the first step of the streak."""
        if not so:
            self.count = 0
            return False
        self.since = step if self.count == 0 else self.since
        self.count += 1
        return self.count == self.needed


class Detectors:
    """All detectors of a run; after a resume, counting starts again.

    Args:
        adversarial: form of the adversarial loss.
    """

    def __init__(self, adversarial: str) -> None:
        self.chance = CHANCE[adversarial]
        self.streaks: dict[str, Streak] = {}

    def losses(self, step: int, line: Mapping[str, float | None]) -> list[str]:
        """Warnings about a logged line: does the discriminator still leave the generator something to learn from?"""
        said = []
        for name, kind in (("discriminator", "paintings"), ("discriminator_photo", "photos")):
            value, fooling = line.get(name), line.get(name.replace("discriminator", "adversarial"))
            if value is None or not fooling:  # the generator does not learn from it
                continue
            won = value < WON * self.chance
            what = f"the discriminator of {kind} wins everywhere"
            said += self._speak(name, WON_LINES, step, won, what, ADVICE["wins"])
        return said

    def samples(self, step: int, style: str, samples: Samples) -> list[str]:
        """Warnings about the paintings of a style."""
        said = []
        for name, (found, what) in SAMPLE_FAULTS.items():
            words = f"{what} in style {style}"
            said += self._speak(f"{name} {style}", SAMPLE_LOOKS, step, found(samples), words, ADVICE[name])
        return said

    def _speak(self, key: str, needed: int, step: int, so: bool, what: str, advice: str) -> list[str]:
        streak = self.streaks.setdefault(key, Streak(needed))
        return [f"step {step}: {what} since step {streak.since}: {advice}."] if streak.add(step, so) else []


def are_alike(samples: Samples) -> bool:
    """Mode collapse: paintings of different photos differ far less than the photos do."""
    if len(samples.photos) < 2:
        return False
    photos, painted = (torch.cat([F.adaptive_avg_pool2d(x, 16) for x in side]) for side in samples[:2])
    return bool(_mean_difference(painted) < ALIKE * _mean_difference(photos))


def are_untouched(samples: Samples) -> bool:
    """The paintings hardly differ from the photos."""
    change, contrast = 0.0, 0.0
    for photo, painting in zip(samples.photos, samples.painted, strict=True):
        change += (painting - photo).abs().mean().item()
        contrast += (photo - photo.mean(dim=(2, 3), keepdim=True)).abs().mean().item()
    return change < UNTOUCHED * contrast


def are_copied(samples: Samples) -> bool:
    """Memorized patches: more of them are found in a painting of the style than that painting repeats itself."""
    sources = [F.avg_pool2d(painting, 2) for painting in samples.paintings]
    sources = [source for source in sources if min(source.shape[-2:]) >= 2 * PATCH]
    patches = torch.cat(
        [_patches(F.avg_pool2d(x, 2), most=12)[0] for x in samples.painted if min(x.shape[-2:]) >= 2 * PATCH]
    )
    if not sources or len(patches) < 4:
        return False
    return any(
        share > COPIES and share > COPIES + _repeated(source)
        for source in sources
        if (share := _copied(patches, source))
    )


def has_grid(samples: Samples) -> bool:
    """A regular pattern at the periods of upsampling that neither the photos nor the paintings have."""
    photos, painted, paintings = (_mean_grid(side) for side in samples)
    return painted > max(photos, paintings) + GRID_LEVELS


def has_strange_colors(samples: Samples) -> bool:
    """Mean colors far from every mixture of the photos' and the paintings' mean colors."""
    goal = torch.stack([painting.mean(dim=(0, 2, 3)) for painting in samples.paintings]).mean(dim=0)
    away = []
    for photo, painting in zip(samples.photos, samples.painted, strict=True):
        start, found = photo.mean(dim=(0, 2, 3)), painting.mean(dim=(0, 2, 3))
        way = goal - start
        part = ((found - start) @ way / way.square().sum().clamp_min(1e-6)).clamp(0, 1)
        away.append((found - start - part * way).norm().item() * 127.5)
    return sum(away) / len(away) > COLOR_LEVELS


SAMPLE_FAULTS: Mapping[str, tuple[Callable[[Samples], bool], str]] = {
    "alike": (are_alike, "the paintings of different photos are alike"),
    "untouched": (are_untouched, "the paintings are hardly more than the photos"),
    "copied": (are_copied, "the paintings hold pieces copied from the painting"),
    "grid": (has_grid, "the paintings show a regular grid"),
    "color": (has_strange_colors, "the colors drift away from photo and painting"),
}


def _mean_difference(pictures: Tensor) -> Tensor:
    """Mean absolute difference over all pairs of (N, 3, h, w)."""
    first, second = torch.triu_indices(len(pictures), len(pictures), offset=1)
    return (pictures[first] - pictures[second]).abs().mean()


def _mean_grid(pictures: Sequence[Tensor]) -> float:
    values = []
    for picture in pictures:
        height, width = (side // 8 * 8 for side in picture.shape[-2:])
        if min(height, width) >= 64:
            values.append(losses.grid_loss(picture[..., :height, :width]).item())
    return sum(values) / max(1, len(values))


def _patches(picture: Tensor, most: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """Patches with contrast, minus their channel means, (P, 3, 32, 32), and their upper left corners.

    At most `most`, evenly picked from a grid over the picture (1, 3, H, W).
    """
    cut = F.unfold(picture, PATCH, stride=PATCH)[0].T.unflatten(1, (3, PATCH, PATCH))
    cut = cut - cut.mean(dim=(2, 3), keepdim=True)
    kept = (cut.square().mean(dim=(1, 2, 3)).sqrt() > LEAST_CONTRAST).nonzero().flatten()
    kept = kept[:: max(1, -(-len(kept) // most))]
    across = picture.shape[-1] // PATCH
    return cut[kept], [(PATCH * (number // across), PATCH * (number % across)) for number in kept.tolist()]


def _correlations(patches: Tensor, picture: Tensor) -> Tensor:
    """(P, H - 31, W - 31): correlation of patches with every place of the picture, minus its channel means."""
    mean = F.avg_pool2d(picture, PATCH, stride=1)
    variance = F.avg_pool2d(picture.square(), PATCH, stride=1) - mean.square()
    norms = (variance.sum(dim=1).clamp_min(1e-4) * PATCH**2).sqrt()
    # The patches have mean 0, so the product is the same with and without the means of the places.
    return F.conv2d(picture, patches)[0] / (norms * patches.flatten(1).norm(dim=1)[:, None, None])


def _copied(patches: Tensor, picture: Tensor) -> float:
    """Share of patches that are found in a picture."""
    return _correlations(patches, picture).flatten(1).amax(dim=1).gt(COPIED).float().mean().item()


def _repeated(picture: Tensor) -> float:
    """Share of a picture's own patches that are found elsewhere in it."""
    patches, corners = _patches(picture, most=24)
    if not corners:
        return 1.0
    correlations = _correlations(patches, picture)
    for elsewhere, (top, left) in zip(correlations, corners, strict=True):
        elsewhere[max(0, top - PATCH + 1) : top + PATCH, max(0, left - PATCH + 1) : left + PATCH] = 0
    return correlations.flatten(1).amax(dim=1).gt(COPIED).float().mean().item()
