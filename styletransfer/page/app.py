"""The page: choose a style by its picture, add a photo, turn it, take home the painting."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from styletransfer.catalog import Catalog, chosen_catalog
from styletransfer.errors import InputError
from styletransfer.hub_catalog import watch_hub
from styletransfer.images.files import PICTURE_SUFFIXES
from styletransfer.page.api import NAMES, connect_answers, named
from styletransfer.page.drawing import Drawing, ask_canvas, build_drawing, connect_drawing
from styletransfer.page.events import MANY, NO_STYLE, Events, choices, notes_of
from styletransfer.page.head import head_settings
from styletransfer.page.look import (
    CSS,
    FILTER_STYLES,
    HIDE_PAINT,
    JOIN_CHOICES,
    NAME_PICTURES,
    SAVE_FILE,
    SHOW_PAINT,
    SHOW_PAINTING,
    card_pictures,
    theme,
)
from styletransfer.page.progress import CSS as WAITING_CSS
from styletransfer.page.progress import SAY_PLACES, let_cancel
from styletransfer.page.server import gpu_decorator, lend_gpu, paint_ahead
from styletransfer.page.studio import Limits, Studio
from styletransfer.page.texts import ENGLISH, translations
from styletransfer.paths import EXAMPLES
from styletransfer.settings import BRUSH_SIZES

MCP_VARIABLE = "STYLETRANSFER_MCP"  # 1: the endpoints are tools for language models, too
CLEANING = (600, 2 * 3600)  # seconds: how often, and how old uploads and paintings get
LOOK_AGAIN = 10  # seconds between two looks for packs that have come


@dataclass(frozen=True)
class Parts:
    """The components that events read and write."""

    styles: gr.Radio
    pictures: gr.HTML
    notes: gr.HTML
    search: gr.Textbox
    photo: gr.Image
    suits: gr.Button
    settings: list[gr.components.Component]  # in the order of `Asked`, mask last
    mixed_in: tuple[gr.Dropdown, gr.Dropdown]  # two of them: the second style and the third
    drawing: Drawing
    button: gr.Button
    message: gr.HTML
    painting: gr.ImageSlider
    file_format: gr.Radio
    download: gr.Button
    file: gr.File
    saving: gr.HTML
    explain: gr.Checkbox
    reading: gr.HTML
    overlays: list[gr.Image]
    photos: gr.File
    paint_all: gr.Button
    zip: gr.File
    report: gr.HTML
    codes: list[gr.Code]
    cancel: gr.Button
    cancelled: gr.HTML


def main() -> None:
    """Serve the page; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where, STYLETRANSFER_... what it allows."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the server asks nobody anything
    os.environ.setdefault("GRADIO_RUN_HISTORY", "False")  # and the browser hoards no photos
    gpu_decorator()  # before any network is loaded
    try:
        limits = Limits.from_environment()
        studio = Studio(chosen_catalog(), limits)
        studio.catalog.pipeline({next(iter(studio.catalog.styles)): 1.0})  # a broken pack is said now, not later
        watch_hub(studio.catalog)
        if not gpu_decorator():  # a borrowed GPU is for those who asked for it
            paint_ahead(studio, _examples())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    texts = translations(mb=limits.max_mb, megapixels=limits.max_megapixels, photos=limits.max_photos)
    build_page(studio, texts).queue(max_size=limits.queue).launch(
        theme=theme(),
        css=CSS + WAITING_CSS,
        i18n=texts,
        max_file_size=f"{limits.max_mb}mb",
        mcp_server=os.environ.get(MCP_VARIABLE) == "1",
        footer_links=[],
        ssr_mode=False,  # a Space would have it rendered by Node, which knows nothing of our own head
        **head_settings(),
    )


def build_page(studio: Studio, texts: gr.I18n) -> gr.Blocks:
    """The page over a studio; its look is given to `launch`."""
    with gr.Blocks(title=ENGLISH["title"], analytics_enabled=False, delete_cache=CLEANING) as page:
        with gr.Column(elem_id="masthead"):
            gr.HTML(texts("title"), html_template="<h1>{{value}}</h1>")
            gr.HTML(texts("subtitle"), html_template="<p>{{value}}</p>")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                left = _left(studio, texts)
            with gr.Column(scale=3, min_width=300):
                right = _right(texts)
        gr.HTML(texts("limits"), elem_id="limits")
        cancel, cancelled = gr.Button(texts("cancel"), elem_id="cancel"), gr.HTML(elem_id="cancelled")
        parts = Parts(**left, **right, cancel=cancel, cancelled=cancelled)
        events = lend_gpu(Events(studio))
        _connect_painting(parts, events, studio.limits)
        _connect_rest(page, parts, events)
    return page


