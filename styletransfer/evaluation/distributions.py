"""Distances between collections of pictures, and confidence intervals of means over few pictures.

A collection is a tensor (pictures, features); the caller chooses the network.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

LEAST_FOR_FID = 2048  # pictures on each side: with fewer the covariance of Inception's 2,048 features is singular
KID_SUBSET = 1000  # pictures of a draw (Binkowski 2018, section 4.3)
KID_SUBSETS = 100  # draws that are averaged
RESAMPLES = 2000
CONFIDENCE = 0.95


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Frechet distance between the Gaussians of two collections (Heusel 2017, eq. 6): FID, with Inception features.

    ||mean_a - mean_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), covariances divided by count - 1. The fewer pictures, the
    more it is biased upwards: compare only distances between equal numbers of pictures.

    Args:
        a, b: (n, F) and (m, F), at least two pictures each.
    """
    a, b = a.double(), b.double()
    spread = [(x - x.mean(dim=0)) / (len(x) - 1) ** 0.5 for x in (a, b)]
    # With C = R^T R the trace of the root of C_a C_b is the sum of the singular values of R_a R_b^T. This is exact for
    # singular covariances too, where the root of a product needs a small number added.
    root_a, root_b = (torch.linalg.qr(x, mode="r").R for x in spread)
    shared = torch.linalg.svdvals(root_a @ root_b.T).sum()
    apart = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    distance = apart + sum(x.square().sum() for x in spread) - 2 * shared
    return max(distance.item(), 0.0)  # for equal collections rounding can give less than 0


def kernel_distance(a: Tensor, b: Tensor, seed: int = 0) -> float:
    """Unbiased squared maximum mean discrepancy, kernel (x.y / F + 1)^3; with Inception features it is KID.

    Binkowski 2018, eq. 4 and section 4.3. Up to 1,000 pictures on each side all are used; for larger collections it is
    the mean over 100 seeded draws of 1,000. As it is unbiased, it can be slightly below 0.

    Args:
        a, b: (n, F) and (m, F), at least two pictures each.
    """
    a, b = a.double(), b.double()
    if max(len(a), len(b)) <= KID_SUBSET:
        return _discrepancy(a, b)
    random = torch.Generator().manual_seed(seed)
    draws = [
        _discrepancy(*(x[torch.randperm(len(x), generator=random)[:KID_SUBSET]] for x in (a, b)))
        for _ in range(KID_SUBSETS)
    ]
    return sum(draws) / len(draws)


def art_fid(content: float, fid: float) -> float:
    """(1 + LPIPS) (1 + FID): distance to the photo and to the style in one number (Wright & Ommer 2022)."""
    return (1 + content) * (1 + fid)


def why_no_fid(painted: int, paintings: int) -> str | None:
    """Why FID is not reported for these numbers of pictures, without a full stop; None where it is reported."""
    if min(painted, paintings) >= LEAST_FOR_FID:
        return None
    return (
        f"FID is refused: below {LEAST_FOR_FID:,} pictures on either side ({painted:,} painted photos and "
        f"{paintings:,} paintings here) its bias is larger than most differences; use KID, which is unbiased"
    )


def frechet_halves(photos: Tensor, painted: Tensor, paintings: Tensor) -> dict[str, float]:
    """How much of the Frechet distance from photos to paintings the painted photos close.

    Everything is compared with every second painting. The floor is the distance of the other paintings. All three
    comparisons use the same number of evenly spaced pictures, so that their bias is the same.

    Args:
        photos, painted: (n, F) features. paintings: (m, F), m at least 4.

    Returns:
        "photos", "painted", "floor": the distances; "closed": the share of photos - floor that is closed, where that is
        positive; "pictures": how many of each were compared with how many "references".
    """
    reference, others = paintings[::2], paintings[1::2]
    count = min(len(photos), len(others))
    picked = (x[torch.arange(count) * len(x) // count] for x in (photos, painted, others))
    from_photos, from_painted, floor = (frechet_distance(x, reference) for x in picked)
    way = from_photos - floor
    return {
        "photos": from_photos,
        "painted": from_painted,
        "floor": floor,
        **({"closed": (from_photos - from_painted) / way} if way > 0 else {}),
        "pictures": count,
        "references": len(reference),
    }


def bootstrap_interval(
    columns: Sequence[Sequence[float]], statistic: Callable[..., np.ndarray], seed: int = 0
) -> tuple[float, float]:
    """The 95 % confidence interval of a statistic, by percentile bootstrap over pictures (Efron 1979).

    Args:
        columns: one or more columns of numbers, one number per picture; a draw takes the same pictures from all.
        statistic: arrays (draws, pictures), one per column -> (draws,), such as `lambda x: x.mean(axis=1)`.
        seed: the same seed and numbers give the same interval.
    """
    values = [np.asarray(column, dtype=np.float64) for column in columns]
    draws = np.random.default_rng(seed).integers(0, len(values[0]), (RESAMPLES, len(values[0])))
    found = statistic(*(column[draws] for column in values))
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _discrepancy(a: Tensor, b: Tensor) -> float:
    within_a, within_b, between = (_kernel(x, y) for x, y in ((a, a), (b, b), (a, b)))
    parts = ((k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (within_a, within_b))
    return (sum(parts) - 2 * between.mean()).item()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    inner = x @ y.T / x.shape[1] + 1
    return inner * inner * inner  # ten times as fast as a power
