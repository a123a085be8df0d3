"""The page: add a photo, choose a style by its picture, turn it, take home the painting."""

import os
import sys
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency
from gradio.i18n import I18nData

from styletransfer.catalog import Catalog, chosen_catalog
from styletransfer.errors import InputError
from styletransfer.hub_catalog import watch_hub
from styletransfer.images.files import PICTURE_SUFFIXES
from styletransfer.models.memory import bound_memory, keep_freed_memory
from styletransfer.page.api import NAMES, AnsweringBlocks, connect_answers, named
from styletransfer.page.drawing import Drawing, ask_canvas, build_drawing, connect_drawing
from styletransfer.page.events import MANY, NO_STYLE, Events, notes_of
from styletransfer.page.head import head_settings
from styletransfer.page.look import card_pictures, page_css, page_script, theme
from styletransfer.page.own import Own, OwnStyles, build_own, connect_own, is_offered, workshop_of
from styletransfer.page.progress import SAY_PLACES, let_cancel
from styletransfer.page.server import examples, first_pair, gpu_decorator, lend_gpu, paint_ahead
from styletransfer.page.studio import Limits, Studio
from styletransfer.page.tabs import video as video_tab
from styletransfer.page.tabs.around import LENT, Around, AroundEvents, build_around, build_look, connect_around
from styletransfer.page.tabs.camera import (
    build_camera,
    build_seen,
    connect_camera,
    is_live_offered,
    live_route,
)
from styletransfer.page.tabs.files import moving_css, moving_script, show
from styletransfer.page.texts import ENGLISH, titled, translations
from styletransfer.page.visit import Visit, build_history, build_sharing, connect_visit, with_album
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
    percents: dict[gr.Slider, gr.Slider]  # what a visitor turns -> the share between 0 and 1 that is meant
    controls: list[gr.components.Component]  # what a visitor turns, the style first
    settings: list[gr.components.Component]  # what is meant, in the order of `Asked`, mask last
    mixed_in: tuple[gr.Dropdown, gr.Dropdown]  # two of them: the second style and the third
    drawing: Drawing
    button: gr.Button
    message: gr.HTML
    painting: gr.ImageSlider
    file_format: gr.Radio
    download: gr.Button
    file: gr.File
    saving: gr.HTML
    visit: Visit
    album: gr.HTML
    explain: gr.Checkbox
    reading: gr.HTML
    overlays: list[gr.Image]
    numbers: gr.HTML
    photos: gr.File
    paint_all: gr.Button
    zip: gr.File
    report: gr.HTML
    codes: list[gr.Code]
    cancel: gr.Button
    cancelled: gr.HTML
    own: Own | None  # where visitors are offered it
    video: video_tab.VideoTab | None
    around: Around


