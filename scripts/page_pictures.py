"""Photograph the page for the README: start it, paint an example photo, save docs/page-*.jpg.

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
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
VIEWS = {"page-desk": (1440, 900, "light"), "page-phone": (390, 844, "dark")}
PATIENCE = 120  # seconds


def main() -> None:
    """Write one JPEG for each view."""
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
                for name, view in VIEWS.items():
                    _photograph(browser, f"http://127.0.0.1:{port}/", name, *view)
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
    sys.exit("error: the page does not answer")


def _photograph(browser: Browser, url: str, name: str, width: int, height: int, colors: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colors)
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.goto(f"{url}?__theme={colors}")
    page.locator("#photo input[type=file]").set_input_files(ROOT / "examples" / "coffee.jpg")
    page.wait_for_selector("#painting img")
    page.locator("#suits").click()
    page.wait_for_function("document.querySelector('#card-pictures').textContent.length > 0")
    page.wait_for_timeout(3000)  # smooth scrolling ends, pictures fade in
    if width > 600:
        page.evaluate("window.scrollTo(0, 0)")
    picture = ROOT / "docs" / f"{name}.png"
    page.screenshot(path=picture)
    Image.open(picture).convert("RGB").save(picture.with_suffix(".jpg"), quality=85)
    picture.unlink()
    context.close()


if __name__ == "__main__":
    main()
