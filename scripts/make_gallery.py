"""Paint the gallery of the README: the example photos in every style of the given packs.

python scripts/make_gallery.py docs/gallery.jpg styles/*
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.images.files import load_picture
from styletransfer.pipeline import StyleTransferPipeline

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIDE = 256  # pixels, of each picture
GAP = 6
LINE = 26  # pixels, of a style's name


def main(output: str, *packs: str) -> None:
    """Save a picture with a row of photos, and below it one row per style: its title and the paintings."""
    photos = [ImageOps.fit(load_picture(path).rgb, (512, 512)) for path in sorted(EXAMPLES.glob("*.jpg"))]
    rows = [("Photos", photos)]
    for pack in packs:
        pipeline = StyleTransferPipeline.from_pretrained(pack)
        # Painted at screen size and then reduced, because strokes of a smaller painting would look too large.
        rows += [(title, [pipeline(photo, name) for photo in photos]) for name, title in pipeline.styles.items()]
    gallery = Image.new("RGB", (len(photos) * (SIDE + GAP) - GAP, len(rows) * (SIDE + LINE + GAP)), "white")
    draw, font = ImageDraw.Draw(gallery), ImageFont.load_default(17)
    for row, (title, pictures) in enumerate(rows):
        top = row * (SIDE + LINE + GAP)
        draw.text((2, top + 3), title, "#333333", font)
        for column, picture in enumerate(pictures):
            small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            gallery.paste(small, (column * (SIDE + GAP), top + LINE))
    gallery.save(output, quality=84)


if __name__ == "__main__":
    main(*sys.argv[1:])
