"""CIELAB gives the published values of known colors; colors are transferred as Reinhard wrote it."""

import pytest
import torch

from styletransfer.images import lab

# sRGB -> L*, a*, b* under D65, as color calculators print them
KNOWN = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (119, 119, 119): (50.03, 0, 0),
    (2, 2, 2): (0.548, 0, 0),
}


@pytest.mark.parametrize(("rgb", "expected"), KNOWN.items())
def test_known_colors_have_their_published_values(rgb: tuple, expected: tuple) -> None:
    picture = (torch.tensor(rgb) / 127.5 - 1).view(1, 3, 1, 1)
    assert lab.rgb_to_lab(picture).flatten().tolist() == pytest.approx(expected, abs=0.03)


def test_every_8_bit_level_comes_back() -> None:
    levels = torch.arange(256.0).view(1, 1, 16, 16)
    picture = torch.cat([levels, levels.flip(3), 255 - levels.flip(2)], dim=1) / 127.5 - 1
    back = lab.lab_to_rgb(lab.rgb_to_lab(picture))
    assert ((back - picture).abs() * 127.5).max() < 0.01


def random_picture(low: float, high: float, seed: int) -> torch.Tensor:
    return torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


def test_the_photo_takes_the_mean_and_the_deviation_of_the_painting() -> None:
    photo, painting = random_picture(-0.2, 0.2, seed=0), random_picture(0.0, 0.3, seed=1)
    mean, deviation = lab.color_statistics(painting)
    recolored = lab.transfer_colors(photo, mean, deviation)
    assert recolored.abs().max() < 1  # nothing was cut off, so the statistics are exact
    found_mean, found_deviation = lab.color_statistics(recolored)
    torch.testing.assert_close(found_mean, mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(found_deviation, deviation, atol=1e-3, rtol=0)


def test_transfer_is_reinhards_equation_pixel_by_pixel() -> None:
    photo = (torch.tensor([100.0, 120.0, 140.0, 160.0]) / 127.5 - 1).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    mean, deviation = torch.tensor([60.0, 10.0, -5.0]).view(1, 3, 1, 1), torch.tensor([3.0, 2.0, 2.0]).view(1, 3, 1, 1)
    lightness = lab.rgb_to_lab(photo)[0, 0]
    expected = (lightness - lightness.mean()) * 3 / lightness.std(unbiased=False) + 60
    found = lab.rgb_to_lab(lab.transfer_colors(photo, mean, deviation))[0]
    torch.testing.assert_close(found[0], expected, atol=1e-3, rtol=0)
    # grey has no contrast on a* and b*: only the mean moves (rounding aside, which the gain of 2 / 1e-6 is spared)
    assert found[1].mean().item() == pytest.approx(10, abs=1e-2)
    assert found[2].mean().item() == pytest.approx(-5, abs=1e-2)


def test_own_statistics_change_nothing() -> None:
    photo = random_picture(-1, 1, seed=2)
    torch.testing.assert_close(lab.transfer_colors(photo, *lab.color_statistics(photo)), photo, atol=1e-4, rtol=0)
