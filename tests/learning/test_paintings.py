"""What is learned from: the painting, and not its mount or its frame; and what cannot be learned from at all."""

import io

import numpy as np
import pytest
from painting_kit import refusal
from PIL import Image, ImageDraw

from styletransfer.learning.paintings import content_box, prepare_painting


def strokes(width=360, height=300, seed=0):
    """A canvas full of broad strokes of a few colors, from edge to edge."""
    source, image = np.random.default_rng(seed), Image.new("RGB", (width, height), (110, 100, 70))
    draw = ImageDraw.Draw(image)
    palette = [(24, 38, 92), (52, 96, 168), (226, 178, 64), (236, 226, 190), (150, 60, 40)]
    for _ in range(1500):
        x, y, turn = source.integers(-20, width + 20), source.integers(-20, height + 20), source.uniform(0, np.pi)
        end = (x + 25 * np.cos(turn), y + 25 * np.sin(turn))
        draw.line([(x, y), end], fill=palette[source.integers(len(palette))], width=7)
    return image


def laid_on(image, color, left, top, right, bottom):
    """The image on a larger sheet of one color."""
    sheet = Image.new("RGB", (image.width + left + right, image.height + top + bottom), color)
    sheet.paste(image, (left, top))
    return sheet


def framed(image, width=30):
    """The image in a frame of wood: dark outside, lighter towards the painting, with a bright lip."""
    sheet = laid_on(image, (60, 40, 20), width, width, width, width)
    pixels = np.asarray(sheet).astype(int)
    y, x = np.mgrid[0 : sheet.height, 0 : sheet.width]
    depth = np.minimum.reduce([x, y, sheet.width - 1 - x, sheet.height - 1 - y])
    grain = np.random.default_rng(0).normal(0, 6, depth.shape)
    wood = depth < width
    pixels[wood] = (pixels + (2 * depth + grain)[..., None])[wood]
    pixels[(depth >= width - 5) & wood] = (215, 190, 120)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def near(box, expected, within=5):
    return all(0 <= (a - b) * side <= within for a, b, side in zip(box, expected, (1, 1, -1, -1), strict=True))


def test_a_painting_without_a_border_is_learned_whole():
    painting = strokes()
    prepared = prepare_painting(painting)
    assert (prepared.size, prepared.notes) == (painting.size, ())


@pytest.mark.parametrize("color", [(255, 255, 255), (236, 228, 205), (0, 0, 0)])
def test_a_mount_is_cut_off_on_the_sides_that_have_one(color):
    sheet = laid_on(strokes(), color, 40, 25, 0, 60)
    assert near(content_box(sheet), (40, 25, 400, 325))


def test_a_frame_is_cut_off_and_said_to_be():
    sheet = framed(strokes())
    prepared = prepare_painting(sheet)
    assert near(content_box(sheet), (30, 30, 390, 330))
    assert prepared.size[0] <= 360 and prepared.size[1] <= 300
    assert "A border or frame was left out" in prepared.notes[0]


def test_a_frame_on_a_wall_loses_wall_and_frame():
    assert near(content_box(laid_on(framed(strokes()), (230, 230, 225), 50, 50, 50, 50)), (80, 80, 440, 380))


def test_a_horizon_is_no_frame():
    painting = strokes()
    painting.paste((40, 60, 160), (0, 0, 360, 40))
    painting.paste((230, 220, 200), (0, 40, 360, 300))
    painting.paste(strokes().crop((0, 60, 360, 300)), (0, 60))
    left, top, right, bottom = content_box(painting)
    assert (left, right, bottom) == (0, 360, 300)


def test_the_empty_half_of_a_drawing_belongs_to_it():
    sheet = laid_on(strokes(200, 300), (250, 248, 240), 0, 0, 250, 0)
    assert content_box(sheet) == (0, 0, 450, 300)


def test_a_large_scan_is_cut_at_its_own_scale():
    sheet = laid_on(strokes(), (255, 255, 255), 40, 40, 40, 40).resize((1760, 1520), Image.Resampling.BICUBIC)
    assert near(content_box(sheet), (160, 160, 1600, 1360), within=20)


def test_transparent_margins_are_no_painting():
    sheet = laid_on(strokes(), (0, 0, 0), 50, 50, 50, 50).convert("RGBA")
    alpha = Image.new("L", sheet.size, 0)
    alpha.paste(255, (50, 50, 410, 350))
    sheet.putalpha(alpha)
    assert prepare_painting(sheet).size == (360, 300)


def test_a_long_scroll_is_learned_in_its_middle():
    prepared = prepare_painting(strokes(2600, 260))
    assert prepared.size == (1560, 260)
    assert "very long" in prepared.notes[-1]


def test_a_small_painting_is_learned_with_a_word():
    assert "a larger copy helps" in prepare_painting(strokes(180, 150)).notes[-1]


@pytest.mark.parametrize(
    ("picture", "part"),
    [
        (Image.new("RGB", (300, 200), (250, 240, 230)), "is blank"),
        (strokes(300, 40), "is 300x40 pixels"),
        (io.BytesIO(b"no picture"), "not"),
        (b"\xff\xd8\xff" + bytes(40), "picture"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_a_sentence(picture, part):
    assert part in refusal(prepare_painting, picture)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path):
    header = b"P6\n20000 20000\n255\n"
    path = tmp_path / "huge.ppm"
    path.write_bytes(header + bytes(100))
    assert "pixels" in refusal(prepare_painting, path)


def test_a_painting_that_is_not_there_is_named(tmp_path):
    assert "mine.jpg" in refusal(prepare_painting, tmp_path / "mine.jpg")
