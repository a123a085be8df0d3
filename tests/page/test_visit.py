"""The page as a first-time visitor meets it, and what a visit leaves to go back to: in real Chromium."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_kit import add, open_more, says, set_number
from playwright.sync_api import expect

SIZES = {"desk": (1440, 900), "tablet": (820, 1180), "phone": (390, 844)}
FINGERTIP = 40  # pixels
NEEDED = ("#painting", "#photo", "#examples", "#styles", "#strength input[type=range]", "#download")


@pytest.fixture
def photo_file(tmp_path, photo):
    photo.resize((480, 400)).save(tmp_path / "beach.png")
    return tmp_path / "beach.png"


def in_window(page, selector):
    box = page.locator(selector).first.bounding_box()
    return box and box["y"] >= -1 and box["y"] + min(box["height"], 60) <= page.viewport_size["height"] + 1


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_first_screen_shows_a_painting_and_all_that_is_needed(open_page, size):
    page = open_page(size)
    assert page.locator("#painting .slider-wrap img").count() == 2
    page.wait_for_function("[...document.querySelectorAll('#painting img')].every(i => i.naturalWidth > 0)")
    assert [selector for selector in NEEDED if not in_window(page, selector)] == []


def test_the_slider_moves_once_by_itself_unless_that_is_not_wanted(open_page):
    watch = "async () => { const seen = []; for (let i = 0; i < 60; i++) { seen.push(painter.position());"
    watch += "await new Promise(r => setTimeout(r, 50)) } return Math.max(...seen) - Math.min(...seen) }"
    assert open_page().evaluate(watch) > 0.2
    still = open_page(reduced_motion="reduce")
    still.wait_for_function("[...document.querySelectorAll('#painting img')].every(i => i.naturalWidth > 0)")
    assert still.evaluate(watch) < 0.02  # a late font may still widen the page


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_painting_stays_on_the_screen_while_anything_is_turned(open_page, photo_file, size):
    page = open_page(size)
    add(page, photo_file)
    says(
        page,
        "Red, 480 × 400 pixels. The photo is blurred, so there are few edges for strokes to follow: a sharper "
        "copy helps.",
    )
    open_more(page)
    page.locator("#third-share").scroll_into_view_if_needed()
    assert in_window(page, "#painting")


def test_every_style_of_the_own_photo_comes_on_the_cards_by_itself(open_page, photo_file):
    page = open_page()
    add(page, photo_file)
    painted = "getComputedStyle(document.querySelectorAll('#styles label')[1], '::before').backgroundImage"
    page.wait_for_function(f"{painted}.startsWith('url(\"data:image')")


def test_the_slider_is_moved_by_keys(open_page):
    page = open_page(reduced_motion="reduce")
    slider = page.locator("#painting [role=slider]")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "12")
    page.wait_for_function("0.1 < painter.position() && painter.position() < 0.14")  # once it is drawn there


def test_paintings_are_gone_back_to_and_a_reload_keeps_photo_settings_and_strip(open_page, photo_file):
    page = open_page()
    add(page, photo_file)
    strip = page.locator("#strip button")
    expect(strip).to_have_count(1)
    set_number(page, "strength", 60)
    expect(strip).to_have_count(2)
    page.locator("#undo").click()
    expect(page.locator("#strength input[type=number]")).to_have_value("100")
    page.locator("#redo").click()
    expect(page.locator("#strength input[type=number]")).to_have_value("60")
    page.wait_for_timeout(1500)
    page.reload()
    expect(page.locator("#strength input[type=number]")).to_have_value("60")
    expect(page.locator("#photo img").first).to_be_visible()
    expect(page.locator("#download")).to_be_enabled()
    expect(strip).to_have_count(2)
    page.evaluate("sessionStorage.clear()")


def test_a_photo_dropped_anywhere_replaces_the_one_that_is_there(open_page, photo_file, tmp_path, photo):
    page = open_page()
    add(page, photo_file)
    expect(page.locator("#download")).to_be_enabled()
    data = page.evaluate_handle(
        "async () => { const canvas = document.createElement('canvas'); canvas.width = 64; canvas.height = 48;"
        "const blob = await new Promise(resolve => canvas.toBlob(resolve)); const moved = new DataTransfer();"
        "moved.items.add(new File([blob], 'night.png', {type: 'image/png'})); return moved }"
    )
    page.locator("h1").dispatch_event("drop", {"dataTransfer": data})
    expect(page.locator("#message")).to_contain_text("64 × 48")


@pytest.mark.slow  # it needs a quiet machine: under load the painting follows before its answer is held
def test_a_painting_is_asked_for_by_hand_only_where_it_did_not_follow(open_page, photo_file):
    page = open_page()
    paint = page.locator("#paint")
    add(page, photo_file)
    expect(page.locator("#download")).to_be_enabled()
    expect(paint).to_be_hidden()
    held = []
    page.route(
        "**/queue/join*", lambda route: held.append(route)
    )  # the server does not answer, and the visitor has enough of it
    set_number(page, "strength", 60)
    page.locator("#cancel").click()
    expect(paint).to_be_visible()
    page.wait_for_timeout(1500)  # whatever else follows the change is held, too, and does not paint it by itself
    before = held[-1]
    page.locator("#paint").click()
    page.wait_for_timeout(500)
    assert held[-1] is not before  # the click has asked, and is the only one to be answered
    held[-1].continue_()
    expect(page.locator("#strip button")).to_have_count(2)
    expect(paint).to_be_hidden()


def test_the_chinese_page_is_chinese_in_its_tab_too(open_page):
    page = open_page(locale="zh-CN")
    expect(page).to_have_title("照片变画作")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


@pytest.mark.parametrize(
    "size",
    [pytest.param(size, marks=[] if name == "phone" else pytest.mark.slow, id=name) for name, size in SIZES.items()],
)
def test_all_that_is_touched_is_as_large_as_a_fingertip(open_page, photo_file, size):
    page = open_page(size, reduced_motion="reduce")
    add(page, photo_file)
    expect(page.locator("#strip button")).to_have_count(1)
    open_more(page)
    small = page.evaluate(
        """least => [...document.querySelectorAll(
            "button, a[href], select, label:has(input), [role=slider], [role=tab], "
            + "input:not([type=radio], [type=checkbox])"
        )].filter(target => {
            const box = target.getBoundingClientRect()
            const shown = target.checkVisibility({opacityProperty: true, visibilityProperty: true}) && !target.disabled
            return shown && box.width > 1 && (box.width < least - 0.5 || box.height < least - 0.5)
        }).map(target => target.outerHTML.slice(0, 160) + JSON.stringify(target.getBoundingClientRect()))""",
        FINGERTIP,
    )
    assert small == []


def test_the_painting_is_copied_as_a_picture(open_page, photo_file):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    expect(page.locator("#copy")).to_be_hidden()
    add(page, photo_file)
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    copied = page.evaluate(
        """async () => {
            const [item] = await navigator.clipboard.read()
            const image = await createImageBitmap(await item.getType("image/png"))
            return [image.width, image.height]
        }"""
    )
    assert copied == [480, 400]


@pytest.mark.slow
def test_the_painting_is_handed_to_the_sheet_of_a_phone(open_page, photo_file):
    page = open_page(SIZES["phone"])
    page.add_init_script(
        "navigator.canShare = () => true;"
        "navigator.share = async ({files}) => { window.shared = [files[0].name, files[0].type, files[0].size] }"
    )
    page.reload()
    add(page, photo_file)
    page.locator("#share").click()
    name, kind, size = page.wait_for_function("window.shared").json_value()
    assert name == "beach-red.jpg" and kind == "image/jpeg" and size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_axe_finds_nothing_of_any_impact(open_page, photo_file, size, scheme, locale):
    page = open_page(size, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    add(page, photo_file)
    expect(page.locator("#download")).to_be_enabled()
    open_more(page)
    page.locator("#program > button").click()
    page.locator("#explain input").check()
    expect(page.locator("#departs img")).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["target"] for node in fault["nodes"]]) for fault in found] == []
