"""How steady painted videos are: camera moves over real photos, whose flow is known exactly, painted in three ways.

    python benchmarks/moving.py --frames 24 > benchmarks/moving.md

Warping error: mean difference, in levels, between a frame and the one before moved by the known flow. Sharpness:
deviation of the Laplacian. Brushwork is measured as `evaluate` does.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean

import cv2
import numpy as np
import torch
from PIL import Image

from styletransfer.evaluation.brushwork import DEEP_LAYERS, EARLY_LAYERS, BrushworkMeter, calm_places
from styletransfer.images.files import fit_long_side, load_picture, picture_to_tensor
from styletransfer.models.features import Features
from styletransfer.moving.steady import USUAL_STEADINESS, SteadyPainter
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings

ROOT = Path(__file__).resolve().parent.parent
EDGE = 24  # pixels of the border that are not compared: what comes into view there was never painted
NOISE = 4.0  # levels: deviation of a sensor's noise
MOVES = ("still", "pan", "zoom", "turn", "walk")
View = np.ndarray  # (3, 3): from a pixel of the view to its place in the photo


def view(move: str, time_: float, photo: tuple[int, int], size: tuple[int, int]) -> View:
    """Where the camera looks after so many frames; it starts in the middle of the photo and sees most of it."""
    fit = 0.8 * min(photo[0] / size[0], photo[1] / size[1])
    middle = np.float64([[1, 0, photo[0] / 2], [0, 1, photo[1] / 2], [0, 0, 1]])
    zoom, angle, shift = fit, 0.0, (0.0, 0.0)
    if move == "pan":
        shift = (1.37 * fit * time_, 0.43 * fit * time_)
    elif move == "zoom":
        zoom = fit * 0.994**time_
    elif move == "turn":
        angle = np.radians(0.35 * time_)
    elif move == "walk":  # a hand that shakes, and goes forward
        shift = (4 * fit * np.sin(0.7 * time_), 3 * fit * np.sin(1.1 * time_ + 1))
        zoom, angle = fit * 0.998**time_, np.radians(0.8 * np.sin(0.5 * time_))
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    turn = np.float64([[c, -s, shift[0]], [s, c, shift[1]], [0, 0, 1]])
    return middle @ turn @ np.float64([[1, 0, -size[0] / 2], [0, 1, -size[1] / 2], [0, 0, 1]])


def filmed(photo: np.ndarray, move: str, count: int, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, View]]:
    """Frames (H, W, 3) uint8 of a camera's move over a photo, with the noise of a sensor, and their views."""
    random = np.random.default_rng(0)
    blurred = cv2.GaussianBlur(photo, (0, 0), 0.35 * min(photo.shape[1] / size[0], photo.shape[0] / size[1]))
    for index in range(count):
        looks = view(move, index, photo.shape[1::-1], size)
        frame = cv2.warpAffine(
            blurred, looks[:2], size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
        noisy = frame + random.normal(0, NOISE, frame.shape)
        yield noisy.round().clip(0, 255).astype(np.uint8), looks


def warping_error(frames: list[np.ndarray], views: list[View]) -> float:
    """Mean difference in levels between each frame and the one before, moved by the known flow."""
    errors = []
    for before, now, old, new in zip(frames, frames[1:], views, views[1:], strict=False):
        onto = np.linalg.inv(old) @ new
        size = now.shape[1::-1]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(before.astype(np.float32), onto[:2], size, flags=flags)
        valid = cv2.warpAffine(np.ones(now.shape[:2], np.uint8), onto[:2], size, flags=cv2.WARP_INVERSE_MAP) == 1
        valid[:EDGE] = valid[-EDGE:] = valid[:, :EDGE] = valid[:, -EDGE:] = False
        errors.append(float(np.abs(moved - now)[valid].mean()))
    return mean(errors)


def sharpness(frame: np.ndarray) -> float:
    """Deviation of the Laplacian, in levels, without the border."""
    return float(cv2.Laplacian(frame.astype(np.float32), cv2.CV_32F)[EDGE:-EDGE, EDGE:-EDGE].std())


def ways(
    pipeline: StyleTransferPipeline, style: str, size: tuple[int, int], steadiness: float
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Name -> what paints one frame after the other."""
    settings = PaintSettings(style)
    steady = SteadyPainter(pipeline.parts(settings.mix), size, settings.stroke_scale(size), steadiness)
    return {
        "source": lambda frame: frame,
        "frame by frame": lambda frame: np.asarray(pipeline(Image.fromarray(frame), settings)),
        "steady": steady.paint,
    }


def _brushwork(options: argparse.Namespace, painted: np.ndarray, photo: np.ndarray) -> str:
    """The brushwork of a painted frame, as `evaluate` measures it; nothing where no painting is given."""
    if not options.painting:
        return ""
    cpu = torch.device("cpu")
    vgg = Features("vgg19", EARLY_LAYERS, weights=options.style_network_weights)
    squeezenet = Features("squeezenet1_1", DEEP_LAYERS, weights=options.content_network_weights)
    meter = BrushworkMeter(vgg, squeezenet, cpu)
    painting = picture_to_tensor(fit_long_side(load_picture(options.painting).rgb, photo.shape[1]))
    target = meter.target(painting)
    pictures = [picture_to_tensor(Image.fromarray(values)) for values in (photo, painted)]
    before, after = (meter.distances(picture, target, calm_places(pictures[0])) for picture in pictures)
    closed = before.closed(after)
    return ", ".join(f"{closed[name]:.2f}" for name in ("strokes", "flat", "deep"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="*", default=[ROOT / "examples" / "pagoda.jpg"])
    parser.add_argument("--styles", nargs="+", default=["starry-night", "points", "ink"])
    parser.add_argument("--moves", nargs="+", default=MOVES)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--steadiness", type=float, default=USUAL_STEADINESS)
    parser.add_argument("--keep", type=Path, help="folder for the last frames")
    parser.add_argument("--painting", type=Path, help="of the style, to measure the last frame's brushwork against")
    parser.add_argument("--style-network-weights", type=Path, help="of VGG-19, for --painting")
    parser.add_argument("--content-network-weights", type=Path, help="of SqueezeNet, for --painting")
    options = parser.parse_args()
    size = (options.width, round(options.width * 9 / 32) * 2)
    pipeline = StyleTransferPipeline.from_pretrained()
    print(f"{options.frames} frames, {size[0]}x{size[1]}, noise {NOISE:g}, steadiness {options.steadiness:g}.\n")
    print(
        "| photo | style | move | way | warping error | of frame by frame | sharpness | last to first | CPU ms "
        "| strokes, flat, deep |"
    )
    print("|---|---|---|---|---:|---:|---:|---:|---:|---|")
    for path in options.photos:
        photo = np.asarray(load_picture(path).rgb)
        for style in options.styles:
            for move in options.moves:
                _measure(options, pipeline, size, (path, photo), style, move)


def _measure(
    options: argparse.Namespace,
    pipeline: StyleTransferPipeline,
    size: tuple[int, int],
    named: tuple[Path, np.ndarray],
    style: str,
    move: str,
) -> None:
    frames, views = zip(*filmed(named[1], move, options.frames, size), strict=True)
    usual = None
    for way, paint in ways(pipeline, style, size, options.steadiness).items():
        started = time.process_time()
        painted = [paint(frame) for frame in frames]
        took = 1000 * (time.process_time() - started) / len(frames)
        error = warping_error(painted, views)
        usual = error if way == "frame by frame" else usual
        share = f"{error / usual:.0%}" if usual else ""
        sharp = [sharpness(frame) for frame in (painted[0], painted[-1])]
        brushwork = _brushwork(options, painted[-1], frames[-1])
        row = [named[0].stem, style, move, way, f"{error:.2f}", share, f"{sharp[1]:.1f}", f"{sharp[1] / sharp[0]:.2f}"]
        print("| " + " | ".join([*row, f"{took:.0f}", brushwork]) + " |", flush=True)
        if options.keep:
            options.keep.mkdir(exist_ok=True)
            name = f"{named[0].stem}-{style}-{move}-{way.replace(' ', '-')}"
            Image.fromarray(painted[-1]).save(options.keep / f"{name}.png")


if __name__ == "__main__":
    main()
