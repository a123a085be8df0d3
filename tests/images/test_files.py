"""Pictures in and out: every kind of file, with the answer known beforehand."""

import errno
import io
import itertools
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from styletransfer.errors import InputError
from styletransfer.images.files import (
    MAX_PIXELS,
    PICTURE_SUFFIXES,
    Picture,
    fit_long_side,
    load_picture,
    picture_to_tensor,
    save_picture,
    tensor_to_picture,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
GRAY_PNG, RGB_PNG, PALETTE_PNG, GRAY_ALPHA_PNG, RGBA_PNG = 0, 2, 3, 4, 6  # color types of the PNG header


# ---------------------------------------------------------------------------------------------------------------------
# Files made by hand


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, file_format, **options)
    return encoded.getvalue()


def png(width: int, height: int, depth: int, color_type: int, rows: bytes, chunks: dict[bytes, bytes] | None = None):
    """A PNG of any depth (Pillow itself writes no 16-bit RGB); `rows` without the filter bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    stride = len(rows) // height
    filtered = b"".join(b"\0" + rows[row * stride : (row + 1) * stride] for row in range(height))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))
    extra = b"".join(chunk(kind, data) for kind, data in (chunks or {}).items())
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(filtered)) + chunk(b"IEND", b"")


def icc_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A display profile (ICC version 2.1) of a few tags."""
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + d50,
        **tags,
    }
    table, body, offset = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4sI4s4s4s12s4s", offset + len(body), bytes(4), 0x02100000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    header = header.ljust(68, b"\0") + d50
    return header.ljust(128, b"\0") + table + body


def rgb_profile(colorants: list[list[float]], curve: bytes) -> bytes:
    """A matrix profile; `colorants` are the D50 XYZ of red, green and blue."""
    tags = {}
    for name, xyz in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in xyz))
        tags[name + b"TRC"] = curve
    return icc_profile(b"RGB ", tags)


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def srgb_curve() -> bytes:
    level = np.linspace(0, 1, 1024)
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *(light * 65535).round().astype(int))


DISPLAY_P3 = rgb_profile(
    [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]], srgb_curve()
)
ADOBE_RGB = rgb_profile(
    [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]], gamma_curve(2.19921875)
)
TABLED_SRGB = rgb_profile(  # as cameras and scanners embed it, its curve a table of 1024
    [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]], srgb_curve()
)
LINEAR_GRAY = icc_profile(b"GRAY", {b"kTRC": gamma_curve(1.0)})
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    levels = np.random.default_rng(7).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(levels.squeeze())


def flat(color: tuple[int, ...], size: tuple[int, int] = (32, 32), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, color)


def pixels(image: Image.Image) -> list:
    return np.asarray(image).tolist()


def assert_near(image: Image.Image, color: tuple[int, int, int], levels: int = 2) -> None:
    difference = np.abs(np.asarray(image).astype(int) - color)
    assert difference.max() <= levels, f"{image.getpixel((0, 0))} instead of {color}"


# ---------------------------------------------------------------------------------------------------------------------
# Upright


# Where the first and the last pixel of the stored first row are seen (EXIF 2.32, "Orientation": row 0, column 0).
CORNERS = {
    1: ("top left", "top right"),
    2: ("top right", "top left"),
    3: ("bottom right", "bottom left"),
    4: ("bottom left", "bottom right"),
    5: ("top left", "bottom left"),
    6: ("top right", "bottom right"),
    7: ("bottom right", "top right"),
    8: ("bottom left", "top left"),
}


def corner(image: Image.Image, name: str) -> tuple[int, int, int]:
    x = 2 if "left" in name else image.width - 3
    y = 2 if "top" in name else image.height - 3
    return image.getpixel((x, y))


def lying_picture() -> Image.Image:
    image = flat((128, 128, 128), (48, 32))
    image.paste(RED, (0, 0, 16, 16))
    image.paste(BLUE, (32, 0, 48, 16))
    return image


def orientation_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("orientation", CORNERS)
def test_exif_orientation_is_applied(orientation: int) -> None:
    stored = encode(lying_picture(), "JPEG", exif=orientation_exif(orientation), quality=95, subsampling=0)
    picture = load_picture(stored)
    assert picture.size == ((48, 32) if orientation <= 4 else (32, 48))
    first, last = CORNERS[orientation]
    assert_near(flat(corner(picture.rgb, first)), RED, 8)
    assert_near(flat(corner(picture.rgb, last)), BLUE, 8)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 100}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_orientation_is_applied_once_in_every_format(file_format: str, options: dict) -> None:
    picture = load_picture(encode(lying_picture(), file_format, exif=orientation_exif(6), **options))
    assert picture.size == (32, 48)
    assert_near(flat(corner(picture.rgb, "top right")), RED, 8)


