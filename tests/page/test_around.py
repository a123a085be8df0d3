"""360-degree pictures on the page: painted, looked round in by drag, keys and fingers, taken home as what they are."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from page_kit import PATIENCE, is_elsewhere, open_tab
from PIL import Image
from playwright.sync_api import expect
from sphere_kit import photo_sphere

from styletransfer.page.tabs.files import STATIC, VIEWER
from styletransfer.results import read_settings
from styletransfer.surround.gpano import is_equirectangular, packet, panorama_properties
from styletransfer.surround.sphere import view

pytestmark = pytest.mark.slow


@pytest.fixture
def panorama(tmp_path):
    photo_sphere(512).save(tmp_path / "hill.jpg", quality=95, xmp=packet({"PoseHeadingDegrees": "12"}, (512, 256)))
    return tmp_path / "hill.jpg"


def paint(page, file):
    open_tab(page, "360°")
    look = page.locator("#look")
    page.locator("#around-photo input[type=file]").set_input_files(file)
    expect(page.locator("#around-photo")).to_contain_text(file.stem)
    page.locator("#around-paint").click()
    expect(look).to_have_attribute("data-shows", "painting", timeout=PATIENCE)
    return look


def direction(look):
    return tuple(float(look.get_attribute(f"data-{name}")) for name in ("yaw", "pitch", "angle"))


def seen(look):
    """The pixels of the canvas."""
    return np.asarray(Image.open(io.BytesIO(look.locator("canvas").screenshot())).convert("RGB")).astype(int)


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_a_visitor_paints_all_around_and_looks_round(open_page, address, panorama, size):
    page = open_page(size)
    strangers = []
    page.on("request", lambda request: strangers.append(request.url) if is_elsewhere(request.url, address) else None)
    look = paint(page, panorama)
    expect(page.locator("#around-says")).to_contain_text("Red, 512 × 256 pixels.")
    yaw, pitch, angle = direction(look)
    assert (yaw, pitch) == (0, 0)
    ahead = seen(look)
    box = look.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 100, middle[1] + 50, steps=4)
    page.mouse.up()
    dragged = direction(look)
    assert dragged[0] > 10 and dragged[1] > 5  # what was to the right and above has come
    assert np.abs(seen(look) - ahead).mean() > 5
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    keyed = direction(look)
    assert (round(keyed[0] - dragged[0]), round(keyed[1] - dragged[1])) == (-8, -8)
    page.keyboard.press("+")
    assert direction(look)[2] < angle
    for _ in range(20):
        page.keyboard.press("ArrowUp")
    assert direction(look)[1] == 90
    assert strangers == []


def test_what_is_seen_ahead_is_the_middle_of_the_picture_the_right_way_round(open_page, panorama):
    page = open_page()
    look = paint(page, panorama)
    look.get_by_role("button", name="Photo").click()
    expect(look).to_have_attribute("data-shows", "photo")
    page.evaluate("document.querySelector('#look .tools').style.display = 'none'")
    picture = seen(look)
    height, width = picture.shape[:2]
    angle = 2 * math.atan(math.tan(math.radians(direction(look)[2]) / 2) * width / height)
    square = view(np.asarray(Image.open(panorama)), 0, 0, width, angle).astype(int)
    expected = square[(width - height) // 2 :][:height]
    assert np.abs(picture - expected).mean() < 12 < np.abs(picture - expected[:, ::-1]).mean()


def test_a_finger_turns_and_two_fingers_zoom_on_a_phone(browser, address, panorama):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    look = paint(page, panorama)
    expect(look.get_by_role("button", name="Turn with the device")).to_be_visible()
    touch = """(canvas, [type, id, x, y]) => canvas.dispatchEvent(new PointerEvent(type, {pointerId: id, clientX: x,
      clientY: y, pointerType: "touch", bubbles: true}))"""
    canvas = look.locator("canvas")
    page.evaluate("HTMLElement.prototype.setPointerCapture = () => {}")  # made-up fingers cannot be captured
    for step in (("pointerdown", 7, 200, 200), ("pointermove", 7, 120, 200)):
        canvas.evaluate(touch, step)
    assert direction(look)[0] > 10
    angle = direction(look)[2]
    for step in (("pointerdown", 8, 220, 200), ("pointermove", 8, 320, 200)):
        canvas.evaluate(touch, step)
    assert direction(look)[2] < angle
    context.close()


def test_the_device_turns_the_view(browser, address, panorama):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    look = paint(page, panorama)
    look.get_by_role("button", name="Turn with the device").click()
    turned = (
        "([alpha, beta, gamma]) => dispatchEvent(new DeviceOrientationEvent('deviceorientation', {alpha, beta, gamma}))"
    )
    page.evaluate(turned, [0, 90, 0])  # upright in the hand
    assert direction(look)[:2] == (0, 0)
    page.evaluate(turned, [330, 90, 0])  # turned to the right by 30 degrees
    assert direction(look)[:2] == (30, 0)
    page.evaluate(turned, [330, 120, 0])  # and tilted up
    assert direction(look)[1] == 30
    context.close()


def test_the_download_has_its_full_size_its_settings_and_what_viewers_look_for(open_page, panorama):
    page = open_page()
    paint(page, panorama)
    with page.expect_download() as waiting:
        page.locator("#around-download").click()
    file = Path(waiting.value.path())
    with Image.open(file) as image:
        properties = panorama_properties(image.info["xmp"])[0]
        assert image.size == (512, 256)
    assert is_equirectangular(properties)
    assert properties["PoseHeadingDegrees"] == "12"
    assert read_settings(file)["panorama"] is True


def test_what_is_no_sphere_is_refused_in_a_sentence(open_page, photo, tmp_path):
    page = open_page()
    open_tab(page, "360°")
    photo.save(tmp_path / "flat.png")
    page.locator("#around-photo input[type=file]").set_input_files(tmp_path / "flat.png")
    expect(page.locator("#around-photo")).to_contain_text("flat")
    page.locator("#around-paint").click()
    expect(page.locator("#around-says")).to_contain_text("96x80 pixels: a 360-degree picture is twice as wide as high.")
    expect(page.locator("#around-download")).to_be_disabled()


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_axe_finds_nothing_in_either_tab_and_nothing_is_wider_than_the_screen(open_page, panorama, size):
    page = open_page(size)
    paint(page, panorama)
    for tab in ("360°", "Camera"):
        open_tab(page, tab)
        page.wait_for_timeout(500)
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_viewer_is_small_and_carries_the_licence_of_three():
    content = (STATIC / VIEWER).read_text(encoding="utf-8")
    assert len(content.encode()) < 700_000
    assert "three.js authors" in content and "Permission is hereby granted" in content
