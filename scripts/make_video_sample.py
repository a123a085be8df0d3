"""Make the moving picture of the README: a slow look over a photo, beside its painting.

python scripts/make_video_sample.py docs/video.webp
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from styletransfer.images.files import load_picture
from styletransfer.moving.steady import SteadyPainter
from styletransfer.paths import ROOT
from styletransfer.pipeline import StyleTransferPipeline

SIZE, FRAMES, MILLISECONDS = (416, 312), 40, 80


def looks(photo: np.ndarray) -> list[np.ndarray]:
    """Frames of a camera that goes nearer, a little to the side and back again, so that the picture has no end."""
    fit = min(photo.shape[1] / SIZE[0], photo.shape[0] / SIZE[1])
    frames = []
    for index in range(FRAMES):
        swing = np.sin(2 * np.pi * index / FRAMES)
        zoom = fit * (0.84 - 0.06 * np.cos(2 * np.pi * index / FRAMES))
        x, y = photo.shape[1] * (0.5 + 0.05 * swing), photo.shape[0] * (0.5 + 0.03 * swing)
        onto = np.float64([[zoom, 0, x - zoom * SIZE[0] / 2], [0, zoom, y - zoom * SIZE[1] / 2]])
        blurred = cv2.GaussianBlur(photo, (0, 0), max(0.3, 0.4 * zoom))
        frames.append(cv2.warpAffine(blurred, onto, SIZE, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))
    return frames


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--photo", type=Path, default=ROOT / "examples" / "pagoda.jpg")
    parser.add_argument("--style", default="starry-night")
    options = parser.parse_args()
    pipeline = StyleTransferPipeline.from_pretrained()
    painter = SteadyPainter(pipeline.parts({options.style: 1.0}), SIZE)
    frames = looks(np.asarray(load_picture(options.photo).rgb))
    for frame in frames[-4:]:  # so that the first frame continues the last
        painter.paint(frame)
    sheets = [Image.fromarray(np.hstack([frame, painter.paint(frame)])) for frame in frames]
    rest = {"save_all": True, "append_images": sheets[1:], "duration": MILLISECONDS, "loop": 0}
    sheets[0].save(options.output, "WEBP", quality=55, method=4, **rest)


if __name__ == "__main__":
    main()
