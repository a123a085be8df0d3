"""What every test may ask for: a photo, a painting's file, a small pack; no network, few threads."""

import os
import shutil
import tempfile

# Set before torch, gradio or huggingface_hub are imported, since they read these once; started programs inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))

# Checkpoints and packs are flushed to the disk, hundreds of times in these tests: in memory that takes no time. Nothing
# is tested less by it, since what is tested is the death of a process, not of the machine.
os.environ.setdefault(
    "PYTEST_DEBUG_TEMPROOT",  # where pytest makes its folders
    "/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 4 << 30 else tempfile.gettempdir(),
)

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

if TYPE_CHECKING:
    from fake_hub.server import Hub
    from playwright.sync_api import Browser

pytest.register_assert_rewrite("page_kit", "painting_kit", "training_kit")  # their asserts tell what they compared, too

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera, whose picture is a clock
    "--use-fake-ui-for-media-stream",
]

# Small pictures gain nothing from more threads, and sums come out the same on machines of any size.
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"].split(",")[0]))


@pytest.fixture
def photo() -> Image.Image:
    """A sky with a sun over a field, 96 wide and 80 high, "RGB": gradients, an edge and fine grain, as a photo has."""
    width, height, horizon = 96, 80, 48
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    sky = np.stack([90 + y, 140 + y, 235 - y / 2], axis=-1)
    field = np.stack([60 + x / 2, 150 - (y - horizon), 50 + 10 * np.sin(x / 3)], axis=-1)
    pixels = np.where((y < horizon)[..., None], sky, field)
    pixels[(x - 70) ** 2 + (y - 18) ** 2 < 81] = (250, 230, 140)
    pixels += np.random.default_rng(0).normal(0, 4, pixels.shape)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


@pytest.fixture
def painting_file(tmp_path: Path) -> Path:
    """A PNG, 128 wide and 112 high, of broad curved strokes in four colors."""
    y, x = np.mgrid[0:112, 0:128].astype(np.float64)
    palette = np.array([[24, 38, 92], [52, 96, 168], [226, 178, 64], [236, 226, 190]], dtype=np.uint8)
    strokes = 1.5 + np.sin(x / 9 + 3 * np.sin(y / 21)) + 0.5 * np.sin(y / 4 + x / 15)
    path = tmp_path / "painting.png"
    Image.fromarray(palette[strokes.round().clip(0, 3).astype(int)]).save(path)
    return path


@pytest.fixture
def tiny_pack(tmp_path: Path) -> Path:
    """The folder of a pack with two styles, "red" and "blue", whose small generator was never trained."""
    from small_generators import random_generator

    folder = tmp_path / "tiny-pack"
    random_generator({"red": "Red", "blue": "Blue"}, channels=8, blocks=1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Hub"]:
    """A loopback Hub for the tests of a file."""
    from fake_hub.server import hub

    with hub(tmp_path_factory.mktemp("hub") / "hub") as server:
        yield server


@pytest.fixture
def hub(running: "Hub") -> "Hub":
    """The Hub, with nothing going wrong and nothing served so far."""
    running.heal()
    running.served.clear()
    return running


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        executable = shutil.which("chromium")  # None: Playwright's own
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def red_arguments(tiny_pack, tmp_path):
    """Of a photo's name in the test's folder: what the command is told to paint it in red into out.png there."""

    def arguments(photo):
        return [str(tmp_path / photo), "--style", "red", "-o", str(tmp_path / "out.png"), "--pack", str(tiny_pack)]

    return arguments
