"""The page as people use it: `python app.py` as a process, a real browser, real files."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from gradio_client import Client, handle_file
from page_kit import (
    JPEG_LEVELS,
    PATIENCE,
    ROOT,
    add,
    assert_alike,
    download,
    is_elsewhere,
    message,
    open_more,
    pixels,
    says,
    set_number,
    shows,
)
from PIL import Image
from playwright.sync_api import expect

from styletransfer.evaluation.metrics import luminance_ssim
from styletransfer.images.files import load_picture, picture_to_tensor
from styletransfer.page.api import curl_call
from styletransfer.pipeline import StyleTransferPipeline


@pytest.fixture
def page(browser, address):
    """The open page. At the end: its console told of no error, and no request left this machine."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors, strangers = [], []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: strangers.append(request.url) if is_elsewhere(request.url, address) else None)
    page.goto(address)
    yield page
    context.close()
    assert errors == []
    assert strangers == []


@pytest.fixture(scope="module")
def pipeline(pack):
    return StyleTransferPipeline.from_pretrained(pack, device="cpu")


@pytest.fixture
def photo_file(tmp_path, photo):
    """A phone's photo: JPEG, lying on its side, its EXIF data saying so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "beach at noon.jpg", quality=95, exif=exif)
    return tmp_path / "beach at noon.jpg"


# ---------------------------------------------------------------- painting


def test_an_added_photo_is_painted_at_once_and_downloads_as_a_png_of_its_size(page, photo_file, pipeline):
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    name, painting = download(page)
    assert name == "beach at noon-red.png"
    assert_alike(painting, pixels(pipeline(photo_file, "red")))


def test_every_style_can_be_chosen_and_paints_as_the_pipeline_does(page, photo_file, pipeline):
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    for style, title in reversed(pipeline.styles.items()):
        page.locator("#styles").get_by_text(title, exact=True).click()
        expect(page.locator("#styles label.selected")).to_have_text(title)
        says(page, f"{title}, 80 × 96 pixels.")
        expect(page.locator("#painting img").last).to_have_attribute("src", re.compile(f"-({style}|photo).jpg$"))
        assert_alike(download(page)[1], pixels(pipeline(photo_file, style)))


def test_at_strength_0_the_photo_comes_back_pixel_for_pixel(page, photo_file, pipeline):
    page.locator("#strength input[type=number]").fill("0")
    page.locator("#strength input[type=number]").press("Tab")
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    upright = Image.open(photo_file).transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(download(page)[1], pixels(upright.copy()))


def test_transparency_stays_and_a_note_about_the_photo_is_shown(page, tmp_path, photo, pipeline):
    frames = [photo.convert("RGBA"), photo.rotate(90).convert("RGBA")]
    frames[0].putalpha(Image.linear_gradient("L").resize(photo.size))
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    add(page, tmp_path / "moving.png")
    says(page, re.compile("^Red, 96 × 80 pixels. The picture has several frames: only frame"))
    painting = download(page)[1]
    np.testing.assert_array_equal(painting[..., 3], pixels(frames[0])[..., 3])
    assert_alike(painting, pixels(pipeline(tmp_path / "moving.png", "red")))


def test_the_keyboard_alone_chooses_a_style_and_paints(page, photo_file):
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    page.locator("#styles input").nth(1).focus()
    page.keyboard.press("Space")
    says(page, "Blue, 80 × 96 pixels.")


def test_an_example_is_painted_by_one_click(page):
    page.locator(".gallery-item").first.click()
    says(page, re.compile(r"^Red, \d+ × \d+ pixels\.$"))
    assert download(page)[0].endswith("-red.png")


# ---------------------------------------------------------------- turning the painting


def test_the_picture_follows_strength_brush_and_colors_without_a_click(page, photo_file, pipeline):
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    set_number(page, "strength", 70)
    shows(page, pipeline(photo_file, "red", strength=0.7))
    open_more(page)
    set_number(page, "brush", 2)
    expect(page.locator("#brush input[type=number]")).to_have_value("2")
    shows(page, pipeline(photo_file, "red", strength=0.7, brush_size=2))
    page.locator("#colors input").check()
    expected = pipeline(photo_file, "red", strength=0.7, brush_size=2, keep_colors=True)
    shows(page, expected)
    assert_alike(download(page)[1], pixels(expected))


def test_two_styles_are_mixed(page, photo_file, pipeline):
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    open_more(page)
    page.locator("#second input").click()
    page.get_by_role("option", name="Blue").click()
    says(page, "Red + Blue, 80 × 96 pixels.")
    name, painting = download(page)
    assert name == "beach at noon-red+blue.png"
    assert_alike(painting, pixels(pipeline(photo_file, {"red": 1, "blue": 0.5})))


def test_the_painting_is_explained_where_that_is_asked_for(page, photo_file):
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    expect(page.locator("#departs")).to_be_hidden()
    page.locator("#explain input").check()
    words, picture, numbers = (page.locator(place) for place in ("#reading p", "#departs img", "#numbers details p"))
    expect(words).to_contain_text("your photo")
    expect(picture).to_be_visible()
    expect(numbers).to_be_hidden()
    tops = [each.bounding_box()["y"] for each in (words, picture, page.locator("#numbers summary"))]
    assert tops == sorted(tops)  # a sentence, the picture, and what can be unfolded
    page.locator("#numbers summary").click()
    expect(numbers).to_contain_text(re.compile(r"Kept of the photo's shapes: \d+ %\."))
    expect(numbers).to_contain_text(re.compile(r"Grid left by the network: \d+\.\d gray levels"))
    set_number(page, "strength", 0)  # then the painting is the photo
    expect(page.locator("#reading")).to_contain_text("Nearly everything in your photo can still be made out.")
    expect(numbers).to_contain_text("Kept of the photo's shapes: 100 %.")
    expect(numbers).to_be_visible()  # what was unfolded stays so
    page.locator("#explain input").uncheck()
    expect(page.locator("#departs")).to_be_hidden()
    for place in ("#reading", "#numbers"):
        expect(page.locator(place)).not_to_contain_text("photo")


def test_a_setting_asks_the_server_for_the_painting_and_for_nothing_else(page, photo_file, pipeline):
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    page.wait_for_timeout(1000)  # what follows a photo is over
    asked = []
    page.on("request", lambda request: asked.append(request.post_data) if "/queue/join" in request.url else None)
    set_number(page, "strength", 40)
    shows(page, pipeline(photo_file, "red", strength=0.4))
    page.wait_for_timeout(1000)
    assert len({json.loads(sent)["fn_index"] for sent in asked}) == 1 and len(asked) <= 2  # typed, and left


# ---------------------------------------------------------------- bad input


def test_what_is_no_picture_gets_one_sentence_and_the_next_photo_is_painted(page, tmp_path, photo_file):
    (tmp_path / "text.jpg").write_text("this is no photo")
    add(page, tmp_path / "text.jpg")
    says(page, re.compile(r"^The picture [^.]*\.$"))
    expect(page.get_by_test_id("toast-body")).to_contain_text(message(page).inner_text())
    expect(page.locator("#download")).to_be_disabled()
    page.locator("#photo").get_by_label("Remove Image").click()
    says(page, "An example: Red. Add a photo of yours.")
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")


def test_without_a_photo_the_example_stands_in_for_it_and_is_not_taken_home(page):
    says(page, "An example. Add a photo of yours.")
    expect(page.locator("#painting img").last).to_be_visible()
    page.locator("#styles").get_by_text("Blue", exact=True).click()
    says(page, "An example: Blue. Add a photo of yours.")
    expect(page.locator("#download")).to_be_disabled()


def test_a_click_while_the_slider_moves_by_itself_is_not_lost(page):
    says(page, "An example. Add a photo of yours.")
    page.wait_for_timeout(2500)  # the slider has shown that it can be moved; later, where the machine is busy
    page.wait_for_function(
        """() => {
            const now = performance.now(), position = painter.position()
            if (position !== window.stood?.position) window.stood = {position, since: now}
            return now - window.stood.since > 1000
        }"""
    )
    page.evaluate("() => { painter.slideTo(0.3); document.querySelectorAll('#styles label')[1].click() }")
    page.wait_for_function("() => Math.abs(painter.position() - 0.3) < 0.02")
    says(page, "An example: Blue. Add a photo of yours.")


def test_a_program_without_a_photo_is_told_so(address):
    client = Client(address, verbose=False, analytics_enabled=False)
    with pytest.raises(Exception, match="There is no photo yet: add one first"):
        client.predict(photo=None, style="red", api_name="/preview")


def test_a_photo_that_is_too_small_gets_the_least_size_said(page, tmp_path):
    Image.new("RGB", (15, 40)).save(tmp_path / "small.png")
    add(page, tmp_path / "small.png")
    says(page, "The photo is 15x40 pixels: the least that can be painted is 16x16.")


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_its_window_and_shows_samples(page, photo_file, width):
    page.set_viewport_size({"width": width, "height": 844})
    sample = "e => getComputedStyle(e, '::before').backgroundImage"
    assert page.locator("#styles label").nth(0).evaluate(sample).startswith('url("data:image/webp;base64,')
    assert page.locator("#styles label").nth(1).evaluate(sample) == "none"  # this style has no sample
    add(page, photo_file)
    says(page, "Red, 80 × 96 pixels.")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_page_speaks_chinese_to_those_who_do(browser, address):
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#download")).to_have_text("下载")
    expect(page.locator("h1")).to_have_text("照片变画作")
    expect(page.locator("#limits")).to_contain_text("50 MB")
    context.close()


# ---------------------------------------------------------------- programs


@pytest.mark.slow
def test_the_calls_shown_do_what_the_page_does(page, photo_file, pipeline, pack, tmp_path):
    page.locator("#styles").get_by_text("Blue", exact=True).click()
    set_number(page, "strength", 50)
    page.locator("#program > button").click()
    code = page.locator("#code-python .cm-content")
    expect(code).to_contain_text("strength=0.5")
    expect(code).to_contain_text("style='blue'")
    shutil.copy(photo_file, tmp_path / "photo.jpg")
    (tmp_path / "call.py").write_text(code.inner_text() + "\nprint(painting)\n")
    done = subprocess.run([sys.executable, "call.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    painting = done.stdout.splitlines()[-1]
    assert_alike(pixels(painting), pixels(pipeline(photo_file, "blue", strength=0.5)))
    shell = page.locator("#code-shell .cm-content").inner_text()
    (tmp_path / pack.parent.name).symlink_to(pack.parent)
    (tmp_path / "call.sh").write_text(shell.replace("python", sys.executable, 1))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(["sh", "call.sh"], cwd=tmp_path, env=environment, check=True, timeout=240)
    assert_alike(pixels(tmp_path / "painting.png"), pixels(pipeline(photo_file, "blue", strength=0.5)))


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_call_shown_for_curl_works(address, photo_file, tmp_path):
    shutil.copy(photo_file, tmp_path / "photo.jpg")
    settings = {"style": "blue", "strength": 1, "brush_size": 1, "keep_colors": True, "second": "", "second_share": 0.5}
    settings |= {"third": "", "third_share": 0.5, "mask": None, "file_format": "JPEG"}
    call = curl_call(address, settings)
    done = subprocess.run(["bash", "-c", call], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "event: complete" in done.stdout and "photo-blue.jpg" in done.stdout, done


def test_every_endpoint_names_its_parameters(address):
    client = Client(address, verbose=False, analytics_enabled=False)
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert sorted(endpoints) == ["/every_style", "/explain", "/paint", "/paint_all", "/preview", "/styles"]
    assert all(told["description"] for told in endpoints.values())
    settings = ["style", "strength", "brush_size", "keep_colors", "second", "second_share", "third", "third_share"]
    names = {name: [each["parameter_name"] for each in told["parameters"]] for name, told in endpoints.items()}
    assert names["/paint"] == ["photo", *settings, "mask", "file_format"]
    assert names["/paint_all"] == ["photos", *settings, "mask", "file_format"]
    assert names["/preview"] == names["/explain"] == ["photo", *settings, "mask"]
    assert names["/every_style"] == ["photo"]
    assert [style["key"] for style in client.predict(api_name="/styles")["styles"]] == ["red", "blue"]


def test_a_program_can_give_a_mask(address, photo_file, tmp_path, pipeline):
    client = Client(address, download_files=tmp_path, verbose=False, analytics_enabled=False)
    mask = Image.new("L", (80, 96))
    mask.paste(255, (40, 0, 80, 96))
    mask.save(tmp_path / "mask.png")
    photo, given = handle_file(photo_file), handle_file(tmp_path / "mask.png")
    painting, _ = client.predict(photo=photo, style="red", mask=given, api_name="/paint")
    assert_alike(pixels(painting), pixels(pipeline(photo_file, "red", mask=mask)))


@pytest.mark.parametrize("setting", [{"strength": 2}, {"brush_size": 0}, {"second": "green"}, {"file_format": "EXE"}])
def test_a_wrong_setting_is_told_in_a_sentence(address, photo_file, setting):
    client = Client(address, verbose=False, analytics_enabled=False)
    with pytest.raises(Exception, match=r"(Strength|brush size|no style|no format)"):
        client.predict(photo=handle_file(photo_file), style="red", **setting, api_name="/paint")


def test_a_program_can_paint(address, photo_file, pipeline, tmp_path):
    client = Client(address, download_files=tmp_path, verbose=False, analytics_enabled=False)
    painting, about = client.predict(photo=handle_file(photo_file), style="blue", strength=0.5, api_name="/paint")
    assert_alike(pixels(painting), pixels(pipeline(photo_file, "blue", strength=0.5)))
    assert about == "Blue, 80 × 96 pixels."
    with pytest.raises(Exception, match="There is no style 'green': choose from red, blue"):
        client.predict(photo=handle_file(photo_file), style="green", strength=1, api_name="/paint")


def test_a_large_photo_is_told_how_large_it_prints(address, photo, tmp_path):
    photo.resize((2400, 1200)).save(tmp_path / "large.jpg")
    client = Client(address, download_files=tmp_path, verbose=False, analytics_enabled=False)
    told = client.predict(photo=handle_file(tmp_path / "large.jpg"), style="red", api_name="/preview")[1]
    assert told.startswith("Red, 2400 × 1200 pixels. Prints sharply up to 20 × 10 cm.")  # 300 dots per inch


def test_a_program_is_told_of_a_painting_and_of_every_style(address, photo_file, photo, pipeline, tmp_path):
    client = Client(address, download_files=tmp_path, verbose=False, analytics_enabled=False)
    numbers, departs, doubted = client.predict(photo=handle_file(photo_file), style="red", api_name="/explain")
    assert set(numbers) == {"kept", "nearer", "grid"}
    assert numbers["kept"] == pytest.approx(luminance_ssim(*tensors(photo_file, pipeline(photo_file, "red"))), abs=1e-3)
    assert Image.open(departs).size == photo.size[::-1] and doubted is None  # this pack carries no discriminator
    untouched, _, _ = client.predict(photo=handle_file(photo_file), style="red", strength=0, api_name="/explain")
    assert untouched["kept"] == pytest.approx(1, abs=1e-6)
    pictures = client.predict(photo=handle_file(photo_file), api_name="/every_style")
    for style, shown in zip(("red", "blue"), pictures, strict=True):
        assert shown["caption"] == style
        near = np.abs(pixels(pipeline(photo_file, style)) - np.asarray(Image.open(shown["image"]).convert("RGB")))
        assert near.mean() < JPEG_LEVELS
    with pytest.raises(Exception, match="There is no style 'green': choose from red, blue"):
        client.predict(photo=handle_file(photo_file), style="green", api_name="/explain")


def tensors(*pictures):
    return [picture_to_tensor(load_picture(picture).rgb) for picture in pictures]


def test_a_file_of_the_server_that_nobody_uploaded_is_not_painted(address, pack):
    settings = ["red", 1, 1, False, "", 0.5, "", 0.5, None, "PNG"]

    def answer(photo):  # gradio_client would upload the file first
        call = urllib.request.Request(
            f"{address}gradio_api/call/paint",
            json.dumps({"data": [photo, *settings]}).encode(),
        )
        call.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(call) as reply:
            event = json.load(reply)["event_id"]
        with urllib.request.urlopen(f"{address}gradio_api/call/paint/{event}") as reply:
            return reply.read().decode()

    server_file = {"path": str(pack / "samples" / "red.webp")}
    for photo in ({**server_file, "meta": {"_type": "gradio.FileData"}}, server_file):
        reply = answer(photo)
        assert "event: error" in reply
        assert ".png" not in reply


@pytest.mark.slow
def test_a_pack_that_cannot_be_read_is_said_in_one_sentence(tmp_path):
    environment = {**os.environ, "STYLETRANSFER_PACK": str(tmp_path / "nowhere")}
    done = subprocess.run(
        [sys.executable, ROOT / "app.py"], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: There is no style pack at ")
    assert "Traceback" not in done.stderr
