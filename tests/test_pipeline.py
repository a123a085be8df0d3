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
from styletransfer import painter as painting_room
from styletransfer.catalog import shipped_catalog
from styletransfer.errors import InputError
from styletransfer.images.files import Picture, load_picture, picture_to_tensor, tensor_to_picture
from styletransfer.models.generator import Generator, Sides
from styletransfer.packs import folder as packs
from styletransfer.paths import SHIPPED_PACK
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings


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


def test_all_styles_that_ship_are_there_without_an_argument(photo: Image.Image) -> None:
    shipped = StyleTransferPipeline.from_pretrained(device="cpu", torch_dtype=torch.float32)
    catalog = shipped_catalog()
    assert list(shipped.styles) == list(catalog.styles)
    first, *_, last = shipped.styles
    card = catalog.card(last)
    alone = StyleTransferPipeline.from_pretrained(SHIPPED_PACK.parent / card.pack, device="cpu", dtype=torch.float32)
    assert farthest(shipped(photo, last, brush_size=2), alone(photo, card.name, brush_size=2)) == 0
    assert shipped.sample(last) == card.sample
    assert shipped([photo], {first: 1, last: 1})[0].size == photo.size
    assert "'monet-7'" in refusal(shipped, photo, "monet-7")


def test_a_pipeline_moves_as_those_of_diffusers_do(pack: Path, photo: Image.Image) -> None:
    painter = StyleTransferPipeline.from_pretrained(pack, torch_dtype=torch.float32)
    assert painter.to("cpu") is painter and painter.device == torch.device("cpu")
    expected = painter(photo, "wave")
    brief = painter.to("cpu", torch.bfloat16)
    assert brief.dtype == torch.bfloat16 and 0 < farthest(brief(photo, "wave"), expected) <= 16
    shipped = StyleTransferPipeline.from_pretrained().to("cpu", torch.float32)
    style = next(iter(shipped.styles))
    before = shipped(photo, style)
    assert 0 < farthest(shipped.to(torch.bfloat16)(photo, style), before)


def test_a_folder_has_no_revision(pack: Path) -> None:
    for source in (pack, str(pack)):
        assert "has no revision v1" in refusal(StyleTransferPipeline.from_pretrained, source, revision="v1")
    twice = refusal(StyleTransferPipeline.from_pretrained, "studio/none@v2", revision="v1")
    assert twice == "studio/none@v2 names a revision already: leave v1 away."
    assert "not in the cache" in refusal(StyleTransferPipeline.from_pretrained, "studio/none", local_files_only=True)


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


@pytest.mark.parametrize("factor", [1.0, 5, 1e-60, 30, np.float32(0.1)], ids=str)
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
        {"wave": True},
        {"wave": 1e300},
        {"wave": 100.5},
        {7: 1.0},
        ["wave"],
        None,
    ],
)
def test_weights_that_cannot_be_mixed_are_refused(
    mix: dict, painter: StyleTransferPipeline, photo: Image.Image
) -> None:
    assert refusal(painter, photo, mix).startswith(
        ("The share of a style must be 0 to 100, not ", "A mix ", "A style ")
    )


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("turn", "sentence"),
    [
        ({"strength": 1.5}, "Strength must be 0 to 1, not 1.5."),
        ({"strength": "1"}, "Strength must be 0 to 1, not '1'."),
        ({"strength": True}, "Strength must be 0 to 1, not True."),
        ({"brush_size": float("nan")}, "The brush size must be 0.5 to 4, not nan."),
        ({"brush_size": 10**5000}, "The brush size must be 0.5 to 4, not a number of kind int."),
        ({"keep_colors": 1}, "Keeping the colors is true or false, not 1."),
        ({"style": {"wave": -0.5}}, "The share of a style must be 0 to 100, not -0.5."),
        ({"style": 7}, "A style is a name, or names with shares, not 7."),
    ],
)
def test_a_setting_out_of_bounds_is_refused_in_one_place_in_one_sentence(
    turn: dict, sentence: str, painter: StyleTransferPipeline, photo: Image.Image
) -> None:
    turn = {"style": "wave", **turn}
    assert refusal(PaintSettings, **turn) == refusal(painter, photo, **turn) == sentence


