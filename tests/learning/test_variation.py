"""Photos in other colors: what each change does, and that shapes stay."""

import numpy as np
import pytest
import torch

from styletransfer.images.files import picture_to_tensor
from styletransfer.learning.variation import changed, varied
from styletransfer.models.losses import luminance


@pytest.fixture
def crop(photo):
    return picture_to_tensor(photo)


def test_nothing_changes_where_nothing_is_asked(crop):
    torch.testing.assert_close(changed(crop, hue=0.0, contrast=1.0, gamma=1.0), crop, atol=1e-5, rtol=0)


def test_half_a_turn_of_the_hue_makes_red_cyan():
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    for turn in (-0.5, 0.5):
        torch.testing.assert_close(changed(red, hue=turn, contrast=1.0, gamma=1.0), -red, atol=1e-5, rtol=0)


def test_no_contrast_leaves_one_gray(crop):
    gray = changed(crop, hue=0.0, contrast=0.0, gamma=1.0)
    torch.testing.assert_close(gray, gray.mean().expand_as(gray), atol=1e-5, rtol=0)
    assert gray.mean() == pytest.approx(luminance(crop).mean().item(), abs=0.01)


def test_gamma_is_the_exponent_of_the_light():
    half = torch.zeros(1, 3, 4, 4)  # 0.5 of the light
    torch.testing.assert_close(changed(half, hue=0.0, contrast=1.0, gamma=2.0), torch.full_like(half, -0.5))


def test_photos_vary_from_draw_to_draw_within_the_range_and_keep_their_shapes(crop):
    drawn = [varied(crop, np.random.default_rng(seed)) for seed in range(12)]
    assert all(one.min() >= -1 and one.max() <= 1 for one in drawn)
    assert torch.equal(drawn[0], varied(crop, np.random.default_rng(0)))
    assert len({round(one.mean().item(), 4) for one in drawn}) == 12
    gray = luminance(crop).flatten()
    for one in drawn:
        both = torch.stack([gray, luminance(one).flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.7, "light stays light, and dark dark"
