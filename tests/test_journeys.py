"""How a visitor picks a style and brings a photo, on a phone and on a desk: one app, one browser, real files.

They take minutes, so they are all slow tests; tests/test_app.py has what every change is checked by.
"""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hub_server import hub as running_hub
from PIL import Image, ImageOps
from playwright.sync_api import expect
from small_generators import add_discriminator, random_generator
from test_app import (
    JPEG_LEVELS,
    add,
    assert_alike,
    download,
    is_elsewhere,
    pixels,
    says,
    shows,
    start_app,
)

from styletransfer.images import load_picture
from styletransfer.packs import write_card
from styletransfer.page_look import SWATCH_SIZE
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.studio import SMALL_SIDE

pytestmark = pytest.mark.slow
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
PAINTED = re.compile(r"^Red, 96 × 80 pixels\.")


def make_pack(folder, seed, **styles):
    random_generator(styles, channels=8, blocks=1, seed=seed).save_pretrained(folder)
    add_discriminator(folder, len(styles))
    (folder / "samples").mkdir()
    for place, name in enumerate(styles):
        Image.new("RGB", (64, 48), (60 * place, 90, 120)).save(folder / "samples" / f"{name}.webp")
    write_card(folder)
    return folder


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """One that is here, and one on the Hub: with it there are enough styles to be searched."""
    folder = tmp_path_factory.mktemp("packs")
    here = make_pack(folder / "here", 0, red="Red", oak="Oak", elm="Elm", ash="Ash")
    return {"here": here, "hub": make_pack(folder / "hub", 1, moss="Moss", fern="Fern", rust="Rust")}


@pytest.fixture(scope="module")
def address(packs, tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub") / "hub") as hub:
        files = {path.relative_to(packs["hub"]).as_posix(): path for path in packs["hub"].rglob("*") if path.is_file()}
        hub.put("studio/plants", files)
        environment = hub.environment() | {
            "STYLETRANSFER_PACK": str(packs["here"]),
            "STYLETRANSFER_PACKS": "studio/plants",
            "GRADIO_ANALYTICS_ENABLED": "False",
        }
        yield from start_app(tmp_path_factory.mktemp("app"), environment)


@pytest.fixture(params=SIZES)
def page(request, browser, address):
    """The open page on a phone or a desk. At the end: no error in its console, no request to elsewhere."""
    width, height = SIZES[request.param]
    allowed = ["clipboard-read", "clipboard-write"]
    context = browser.new_context(viewport={"width": width, "height": height}, permissions=allowed)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    faults = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if is_elsewhere(request.url, address) else None)
    page.goto(address)
    expect(page.locator("#photo")).to_be_visible()
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page is wider than its window"
    context.close()
    assert faults == []


@pytest.fixture(scope="module")
def pipeline(packs):
    return StyleTransferPipeline.from_pretrained(packs["here"], device="cpu")


@pytest.fixture
def photo_file(tmp_path, photo):
    photo.save(tmp_path / "beach.png")
    return tmp_path / "beach.png"


def card(page, title):
    return page.locator("#styles label").filter(has_text=title)


def picture_on(label):
    """The picture on a style card."""
    data = label.evaluate("e => getComputedStyle(e, '::before').backgroundImage")
    content = re.fullmatch(r'url\("data:image/webp;base64,(.*)"\)', data)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"), dtype=float)


def on_page(page, selector):
    """A picture that the page shows."""
    expect(page.locator(selector)).to_be_visible()
    content = page.request.get(page.locator(selector).get_attribute("src")).body()
    return Image.open(io.BytesIO(content)).convert("RGB")


def is_the_photo(seen, photo):
    assert np.abs(np.asarray(seen, dtype=float) - np.asarray(photo)).mean() < JPEG_LEVELS


# ---------------------------------------------------------------- pick by picture


