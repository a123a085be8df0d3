"""Brush size, colors and masks through the pipeline."""

import numpy as np
import pytest
import torch
from painting_kit import STYLES, farthest, pixels, refusal
from PIL import Image
from small_generators import random_generator

from styletransfer.images.files import load_picture
from styletransfer.paths import EXAMPLES
from styletransfer.paths import STYLES as STYLES_FOLDER
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings


@pytest.fixture(scope="module")
def painter():
    return StyleTransferPipeline(random_generator(STYLES), device="cpu", dtype=torch.float32)


@pytest.fixture
def large(photo):
    return photo.resize((288, 240), Image.Resampling.BICUBIC)


def test_a_brush_of_1_is_the_network_itself_and_a_near_one_is_near(painter, large):
    plain = painter(large, "night")
    assert farthest(painter(large, "night", brush_size=1.0), plain) == 0
    near = np.abs(pixels(painter(large, "night", brush_size=1.02)) - pixels(plain)).mean()
    far = np.abs(pixels(painter(large, "night", brush_size=3)) - pixels(plain)).mean()
    assert near < far / 2


@pytest.mark.parametrize("brush", [0.5, 0.8, 1.5, 2, 4])
def test_any_brush_gives_a_picture_of_the_photos_size_the_same_each_time(painter, photo, brush):
    painting = painter(photo, "wave", brush_size=brush)
    assert painting.size == photo.size and painting.mode == "RGB"
    assert farthest(painting, painter(photo, "wave", brush_size=brush)) == 0


def test_a_large_brush_stays_sharp(painter, large):
    """An enlarged small painting would have lost most of what changes from pixel to pixel."""

    def sharpness(image):
        return np.abs(np.diff(pixels(image).mean(axis=-1), axis=1)).mean()

    small = painter(large.resize((96, 80), Image.Resampling.LANCZOS), "night")
    enlarged = small.resize(large.size, Image.Resampling.BICUBIC)
    assert sharpness(painter(large, "night", brush_size=3)) > 1.5 * sharpness(enlarged)


@pytest.mark.parametrize("brush", [0.25, 0, -1, 4.1, 64, float("nan"), float("inf"), "2", None, True])
def test_a_brush_out_of_range_is_refused(painter, photo, brush):
    assert "brush size" in refusal(painter, photo, "wave", brush_size=brush)


def test_a_brush_means_the_same_on_a_picture_of_any_size():
    """Strokes as wide as learned on a picture of 768 pixels; wider on a larger one, where they look the same."""
    for brush, size, scale in [(1, (600, 400), 1), (1, (768, 768), 1), (1, (1536, 400), 2), (0.5, (400, 3072), 2)]:
        assert PaintSettings("wave", brush_size=brush).stroke_scale(size) == scale


def test_a_large_photo_gets_strokes_as_much_wider(painter, photo):
    large = photo.resize((1152, 960), Image.Resampling.BICUBIC)
    assert farthest(painter(large, "night"), painter.paint(large, "night", scale=1.5)) == 0
    assert farthest(painter(large, "night"), painter.paint(large, "night")) > 0


@pytest.mark.parametrize("brush", [0.7, 1, 2])
def test_a_large_painting_is_what_was_seen_on_the_screen_with_finer_strokes(brush):
    photo = load_picture(EXAMPLES / "pagoda.jpg").rgb
    large = photo.resize((1920, 1280), Image.Resampling.LANCZOS)
    painter = StyleTransferPipeline.from_pretrained(STYLES_FOLDER / "great-wave", device="cpu")
    seen = painter(large.resize((768, 512), Image.Resampling.LANCZOS, reducing_gap=3), "great-wave", brush_size=brush)
    file = painter(large, "great-wave", brush_size=brush)
    apart = np.abs(pixels(file.resize(seen.size, Image.Resampling.LANCZOS)) - pixels(seen)).mean()
    other = painter(large, "great-wave", brush_size=1.5 * brush).resize(seen.size, Image.Resampling.LANCZOS)
    assert apart < 0.4 * np.abs(pixels(other) - pixels(seen)).mean()
    fine = pixels(file) - pixels(seen.resize(file.size, Image.Resampling.BICUBIC))
    assert np.abs(fine).mean() > 2  # more than an enlarged picture


def test_kept_colors_are_the_photos_and_light_is_the_paintings(painter, photo):
    plain, kept = painter(photo, "night"), painter(photo, "night", keep_colors=True)
    assert np.abs(pixels(kept.convert("L")) - pixels(plain.convert("L"))).max() <= 2
    chroma = [pixels(image.convert("YCbCr"))[..., 1:] for image in (photo, plain, kept)]
    assert np.abs(chroma[2] - chroma[0]).mean() < np.abs(chroma[1] - chroma[0]).mean() / 2


def test_a_mask_paints_where_it_is_white_and_alpha_stays(painter, photo, tmp_path):
    mask = Image.new("L", (48, 40))
    mask.paste(255, (24, 0, 48, 40))
    mask.save(tmp_path / "mask.png")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    for given in (mask, tmp_path / "mask.png"):
        painting = painter(photo, "night", mask=given)
        seen, whole = load_picture(photo).rgb, painter(photo, "night")
        np.testing.assert_array_equal(pixels(painting)[:, :46, :3], pixels(seen)[:, :46])
        np.testing.assert_array_equal(pixels(painting)[:, 60:], pixels(whole)[:, 60:])
        np.testing.assert_array_equal(pixels(painting)[..., 3], pixels(photo)[..., 3])


def test_a_mask_that_is_no_picture_is_refused(painter, photo, tmp_path):
    (tmp_path / "mask.png").write_text("no picture")
    assert "mask.png" in refusal(painter, photo, "wave", mask=tmp_path / "mask.png")
