"""One call from picture to picture: the network's own answer, any size and form of photo, tiles without seams."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from painting_kit import STYLES, farthest, pixels, refusal
from PIL import Image, ImageChops
from small_generators import random_generator

import styletransfer
from styletransfer import pipeline
from styletransfer.images.files import Picture, load_picture, picture_to_tensor, tensor_to_picture
from styletransfer.models.generator import Generator
from styletransfer.packs import folder as packs
from styletransfer.pipeline import StyleTransferPipeline


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    samples = {"wave": Image.new("RGB", (16, 16)), "alps": Image.new("RGB", (16, 16))}
    packs.save_pack(tmp_path / "pack", random_generator(STYLES), samples=samples, recipe={})
    return tmp_path / "pack"


@pytest.fixture
def painter() -> StyleTransferPipeline:
    return StyleTransferPipeline(random_generator(STYLES), device="cpu", dtype=torch.float32)


# ---------------------------------------------------------------- packs and styles


def test_the_pipeline_is_the_first_thing_in_the_package() -> None:
    assert styletransfer.StyleTransferPipeline is StyleTransferPipeline
    with pytest.raises(AttributeError, match="StyleTransferPipelines"):
        styletransfer.StyleTransferPipelines  # noqa: B018


def test_a_pack_paints_as_the_generator_that_was_saved(pack: Path, photo: Image.Image) -> None:
    generator = random_generator(STYLES)
    for source in (pack, str(pack)):
        painter = StyleTransferPipeline.from_pretrained(source, device="cpu", dtype=torch.float32)
        for style in STYLES:
            with torch.no_grad():
                expected = generator(picture_to_tensor(photo), generator.style_weights({style: 1}))
            assert farthest(painter(photo, style), tensor_to_picture(expected)) <= 1


def test_styles_are_listed_with_titles_in_the_order_of_the_pack(pack: Path) -> None:
    painter = StyleTransferPipeline.from_pretrained(pack)
    assert list(painter.styles.items()) == list(STYLES.items())
    assert painter.sample("wave") == pack / "samples" / "wave.webp"
    assert painter.sample("night") is None
    assert StyleTransferPipeline(random_generator(STYLES)).sample("wave") is None


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(StyleTransferPipeline.from_pretrained, tmp_path)


def test_an_unknown_style_lists_the_known(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    for style in ("monet", "", "Wave", {"wave": 0.5, "monet": 0.5}):
        message = refusal(painter, photo, style)
        assert all(name in message for name in STYLES)
    assert "'monet'" in refusal(painter, photo, {"wave": 1, "monet": 0})


def test_a_mix_of_one_style_is_that_style(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    alone = painter(photo, "night")
    for mix in ({"night": 1.0, "wave": 0.0}, {"night": 1.0}, {"night": 0.2}, {"wave": 0, "night": 7}):
        assert farthest(painter(photo, mix), alone) == 0
    assert farthest(painter(photo, "wave"), alone) > 20


@pytest.mark.parametrize("factor", [1.0, 5, 1e-60, 1e300, np.float32(0.1)], ids=str)
def test_weights_of_a_mix_are_scaled_to_sum_to_one(
    factor: float, painter: StyleTransferPipeline, photo: Image.Image
) -> None:
    expected = painter(photo, {"wave": 0.25, "alps": 0.75})
    assert farthest(painter(photo, {"alps": 3 * factor, "wave": factor}), expected) <= 1
    for style in STYLES:
        assert farthest(painter(photo, style), expected) > 10


@pytest.mark.parametrize(
    "mix",
    [
        {},
        {"wave": 0.0},
        {"wave": -1, "alps": 2},
        {"wave": float("nan")},
        {"wave": float("inf")},
        {"wave": "1"},
        {"wave": None},
    ],
)
def test_weights_that_cannot_be_mixed_are_refused(
    mix: dict, painter: StyleTransferPipeline, photo: Image.Image
) -> None:
    assert str(mix) in refusal(painter, photo, mix)


# ---------------------------------------------------------------- strength


def test_strength_0_is_the_photo_exactly(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    assert farthest(painter(photo, "wave", strength=0), photo) == 0
    assert farthest(painter(photo, "wave", strength=0.0), photo) == 0
    assert refusal(painter, photo, "monet", strength=0)  # a fault is told even where it would not matter


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_strength_blends_photo_and_painting(
    strength: float, painter: StyleTransferPipeline, photo: Image.Image
) -> None:
    painting, blend = pixels(painter(photo, "wave")), pixels(painter(photo, "wave", strength=strength))
    expected = pixels(photo) * (1 - strength) + painting * strength
    assert np.abs(blend - expected).max() <= 1.01
    assert np.abs(painting - pixels(photo)).mean() > 20


def test_strength_is_1_by_default(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    assert farthest(painter(photo, "wave"), painter(photo, "wave", strength=1)) == 0


@pytest.mark.parametrize("strength", [float("nan"), -0.01, 1.01, float("inf"), -5])
def test_strength_out_of_range_is_refused(strength: float, painter: StyleTransferPipeline, photo: Image.Image) -> None:
    assert str(strength) in refusal(painter, photo, "wave", strength=strength)


# ---------------------------------------------------------------- photos


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (16, 17), (19, 33), (203, 16), (61, 47)])
def test_a_painting_is_as_large_as_its_photo(
    size: tuple[int, int], painter: StyleTransferPipeline, photo: Image.Image
) -> None:
    painting = painter(photo.resize(size), "alps")
    assert (painting.size, painting.mode) == (size, "RGB")
    assert pixels(painting).std() > 5


@pytest.mark.parametrize("size", [(15, 15), (15, 16), (16, 15), (400, 15), (1, 1)])
def test_a_photo_below_16x16_is_refused(
    size: tuple[int, int], painter: StyleTransferPipeline, photo: Image.Image
) -> None:
    for strength in (0, 1):
        message = refusal(painter, photo.resize(size), "alps", strength=strength)
        assert f"{size[0]}x{size[1]}" in message
        assert "16x16" in message


def test_a_photo_may_come_in_any_form(painter: StyleTransferPipeline, photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    photo.save(path)
    expected = painter(photo, "wave")
    for source in (path, str(path), path.read_bytes(), BytesIO(path.read_bytes()), load_picture(path), Picture(photo)):
        assert farthest(painter(source, "wave"), expected) == 0
    gray = painter(photo.convert("L"), "wave")
    assert farthest(gray, painter(photo.convert("L").convert("RGB"), "wave")) == 0


def test_a_photo_lying_on_its_side_is_painted_upright(
    painter: StyleTransferPipeline, photo: Image.Image, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it right to see it
    photo.save(tmp_path / "side.png", exif=exif)
    upright = photo.transpose(Image.Transpose.ROTATE_270)
    assert farthest(painter(tmp_path / "side.png", "wave"), painter(upright, "wave")) == 0
    assert farthest(painter(tmp_path / "side.png", "wave", strength=0), upright) == 0


@pytest.mark.parametrize("name", ["none.jpg", "text.jpg", "."])
def test_what_is_no_picture_is_refused_by_name(name: str, painter: StyleTransferPipeline, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    assert str(tmp_path / name) in refusal(painter, tmp_path / name, "wave")


@pytest.mark.parametrize("strength", [0, 0.5, 1])
def test_alpha_is_kept_bit_for_bit(strength: float, painter: StyleTransferPipeline, photo: Image.Image) -> None:
    values = np.random.default_rng(1).integers(0, 256, (photo.height, photo.width), dtype=np.uint8)
    values[:20] = 0
    alpha, see_through = Image.fromarray(values), photo.copy()
    see_through.putalpha(alpha)
    painting = painter(see_through, "night", strength=strength)
    assert painting.mode == "RGBA"
    assert farthest(painting.getchannel("A"), alpha) == 0
    if strength == 0:
        visible = values > 0
        assert np.array_equal(pixels(painting)[visible], pixels(see_through)[visible])


def test_color_nobody_sees_does_not_bleed_into_the_painting(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    alpha, paintings = Image.new("L", photo.size, 255), []
    alpha.paste(0, (30, 20, 60, 50))
    for hidden in ("magenta", "black"):
        see_through = photo.copy()
        see_through.paste(hidden, (30, 20, 60, 50))
        see_through.putalpha(alpha)
        paintings.append(painter(see_through, "wave"))
    assert farthest(*paintings) == 0


def test_painting_changes_neither_the_photo_nor_torchs_random_numbers(
    painter: StyleTransferPipeline, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, state = photo.copy(), torch.get_rng_state()
    painter(photo, "wave")
    unpainted = painter(photo, "wave", strength=0)
    unpainted.paste("red", (0, 0, 50, 50))
    assert farthest(photo, kept) == 0
    monkeypatch.setattr(pipeline, "WHOLE_PIXELS", 1000)
    painter(photo, "wave")
    assert torch.equal(torch.get_rng_state(), state)


def test_the_same_call_gives_the_same_picture_in_any_thread(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    calls = [
        (photo, "wave"),
        (photo.resize((50, 70)), "night"),
        (photo, {"wave": 1, "alps": 1}),
        (photo.resize((33, 18)), "alps"),
    ]
    expected = [painter(*call) for call in calls]
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda call: painter(*call), calls * 3))
    assert all(farthest(one, other) == 0 for one, other in zip(again, expected * 3, strict=True))


def test_the_default_arithmetic_paints_nearly_the_same(pack: Path, photo: Image.Image) -> None:
    exact = StyleTransferPipeline.from_pretrained(pack, device="cpu", dtype=torch.float32)
    default = StyleTransferPipeline.from_pretrained(pack, device="cpu")
    assert default.dtype == pipeline.fastest_dtype(torch.device("cpu"))
    brief = StyleTransferPipeline.from_pretrained(pack, device="cpu", dtype=torch.bfloat16)
    for style in ("wave", {"night": 1, "alps": 2}):
        expected = exact(photo, style)
        for painter in (default, brief):
            difference = np.abs(pixels(painter(photo, style)) - pixels(expected))
            assert difference.mean() <= 2
            assert difference.max() <= 16
        assert farthest(brief(photo, style), expected) > 0  # it was another arithmetic


# ---------------------------------------------------------------- tiles


@pytest.fixture
def large(photo: Image.Image) -> Image.Image:
    """200x150 pixels: with the limits of `small_tiles` too large to be painted whole."""
    picture = photo.resize((200, 150), Image.Resampling.BICUBIC)
    return ImageChops.add(picture, Image.effect_noise((200, 150), 60).convert("RGB"), offset=-128)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "WHOLE_PIXELS", 100 * 75)
    monkeypatch.setattr(pipeline, "TILE_SIZE", 64)


def painted_whole(photo: Image.Image, mix: dict[str, float]) -> Image.Image:
    """What the tiles must add up to: the whole picture in one pass, with the statistics of its thumbnail."""
    generator, thumbnail = random_generator(STYLES), photo.resize((100, 75), Image.Resampling.LANCZOS)
    weights = generator.style_weights(mix)
    with torch.no_grad():
        statistics = generator.measure(picture_to_tensor(thumbnail), weights)
        return tensor_to_picture(generator(picture_to_tensor(photo), weights, statistics))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("mix", [{"wave": 1.0}, {"wave": 0.5, "night": 0.5}])
def test_tiles_equal_the_picture_painted_whole(mix: dict, painter: StyleTransferPipeline, large: Image.Image) -> None:
    assert farthest(painter(large, mix), painted_whole(large, mix)) <= 1


@pytest.mark.usefixtures("small_tiles")
def test_tiles_with_too_little_margin_would_be_seen(
    painter: StyleTransferPipeline, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "margin", 8)
    assert farthest(painter(large, "wave"), painted_whole(large, {"wave": 1.0})) > 1


@pytest.mark.usefixtures("small_tiles")
def test_tiles_keep_strength_alpha_and_sameness(painter: StyleTransferPipeline, large: Image.Image) -> None:
    assert farthest(painter(large, "wave", strength=0), large) == 0
    painting = painter(large, "wave")
    assert farthest(painter(large, "wave"), painting) == 0
    expected = (pixels(large) + pixels(painting)) / 2
    assert np.abs(pixels(painter(large, "wave", strength=0.5)) - expected).max() <= 1.01
    alpha = Image.linear_gradient("L").resize(large.size).point(lambda value: max(value, 1))
    see_through = large.copy()
    see_through.putalpha(alpha)
    assert farthest(painter(see_through, "wave"), Image.merge("RGBA", (*painting.split(), alpha))) == 0


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("size", [(1000, 16), (16, 1003), (129, 65), (128, 64)])
def test_long_and_narrow_pictures_are_tiled_too(
    size: tuple[int, int], painter: StyleTransferPipeline, large: Image.Image
) -> None:
    painting = painter(large.resize(size), "alps")
    assert painting.size == size
    assert pixels(painting).std() > 5


def test_the_largest_picture_painted_whole_has_its_own_statistics(
    painter: StyleTransferPipeline, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = painter(large, "wave")
    monkeypatch.setattr(pipeline, "WHOLE_PIXELS", 200 * 150)
    assert farthest(painter(large, "wave"), expected) == 0
    monkeypatch.setattr(
        pipeline, "WHOLE_PIXELS", 200 * 150 - 1
    )  # one pixel too many: tiles, on a thumbnail nearly as large
    assert farthest(painter(large, "wave"), expected) <= 6
