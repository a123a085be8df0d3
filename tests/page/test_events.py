"""The events of the page, without a browser: what is drawn is taken home, and who stops asking stops the work."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from styletransfer.catalog import Catalog, folder_entry
from styletransfer.page.events import Events
from styletransfer.page.limits import Limits
from styletransfer.page.studio import Studio
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import read_settings

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