def test_alpha_is_turned_with_the_colors() -> None:
    image = lying_picture().convert("RGBA")
    image.putpixel((0, 0), (255, 0, 0, 7))
    picture = load_picture(encode(image, "PNG", exif=orientation_exif(6)))
    assert picture.alpha.getpixel((31, 0)) == 7
    assert picture.alpha.size == picture.rgb.size == (32, 48)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of it too
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0garbage", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff"]
)
def test_damaged_exif_does_not_spoil_the_picture(exif: bytes) -> None:
    picture = load_picture(encode(lying_picture(), "JPEG", exif=exif))
    assert picture.size == (48, 32)


# ---------------------------------------------------------------------------------------------------------------------
# Color profiles


@pytest.mark.parametrize(
    ("profile", "stored", "seen"),
    [
        (DISPLAY_P3, (234, 51, 35), RED),  # what Display P3 calls sRGB's pure red
        (DISPLAY_P3, (200, 100, 50), (215, 93, 31)),  # from the primaries' chromaticities
        (DISPLAY_P3, (128, 128, 128), (128, 128, 128)),
        (ADOBE_RGB, (219, 0, 0), RED),
        (ADOBE_RGB, (144, 255, 60), GREEN),
        (ADOBE_RGB, (200, 100, 50), (227, 100, 42)),
        (ADOBE_RGB, (127, 127, 127), (127, 127, 127)),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_icc_profile_is_converted_to_srgb(profile: bytes, stored: tuple, seen: tuple, file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    picture = load_picture(encode(flat(stored), file_format, icc_profile=profile, **options))
    assert_near(picture.rgb, seen)
    assert picture.notes == ()


def test_icc_profile_of_a_jpeg_is_converted() -> None:
    picture = load_picture(encode(flat((234, 51, 35)), "JPEG", icc_profile=DISPLAY_P3, quality=100, subsampling=0))
    assert_near(picture.rgb, RED, 4)


def test_icc_profile_of_a_palette_picture_is_converted() -> None:
    palette = flat((234, 51, 35)).quantize(4)
    assert_near(load_picture(encode(palette, "PNG", icc_profile=DISPLAY_P3)).rgb, RED)


def test_icc_profile_is_applied_to_the_colors_and_not_to_alpha() -> None:
    picture = load_picture(encode(flat((234, 51, 35, 77), mode="RGBA"), "PNG", icc_profile=DISPLAY_P3))
    assert_near(picture.rgb, RED)
    assert picture.alpha.getextrema() == (77, 77)


def test_gray_profile_is_converted() -> None:
    picture = load_picture(encode(flat(128, mode="L"), "PNG", icc_profile=LINEAR_GRAY))
    assert_near(picture.rgb, (188, 188, 188))  # sRGB writes half the light as 188


@pytest.mark.parametrize("profile", [SRGB, TABLED_SRGB])
def test_srgb_profile_leaves_every_pixel_as_it_is(profile: bytes) -> None:
    image = noise(256, 256)
    assert pixels(load_picture(encode(image, "PNG", icc_profile=profile)).rgb) == pixels(image)


def test_gray_picture_with_an_rgb_profile_is_read() -> None:
    picture = load_picture(encode(flat(90, mode="L"), "PNG", icc_profile=SRGB))
    assert_near(picture.rgb, (90, 90, 90), 1)


@pytest.mark.parametrize("profile", [b"no profile at all", DISPLAY_P3[:200], DISPLAY_P3[:128], LINEAR_GRAY])
def test_unusable_profile_is_ignored_with_a_note(profile: bytes) -> None:
    picture = load_picture(encode(flat((234, 51, 35)), "PNG", icc_profile=profile))
    assert picture.rgb.getpixel((0, 0)) == (234, 51, 35)
    assert len(picture.notes) == 1
    assert "profile" in picture.notes[0]


@pytest.mark.parametrize(
    ("cmyk", "seen"), [((0, 0, 0, 0), WHITE), ((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))]
)
@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_without_profile_is_approximated(cmyk: tuple, seen: tuple, file_format: str) -> None:
    picture = load_picture(encode(flat(cmyk, mode="CMYK"), file_format))
    assert_near(picture.rgb, seen)
    assert any("CMYK" in note for note in picture.notes)


def test_lab_tiff_is_converted() -> None:
    lab = Image.merge("LAB", [flat(level, mode="L") for level in (128, 128, 128)])  # L* = 50, a* = b* = 0
    assert_near(load_picture(encode(lab, "TIFF")).rgb, (119, 119, 119))


def test_result_carries_no_old_metadata() -> None:
    image = flat((1, 2, 3, 4), mode="RGBA")
    picture = load_picture(encode(image, "PNG", icc_profile=DISPLAY_P3, exif=orientation_exif(6), dpi=(72, 72)))
    assert picture.rgb.info == {}
    assert "icc_profile" not in picture.compose().info
    assert "icc_profile" not in picture.alpha.info


# ---------------------------------------------------------------------------------------------------------------------
# Bit depths


def test_16_bit_gray_png_keeps_its_range() -> None:
    rows = struct.pack(">4H", 0, 257, 128 * 257, 65535)
    picture = load_picture(png(4, 1, 16, GRAY_PNG, rows))
    assert pixels(picture.rgb)[0] == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]
    assert picture.alpha is None
    assert picture.notes == ()


def test_16_bit_gray_png_is_rounded() -> None:
    rows = struct.pack(">2H", 100 * 257 + 128, 100 * 257 + 129)  # just below and above the middle of two levels
    assert pixels(load_picture(png(2, 1, 16, GRAY_PNG, rows)).rgb)[0] == [[100] * 3, [101] * 3]


def test_16_bit_rgb_png_keeps_its_range() -> None:
    rows = struct.pack(">6H", 0, 128 * 257, 65535, 3 * 257, 77 * 257, 254 * 257)
    assert pixels(load_picture(png(2, 1, 16, RGB_PNG, rows)).rgb)[0] == [[0, 128, 255], [3, 77, 254]]


def test_16_bit_rgba_png_keeps_its_alpha() -> None:
    picture = load_picture(png(1, 1, 16, RGBA_PNG, struct.pack(">4H", 65535, 0, 257, 200 * 257)))
    assert picture.rgb.getpixel((0, 0)) == (255, 0, 1)
    assert picture.alpha.getpixel((0, 0)) == 200


def test_16_bit_gray_alpha_png_keeps_its_alpha() -> None:
    picture = load_picture(png(1, 1, 16, GRAY_ALPHA_PNG, struct.pack(">2H", 50 * 257, 200 * 257)))
    assert picture.rgb.getpixel((0, 0)) == (50, 50, 50)
    assert picture.alpha.getpixel((0, 0)) == 200


def test_16_bit_tiff_is_read() -> None:
    image = Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16))
    assert pixels(load_picture(encode(image, "TIFF")).rgb)[0] == [[0] * 3, [1] * 3, [255] * 3]


