"""Photos from elsewhere: what each change does, and what stays."""

import numpy as np
import pytest
import torch

from styletransfer.images.files import picture_to_tensor
from styletransfer.learning.variation import blurred, changed, from_another_place, in_another_light, part_of, varied
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


def test_a_quarter_turn_turns_the_photo_around_its_center():
    square = torch.rand(1, 3, 9, 9) * 2 - 1
    turned = part_of(square, np.array([[0.0, -1.0], [1.0, 0.0]]), np.zeros(2))
    torch.testing.assert_close(turned, square.rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_a_part_fills_the_whole_and_beyond_the_edge_lies_the_reflection():
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    right = part_of(ramp, np.diag([0.5, 0.5]), np.array([0.5, 0.0]))[0, 0, 32]
    assert (right[0].item(), right[-1].item()) == pytest.approx((0.0, 1.0), abs=0.03)
    beyond = part_of(ramp, np.eye(2), np.array([1.0, 0.0]))[0, 0, 32]
    torch.testing.assert_close(beyond, beyond.flip(0), atol=1e-4, rtol=0)


def test_a_part_is_inside_where_it_fits(crop):
    """A photo that is dark inside and light at its outermost pixels shows no light ones where the part leaves room."""
    marked = torch.ones_like(crop)
    marked[..., 1:-1, 1:-1] = -1.0
    seen = part_of(marked, np.diag([0.6, 0.6]), np.array([0.3, -0.3]))
    assert seen.max() < 0


def test_blur_takes_fine_detail_and_leaves_the_light(crop):
    soft = blurred(crop, 2.2)
    assert soft.shape == crop.shape
    assert soft.mean().item() == pytest.approx(crop.mean().item(), abs=0.01)
    fine = [(one[..., 1:] - one[..., :-1]).abs().mean().item() for one in (crop, soft)]
    assert fine[1] < 0.8 * fine[0]


@pytest.mark.parametrize("vary", [varied, from_another_place])
def test_photos_differ_from_draw_to_draw_within_the_range(crop, vary):
    drawn = [vary(crop, np.random.default_rng(seed)) for seed in range(12)]
    assert all(one.shape == crop.shape and one.min() >= -1 and one.max() <= 1 for one in drawn)
    assert torch.equal(drawn[0], vary(crop, np.random.default_rng(0)))
    assert len({round(one.mean().item(), 5) for one in drawn}) == 12


def test_photos_vary_from_draw_to_draw_in_color_and_keep_their_shapes(crop):
    drawn = [in_another_light(crop, np.random.default_rng(seed)) for seed in range(12)]
    assert all(one.min() >= -1 and one.max() <= 1 for one in drawn)
    assert torch.equal(drawn[0], in_another_light(crop, np.random.default_rng(0)))
    assert len({round(one.mean().item(), 4) for one in drawn}) == 12
    gray = luminance(crop).flatten()
    for one in drawn:
        both = torch.stack([gray, luminance(one).flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.7, "light stays light, and dark dark"
