"""The example photos are painted ahead: shown at once, as the pipeline paints them, without the network."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styletransfer.catalog import Catalog, PackEntry, folder_entry, shipped_catalog
from styletransfer.page.server import paint_ahead
from styletransfer.page.studio import Limits, Studio
from styletransfer.paths import SHIPPED_PACK
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.jpg"))


class Counting(StyleTransferPipeline):
    runs = 0

    def paint_steps(self, *arguments, **settings):
        self.runs += 1
        return super().paint_steps(*arguments, **settings)


def counting_catalog(*folders):
    """A catalog of packs whose pipelines count, and these pipelines by the packs' names."""
    catalog, pipelines = Catalog(), {}
    for folder in folders:
        entry = folder_entry(folder, list(catalog.styles))
        pipelines[folder.name] = Counting.from_pretrained(folder, device="cpu")
        catalog.add(PackEntry(folder.name, lambda folder=folder: pipelines[folder.name], entry.styles))
    return catalog, pipelines


@pytest.fixture
def photos(tmp_path, photo):
    """Two files: the photo, and the photo upside down."""
    (tmp_path / "examples").mkdir()
    files = [tmp_path / "examples" / name for name in ("one.png", "two.png")]
    photo.save(files[0])
    photo.rotate(180).save(files[1])
    return files


@pytest.fixture
def studio(tiny_pack, photos):
    catalog, pipelines = counting_catalog(tiny_pack)
    studio = Studio(catalog, Limits())
    studio.painter = pipelines[tiny_pack.name]
    paint_ahead(studio, photos, quiet=0.01).join(120)
    return studio


def test_a_copy_of_an_example_is_shown_in_every_style_without_the_network(studio, photos, tmp_path):
    assert studio.painter.runs == 4
    plain = StyleTransferPipeline(studio.painter.generator, device="cpu")
    for number, example in enumerate(photos):
        copy = shutil.copy(example, tmp_path / f"brought-{number}.png")
        for style in ("red", "blue"):
            shown = studio.show(Path(copy), PaintSettings({style: 1.0})).after
            np.testing.assert_array_equal(np.asarray(shown), np.asarray(plain(example, style)))
    assert studio.painter.runs == 4


def test_settings_of_an_example_work_as_with_any_photo(studio, photos, photo, tmp_path):
    plain = StyleTransferPipeline(studio.painter.generator, device="cpu")
    mask = Image.linear_gradient("L")
    copy = Path(shutil.copy(photos[0], tmp_path / "brought.png"))
    shown = studio.show(copy, PaintSettings({"red": 1.0}, strength=0.5, keep_colors=True, mask=mask)).after
    expected = plain(photo, "red", strength=0.5, keep_colors=True, mask=mask)
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))
    assert studio.painter.runs == 4
    for turn in (PaintSettings({"red": 1.0}, brush_size=2), PaintSettings({"red": 1.0, "blue": 0.5})):
        shown = studio.show(copy, turn).after
        expected = plain(photo, turn.mix, brush_size=turn.brush_size)
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))
    assert studio.painter.runs == 6


def test_another_photo_of_the_same_size_is_not_taken_for_an_example(studio, photos, tmp_path):
    content = bytearray(photos[0].read_bytes())
    other = tmp_path / "other.png"
    other.write_bytes(content + b" ")
    photos[1].write_bytes(content + b"-")
    studio.paint_ahead(photos[1], "red")
    runs = studio.painter.runs
    studio.show(other, PaintSettings({"red": 1.0}))
    assert studio.painter.runs == runs + 1


def test_nothing_is_painted_ahead_while_a_visitor_paints(tiny_pack, photos):
    catalog, pipelines = counting_catalog(tiny_pack)
    studio = Studio(catalog, Limits())
    with studio._visit():
        work = paint_ahead(studio, photos, quiet=0.01)
        time.sleep(0.3)
        assert pipelines[tiny_pack.name].runs == 0
    work.join(120)
    assert pipelines[tiny_pack.name].runs == 4


def test_an_example_that_cannot_be_painted_does_not_keep_the_others_from_it(tiny_pack, photos, caplog):
    catalog, pipelines = counting_catalog(tiny_pack)
    photos[0].write_text("no picture")
    paint_ahead(Studio(catalog, Limits()), photos, quiet=0.01).join(120)
    assert pipelines[tiny_pack.name].runs == 2
    assert "one.png in red is not painted ahead" in caplog.text


@pytest.mark.slow
def test_every_example_is_ready_in_every_style_that_ships(tmp_path):
    names = dict.fromkeys(card.pack for card in shipped_catalog(SHIPPED_PACK.parent).styles.values())
    catalog, pipelines = counting_catalog(*(SHIPPED_PACK.parent / name for name in names))
    studio = Studio(catalog, Limits())
    paint_ahead(studio, EXAMPLES, quiet=0.01).join(1200)
    runs = {name: pipeline.runs for name, pipeline in pipelines.items()}
    assert sum(runs.values()) == len(EXAMPLES) * len(catalog.styles)
    for example in EXAMPLES:
        copy = Path(shutil.copy(example, tmp_path))
        for key, card in catalog.styles.items():
            before = pipelines[card.pack].runs
            shown = np.asarray(studio.show(copy, PaintSettings({key: 1.0})).after, dtype=float)
            assert pipelines[card.pack].runs == before
            expected = StyleTransferPipeline.__call__(pipelines[card.pack], example, card.name)
            assert np.abs(shown - np.asarray(expected)).max() <= 1
