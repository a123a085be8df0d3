"""A loss that is no number leaves its update out, in every process alike; several in a row end the run."""

import os
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from training_kit import PATIENCE as SECONDS
from training_kit import ROOT, free_port

from styletransfer.errors import TrainingError
from styletransfer.training.trainer import PATIENCE, Updates


@pytest.fixture
def sides():
    torch.manual_seed(0)
    networks = [nn.Linear(2, 1), nn.Linear(2, 1)]
    return [([network], torch.optim.Adam(network.parameters(), lr=0.1)) for network in networks]


@pytest.fixture
def updates(sides):
    from accelerate.state import AcceleratorState, GradientState

    yield Updates(Accelerator(cpu=True), sides, max_gradient_norm=10.0)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def values(sides):
    return [parameter.detach().clone() for networks, _ in sides for parameter in networks[0].parameters()]


def give(updates, sides, number):
    """A pass whose second side has a loss times this number."""
    ones = torch.ones(1, 2)
    updates.backward({"style": sides[0][0][0](ones).square().sum()})
    updates.backward({"content": sides[1][0][0](ones).square().sum(), "grid": torch.tensor(1.0) * number})


def test_healthy_losses_move_both_sides(updates, sides):
    before = values(sides)
    give(updates, sides, 1.0)
    assert updates.apply(1, "")
    assert all((a != b).all() for a, b in zip(before, values(sides), strict=True))
    assert all(p.grad is None for networks, _ in sides for p in networks[0].parameters())


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_loss_that_is_no_number_moves_neither_side_and_is_said(updates, sides, number, capsys):
    """Its gradient would have been fine: the loss alone is bad, and no weight hangs on it."""
    before = values(sides)
    give(updates, sides, number)
    assert not updates.apply(12, "")
    assert all(torch.equal(a, b) for a, b in zip(before, values(sides), strict=True))
    assert "step 12: the loss grid is NaN or infinite; this update is left out" in capsys.readouterr().out
    give(updates, sides, 1.0)
    assert updates.apply(13, "") and updates.left_out == 0
    assert all(value.isfinite().all() for value in values(sides))


def test_several_in_a_row_end_the_run_and_one_between_does_not(updates, sides):
    step = 0
    for number in [*[torch.nan] * (PATIENCE - 1), 1.0, *[torch.nan] * (PATIENCE - 1)]:
        step += 1
        give(updates, sides, number)
        updates.apply(step, "kept words")
    give(updates, sides, torch.nan)
    with pytest.raises(TrainingError, match=f"since step {step - PATIENCE + 2}; kept words: "):
        updates.apply(step + 1, "kept words")


def test_a_gradient_that_is_no_number_counts_though_its_loss_is_one(updates, sides, capsys):
    weight = sides[0][0][0].weight
    updates.backward({"style": (weight * 0).abs().sqrt().sum() + sides[0][0][0].bias.sum()})
    updates.backward({"content": sides[1][0][0](torch.ones(1, 2)).sum()})
    before = values(sides)
    assert not updates.apply(1, "")
    assert "a gradient is NaN or infinite" in capsys.readouterr().out
    assert all(torch.equal(a, b) for a, b in zip(before, values(sides), strict=True))


ONE_OF_TWO = """
import torch
from accelerate import Accelerator
from torch import nn
from styletransfer.training.trainer import Updates

accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
network = nn.Linear(2, 1)
network, optimizer = accelerator.prepare(network, torch.optim.Adam(network.parameters(), lr=0.1))
updates = Updates(accelerator, [([network], optimizer)], 10.0)
for step, number in enumerate([1.0, torch.nan, 1.0], start=1):
    mine = number if accelerator.process_index else 1.0
    updates.backward({"style": network(torch.full((1, 2), 1.0 + accelerator.process_index)).sum() * mine})
    print("took", step) if updates.apply(step, "") else print("left", step)
print("weights", [p.flatten().tolist() for p in network.parameters()])
"""


@pytest.mark.slow
def test_a_bad_loss_in_one_process_leaves_the_update_out_in_all():
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_OF_TWO],
            cwd=ROOT,
            env={**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=SECONDS)[0].splitlines() for process in started]
    taken = [[line for line in lines if line.startswith(("took", "left", "weights"))] for lines in said]
    assert taken[0] == taken[1]
    assert taken[0][:3] == ["took 1", "left 2", "took 3"] and "nan" not in taken[0][3]
    assert any(
        "a gradient is NaN or infinite" in line for line in said[0]
    )  # this process does not know whose fault it is
