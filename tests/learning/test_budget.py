"""The weight of content follows the distance that is reached."""

import math

import pytest

from styletransfer.learning.budget import MOST, ContentBudget


def test_the_weight_rises_while_paintings_are_too_far_from_their_photos_and_falls_while_they_are_near():
    far, near = ContentBudget(0.4), ContentBudget(0.4)
    for _ in range(10):
        far.follow(0.5)
        near.follow(0.3)
    assert far.factor == pytest.approx(math.exp(10 * 0.1 * 0.25))
    assert near.factor == pytest.approx(1 / far.factor)


def test_what_is_allowed_is_what_comes_of_it():
    budget, distance = ContentBudget(0.4), 0.6
    for _ in range(400):  # a network whose distance goes as the inverse root of the weight, and lags
        distance += 0.1 * (0.6 / math.sqrt(budget.follow(distance)) - distance)
    assert distance == pytest.approx(0.4, rel=0.03)


def test_the_weight_stays_within_bounds_and_a_broken_step_is_left_out():
    budget = ContentBudget(0.4)
    for _ in range(1000):
        budget.follow(4.0)
    assert budget.factor == pytest.approx(MOST)
    assert budget.follow(math.nan) == pytest.approx(MOST)
    for _ in range(1000):
        budget.follow(0.0)
    assert budget.factor == pytest.approx(1 / MOST)
