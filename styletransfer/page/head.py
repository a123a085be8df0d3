"""What others see of the page before it is open: its icon, and the card that a link to it becomes elsewhere."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from styletransfer.page.look import PAPER
from styletransfer.page.tabs.files import VIEWER_ROUTE
from styletransfer.page.texts import ENGLISH
from styletransfer.paths import ASSETS

ICON, DRAWN_ICON, PREVIEW = "icon.png", "icon.svg", "preview.jpg"
PREVIEW_SIZE = (1200, 630)

# Gradio's own card stands in its template, above whatever one could add: it names Gradio, and a picture elsewhere.
_FOREIGN = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')


def head_settings(routes: Sequence[BaseRoute] = ()) -> dict[str, Any]:
    """For `launch`: more routes and the viewer's, the icon, and the page's tags where its pictures are not missing."""
    routes = [*routes, VIEWER_ROUTE]
    if not (ASSETS / PREVIEW).is_file():
        return {"app_kwargs": {"routes": routes}}
    routes += [Route(f"/{name}", _file(ASSETS / name)) for name in (DRAWN_ICON, PREVIEW)]
    app = {"routes": routes, "middleware": [Middleware(OwnHead)]}
    return {"favicon_path": str(ASSETS / ICON), "app_kwargs": app}


def tags(address: str) -> str:
    """The tags of the page as HTML.

    Args:
        address: of the page, with a slash at its end: other sites want addresses in full.
    """
    title, about = ENGLISH["title"], ENGLISH["subtitle"]
    picture = f"{address}{PREVIEW}"
    card = {
        "og:type": "website",
        "og:url": address,
        "og:title": title,
        "og:description": about,
        "og:image": picture,
        "og:image:width": PREVIEW_SIZE[0],
        "og:image:height": PREVIEW_SIZE[1],
        "og:image:alt": "A photo that turns into a painting from left to right",
    }
    named = {
        "description": about,
        "twitter:card": "summary_large_image",
        "twitter:title": title,
        "twitter:description": about,
        "twitter:image": picture,
    }
    lines = [f"<title>{html.escape(title)}</title>"]
    lines += [f'<meta property="{name}" content="{html.escape(str(text))}" />' for name, text in card.items()]
    lines += [f'<meta name="{name}" content="{html.escape(text)}" />' for name, text in named.items()]
    for scheme, color in (("light", PAPER.c50), ("dark", PAPER.c950)):
        lines.append(f'<meta name="theme-color" media="(prefers-color-scheme: {scheme})" content="{color}" />')
    lines.append(f'<link rel="icon" type="image/svg+xml" href="{DRAWN_ICON}" />')
    return "\n".join(lines)


def with_own_tags(page: str, address: str) -> str:
    """Gradio's HTML with our tags in place of its own."""
    head, start, rest = page.partition("<script")  # what follows is Gradio's program, which is not ours to change
    return _FOREIGN.sub("", head) + tags(address) + "\n" + start + rest


def address_of(request: Request) -> str:
    """Where the page is from outside, as proxies say it, which Spaces are behind."""

    def told(name: str, otherwise: str) -> str:
        return request.headers.get(f"x-forwarded-{name}", "").partition(",")[0].strip() or otherwise

    scheme, host = told("proto", request.url.scheme), told("host", request.headers.get("host", ""))
    return f"{scheme}://{host}{request.scope.get('root_path', '')}/"


class OwnHead:
    """Middleware that puts our tags into the page's HTML; everything else passes through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        parts: list[Message] = []

        async def keep(message: Message) -> None:
            parts.append(message)
            if not message.get("more_body") and message["type"] == "http.response.body":
                for changed in _changed(parts, address_of(Request(scope))):
                    await send(changed)

        await self.app(scope, receive, keep)


def _changed(parts: list[Message], address: str) -> list[Message]:
    """The messages of an answer, as one; its HTML with our tags."""
    start, body = parts[0], b"".join(part.get("body", b"") for part in parts[1:])
    if body and Headers(raw=start["headers"]).get("content-type", "").startswith("text/html"):
        body = with_own_tags(body.decode(), address).encode()
        MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
    return [start, {"type": "http.response.body", "body": body}]


def _file(path: Path) -> Any:
    async def answer(_: Request) -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "public, max-age=86400"})

    return answer