def _left(studio: Studio, texts: gr.I18n) -> dict[str, object]:
    parts = _style_cards(studio.catalog, texts)
    with gr.Tabs():
        with gr.Tab(texts("one_photo")) as one:
            parts |= _photo(texts)
        with gr.Tab(texts("many_photos")) as several:
            parts |= _photos(texts)
    one.select(None, js=SHOW_PAINT)
    several.select(None, js=HIDE_PAINT)
    strength = gr.Slider(0, 1, value=1, step=0.05, label=texts("strength"), elem_id="strength")
    with gr.Accordion(texts("more"), open=False, elem_id="more"):
        more, drawing = _more(studio.catalog, texts)
    # By name, as the events take them: the order stands in `Asked` alone.
    named_settings = {"style": parts["styles"], "strength": strength, **more, "mask": drawing.mask}
    settings = [named_settings[name] for name in NAMES]
    mixed_in = named_settings["second"], named_settings["third"]
    button = gr.Button(texts("paint"), variant="primary", elem_id="paint")
    message = gr.HTML(html_template='<p role="status">{{value}}</p>', elem_id="message")
    found = {"settings": settings, "mixed_in": mixed_in, "drawing": drawing, "button": button, "message": message}
    return parts | found


def _style_cards(catalog: Catalog, texts: gr.I18n) -> dict[str, object]:
    offered = choices(catalog)
    search = gr.Textbox(
        label=texts("search"), placeholder=texts("search_hint"), visible=len(offered) > MANY, elem_id="search"
    )
    styles = gr.Radio(offered, value=offered[0][1], label=texts("style"), elem_id="styles")
    pictures = gr.HTML(card_pictures(catalog.styles), elem_id="card-pictures")
    notes = gr.HTML(notes_of(catalog), visible=bool(catalog.notes), elem_id="notes")
    return {"search": search, "styles": styles, "pictures": pictures, "notes": notes}


def _photo(texts: gr.I18n) -> dict[str, object]:
    photo = gr.Image(
        type="filepath",
        label=texts("photo"),
        placeholder=texts("photo_hint"),
        height="min(240px, 45vh)",
        elem_id="photo",
    )
    if examples := _examples():
        gr.Examples([str(file) for file in examples], photo, label=texts("examples"))
    return {"photo": photo, "suits": gr.Button(texts("suits"), size="sm", elem_id="suits", interactive=False)}


def _photos(texts: gr.I18n) -> dict[str, object]:
    photos = gr.File(
        file_count="multiple", file_types=sorted(PICTURE_SUFFIXES), label=texts("photos"), elem_id="photos"
    )
    button = gr.Button(texts("paint_all"), variant="primary", elem_id="paint-all")
    report = gr.HTML(elem_id="report")
    archive = gr.File(label=texts("zip"), interactive=False, visible=True, elem_id="zip")
    return {"photos": photos, "paint_all": button, "report": report, "zip": archive}


def _more(catalog: Catalog, texts: gr.I18n) -> tuple[dict[str, gr.components.Component], Drawing]:
    brush = gr.Slider(*BRUSH_SIZES, value=1, step=0.1, label=texts("brush"), elem_id="brush")
    colors = gr.Checkbox(label=texts("colors"), elem_id="colors")
    more: dict[str, gr.components.Component] = {"brush_size": brush, "keep_colors": colors}
    for name in ("second", "third"):
        with gr.Row():
            more[name] = gr.Dropdown(
                [NO_STYLE, *choices(catalog)], value="", label=texts(name), min_width=140, elem_id=name
            )
            more[f"{name}_share"] = gr.Slider(
                0, 1, value=0.5, step=0.05, label=texts("share"), min_width=140, elem_id=f"{name}-share"
            )
    return more, build_drawing(texts)


def _right(texts: gr.I18n) -> dict[str, object]:
    painting = gr.ImageSlider(
        type="filepath",
        label=texts("painting"),
        interactive=False,
        slider_position=12,
        max_height=640,
        buttons=["fullscreen"],
        elem_id="painting",
    )
    with gr.Row():
        formats = gr.Radio(
            [(texts("png"), "PNG"), (texts("jpeg"), "JPEG")],
            value="PNG",
            label=texts("format"),
            min_width=200,
            elem_id="format",
        )
        download = gr.Button(texts("download"), variant="primary", interactive=False, min_width=200, elem_id="download")
    file = gr.File(visible="hidden", elem_id="file")
    saving = gr.HTML(elem_id="saving")  # beside the button: how far its file is
    explain = gr.Checkbox(label=texts("explain"), elem_id="explain")
    reading = gr.HTML(elem_id="reading")
    # No "share": that button would send the picture away.
    overlay = {"interactive": False, "visible": False, "buttons": ["fullscreen", "download"]}
    overlays = [gr.Image(label=texts(name), elem_id=name, **overlay) for name in ("departs", "doubted")]
    explained = {"explain": explain, "reading": reading, "overlays": overlays}
    with gr.Accordion(texts("program"), open=False, elem_id="program"):
        codes = [
            gr.Code(language=language, label=label, interactive=False, elem_id=f"code-{label.lower()}")
            for label, language in (("Python", "python"), ("curl", "shell"), ("Shell", "shell"))
        ]
    return {
        "painting": painting,
        "file_format": formats,
        "download": download,
        "file": file,
        "saving": saving,
        "codes": codes,
    } | explained