def test_16_bit_ppm_is_read() -> None:
    picture = load_picture(b"P5 2 1 65535\n" + struct.pack(">2H", 257, 200))
    assert pixels(picture.rgb)[0] == [[1] * 3, [1] * 3]
    assert picture.notes == ()


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 4e6])
def test_float_tiff_is_read_at_the_range_it_uses(white: float) -> None:
    values = np.array([[0, 0.25 * white, white]], dtype=np.float32)
    picture = load_picture(encode(Image.fromarray(values), "TIFF"))
    assert [pixel[0] for pixel in pixels(picture.rgb)[0]] == [0, 64, 255]
    assert "32-bit" in picture.notes[0]


def test_numbers_that_are_none_do_not_blacken_a_float_picture() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 0.5, 1.0]], dtype=np.float32)
    assert [pixel[0] for pixel in pixels(load_picture(Image.fromarray(values)).rgb)[0]] == [0, 0, 0, 128, 255]


def test_32_bit_integers_are_read_at_the_range_they_use() -> None:
    for white in (255, 65535, 2**24):
        image = Image.fromarray(np.array([[0, white]], dtype=np.int32))
        assert [pixel[0] for pixel in pixels(load_picture(image).rgb)[0]] == [0, 255]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_1_bit_picture_is_black_and_white(file_format: str) -> None:
    image = Image.fromarray(np.array([[True, False, True, True]]))
    assert pixels(load_picture(encode(image, file_format)).rgb)[0] == [[255] * 3, [0] * 3, [255] * 3, [255] * 3]


def test_gray_and_palette_pictures_are_read_exactly() -> None:
    gray = noise(16, 16, 1)
    assert pixels(load_picture(encode(gray, "PNG")).rgb) == pixels(gray.convert("RGB"))
    palette = noise(8, 8).quantize(64)
    picture = load_picture(encode(palette, "PNG"))
    assert pixels(picture.rgb) == pixels(palette.convert("RGB"))
    assert picture.alpha is None


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "CMYK", "RGBX", "I;16B"])
def test_pil_image_of_a_rare_mode_is_read(mode: str) -> None:
    image = Image.new(mode, (5, 4))
    assert load_picture(image).size == (5, 4)