def main() -> None:
    """Serve the page; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where, STYLETRANSFER_... what it allows."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the server asks nobody anything
    os.environ.setdefault("GRADIO_RUN_HISTORY", "False")  # and the browser hoards no photos
    bound_memory()
    keep_freed_memory()
    gpu_decorator()  # before any network is loaded
    try:
        limits = Limits.from_environment()
        studio = Studio(chosen_catalog(), limits)
        studio.catalog.pipeline({next(iter(studio.catalog.styles)): 1.0})  # a broken pack is said now, not later
        watch_hub(studio.catalog)
        if not gpu_decorator():  # a borrowed GPU is for those who asked for it
            paint_ahead(studio, examples())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    texts = translations(mb=limits.max_mb, megapixels=limits.max_megapixels, photos=limits.max_photos)
    build_page(studio, texts).queue(max_size=limits.queue).launch(
        theme=theme(),
        css=page_css() + moving_css(),
        i18n=texts,
        max_file_size=f"{limits.max_mb}mb",
        mcp_server=os.environ.get(MCP_VARIABLE) == "1",
        footer_links=[],
        ssr_mode=False,  # a Space would have it rendered by Node, which knows nothing of our own head
        **head_settings([live_route(studio)] if is_live_offered() else []),
    )


def build_page(studio: Studio, texts: gr.I18n) -> gr.Blocks:
    """The page over a studio; its look is given to `launch`."""
    own_styles = OwnStyles(studio, workshop_of(studio)) if is_offered() else None
    version = studio.catalog.version  # before the cards are made: a pack that comes meanwhile is news to the page
    watching = studio.catalog.is_watching
    with AnsweringBlocks(
        title=ENGLISH["title"], analytics_enabled=False, delete_cache=CLEANING, more_styles=watching
    ) as page:
        gr.HTML(texts("language"), elem_id="page-texts")
        with gr.Column(elem_id="masthead"):
            gr.HTML(texts("title"), html_template="<h1>{{value}}</h1>")
            gr.HTML(texts("subtitle"), html_template="<p>{{value}}</p>")
        with gr.Row(elem_id="board"):
            with gr.Column(elem_id="choices"):
                left = _left(studio, texts, own_styles)
            with gr.Column(elem_id="result"), gr.Column(elem_id="stage"):
                right = _stage(studio, texts)
        below = _below(texts)
        gr.HTML(texts("limits"), elem_id="limits")
        parts = Parts(**left, **right, **below)
        events = lend_gpu(Events(studio))
        page.load(None, js=f"() => {{ {page_script()}; {moving_script()}; painter.start() }}")
        connect_visit(page, parts.visit, [parts.photo, *parts.controls, parts.file_format], parts.painting)
        _connect_painting(parts, events, studio.limits)
        _connect_rest(page, parts, events, version)
        if own_styles:
            connect_own(parts.own, own_styles, parts.styles, parts.mixed_in)
        if parts.video:
            video_tab.connect_video(parts.video, video_tab.VideoRoom(studio), parts.settings)
    return page


def _left(studio: Studio, texts: gr.I18n, own_styles: OwnStyles | None) -> dict[str, object]:
    with gr.Tabs():
        with gr.Tab(texts("one_photo")) as one:
            parts = _photo(texts)
        with gr.Tab(texts("many_photos")) as several:
            parts |= _photos(texts)
        parts["video"] = video_tab.build_video(texts) if video_tab.is_offered() else None
        parts["around"] = build_around(texts)
        camera = build_camera(texts) if is_live_offered() else None
    one.select(None, js=show())
    several.select(None, js=show("several"))
    parts |= _style_cards(studio.catalog, texts)
    percent, strength = _percent(texts("strength"), 100, "strength")
    own = build_own(texts, own_styles) if own_styles else None  # below what a first visit needs on a phone's screen
    with gr.Accordion(texts("more"), open=False, elem_id="more"):
        more, percents, drawing = _more(studio.catalog, texts)
    percents = {percent: strength} | percents
    turned = {"style": parts["styles"], "strength": percent, **more}
    if camera:
        connect_camera(camera, [turned[name] for name in ("style", "strength", "keep_colors")])
    # By name, as the events take them: the order stands in `Asked` alone.
    named_settings = turned | {"mask": drawing.mask}
    settings = [percents.get(named_settings[name], named_settings[name]) for name in NAMES]
    return parts | {
        "percents": percents,
        "controls": list(turned.values()),
        "settings": settings,
        "mixed_in": (more["second"], more["third"]),
        "drawing": drawing,
        "own": own,
    }


def _percent(label: I18nData, value: int, name: str) -> tuple[gr.Slider, gr.Slider]:
    """What a visitor turns, in percent, and what programs give: a share between 0 and 1."""
    percent = gr.Slider(0, 100, value=value, step=5, label=label, min_width=140, elem_id=name)
    share = gr.Slider(0, 1, value=value / 100, step=0.01, label=name, visible=False)
    return percent, share


def _style_cards(catalog: Catalog, texts: gr.I18n) -> dict[str, object]:
    offered = _titled(catalog, texts)
    search = gr.Textbox(
        label=texts("search"), placeholder=texts("search_hint"), visible=len(offered) > MANY, elem_id="search"
    )
    gr.HTML(texts("no_style"), html_template='<p role="status" hidden>{{value}}</p>', elem_id="no-style")
    styles = gr.Radio(offered, value=offered[0][1], label=texts("style"), elem_id="styles")
    pictures = gr.HTML(card_pictures(catalog.styles), elem_id="card-pictures")
    notes = gr.HTML(notes_of(catalog), visible=bool(catalog.notes), elem_id="notes")
    return {"search": search, "styles": styles, "pictures": pictures, "notes": notes}


def _titled(catalog: Catalog, texts: gr.I18n) -> list[tuple[str | I18nData, str]]:
    return [(titled(texts, card.title), key) for key, card in catalog.styles.items()]


def _photo(texts: gr.I18n) -> dict[str, object]:
    with gr.Row(elem_id="one-photo"):
        photo = gr.Image(
            type="filepath",
            label=texts("photo"),
            show_label=False,
            buttons=[],
            placeholder=texts("photo_hint"),
            elem_id="photo",
        )
        if files := examples():
            with gr.Column():
                gr.Examples([str(file) for file in files], photo, label=texts("examples"), elem_id="examples")
    return {"photo": photo}


def _photos(texts: gr.I18n) -> dict[str, object]:
    photos = gr.File(
        file_count="multiple",
        file_types=sorted(PICTURE_SUFFIXES),
        label=texts("photos"),
        height=168,
        elem_id="photos",
    )
    button = gr.Button(texts("paint_all"), variant="primary", elem_id="paint-all")
    report = gr.HTML(elem_id="report")
    return {"photos": photos, "paint_all": button, "report": report}


def _more(
    catalog: Catalog, texts: gr.I18n
) -> tuple[dict[str, gr.components.Component], dict[gr.Slider, gr.Slider], Drawing]:
    brush = gr.Slider(*BRUSH_SIZES, value=1, step=0.1, label=texts("brush"), elem_id="brush")
    colors = gr.Checkbox(label=texts("colors"), elem_id="colors")
    more: dict[str, gr.components.Component] = {"brush_size": brush, "keep_colors": colors}
    percents: dict[gr.Slider, gr.Slider] = {}
    for name in ("second", "third"):
        with gr.Row():
            offered = [NO_STYLE, *_titled(catalog, texts)]
            more[name] = gr.Dropdown(offered, value="", label=texts(name), min_width=140, elem_id=name)
            percent, share = _percent(texts("share"), 50, f"{name}-share")
            more[f"{name}_share"] = percent
            percents[percent] = share
    return more, percents, build_drawing(texts)


def _stage(studio: Studio, texts: gr.I18n) -> dict[str, object]:
    """What stays in view: the painting, a line about it, and what is done with it."""
    with gr.Column(elem_id="show"):
        pair = first_pair(studio)
        painting = gr.ImageSlider(
            pair,
            type="filepath",
            label=texts("painting"),
            show_label=False,
            interactive=False,
            slider_position=50,
            buttons=["fullscreen"],
            elem_id="painting",
        )
        album = gr.HTML(texts("album"), elem_id="album")
        build_look()
        build_seen(texts)
        with gr.Row(elem_id="status"):
            message = gr.HTML(
                texts("example") if pair else "", html_template='<p role="status">{{value}}</p>', elem_id="message"
            )
            saving = gr.HTML(elem_id="saving")  # in place of the message: how far the work is
            cancelled = gr.HTML(elem_id="cancelled")
            cancel = gr.Button(texts("cancel"), elem_id="cancel")
            button = gr.Button(texts("paint"), elem_id="paint")
            download = gr.Button(texts("download"), variant="primary", interactive=False, elem_id="download")
    with gr.Row(elem_id="actions"):
        history = build_history(texts)
        sharing = build_sharing(texts)
        formats = gr.Radio(
            [(texts("png"), "PNG"), (texts("jpeg"), "JPEG")], value="PNG", label=texts("format"), elem_id="format"
        )
        file = gr.File(visible="hidden", elem_id="file")
    visit = Visit(**sharing, **history)
    archive = gr.File(label=texts("zip"), interactive=False, elem_id="zip")
    return {
        "painting": painting,
        "album": album,
        "zip": archive,
        "message": message,
        "saving": saving,
        "cancelled": cancelled,
        "cancel": cancel,
        "button": button,
        "download": download,
        "file_format": formats,
        "file": file,
        "visit": visit,
    }


def _below(texts: gr.I18n) -> dict[str, object]:
    """What one need not see: the painting explained, and its call for programs."""
    explain = gr.Checkbox(label=texts("explain"), elem_id="explain")
    reading = gr.HTML(elem_id="reading")
    # No "share": that button would send the picture away.
    overlay = {"interactive": False, "visible": False, "buttons": ["fullscreen", "download"]}
    with gr.Row(elem_id="explained"):
        overlays = [gr.Image(label=texts(name), elem_id=name, **overlay) for name in ("departs", "doubted")]
    numbers = gr.HTML(elem_id="numbers")
    with gr.Accordion(texts("program"), open=False, elem_id="program"):
        codes = [
            gr.Code(language=language, label=label, interactive=False, elem_id=f"code-{label.lower()}")
            for label, language in (("Python", "python"), ("curl", "shell"), ("Shell", "shell"))
        ]
    return {"codes": codes, "explain": explain, "reading": reading, "overlays": overlays, "numbers": numbers}


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
        "show_progress_on": parts.saving,
        "trigger_mode": "always_last",
        **painter,
    }
    gr.on([], named(events.preview, "photo", *NAMES), **shown, api_name="preview")
    for percent, share in parts.percents.items():
        percent.change(None, percent, share, js="percent => percent / 100", api_visibility="private")
    brought = parts.photo.change(events.follow, **shown, api_visibility="private")
    turned = [setting.change for setting in parts.settings]
    turned += [parts.own.pulse.change] if parts.own else []
    running = [brought, gr.on([*turned, parts.button.click], events.follow, **shown, api_visibility="private")]
    for followed in running:
        followed.failure(None, js="() => { painter.fallenBehind() }")
    _connect_cards(brought, parts, events)
    # Full sizes take seconds: they have a painter of their own, so that those who are still choosing need not wait.
    full = {"concurrency_id": "full-size", "concurrency_limit": limits.workers}
    painted = [parts.photo, *parts.settings, parts.file_format]
    taken = {"outputs": [parts.file, parts.message], "preprocess": False, "show_progress_on": parts.saving, **full}
    named_paint = named(events.paint, "photo", *NAMES, "file_format")
    # The page sends the canvas itself: the mask made of it is one stroke behind until the server has answered.
    drawn = [parts.photo, *parts.settings[:-1], parts.drawing.drawn, parts.file_format]
    asked = ask_canvas(parts.drawing, parts.download)
    downloading = asked.then(events.take_home, drawn, **taken, api_visibility="private")
    downloading.success(None, parts.file, js="file => { painter.saveFile(file) }")
    several = gr.State()  # what is finished of several photos, until all are
    all_of_them = {
        "inputs": [parts.photos, *parts.settings, parts.file_format],
        "outputs": [parts.zip, parts.report, several],
        "preprocess": False,
        **full,
    }
    running += [
        downloading,
        gr.on([], named_paint, painted, **taken, api_name="paint"),
        gr.on([], named(events.paint_all, "photos", *NAMES, "file_format"), **all_of_them, api_name="paint_all"),
        parts.paint_all.click(
            with_album(events.paint_all),
            **all_of_them | {"outputs": [*all_of_them["outputs"], parts.album]},
            show_progress_on=parts.saving,
            api_visibility="private",
        ),
    ]
    running += connect_around(
        parts.around, lend_gpu(AroundEvents(events.studio), LENT), parts.settings, parts.file_format, parts.saving
    )
    parts.cancel.click(None, js="() => { painter.fallenBehind() }")
    let_cancel(parts.cancel, running, events.cancelled, several, [parts.cancelled, parts.zip, parts.report, several])
    _connect_reading(parts, events, painter)


def _connect_cards(brought: Dependency, parts: Parts, events: Events) -> None:
    """Every style of the photo on the cards, once its painting is there; quietly, and in no queue."""
    brought.success(None, js="() => { painter.unveil() }")
    brought.success(
        events.every_style,
        parts.photo,
        parts.pictures,
        preprocess=False,
        queue=False,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )


def _connect_reading(parts: Parts, events: Events, painter: dict[str, Any]) -> None:
    # The numbers follow the painting, which comes first; who does not ask for them waits for nothing and sends nothing.
    pulse = gr.Number(visible=False)
    silent = {"show_progress": "hidden", "api_visibility": "private"}
    parts.painting.change(None, parts.explain, pulse, js="wanted => wanted ? Date.now() : null", **silent)
    gr.on(
        [parts.explain.change, pulse.change],
        events.explain,
        [parts.explain, parts.photo, *parts.settings],
        [parts.reading, *parts.overlays, parts.numbers],
        preprocess=False,
        trigger_mode="always_last",
        **silent,
        **painter,
    )


def _connect_rest(page: gr.Blocks, parts: Parts, events: Events, version: int) -> None:
    """What needs no painter: the mask, the search, the calls."""
    looks_again = gr.Timer(LOOK_AGAIN, active=events.studio.catalog.is_watching)
    seen = gr.State(version)
    gr.on(
        [page.load, looks_again.tick],
        events.refresh,
        [seen, parts.own.key] if parts.own else [seen],
        [parts.styles, parts.pictures, parts.search, *parts.mixed_in, parts.notes, seen],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    gr.api(events.styles, api_name="styles", queue=False)
    page.load(None, js=SAY_PLACES)
    parts.search.change(None, parts.search, js="text => { painter.search(text) }")
    connect_drawing(page, parts.photo, parts.drawing, events)
    current = [*parts.settings[:-1], parts.file_format]
    gr.on(
        [page.load, *(setting.change for setting in current)],
        events.calls,
        current,
        parts.codes,
        trigger_mode="always_last",  # otherwise what changes while the last call is on its way would be lost
        preprocess=False,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
