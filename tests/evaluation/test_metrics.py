"""Measures give the answers that can be worked out by hand or by a plain second implementation."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import squeezenet1_1

from styletransfer.errors import InputError
from styletransfer.evaluation import metrics

HEAD_CHANNELS = (64, 128, 256, 384, 384, 512, 512)


def save_squeezenet(path: Path) -> torch.nn.Sequential:
    torch.manual_seed(3)
    trunk = squeezenet1_1(weights=None).features
    save_file({f"features.{key}": value for key, value in trunk.state_dict().items()}, path)
    return trunk.eval()


def save_heads(path: Path) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    heads = [torch.rand(1, channels, 1, 1, generator=generator) for channels in HEAD_CHANNELS]
    save_file({f"lin{index}.model.1.weight": head for index, head in enumerate(heads)}, path)
    return heads


@pytest.fixture
def random_lpips(tmp_path: Path) -> tuple[metrics.Lpips, torch.nn.Sequential, list[Tensor]]:
    trunk, heads = save_squeezenet(tmp_path / "network.safetensors"), save_heads(tmp_path / "heads.safetensors")
    return metrics.Lpips(tmp_path / "network.safetensors", tmp_path / "heads.safetensors"), trunk, heads


def random_pictures(count: int, seed: int, height: int = 64, width: int = 80) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def plain_lpips(a: Tensor, b: Tensor, trunk: torch.nn.Sequential, heads: list[Tensor]) -> Tensor:
    """The published procedure, step by step, with the paper's own input scaling."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    a, b = (a - shift) / scale, (b - shift) / scale
    total, head = torch.zeros(a.shape[0]), iter(heads)
    for index, layer in enumerate(trunk):
        a, b = layer(a), layer(b)
        if index in (1, 4, 7, 9, 10, 11, 12):
            unit_a = a / (torch.linalg.vector_norm(a, dim=1, keepdim=True) + 1e-10)
            unit_b = b / (torch.linalg.vector_norm(b, dim=1, keepdim=True) + 1e-10)
            total += torch.nn.functional.conv2d((unit_a - unit_b) ** 2, next(head)).mean(dim=(1, 2, 3))
    return total


@torch.no_grad()
def test_lpips_is_the_published_procedure(random_lpips: tuple) -> None:
    lpips, trunk, heads = random_lpips
    a, b = random_pictures(2, seed=0), random_pictures(2, seed=1)
    expected = plain_lpips(a, b, trunk, heads)
    assert expected.min() > 0.01
    torch.testing.assert_close(lpips(a, b), expected, rtol=1e-4, atol=1e-6)


def test_lpips_of_equal_pictures_is_zero_and_it_is_symmetric(random_lpips: tuple) -> None:
    lpips = random_lpips[0]
    a, b = random_pictures(1, seed=0), random_pictures(1, seed=1)
    assert lpips(a, a).tolist() == [0.0]
    torch.testing.assert_close(lpips(a, b), lpips(b, a))


def test_lpips_grows_with_the_disturbance_and_is_differentiable(random_lpips: tuple) -> None:
    lpips = random_lpips[0]
    photo, noise = random_pictures(1, seed=0) / 2, random_pictures(1, seed=1)
    near, far = (lpips(photo, photo + amount * noise).item() for amount in (0.05, 0.4))
    assert 0 < near < far
    painting = (photo + 0.4 * noise).requires_grad_()
    lpips(painting, photo).sum().backward()
    assert painting.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in lpips.parameters())


def test_lpips_names_the_head_that_a_file_lacks(tmp_path: Path) -> None:
    save_squeezenet(tmp_path / "network.safetensors")
    save_file({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, tmp_path / "heads.safetensors")
    with pytest.raises(InputError, match=r"lin1\.model\.1\.weight"):
        metrics.Lpips(tmp_path / "network.safetensors", tmp_path / "heads.safetensors")
    with pytest.raises(InputError, match=r"absent\.safetensors"):
        metrics.Lpips(tmp_path / "network.safetensors", tmp_path / "absent.safetensors")


def gram_distance(
    painted: torch.Tensor, painting: torch.Tensor, features: Callable[[torch.Tensor], list[torch.Tensor]]
) -> float:
    return metrics.gram_distance(*(metrics.picture_grams(picture, features) for picture in (painted, painting)))


def test_gram_distance_of_a_case_worked_by_hand() -> None:
    painted, painting = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 2, 1)
    painted[0, 0, 0], painted[0, 1, 0] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    painting[0, 0, :, 0], painting[0, 1, :, 0] = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0])
    # Gram matrices: (1/2 0; 0 1/2) and (1 1/2; 1/2 1/2); their difference (1/2 1/2; 1/2 0). First channel: 1/2 and 1.
    two_channels = math.sqrt(0.75 / 1.75)
    assert gram_distance(painted, painting, lambda x: [x[:, :2]]) == pytest.approx(two_channels, abs=1e-6)
    both_layers = gram_distance(painted, painting, lambda x: [x[:, :2], x[:, :1]])
    assert both_layers == pytest.approx((two_channels + 0.5) / 2, abs=1e-6)


