"""The page: choose a style by its picture, add a photo, take home the painting."""

import base64
import html
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import ImageOps

from styletransfer.errors import InputError
from styletransfer.images import PICTURE_SUFFIXES, load_picture, save_picture
from styletransfer.packs import SHIPPED_PACK
from styletransfer.pipeline import StyleTransferPipeline

PACK_VARIABLE = "STYLETRANSFER_PACK"  # names the folder of another pack to show
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TITLE = "Photo in, painting out"
SUBTITLE = "Choose a style, add a photo, take home a painting of the same size."
MAX_FILE_SIZE = "50mb"
SWATCH_SIZE = 240  # pixels; shown at half of it, for dense screens
CLEANING = (600, 2 * 3600)  # seconds: how often, and how old uploads and paintings get

Painted = tuple[str | None, str]  # the painting's file, what there is to say about it


def main() -> None:
    """Serve the page; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the server asks nobody anything
    os.environ.setdefault("GRADIO_RUN_HISTORY", "False")  # and the browser hoards no photos
    try:
        pipeline = StyleTransferPipeline.from_pretrained(os.environ.get(PACK_VARIABLE) or SHIPPED_PACK)
        css = CSS + _swatches(pipeline)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    page = build_page(pipeline).queue(max_size=32)
    page.launch(theme=_theme(), css=css, max_file_size=MAX_FILE_SIZE, footer_links=[])


def build_page(pipeline: StyleTransferPipeline) -> gr.Blocks:
    """The page for the styles of one pack; its look is given to `launch`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=CLEANING) as page:
        gr.HTML(f"<h1>{TITLE}</h1><p>{SUBTITLE}</p>", elem_id="masthead")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                inputs = _inputs(pipeline.styles)
                button = gr.Button("Paint", variant="primary", elem_id="paint")
                message = gr.HTML(html_template='<p role="status">{{value}}</p>', elem_id="message")
            with gr.Column(scale=3, min_width=300):
                painting = gr.Image(
                    type="filepath",
                    image_mode=None,  # the file as it is, not a copy in another mode
                    label="Painting",
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="painting",
                )
                download = gr.DownloadButton("Download PNG", interactive=False, elem_id="download")
        _connect(pipeline, inputs, button, painting, message)
        painting.change(None, painting, download, js=OFFER_PAINTING)
    return page


def _inputs(styles: Mapping[str, str]) -> list[gr.components.Component]:
    choices = [(title, name) for name, title in styles.items()]
    style = gr.Radio(choices, value=choices[0][1], label="Style", elem_id="styles")
    photo = gr.Image(
        type="filepath",
        label="Photo",
        placeholder="# Add a photo\nDrop, paste or click",
        height="min(240px, 45vh)",
        elem_id="photo",
    )
    if examples := _examples():
        gr.Examples(examples, photo, label="Or try one of these")
    strength = gr.Slider(0, 1, value=1, step=0.05, label="Strength (0: the photo, 1: the painting)", elem_id="strength")
    return [photo, style, strength]


def _connect(
    pipeline: StyleTransferPipeline,
    inputs: list[gr.components.Component],
    button: gr.Button,
    painting: gr.Image,
    message: gr.HTML,
) -> None:
    """Paint when a photo is added and when the button is pressed, one painting at a time for all visitors."""

    def paint(photo: dict[str, Any] | None, style: str, strength: float) -> Iterator[Painted]:
        """Paint a photo: returns the painting, a PNG file, and a line about it."""
        try:
            yield _paint(pipeline, photo, style, strength)
        except InputError as error:
            yield None, _sentence(error)
            sentence = html.escape(_sentence(error), quote=False)
            raise gr.Error(sentence, title="Not painted", print_exception=False) from error

    def paint_added(photo: dict[str, Any] | None, style: str, strength: float) -> Iterator[Painted]:
        yield from paint(photo, style, strength) if photo else [(None, "")]

    settings = {
        "inputs": inputs,
        "outputs": [painting, message],
        # Gradio's own preprocessing would decode the photo, and fail, before we can say what is wrong with it; and it
        # would drop what load_picture reads: orientation, profile, depth, transparency.
        "preprocess": False,
        "concurrency_id": "painter",
        "concurrency_limit": 1,
        "show_progress_on": painting,
    }
    button.click(paint, **settings, api_name="paint")
    inputs[0].change(paint_added, **settings, api_visibility="private")


