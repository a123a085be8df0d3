"""A visitor's own painting as a style: in the section, among the styles, and nowhere else."""

import os
import re
import shutil
import time
import zipfile
from pathlib import Path

import psutil
import pytest
from page_kit import add, message, start_app
from PIL import Image
from playwright.sync_api import expect
from small_generators import random_generator

import styletransfer.page.own as own_module
from styletransfer.catalog import Catalog, folder_entry
from styletransfer.errors import InputError
from styletransfer.learning.apart import Word
from styletransfer.packs.card import write_card
from styletransfer.packs.folder import load_pack
from styletransfer.page.events import choices
from styletransfer.page.own import MARK, OwnStyles, is_offered, workshop_of
from styletransfer.page.studio import Limits, Studio
from styletransfer.settings import PaintSettings


class Bench:
    """A workshop whose packs are there at once."""

    waiting = 1

    def __init__(self, pack):
        self.pack, self.asked = pack, []

    def learn(self, painting, pack, name, title):
        self.asked.append((painting, name, title))
        yield Word(before=1)
        yield Word()
        for steps in (3, 6):
            if pack.exists():
                shutil.rmtree(pack)
            shutil.copytree(self.pack, pack)
            yield Word(0, float(steps), steps / 10, steps, True)


@pytest.fixture
def styles(files, tmp_path, tiny_pack):
    """Over a catalog of one pack with two styles."""
    learned = tmp_path / "learned"
    random_generator({"mine": "Sea and sky"}, channels=16, blocks=2, seed=3).save_pretrained(learned)
    write_card(learned)
    catalog = Catalog()
    catalog.add(folder_entry(tiny_pack))
    return OwnStyles(Studio(catalog, Limits()), Bench(learned))


@pytest.fixture
def upload(files, painting_file):
    def make(name="sea_and-sky.png", picture=None):
        file = files / "upload" / name
        file.parent.mkdir(exist_ok=True)
        (picture or Image.open(painting_file)).save(file)
        return {"path": str(file)}

    return make


def learned(styles, upload, former=None):
    """Everything that was handed out, and the key of the style."""
    given = list(styles.learn(upload, former))
    assert {len(each) for each in given} == {8}
    return given, next(each[5] for each in given if isinstance(each[5], str))


def test_the_style_is_offered_to_its_visitor_and_listed_for_nobody(styles, upload, photo, tmp_path):
    given, key = learned(styles, upload())
    catalog = styles.studio.catalog
    assert key.startswith(MARK) and len(key) > 30
    assert key not in catalog.styles and key not in catalog.at_hand()
    assert [each for _, each in choices(catalog)] == list(catalog.styles)
    assert choices(catalog, key)[-1] == ("Sea and sky", key)
    photo.save(tmp_path / "photo.png")
    shown = styles.studio.show(tmp_path / "photo.png", PaintSettings({key: 1.0, next(iter(catalog.styles)): 1.0}))
    assert shown.after.size == photo.size
    with pytest.raises(InputError) as refused:
        catalog.card("own-guess")
    assert key not in str(refused.value)


def test_a_visitor_is_told_how_far_it_is_and_gets_the_pack(styles, upload):
    given, key = learned(styles, upload())
    texts = [re.sub("<.*?>", "", each[0]) for each in given]
    assert texts[0].startswith("In line: 1 before yours.")
    assert texts[1].startswith("Looking at the painting.")
    assert texts[2].startswith("Learning: 3 s.")
    assert texts[-1].startswith("Learned: Sea and sky is among the styles.")
    archive = Path(given[2][7].value["path"] if isinstance(given[2][7].value, dict) else given[2][7].value)
    with zipfile.ZipFile(archive) as zipped:
        assert {"sea-and-sky/config.json", "sea-and-sky/README.md"} <= set(zipped.namelist())


def test_the_style_is_chosen_once_and_then_left_to_the_visitor(styles, upload):
    given, key = learned(styles, upload())
    first, second = (each[1] for each in given if isinstance(each[5], str))
    assert first["value"] == key if isinstance(first, dict) else first.value == key
    assert "value" not in second if isinstance(second, dict) else second.value is None


def test_another_painting_takes_the_place_of_the_first(styles, upload):
    _, first = learned(styles, upload())
    _, second = learned(styles, upload("other.png"), first)
    with pytest.raises(InputError):
        styles.studio.catalog.card(first)
    assert styles.studio.catalog.card(second).title == "Sea and sky"


def test_what_is_forgotten_is_gone_from_the_disk(styles, upload, files):
    _, key = learned(styles, upload())
    assert list(files.glob(f"*/{MARK}*"))
    styles.forget(key)
    assert not list(files.glob(f"*/{MARK}*"))
    styles.forget(key)
    styles.forget(None)


def test_what_is_old_is_swept_away_also_after_a_restart(styles, upload, files):
    _, key = learned(styles, upload())
    styles.sweep(3600)
    assert styles.studio.catalog.card(key)
    styles.sweep(0)
    assert not list(files.glob(f"*/{MARK}*"))
    left = files / "tmpleft" / f"{MARK}0123"
    left.mkdir(parents=True)
    styles.sweep(3600)
    assert left.exists()
    os.utime(left, (time.time() - 9000,) * 2)
    styles.sweep(3600)
    assert not left.parent.exists()


