"""Train a style in about two minutes on two cores, offline, from the example photos and a painting drawn by code.

Style and content are measured with untrained filters, which need no download and still respond to colors and fine
strokes. For a real style, use a real painting and leave out `--style-network-weights` and `--content-network-weights`.
"""

import math
import random
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "runs" / "train-demo"
PALETTE = ("#12263f", "#1f4e79", "#2d7d9a", "#e8b04a", "#f3e3b3", "#c8553d")
SETTINGS = """
    --steps 240 --batch-size 4 --crop-size 128 --photo-scale 1 2 --painting-size 384 --loss-margin 16
    --channels 32 --blocks 4 --discriminator-channels 16
    --style-network vgg16 --style-network-weights random --style-layers relu1_1 relu1_2 relu2_1
    --content-network squeezenet1_1 --content-network-weights random --content-layers relu1 fire3
    --content-loss-weight 2 --learning-rate 4e-3 --warmup-steps 20
    --log-every 20 --sample-every 60 --checkpoint-every 120 --tracker none --cpu
""".split()


def draw_painting(side: int = 512, strokes: int = 2600, seed: int = 7) -> Image.Image:
    """A square picture of short strokes in six colors that follow a swirl, so that the style is easy to recognize."""
    rng = random.Random(seed)
    painting = Image.new("RGB", (side, side), PALETTE[0])
    pen = ImageDraw.Draw(painting)
    for _ in range(strokes):
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        angle = math.atan2(y - side / 2, x - side / 2) + math.pi / 2 + 0.6 * math.sin(x / 60)
        half = rng.uniform(8, 22)
        ends = [(x - half * math.cos(angle), y - half * math.sin(angle))]
        ends.append((x + half * math.cos(angle), y + half * math.sin(angle)))
        pen.line(ends, fill=rng.choice(PALETTE), width=rng.randint(3, 6))
    return painting


def main() -> int:
    """Draw the painting, train, and print where the pack and its pictures are; returns the training's exit code."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    painting = OUTPUT / "painting.png"
    draw_painting().save(painting)
    sources = [
        "--photos",
        str(ROOT / "examples"),
        "--style",
        f"swirl={painting}",
        "--title",
        "swirl=Swirl, drawn by code",
    ]
    command = [sys.executable, str(ROOT / "train_accelerate.py"), *sources, "--output-dir", str(OUTPUT), *SETTINGS]
    print("painting to learn from:", painting)
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        print("samples during the training:", *sorted((OUTPUT / "samples").glob("*.png")), sep="\n  ")
        print("use the pack: python -m styletransfer PHOTO --pack", OUTPUT / "pack", "--style swirl -o out.png")
    return code


if __name__ == "__main__":
    sys.exit(main())