# ---------------------------------------------------------------------------------------------------------------------
# Alpha


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_kept_bit_for_bit(file_format: str) -> None:
    image = noise(33, 21, 4)
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    picture = load_picture(encode(image, file_format, **options))
    assert pixels(picture.alpha) == pixels(image.getchannel("A"))
    visible = np.asarray(image)[..., 3] > 0
    assert (np.asarray(picture.rgb)[visible] == np.asarray(image)[visible][:, :3]).all()


def test_gray_alpha_png_keeps_both() -> None:
    image = noise(9, 9, 4).convert("LA")
    image.putalpha(noise(9, 9, 1))
    picture = load_picture(encode(image, "PNG"))
    assert pixels(picture.alpha) == pixels(image.getchannel("A"))
    visible = np.asarray(picture.alpha) > 0
    assert (np.asarray(picture.rgb)[visible] == np.asarray(image)[visible][:, :1]).all()


def test_opaque_alpha_stays_alpha() -> None:
    picture = load_picture(encode(flat((1, 2, 3, 255), mode="RGBA"), "PNG"))
    assert picture.alpha.getextrema() == (255, 255)
    assert picture.compose().mode == "RGBA"


def test_palette_with_transparency_list_has_alpha() -> None:
    chunks = {b"PLTE": bytes([*RED, *GREEN, *BLUE]), b"tRNS": bytes([255, 100, 0])}
    picture = load_picture(png(3, 1, 8, PALETTE_PNG, bytes([0, 1, 2]), chunks))
    assert pixels(picture.alpha) == [[255, 100, 0]]
    assert pixels(picture.rgb)[0][:2] == [list(RED), list(GREEN)]


def test_transparent_color_of_a_gif_is_alpha() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    picture = load_picture(encode(image, "GIF", transparency=1))
    assert pixels(picture.alpha) == [[255, 0]]
    assert picture.rgb.getpixel((0, 0)) == RED


@pytest.mark.parametrize(
    ("depth", "color_type", "rows", "transparent"),
    [
        (8, GRAY_PNG, bytes([10, 20]), struct.pack(">H", 20)),
        (8, RGB_PNG, bytes([10, 10, 10, 20, 20, 20]), struct.pack(">3H", 20, 20, 20)),
        (16, GRAY_PNG, struct.pack(">2H", 10 * 257, 20 * 257), struct.pack(">H", 20 * 257)),
        (16, RGB_PNG, struct.pack(">6H", *[10 * 257] * 3, *[20 * 257] * 3), struct.pack(">3H", *[20 * 257] * 3)),
    ],
)
def test_transparent_color_of_a_png_is_alpha(depth: int, color_type: int, rows: bytes, transparent: bytes) -> None:
    picture = load_picture(png(2, 1, depth, color_type, rows, {b"tRNS": transparent}))
    assert pixels(picture.alpha) == [[255, 0]]
    assert picture.rgb.getpixel((0, 0)) == (10, 10, 10)


def test_hidden_color_is_grown_from_the_visible() -> None:
    image = Image.new("RGBA", (101, 67), (0, 255, 0, 0))  # green, but nobody sees it
    image.paste((200, 100, 50, 255), (40, 30, 60, 45))
    picture = load_picture(image)
    assert picture.rgb.getextrema() == ((200, 200), (100, 100), (50, 50))


def test_hidden_color_follows_the_nearer_visible_color() -> None:
    image = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 8, 64))
    image.paste((0, 0, 255, 255), (56, 0, 64, 64))
    row = [load_picture(image).rgb.getpixel((x, 32)) for x in range(64)]
    assert all(red + blue >= 253 and green == 0 for red, green, blue in row)
    assert row[9][0] > 200
    assert row[54][2] > 200
    reds = [red for red, _, _ in row]
    assert max(abs(a - b) for a, b in itertools.pairwise(reds)) <= 64  # a ramp, no new edge


def test_faint_pixels_weigh_little_in_the_grown_color() -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((200, 200, 200, 255), (0, 0, 4, 16))
    image.paste((0, 0, 0, 1), (4, 0, 5, 16))  # the dark fringe that many editors leave
    assert load_picture(image).rgb.getpixel((15, 8))[0] >= 190


def test_visible_colors_stay_even_at_the_faintest_alpha() -> None:
    image = noise(40, 40, 4)
    image.putalpha(Image.fromarray(np.asarray(image)[..., 3] % 3))  # alpha 0, 1 or 2
    picture = load_picture(image)
    visible = np.asarray(image)[..., 3] > 0
    assert (np.asarray(picture.rgb)[visible] == np.asarray(image)[visible][:, :3]).all()
    assert pixels(picture.alpha) == pixels(image.getchannel("A"))


