"""The tab "Video": a clip in, painted aside from the visitors who paint photos, to be played and taken home."""

import html
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from styletransfer.aside import HEARTBEAT, Line, words_of
from styletransfer.errors import InputError, Sentence
from styletransfer.moving.kinds import VIDEO_SUFFIXES
from styletransfer.page.language import in_language, say, told
from styletransfer.page.requests import Asked, File, new_folder, uploaded
from styletransfer.page.studio import Studio
from styletransfer.page.tabs.files import show
from styletransfer.page.visit import address, clean_up_later
from styletransfer.painter import Painter
from styletransfer.results import result_name
from styletransfer.settings import PaintSettings

VARIABLE = "STYLETRANSFER_VIDEO"  # 0: visitors are not offered it
SUFFIXES = sorted(VIDEO_SUFFIXES | {".gif", ".webp", ".apng"})


@dataclass(frozen=True)
class VideoTab:
    """The components of the tab."""

    clip: gr.File
    paint: gr.Button
    stop: gr.Button
    says: gr.HTML
    result: gr.HTML


class VideoRoom:
    """Paints the clips of visitors, one at a time and in a process of its own; safe to use from any thread.

    Args:
        studio: whose styles and limits hold.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.line = Line(studio.limits.video_waiting, Sentence("Too many videos are being painted: try again later."))

    def paint(self, upload: File | None, *settings: Any) -> Iterator[tuple[Any, Any]]:
        """Paint a clip; hands out what is said about it and the player, again and again."""
        try:
            source, asked = uploaded(upload, "video"), Asked(*settings).settings()
            yield _says(say("Looking at the video."), 0.0), ""
            with self.line.place() as ticket:
                while before := self.line.before(ticket):
                    yield _says(say("In line: {before} before yours.", before=before)), ""
                    time.sleep(HEARTBEAT)
                folder = new_folder()
                try:
                    yield from self._paint(source, folder, asked)
                except BaseException:  # also where the visitor has gone away
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
        except InputError as error:
            yield _says(in_language(error.sentence)), ""
            raise told(error) from error

    def stopped(self) -> tuple[str, str]:
        """What the tab shows after it was stopped."""
        return _says(say("Stopped: nothing was kept.")), ""

    def _paint(self, source: Path, folder: Path, settings: PaintSettings) -> Iterator[tuple[Any, Any]]:
        output = folder / result_name(source.name, settings.mix, ".mp4")
        threads = max(1, (os.cpu_count() or 1) // 2)
        failed = Sentence("The video could not be painted: try another one.")
        done, notes, began = 0.0, [], time.monotonic()
        for word in words_of(self._command(source, output, settings, folder), threads, failed):
            word = word or {}
            if "error" in word:
                raise InputError(_sentence(word["error"], source))
            done, notes = word.get("done", done), word.get("notes", notes)
            percent, seconds = round(100 * done), round(time.monotonic() - began)
            yield _says(say("Painting: {percent} %, {seconds} s.", percent=percent, seconds=seconds), done), gr.skip()
        clean_up_later(output)
        said = [say("Painted."), *(in_language(_sentence(note, source)) for note in notes)]
        yield _says(" ".join(said)), _player(output)

    def _command(self, source: Path, output: Path, settings: PaintSettings, folder: Path) -> list[str]:
        pack, mix = self._pack(settings.mix, folder)
        limits = self.studio.limits
        command = [str(source), "--style", ",".join(f"{name}={share}" for name, share in mix.items())]
        command += ["-o", str(output), "--pack", str(pack), "--strength", f"{settings.strength}"]
        command += ["--brush-size", f"{settings.brush_size}", "--size", str(limits.video_side)]
        command += ["--keep-colors"] if settings.keep_colors else []
        return [*command, "--most-seconds", str(limits.video_seconds), "--json", "--leash"]

    def _pack(self, mix: Mapping[str, float], folder: Path) -> tuple[Path, Mapping[str, float]]:
        """The folder of a pack that paints the mix, and the mix by its names."""
        painter, names = self.studio.catalog.pipeline(mix)
        if painter.folder is None and type(painter) is Painter:  # between networks, a network of its own
            painter.generator.save_pretrained(folder / "mixed")
            return folder / "mixed", names
        if painter.folder is None:
            raise InputError("These styles cannot be mixed in a video, their networks were trained apart: choose one.")
        return painter.folder, names


def is_offered(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether visitors may have videos painted on this server."""
    return environment.get(VARIABLE, "1") != "0"


def build_video(texts: gr.I18n) -> VideoTab:
    """The tab of the page."""
    with gr.Tab(texts("moving")) as tab:
        clip = gr.File(file_types=SUFFIXES, label=texts("clip"), height=140, elem_id="clip")
        with gr.Row():
            paint = gr.Button(texts("paint_video"), variant="primary", elem_id="paint-video")
            stop = gr.Button(texts("cancel"), elem_id="stop-video")
        says = gr.HTML(elem_id="video-says")
        result = gr.HTML(elem_id="painted-video")
    tab.select(None, js=show())
    return VideoTab(clip, paint, stop, says, result)


def connect_video(tab: VideoTab, room: VideoRoom, settings: Sequence[gr.components.Component]) -> None:
    """Paint what was brought, in the settings without a mask, and let it be stopped."""
    painting = tab.paint.click(
        room.paint,
        [tab.clip, *settings[:-1]],
        [tab.says, tab.result],
        preprocess=False,
        show_progress="hidden",
        concurrency_id="video",
        concurrency_limit=room.line.waiting + 2,  # who is one too many is told so at once, and not by Gradio's queue
        api_visibility="private",
    )
    tab.stop.click(None, cancels=[painting])
    tab.stop.click(
        room.stopped, None, [tab.says, tab.result], queue=False, show_progress="hidden", api_visibility="private"
    )


def _sentence(said: Sequence[Any], source: Path) -> Sentence:
    """A sentence of the process, which calls the file by its whole name; visitors need not know where it lies."""
    template, values = said
    return Sentence(template, **{key: str(value).replace(str(source), source.name) for key, value in values.items()})


def _player(video: Path) -> str:
    name = html.escape(video.name)
    label = html.escape(f"{say('Download')} {video.name}")
    return (
        f'<video src="{address(video)}" controls loop playsinline></video>'
        f'<a href="{address(video)}" download="{name}" aria-label="{label}">{say("Download")}</a>'
    )


def _says(text: str, done: float | None = None) -> str:
    bar = "" if done is None else f'<progress max="1" value="{done:.3f}"></progress>'
    return f'<p role="status">{html.escape(text)}</p>{bar}'