def _paint(pipeline: StyleTransferPipeline, photo: dict[str, Any] | None, style: str, strength: float) -> Painted:
    file = _uploaded(photo)
    with file.open("rb") as opened:  # its path on this machine is nothing for an error to tell
        picture = load_picture(opened)
    image = pipeline(picture, style, strength=strength)
    painted = _new_folder() / f"{file.stem[:100]}-{style}.png"
    save_picture(image, painted)
    about = f"{pipeline.styles[style]}, {image.width} × {image.height} pixels."
    return str(painted), " ".join([about, *(f"About this photo: {note}." for note in picture.notes)])


# Warm paper, ink, and the ultramarine of a paint box. System fonts: the page loads nothing from elsewhere.
PAPER = gr.themes.Color(
    "#fbf9f5",
    "#f5f1ea",
    "#e9e3d8",
    "#d8d0c2",
    "#a9a194",
    "#79736a",
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
  max-height: 330px; margin: 0 -5px; padding: 5px; overflow-y: auto}
#styles label {display: flex; flex-direction: column; align-items: stretch; gap: 0; padding: 0; overflow: hidden;
  cursor: pointer; border: 1px solid var(--border-color-primary); background: var(--block-background-fill)}
#styles label::before {content: ""; aspect-ratio: 1; background: var(--neutral-200) center / cover}
#styles label span {margin: 0; padding: 5px 8px 6px; font-size: .8rem; line-height: 1.25}
#styles input {position: absolute; opacity: 0}
#styles label.selected {outline: 3px solid var(--color-accent); color: var(--color-accent); font-weight: 600}
#styles label:has(:focus-visible) {outline: 3px dashed var(--body-text-color)}
#painting .empty {min-height: min(540px, 90vw, 60vh)}
#painting img {max-height: 80vh; object-fit: contain}
#message {min-height: 1.5em}
#message p {margin: 0; line-height: 1.5}
"""

# Runs in the browser alone. On a narrow screen the painting appears below what one sees.
OFFER_PAINTING = """file => {
  if (file) document.querySelector("#download").scrollIntoView({behavior: "smooth", block: "nearest"})
  return {__type__: "update", value: file, interactive: file !== null}
}"""


def _theme() -> gr.Theme:
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


def _swatches(pipeline: StyleTransferPipeline) -> str:
    """CSS that puts each style's sample on its radio button; inside the page, so that no address can break."""
    rules = []
    for position, name in enumerate(pipeline.styles, start=1):
        sample = pipeline.sample(name)
        if sample is not None:
            file = io.BytesIO()
            ImageOps.fit(load_picture(sample).rgb, (SWATCH_SIZE, SWATCH_SIZE)).save(file, "WEBP", quality=80)
            picture = f"url(data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')})"
            rules.append(f"#styles label:nth-of-type({position})::before {{background-image: {picture}}}")
    return "\n".join(rules)


def _uploaded(photo: dict[str, Any] | None) -> Path:
    """The file of a photo. A request could name any file of this machine: only what was uploaded is opened."""
    if not photo or not photo.get("path"):
        raise InputError("There is no photo yet: add one first.")
    file = Path(photo["path"]).resolve()
    if not (file.is_file() and file.is_relative_to(_files())):
        raise InputError("The photo is no longer here: add it again.")
    return file


def _files() -> Path:
    """Where Gradio keeps uploads, serves files from, and cleans up."""
    return Path(gr.utils.get_upload_folder()).resolve()


def _new_folder() -> Path:
    """A folder of its own for a painting."""
    _files().mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=_files()))


def _sentence(error: InputError) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _examples() -> list[str]:
    files = sorted(EXAMPLES.iterdir()) if EXAMPLES.is_dir() else []
    return [str(file) for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