def test_wholly_transparent_picture_is_read() -> None:
    picture = load_picture(Image.new("RGBA", (7, 5), (9, 8, 7, 0)))
    assert picture.alpha.getextrema() == (0, 0)
    assert picture.size == (7, 5)


def test_compose_gives_colors_and_alpha_back() -> None:
    image = noise(6, 5, 4)
    image.putalpha(Image.fromarray(np.asarray(image)[..., 3] | 1))  # nothing hidden
    assert pixels(load_picture(image).compose()) == pixels(image)
    assert load_picture(noise(6, 5)).compose().mode == "RGB"


# ---------------------------------------------------------------------------------------------------------------------
# Several frames


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_first_frame_is_used_with_a_note(file_format: str) -> None:
    frames = [flat(color) for color in (RED, GREEN, BLUE)]
    animated = encode(frames[0], file_format, save_all=True, append_images=frames[1:])
    picture = load_picture(animated)
    assert_near(picture.rgb, RED, 8)
    assert len(picture.notes) == 1
    assert "frame 1" in picture.notes[0]


def test_frame_that_the_caller_chose_is_used() -> None:
    frames = [flat(color) for color in (RED, GREEN, BLUE)]
    with Image.open(io.BytesIO(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))) as image:
        image.seek(1)
        picture = load_picture(image)
    assert_near(picture.rgb, GREEN, 8)
    assert "frame 2" in picture.notes[0]


def test_first_frame_survives_a_damaged_second() -> None:
    frames = [noise(64, 64), flat(GREEN, (64, 64))]
    animated = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_picture(animated[:-30]).size == (64, 64)


def test_map_behind_a_phone_photo_is_no_frame() -> None:
    picture = load_picture(encode(flat(RED), "MPO", save_all=True, append_images=[flat(WHITE, (8, 8))]))
    assert_near(picture.rgb, RED, 4)
    assert picture.notes == ()


# ---------------------------------------------------------------------------------------------------------------------
# Sources


def test_file_bytes_open_file_and_pil_image_give_the_same_picture(tmp_path: Path) -> None:
    image = noise(20, 10, 4)
    path = tmp_path / "photo.png"
    image.save(path)
    expected = pixels(load_picture(path).compose())
    assert pixels(load_picture(str(path)).compose()) == expected
    assert pixels(load_picture(path.read_bytes()).compose()) == expected
    assert pixels(load_picture(image).compose()) == expected
    with path.open("rb") as file:
        file.seek(5)
        assert pixels(load_picture(file).compose()) == expected
        assert not file.closed
    with Image.open(path) as opened:
        assert pixels(load_picture(opened).compose()) == expected


def test_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(flat(RED), "PNG"))
    assert load_picture(path).rgb.getpixel((0, 0)) == RED


def test_given_pil_image_is_not_changed() -> None:
    image = noise(8, 8, 4)
    before = image.tobytes()
    picture = load_picture(image)
    picture.rgb.paste(RED, (0, 0, 8, 8))
    assert (image.mode, image.tobytes()) == ("RGBA", before)
    plain = noise(8, 8)
    load_picture(plain).rgb.paste(RED, (0, 0, 8, 8))
    assert pixels(plain) == pixels(noise(8, 8))


def test_every_picture_suffix_can_be_read(tmp_path: Path) -> None:
    names = {".jfif": "JPEG", ".apng": "PNG", ".pgm": "PPM", ".pnm": "PPM"}
    for suffix in PICTURE_SUFFIXES - {".heic", ".heif"}:  # they need pillow-heif, see below
        path = tmp_path / f"photo{suffix}"
        path.write_bytes(encode(flat(RED), names.get(suffix) or Image.registered_extensions()[suffix]))
        assert_near(load_picture(path).rgb, RED, 8)


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


def refused(source: object, *words: str) -> str:
    """The one sentence with which `source` is refused; it contains the words."""
    with pytest.raises(InputError) as caught:
        load_picture(source)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_file_is_refused(tmp_path: Path, file_format: str, part: float) -> None:
    whole = encode(noise(64, 64), file_format)
    path = tmp_path / "half.dat"
    path.write_bytes(whole[: int(len(whole) * part)])
    refused(path, "half.dat")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, I am no picture",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        b"%PDF-1.7\n",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        bytes(1000),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    refused(path, "photo.jpg", "not a picture")
    refused(content, "The picture", "not a picture")


def test_picture_of_a_format_outside_the_list_is_refused() -> None:
    refused(encode(flat(RED), "ICNS"), "JPEG, PNG")
    refused(encode(flat(RED), "EPS"), "JPEG, PNG")


