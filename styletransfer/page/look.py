"""The look of the page: colors, sizes, and the pictures on the style cards."""

import base64
import contextlib
import html
import io
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import gradio as gr
from cachetools import FIFOCache
from PIL import Image, ImageOps

from styletransfer.catalog import StyleCard
from styletransfer.errors import InputError
from styletransfer.images.files import load_picture
from styletransfer.page.studio import Studio
from styletransfer.page.texts import chinese_note, chinese_title, scripted

STATIC = Path(__file__).parent / "static"
SWATCH_SIZE = 240  # pixels; shown at half of it, for dense screens

# Warm paper, ink, and the ultramarine of a paint box. System fonts: the page loads nothing from elsewhere.
PAPER = gr.themes.Color(
    "#fbf9f5",
    "#f5f1ea",
    "#e9e3d8",
    "#d8d0c2",
    "#a9a194",
    "#736d64",
    "#5a554e",
    "#423e39",
    "#2b2926",
    "#211f1d",
    "#171614",
)
ULTRAMARINE = gr.themes.Color(
    "#f0f3fb",
    "#dfe6f6",
    "#c2cfee",
    "#9db1e2",
    "#7f97d6",
    "#3a57a6",
    "#2f4890",
    "#283d7a",
    "#223364",
    "#1d2b53",
    "#141e3b",
)
DETAIL = (
    0.16,
    0.04,
    0.74,
    0.62,
)  # of a sample, as shares of its sides: a whole picture made small shows no strokes
KEPT_PREVIEWS = 64  # photos, each with a small picture in every style
WAITING = 4  # photos at most; more of them, and the server has other things to do
PATIENCE = 2.0  # seconds that one style waits for the paintings of others
PAUSE = 0.02


def theme() -> gr.Theme:
    """Colors, fonts and sizes."""
    return gr.themes.Base(
        primary_hue=ULTRAMARINE,
        neutral_hue=PAPER,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_800",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_label_text_color="*neutral_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_600",
        checkbox_background_color_selected="*primary_600",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        color_accent="*primary_600",
    )


def page_css() -> str:
    """The style sheet of the page."""
    return (STATIC / "page.css").read_text(encoding="utf-8")


def page_script() -> str:
    """What runs in the browser, as a statement that makes `window.painter`."""
    script = (STATIC / "page.js").read_text(encoding="utf-8")
    return script.replace('"{TEXTS}"', json.dumps(scripted(), ensure_ascii=False))


def card_pictures(styles: Mapping[str, StyleCard], previews: Mapping[str, Image.Image] | None = None) -> str:
    """HTML that puts a picture on each style's radio button, in their order, and tells the script of the painters.

    The pictures stand inside, so that no address can break; every text is a stranger's and written in escapes.

    Args:
        styles: key -> card.
        previews: pictures to show in place of samples.
    """
    rules = []
    for position, (key, card) in enumerate(styles.items(), start=1):
        picture = previews.get(key) if previews else None
        data = _as_data(picture) if picture else _sample(card)
        if data:
            rules.append(f"#styles label:nth-of-type({position})::before {{background-image: url({data}) !important}}")
    notes = html.escape(json.dumps([_told(card) for card in styles.values()]))
    return f'<style>{" ".join(rules)}</style><div id="card-notes" hidden data-notes="{notes}"></div>'


def _told(card: StyleCard) -> dict[str, str]:
    """Painter and year by language, and whatever else a style may be found by."""
    short = short_note(card)
    titles = f"{card.title} {chinese_title(card.title)}"
    return {"en": short, "zh": chinese_note(short), "found": f"{titles} {card.note}"}


def short_note(card: StyleCard) -> str:
    """Painter and year of a note like "Vincent van Gogh, The Starry Night, 1889; public domain"."""
    parts = [part.strip() for part in card.note.partition(";")[0].split(",")]
    dated = parts[-1:] if len(parts) > 1 and any(c.isdigit() for c in parts[-1]) else []
    return ", ".join(part for part in [parts[0], *dated] if part != card.title)[:80]


_samples: dict[StyleCard, str] = {}  # a card never changes, and many visitors ask for it


def _sample(card: StyleCard) -> str:
    if card not in _samples:
        _samples[card] = swatch(card)
    return _samples[card]


def swatch(card: StyleCard) -> str:
    """The address, with the picture inside, of what a card shows of its sample; empty where there is none."""
    try:
        return _as_data(_detail(load_picture(card.sample).rgb)) if card.sample else ""
    except InputError:  # a style without its picture is still a style
        return ""


def _detail(picture: Image.Image) -> Image.Image:
    left, top, right, bottom = DETAIL
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


def swatch_file(sample: Image.Image) -> bytes:
    """What a card shows of a sample, as WebP: a part of it, where strokes are large enough to be seen."""
    return _as_file(_detail(sample))


def _as_data(picture: Image.Image) -> str:
    return f"data:image/webp;base64,{base64.b64encode(_as_file(picture)).decode('ascii')}"


def _as_file(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    ImageOps.fit(picture, (SWATCH_SIZE, SWATCH_SIZE)).save(file, "WEBP", quality=80)
    return file.getvalue()


class QuietPreviews:
    """Small paintings of a photo in every style, one photo at a time, while nobody waits for a painting."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._working = threading.Lock()
        self._places = threading.BoundedSemaphore(WAITING)
        # Read without the lock, so nothing may move when it is read, as in an LRUCache.
        self._kept: FIFOCache[tuple[Path, int], dict[str, Image.Image]] = FIFOCache(KEPT_PREVIEWS)

    def of(self, photo: Path) -> dict[str, Image.Image] | None:
        """Style key -> picture, or None where too many wait already.

        Args:
            photo: whose name stands for its content.

        Raises:
            InputError: it cannot be read, or a pack cannot be loaded.
        """
        key = photo, self.studio.catalog.version
        with contextlib.suppress(KeyError):
            return self._kept[key]
        if not self._places.acquire(blocking=False):
            return None
        try:
            with self._working:
                self._kept[key] = previews = self._made(photo)
                return previews
        finally:
            self._places.release()

    def _made(self, photo: Path) -> dict[str, Image.Image]:
        steps = self.studio.in_every_style(photo)
        while True:
            self._wait_for_others()
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    def _wait_for_others(self) -> None:
        end = time.monotonic() + PATIENCE
        while self.studio.quiet_seconds == 0 and time.monotonic() < end:
            time.sleep(PAUSE)
