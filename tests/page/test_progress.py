"""While something takes long: progress, the place in the queue, and a button that stops it, in a real browser.

It paints large photos, so all are slow tests; tests/page/test_events.py cancels without a browser.
"""

import contextlib
import os
import re
import zipfile
from itertools import combinations
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from page_kit import PATIENCE, add, set_number, start_app
from PIL import Image
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
LARGE = (3600, 2700)  # the network of the shipped pack takes seconds for it on any processor
LONG = 300_000  # milliseconds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def address(folder):
    yield from start_app(folder, dict(os.environ))


@pytest.fixture
def open_page(browser, address):
    """Opens the page in a language; at the end, no page told of an error."""
    contexts, errors = [], []

    def opened(language="en-US"):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale=language)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Photos by size: one small, the others too large to be painted in a moment."""
    files = tmp_path_factory.mktemp("photos")
    photo = Image.open(ROOT / "examples" / "cat.jpg").convert("RGB")
    photo.resize((320, 240)).save(files / "small.jpg")
    for name in ("large", "larger", "largest"):
        photo.resize(LARGE).save(files / f"{name}.jpg", quality=90)
    return {file.stem: file for file in files.iterdir()}


def painted(folder):
    """The stems of all paintings that the app has put into files."""
    return sorted(file.stem for file in (folder / "files").rglob("*.png") if file.stem.endswith("-starry-night"))


def after_the_painter_is_free(address, pictures):
    """One painter paints all full sizes in turn: what is painted now waits until whatever was before has stopped."""
    client = Client(address, verbose=False, analytics_enabled=False)
    client.predict(photo=handle_file(pictures["small"]), style="great-wave", api_name="/paint")


def wait_until_it_paints(page):
    """The server has begun: before, the browser shows that it waits for an answer to its request."""
    bar = page.locator("#saving").get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"\d"), timeout=LONG)


def cancel(page):
    expect(page.locator("#cancel")).to_be_visible(timeout=LONG)
    page.locator("#cancel").click()


def overlap(one, other):
    """Whether one box covers a pixel of the other."""
    return all(
        min(one[start] + one[side], other[start] + other[side]) - max(one[start], other[start]) >= 1
        for start, side in (("x", "width"), ("y", "height"))
    )


def test_a_full_size_painting_shows_progress_and_is_cancelled(open_page, address, pictures, folder):
    page = open_page()
    expect(page.locator("#cancel")).to_be_hidden()
    add(page, pictures["large"])
    expect(page.locator("#download")).to_be_enabled(timeout=LONG)
    set_number(page, "strength", 80)
    page.locator("#download").click()
    wait_until_it_paints(page)
    expect(page.locator("#cancel")).to_be_visible(timeout=LONG)
    shown = [page.locator(f"#{name}").bounding_box() for name in ("saving", "cancel", "painting", "download", "format")]
    assert not [pair for pair in combinations(shown, 2) if overlap(*pair)]
    cancel(page)
    expect(page.locator("#cancelled")).to_have_text("Cancelled: the photo and all settings are as they were.")
    expect(page.locator("#cancel")).to_be_hidden(timeout=LONG)
    after_the_painter_is_free(address, pictures)
    assert "large-starry-night" not in painted(folder)
    expect(page.locator("#strength input[type=number]")).to_have_value("80")
    expect(page.locator("#photo img").first).to_be_visible()
    expect(page.locator("#painting img").last).to_be_visible()
    # And what is cancelled can be begun anew.
    page.locator("#photo").get_by_label("Remove Image").click()
    add(page, pictures["small"])
    with page.expect_download(timeout=LONG) as waiting:
        page.locator("#download").click(timeout=LONG)
    assert Image.open(waiting.value.path()).size == (320, 240)


def test_of_several_photos_the_finished_ones_can_be_had_and_no_more_are_painted(open_page, address, pictures, folder):
    page = open_page()
    page.get_by_role("tab", name="Several photos").click()
    order = [pictures[name] for name in ("small", "large", "larger", "largest")]
    page.locator("#photos input[type=file]").set_input_files(order)
    expect(page.locator("#photos")).to_contain_text("largest")
    before = painted(folder)
    page.locator("#paint-all").click()
    expect(page.locator("#report")).to_contain_text("✓ small.jpg", timeout=LONG)
    cancel(page)
    expect(page.locator("#cancelled")).to_have_text("Cancelled: 1 of 4 photos are painted.")
    expect(page.locator("#report")).to_contain_text("Cancelled: 1 of 4 photos are painted.")
    with page.expect_download() as waiting:
        page.locator("#zip a").first.click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.namelist() == ["small-starry-night.png"]
        with archive.open("small-starry-night.png") as file:
            assert Image.open(file).size == (320, 240)
    after_the_painter_is_free(address, pictures)
    assert sorted([*before, "small-starry-night"]) == painted(folder)
    expect(page.locator("#photos")).to_contain_text("largest")
    expect(page.locator("#paint-all")).to_be_enabled()


def test_who_leaves_takes_their_work_along(open_page, address, pictures, folder):
    page = open_page()
    add(page, pictures["larger"])
    expect(page.locator("#download")).to_be_enabled(timeout=LONG)
    page.locator("#download").click()
    wait_until_it_paints(page)
    page.close()
    after_the_painter_is_free(address, pictures)
    assert "larger-starry-night" not in painted(folder)


SAID = [
    ("en-US", "In the queue: place {} of ", "Cancelled: the photo and all settings are as they were."),
    ("zh-CN", "排队中：第 {} 位", "已取消：照片和所有设置都保持原样。"),
]


@pytest.mark.parametrize(("language", "place", "said"), SAID)
def test_who_waits_sees_their_place_and_can_leave_the_queue(open_page, address, pictures, language, place, said):
    before = [Client(address, verbose=False, analytics_enabled=False) for _ in range(2)]
    large = {"photo": handle_file(pictures["large"]), "style": "the-scream", "api_name": "/paint"}
    page = open_page(language)
    add(page, pictures["small"])
    expect(page.locator("#download")).to_be_enabled(timeout=LONG)
    jobs = [client.submit(**large) for client in before]
    try:
        for job in jobs:
            while not job.status().code.value.startswith(("PROCESSING", "PROGRESS", "IN_QUEUE", "ITERATING")):
                page.wait_for_timeout(50)
        page.locator("#download").click()
        # What a reader of the screen sees is drawn by a style sheet over Gradio's own English.
        shown = page.locator("#saving .progress-text")
        expect(shown).to_have_attribute("data-says", re.compile(re.escape(place.format(2))))
        look = shown.evaluate("e => getComputedStyle(e, '::after').content")
        assert place.format(2) in look
        cancel(page)
        expect(page.locator("#cancelled")).to_have_text(said)
        expect(page.locator("#cancel")).to_be_hidden(timeout=LONG)
    finally:
        for job in jobs:
            with contextlib.suppress(httpx.TimeoutException):  # a busy server answers late, and cancels all the same
                job.cancel()
