"""Long work in steps: the same result, a share that rises to 1, and nothing done after one stops asking."""

import pytest
import torch
from painting_kit import STYLES, farthest
from PIL import Image
from small_generators import random_generator

from styletransfer import painter as painting_room
from styletransfer.errors import InputError
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.steps import drained, in_time, stretched

SIZE = (1300, 900)  # more than a megapixel: with tiles of 512, three columns and two rows of them


class CountingPipeline(StyleTransferPipeline):
    tiles = 0

    def _tensor(self, rgb):
        self.tiles += 1
        return super()._tensor(rgb)


@pytest.fixture
def painter(monkeypatch):
    monkeypatch.setattr(painting_room, "TILE_SIZE", 512)
    return CountingPipeline(random_generator(STYLES, channels=8, blocks=1), device="cpu", dtype=torch.float32)


def shares_and_result(steps):
    shares = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            return shares, end.value


@pytest.mark.parametrize("brush_size", [1, 2, 0.8])
def test_steps_make_the_same_picture_and_their_shares_rise_to_1(painter, photo, brush_size):
    large = photo.resize(SIZE, Image.Resampling.BICUBIC)
    shares, painting = shares_and_result(painter.steps(large, "wave", brush_size=brush_size))
    assert shares == sorted(shares) and 0 < shares[0] < 0.5 and shares[-1] == pytest.approx(1)
    assert len(shares) >= 6
    assert farthest(painting, painter(large, "wave", brush_size=brush_size)) == 0


def test_nothing_is_painted_after_one_stops_asking(painter, photo):
    steps = painter.paint_steps(photo.resize(SIZE, Image.Resampling.BICUBIC), {"wave": 1.0})
    next(steps)
    next(steps)
    before = painter.tiles
    steps.close()
    assert painter.tiles == before == 3  # the thumbnail that is measured, and two tiles
    drained(painter.paint_steps(photo.resize(SIZE), {"wave": 1.0}))
    assert painter.tiles == before + 7


def test_steps_of_a_part_are_a_part_of_the_steps():
    def three():
        yield from (0.0, 0.5, 1.0)
        return "made"

    assert shares_and_result(stretched(three(), 0.2, 0.6)) == ([0.2, pytest.approx(0.4), pytest.approx(0.6)], "made")
    assert drained(three()) == "made"


def test_steps_that_take_too_long_are_given_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("styletransfer.steps.time.monotonic", lambda: now[0])

    def slow():
        for share in (0.2, 0.5, 0.9):
            now[0] += 10
            yield share
        return "made"

    assert shares_and_result(in_time(slow(), 40)) == ([0.2, 0.5, 0.9], "made")
    steps = in_time(slow(), 15)
    assert next(steps) == 0.2
    with pytest.raises(InputError, match="longer than 15 seconds"):
        next(steps)
