"""Photos of any size, from file to file in bounded memory: the same pixels as in memory, whatever the file holds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from painting_kit import STYLES, farthest, pixels, refusal
from PIL import Image, ImageCms
from small_generators import random_generator

from styletransfer import large
from styletransfer import painter as painting_room
from styletransfer import settings as settings_room
from styletransfer.catalog import shipped_catalog
from styletransfer.cli import paint
from styletransfer.errors import InputError
from styletransfer.images import strips
from styletransfer.packs import folder as packs
from styletransfer.page import studio as page
from styletransfer.painter import OverlaidPainter, Painter
from styletransfer.paths import EXAMPLES
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import embedded, read_settings
from styletransfer.settings import PaintSettings
from styletransfer.steps import drained

pytest.importorskip("pyvips")
SIZE = (701, 553)  # no whole cells

PAINT = """
import sys
from pathlib import Path
from PIL import Image
from styletransfer.images.strips import strip_writer
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import embedded
from styletransfer.settings import PaintSettings

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) // 1024

pack, photo, painting = sys.argv[1:4]
width, height = map(int, sys.argv[4:])
with strip_writer(Path(photo), (width, height), "RGB", embedded(PaintSettings("wave"), ".jpg")) as write:
    band = Image.effect_noise((width, 500), 60).convert("RGB")
    for top in range(0, height, 500):
        write(band.crop((0, 0, width, min(500, height - top))))
del band
pipeline = StyleTransferPipeline.from_pretrained(pack, device="cpu")
pipeline(Image.new("RGB", (64, 64)), "wave")
loaded = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
pipeline.paint_file(photo, painting, "wave")
print(status("VmHWM") - loaded)
"""


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Several rows of tiles, and a thumbnail that is smaller than the photo."""
    monkeypatch.setattr(painting_room, "WHOLE_PIXELS", 100_000)
    monkeypatch.setattr(painting_room, "TILE_SIZE", 256)
    monkeypatch.setattr(strips, "STRIP_ROWS", 64)
    monkeypatch.setattr(settings_room, "SCREEN_SIDE", 192)


