"""The last layer over a painting: known answers for colors, strength and masks."""

import numpy as np
import pytest
from PIL import Image

from styletransfer.images.finishing import LUMA, finish, shapes_reach, soft_mask, with_colors_of, with_shapes_of


def plain(color, size=(40, 30)):
    return Image.new("RGB", size, color)


def noise(seed, size=(70, 600)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def levels(image):
    return np.asarray(image).astype(int)


# ---------------------------------------------------------------- strength


def test_strength_goes_from_the_photo_to_the_painting_exactly():
    photo, painting = noise(0), noise(1)
    np.testing.assert_array_equal(levels(finish(photo, painting, strength=0)), levels(photo))
    np.testing.assert_array_equal(levels(finish(photo, painting, strength=1)), levels(painting))
    half = finish(plain((0, 100, 200)), plain((100, 0, 100)), strength=0.5)
    assert half.getpixel((3, 3)) == (50, 50, 150)


# ---------------------------------------------------------------- colors


def test_a_gray_painting_of_the_photos_luma_gives_the_photo_back():
    photo = noise(0).point(lambda level: 40 + level * 2 // 3)  # rounding may push colors at the end of the range
    gray = Image.fromarray((np.asarray(photo, dtype=np.float32) @ LUMA).round().astype(np.uint8)).convert("RGB")
    assert np.abs(levels(finish(photo, gray, keep_colors=True)) - levels(photo)).max() <= 1


def test_kept_colors_have_the_paintings_luma_and_the_photos_hue():
    photo, painting = (np.asarray(noise(seed), dtype=np.float32) for seed in (0, 1))
    colored = with_colors_of(photo, painting)
    assert colored.min() >= -0.01 and colored.max() <= 255.01
    np.testing.assert_allclose(colored @ LUMA, painting @ LUMA, atol=0.01)
    chroma, before = colored - (colored @ LUMA)[..., None], photo - (photo @ LUMA)[..., None]
    share = (chroma * before).sum(-1) / (before * before).sum(-1).clip(1e-6)
    assert share.min() > -1e-4 and share.max() < 1 + 1e-4  # the same direction, never more colorful
    np.testing.assert_allclose(chroma, share[..., None] * before, atol=0.02)


def test_a_black_stroke_on_a_red_wall_is_black_without_a_red_rim():
    painting = plain((128, 128, 128))
    painting.paste((0, 0, 0), (10, 10, 20, 20))
    painted = finish(plain((220, 30, 30)), painting, keep_colors=True)
    assert painted.getpixel((15, 15)) == (0, 0, 0)
    assert {color for _, color in painted.getcolors()} == {(0, 0, 0), painted.getpixel((0, 0))}


# ---------------------------------------------------------------- shapes


def smooth(seed, size, cells=6):
    return noise(seed, (cells, cells)).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("scale", [1.3, 3, 5, 16])
def test_large_shapes_come_from_the_small_painting_and_strokes_from_the_large_one(scale):
    size = (round(48 * scale), round(40 * scale))
    small, other, strokes = smooth(0, (48, 40)), smooth(1, size), np.zeros((size[1], size[0], 1))
    strokes[:, ::2] = 20
    painting = Image.fromarray((levels(other) * 0.7 + 20 + strokes).astype(np.uint8))
    enlarged = small.resize(size, Image.Resampling.BICUBIC)
    found = with_shapes_of(enlarged, painting, scale)
    back = levels(found.resize(small.size, Image.Resampling.LANCZOS))
    assert np.abs(back - levels(small)).mean() < 0.15 * np.abs(levels(painting) - levels(enlarged)).mean()
    kept = np.abs(np.diff(levels(found)[..., 0], axis=1)).mean()
    assert kept > (0.5 if scale < 2 else 0.9) * np.abs(np.diff(levels(painting)[..., 0], axis=1)).mean()


@pytest.mark.parametrize("scale", [1.3, 3, 5, 16])
def test_a_tile_gets_the_shapes_that_the_whole_has(scale):
    enlarged, painting, reach = smooth(0, (402, 301)), noise(1, (402, 301)), shapes_reach(scale)
    whole, box = with_shapes_of(enlarged, painting, scale), (140, 100, 240, 180)
    around = (box[0] - reach, box[1] - reach, box[2] + reach, box[3] + reach)
    tile = with_shapes_of(enlarged.crop(around), painting.crop(around), scale)
    tile = tile.crop((reach, reach, reach + 100, reach + 80))
    assert reach % 4 == 0
    assert np.abs(levels(tile) - levels(whole.crop(box))).max() <= 1


# ---------------------------------------------------------------- masks


def disc(size=(200, 160), radius=50):
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    return Image.fromarray((((x - 100) ** 2 + (y - 80) ** 2 < radius**2) * 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(200, 160), (2000, 1600)])
def test_outside_of_the_mask_the_photo_stays_bit_for_bit_and_inside_it_is_painted(size):
    photo, painting, mask = noise(0, size), noise(1, size), disc()
    finished = finish(photo, painting, mask=soft_mask(mask, size))
    outside = np.asarray(mask.resize(size, Image.Resampling.BILINEAR)) == 0
    np.testing.assert_array_equal(levels(finished)[outside], levels(photo)[outside])
    inner = np.asarray(disc(radius=40).resize(size, Image.Resampling.NEAREST)) > 0
    np.testing.assert_array_equal(levels(finished)[inner], levels(painting)[inner])


def test_the_edge_of_a_mask_is_soft_within():
    half = Image.new("L", (400, 100))
    half.paste(255, (200, 0, 400, 100))
    row = levels(soft_mask(half, (400, 100), feather=0.05))[50]
    assert row[:200].max() == 0 and row[225:].min() == 255
    steps = np.diff(row[199:226])
    assert steps.min() >= 0 and steps.max() <= 40
    assert row[-1] == 255  # the picture's own border is no edge


def test_a_narrow_stroke_does_not_vanish():
    line = Image.new("L", (400, 300))
    line.paste(255, (0, 150, 400, 155))
    assert levels(soft_mask(line, (400, 300)))[152].min() == 255


def test_a_mask_of_one_value_is_that_value_everywhere():
    for value in (0, 255):
        assert soft_mask(Image.new("L", (50, 40), value), (300, 200)).getextrema() == (value, value)


def test_strength_counts_within_the_mask():
    finished = finish(plain((0, 0, 0)), plain((200, 200, 200)), strength=0.5, mask=Image.new("L", (40, 30), 255))
    assert finished.getpixel((1, 1)) == (100, 100, 100)
