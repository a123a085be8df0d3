"""Measure 360-degree pictures, stereo pairs and the live camera: `docs/moving.md` has what came out.

python benchmarks/panorama.py strokes --width 1536 --styles starry-night wheat-field points
python benchmarks/panorama.py seams --width 1536
python benchmarks/panorama.py memory --width 8192
python benchmarks/panorama.py look --width 2048 --output views.png
"""

import argparse
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

# Runs from a clone that was never installed; and what makes pictures for the tests makes them here, too.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sphere_kit import even_sphere, photo_sphere, wave_number

from styletransfer.cli.paint import main as run_command
from styletransfer.moving.panorama import paint_panorama
from styletransfer.moving.sphere import view
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import SCREEN_SIDE

PITCHES = (90, 60, 40, 20, 0)
GB = 1e9


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("strokes", "seams", "memory", "look"))
    parser.add_argument("--width", type=int, default=1536, help="of the picture, in pixels")
    parser.add_argument("--styles", nargs="*", default=["starry-night"])
    parser.add_argument("--output", type=Path, default=Path("views.png"))
    options = parser.parse_args()
    {"strokes": strokes, "seams": seams, "memory": memory, "look": look}[options.what](options)


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


if __name__ == "__main__":
    main()
