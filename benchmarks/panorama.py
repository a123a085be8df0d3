"""Measure 360-degree pictures, stereo pairs and the live camera: `docs/moving.md` has what came out.

python benchmarks/panorama.py strokes --width 1536 --styles starry-night wheat-field points
python benchmarks/panorama.py seams --width 1536
python benchmarks/panorama.py memory --width 8192
python benchmarks/panorama.py look --width 2048 --output views.png
python benchmarks/panorama.py stereo --styles starry-night great-wave points --output pairs.png
python benchmarks/panorama.py live --seconds 15
python benchmarks/panorama.py page --seconds 20
"""

import argparse
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice, product
from pathlib import Path
from shutil import which

import numpy as np
from page import served
from PIL import Image
from playwright.sync_api import sync_playwright

# Runs from a clone that was never installed; and what makes pictures for the tests makes them here, too.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sphere_kit import even_sphere, photo_sphere, wave_number
from stereo_kit import apart, stereo_pair

from styletransfer.cli.paint import main as run_command
from styletransfer.images.files import load_picture
from styletransfer.moving.live import LivePainter
from styletransfer.paths import EXAMPLES
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import SCREEN_SIDE
from styletransfer.surround.panorama import paint_panorama
from styletransfer.surround.sphere import view
from styletransfer.surround.stereo import paint_stereo

PITCHES = (90, 60, 40, 20, 0)
GB = 1e9


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("strokes", "seams", "memory", "look", "stereo", "live", "page"))
    parser.add_argument("--width", type=int, default=1536, help="of the picture, in pixels")
    parser.add_argument("--styles", nargs="*", default=["starry-night"])
    parser.add_argument("--output", type=Path, default=Path("views.png"))
    parser.add_argument("--seconds", type=float, default=15, help="for which a camera runs")
    options = parser.parse_args()
    globals()[options.what](options)


def as_it_lies(pipeline: StyleTransferPipeline, photo: Image.Image, style: str) -> Image.Image:
    """`--wrap` alone, strokes as wide at the horizon as `--panorama` has them."""
    brush = max(1.0, photo.width / math.pi / SCREEN_SIDE) / max(1.0, photo.width / SCREEN_SIDE)
    return pipeline(photo, style, wrap=True, brush_size=max(0.5, brush))


def strokes(options: argparse.Namespace) -> None:
    """How fine strokes look in views at several pitches, relative to the horizon: 1 is alike, more is finer."""
    pipeline, photo = StyleTransferPipeline.from_pretrained(), even_sphere(options.width)
    print("| style | painted | " + " | ".join(f"{pitch} degrees up" for pitch in PITCHES) + " |")
    for style in options.styles:
        paintings = {"--wrap": as_it_lies(pipeline, photo, style), "--panorama": paint_panorama(pipeline, photo, style)}
        for name, painting in paintings.items():
            fine = [wave_number(painting, pitch) for pitch in PITCHES]
            print(f"| {style} | {name} | " + " | ".join(f"{each / fine[-1]:.2f}" for each in fine) + " |", flush=True)