def _connect_painting(parts: Parts, events: Events, limits: Limits) -> None:
    """The painting follows photo and settings; one painter for all visitors, so that nobody is starved of cores."""
    painter = {"concurrency_id": "painter", "concurrency_limit": limits.workers}
    connect_answers(events.studio, parts.photo, parts.settings, painter)  # first: events of the same name are numbered
    # Gradio's own preprocessing would decode the photo, and fail, before we can say what is wrong with it; and it
    # would drop what load_picture reads: orientation, profile, depth, transparency.
    shown = {
        "inputs": [parts.photo, *parts.settings],
        "outputs": [parts.painting, parts.message, parts.download],
        "preprocess": False,
        "show_progress": "minimal",
        "show_progress_on": parts.painting,
        "trigger_mode": "always_last",
        **painter,
    }
    running = [
        parts.button.click(named(events.preview, "photo", *NAMES), **shown, api_name="preview"),
        parts.photo.change(events.follow, **shown, api_visibility="private"),
    ]
    for painting in running:
        painting.success(None, js=SHOW_PAINTING)
    turned = [setting.change for setting in parts.settings]
    running.append(gr.on(turned, events.follow, **shown, api_visibility="private"))
    # Full sizes take seconds: they have a painter of their own, so that those who are still choosing need not wait.
    full = {"concurrency_id": "full-size", "concurrency_limit": limits.workers}
    painted = [parts.photo, *parts.settings, parts.file_format]
    taken = {"outputs": [parts.file, parts.message], "preprocess": False, "show_progress_on": parts.saving, **full}
    named_paint = named(events.paint, "photo", *NAMES, "file_format")
    # The page sends the canvas itself: the mask made of it is one stroke behind until the server has answered.
    drawn = [parts.photo, *parts.settings[:-1], parts.drawing.drawn, parts.file_format]
    asked = ask_canvas(parts.drawing, parts.download)
    downloading = asked.then(events.take_home, drawn, **taken, api_visibility="private")
    downloading.success(None, parts.file, js=SAVE_FILE)
    several = gr.State()  # what is finished of several photos, until all are
    running += [
        downloading,
        gr.on([], named_paint, painted, **taken, api_name="paint"),
        parts.paint_all.click(
            named(events.paint_all, "photos", *NAMES, "file_format"),
            [parts.photos, *parts.settings, parts.file_format],
            [parts.zip, parts.report, several],
            preprocess=False,
            show_progress_on=parts.zip,
            api_name="paint_all",
            **full,
        ),
        parts.suits.click(
            events.every_style, parts.photo, parts.pictures, preprocess=False, api_visibility="private", **painter
        ),
    ]
    let_cancel(parts.cancel, running, events.cancelled, several, [parts.cancelled, parts.zip, parts.report, several])
    # The numbers follow the painting, which comes first; who does not ask for them waits for nothing and sends nothing.
    pulse = gr.Number(visible=False)
    silent = {"show_progress": "hidden", "api_visibility": "private"}
    parts.painting.change(None, parts.explain, pulse, js="wanted => wanted ? Date.now() : null", **silent)
    gr.on(
        [parts.explain.change, pulse.change],
        events.explain,
        [parts.explain, parts.photo, *parts.settings],
        [parts.reading, *parts.overlays],
        preprocess=False,
        trigger_mode="always_last",
        **silent,
        **painter,
    )


def _connect_rest(page: gr.Blocks, parts: Parts, events: Events) -> None:
    """What needs no painter: the mask, the search, the calls."""
    looks_again = gr.Timer(LOOK_AGAIN, active=events.studio.catalog.is_watching)
    seen = gr.State(0)
    gr.on(
        [page.load, looks_again.tick],
        events.refresh,
        seen,
        [parts.styles, parts.pictures, parts.search, *parts.mixed_in, parts.notes, seen],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    gr.api(events.styles, api_name="styles", queue=False)
    for script in (NAME_PICTURES, JOIN_CHOICES, SAY_PLACES):
        page.load(None, js=script)
    parts.search.change(None, parts.search, js=FILTER_STYLES)
    parts.photo.change(
        lambda photo: gr.Button(interactive=bool(photo)),
        parts.photo,
        parts.suits,
        preprocess=False,
        show_progress="hidden",
        api_visibility="private",
    )
    connect_drawing(page, parts.photo, parts.drawing, events)
    current = [*parts.settings[:-1], parts.file_format]
    gr.on(
        [page.load, *(setting.change for setting in current)],
        events.calls,
        current,
        parts.codes,
        preprocess=False,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _examples() -> list[Path]:
    files = sorted(EXAMPLES.iterdir()) if EXAMPLES.is_dir() else []
    return [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
