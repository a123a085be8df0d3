"""What the page says about a painting, in numbers and pictures."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from styletransfer.evaluation.explain import departures, read


def test_the_photo_itself_keeps_all_and_is_no_nearer(photo):
    reading = read(photo, photo, ImageOps.invert(photo))
    assert reading.kept == pytest.approx(1, abs=1e-6)
    assert reading.nearer == pytest.approx(0, abs=1e-6)
    assert reading.grid < 1


def test_the_sample_itself_goes_all_the_way(photo):
    sample = ImageOps.invert(photo)
    reading = read(photo, sample, sample)
    assert reading.nearer == pytest.approx(1, abs=1e-6)
    assert reading.kept < 0.5


def test_a_planted_grid_is_measured(photo):
    stripes = np.asarray(photo).astype(int)
    stripes[:, ::2] += 5
    stripes[:, 1::2] -= 5
    planted = Image.fromarray(stripes.clip(0, 255).astype(np.uint8))
    assert read(photo, planted, None).grid > read(photo, photo, None).grid + 5


def test_without_a_sample_or_room_for_patches_nearness_is_not_said(photo):
    assert read(photo, photo, None).nearer is None
    small = photo.resize((16, 20))
    assert read(small, small, photo).nearer is None
    assert read(photo, photo, photo).nearer is None


def test_what_departs_is_red_and_all_else_gray(photo):
    painting = photo.copy()
    painting.paste("black", (0, 0, 30, 30))
    shown = np.asarray(departures(photo, painting)).astype(int)
    red = shown[..., 0] - shown[..., 2]
    assert shown.shape == (80, 96, 3)
    assert red[5:25, 5:25].min() > 100
    assert not red[:, 40:].any() and not red[40:].any()
    assert not np.ptp(np.asarray(departures(photo, photo)).astype(int), axis=-1).any()


def test_a_palette_that_is_everywhere_is_no_departure(photo):
    painting = Image.blend(photo, Image.new("RGB", photo.size, "navy"), 0.5)
    shown = np.asarray(departures(photo, painting)).astype(int)
    assert 0 < (np.ptp(shown, axis=-1) > 0).mean() <= 0.5
