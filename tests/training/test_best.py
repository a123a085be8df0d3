"""The average with the least score is kept, through a checkpoint too; the score is that of the training's losses."""

import math

import pytest
import torch
from torch import nn

from styletransfer.training.watch import BestAverage


def weights(number):
    return [torch.full((2, 3), float(number)), torch.full((4,), float(number))]


def kept(best):
    network = nn.Module()
    network.a, network.b = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))
    best.copy_to(network)
    assert len({value for p in network.parameters() for value in p.flatten().tolist()}) == 1
    return network.b[0].item()


def offered(*scores):
    best = BestAverage()
    for step, value in enumerate(scores, start=1):
        best.offer(step, value, weights(step))
    return best


@pytest.mark.parametrize(
    ("scores", "step"),
    [
        ((3.0, 1.0, 2.0), 2),
        ((3.0, 2.0, 1.0), 3),
        ((1.0, 1.0), 2),  # of equals the later one
        ((2.0, math.nan, 3.0), 1),
        ((math.inf, 5.0), 2),
    ],
)
def test_the_least_score_is_kept(scores, step):
    best = offered(*scores)
    assert (best.step, kept(best)) == (step, step)


def test_nothing_measured_is_step_zero():
    assert BestAverage().step == offered(math.nan).step == 0


def test_what_is_kept_does_not_change_with_the_average():
    best, average = BestAverage(), weights(1)
    best.offer(1, 1.0, average)
    for parameter in average:
        parameter.zero_()
    assert kept(best) == 1


def test_it_goes_through_a_checkpoint_exactly(tmp_path):
    best = offered(3.0, 0.1 + 0.2, 2.0)
    best.save(tmp_path)
    again = BestAverage()
    again.load(tmp_path)
    assert (again.scores, again.step, kept(again)) == (best.scores, 2, 2)
    again.offer(4, 0.3, weights(4))  # less than 0.1 + 0.2 by a rounding error
    assert again.step == 4


def test_a_checkpoint_from_before_anything_was_measured_forgets(tmp_path):
    BestAverage().save(tmp_path)
    best = offered(1.0)
    best.load(tmp_path)
    assert best.step == 0 and list(tmp_path.iterdir()) == []


def test_scores_by_another_measure_are_not_compared_with(tmp_path):
    best = BestAverage("style weight 10")
    best.offer(1, 0.1, weights(1))
    best.save(tmp_path)
    other, same = BestAverage("style weight 20"), BestAverage("style weight 10")
    other.load(tmp_path)
    same.load(tmp_path)
    assert (other.step, same.step) == (0, 1)
