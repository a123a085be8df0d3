"""The page in the visitor's language, whole: labels come from the browser, sentences from the server."""

import re

import pytest
from gradio_client import Client, handle_file
from page_kit import add, message, says
from PIL import ImageFilter
from playwright.sync_api import expect

from styletransfer.catalog import shipped_catalog
from styletransfer.page.look import short_note
from styletransfer.page.texts import chinese_note, chinese_title

HAN = re.compile(r"[\u4e00-\u9fff]")
LONG = 180_000  # milliseconds


@pytest.fixture
def blurred(tmp_path, photo):
    photo.resize((400, 320)).filter(ImageFilter.GaussianBlur(3)).save(tmp_path / "blurred.png")
    return tmp_path / "blurred.png"


SAID = {
    "zh-CN": {
        "about": "Red，400 × 320 像素。 照片是模糊的，笔触没有多少边缘可循：换一张更清晰的会更好。",
        "reading": "照片",
        "nothing": "这是示例，请添加您自己的照片。",
        "toast": "没有画成",
        "many": "多张照片",
        "report": re.compile(r"✗ bad\.png: 这张图片不是可以读取的图片：.*。"),
    },
    "en-US": {
        "about": "Red, 400 × 320 pixels. The photo is blurred, so there are few edges for strokes to follow: a sharper "
        "copy helps.",
        "reading": "your photo",
        "nothing": "An example. Add a photo of yours.",
        "toast": "Not painted",
        "many": "Several photos",
        "report": re.compile(r"✗ bad\.png: The picture is not a picture that can be read: .*\."),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("language", "said"), SAID.items())
def test_warnings_numbers_errors_and_reports_are_in_the_visitors_language(open_page, tmp_path, blurred, language, said):
    page = open_page(locale=language)
    says(page, said["nothing"])
    (tmp_path / "none.png").write_text("no picture")
    add(page, tmp_path / "none.png")
    expect(page.get_by_test_id("toast-body")).to_contain_text(said["toast"])
    page.locator("#photo").get_by_role("button").first.click()
    add(page, blurred)
    says(page, said["about"])
    page.locator("#explain input").check()
    expect(page.locator("#reading")).to_contain_text(said["reading"])
    expect(page.locator("#numbers br")).to_have_count(2)  # three lines
    (tmp_path / "bad.png").write_text("no picture")
    page.get_by_role("tab", name=said["many"]).click()
    page.locator("#photos input[type=file]").set_input_files([tmp_path / "bad.png", blurred])
    expect(page.locator("#photos")).to_contain_text("blurred")
    page.locator("#paint-all").click()
    expect(page.locator("#report")).to_contain_text("1 / 2", timeout=LONG)
    expect(page.locator("#report")).to_contain_text(said["report"])
    spoken = [page.locator(place).text_content() for place in ("#report", "#reading", "#numbers", "#message p")]
    assert [bool(HAN.search(text)) for text in spoken] == [language == "zh-CN"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("language", ["zh-CN", "zh-TW", "zh-HK", "zh", "de-DE"])
def test_labels_and_sentences_are_in_the_same_language(open_page, language):
    page = open_page(locale=language)
    page.locator("#styles").get_by_text("Blue", exact=True).click()
    expect(message(page)).to_contain_text("Blue")
    labels, sentence = page.locator("h1").inner_text(), message(page).inner_text()
    assert bool(HAN.search(labels)) == bool(HAN.search(sentence)), (labels, sentence)


@pytest.mark.parametrize("card", shipped_catalog().styles.values(), ids=lambda card: card.key)
def test_title_and_painter_of_every_style_that_ships_are_there_in_chinese(card):
    for text in (chinese_title(card.title), chinese_note(short_note(card))):
        assert HAN.search(text) and not re.search("[A-Za-z]", text), text


def test_programs_get_english_unless_they_send_chinese(address, blurred):
    client = Client(address, verbose=False, analytics_enabled=False)
    assert client.predict(photo=handle_file(blurred), style="red", api_name="/paint")[1] == "Red, 400 × 320 pixels."
    chinese = Client(address, verbose=False, analytics_enabled=False, headers={"Accept-Language": "zh-CN"})
    assert chinese.predict(photo=handle_file(blurred), style="red", api_name="/paint")[1] == "Red，400 × 320 像素。"
    with pytest.raises(Exception, match="没有 'green' 这种风格"):
        chinese.predict(photo=handle_file(blurred), style="green", api_name="/paint")
