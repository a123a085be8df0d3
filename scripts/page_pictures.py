"""Take the screenshots of docs/page.md: start the page, paint example photos, save docs/page-*.jpg.

python scripts/page_pictures.py
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
PATIENCE = 120  # seconds


@dataclass(frozen=True)
class View:
    """A screenshot: the window, what is done in it first, and the element to which the page is then scrolled."""

    name: str
    width: int
    height: int
    colors: str
    language: str
    prepare: Callable[[Page], None]
    top: str | None = None


def main() -> None:
    """Save one JPEG per view."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as files:
        environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": files}
        app = subprocess.Popen([sys.executable, ROOT / "app.py"], env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}/", app)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                for view in VIEWS:
                    _photograph(browser, f"http://127.0.0.1:{port}/", view)
                browser.close()
        finally:
            app.terminate()
            app.wait(30)


def _wait_for(url: str, app: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and app.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit("error: The page does not answer.")


def _photograph(browser: Browser, url: str, view: View) -> None:
    size = {"width": view.width, "height": view.height}
    context = browser.new_context(viewport=size, color_scheme=view.colors, locale=view.language)
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(f"{url}?__theme={view.colors}")
    view.prepare(page)
    page.wait_for_timeout(3000)  # smooth scrolling ends, pictures fade in
    if view.top:
        page.evaluate(
            "top => window.scrollBy(0, document.querySelector(top).getBoundingClientRect().top - 12)", view.top
        )
        page.wait_for_timeout(500)
    picture = ROOT / "docs" / f"{view.name}.png"
    page.screenshot(path=picture)
    Image.open(picture).convert("RGB").save(picture.with_suffix(".jpg"), quality=85)
    picture.unlink()
    context.close()


def _painted(page: Page, photo: str = "coffee.jpg", style: str | None = None) -> None:
    if style:
        page.locator(f"#styles label:has(input[value='{style}'])").click()
    page.locator("#photo input[type=file]").set_input_files(ROOT / "examples" / photo)
    page.locator("#message").get_by_text("×").wait_for()


def _every_style(page: Page) -> None:
    _painted(page)
    page.wait_for_timeout(15_000)  # every style is painted on the cards by itself


def _part(page: Page) -> None:
    _painted(page, "cat.jpg", "blue-horses")
    page.locator("#more > button").click()
    page.locator("#part input").check()
    canvas = page.locator("#canvas canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(3000)  # the canvas does not tell when it is ready
    box = canvas.bounding_box()
    for row in range(7, 14):
        y = box["y"] + box["height"] * row / 20
        page.mouse.move(box["x"] + box["width"] * 0.5, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, y, steps=4)
        page.mouse.up()
    page.wait_for_timeout(8000)  # until the painting has followed the last stroke


def _explained(page: Page) -> None:
    _painted(page, "pagoda.jpg", "monet")
    page.locator("#explain input").check()
    page.wait_for_selector("#departs img")


def _many(page: Page) -> None:
    page.get_by_role("tab").nth(1).click()
    page.locator("#photos input[type=file]").set_input_files(sorted((ROOT / "examples").glob("*.jpg")))
    page.locator("#photos").get_by_text("rocket").wait_for()
    page.locator("#paint-all").click()
    page.locator("#report").get_by_text("5 / 5").wait_for()


DESK, PHONE = (1440, 900), (390, 844)
VIEWS = (
    View("page-desk", *DESK, "light", "en", _every_style, "body"),
    View("page-phone", *PHONE, "dark", "en", _every_style),
    View("page-part", *PHONE, "light", "en", _part, "#part"),
    View("page-explain", *DESK, "dark", "zh-CN", _explained, "#explain"),
    View("page-many", *PHONE, "light", "en", _many, "#photos"),
)


if __name__ == "__main__":
    main()
