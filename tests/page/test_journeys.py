"""What a visitor can do, each thing as people do it, on a phone and on a desk: one app, one browser, real files.

They take minutes, so they are all slow tests; tests/page/test_app.py has what every change is checked by.
"""

import base64
import io
import json
import re
import subprocess
import sys
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from fake_hub.server import hub as running_hub
from page_kit import (
    JPEG_LEVELS,
    add,
    assert_alike,
    download,
    is_elsewhere,
    open_more,
    pixels,
    says,
    set_number,
    shows,
    start_app,
)
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener
from playwright.sync_api import expect
from small_generators import add_discriminator, random_generator

from styletransfer.images.files import load_picture
from styletransfer.packs.card import write_card
from styletransfer.page.look import SWATCH_SIZE
from styletransfer.page.requests import SETTING_NAMES
from styletransfer.page.studio import SMALL_SIDE
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import mask_from_text, read_settings

pytestmark = pytest.mark.slow
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)
LEAVES = {f"leaf-{number}": f"Leaf {number}" for number in range(15)}  # with them there are enough to be searched
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
MASK_PLACE = 1 + len(SETTING_NAMES)  # among what the page sends: photo, settings, mask
PAINTED = re.compile(r"^Red, 96 × 80 pixels\.")


def make_pack(folder, seed, **styles):
    random_generator(styles, channels=8, blocks=1, seed=seed).save_pretrained(folder)
    add_discriminator(folder, len(styles))
    (folder / "samples").mkdir()
    for place, name in enumerate(styles):
        Image.new("RGB", (64, 48), (60 * place % 256, 90, 120)).save(folder / "samples" / f"{name}.webp")
    write_card(folder)
    return folder


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """One that is here, and one on the Hub: with it there are enough styles to be searched."""
    folder = tmp_path_factory.mktemp("packs")
    here = make_pack(folder / "here", 0, red="Red", oak="Oak", elm="Elm", ash="Ash")
    return {"here": here, "hub": make_pack(folder / "hub", 1, moss="Moss", fern="Fern", rust="Rust", **LEAVES)}


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
    allowed = ["clipboard-read", "clipboard-write", "camera"]
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
    search.fill("no such style")
    expect(page.locator("#no-style p")).to_have_text("No style has that in its name, painter or year.")
    search.fill("")
    expect(page.locator("#no-style p")).to_be_hidden()
    expect(card(page, "Red")).to_be_visible()


def test_the_own_photo_is_previewed_on_every_card(page, photo, photo_file, packs, pipeline):
    add(page, photo_file)
    says(page, PAINTED)
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


