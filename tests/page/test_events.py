"""The events of the page, without a browser: what is drawn is taken home, and who stops asking stops the work."""

import math
import shutil
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image, ImageDraw

from styletransfer.catalog import Catalog, folder_entry
from styletransfer.errors import InputError
from styletransfer.page import app
from styletransfer.page.events import Events
from styletransfer.page.requests import Asked
from styletransfer.page.studio import Limits, Studio
from styletransfer.page.texts import translations
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import read_settings
from styletransfer.settings import PaintSettings

SETTINGS = ("red", 1, 1, False, "", 0.5, "", 0.5)
LARGE = (1200, 1000)  # more than one tile


@pytest.fixture
def events(tiny_pack, tmp_path, monkeypatch):
    """Of a studio that keeps its files where the fixture `uploads` puts them."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    catalog = Catalog()
    catalog.add(folder_entry(tiny_pack))
    return Events(Studio(catalog, Limits()))


@pytest.fixture
def uploads(tmp_path):
    """Puts a picture where the browser's pictures go; returns it as the browser names it."""
    (tmp_path / "files").mkdir()

    def upload(picture, name):
        picture.save(tmp_path / "files" / name)
        return {"path": str(tmp_path / "files" / name)}

    return upload


def made(files):
    return sorted(file.name for folder in files.iterdir() if folder.is_dir() for file in folder.iterdir())


def test_what_is_taken_home_is_painted_where_the_canvas_is_drawn_on(events, uploads, photo, tiny_pack):
    layer = Image.new("RGBA", photo.size)
    ImageDraw.Draw(layer).rectangle((0, 0, 40, 79), fill="blue")
    canvas = {"background": None, "layers": [uploads(layer, "layer.png")], "composite": None}
    *steps, (file, about) = events.take_home(uploads(photo, "beach.png"), *SETTINGS, canvas, "PNG")
    assert steps and about == "Red, 96 × 80 pixels."
    assert read_settings(file)["mask"] is not None
    mask = layer.getchannel("A")
    expected = StyleTransferPipeline.from_pretrained(tiny_pack)(photo, "red", mask=mask)
    np.testing.assert_allclose(np.asarray(Image.open(file), float), np.asarray(expected, float), atol=1)


def test_without_a_drawing_all_is_taken_home_painted(events, uploads, photo):
    given = uploads(photo, "beach.png")
    *_, (taken, _) = events.take_home(given, *SETTINGS, None, "PNG")
    *_, (painted, _) = events.paint(given, *SETTINGS, None, "PNG")
    assert np.array_equal(Image.open(taken), Image.open(painted))


@pytest.mark.parametrize("event", ["paint", "take_home"])
def test_what_is_cancelled_leaves_no_file_and_the_page_is_quiet_again(events, uploads, photo, tmp_path, event):
    running = getattr(events, event)(uploads(photo.resize(LARGE), "beach.png"), *SETTINGS, None, "PNG")
    next(running)
    assert events.studio.quiet_seconds == 0
    running.close()
    assert events.studio.quiet_seconds > 0
    assert made(tmp_path / "files") == []


def test_of_several_photos_those_that_are_finished_are_handed_out(events, uploads, photo):
    photos = [uploads(photo, "one.png"), uploads(photo, "two.png")]
    running = events.paint_all(photos, *SETTINGS, None, "PNG")
    several = next(state for archive, _, state in running if isinstance(state, tuple))
    running.close()
    said, archive, report, state = events.cancelled(several)
    assert "Cancelled: 1 of 2 photos are painted." in said and "✓ one.png" in report
    assert archive.endswith("paintings.zip") and state is None


def test_all_photos_of_a_call_have_the_time_of_one_call(events, uploads, photo, monkeypatch):
    files = [Path(uploads(photo, f"{number}.png")["path"]) for number in range(3)]
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    told = []
    for answer in events.studio.paint_all(files, PaintSettings("red"), files[0].parent, "PNG"):
        if not isinstance(answer, float):
            told.append(str(answer))
            now[0] += 0.6 * events.studio.limits.max_seconds
    assert told[0].endswith("0-red.png") and told[1].endswith("1-red.png")
    assert told[2] == "All photos together took longer than 300 seconds, the limit here: bring fewer at once."


def test_a_mask_may_be_drawn_and_given_up_and_the_photo_stays_whole(events, uploads, photo):
    """The canvas shows a smaller picture; made smaller in place, it was the next visitor's photo, too."""
    given = uploads(photo.resize((700, 600)), "beach.png")
    file, settings = Path(given["path"]), Asked(*SETTINGS).settings()
    first = events.studio.show(file, settings)
    before, after = np.asarray(first.before), np.asarray(first.after)
    for wanted in (True, False, True):
        events.canvas(wanted, given)
    for spoil in (lambda: events.studio.screen_photo(file), lambda: events.studio.show(file, settings).before):
        spoil().thumbnail((32, 32))
    events.studio.show(file, settings).after.paste("red", (0, 0, 50, 50))
    shown = events.studio.show(file, settings)
    assert np.array_equal(np.asarray(shown.before), before) and np.array_equal(np.asarray(shown.after), after)
    assert events.studio.explain(file, settings).departs.size == (700, 600)


@pytest.mark.parametrize("side", [10_100, 14_000, 20_000])
def test_a_photo_and_a_mask_that_declare_too_many_pixels_are_refused_before_they_are_decoded(
    events, uploads, photo, side, monkeypatch
):
    """A one-bit PNG of 14,000 x 14,000 is 24 KB. From 179 megapixels on Pillow refuses, and that was taken for 0."""
    huge = uploads(Image.new("1", (side, side)), "huge.png")
    small = uploads(photo, "small.png")
    monkeypatch.setattr("styletransfer.page.studio.load_picture", lambda file: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match="megapixels: 100 is the limit|more than 200 million pixels"):
        events.studio.screen_photo(Path(huge["path"]))
    with pytest.raises(InputError, match="megapixels: 100 is the limit|more than 200 million pixels"):
        Asked(*SETTINGS, huge).settings()
    monkeypatch.undo()
    assert Asked(*SETTINGS, None).settings().mask is None and small


@pytest.mark.parametrize("share", [-0.5, 1e300, math.inf, math.nan, "much", None, True])
def test_a_share_that_is_none_is_refused_and_not_left_out(share):
    with pytest.raises(InputError, match="share"):
        Asked("red", 1, 1, False, "blue", share, "", 0.5).settings()


def test_a_pack_that_comes_while_the_page_is_built_is_news_to_it(events, tiny_pack, monkeypatch, tmp_path):
    catalog, stage = events.studio.catalog, app._stage
    late = shutil.copytree(tiny_pack, tmp_path / "late")

    def slowly(studio, texts):
        catalog.add(folder_entry(late, list(catalog.styles)))
        return stage(studio, texts)

    monkeypatch.setattr(app, "_stage", slowly)
    page = app.build_page(events.studio, translations(mb=1, megapixels=1, photos=1))
    (styles,) = (block for block in page.blocks.values() if getattr(block, "elem_id", None) == "styles")
    assert len(styles.choices) == 2 and len(catalog.styles) == 4
    seen = [block.value for block in page.blocks.values() if isinstance(block, gr.State) and block.value is not None]
    assert seen == [catalog.version - 1]
    assert len(events.refresh(seen[0])[0].choices) == 4