def test_a_style_is_found_by_name_and_chosen_by_its_picture_from_the_hub_too(page, packs, photo_file):
    expect(card(page, "Fern")).to_be_visible()
    add(page, photo_file)
    search = page.locator("#search textarea, #search input")
    search.fill("fer")
    expect(card(page, "Red")).to_be_hidden()
    assert np.abs(picture_on(card(page, "Fern")) - (60, 90, 120)).mean() < 4
    card(page, "Fern").click()
    says(page, re.compile(r"^Fern, 96 × 80 pixels\."))
    expect(page.locator("#styles label.selected")).to_have_text("Fern")
    name, painting = download(page)
    assert name == "beach-fern.png"
    expected = StyleTransferPipeline.from_pretrained(packs["hub"], device="cpu")(photo_file, "fern")
    assert_alike(painting, pixels(expected))
    search.fill("")
    expect(card(page, "Red")).to_be_visible()


def test_the_own_photo_is_previewed_on_every_card(page, photo, photo_file, packs, pipeline):
    add(page, photo_file)
    says(page, PAINTED)
    page.locator("#suits").click()
    small = photo.copy()
    small.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.LANCZOS)
    for style, title in pipeline.styles.items():
        expected = np.asarray(ImageOps.fit(pipeline(small, style), (SWATCH_SIZE, SWATCH_SIZE)), dtype=float)
        page.wait_for_function(
            "([title, sample]) => { const label = [...document.querySelectorAll('#styles label')]"
            ".find(e => e.textContent.trim().startsWith(title));"
            "return getComputedStyle(label, '::before').backgroundImage.length > sample }",
            arg=[title, 1000],  # characters: the samples here are of one color and shorter
        )
        assert np.abs(picture_on(card(page, title)) - expected).mean() < 8


# ---------------------------------------------------------------- bring a photo


def test_an_uploaded_photo_is_painted(page, photo_file, pipeline):
    with page.expect_file_chooser() as choosing:
        page.get_by_label("Drop an image file here to upload").first.click()
    choosing.value.set_files(photo_file)
    says(page, PAINTED)
    assert_alike(download(page)[1], pixels(pipeline(photo_file, "red")))


def test_a_pasted_photo_is_painted(page, photo_file, pipeline):
    data = base64.b64encode(photo_file.read_bytes()).decode()
    page.evaluate(
        "async data => { const blob = await (await fetch('data:image/png;base64,' + data)).blob();"
        "await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]) }",
        data,
    )
    page.locator("#photo").get_by_label("Paste from clipboard").click()
    says(page, PAINTED)
    assert_alike(download(page)[1], pixels(pipeline(photo_file, "red")))


def test_a_dropped_photo_is_painted(page, photo_file, pipeline):
    data = base64.b64encode(photo_file.read_bytes()).decode()
    dropped = page.evaluate_handle(
        "async data => { const blob = await (await fetch('data:image/png;base64,' + data)).blob();"
        "const moved = new DataTransfer();"
        "moved.items.add(new File([blob], 'beach.png', {type: 'image/png'})); return moved }",
        data,
    )
    place = page.get_by_label("Drop an image file here to upload").first
    for event in ("dragenter", "dragover", "drop"):
        place.dispatch_event(event, {"dataTransfer": dropped})
    says(page, PAINTED)
    name, painting = download(page)
    assert name == "beach-red.png"
    assert_alike(painting, pixels(pipeline(photo_file, "red")))


def test_an_example_is_painted_by_one_click(page, pipeline):
    cat = page.get_by_role("button", name="cat")
    cat.scroll_into_view_if_needed()
    cat.click()
    says(page, re.compile(r"^Red, 451 × 300 pixels\."))
    name, painting = download(page)
    assert name == "cat-red.png"
    example = Path(__file__).resolve().parent.parent / "examples" / "cat.jpg"
    assert_alike(painting, pixels(pipeline(example, "red")))
    shows(page, pipeline(example, "red"))


def test_a_phones_photo_comes_out_upright(page, tmp_path, photo, pipeline):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "beach.jpg"
    photo.save(file, quality=95, exif=exif.tobytes())
    add(page, file)
    says(page, re.compile(r"^Red, 80 × 96 pixels\."))
    is_the_photo(on_page(page, "#painting img >> nth=0"), load_picture(file).rgb)
    upright = np.asarray(photo.transpose(Image.Transpose.ROTATE_270), dtype=float)
    assert np.abs(np.asarray(load_picture(file).rgb) - upright).mean() < 2 * JPEG_LEVELS  # two losses, and no mirror
    assert_alike(download(page)[1], pixels(pipeline(file, "red")))
