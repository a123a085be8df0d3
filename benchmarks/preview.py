"""How much a preview and its full-size file look alike: LPIPS between the preview and the file, reduced to its size.

    python benchmarks/preview.py --network-weights FILE --lpips-weights FILE > preview.md

The photos are the examples, enlarged to 12 megapixels with a sensor's noise; each is painted in another style.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.evaluation.metrics import Lpips
from styletransfer.images.files import fit_long_side, load_picture, picture_to_tensor
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import SCREEN_SIDE

ROOT = Path(__file__).resolve().parent.parent
PAIRS = {
    "coffee": "starry-night",
    "pagoda": "great-wave",
    "cat": "the-scream",
    "astronaut": "mosaic",
    "rocket": "wheat-field",
}
PIXELS = 12_000_000
NOISE = 3.0  # levels: deviation of the sensor's noise


def large(photo: Image.Image) -> Image.Image:
    """The photo as a camera of 12 megapixels would have it, without its details."""
    scale = (PIXELS / (photo.width * photo.height)) ** 0.5
    enlarged = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
    noise = np.random.default_rng(0).normal(0, NOISE, (enlarged.height, enlarged.width, 3))
    return Image.fromarray((np.asarray(enlarged) + noise).clip(0, 255).astype(np.uint8))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network-weights", type=Path, required=True, help="SqueezeNet 1.1, as `evaluate` takes it")
    parser.add_argument("--lpips-weights", type=Path, required=True, help="its heads, as `evaluate` takes them")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="folder for the pictures, to look at")
    args = parser.parse_args()
    lpips = Lpips(args.network_weights, args.lpips_weights)
    print("| photo, style | preview and file | preview and photo |\n|---|---:|---:|")
    for name, style in PAIRS.items():
        photo = large(load_picture(ROOT / "examples" / f"{name}.jpg").rgb)
        pipeline = StyleTransferPipeline.from_pretrained(ROOT / "styles" / style, device="cpu")
        preview = pipeline(fit_long_side(photo, SCREEN_SIDE), style)
        file = pipeline(photo, style)
        small = [picture_to_tensor(each.resize(preview.size, Image.Resampling.LANCZOS)) for each in (file, photo)]
        with torch.inference_mode():
            apart = [lpips(picture_to_tensor(preview), each).item() for each in small]
        print(f"| {name}, {style} | {apart[0]:.3f} | {apart[1]:.3f} |", flush=True)
        if args.save:
            file.save(args.save / f"{name}-file.png")
            preview.save(args.save / f"{name}-preview.png")


if __name__ == "__main__":
    main()
