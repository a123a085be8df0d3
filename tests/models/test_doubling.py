"""A doubling convolution is the one of an enlarged picture, in any dtype."""

import pytest
import torch
import torch.nn.functional as F

from styletransfer.models.doubling import DoublingConv


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
        painted = coarse(even)
    assert (painted == painted[..., :1, :1]).all()
    assert coarse.settled.dtype == dtype
    assert "settled" not in "".join(coarse.state_dict())


def test_a_doubling_convolution_that_learns_is_not_settled():
    conv = DoublingConv(4, 2)
    before = conv(torch.ones(1, 4, 3, 3))
    before.sum().backward()
    with torch.no_grad():
        conv.weight -= conv.weight.grad
        assert (conv(torch.ones(1, 4, 3, 3)) - before).abs().min() > 0.1