@pytest.fixture(scope="module")
def photo():
    rng = np.random.default_rng(0)
    with Image.open(EXAMPLES / "coffee.jpg") as example:
        smooth = np.asarray(example.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS), np.int16)
    return Image.fromarray((smooth + rng.integers(-9, 10, smooth.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def painter():
    return StyleTransferPipeline(random_generator(STYLES, channels=8, blocks=1), device="cpu", dtype=torch.float32)


@pytest.fixture
def both_ways(painter, tmp_path, monkeypatch):
    """A photo's file -> its painting made in memory, and its painting made strip by strip."""

    def paint(file, suffix=".png", style="wave", **turns):
        made = []
        for limit, name in ((10**9, "memory"), (1, "strips")):
            monkeypatch.setattr(large, "LARGE_PIXELS", limit)
            made.append(tmp_path / f"{name}{suffix}")
            painter.paint_file(file, made[-1], style, **turns)
        return made

    return paint


def is_for_strips(file, target):
    return large.reader_for_strips(file, target, PaintSettings("wave")) is not None


@pytest.mark.parametrize(
    ("suffix", "saved", "target", "turns"),
    [
        (".jpg", {"quality": 92}, ".png", {}),
        (".jpg", {"quality": 80, "subsampling": 2}, ".jpg", {"style": {"wave": 1, "night": 2}}),
        (".png", {}, ".tif", {"brush_size": 3}),
        (".tif", {"compression": "tiff_lzw"}, ".png", {"keep_colors": True, "strength": 0.6}),
        (".jpg", {"quality": 92}, ".png", {"strength": 0}),
    ],
)
def test_strips_are_the_same_picture_to_the_last_bit(suffix, saved, target, turns, photo, both_ways, tmp_path):
    file = tmp_path / f"photo{suffix}"
    photo.save(file, **saved)
    memory, strip = both_ways(file, target, **turns)
    assert is_for_strips(file, strip)
    assert farthest(Image.open(strip), Image.open(memory)) == 0
    assert read_settings(strip) == read_settings(memory)
    assert len(Image.open(strip).info["icc_profile"]) == len(Image.open(memory).info["icc_profile"])  # they have a date


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_on_its_side_is_painted_upright(orientation, photo, both_ways, tmp_path):
    exif = Image.Exif()
    exif[0x112] = orientation
    photo.save(tmp_path / "photo.jpg", exif=exif.tobytes())
    memory, strip = both_ways(tmp_path / "photo.jpg", strength=0)
    assert is_for_strips(tmp_path / "photo.jpg", strip)
    assert farthest(Image.open(strip), Image.open(memory)) == 0


def test_a_color_profile_is_applied(photo, both_ways, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # fits no RGB: said, and ignored
    photo.save(tmp_path / "photo.jpg", icc_profile=profile)
    memory, strip = both_ways(tmp_path / "photo.jpg", strength=0)
    assert farthest(Image.open(strip), Image.open(memory)) == 0


def test_a_mask_is_laid_over_strips_as_over_the_whole(photo, both_ways, tmp_path):
    photo.save(tmp_path / "photo.png")
    mask = Image.new("L", (70, 50))
    mask.paste(255, (10, 5, 60, 40))
    memory, strip = (Image.open(file) for file in both_ways(tmp_path / "photo.png", mask=mask))
    assert farthest(strip, memory) <= 1
    outside = pixels(mask.resize(SIZE, Image.Resampling.BILINEAR)) == 0
    assert (pixels(strip)[outside] == pixels(photo)[outside]).all()


def test_transparency_is_kept_and_what_it_hides_does_not_shine_through(photo, both_ways, tmp_path):
    alpha = Image.linear_gradient("L").resize(SIZE).point(lambda level: max(0, level - 60))
    hidden = Image.composite(photo, Image.new("RGB", SIZE, "red"), alpha.point(lambda level: 255 * (level > 0)))
    hidden.putalpha(alpha)
    hidden.save(tmp_path / "photo.png")
    memory, strip = (Image.open(file) for file in both_ways(tmp_path / "photo.png"))
    assert strip.getchannel("A").tobytes() == memory.getchannel("A").tobytes() == alpha.tobytes()
    visible = np.asarray(alpha) > 0
    apart = np.abs(pixels(strip.convert("RGB")) - pixels(memory.convert("RGB")))[visible]
    assert apart.mean() < 0.5
    _, opaque = both_ways(tmp_path / "photo.png", ".jpg")
    assert Image.open(opaque).mode == "RGB"


def test_networks_that_were_trained_apart_are_laid_over_one_another(photo, painter, tmp_path, monkeypatch):
    other = Painter(random_generator(STYLES, channels=8, blocks=2, seed=1), device="cpu", dtype=torch.float32)
    overlaid = OverlaidPainter({"one": (painter, "wave"), "other": (other, "night"), "none": (other, "wave")})
    photo.save(tmp_path / "photo.png")
    monkeypatch.setattr(large, "LARGE_PIXELS", 1)
    settings = PaintSettings({"one": 1, "none": 0, "other": 2})
    *_, last = large.paint_file(overlaid, tmp_path / "photo.png", tmp_path / "painting.png", settings)
    assert last == 1
    assert farthest(Image.open(tmp_path / "painting.png"), overlaid(photo, settings)) == 0


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("a.jpg", {"progressive": True}),
        ("a.webp", {}),
        ("a.png", {"transparency": (1, 2, 3)}),
        ("a.tif", {"mode": "I;16"}),
    ],
)
def test_what_cannot_be_read_in_strips_is_painted_in_memory(name, saved, photo, both_ways, tmp_path):
    file = tmp_path / name
    small = photo.crop((0, 0, 60, 40))
    image = small.convert("L").convert("I;16") if saved.pop("mode", None) else small
    image.save(file, **saved)
    memory, strip = both_ways(file)
    assert not is_for_strips(file, strip)
    assert farthest(Image.open(strip), Image.open(memory)) == 0


def test_a_panorama_all_around_is_painted_in_memory(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "LARGE_PIXELS", 1)
    photo.save(tmp_path / "photo.jpg")
    assert large.reader_for_strips(tmp_path / "photo.jpg", Path("a.png"), PaintSettings("wave", wrap=True)) is None


@pytest.mark.parametrize("target", ["painting.jpg", "painting.png"])
def test_a_file_cut_short_is_refused_and_leaves_nothing(target, photo, painter, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "LARGE_PIXELS", 1)
    photo.save(tmp_path / "photo.jpg")
    content = (tmp_path / "photo.jpg").read_bytes()
    (tmp_path / "photo.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / target).write_bytes(b"what was there")
    sentence = refusal(painter.paint_file, tmp_path / "photo.jpg", tmp_path / target, "wave")
    assert sentence.endswith("is damaged or cut short: give a whole picture file.")
    assert (tmp_path / target).read_bytes() == b"what was there"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("target", ["painting.jpg", "painting.png"])
def test_who_stops_half_way_leaves_nothing(target, photo, painter, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "LARGE_PIXELS", 1)
    photo.save(tmp_path / "photo.png")
    steps = large.paint_file(painter, tmp_path / "photo.png", tmp_path / target, PaintSettings("wave"))
    assert 0 < next(steps) < 1
    steps.close()
    assert [file.name for file in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_said_in_its_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(strips, "_Encoder", encoder_to_a_full_disk())
    with pytest.raises(InputError, match="the disk is full"):
        with strips.strip_writer(
            tmp_path / "a.jpg", (600, 600), "RGB", embedded(PaintSettings("wave"), ".jpg")
        ) as write:
            write(Image.effect_noise((600, 600), 90).convert("RGB"))
    assert not list(tmp_path.iterdir())


def encoder_to_a_full_disk():
    class Full(strips._Encoder):
        def __init__(self, out, target, suffix, extras):
            super().__init__(out, "/dev/full", suffix, extras)

    return Full


def test_more_than_a_billion_pixels_are_refused(painter, tmp_path, monkeypatch, photo):
    monkeypatch.setattr(large, "LARGE_PIXELS", 1)
    monkeypatch.setattr(strips.files, "MAX_FILE_PIXELS", 300_000)
    photo.save(tmp_path / "photo.jpg")
    with pytest.raises(InputError, match="more than 0 million pixels"):
        painter.paint_file(tmp_path / "photo.jpg", tmp_path / "painting.jpg", "wave")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("size", "most"),
    [
        pytest.param((6400, 6300), 400, id="40 MP", marks=pytest.mark.slow),
        pytest.param((23_200, 17_400), 1500, id="404 MP", marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow_with_the_photo(size, most, tmp_path, monkeypatch):
    generator = random_generator(STYLES, channels=8, blocks=1)
    packs.save_pack(tmp_path / "pack", generator, samples={"wave": Image.new("RGB", (16, 16))}, recipe={})
    arguments = [tmp_path / "pack", tmp_path / "photo.jpg", tmp_path / "painting.jpg", *map(str, size)]
    done = subprocess.run([sys.executable, "-c", PAINT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most  # megabytes above the loaded program
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(tmp_path / "painting.jpg") as painting:
        assert painting.size == size


def test_the_command_and_the_page_paint_strip_by_strip(photo, painter, tmp_path, monkeypatch):
    photo.save(tmp_path / "photo.png")
    monkeypatch.setattr(large, "LARGE_PIXELS", 1)
    monkeypatch.setattr(Painter, "paint_steps", None)  # nothing is painted as a whole but the small painting
    monkeypatch.setattr(page, "load_picture", None)
    command = [tmp_path / "photo.png", "--style", "wave", "-o", tmp_path / "a.jpg", "--strength", "0.5"]
    with monkeypatch.context() as patched:
        patched.setattr(paint, "_checked", lambda options: (painter, PaintSettings("wave", strength=0.5)))
        assert paint.main([str(word) for word in command]) == 0
    studio = page.Studio(shipped_catalog(), page.Limits())
    file = drained(studio.paint(tmp_path / "photo.png", PaintSettings("starry-night"), tmp_path))
    for made, style in ((tmp_path / "a.jpg", "wave"), (file, "starry-night")):
        assert read_settings(made)["style"] == {style: 1.0} and read_settings(made)["photo"] == "photo.png"
        with Image.open(made) as image:
            assert image.size == SIZE
