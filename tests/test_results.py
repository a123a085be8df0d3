"""Files to take home: settings inside, pixels as they are, names that tell."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from styletransfer.errors import InputError
from styletransfer.images.files import load_picture
from styletransfer.results import mask_from_text, mask_to_text, read_settings, result_name, save_result

SETTINGS = {"style": {"monet": 0.6, "great-wave": 0.4}, "strength": 0.85, "title": "Größe 山水", "keep_colors": True}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_settings_come_back_from_the_file(tmp_path, photo, suffix):
    save_result(photo, tmp_path / f"painting{suffix}", SETTINGS)
    assert read_settings(tmp_path / f"painting{suffix}") == SETTINGS
    with Image.open(tmp_path / f"painting{suffix}") as file:
        profile = ImageCms.getOpenProfile(BytesIO(file.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


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
    settings = {**SETTINGS, "mask": mask_to_text(mask)}
    save_result(photo, tmp_path / "painting.png", settings)
    assert read_settings(tmp_path / "painting.png") == settings
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
