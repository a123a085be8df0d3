"""The look of the page: colors, sizes, and the pictures on the style cards."""

import base64
import html
import io
import json
from collections.abc import Mapping

import gradio as gr
from PIL import Image, ImageOps

from styletransfer.catalog import StyleCard
from styletransfer.errors import InputError
from styletransfer.images.files import load_picture

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
CSS = """
.fillable {max-width: 1240px !important}
.dark {--color-accent: var(--primary-300) !important}
footer {display: none !important}
#masthead .html-container, #message .html-container {padding: 0}
#masthead h1 {margin: 0; font-size: clamp(1.75rem, 5vw, 2.5rem); font-weight: 600; line-height: 1.15;
  font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", P052, Georgia, serif}
#masthead p {margin: .3rem 0 0; font-size: 1.05rem; color: var(--body-text-color-subdued)}
.form:has(#styles), #styles {padding: 0; border: 0; background: none; overflow: visible !important; box-shadow: none}
#styles .wrap:last-child {display: grid; grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); gap: 10px;
  max-height: 440px; margin: 0 -5px; padding: 5px; overflow-y: auto}
#styles label {display: flex; flex-direction: column; align-items: stretch; gap: 0; padding: 0; overflow: hidden;
  cursor: pointer; border: 1px solid var(--border-color-primary); background: var(--block-background-fill)}
#styles label::before {content: ""; aspect-ratio: 1; background: var(--neutral-200) center / cover}
#styles label span {margin: 0; padding: 5px 8px 6px; font-size: .8rem; line-height: 1.25}
#styles input {position: absolute; opacity: 0}
#styles label.selected {outline: 3px solid var(--color-accent); color: var(--color-accent); font-weight: 600}
#styles label:has(:focus-visible) {outline: 3px dashed var(--body-text-color)}
#painting .empty {min-height: min(480px, 70vw, 60vh)}
#mask .empty {min-height: 200px}
#styles label span::after {display: block; font-size: .72rem; font-weight: 400; line-height: 1.3;
  max-height: 3.9em; overflow: hidden; color: var(--body-text-color-subdued)}
.form:has(#search) {border: 0; background: none; box-shadow: none}
#search {padding: 0 0 10px; border: 0; background: none}
#search input, #search textarea {background: var(--block-background-fill)}
#styles label[hidden], #card-pictures, #file, #canvas .layer-wrap, .several #paint {display: none}
@media (max-width: 600px) {#styles .wrap:last-child {max-height: 370px}}
#message {min-height: 1.5em}
#message p {margin: 0; line-height: 1.5}
#notes, #limits, #report, #reading {font-size: .85rem; color: var(--body-text-color-subdued)}
"""


# Both run in the browser alone. On a narrow screen the painting appears below what one sees.
SHOW_PAINTING = """() => document.querySelector("#painting").scrollIntoView({behavior: "smooth", block: "nearest"})"""
FILTER_STYLES = """text => {
  const notes = JSON.parse(document.querySelector("#card-notes").dataset.notes)
  const words = text.toLowerCase().split(/\\s+/).filter(Boolean)
  document.querySelectorAll("#styles label").forEach((label, i) => {
    const known = (label.textContent + " " + (notes[i] || "")).toLowerCase()
    label.hidden = !words.every(word => known.includes(word))
  })
}"""
# Gradio leaves the buttons around pictures without a name for those who do not see them: the file's is what there is.
NAME_PICTURES = """() => {
  const name = () => document.querySelectorAll(".gallery-item, .image-container > button").forEach(button => {
    const file = (button.querySelector("img")?.src || "").split("/").pop()
    let text = file
    try { text = decodeURIComponent(file) } catch { /* a percent sign of the name's own */ }
    text = text.replace(/\\.\\w+$/, "") || "photo"
    if (button.getAttribute("aria-label") !== text) button.setAttribute("aria-label", text)
  })
  new MutationObserver(name).observe(document.body, {childList: true, subtree: true, attributeFilter: ["src"]})
  name()
}"""
# Gradio gives every radio button a group of its own, so that arrow keys go nowhere and Tab stops at each.
JOIN_CHOICES = """() => {
  const join = () => document.querySelectorAll("#styles, #format").forEach(group => {
    group.querySelectorAll("input[type=radio]").forEach(choice => {
      if (choice.name !== group.id) choice.name = group.id
    })
    const label = group.querySelector("[data-testid=block-info]")?.textContent.trim()
    if (label && group.getAttribute("aria-label") !== label) {
      group.setAttribute("role", "radiogroup")
      group.setAttribute("aria-label", label)
    }
  })
  new MutationObserver(join).observe(document.body, {childList: true, subtree: true})
  join()
}"""
# Several photos have a button of their own: the one for a single photo would paint something else.
HIDE_PAINT = '() => document.body.classList.add("several")'
SHOW_PAINT = '() => document.body.classList.remove("several")'
SAVE_FILE = """file => {
  if (!file) return
  const link = document.createElement("a")
  link.href = file.url
  link.download = file.orig_name || ""
  link.click()
}"""


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


def card_pictures(styles: Mapping[str, StyleCard], previews: Mapping[str, Image.Image] | None = None) -> str:
    """HTML that puts a picture and a note on each style's radio button, in their order.

    The pictures stand inside, so that no address can break; every text is a stranger's and written in escapes.

    Args:
        styles: key -> card.
        previews: pictures to show in place of samples.
    """
    rules = []
    for position, (key, card) in enumerate(styles.items(), start=1):
        picture = previews.get(key) if previews else None
        data = _as_data(picture) if picture else _sample(card)
        place = f"#styles label:nth-of-type({position})"
        if data:
            rules.append(f"{place}::before {{background-image: url({data}) !important}}")
        if card.note:
            rules.append(f'{place} span::after {{content: "{_css(short_note(card))}"}}')
    notes = html.escape(json.dumps([card.note for card in styles.values()]))
    return f'<style>{" ".join(rules)}</style><div id="card-notes" hidden data-notes="{notes}"></div>'


def short_note(card: StyleCard) -> str:
    """Painter and year of a note like "Vincent van Gogh, The Starry Night, 1889; public domain"."""
    parts = [part.strip() for part in card.note.partition(";")[0].split(",")]
    dated = parts[-1:] if len(parts) > 1 and any(c.isdigit() for c in parts[-1]) else []
    return ", ".join(part for part in [parts[0], *dated] if part != card.title)[:80]


_samples: dict[StyleCard, str] = {}  # a card never changes, and many visitors ask for it


def _sample(card: StyleCard) -> str:
    if card not in _samples:
        try:
            _samples[card] = _as_data(load_picture(card.sample).rgb) if card.sample else ""
        except InputError:  # a style without its picture is still a style
            _samples[card] = ""
    return _samples[card]


def _as_data(picture: Image.Image) -> str:
    file = io.BytesIO()
    ImageOps.fit(picture, (SWATCH_SIZE, SWATCH_SIZE)).save(file, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _css(text: str) -> str:
    """Text for a CSS string: whatever could end it, or the style element, is written as its number."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " ,.") else f"\\{ord(c):06x}" for c in text)