def test_settings_may_be_given_as_one(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    mask = Image.linear_gradient("L")
    turns = {"strength": 0.5, "brush_size": 2, "keep_colors": True, "mask": mask}
    settings = PaintSettings("wave", **turns)
    assert farthest(painter(photo, settings), painter(photo, style="wave", **turns)) == 0
    assert settings.mix == {"wave": 1.0}
    with pytest.raises(AttributeError):
        settings.strength = 1.0
    assert PaintSettings("wave", mask=mask.convert("RGBA")).mask.mode == "L"


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
    assert f"not {strength}." in refusal(painter, photo, "wave", strength=strength)


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


def test_several_photos_give_as_many_paintings(painter: StyleTransferPipeline, photo: Image.Image) -> None:
    turned = photo.rotate(180)
    expected = [painter(one, "wave", strength=0.5) for one in (photo, turned)]
    levels = np.stack([np.asarray(photo), np.asarray(turned)])
    tensor = torch.from_numpy(levels).permute(0, 3, 1, 2)
    for several in ([photo, turned], (photo, turned), levels, levels / 255, tensor, tensor / 255.0, list(tensor)):
        paintings = painter(several, "wave", strength=0.5)
        assert [farthest(*pair) for pair in zip(paintings, expected, strict=True)] == [0, 0]
    assert len(painter([photo], "wave")) == 1
    assert farthest(painter(levels[0], "wave", strength=0.5), expected[0]) == 0
    assert refusal(painter, [], "wave") == "The list of photos is empty: give at least one."
    assert "PIL image" in refusal(painter, [photo, 7], "wave")


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
    monkeypatch.setattr(painting_room, "WHOLE_PIXELS", 1000)
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
    eight_bits, others = painting_room.multiplies_eight_bits(), painting_room.fastest_dtype(torch.device("cpu"))
    assert default.dtype == (torch.int8 if eight_bits else others)
    brief = StyleTransferPipeline.from_pretrained(pack, device="cpu", dtype=torch.bfloat16)
    for style in ("wave", {"night": 1, "alps": 2}):
        expected = exact(photo, style)
        for painter in (default, brief):
            difference = np.abs(pixels(painter(photo, style)) - pixels(expected))
            assert difference.mean() <= 2
            assert difference.max() <= 16
        assert farthest(brief(photo, style), expected) > 0  # it was another arithmetic


def test_eight_bits_are_refused_where_the_device_has_none(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting_room, "multiplies_eight_bits", lambda: False)
    default = StyleTransferPipeline.from_pretrained(pack, device="cpu")
    assert default.dtype == painting_room.fastest_dtype(torch.device("cpu"))
    with pytest.raises(InputError, match="8-bit"):
        StyleTransferPipeline.from_pretrained(pack, device="cpu", dtype=torch.int8)
    with pytest.raises(InputError, match="8-bit"):
        default.to(torch.int8)


# ---------------------------------------------------------------- tiles


@pytest.fixture
def large(photo: Image.Image) -> Image.Image:
    """200x150 pixels: with the limits of `small_tiles` too large to be painted whole."""
    picture = photo.resize((200, 150), Image.Resampling.BICUBIC)
    return ImageChops.add(picture, Image.effect_noise((200, 150), 60).convert("RGB"), offset=-128)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting_room, "WHOLE_PIXELS", 100 * 75)
    monkeypatch.setattr(painting_room, "TILE_SIZE", 64)


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
def test_tiles_without_a_margin_would_be_seen(
    painter: StyleTransferPipeline, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "margin", 0)
    monkeypatch.setattr(painting_room, "margins_of", lambda *_: Sides(0, 0, 0, 0))
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
    monkeypatch.setattr(painting_room, "WHOLE_PIXELS", 200 * 150)
    assert farthest(painter(large, "wave"), expected) == 0
    monkeypatch.setattr(
        painting_room, "WHOLE_PIXELS", 200 * 150 - 1
    )  # one pixel too many: tiles, on a thumbnail nearly as large
    assert farthest(painter(large, "wave"), expected) <= 6
