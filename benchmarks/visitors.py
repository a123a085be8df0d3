"""Load the page with many visitors at once, then with many paintings in a row: count failures and wrong pictures,
and measure memory.

python benchmarks/visitors.py --visitors 40 --seconds 90 --paintings 1000
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from page import served
from PIL import Image

STRENGTH = 0.3  # so that a painting still shows which photo it was made from
SETTLED = 50  # paintings before memory is measured for the first time


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=40, help="number of visitors at the same time")
    parser.add_argument("--seconds", type=float, default=90, help="seconds for which the visitors paint")
    parser.add_argument(
        "--paintings", type=int, default=1000, help="number of paintings in a row, for the measurement of memory"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(GRADIO_TEMP_DIR=f"{folder}/files") as (address, process):
        styles = [style["key"] for style in Client(address, verbose=False).predict(api_name="/styles")["styles"]]
        rows = crowd(address, Path(folder), styles, options.visitors, options.seconds)
        rows += soak(address, process, Path(folder), styles, options.paintings)
    print(f"{os.cpu_count()} CPU cores.\n\n| what | measured |\n|---|---:|")
    for what, measured in rows:
        print(f"| {what} | {measured} |")


def own_photo(number: int, folder: Path) -> Path:
    """The file of a photo that differs from all others."""
    grid = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = folder / f"photo-{number}.png"
    Image.fromarray(grid).resize((320, 240), Image.Resampling.BICUBIC).save(file)
    return file


def crowd(address: str, folder: Path, styles: list[str], visitors: int, seconds: float) -> list[tuple[str, str]]:
    """Rows of the table: visitors add their photos and go through the styles until their time is over."""
    photos = [own_photo(number, folder) for number in range(visitors)]
    known = np.stack([cells(photo) for photo in photos])
    seconds_each: list[float] = []
    busy, failed, wrong = [], [], []
    end = time.monotonic() + seconds

    def visit(visitor: int) -> None:
        try:
            client = Client(address, download_files=folder / str(visitor), verbose=False, analytics_enabled=False)
            turn = visitor
            while time.monotonic() < end:
                turn, began = turn + 1, time.monotonic()
                style = styles[turn % len(styles)]
                pictures = client.predict(
                    photo=handle_file(photos[visitor]), style=style, strength=STRENGTH, api_name="/preview"
                )[0]
                seconds_each.append(time.monotonic() - began)
                nearest = int(np.argmax((known * cells(pictures[1])).sum(1)))
                if nearest != visitor:
                    wrong.append((visitor, nearest))
        except Exception as error:  # every kind of failure is counted
            (busy if "queue" in str(error).lower() and "full" in str(error).lower() else failed).append(str(error))

    threads = [threading.Thread(target=visit, args=(visitor,)) for visitor in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failed[:5]:
        print(error, file=sys.stderr)
    return [
        (f"paintings of {visitors} visitors in {seconds:.0f} s", str(len(seconds_each))),
        ("seconds until a painting came, median", f"{statistics.median(seconds_each):.1f}"),
        ("told that the page is busy", str(len(busy))),
        ("failed otherwise", str(len(failed))),
        ("wrong pictures", str(len(wrong))),
    ]


def cells(picture: str | Path) -> np.ndarray:
    """Standardized gray levels of 8 x 6 cells (48,), by which paintings of the same photo are recognized."""
    small = np.asarray(Image.open(picture).convert("L").resize((8, 6), Image.Resampling.BOX), dtype=float).ravel()
    return (small - small.mean()) / (np.linalg.norm(small - small.mean()) + 1e-9)


def soak(
    address: str, process: subprocess.Popen, folder: Path, styles: list[str], paintings: int
) -> list[tuple[str, str]]:
    """Rows of the table: photos of many sizes, each painted once, the styles in turn."""
    client = Client(address, download_files=folder / "soak", verbose=False, analytics_enabled=False)
    sizes = np.random.default_rng(0).integers(64, 640, (paintings, 2))
    settled = 0
    for number, size in enumerate(sizes):
        photo = folder / "soak.png"
        grid = np.random.default_rng([1, number]).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(grid).resize(tuple(map(int, size)), Image.Resampling.BICUBIC).save(photo)
        endpoint = "/paint" if number % 4 == 0 else "/preview"
        client.predict(photo=handle_file(photo), style=styles[number % len(styles)], api_name=endpoint)
        if number + 1 == SETTLED:
            settled = resident(process)
    grown = resident(process) - settled
    return [
        (f"resident memory after {SETTLED} paintings", f"{settled >> 20} MB"),
        (f"growth of it until {paintings} paintings", f"{grown >> 20} MB"),
    ]


def resident(process: subprocess.Popen) -> int:
    """The process's resident memory, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) * 1024


if __name__ == "__main__":
    main()
