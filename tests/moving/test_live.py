"""Frames painted as they come: as large as there is time for, steady where nothing moves, in one tone."""

import numpy as np
import pytest
import torch
from painting_kit import pixels
from PIL import Image
from small_generators import random_generator

from styletransfer.models.generator import EPSILON, Moments
from styletransfer.moving import live
from styletransfer.moving.live import BUDGET, SCALES, LivePainter, averaged
from styletransfer.painter import Painter


class SlowNetwork:
    """A clock that runs by what is painted: so many seconds for a whole frame."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        return self.now


def timed(painter, clock, size):
    """The live painter, its network taking the clock's time for its share of a frame of that size."""
    camera = LivePainter(painter, "red", clock)
    measure = camera._measure

    def measured(frame):
        measure(frame)
        plain = camera._plain

        def slow(x):
            clock.now += clock.seconds * x.shape[-1] * x.shape[-2] / (size[0] * size[1])
            return plain(x)

        camera._plain = slow

    camera._measure = measured
    return camera


@pytest.fixture(scope="module")
def painter():
    return Painter(random_generator({"red": "Red"}, channels=8, blocks=1), device="cpu", dtype=torch.float32)


@pytest.fixture
def frame(photo):
    return photo.resize((240, 180))


def test_a_fast_machine_paints_every_pixel_and_a_slow_one_keeps_the_rate_with_fewer(painter, frame):
    for seconds, expected in ((0.02, 1.0), (0.16, 0.6), (3.0, SCALES[0])):
        clock = SlowNetwork(seconds)
        camera = timed(painter, clock, frame.size)
        taken = []
        for _ in range(40):
            before = clock.now
            assert camera.paint(frame).size == frame.size
            taken.append(clock.now - before)
        assert camera.scale == expected
        assert taken[-1] <= BUDGET * 1.1 or expected == SCALES[0]


def test_one_slow_frame_changes_nothing(painter, frame):
    clock = SlowNetwork(0.02)
    camera = timed(painter, clock, frame.size)
    for number in range(60):
        clock.seconds = 1.0 if number % 10 == 9 else 0.02
        camera.paint(frame)
    assert camera.scale == 1.0


def test_a_still_scene_is_steadier_than_its_frames_and_what_moves_is_not_smeared(painter, frame):
    noise = np.random.default_rng(0)
    camera = LivePainter(painter, "red", lambda: 0.0)
    frames = [pixels(frame) + noise.normal(0, 4, (180, 240, 3)) for _ in range(12)]
    frames = [each.clip(0, 255).astype(np.uint8) for each in frames]
    seen = [camera._steadied(each) for each in frames]
    trembling = [np.abs(each[-1].astype(int) - each[-2]).mean() for each in (seen, frames)]
    assert trembling[0] < trembling[1] / 3
    moved = frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    apart = np.abs(camera._steadied(np.asarray(moved)).astype(int) - pixels(moved))
    assert apart.max() < live.MOVING * 3 and apart.mean() < 3


def test_the_tone_follows_the_scene_in_steps_and_not_in_jumps(painter, frame):
    clock = SlowNetwork(0.0)
    camera = LivePainter(painter, "red", clock)
    camera.paint(frame)
    before = camera._moments
    clock.now += 2
    dark = frame.point(lambda level: level // 3)
    camera.paint(dark)
    fresh = LivePainter(painter, "red", clock)
    fresh.scale = camera.scale
    fresh.paint(dark)
    for old, now, new in zip(before, camera._moments, fresh._moments, strict=True):
        moved, whole = (now.mean - old.mean).abs().sum(), (new.mean - old.mean).abs().sum()
        assert moved < whole


def test_averaged_statistics_lie_between():
    old, new = (
        Moments(torch.tensor([[0.0]]), torch.tensor([[1.0]])),
        Moments(torch.tensor([[2.0]]), torch.tensor([[0.5]])),
    )
    (found,) = averaged([old], [new], 0.25)
    assert found.mean.item() == pytest.approx(0.5)
    assert (1 / found.rstd**2 - EPSILON).item() == pytest.approx(0.75 * (1 - EPSILON) + 0.25 * (4 - EPSILON))


def test_the_settings_are_those_of_any_painting(painter, frame):
    camera = LivePainter(painter, "red")
    assert np.array_equal(pixels(camera.paint(frame, strength=0.0)), pixels(frame))
    kept = pixels(camera.paint(frame, keep_colors=True))
    assert not np.array_equal(kept, pixels(camera.paint(frame)))