def test_1x1_picture_is_read() -> None:
    assert load_picture(encode(flat(RED, (1, 1)), "PNG")).size == (1, 1)
    assert load_picture(Image.new("RGBA", (1, 1))).size == (1, 1)


def test_picture_without_pixels_is_refused() -> None:
    refused(Image.new("RGB", (0, 5)), "no pixels")


def header_bombs() -> dict[str, bytes]:
    side = 30_000
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\x01\0\0;"
    jpeg = bytearray(encode(flat(RED), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    bmp = bytearray(encode(flat(RED), "BMP"))
    bmp[18:26] = struct.pack("<ii", side, side)
    tiff = encode(flat(RED), "TIFF")
    tiff = tiff.replace(struct.pack("<HHII", 256, 4, 1, 32), struct.pack("<HHII", 256, 4, 1, side))
    tiff = tiff.replace(struct.pack("<HHII", 257, 4, 1, 32), struct.pack("<HHII", 257, 4, 1, side))
    return {
        "png": png(side, side, 8, RGB_PNG, b"\0" * side),
        "png a little over the limit": png(20_001, 10_000, 8, RGB_PNG, b"\0" * 10_000),
        "gif": gif,
        "jpeg": bytes(jpeg),
        "bmp": bytes(bmp),
        "tiff": tiff,
        "ppm": b"P6 30000 30000 255\n",
    }


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", header_bombs())
def test_bomb_is_refused_from_its_header(kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    refused(header_bombs()[kind], "200 million pixels")
    assert time.perf_counter() - started < 1
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 100_000


def test_pillow_limit_of_the_process_is_as_it_was_after_good_and_bad_files() -> None:
    before = Image.MAX_IMAGE_PIXELS
    load_picture(encode(flat(RED), "PNG"))
    refused(b"nothing")
    refused(header_bombs()["png"])
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.filterwarnings("error")
def test_picture_between_pillows_limit_and_ours_is_not_called_too_large() -> None:
    # 190 million pixels: the header passes, and only then the missing pixels are found
    assert Image.MAX_IMAGE_PIXELS * 2 < 19_000 * 10_000 < MAX_PIXELS
    refused(b"P4 19000 10000\n", "damaged or cut short")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no.jpg", "no.jpg", "There is no file")
    (tmp_path / "a.txt").write_text("a")
    refused(tmp_path / "a.txt" / "b.jpg", "There is no file")
    refused(tmp_path, str(tmp_path), "folder")
    refused(str(tmp_path), "folder")
    refused("", "folder")


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_arrays_and_tensors_are_read_as_the_picture_that_they_hold(kind: type, channels: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (12, 17, channels or 1), dtype=np.uint8)
    levels = levels[..., 0] if channels == 0 else levels
    gray = channels < 3
    expected = load_picture(Image.fromarray(levels.reshape(12, 17) if gray else levels))
    values = levels if kind is np.uint8 else (levels / 255).astype(kind)
    sources = [values] if channels == 0 else [values, torch.from_numpy(np.moveaxis(values, -1, 0).copy())]
    sources += [] if channels == 0 else [sources[1][None]]
    for source in sources:
        picture = load_picture(source)
        np.testing.assert_array_equal(np.asarray(picture.rgb), np.asarray(expected.rgb))
        assert (picture.alpha is None) == (channels != 4)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((5, 5, 2)), ["an array", "(H, W, C)", "(5, 5, 2)"]),
        (np.zeros(5), ["(5,)"]),
        (np.zeros((2, 5, 5, 3)), ["(2, 5, 5, 3)"]),
        (torch.zeros(5, 5, 3), ["a tensor", "(C, H, W)", "(5, 5, 3)"]),
        (torch.zeros(2, 3, 5, 5), ["(2, 3, 5, 5)"]),
        (np.full((5, 5, 3), 200.0), ["0 to 1", "200 to 200"]),
        (torch.full((3, 5, 5), -1.0), ["0 to 1", "-1 to -1"]),
        (np.full((5, 5, 3), np.nan), ["0 to 1"]),
        (np.zeros((5, 5, 3), dtype=np.int64), ["uint8 or floating point", "int64"]),
        (np.zeros((5, 5, 3), dtype=complex), ["complex128"]),
        (np.zeros((0, 5, 3)), ["no pixels"]),
        ("https://example.org/photo.jpg", ["https://example.org/photo.jpg", "address", "nothing is fetched"]),
        ("data:image/png;base64,AAAA", ["address"]),
        (7, ["PIL image", "NumPy array (H, W, 3)", "tensor (3, H, W)", "int"]),
        (None, ["NoneType"]),
        ({"path": "x.png"}, ["dict"]),
        (object(), ["object"]),
    ],
    ids=lambda value: None,
)
def test_what_is_no_source_is_refused_with_what_is(source: object, words: list[str]) -> None:
    refused(source, *words)


