"""Measure how fast the server of the page starts, paints a phone's photo, and follows each setting.

python benchmarks/page.py > benchmarks/page.md
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.catalog import shipped_catalog
from styletransfer.page.look import card_pictures
from styletransfer.page.requests import save_preview
from styletransfer.page.session import SCREEN_SIDE, Session
from styletransfer.page.studio import Limits, Studio
from styletransfer.paths import SHIPPED_PACK
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings
from styletransfer.steps import drained

ROOT = Path(__file__).resolve().parent.parent
PHONE = (4000, 3000)
RUNS = 10


def main() -> None:
    """Print a table in Markdown."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    torch.set_num_threads(2)
    pipeline = StyleTransferPipeline.from_pretrained(SHIPPED_PACK.parent / "compositions")
    first, second = list(pipeline.styles)[:2]
    with tempfile.TemporaryDirectory() as folder:
        photo = phone_photo(Path(folder) / "phone.jpg")
        pipeline(Image.new("RGB", (SCREEN_SIDE, SCREEN_SIDE * 3 // 4)), first)  # the first call prepares kernels
        rows = [("cold start to the page's answer", [cold_start()])]
        rows.append(
            ("12-megapixel JPEG to its painting on screen", timed(lambda _: show(Session(photo), pipeline, first)))
        )
        session = Session(photo)
        mask = Image.linear_gradient("L").point(lambda level: 255 * (level > 128))
        show(session, pipeline, first)
        turns: list[tuple[str, Callable[[int], object]]] = [
            ("strength", lambda run: show(session, pipeline, first, strength=(run + 1) / 20)),
            ("the photo's colors", lambda _: show(session, pipeline, first, keep_colors=True)),
            ("mask, new each time", lambda run: show(session, pipeline, first, mask=mask.rotate(run))),
            ("larger brush", lambda run: show(session, pipeline, first, brush_size=1.5 + run / 10)),
            ("smallest brush", lambda run: show(session, pipeline, first, brush_size=0.7 + run / 1000)),
            ("mix of two", lambda run: show(session, pipeline, {first: 1.0, second: 0.5 + run / 100})),
        ]
        rows += [(name, timed(turn)) for name, turn in turns]
        rows.append(in_every_style(photo))
    print(
        f"Seconds of {torch.get_num_threads()} threads, torch {torch.__version__}, screen size {SCREEN_SIDE} pixels.\n"
    )
    print("| what | median | fastest |\n|---|---:|---:|")
    for name, times in rows:
        print(f"| {name} | {statistics.median(times):.3f} | {min(times):.3f} |")


def show(session: Session, pipeline: StyleTransferPipeline, style: str | dict[str, float], **turn: Any) -> str:
    """Do what the server does for one answer: paint, and save the painting for the browser; returns the file."""
    return save_preview(session.render(pipeline, PaintSettings(style, **turn)), "benchmark")


def in_every_style(photo: Path) -> tuple[str, list[float]]:
    """Name and seconds of painting a new photo, small, in every style that ships, for the style cards."""
    studio = Studio(shipped_catalog(), Limits())
    styles = studio.catalog.styles
    for key in styles:  # loading a pack happens once, and is not what is measured
        studio.catalog.pipeline({key: 1.0})

    def visit(run: int) -> str:
        copy = photo.with_stem(f"{photo.stem}-{run}")  # new to the page in each run
        shutil.copy(photo, copy)
        return card_pictures(styles, drained(studio.in_every_style(copy)))

    return f"the same photo small in all {len(styles)} styles", timed(visit)


def timed(turn: Callable[[int], object]) -> list[float]:
    """Seconds of each run; `turn` gets the number of the run."""
    times = []
    for run in range(RUNS):
        start = time.perf_counter()
        turn(run)
        times.append(time.perf_counter() - start)
    return times


def phone_photo(file: Path) -> Path:
    """A JPEG of twelve megapixels with grain."""
    photo = Image.open(ROOT / "examples" / "coffee.jpg").resize(PHONE, Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).integers(-6, 7, (*PHONE[::-1], 1))
    Image.fromarray((np.asarray(photo) + grain).clip(0, 255).astype(np.uint8)).save(file, quality=92)
    return file


def cold_start() -> float:
    """Seconds from `python app.py` to the first answer, imports included."""
    start = time.perf_counter()
    with served():
        return time.perf_counter() - start


@contextmanager
def served(**environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Start the page with these environment variables; yields its address and process, and stops it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), **environment}
    app = subprocess.Popen([sys.executable, ROOT / "app.py"], env=environment, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        while not answers(address):
            if app.poll() is not None:
                raise RuntimeError("The page does not start.")
            time.sleep(0.05)
        yield address, app
    finally:
        app.terminate()
        app.wait(30)


def answers(address: str) -> bool:
    """Whether a server answers at this address."""
    try:
        urllib.request.urlopen(address, timeout=60).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
