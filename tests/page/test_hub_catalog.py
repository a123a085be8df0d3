"""The page finds packs on the Hub while it runs: a real Hub over HTTP, `python app.py` as a process, a real browser."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_hub.server import hub as running_hub
from gradio_client import Client, handle_file
from page_kit import PATIENCE, add, assert_alike, download, message, pixels, start_app
from PIL import Image
from playwright.sync_api import expect

from styletransfer.models.generator import Generator
from styletransfer.packs.card import write_card
from styletransfer.packs.contents import PROGRESS
from styletransfer.pipeline import StyleTransferPipeline


def make_pack(folder, seed, **styles):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(styles=styles, channels=8, blocks=1)
        for name, parameter in generator.named_parameters():
            if name.endswith(("scale", "shift")):
                torch.nn.init.normal_(parameter, std=0.5)
    generator.save_pretrained(folder)
    (folder / "samples").mkdir()
    Image.new("RGB", (64, 48), "teal").save(folder / "samples" / f"{next(iter(styles))}.webp")
    write_card(folder)
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    return {
        "shipped": make_pack(folder / "shipped", 0, red="Red", oak="Oak", elm="Elm"),
        "named": make_pack(folder / "named", 1, moss="Moss <b>& stone</b>", fern="Fern"),
        "broken": make_pack(folder / "broken", 3, ash="Ash"),
        "late": make_pack(folder / "late", 2, rust="Rust"),
    }


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub") / "hub") as running:
        yield running


@pytest.fixture(scope="module")
def address(hub, packs, tmp_path_factory):
    """The app, started while the Hub is down."""
    environment = hub.environment() | {
        "STYLETRANSFER_PACK": str(packs["shipped"]),
        "STYLETRANSFER_PACKS": "studio/named, studio/broken",
        "STYLETRANSFER_AUTHORS": "painter",
        "STYLETRANSFER_HUB_SECONDS": "2",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_ETAG_TIMEOUT": "20",
    }
    hub.put("studio/named", files_of(packs["named"]))
    hub.put("studio/broken", files_of(packs["broken"]) | {"config.json": "{}"})
    with hub.down():
        running = start_app(tmp_path_factory.mktemp("app"), environment)
        address = next(running)
        client = Client(address, verbose=False, analytics_enabled=False)
        assert "studio/named" in until(lambda: client.predict(api_name="/styles"), "notes")
        assert [style["key"] for style in client.predict(api_name="/styles")["styles"]] == ["red", "oak", "elm"]
    yield address
    next(running, None)


def until(ask, key):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if found := ask()[key]:
            return str(found)
        time.sleep(0.2)
    pytest.fail(f"no {key}")


@pytest.fixture(scope="module")
def page(browser, address):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    strangers = []
    page.on("request", lambda request: strangers.append(request.url) if outside(request.url, address) else None)
    page.goto(address)
    yield page
    context.close()
    assert strangers == []  # samples come through the app, never from the Hub


def outside(url, address):
    return not url.startswith((address, "data:", "blob:"))


def card(page, title):
    return page.locator("#styles label").filter(has_text=title)


def test_a_pack_of_the_hub_appears_and_paints(page, packs, tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    expect(card(page, "Moss <b>& stone</b>")).to_be_visible()  # as text
    look = "e => getComputedStyle(e, '::before').backgroundImage"
    assert card(page, "Moss").evaluate(look).startswith('url("data:image/webp;base64,')
    card(page, "Moss").click()
    add(page, tmp_path / "photo.png")
    expect(message(page)).to_have_text("Moss <b>& stone</b>, 96 × 80 pixels.")
    name, painting = download(page)
    assert name == "photo-moss.png"
    expected = StyleTransferPipeline.from_pretrained(packs["named"], device="cpu")(photo, "moss")
    assert_alike(painting, pixels(expected))


def test_a_pack_pushed_later_appears_without_a_reload(page, hub, packs):
    hub.put("painter/late", files_of(packs["late"]))
    expect(card(page, "Rust")).to_be_visible()
    card(page, "Rust").click()
    expect(message(page)).to_have_text("Rust, 96 × 80 pixels.")


def test_an_authors_private_and_unfinished_packs_are_left_out(hub, packs, address):
    files = files_of(packs["late"])
    card = Path(files["README.md"]).read_text(encoding="utf-8")
    begun = card.replace("\nstyletransfer:\n", f"\nstyletransfer:\n  {PROGRESS}: step 4 of 20\n")
    assert begun != card
    hub.put("painter/hidden", files, private=True)
    hub.put("painter/begun", {**files, "README.md": begun})
    hub.put("painter/public", files)
    client = Client(address, verbose=False, analytics_enabled=False)
    until(lambda: {"there": "painter/public" in str(client.predict(api_name="/styles"))}, "there")
    packs_shown = {style["pack"] for style in client.predict(api_name="/styles")["styles"]}
    assert "painter/public" in packs_shown and not packs_shown & {"painter/hidden", "painter/begun"}


def test_so_few_styles_need_no_search(page):
    expect(page.locator("#search")).to_be_hidden()


def test_a_broken_pack_says_why_by_its_name_and_is_not_offered_again(page, address, tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    client = Client(address, verbose=False, analytics_enabled=False)
    asked = {"photo": handle_file(tmp_path / "photo.png"), "style": "studio/broken:ash", "api_name": "/paint"}
    expect(card(page, "Ash")).to_be_visible()
    with pytest.raises(Exception, match="studio/broken is not a style pack: its config.json"):
        client.predict(**asked)
    expect(page.locator("#notes")).to_contain_text("studio/broken is not a style pack: its config.json")
    expect(card(page, "Ash")).to_be_hidden()
    time.sleep(5)  # two more looks at the Hub
    with pytest.raises(Exception, match="There is no style 'studio/broken:ash'"):
        client.predict(**asked)
    found = client.predict(api_name="/styles")
    assert "studio/named:moss" in [style["key"] for style in found["styles"]]
    assert len(found["notes"]) == 1 and not re.search(r"/(tmp|home|root|work|dev)/|snapshots", str(found))
    painting, _ = client.predict(photo=handle_file(tmp_path / "photo.png"), style="red", api_name="/paint")
    assert np.asarray(Image.open(painting)).shape == (80, 96, 3)
