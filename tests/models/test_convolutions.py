"""A doubling convolution is the one of an enlarged picture, in any dtype."""

from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F

from styletransfer.models import convolutions
from styletransfer.models.convolutions import DoublingConv, EvenConv, rectified


@pytest.mark.parametrize(("height", "width"), [(7, 9), (2, 1)])
def test_a_doubling_convolution_is_the_convolution_of_the_enlarged_picture(height, width):
    conv, x = DoublingConv(5, 3), torch.randn(2, 5, height, width)
    enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.conv2d(F.pad(enlarged, (1, 1, 1, 1), mode="replicate"), conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(conv.settle()(x), expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_doubling_convolution_leaves_an_even_place_even_in_a_coarse_dtype(dtype):
    conv, x = DoublingConv(32, 8), torch.randn(1, 32, 6, 6)
    even = x[..., :1, :1].expand(x.shape).to(dtype)
    with torch.no_grad():
        exact, coarse = conv(x), conv.to(dtype).settle()
        assert (coarse(x.to(dtype)) - exact).abs().mean() <= 8 * torch.finfo(dtype).eps * exact.abs().mean()
        painted = coarse(even).double()
    sums = coarse.settled.double().sum(dim=(2, 3)).unflatten(0, (8, 4))  # exact: weights are multiples of one unit
    assert torch.equal(sums, sums[:, :1].expand_as(sums))
    # Processors add in orders of their own, so a sum close to the middle of two numbers may become either.
    assert (painted - painted[..., :1, :1]).abs().max() <= torch.finfo(dtype).eps * painted.abs().max()
    assert coarse.settled.dtype == dtype
    assert "settled" not in "".join(coarse.state_dict())


@torch.no_grad()
def test_a_convolution_between_fours_is_the_one_of_the_pixels():
    doubling, conv, x = DoublingConv(5, 4), EvenConv(4, 3), torch.randn(2, 5, 6, 7)
    fours = doubling.rectified_fours(x)
    assert fours.shape == (2, 16, 6, 7)
    expected = conv(F.relu(doubling(x)))
    torch.testing.assert_close(F.pixel_shuffle(conv.between_fours(fours), 2), expected, rtol=0, atol=1e-5)
    settled = conv.settle().between_fours(fours)
    torch.testing.assert_close(F.pixel_shuffle(settled, 2), expected, rtol=0, atol=1e-5)


def test_the_weights_between_fours_are_those_of_the_pixels_in_any_dtype():
    conv = EvenConv(4, 3).to(torch.bfloat16)
    settled = conv.settle().settled
    assert settled.dtype == torch.bfloat16 and settled.shape == (12, 16, 3, 3)
    used = settled[settled != 0].sort().values
    assert torch.equal(used, conv.weight.flatten().repeat(4).sort().values)  # each pixel's, and nothing else


def test_a_doubling_convolution_that_learns_is_not_settled():
    conv = DoublingConv(4, 2)
    before = conv(torch.ones(1, 4, 3, 3))
    before.sum().backward()
    with torch.no_grad():
        conv.weight -= conv.weight.grad
        assert (conv(torch.ones(1, 4, 3, 3)) - before).abs().min() > 0.1


# ---------------------------------------------------------------- with their ReLU


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_rectified_convolution_is_the_relu_of_the_convolution(dtype, padding):
    x, weight, bias = (torch.randn(shape).to(dtype) for shape in ((2, 8, 6, 7), (5, 8, 3, 3), (5,)))
    expected = F.relu(F.conv2d(x, weight, bias, padding=padding))
    assert expected.min() == 0
    assert torch.equal(rectified(x, weight, bias, padding), expected)


def test_without_the_fused_operation_two_do_the_same(monkeypatch):
    x, weight, bias = (torch.randn(shape).bfloat16() for shape in ((1, 8, 6, 7), (5, 8, 3, 3), (5,)))
    expected = rectified(x, weight, bias)
    monkeypatch.setattr(convolutions, "_fuses", lambda: False)
    assert torch.equal(rectified(x, weight, bias), expected)


def test_a_fused_operation_that_is_missing_or_means_something_else_is_not_used(monkeypatch):
    monkeypatch.setattr(convolutions, "_fused", lambda *_: torch.zeros(1, 2, 4, 4).bfloat16())
    assert not convolutions._fuses.__wrapped__()
    monkeypatch.setattr(convolutions, "_fused", Mock(side_effect=AttributeError))
    assert not convolutions._fuses.__wrapped__()
