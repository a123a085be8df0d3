"""The page's 360-degree pictures: painted at the size of a screen to look round in, and at full size to take home."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency

from styletransfer.errors import InputError
from styletransfer.images.files import Picture, declared_size, embedded_xmp
from styletransfer.models.canvas import rescaled
from styletransfer.page.language import about, in_language, say, sentence, told, visitors_title
from styletransfer.page.progress import shown_steps
from styletransfer.page.requests import Asked, File, new_folder, save_preview, uploaded
from styletransfer.page.studio import Studio, load_limited
from styletransfer.page.tabs.files import show
from styletransfer.settings import SCREEN_SIDE, PaintSettings
from styletransfer.steps import in_time
from styletransfer.surround.gpano import packet, panorama_properties
from styletransfer.surround.panorama import SphereLayers, check_panorama

VIEW_WIDTH = round(math.pi * SCREEN_SIDE / 4) * 4  # pixels: a view of 90 degrees fills the screen, strokes as learned
LENT = ("show", "take_home")  # the events that run a network


@dataclass(frozen=True)
class Around:
    """The components."""

    photo: gr.File
    paint: gr.Button
    says: gr.HTML
    download: gr.Button
    views: gr.File  # painting and photo to look round in; never seen
    file: gr.File  # what is taken home; never seen


def build_around(texts: gr.I18n) -> Around:
    """The tab, beside those of one photo and several."""
    with gr.Tab(texts("around")) as tab:
        photo = gr.File(file_types=["image"], label=texts("around_photo"), height=124, elem_id="around-photo")
        with gr.Row():
            paint = gr.Button(texts("around_paint"), variant="primary", elem_id="around-paint")
            download = gr.Button(texts("download"), interactive=False, elem_id="around-download")
        says = gr.HTML(texts("around_hint"), html_template='<p role="status">{{value}}</p>', elem_id="around-says")
        views = gr.File(file_count="multiple", visible="hidden", elem_id="around-views")
        file = gr.File(visible="hidden", elem_id="around-file")
    tab.select(None, js=show("around"))
    return Around(photo, paint, says, download, views, file)


def build_look() -> gr.HTML:
    """Where one looks round, on the stage."""
    return gr.HTML("", html_template='<div id="look"></div>', elem_id="around")


class AroundEvents:
    """What the tab asks for."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def show(self, photo: File | None, *settings: Any) -> Iterator[tuple[Any, ...]]:
        """Paint a 360-degree picture to look round in: hands out painting and photo, a line, and the other button."""
        try:
            file, settled = uploaded(photo), _settings(settings)
            picture = load_limited(file, self.studio.limits.max_megapixels)
            check_panorama(picture.size)
            small = rescaled(picture.rgb, min(1, VIEW_WIDTH / picture.size[0]), wrap=True)
            steps = self.studio.painted(Picture(small), settled, SphereLayers())
            painting = yield from shown_steps(in_time(steps, self.studio.limits.max_seconds), 3, say("Painting"))
            views = [
                save_preview(each, f"{file.stem[:60]}-{name}") for each, name in ((painting, "all"), (small, "photo"))
            ]
            yield views, " ".join([self._about(settled, picture.size), *_notes(picture)]), gr.Button(interactive=True)
        except InputError as error:
            yield None, sentence(error), gr.Button(interactive=False)
            raise told(error) from error

    def take_home(self, photo: File | None, *settings: Any) -> Iterator[Any]:
        """Paint a 360-degree picture at its full size: hands out the file, which viewers recognize, and a line."""
        try:
            file, settled = uploaded(photo), _settings(settings[:-1])
            with file.open("rb") as opened:
                size = declared_size(opened)
            check_panorama(size)
            extras = {"also": {"panorama": True}, "xmp": packet(panorama_properties(embedded_xmp(file))[0], size)}
            work = self.studio.paint(file, settled, new_folder(), settings[-1], layers=SphereLayers(), **extras)
            painted = yield from shown_steps(work, 2, say("Painting"))
            yield str(painted), self._about(settled, size)
        except InputError as error:
            raise told(error) from error

    def _about(self, settings: PaintSettings, size: tuple[int, int]) -> str:
        titles = (visitors_title(self.studio.catalog.card(key).title) for key in settings.mix)
        return about(" + ".join(titles), size)


def connect_around(
    around: Around,
    events: AroundEvents,
    settings: list[gr.components.Component],
    file_format: gr.Radio,
    saving: gr.HTML,
) -> list[Dependency]:
    """Let the tab paint; returns what the page's button can cancel.

    Args:
        around: the tab.
        events: what it asks for.
        settings: in the order of `Asked`, mask last.
        file_format: of what is taken home.
        saving: where progress is shown.
    """
    options = {"preprocess": False, "show_progress_on": saving, "api_visibility": "private"}
    options |= {"concurrency_id": "full-size", "concurrency_limit": events.studio.limits.workers}
    showing = around.paint.click(
        events.show, [around.photo, *settings], [around.views, around.says, around.download], **options
    )
    showing.success(None, around.views, js="files => { moving.look(files) }")
    taking = around.download.click(
        events.take_home, [around.photo, *settings, file_format], [around.file, around.says], **options
    )
    taking.success(None, around.file, js="file => { painter.saveFile(file) }")
    around.photo.change(
        lambda: gr.Button(interactive=False), None, around.download, queue=False, api_visibility="private"
    )
    return [showing, taking]


def _settings(settings: Sequence[Any]) -> PaintSettings:
    """Checked; what was drawn is a mask of another photo."""
    return Asked(*settings)._replace(mask=None).settings()


def _notes(picture: Picture) -> list[str]:
    return [in_language(note) for note in panorama_properties(picture.xmp)[1]]