def seams(options: argparse.Namespace) -> None:
    """What changes from column to column at the seam and from row to row where band and poles meet, against beside."""
    pipeline, photo = StyleTransferPipeline.from_pretrained(), photo_sphere(options.width)
    for style in options.styles:
        painting = np.asarray(paint_panorama(pipeline, photo, style)).astype(int)
        columns = np.abs(painting - np.roll(painting, 1, axis=1)).mean(axis=(0, 2))
        beside = np.r_[columns[-9:], columns[1:10]]
        rows = np.abs(np.diff(painting, axis=0)).mean(axis=(1, 2))
        height = len(painting)
        ring = [slice(round(height * (90 - up) / 180), round(height * (100 - up) / 180)) for up in (41, -31)]
        near = [rows[part.start - height // 18 : part.start] for part in ring]
        near += [rows[part.stop : part.stop + height // 18] for part in ring]
        again = paint_panorama(pipeline, Image.fromarray(np.roll(np.asarray(photo), 777, axis=1)), style)
        apart = np.abs(np.roll(painting, 777, axis=1) - np.asarray(again)).max()
        print(f"{style}: seam {columns[0] / beside.mean():.2f} of beside (from {beside.min() / beside.mean():.2f} to "
              f"{beside.max() / beside.mean():.2f})")  # fmt: skip
        met = np.mean([rows[part].mean() for part in ring])
        print(
            f"{style}: meeting {met / np.concatenate(near).mean():.2f} of beside; rolled by 777: {apart} levels apart"
        )


def memory(options: argparse.Namespace) -> None:
    """The most memory that the command takes beyond the loaded program, and its time."""
    with tempfile.TemporaryDirectory() as folder:
        photo, small, out = (Path(folder) / name for name in ("pano.jpg", "small.jpg", "out.jpg"))
        Image.fromarray(_large(options.width)).save(photo, quality=92)
        photo_sphere(256).save(small)
        command = ["--style", options.styles[0], "-o", str(out), "--panorama"]
        run_command([str(small), *command])  # loads the program and the style
        before, start = _resident(), time.monotonic()
        _forget_peak()
        assert run_command([str(photo), *command]) == 0
        taken = time.monotonic() - start
        assert Image.open(out).size == (options.width, options.width // 2)
        print(f"memory: {(_peak() - before) / GB:.2f} GB beyond {before / GB:.2f} GB; time: {taken:.0f} s")


def _large(width: int) -> np.ndarray:
    small = photo_sphere(2048)
    return np.asarray(small.resize((width, width // 2), Image.Resampling.BICUBIC))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def look(options: argparse.Namespace) -> None:
    """Views of the photo, of `--wrap` and of `--panorama`: up, down, the seam, where band and pole meet."""
    pipeline, photo = StyleTransferPipeline.from_pretrained(), photo_sphere(options.width)
    style = options.styles[0]
    rows = []
    for picture in (photo, as_it_lies(pipeline, photo, style), paint_panorama(pipeline, photo, style)):
        seen = [(0, 90), (0, -90), (180, 0), (34, 38)]
        views = [view(np.asarray(picture), *np.radians(each), 420) for each in seen]
        rows.append(np.concatenate(views, axis=1))
    Image.fromarray(np.concatenate(rows)).save(options.output)


def stereo(options: argparse.Namespace) -> None:
    """How much the eyes of a made pair differ along its known disparity: painted apart, and as a pair."""
    pipeline, (pair, step, seen) = StyleTransferPipeline.from_pretrained(), stereo_pair()
    half, rows = pair.width // 2, [np.asarray(pair)]
    print("| style | painted apart | as a pair | less |")
    for style in options.styles:
        alone = Image.new("RGB", pair.size)
        for left in (0, half):
            alone.paste(pipeline(pair.crop((left, 0, left + half, pair.height)), style), (left, 0))
        alike = paint_stereo(pipeline, pair, style)
        before, after = (apart(each, step, seen) for each in (alone, alike))
        print(f"| {style} | {before:.1f} | {after:.1f} | {1 - after / before:.0%} |", flush=True)
        rows += [np.asarray(alone), np.asarray(alike)]
    Image.fromarray(np.concatenate(rows)).save(options.output)


def frames() -> Iterator[Image.Image]:
    """What a camera of 480x360 pixels sees that is moved to and fro, with its noise."""
    photo, noise = load_picture(EXAMPLES / "pagoda.jpg").rgb, np.random.default_rng(0)
    for number in count():
        across = round(40 + 40 * math.sin(number / 12))
        seen = np.asarray(photo.crop((across, 40, across + 480, 400))) + noise.normal(0, 4, (360, 480, 3))
        yield Image.fromarray(seen.clip(0, 255).astype(np.uint8))


def live(options: argparse.Namespace) -> None:
    """Frames a second, of 480x360 pixels: painted whole and as the camera is, in turn; and what they take of a core."""
    painter, mix = StyleTransferPipeline.from_pretrained().catalog.pipeline({options.styles[0]: 1.0})
    film = list(islice(frames(), 75))
    for turn, name in product((1, 2), ("whole", "adapted")):
        camera = LivePainter(painter, next(iter(mix)))
        if name == "whole":
            camera.scale, camera._adapt = 1.0, lambda seconds: None
        camera.paint(film[0])
        start, used, scales = time.monotonic(), time.process_time(), []
        while time.monotonic() - start < options.seconds:
            camera.paint(film[len(scales) % len(film)])
            scales.append(camera.scale)
        rate = len(scales) / (time.monotonic() - start)
        used = 1000 * (time.process_time() - used) / len(scales)
        scale, load = np.median(scales[len(scales) // 2 :]), os.getloadavg()[0]
        print(
            f"{turn} {name}: {rate:.1f} frames a second, scale {scale}, {used:.0f} ms of a core each, load {load:.1f}"
        )


def page(options: argparse.Namespace) -> None:
    """The page's camera in a browser on the same machine: its own figures after some seconds."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--use-fake-ui-for-media-stream"]
    with tempfile.TemporaryDirectory() as folder, served() as (address, _), sync_playwright() as playwright:
        film = Path(folder) / "film.mjpeg"
        with film.open("wb") as file:
            for frame in islice(frames(), 75):
                frame.resize((640, 480)).save(file, "JPEG", quality=90)
        flags += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=flags)
        visitor = browser.new_context(permissions=["camera"]).new_page()
        visitor.set_default_timeout(120_000)
        visitor.goto(address)
        visitor.get_by_role("tab", name="Camera").click()
        visitor.locator("#camera-start").click()
        visitor.wait_for_function("Number(document.querySelector('#seen').dataset.frames) > 1")
        for _ in range(max(1, int(options.seconds / 5))):
            visitor.wait_for_timeout(5000)
            seen = visitor.evaluate("({...document.querySelector('#seen').dataset})")
            print(seen, f"load {os.getloadavg()[0]:.1f}", flush=True)
        visitor.screenshot(path=options.output)
        browser.close()


if __name__ == "__main__":
    main()