def test_gram_distance_forgets_place_and_size_but_not_colors() -> None:
    painting = random_pictures(1, seed=2, height=24, width=32)
    tiled = torch.cat([painting, painting], dim=3).flip(2)
    assert gram_distance(painting, painting, lambda x: [x]) == 0.0
    assert gram_distance(tiled, painting, lambda x: [x]) == pytest.approx(0.0, abs=1e-5)
    assert gram_distance(painting / 2, painting, lambda x: [x]) == pytest.approx(0.75, abs=1e-5)


def wavy_picture(size: int = 256) -> np.ndarray:
    """A soft picture in grey levels without any grid, (size, size); its edges meet, so nothing leaks to high waves."""
    y, x = np.mgrid[:size, :size] / size * 2 * np.pi
    return 128 + 40 * np.sin(x + 2 * y) + 30 * np.cos(2 * x) * np.sin(3 * y)


def grey_tensor(grey: np.ndarray) -> Tensor:
    return torch.from_numpy(grey / 255 * 2 - 1).float().expand(1, 3, -1, -1)


@pytest.mark.parametrize("frequency", [1 / 4, 3 / 8])
@pytest.mark.parametrize("upright", [True, False])
def test_grid_amplitude_measures_a_planted_wave(frequency: float, upright: bool) -> None:
    wave = np.broadcast_to(3.0 * np.cos(2 * np.pi * frequency * np.arange(256) + 0.4), (256, 256))
    planted = wavy_picture() + (wave if upright else wave.T)
    assert metrics.grid_amplitude(grey_tensor(planted)) == pytest.approx(3.0, rel=0.03)


def test_grid_amplitude_at_period_two_is_the_swing_between_neighbors() -> None:
    planted = wavy_picture() + 1.5 * (-1.0) ** np.arange(256)
    assert metrics.grid_amplitude(grey_tensor(planted)) == pytest.approx(3.0, rel=0.03)


def test_grid_amplitude_is_the_worst_of_all_and_small_without_a_grid() -> None:
    assert 0 <= metrics.grid_amplitude(grey_tensor(wavy_picture())) < 0.1
    column = np.arange(256)
    planted = wavy_picture() + 1.0 * np.cos(np.pi / 2 * column) + 4.0 * np.cos(np.pi / 2 * column)[:, None]
    assert metrics.grid_amplitude(grey_tensor(planted)) == pytest.approx(4.0, rel=0.03)


def test_grid_amplitude_ignores_noise_and_waves_of_other_periods() -> None:
    noise = np.random.default_rng(0).normal(0, 8, (256, 256))
    other = 5 * np.cos(2 * np.pi * 0.31 * np.arange(256))
    # noise is as strong at the grid's frequencies as beside them: only its scatter is left
    assert metrics.grid_amplitude(grey_tensor(wavy_picture() + other + noise)) < 0.3


def test_grid_amplitude_sees_a_grid_at_widths_that_are_no_multiple_of_it() -> None:
    planted = wavy_picture(251) + 1.5 * (-1.0) ** np.arange(251)
    assert metrics.grid_amplitude(grey_tensor(planted)) > 1.0


def test_border_ratio_of_a_picture_with_itself_is_one() -> None:
    photo = random_pictures(1, seed=5)
    assert metrics.border_ratio(photo, photo) == 1.0


def test_border_ratio_measures_a_planted_dark_rim() -> None:
    photo = torch.zeros(1, 3, 40, 60)  # 0.5 everywhere, so its own step is 0
    painted = photo.clone()
    painted[..., :4, :] = painted[..., -4:, :] = painted[..., :, :4] = painted[..., :, -4:] = -0.4  # 0.2 darker
    assert metrics.border_ratio(painted, photo) == pytest.approx((0.2 + 0.01) / 0.01, rel=1e-5)


def test_border_ratio_measures_a_rim_of_another_contrast() -> None:
    photo = torch.zeros(1, 3, 40, 60)
    painted = photo.clone()
    checkers = 0.2 * (-1.0) ** (torch.arange(40)[:, None] + torch.arange(60))  # +-0.1 in [0, 1], mean 0
    painted[..., :4, :], painted[..., -4:, :] = checkers[:4], checkers[-4:]
    painted[..., :, :4], painted[..., :, -4:] = checkers[:, :4], checkers[:, -4:]
    assert metrics.border_ratio(painted, photo) == pytest.approx((0.1 + 0.01) / 0.01, rel=0.01)


