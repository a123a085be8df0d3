"""`wrap=True`: a picture whose left edge continues the right one becomes a painting of which that is true as well."""

import numpy as np
import pytest
import torch
from painting_kit import STYLES, farthest, pixels, refusal
from PIL import Image
from small_generators import random_generator

from styletransfer import StyleTransferPipeline
from styletransfer import painter as painting_room
from styletransfer.cli.paint import main
from styletransfer.images.files import load_picture
from styletransfer.packs.folder import load_pack
from styletransfer.paths import EXAMPLES, SHIPPED_PACK
from styletransfer.results import read_settings, settings_of
from styletransfer.settings import PaintSettings

FLOAT = {"device": "cpu", "dtype": torch.float32}


def rolled(picture, across):
    return Image.fromarray(np.roll(np.asarray(picture), across, axis=1))


def panorama(size):
    """A photo and its mirror image, rolled so that both ends lie inside of the photo: it goes on from edge to edge."""
    half = load_picture(EXAMPLES / "pagoda.jpg").rgb.resize((size[0] // 2, size[1]))
    both = Image.new("RGB", size)
    both.paste(half)
    both.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (size[0] - half.width, 0))
    return rolled(both, size[0] // 4)


def seam(picture, width=12):
    """How much more the first column differs from the last one than columns beside them differ from one another."""
    levels = np.roll(pixels(picture), width, axis=1)[:, : 2 * width]
    steps = np.abs(np.diff(levels, axis=1)).mean(axis=(0, 2))
    return steps[width - 1] / np.delete(steps, width - 1).mean()


@pytest.fixture(scope="module")
def shipped():
    return StyleTransferPipeline.from_pretrained(SHIPPED_PACK, **FLOAT)


@pytest.fixture(scope="module")
def plain():
    return StyleTransferPipeline(random_generator(STYLES), **FLOAT)


@pytest.mark.parametrize("across", [60, 132])
def test_who_rolls_the_photo_rolls_the_painting(across):
    """But for the statistics, which are measured with the picture's edges where they are."""
    generator = load_pack(SHIPPED_PACK)
    generator.register_to_config(grain=0.0)  # it has its place in the picture and is not rolled with it
    shipped, photo = StyleTransferPipeline(generator, **FLOAT), panorama((384, 192))

    def most_apart(**settings):
        """The mean difference of a column from itself before it was rolled, in gray levels, of the worst column."""
        painting = pixels(rolled(shipped(photo, "starry-night", **settings), across))
        return np.abs(painting - pixels(shipped(rolled(photo, across), "starry-night", **settings))).mean((0, 2)).max()

    assert most_apart(wrap=True) < 2.5
    assert most_apart() > 10


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((320, 160), {}),
        ((318, 160), {}),
        ((321, 150), {"brush_size": 2}),
        ((320, 160), {"brush_size": 0.6}),
        ((900, 100), {}),
    ],
)
def test_the_seam_is_no_greater_than_what_is_beside_it(shipped, size, settings):
    painting = shipped(panorama(size), "starry-night", wrap=True, **settings)
    assert painting.size == size
    assert seam(painting) < 1.25


def test_without_wrapping_there_is_a_seam(shipped):
    assert seam(shipped(panorama((320, 160)), "starry-night")) > 1.6


def test_tiles_are_painted_as_the_whole(plain, monkeypatch):
    photo = panorama((256, 200))
    whole = plain(photo, "night", wrap=True)
    monkeypatch.setattr(painting_room, "TILE_SIZE", 64)
    assert farthest(plain(photo, "night", wrap=True), whole) <= 1


def test_a_picture_narrower_than_a_tiles_margin_goes_round_it_several_times(plain):
    assert plain(panorama((16, 40)), "alps", wrap=True).size == (16, 40)
    assert plain(panorama((17, 16)), "alps", wrap=True).size == (17, 16)


def test_the_grain_goes_on_over_the_edge_in_both_backends():
    generators = [random_generator(STYLES) for _ in range(2)]
    for generator in generators:
        generator.register_to_config(grain=0.3)
    gray = Image.new("RGB", (300, 64), (128, 120, 110))
    painting = StyleTransferPipeline(generators[0], **FLOAT)(gray, "wave", wrap=True)
    assert farthest(StyleTransferPipeline(generators[1], backend="onnx")(gray, "wave", wrap=True), painting) <= 1
    assert pixels(painting).std() > 5  # all there is to see is the grain


def test_styles_of_several_packs_and_shipped_ones_are_wrapped():
    shipped = StyleTransferPipeline.from_pretrained(**FLOAT)
    photo = panorama((160, 80))
    for style in ("great-wave", {"starry-night": 1, "the-scream": 1}):
        assert seam(shipped(photo, style, wrap=True)) < 1.25
        assert farthest(shipped(photo, style, wrap=True), shipped(photo, style)) > 20


def test_the_command_wraps_and_keeps_the_setting_in_the_file(plain, red_arguments, tiny_pack, tmp_path):
    photo = panorama((120, 60))
    photo.save(tmp_path / "photo.png")
    arguments = red_arguments("photo.png")
    assert main([*arguments, "--wrap"]) == 0
    settings = settings_of(read_settings(tmp_path / "out.png"))
    assert settings == PaintSettings({"red": 1.0}, wrap=True)
    pipeline = StyleTransferPipeline.from_pretrained(tiny_pack, device="cpu")
    assert farthest(Image.open(tmp_path / "out.png"), pipeline(photo, settings)) == 0


def test_wrapping_is_true_or_false(plain):
    assert "true or false, not 'yes'" in refusal(plain, Image.new("RGB", (16, 16)), "wave", wrap="yes")
