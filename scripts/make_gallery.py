"""The picture at the top of the README: the example photos in every style of a pack.

python scripts/make_gallery.py styles/first docs/gallery.jpg
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.images import load_picture, save_picture
from styletransfer.pipeline import StyleTransferPipeline

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIDE = 360  # pixels, of each picture
GAP = 6


def main(pack: str, output: str) -> None:
    """One row per example photo: the photo, then its painting in every style."""
    pipeline = StyleTransferPipeline.from_pretrained(pack)
    photos = [load_picture(path).rgb for path in sorted(EXAMPLES.glob("*.jpg"))]
    size = (len(pipeline.styles) + 1) * (SIDE + GAP) - GAP, len(photos) * (SIDE + GAP) - GAP
    gallery = Image.new("RGB", size, "white")
    for row, photo in enumerate(photos):
        # Painted at the size of a screen, then shown smaller: that is what a visitor sees.
        square = ImageOps.fit(photo, (512, 512))
        for column, picture in enumerate([square, *(pipeline(square, style) for style in pipeline.styles)]):
            place = column * (SIDE + GAP), row * (SIDE + GAP)
            gallery.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), place)
    save_picture(gallery, output)


if __name__ == "__main__":
    main(*sys.argv[1:3])
