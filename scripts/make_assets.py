"""Draw the pictures by which other sites show the page: its icon as PNG, and the preview for links to it.

python scripts/make_assets.py
"""

import math
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.images.files import load_picture
from styletransfer.page.texts import ENGLISH
from styletransfer.paths import SHIPPED_PACK
from styletransfer.pipeline import StyleTransferPipeline

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets"
ICON_SIDE = 192  # pixels
SIZE = (1200, 630)  # what Open Graph asks for
PHOTO, STYLE = "coffee.jpg", "starry-night"
INK, PAPER = (20, 30, 59), (251, 249, 245)


def main() -> None:
    """Write assets/icon.png and assets/preview.jpg."""
    ASSETS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        flags = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": ICON_SIDE, "height": ICON_SIDE})
        page.set_content(f"<style>*{{margin: 0}}</style>{(ASSETS / 'icon.svg').read_text()}")
        page.screenshot(path=ASSETS / "icon.png", omit_background=True)
        browser.close()
    preview().save(ASSETS / "preview.jpg", quality=72, optimize=True, progressive=True)


def preview() -> Image.Image:
    """A photo that turns into a painting from left to right, with the page's title."""
    photo = ImageOps.fit(load_picture(ROOT / "examples" / PHOTO).rgb, SIZE, Image.Resampling.LANCZOS)
    painting = StyleTransferPipeline.from_pretrained(SHIPPED_PACK, device="cpu")(photo, STYLE)
    picture = Image.composite(painting, photo, _painted_part())
    band = Image.new("L", SIZE)
    ImageDraw.Draw(band).rectangle((0, SIZE[1] - 132, *SIZE), fill=225)
    picture.paste(INK, mask=band)
    draw = ImageDraw.Draw(picture)
    draw.text((48, SIZE[1] - 104), ENGLISH["title"], fill=PAPER, font=ImageFont.load_default(64))
    return picture


def _painted_part() -> Image.Image:
    """A mask, white where the painting shows; its edge looks like broad brush strokes."""
    mask = Image.new("L", SIZE)
    draw = ImageDraw.Draw(mask)
    for row, top in enumerate(range(-20, SIZE[1], 42)):
        start = 400 + 70 * math.sin(row * 2.1) + 20 * math.sin(row * 5.3)
        draw.rounded_rectangle((start, top, SIZE[0] + 60, top + 60), radius=30, fill=255)
    return ImageChops.lighter(mask, mask.filter(ImageFilter.GaussianBlur(1.5)))


if __name__ == "__main__":
    main()