def test_a_blank_painting_is_refused_and_the_former_style_stays(styles, upload):
    _, key = learned(styles, upload())
    blank = upload("blank.png", Image.new("RGB", (200, 200), "white"))
    with pytest.raises(Exception, match="blank"):
        list(styles.learn(blank, key))
    assert styles.studio.catalog.card(key)


@pytest.mark.parametrize("request_", [None, {"path": "/etc/passwd"}, {"path": 3}, "painting.png"])
def test_only_what_was_uploaded_is_opened(styles, request_):
    with pytest.raises(Exception, match="painting"):
        list(styles.learn(request_, None))


def test_it_is_off_by_a_flag_and_its_workshop_is_set_by_the_environment(styles):
    assert is_offered({}) and not is_offered({own_module.OWN_VARIABLE: "0"})
    environment = {"STYLETRANSFER_STYLE_NETWORK_WEIGHTS": "a.safetensors", "STYLETRANSFER_PACK": "packs/x"}
    shop = workshop_of(styles.studio, environment)
    assert (shop.weights.style, shop.weights.content, shop.base) == ("a.safetensors", None, "packs/x")
    assert (shop.minutes, shop.waiting) == (2, 3)


# ---------------------------------------------------------------- in a browser


def environment_in(folder):
    """Of an app with a pack of two styles, whose learners need no file of weights and have time."""
    pack = folder / "here"
    random_generator({"red": "Red", "oak": "Oak"}, channels=16, blocks=2).save_pretrained(pack)
    write_card(pack)
    return os.environ | {
        "STYLETRANSFER_PACK": str(pack),
        "STYLETRANSFER_STYLE_NETWORK_WEIGHTS": "random",
        "STYLETRANSFER_CONTENT_NETWORK_WEIGHTS": "random",
        "STYLETRANSFER_OWN_MINUTES": "30",
        "GRADIO_ANALYTICS_ENABLED": "False",
    }


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    yield from start_app(folder, environment_in(folder))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(390, 844), (1440, 900)])
def test_a_visitor_drops_a_painting_sees_it_painted_mixes_it_and_takes_it_home(
    browser, address, size, photo, painting_file, tmp_path
):
    photo.save(tmp_path / "beach.png")
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(180_000)
    page, faults = context.new_page(), []
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    add(page, tmp_path / "beach.png")
    expect(message(page)).to_contain_text("96 × 80 pixels.")
    page.locator("#own > button").click()
    page.locator("#own-painting input[type=file]").set_input_files(painting_file)
    own = page.locator(f"#styles label:has(input[value^='{MARK}'])")
    expect(own).to_be_visible(timeout=180_000)
    expect(message(page)).to_contain_text("Painting, 96 × 80 pixels.")
    first = page.locator("#painting img").last.get_attribute("src")
    expect(page.locator("#painting img").last).not_to_have_attribute("src", first, timeout=180_000)  # it got better
    other = browser.new_context().new_page()  # a second visitor
    other.goto(address)
    expect(other.locator("#styles label")).to_have_count(2)
    assert own.locator("input").get_attribute("value") not in other.content()
    page.locator("#own-stop").click()
    expect(page.locator("#own-says")).to_contain_text("Stopped: your style stays as it is.")
    page.locator("#more > button").click()
    page.locator("#second input").click()
    page.get_by_role("option", name="Oak").click()
    expect(message(page)).to_contain_text("Painting + Oak, 96 × 80 pixels.")
    with page.expect_download() as waiting:
        page.locator("#own-pack a").first.click()
    with zipfile.ZipFile(waiting.value.path()) as zipped:
        zipped.extractall(tmp_path / "taken")
    assert load_pack(tmp_path / "taken/painting").styles == {"painting": "Painting"}
    with page.expect_download() as waiting:
        page.locator("#download").click()
    assert Image.open(waiting.value.path()).size == photo.size
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    context.close()
    assert faults == []


@pytest.mark.slow
def test_a_server_that_is_killed_while_it_learns_leaves_whole_packs_only_and_no_process(
    browser, photo, painting_file, tmp_path
):
    photo.save(tmp_path / "beach.png")
    others = set(psutil.Process().children())  # the server of the other tests may still run
    starting = start_app(tmp_path, environment_in(tmp_path))
    page = browser.new_context().new_page()
    page.goto(next(starting))
    add(page, tmp_path / "beach.png")
    page.locator("#own > button").click()
    page.locator("#own-painting input[type=file]").set_input_files(painting_file)
    expect(page.locator(f"#styles label:has(input[value^='{MARK}'])")).to_be_visible(timeout=180_000)
    children = set(psutil.Process().children()) - others
    (server,) = (child for child in children if "app.py" in " ".join(child.cmdline()))
    learners = [child for child in server.children(recursive=True) if "learn" in child.cmdline()]
    assert len(learners) == 1
    server.kill()
    _, alive = psutil.wait_procs(learners, timeout=60)
    page.context.close()
    starting.close()
    assert alive == []
    (folder,) = (tmp_path / "files").glob(f"*/{MARK}*")
    packs = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert [load_pack(pack).styles for pack in packs] == [{"painting": "Painting"}]
