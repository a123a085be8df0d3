"""Distances between collections give the answers of closed forms and of sums worked by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from styletransfer.evaluation import distributions


def exact_gaussian(count: int, mean: Tensor, covariance: Tensor, seed: int = 0) -> Tensor:
    """`count` rows whose sample mean and covariance are those given, to rounding."""
    rows = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = rows - rows.mean(dim=0)
    white = rows @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(rows.T))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_axis_aligned_gaussians_is_the_closed_form() -> None:
    one, two = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 4.0, 1.0]).double()
    mean = torch.tensor([1.0, -2.0, 0.5]).double()
    a = exact_gaussian(40, torch.zeros(3).double(), torch.diag(one))
    b = exact_gaussian(25, mean, torch.diag(two), seed=1)
    # the squares of the means' difference, and of the deviations': (1-2)^2 + (2-2)^2 + (3-1)^2
    assert distributions.frechet_distance(a, b) == pytest.approx(5.25 + 5.0, abs=1e-9)


def test_frechet_distance_of_turned_gaussians_is_the_closed_form() -> None:
    # For 2x2 matrices the trace of the root is sqrt(trace + 2 sqrt(determinant)) of the product.
    one, two = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double(), torch.tensor([[1.0, -0.6], [-0.6, 3.0]]).double()
    product = one @ two
    root = (product.trace() + 2 * torch.linalg.det(product).sqrt()).sqrt()
    expected = (one.trace() + two.trace() - 2 * root).item()
    zero = torch.zeros(2).double()
    found = distributions.frechet_distance(exact_gaussian(30, zero, one), exact_gaussian(50, zero, two, seed=1))
    assert found == pytest.approx(expected, abs=1e-9)


def test_frechet_distance_is_right_where_features_are_more_than_pictures() -> None:
    # Three pictures in ten dimensions: deviations 1 and 3 along one axis, and 10 apart along another.
    a, b = torch.zeros(3, 10), torch.zeros(3, 10)
    a[:, 0], b[:, 0] = torch.tensor([-1.0, 0, 1]), torch.tensor([-3.0, 0, 3])
    b[:, 1] = 10
    assert distributions.frechet_distance(a, b) == pytest.approx(100 + 4, abs=1e-9)
    assert distributions.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_of_a_case_worked_by_hand() -> None:
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    # (xy + 1)^3: within a 1; within b 343; between 1, 1, 27, 64
    assert distributions.kernel_distance(a, b) == pytest.approx(1 + 343 - 2 * 93 / 4)
    wide_a, wide_b = a.expand(2, 5), b.expand(2, 5)  # x.y / F: repeating a feature changes nothing
    assert distributions.kernel_distance(wide_a, wide_b) == pytest.approx(1 + 343 - 2 * 93 / 4)


def test_kernel_distance_is_unbiased_on_halves_of_one_collection() -> None:
    random = torch.Generator().manual_seed(0)
    found = [
        distributions.kernel_distance(*torch.randn(2, 8, 4, generator=random, dtype=torch.float64)) for _ in range(400)
    ]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 4 * np.std(found) / 20


def test_kernel_distance_of_large_collections_is_near_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(300, 4, generator=random), torch.randn(200, 4, generator=random) + 1
    whole = distributions.kernel_distance(a, b)
    monkeypatch.setattr(distributions, "KID_SUBSET", 100)
    drawn = distributions.kernel_distance(a, b)
    assert drawn != whole and drawn == pytest.approx(whole, rel=0.1)
    assert drawn == distributions.kernel_distance(a, b)


def test_fid_is_refused_below_2048_pictures_and_the_reason_given() -> None:
    assert distributions.why_no_fid(2048, 5000) is None
    reason = distributions.why_no_fid(20, 450)
    assert all(word in reason for word in ("2,048", "20 painted", "450 paintings", "KID"))
    assert distributions.why_no_fid(5000, 2047)


def test_artfid_is_the_published_product() -> None:
    assert distributions.art_fid(0.5, 19.0) == 30.0
    assert distributions.art_fid(0.0, 0.0) == 1.0


def test_frechet_halves_measure_the_way_from_photos_to_paintings() -> None:
    random = torch.Generator().manual_seed(0)
    paintings, photos = torch.randn(40, 3, generator=random), torch.randn(60, 3, generator=random) + 4
    nothing = distributions.frechet_halves(photos, photos, paintings)
    assert nothing["closed"] == 0 and nothing["photos"] == nothing["painted"]
    assert (nothing["pictures"], nothing["references"]) == (20, 20)
    everything = distributions.frechet_halves(photos, paintings[1::2], paintings)
    assert everything["closed"] == pytest.approx(1) and everything["floor"] == everything["painted"]
    half = distributions.frechet_halves(photos, photos - 2, paintings)
    assert 0.5 < half["closed"] < 0.9  # squares: half of the distance in means leaves a quarter
    assert "closed" not in distributions.frechet_halves(paintings[::2], photos, paintings)  # there is no way to go


def test_bootstrap_interval_is_that_of_the_normal_for_many_and_a_point_for_equal_numbers() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)

    def mean(x: np.ndarray) -> np.ndarray:
        return x.mean(axis=1)

    low, high = distributions.bootstrap_interval([values], mean)
    error = values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)
    assert distributions.bootstrap_interval([[0.5] * 9], mean) == (0.5, 0.5)
    assert distributions.bootstrap_interval([values], mean) == (low, high)
    assert distributions.bootstrap_interval([values], mean, seed=1) != (low, high)


def test_bootstrap_draws_pictures_together_over_rows() -> None:
    values = np.random.default_rng(1).normal(3, 2, 50)
    interval = distributions.bootstrap_interval([values, 2 * values], lambda x, y: 1 - x.mean(axis=1) / y.mean(axis=1))
    assert interval == pytest.approx((0.5, 0.5))
