"""The page's live camera: frames go to the server and come back painted, the newest first, and none is kept.

Gradio's own streaming sends every frame as an event of its own, with files on the disk; see docs/decisions.md. Here a
frame is one request, and its painting the answer: JPEG both ways, in memory. The browser has at most two on their way.
Of those of one camera one is painted and one waits, and a newer one takes the place of the one that waits: so the delay
is that of two paintings, however slow the machine is.
"""

import asyncio
import io
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from styletransfer.errors import InputError
from styletransfer.images.files import declared_size, load_picture
from styletransfer.moving.live import LivePainter
from styletransfer.page.language import chosen_language, in_language
from styletransfer.page.server import gpu_decorator
from styletransfer.page.studio import Studio
from styletransfer.page.tabs.files import show
from styletransfer.painter import check_size
from styletransfer.settings import PaintSettings

LIVE_VARIABLE = "STYLETRANSFER_LIVE"  # 0: visitors are not offered it
PATIENCE = 10.0  # seconds without a frame, after which the place is free for others
MAX_PIXELS, MAX_KILOBYTES = 640 * 480, 400  # of a frame
LONGEST_NAME = 64  # characters of what a camera calls itself
QUALITY = 85  # of the JPEG that is sent back
SEEN = '<div id="seen"><canvas role="img" aria-label="{{value}}"></canvas></div>'


def is_live_offered() -> bool:
    """Whether visitors may paint what their camera sees."""
    return os.environ.get(LIVE_VARIABLE) != "0" and not gpu_decorator()  # a lent GPU is lent for one painting


# ---------------------------------------------------------------- the page


@dataclass(frozen=True)
class Camera:
    """The components."""

    start: gr.Button


def build_camera(texts: gr.I18n) -> Camera:
    """The tab, beside the others."""
    with gr.Tab(texts("camera")) as tab:
        with gr.Row():
            start = gr.Button(texts("camera_start"), variant="primary", elem_id="camera-start")
            keep = gr.Button(texts("camera_keep"), interactive=False, elem_id="camera-keep")
        gr.HTML(texts("camera_hint"), html_template='<p role="status">{{value}}</p>', elem_id="camera-says")
    tab.select(None, js=show("live"))
    keep.click(None, js="() => { moving.keep() }", api_visibility="private")
    return Camera(start)


def build_seen(texts: gr.I18n) -> gr.HTML:
    """Where the painted frames are shown, on the stage."""
    return gr.HTML(texts("camera_sees"), html_template=SEEN, elem_id="live")


def connect_camera(camera: Camera, settings: list[gr.components.Component]) -> None:
    """Let the button start and stop the camera, and the settings change what is painted.

    Args:
        camera: the tab.
        settings: style, strength in percent, and whether the colors are kept.
    """
    silent = {"show_progress": "hidden", "api_visibility": "private"}
    camera.start.click(None, settings, js="(...values) => { moving.camera(...values) }", **silent)
    changes = [setting.change for setting in settings]
    gr.on(changes, None, settings, js="(...values) => { moving.settings(...values) }", **silent)


# ---------------------------------------------------------------- the server


def live_route(studio: Studio) -> Route:
    """Where the frames go."""
    return Route("/moving/live", LiveCamera(studio).answer, methods=["POST", "DELETE"])


class LiveCamera:
    """Paints for as many cameras at a time as the limits of the studio allow."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._cameras: dict[str, _Camera] = {}

    async def answer(self, request: Request) -> Response:
        """A frame painted: JPEG; nothing (204) where a newer one has come; a sentence (409) where it cannot be.

        The query has the camera's own name, which nobody else knows, and the settings; DELETE says that it is off.
        """
        name = request.query_params.get("camera", "")[:LONGEST_NAME]
        if request.method == "DELETE":
            self._cameras.pop(name, None)
            return Response(status_code=204)
        try:
            camera = self._admitted(name)
            frame, settings = await _body(request), _settings(request.query_params)
            painting = await camera.newest(frame, settings)
            return Response(painting, media_type="image/jpeg") if painting else Response(status_code=204)
        except InputError as error:
            language = chosen_language(request.headers.get("accept-language", ""))
            return JSONResponse({"error": in_language(error.sentence, language)}, status_code=409)

    def _admitted(self, name: str) -> "_Camera":
        """The camera of that name; raises InputError where there is no place for it, or its time is over."""
        now = time.monotonic()
        self._cameras = {each: camera for each, camera in self._cameras.items() if now - camera.seen < PATIENCE}
        if name not in self._cameras:
            if len(self._cameras) >= self.studio.limits.live_visitors:
                raise InputError("The camera is being used by someone else here: try again in a minute.")
            self._cameras[name] = _Camera(self.studio)
        camera = self._cameras[name]
        if now - camera.begun > self.studio.limits.live_seconds:
            raise InputError(
                "The camera has run for {seconds} seconds, the limit here: start it again.",
                seconds=self.studio.limits.live_seconds,
            )
        camera.seen = now
        return camera


class _Camera:
    """One camera: a frame that is painted, and the newest one, which waits for it."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.begun, self.seen = studio, time.monotonic(), time.monotonic()
        self._painting = asyncio.Lock()
        self._number = 0
        self._style, self._painter = "", None

    async def newest(self, frame: bytes, settings: PaintSettings) -> bytes | None:
        """The frame's painting; None where a newer frame came while it waited."""
        self._number += 1
        number = self._number
        async with self._painting:
            if number != self._number:
                return None
            self.studio.is_visited()
            return await asyncio.to_thread(self._painted, frame, settings)

    def _painted(self, content: bytes, settings: PaintSettings) -> bytes:
        frame, style = _frame(content), next(iter(settings.mix))
        if self._painter is None or style != self._style:
            painter, mix = self.studio.catalog.pipeline({style: 1.0})
            self._painter, self._style = LivePainter(painter, next(iter(mix))), style
        painting = self._painter.paint(frame, strength=settings.strength, keep_colors=settings.keep_colors)
        file = io.BytesIO()
        painting.save(file, "JPEG", quality=QUALITY)
        return file.getvalue()


async def _body(request: Request) -> bytes:
    """What was sent; raises InputError for more than a frame has, before all of it has come."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > 1000 * MAX_KILOBYTES:
            raise _too_much()
    return bytes(content)


def _settings(query: Mapping[str, str]) -> PaintSettings:
    try:
        strength = float(query.get("strength", "1"))
    except ValueError:
        strength = float("nan")  # in no bounds
    return PaintSettings(query.get("style", ""), strength, keep_colors=query.get("keep_colors") == "true")


def _frame(content: bytes) -> Image.Image:
    """A frame, its size looked at before anything is decoded."""
    width, height = declared_size(io.BytesIO(content))
    if width * height > MAX_PIXELS:
        raise _too_much()
    picture = load_picture(content)
    check_size(picture.size)
    return picture.rgb


def _too_much() -> InputError:
    return InputError(
        "A picture of the camera may have {pixels} pixels and {kilobytes} KB here.",
        pixels=MAX_PIXELS,
        kilobytes=MAX_KILOBYTES,
    )