def test_border_ratio_does_not_mind_what_happens_inside() -> None:
    photo = random_pictures(1, seed=6)
    painted = photo.clone()
    painted[..., 8:-8, 8:-8] = 1.0
    assert metrics.border_ratio(painted, photo) == 1.0


def plain_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang's equation 13, window by window."""
    reach = np.arange(11) - 5
    window = np.exp(-(reach[:, None] ** 2 + reach**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (z[top : top + 11, left : left + 11] for z in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            both = (window * (a - mean_a) * (b - mean_b)).sum()
            values.append(
                (2 * mean_a * mean_b + 1e-4)
                * (2 * both + 9e-4)
                / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
            )
    return float(np.mean(values))


def test_ssim_is_the_published_equation_on_luminance() -> None:
    a = random_pictures(1, seed=0, height=16, width=19)
    b = (a + random_pictures(1, seed=1, height=16, width=19)) / 2
    luma = [(np.array([0.299, 0.587, 0.114]) @ ((z[0].double().numpy() + 1) / 2).reshape(3, -1)) for z in (a, b)]
    expected = plain_ssim(*(z.reshape(16, 19) for z in luma))
    assert 0.3 < expected < 0.9
    assert metrics.luminance_ssim(a, b) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_flat_picture_made_lighter_is_the_luminance_term_alone() -> None:
    dark, light = torch.full((1, 3, 20, 20), -0.5), torch.full((1, 3, 20, 20), 0.5)  # 0.25 and 0.75
    assert metrics.luminance_ssim(dark, dark) == 1.0
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert metrics.luminance_ssim(dark, light) == pytest.approx(expected, abs=1e-7)


def patch_distance(a: Tensor, b: Tensor) -> float:
    return metrics.patch_distance(metrics.patch_projections(a), metrics.patch_projections(b))


def test_patch_distance_of_a_lighter_picture_is_the_shift_along_each_direction() -> None:
    photo = random_pictures(1, seed=0) / 2
    assert patch_distance(photo, photo) == 0.0
    directions = torch.nn.functional.normalize(torch.randn(147, 128, generator=torch.Generator().manual_seed(0)), dim=0)
    expected = 10 * directions.sum(dim=0).abs().mean().item()
    assert patch_distance(photo + 20 / 255, photo) == pytest.approx(expected, rel=1e-3)


def test_patch_distance_is_wassersteins_worked_by_hand() -> None:
    ours = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1)
    assert metrics.patch_distance(ours, torch.tensor([5.0, 6.0, 8.0]).view(1, 3, 1)) == pytest.approx(5.0)
    assert metrics.patch_distance(ours, torch.tensor([-1.0, 2.0, 3.0]).view(1, 3, 1)) == pytest.approx(2 / 3)
    twice = torch.tensor([0.0, 0.0, 1.0, 1.0, 3.0, 3.0]).view(1, 6, 1)
    assert metrics.patch_distance(ours, twice) == 0.0


def test_patch_distance_sees_strokes_that_a_palette_does_not() -> None:
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    rows, columns, again = (torch.where(wave % 16 < 8, 0.6, -0.6).expand(1, 3, -1, -1) for wave in (y, x, y + 4))
    assert patch_distance(rows, columns) > 5 * patch_distance(rows, again)


def test_grid_amplitudes_tell_the_periods_apart() -> None:
    planted = wavy_picture() + 2.0 * np.cos(2 * np.pi * 3 / 8 * np.arange(256))
    found = metrics.grid_amplitudes(grey_tensor(planted))
    assert found["8/3"] == pytest.approx(2.0, rel=0.03) and found["4"] < 0.1 and found["2"] < 0.1
    assert metrics.grid_amplitude(grey_tensor(planted)) == found["8/3"]


def test_clipped_share_counts_pixels_with_a_channel_at_an_end() -> None:
    levels = torch.full((1, 3, 4, 5), 128.0)
    levels[0, 0, 0, 0], levels[0, 2, 3, 4], levels[0, 1, 1, 1] = 255, 0, 254
    levels[0, :, 2, 2] = 255
    assert metrics.clipped_share(levels / 127.5 - 1) == pytest.approx(3 / 20)


def test_color_shift_is_the_distance_of_mean_colors_in_lab() -> None:
    white, grey = torch.ones(1, 3, 8, 8), torch.full((1, 3, 8, 8), 119 / 127.5 - 1)
    assert metrics.color_shift(white, white) == 0.0
    assert metrics.color_shift(grey, white) == pytest.approx(100 - 50.03, abs=0.02)