def test_pipe_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "regular file")


@pytest.fixture
def ordinary_user_folder() -> Iterator[Path]:
    """A folder in which this process has no rights but those of an ordinary user."""
    load_picture(encode(flat(RED), "PNG"))  # modules are loaded before the rights go
    was_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "secret.png").write_bytes(encode(flat(RED), "PNG"))
        (folder / "secret.png").chmod(0)
        folder.chmod(0o555)
        if was_root:
            os.seteuid(65534)  # nobody
        try:
            yield folder
        finally:
            if was_root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_file_without_read_permission_is_refused(ordinary_user_folder: Path) -> None:
    refused(ordinary_user_folder / "secret.png", "secret.png", "cannot be read", "Permission denied")


@pytest.mark.filterwarnings("ignore")  # Pillow tells of some of it too
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_random_damage_gives_a_picture_or_a_sentence(file_format: str) -> None:
    rng = np.random.default_rng(3)
    whole = encode(noise(24, 24), file_format, exif=orientation_exif(6), icc_profile=DISPLAY_P3)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 8)):
            damaged[place] = rng.integers(0, 256)
        try:
            assert load_picture(bytes(damaged)).rgb.mode == "RGB"
        except InputError as error:
            assert "\n" not in str(error)


# ---------------------------------------------------------------------------------------------------------------------
# Tensors and sizes


def test_all_levels_make_the_round_trip_exactly() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels.T, 255 - levels], -1))
    tensor = picture_to_tensor(image)
    assert (tensor.shape, tensor.dtype) == ((1, 3, 16, 16), torch.float32)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert pixels(tensor_to_picture(tensor)) == pixels(image)
    assert pixels(tensor_to_picture(tensor[0])) == pixels(image)


def test_tensor_has_channels_rows_and_columns_in_order() -> None:
    image = Image.new("RGB", (3, 2))
    image.putpixel((2, 1), (255, 0, 128))
    tensor = picture_to_tensor(image)
    assert tensor.shape == (1, 3, 2, 3)
    assert tensor[0, :, 1, 2].tolist() == pytest.approx([1, -1, 128 / 127.5 - 1], abs=1e-6)
    assert tensor[0, :, 0, 0].tolist() == [-1, -1, -1]


def test_tensor_beyond_the_range_is_cut_and_between_levels_rounded() -> None:
    tensor = torch.tensor([-7.0, 7.0, 100.4 / 127.5 - 1, 100.6 / 127.5 - 1]).expand(3, 1, 4)
    assert [pixel[0] for pixel in pixels(tensor_to_picture(tensor))[0]] == [0, 255, 100, 101]


def test_tensor_of_half_precision_with_gradient_and_strides_is_taken() -> None:
    tensor = torch.ones(1, 3, 4, 5, dtype=torch.bfloat16, requires_grad=True).to(memory_format=torch.channels_last)
    assert tensor_to_picture(tensor).getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 4, 4, 4), (4, 4), (1, 4, 4)])
def test_tensor_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="3, H, W"):
        tensor_to_picture(torch.zeros(shape))


def test_image_of_another_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="RGBA"):
        picture_to_tensor(Image.new("RGBA", (4, 4)))


@pytest.mark.parametrize(("size", "long_100"), [((400, 200), (100, 50)), ((30, 60), (50, 100)), ((1000, 1), (100, 1))])
def test_sides_are_fitted_with_the_aspect_kept(size: tuple, long_100: tuple) -> None:
    assert fit_long_side(Image.new("RGB", size), 100).size == long_100


def test_picture_that_fits_is_left_as_it_is() -> None:
    image = noise(40, 30)
    assert pixels(fit_long_side(image, 40)) == pixels(image)


def test_reduction_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert_near(fit_long_side(Image.fromarray(stripes), 16).crop((4, 4, 12, 12)), (128, 128, 128), 3)


