"""What tests of the page share: the app as a process, the controls of its page, and paintings compared."""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[1]
JPEG_LEVELS = 3.5  # mean difference from the painting itself that a JPEG on the page may have
PATIENCE = 60_000  # milliseconds, for a busy machine
expect.set_options(timeout=PATIENCE)


def start_app(folder, environment):
    """Yield the address of the app, started as people start it but in an empty working folder."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = environment | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "files")}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "app.py"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/", process, folder / "log.txt")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url, process, log):
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the app does not answer:\n{log.read_text()}")


def peak_memory_of_children():
    """The largest resident memory, in bytes, that any process has had which this one started, from /proc."""
    return _largest_of_children("VmHWM")


def memory_of_children():
    """The resident memory, in bytes, of the largest process that this one started, from /proc."""
    return _largest_of_children("VmRSS")


def _largest_of_children(field):
    most = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        except OSError:
            continue
        if int(status["PPid"]) == os.getpid() and field in status:
            most = max(most, int(status[field].split()[0]) * 1024)
    return most


def is_elsewhere(url, address):
    return not url.startswith((address, "data:", "blob:"))


def open_tab(page, name):
    """Open a tab; where the screen is too narrow for it, from the menu that Gradio puts it in."""
    tab = page.get_by_role("tab", name=name, exact=True)
    expect(page.get_by_role("tab").first).to_be_visible()
    page.wait_for_timeout(300)  # it measures the tabs once they are drawn
    if tab.count() and tab.first.is_visible():
        tab.first.click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()


def add(page, file):
    page.locator("#photo input[type=file]").set_input_files(file)


def message(page):
    return page.locator("#message").get_by_role("status")  # Gradio has one of its own, for "Loading"


def says(page, text):
    expect(message(page)).to_have_text(text)


def download(page):
    expect(page.locator("#download")).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as waiting:
        page.locator("#download").click()
    return waiting.value.suggested_filename, pixels(Path(waiting.value.path()))


def pixels(picture):
    image = Image.open(picture) if isinstance(picture, str | Path) else picture
    assert image.format in ("PNG", None)
    return np.asarray(image).astype(int)


def assert_alike(seen, expected):
    """Within one level: sums may come out in another order in another process."""
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).max() <= 1


def shows(page, expected):
    """Wait until the page shows this painting: pictures of settings that were passed through may still arrive."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end:
        source = page.locator("#painting img").last.get_attribute("src")
        seen = np.asarray(Image.open(io.BytesIO(page.request.get(source).body())).convert("RGB"), dtype=float)
        if seen.shape == expected.size[::-1] + (3,) and np.abs(seen - np.asarray(expected)).mean() < JPEG_LEVELS:
            return
        page.wait_for_timeout(100)
    pytest.fail("the page does not show the painting that its controls ask for")


def open_more(page):
    """Open the accordion and wait until the browser has drawn what is in it.

    Gradio builds the controls as it opens and sets their first values frames later. On a loaded machine a brush that
    the test set at once was lost: the download had a brush of 1, to the level.
    """
    page.locator("#more > button").click()
    expect(page.locator("#part input")).to_be_visible()
    page.evaluate("async () => { for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame) }")


def set_number(page, slider, value):
    page.locator(f"#{slider} input[type=number]").fill(str(value))
    page.locator(f"#{slider} input[type=number]").press("Tab")
