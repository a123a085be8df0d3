"""Files to take home: settings inside, pixels as they are, names that tell."""

from io import BytesIO

import numpy as np
import pytest
from painting_kit import STYLES, farthest
from PIL import Image, ImageCms
from small_generators import random_generator

from styletransfer.errors import InputError
from styletransfer.images.files import load_picture
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import (
    mask_from_text,
    mask_to_text,
    read_settings,
    record_of,
    result_name,
    save_result,
    settings_of,
)
from styletransfer.settings import PaintSettings

MIX = {"monet": 0.6, "great-wave": 0.4}
SETTINGS = PaintSettings(MIX, strength=0.85, brush_size=2, keep_colors=True)
WITH = {"photo": "Größe 山水.jpg", "pack": "studio/monet"}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_settings_come_back_from_the_file(tmp_path, photo, suffix):
    save_result(photo, tmp_path / f"painting{suffix}", SETTINGS, **WITH)
    record = read_settings(tmp_path / f"painting{suffix}")
    assert settings_of(record) == SETTINGS
    told = {"style": MIX, "strength": 0.85, "brush_size": 2, "keep_colors": True, "mask": None}
    assert record.items() >= (WITH | told).items() and record["program"].startswith("styletransfer ")
    with Image.open(tmp_path / f"painting{suffix}") as file:
        profile = ImageCms.getOpenProfile(BytesIO(file.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_settings_of_a_file_paint_the_same_again(tmp_path, photo):
    painter = StyleTransferPipeline(random_generator(STYLES), device="cpu")
    mask = Image.linear_gradient("L")
    painting = painter(photo, {"wave": 3, "night": 1}, strength=0.5, brush_size=1.5, mask=mask)
    save_result(painting, tmp_path / "painting.png", PaintSettings({"wave": 3, "night": 1}, 0.5, 1.5, False, mask))
    assert farthest(painter(photo, settings_of(read_settings(tmp_path / "painting.png"))), painting) == 0


@pytest.mark.parametrize("change", [{"strength": 7}, {"mask": "left out: too large"}, {"brush_size": "2"}])
def test_settings_that_are_out_of_bounds_are_refused(change):
    with pytest.raises(InputError):
        settings_of(record_of(SETTINGS) | change)


def test_a_png_keeps_every_pixel_and_the_transparency(tmp_path, photo):
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    save_result(photo, tmp_path / "painting.png", SETTINGS)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "painting.png")), np.asarray(photo))
    again = load_picture(tmp_path / "painting.png")
    np.testing.assert_array_equal(np.asarray(again.rgb)[1:], np.asarray(photo)[1:, :, :3])  # row 0 is not seen at all


def test_a_jpeg_is_of_high_quality_and_keeps_thin_lines_of_color(tmp_path, photo):
    photo.paste((255, 0, 0), (30, 0, 31, 80))
    save_result(photo, tmp_path / "painting.jpg", SETTINGS)
    seen = np.asarray(Image.open(tmp_path / "painting.jpg")).astype(int)
    assert np.abs(seen - np.asarray(photo)).mean() < 3.5
    assert seen[:40, 30, 0].min() > 220 and seen[:40, 30, 1:].mean() < 30  # halved colors would give 130


def test_names_tell_photo_and_style():
    assert result_name("/in/beach at noon.jpg", "monet") == "beach at noon-monet.png"
    assert result_name("a.b.png", {"monet": 1, "org/pack:night": 0.5}, ".jpg") == "a.b-monet+night.jpg"
    assert len(result_name("x" * 300 + ".png", "monet")) < 120


def test_a_mask_comes_back_exactly_and_one_too_large_for_a_jpeg_is_left_out(tmp_path, photo):
    mask = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8))
    np.testing.assert_array_equal(np.asarray(mask_from_text(mask_to_text(mask))), np.asarray(mask))
    settings = PaintSettings(MIX, mask=mask)
    save_result(photo, tmp_path / "painting.png", settings)
    assert read_settings(tmp_path / "painting.png") == record_of(settings)
    save_result(photo, tmp_path / "painting.jpg", settings)
    assert read_settings(tmp_path / "painting.jpg")["mask"].startswith("left out")


@pytest.mark.parametrize("text", ["not base64!", "aGVsbG8="])
def test_a_damaged_mask_is_refused(text):
    with pytest.raises(InputError):
        mask_from_text(text)


def test_files_without_settings_are_refused(tmp_path, photo):
    photo.save(tmp_path / "plain.png")
    photo.save(tmp_path / "plain.jpg")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("plain.png", "plain.jpg", "text.png", "nowhere.png"):
        with pytest.raises(InputError, match=name):
            read_settings(tmp_path / name)