# ---------------------------------------------------------------------------------------------------------------------
# Saving


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".webp", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".avif"])
def test_picture_is_saved_in_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"painting{suffix}"
    save_picture(flat((200, 100, 50)), path)
    with Image.open(path) as image:
        assert image.format == Image.registered_extensions()[suffix.lower()]
    assert_near(load_picture(path).rgb, (200, 100, 50), 3)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, suffix: str) -> None:
    image = noise(31, 17)
    save_picture(image, tmp_path / f"painting{suffix}")
    assert pixels(load_picture(tmp_path / f"painting{suffix}").rgb) == pixels(image)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_is_saved_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    image = noise(31, 17, 4)
    save_picture(image, tmp_path / f"painting{suffix}")
    assert pixels(load_picture(tmp_path / f"painting{suffix}").alpha) == pixels(image.getchannel("A"))


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_formats_without_alpha_get_a_white_ground(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"painting{suffix}"
    save_picture(flat((255, 0, 0, 0), mode="RGBA"), path)
    picture = load_picture(path)
    assert_near(picture.rgb, WHITE)
    assert picture.alpha is None


def test_png_text_is_embedded_and_other_formats_go_without(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("style", "starry-night")
    for name in ("a.png", "a.jpg", "a.webp"):
        save_picture(flat(RED), tmp_path / name, pnginfo=text)
    with Image.open(tmp_path / "a.png") as image:
        assert image.text == {"style": "starry-night"}


def test_saved_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save_picture(flat(RED), tmp_path / "painting.png")
    assert (tmp_path / "painting.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def not_saved(image: Image.Image, path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        save_picture(image, path)
    assert "\n" not in str(caught.value)
    for word in (path.name, *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["painting", "painting.xyz", "painting.gif", ".png"])
def test_unknown_suffix_is_refused_and_the_known_are_listed(tmp_path: Path, name: str) -> None:
    not_saved(flat(RED), tmp_path / name, ".png", ".jpg", ".webp")
    assert os.listdir(tmp_path) == []


def test_missing_folder_is_refused_and_not_made(tmp_path: Path) -> None:
    not_saved(flat(RED), tmp_path / "new" / "painting.png", "no folder", "new")
    assert os.listdir(tmp_path) == []


def test_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "painting.png").mkdir()
    not_saved(flat(RED), tmp_path / "painting.png", "is a folder")
    assert os.listdir(tmp_path) == ["painting.png"]


def test_name_that_the_disk_does_not_take_is_refused(tmp_path: Path) -> None:
    not_saved(flat(RED), tmp_path / ("x" * 300 + ".png"), "cannot be saved")
    assert os.listdir(tmp_path) == []


def test_more_pixels_than_the_format_holds_is_refused(tmp_path: Path) -> None:
    not_saved(flat(RED, (16_400, 1)), tmp_path / "wide.webp", "WEBP", ".png")
    not_saved(flat(RED, (70_000, 1)), tmp_path / "wide.jpg", "JPEG", ".png")
    assert os.listdir(tmp_path) == []


def test_folder_without_write_permission_is_refused(ordinary_user_folder: Path) -> None:
    not_saved(flat(RED), ordinary_user_folder / "painting.png", "may not write")
    assert os.listdir(ordinary_user_folder) == ["secret.png"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_told_and_the_old_picture_stays(small_disk: Path) -> None:
    path = small_disk / "painting.png"
    save_picture(flat(RED), path)
    old = path.read_bytes()
    not_saved(noise(256, 256), path, "disk is full")
    assert path.read_bytes() == old
    assert os.listdir(small_disk) == ["painting.png"]


def test_write_that_stops_half_way_leaves_the_old_picture_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "painting.png"
    save_picture(flat(RED), path)
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        not_saved(noise(256, 256), path, os.strerror(errno.EFBIG))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["painting.png"]


def test_existing_picture_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "painting.png"
    save_picture(noise(256, 256), path)
    with path.open("rb") as reader:  # one who reads the old file goes on reading it
        save_picture(flat(RED), path)
        assert load_picture(reader).size == (256, 256)
    assert load_picture(path).rgb.getpixel((0, 0)) == RED


# ---------------------------------------------------------------------------------------------------------------------
# The example photos


def test_example_photos_are_read_and_each_source_is_named() -> None:
    folder = Path(__file__).parents[2] / "examples"
    photos = sorted(folder.glob("*.jpg"))
    assert photos
    listed = (folder / "README.md").read_text()
    for path in photos:
        picture = load_picture(path)
        assert isinstance(picture, Picture)
        assert min(picture.size) >= 256
        assert max(picture.size) <= 1024
        assert picture.notes == ()
        assert f"`{path.name}`" in listed


# ---------------------------------------------------------------- HEIC


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"hevc"])
def test_without_pillow_heif_a_heic_file_is_named_as_what_it_is(tmp_path, monkeypatch, brand):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(200))
    with pytest.raises(InputError, match=r"phone.heic is a HEIC file.*pip install pillow-heif"):
        load_picture(tmp_path / "phone.heic")


def test_a_heic_photo_is_read_upright(tmp_path, photo):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.from_pillow(photo).save(tmp_path / "phone.heic", quality=95, exif=exif.tobytes())
    assert load_picture(tmp_path / "phone.heic").size == (80, 96)