def test_what_the_camera_sees_is_painted(page, pipeline):
    page.locator("#photo").get_by_label("Capture from camera").click()
    page.locator("#photo").get_by_text("Click to Access Webcam").click()
    expect(page.locator("#photo video")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#photo video').videoWidth > 0")
    page.locator("#photo").get_by_label("capture photo").click()
    says(page, re.compile(r"^Red, \d+ × \d+ pixels\."))
    content = page.request.get(page.locator("#photo img").first.get_attribute("src")).body()
    seen = download(page)[1][..., :3]  # strokes as large in the whole as they are on the screen
    assert_alike(seen, pixels(pipeline(content, "red").convert("RGB")))


def test_an_example_is_painted_by_one_click(page, pipeline):
    cat = page.get_by_role("button", name="cat")
    cat.scroll_into_view_if_needed()
    cat.click()
    says(page, re.compile(r"^Red, 451 × 300 pixels\."))
    name, painting = download(page)
    assert name == "cat-red.png"
    example = Path(__file__).resolve().parents[2] / "examples" / "cat.jpg"
    assert_alike(painting, pixels(pipeline(example, "red")))
    shows(page, pipeline(example, "red"))


@pytest.mark.parametrize("kind", ["jpg", "heic"])
def test_a_phones_photo_comes_out_upright(page, tmp_path, photo, pipeline, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / f"beach.{kind}"
    if kind == "heic":
        register_heif_opener()
    photo.save(file, format="HEIF" if kind == "heic" else "JPEG", quality=95, exif=exif.tobytes())
    add(page, file)
    says(page, re.compile(r"^Red, 80 × 96 pixels\."))
    is_the_photo(on_page(page, "#painting img >> nth=0"), load_picture(file).rgb)
    upright = np.asarray(photo.transpose(Image.Transpose.ROTATE_270), dtype=float)
    assert np.abs(np.asarray(load_picture(file).rgb) - upright).mean() < 2 * JPEG_LEVELS  # two losses, and no mirror
    assert_alike(download(page)[1], pixels(pipeline(file, "red")))


# ---------------------------------------------------------------- turn it


def test_strength_brush_colors_and_a_mix_of_three_are_followed_and_taken_home(page, photo_file, pipeline):
    add(page, photo_file)
    says(page, PAINTED)
    set_number(page, "strength", 80)
    shows(page, pipeline(photo_file, "red", strength=0.8))
    open_more(page)
    set_number(page, "brush", 1.5)
    page.locator("#colors input").check()
    shows(page, pipeline(photo_file, "red", strength=0.8, brush_size=1.5, keep_colors=True))
    for place, title in (("second", "Oak"), ("third", "Elm")):
        page.locator(f"#{place} input").click()
        page.get_by_role("option", name=title).last.click()  # the list before it may still be closing
    set_number(page, "third-share", 25)
    mix = {"red": 1, "oak": 0.5, "elm": 0.25}
    expected = pipeline(photo_file, mix, strength=0.8, brush_size=1.5, keep_colors=True)
    shows(page, expected)
    says(page, re.compile(r"^Red \+ Oak \+ Elm, 96 × 80 pixels\."))
    assert_alike(download(page)[1], pixels(expected))
    card(page, "Fern").click()  # of another network: it is mixed all the same, and the page says how
    told = r"^Fern \+ Oak \+ Elm, 96 × 80 pixels\. .*networks that were trained apart: .* laid over one another\.$"
    says(page, re.compile(told))
    expect(page.locator("#painting img").last).to_be_visible()
    assert download(page)[0] == "beach-fern+oak+elm.png"


def test_only_what_is_drawn_over_is_painted_the_last_stroke_included(page, tmp_path, photo, pipeline):
    photo.resize((400, 320)).save(tmp_path / "photo.png")
    add(page, tmp_path / "photo.png")
    says(page, re.compile("^Red, 400 × 320 pixels. The photo is blurred"))
    open_more(page)
    page.locator("#part input").check()
    canvas = page.locator("#canvas canvas").first
    expect(page.locator("#canvas").get_by_label("Brush").first).to_be_visible()
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(2000)  # the canvas says nothing when it is ready to be drawn on
    uploads = []
    page.on("request", lambda request: uploads.append(request.url) if "/upload" in request.url else None)
    with page.expect_request(asks_with_mask):
        draw(page, canvas, y=0)
    says(page, re.compile("^Red, 400 × 320 pixels"))
    assert len(uploads) == 3  # background, layer and composite, once
    with page.expect_download() as waiting:
        draw(page, canvas, y=70)
        page.locator("#download").click()  # at once: the server has not seen this stroke
    file = Path(waiting.value.path())
    mask = mask_from_text(read_settings(file)["mask"])
    drawn = np.asarray(mask) > 127
    assert np.count_nonzero(np.diff(drawn[:, 200].astype(int)) == 1) == 2  # from top to bottom, two strokes are met
    assert not drawn[:, :80].any() and not drawn[:60].any()
    painting, original = pixels(file), pixels(tmp_path / "photo.png")
    assert_alike(painting, pixels(pipeline(tmp_path / "photo.png", "red", mask=mask)))
    changed = np.abs(painting - original).max(axis=-1) > 0
    assert not changed[:, :80].any() and not changed[:60].any()  # far from the strokes: bit for bit
    assert changed[150:170, 190:210].mean() > 0.9


def asks_with_mask(request):
    """Whether the page asks for a painting with a mask."""
    if "/queue/join" not in request.url:
        return False
    asked = json.loads(request.post_data)["data"]
    return len(asked) == MASK_PLACE + 1 and bool(asked[MASK_PLACE])


def draw(page, canvas, y):
    """A stroke across the middle, so many pixels below it."""
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + y
    page.mouse.move(x - 30, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=6)
    page.mouse.up()


# ---------------------------------------------------------------- see it


def test_the_slider_uncovers_photo_and_painting_and_both_can_fill_the_window(page, tmp_path, photo, pipeline):
    photo.resize((480, 400), Image.Resampling.BICUBIC).save(tmp_path / "beach.png")
    add(page, tmp_path / "beach.png")
    says(page, re.compile(r"^Red, 480 × 400 pixels\."))
    painting = page.locator("#painting img").last
    expect(painting).to_be_visible()
    painting.scroll_into_view_if_needed()
    page.wait_for_function("() => painter.position() < 0.15")  # the slider has come to rest
    before, rest = uncovered(painting), page.evaluate("painter.position()")  # of the box, and of the picture in it
    box = painting.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + before * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=8)
    page.mouse.up()
    assert rest < 0.2 and 0.6 < uncovered(painting) < 0.8
    is_the_photo(on_page(page, "#painting img >> nth=0"), Image.open(tmp_path / "beach.png"))
    page.locator("#painting").get_by_label("Fullscreen").click()
    width, height = page.viewport_size.values()
    page.wait_for_function("() => document.querySelector('#painting').getBoundingClientRect().width >= innerWidth - 2")
    grown = painting.bounding_box()
    assert grown["width"] > 0.9 * width or grown["height"] > 0.8 * height
    assert grown["width"] <= width + 1
    page.locator("#painting").get_by_label("Exit fullscreen mode").click()
    page.wait_for_function("() => document.querySelector('#painting').getBoundingClientRect().top > 0")


def uncovered(painting):
    """The share of the photo that the painting leaves to be seen."""
    cut = painting.evaluate("e => e.style.clipPath")  # inset(0px 0px 0px 12%)
    return float(re.search(r"([\d.]+)%\)$", cut)[1]) / 100


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_is_taken_home_whose_settings_make_it_again(page, photo_file, pipeline, kind):
    add(page, photo_file)
    says(page, PAINTED)
    set_number(page, "strength", 60)
    page.locator("#format").get_by_text(kind).click()
    expect(page.locator("#format input:checked")).to_have_value(kind)
    with page.expect_download() as waiting:
        page.locator("#download").click()
    assert waiting.value.suggested_filename == ("beach-red.png" if kind == "PNG" else "beach-red.jpg")
    settings = read_settings(waiting.value.path())
    keys = ("strength", "brush_size", "keep_colors")
    again = pipeline(photo_file, settings["style"], **{key: settings[key] for key in keys})
    with Image.open(waiting.value.path()) as image:
        assert image.format == kind and image.info["icc_profile"]
        seen = np.asarray(image.convert("RGB")).astype(int)
    if kind == "PNG":
        assert_alike(seen, pixels(again))
    else:
        is_the_photo(seen, again)


# ---------------------------------------------------------------- understand it


def test_three_numbers_and_two_overlays_explain_the_painting(page, photo_file):
    add(page, photo_file)
    says(page, PAINTED)
    page.locator("#explain input").check()
    page.locator("#numbers summary").click()
    for words in (r"Kept of the photo's shapes: \d+ %", r"the style's sample: \d+ %", r"Grid .*: \d+\.\d gray"):
        expect(page.locator("#numbers details p")).to_contain_text(re.compile(words))
    for place in ("departs", "doubted"):
        assert on_page(page, f"#{place} img").size == (96, 80)
    page.locator("#explain input").uncheck()
    for place in ("departs", "doubted"):
        expect(page.locator(f"#{place}")).to_be_hidden()


def faulty(photo, fault):
    if fault == "very small":
        return photo.resize((50, 40))
    if fault == "very dark":
        return photo.point(lambda level: level // 6)
    if fault == "blurred":
        return photo.resize((400, 320), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).normal(0, 25, (320, 400, 3)) + np.asarray(photo.resize((400, 320)))
    file = io.BytesIO()
    Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=4)
    return Image.open(file)


def test_faults_of_a_photo_are_said_with_what_helps(page, tmp_path, photo):
    for fault, help_ in (
        ("very small", "a larger copy"),
        ("very dark", "brighten it first"),
        ("blurred", "a sharper copy helps"),
        ("compressed so much", "the original file helps"),
    ):
        file = tmp_path / f"{fault}.png"
        faulty(photo, fault).save(file)
        add(page, file)
        says(page, re.compile(rf"^Red, \d+ × \d+ pixels\. The photo .*{fault}.*{help_}"))
        page.locator("#photo").get_by_label("Remove Image").click()
        says(page, "An example: Red. Add a photo of yours.")


# ---------------------------------------------------------------- many


def test_several_photos_come_back_in_one_zip_and_the_bad_one_is_told(page, tmp_path, photo, pipeline):
    (tmp_path / "bad.png").write_text("no picture")
    photo.save(tmp_path / "one.png")
    photo.rotate(90, expand=True).save(tmp_path / "two.png")
    page.get_by_role("tab", name="Several photos").click()
    expect(page.locator("#painting")).to_be_hidden()
    page.locator("#photos input[type=file]").set_input_files([tmp_path / f"{n}.png" for n in ("one", "bad", "two")])
    expect(page.locator("#photos")).to_contain_text("two")
    page.locator("#paint-all").click()
    expect(page.locator("#report")).to_contain_text("2 / 3")
    expect(page.locator("#report")).to_contain_text("✗ bad.png")
    with page.expect_download() as waiting:
        page.locator("#zip a").first.click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert sorted(archive.namelist()) == ["one-red.png", "two-red.png"]
        for name in ("one", "two"):
            with archive.open(f"{name}-red.png") as file:
                seen = np.asarray(Image.open(file)).astype(int)
            assert_alike(seen, pixels(pipeline(tmp_path / f"{name}.png", "red")))
    names = page.locator("#album figcaption")
    expect(names).to_have_text(["one-red.png", "two-red.png"])
    with page.expect_download() as waiting:  # each by itself, too
        page.locator("#album a").first.click()
    assert_alike(pixels(Path(waiting.value.path())), pixels(pipeline(tmp_path / "one.png", "red")))
    page.get_by_role("tab", name="One photo").click()
    expect(page.locator("#painting")).to_be_visible()


# ---------------------------------------------------------------- automate


def test_the_code_on_the_page_makes_the_painting_on_the_page(page, tmp_path, photo, photo_file, pipeline):
    photo.save(tmp_path / "photo.jpg", quality=95)
    set_number(page, "strength", 40)
    page.locator("#program > button").click()
    code = page.locator("#code-python .cm-content")
    expect(code).to_contain_text("strength=0.4")
    program = "\n".join(code.locator(".cm-line").all_inner_texts()) + "\nprint(painting)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    painting = done.stdout.splitlines()[-1]
    assert_alike(pixels(painting), pixels(pipeline(tmp_path / "photo.jpg", "red", strength=0.4)))


@pytest.fixture
def another_site(address, tmp_path):
    """A page of somebody else's with the app in an iframe, at another host name: to the browser, another site."""
    frame = f'<iframe src="{address}" style="width: 100%; height: 3000px; border: 0"></iframe>'
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Another site</title>{frame}")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/"
        server.shutdown()


@pytest.mark.parametrize("size", SIZES)
def test_the_page_works_inside_another_site(browser, another_site, photo_file, size):
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(PATIENCE)
    site = context.new_page()
    site.goto(another_site)
    inside = site.frame_locator("iframe")
    add(inside, photo_file)
    says(inside, PAINTED)
    expect(inside.locator("#painting img").last).to_be_visible()
    assert site.frames[1].evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


# ---------------------------------------------------------------- the keyboard alone


def test_the_keyboard_alone_brings_a_photo_chooses_a_style_turns_and_takes_home(page, photo_file, pipeline):
    page.on("filechooser", lambda _: None)  # from now on choosers come here: one that opens too soon would be lost
    page.locator("#styles input").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#styles label.selected")).to_have_text("Oak")
    tab_to(page, "#photo button[aria-label^='Drop an image']")
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Enter")
    choosing.value.set_files(photo_file)
    says(page, re.compile(r"^Oak, 96 × 80 pixels\."))
    tab_to(page, "#strength input[type=range]")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#strength input[type=number]")).to_have_value("80")
    shows(page, pipeline(photo_file, "oak", strength=0.8))
    tab_to(page, "#download")
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert_alike(pixels(Path(waiting.value.path())), pixels(pipeline(photo_file, "oak", strength=0.8)))


def tab_to(page, selector):
    """Go on by the Tab key alone, until what is wanted has the focus and shows it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"the Tab key never comes to {selector}")
