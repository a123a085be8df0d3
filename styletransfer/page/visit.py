"""What comes out of a visit: the last paintings to go back to, the one on the screen to share, several as an album.

History, sharing, and photo and settings across a reload are done by `static/page.js`, in the storage of the tab: the
server holds nothing of any visitor, and who comes to the same machine later finds nothing.
"""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.context import LocalContext
from PIL import Image

from styletransfer.images.files import load_picture
from styletransfer.page.language import say
from styletransfer.page.requests import save_preview

THUMBNAIL = 400  # pixels, of the album; what is downloaded is the painting itself

STRIP = '<ol role="list" aria-label="{{value}}"></ol>'


@dataclass(frozen=True)
class Visit:
    """The components of a visit."""

    undo: gr.Button
    redo: gr.Button
    recall: gr.Button  # clicked by the script where it puts a painting's settings back; never seen
    share: gr.Button
    copy: gr.Button


def build_sharing(texts: gr.I18n) -> dict[str, gr.Button]:
    """Buttons that hand on the painting as it is on the screen; the script shows those that the browser can serve."""
    return {
        "share": gr.Button(texts("send"), min_width=100, elem_id="share"),
        "copy": gr.Button(texts("copy"), min_width=100, elem_id="copy"),
    }


def build_history(texts: gr.I18n) -> dict[str, gr.Button]:
    """The strip of the last paintings, between undo and redo."""
    with gr.Row(elem_id="history"):
        undo = gr.Button(texts("undo"), min_width=84, elem_id="undo")
        redo = gr.Button(texts("redo"), min_width=84, elem_id="redo")
        gr.HTML(texts("strip"), html_template=STRIP, elem_id="strip")
        recall = gr.Button(visible="hidden", elem_id="recall")
    return {"undo": undo, "redo": redo, "recall": recall}


def connect_visit(
    page: gr.Blocks,
    visit: Visit,
    controls: list[gr.components.Component],
    painting: gr.ImageSlider,
) -> None:
    """Let the script follow the controls and the paintings, and set the controls.

    Args:
        page: whose opening restores what the tab was left with, after `painter.start()`.
        visit: the components.
        controls: what a painting depends on, the photo and the style first.
        painting: photo and painting as they are shown.
    """
    silent = {"show_progress": "hidden", "api_visibility": "private"}
    page.load(None, controls, js="(...values) => { painter.restore(...values) }", **silent)
    kept = [control.change for control in controls]
    gr.on(kept, None, controls, js="(...values) => { painter.keep(...values) }", **silent)
    painting.change(None, [*controls, painting], js="(...values) => { painter.record(...values) }", **silent)
    visit.recall.click(None, None, controls, js="() => painter.recalled()", **silent)
    for button, action in (
        (visit.undo, "step(-1)"),
        (visit.redo, "step(1)"),
        (visit.share, "share()"),
        (visit.copy, "copy()"),
    ):
        button.click(None, js=f"() => {{ painter.{action} }}", **silent)


def with_album(paint_all: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The event that paints several photos, handing out their album after its own outputs.

    Args:
        paint_all: yields a zip, a report and, as they are finished, (paintings, lines, photos); None at the end.
    """

    def event(*arguments: Any) -> Iterator[Any]:
        pictures: dict[str, str] = {}  # painting -> its figure
        for archive, report, several in paint_all(*arguments):
            for painting in several[0] if isinstance(several, tuple) else []:
                if painting not in pictures:
                    pictures[painting] = figure(Path(painting))
            album = f'<div class="pictures">{"".join(pictures.values())}</div>' if pictures else gr.skip()
            yield archive, report, several, album

    return event


def figure(painting: Path) -> str:
    """HTML of a painting: a small picture, its name, and a link that saves the file."""
    small = load_picture(painting).compose()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    thumbnail = Path(save_preview(small, f"{painting.stem[:60]}-small"))
    clean_up_later(painting, thumbnail)
    name = html.escape(painting.name)
    label = html.escape(f"{say('Download')} {painting.name}")
    return (
        f'<figure><img src="{address(thumbnail)}" alt=""><figcaption>{name}</figcaption>'
        f'<a href="{address(painting)}" download="{name}" aria-label="{label}">{say("Download")}</a></figure>'
    )


def address(file: Path) -> str:
    """Of a file among Gradio's own, relative to the page, which may lie below another."""
    return f"gradio_api/file={quote(str(file))}"


def clean_up_later(*files: Path) -> None:
    """Have Gradio remove files in time that no component hands out."""
    if blocks := LocalContext.blocks.get(None):
        blocks.upload_file_set.update(map(str, files))
