"""What the browser is given for pictures in motion: a script, a style sheet, and the viewer when it is used."""

import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from styletransfer.page.texts import CHINESE, ENGLISH

STATIC = Path(__file__).parent / "static"
VIEWER = "viewer.js"  # by scripts/build_viewer.sh
SAID = (
    "around_look",
    "gyroscope",
    "headset",
    "photo",
    "no_3d",
    "camera_stop",
    "camera_start",
    "camera_none",
    "camera_lost",
    "camera_rate",
)


def moving_script() -> str:
    """What runs in the browser, as a statement that makes `window.moving`."""
    words = {texts["language"]: {key: texts[key] for key in SAID} for texts in (ENGLISH, CHINESE)}
    script = (STATIC / "moving.js").read_text(encoding="utf-8")
    return script.replace('"{TEXTS}"', json.dumps(words, ensure_ascii=False))


def moving_css() -> str:
    """The style sheet of these parts."""
    return (STATIC / "moving.css").read_text(encoding="utf-8")


async def _viewer(_: Request) -> FileResponse:
    return FileResponse(STATIC / VIEWER, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


VIEWER_ROUTE = Route(f"/moving/{VIEWER}", _viewer)


def show(mode: str = "") -> str:
    """JavaScript that lets the stage show one kind of work: "several", "around" or "live"; the painting without any."""
    return f"() => {{ moving.show({json.dumps(mode)}) }}"
