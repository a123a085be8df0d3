"""The app that most tests of the page share: started once, with a small pack of two styles."""

import os
import socket

import pytest
from page_kit import PATIENCE, start_app
from PIL import Image
from playwright.sync_api import expect
from small_generators import random_generator


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    """A pack of two styles that paint differently, one of them with a sample picture."""
    folder = tmp_path_factory.mktemp("packs") / "two-styles"
    random_generator({"red": "Red", "blue": "Blue"}, channels=8, blocks=1).save_pretrained(folder)
    (folder / "samples").mkdir()
    Image.new("RGB", (64, 48), "orange").save(folder / "samples" / "red.webp")
    return folder


@pytest.fixture(scope="session")
def outside():
    """A door that every request of the app to the outside would knock at; at the end: none has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture(scope="session")
def address(pack, outside, tmp_path_factory):
    """Where the app answers."""
    environment = {**os.environ, "STYLETRANSFER_PACK": str(pack)}
    environment.pop("GRADIO_ANALYTICS_ENABLED")  # the app itself has to keep quiet
    environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), f"http://127.0.0.1:{outside.getsockname()[1]}")
    environment["NO_PROXY"] = "127.0.0.1,localhost"
    yield from start_app(tmp_path_factory.mktemp("app"), environment)


@pytest.fixture
def open_page(browser, address):
    """Opens the page in a window of its own, of the size and with the choices that `browser.new_context` takes."""
    contexts = []

    def opened(size=(1440, 900), **choices):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **choices)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#painting [data-testid=slider]")).to_have_attribute("role", "slider")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder of what Gradio hands out, empty."""
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder
