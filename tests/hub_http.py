"""How the loopback Hub reads requests and refuses them."""

import json
from urllib.parse import unquote

from hub_store import KINDS, HubError, Visitor, not_found
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response


def by_sent_path(application):
    """Choose the route by the path as sent, where %2F in a revision is no slash, and call models by their kind too."""

    async def routed(scope, receive, send):
        path = scope["raw_path"].decode("ascii")
        if path.split("/")[1] not in ("api", "lfs", *KINDS):
            path = f"/models{path}"
        await application({**scope, "path": path}, receive, send)

    return routed


async def refuse(request: Request, error: HubError) -> Response:
    headers = {"X-Error-Message": error.message.encode("ascii", "replace").decode().replace("\n", " ")}
    headers |= {"X-Error-Code": error.code} if error.code else {}
    headers |= {"X-Repo-Commit": error.commit} if error.commit else {}
    return JSONResponse({"error": error.message}, error.status, headers)


async def forget(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=400)  # nobody is there to read it


def part(request: Request, name: str, default: str | None = None) -> str:
    """A part of the path, unquoted."""
    value = request.path_params.get(name, default)
    return value if value is None else unquote(value)


def kind_of(request: Request, visitor: Visitor) -> str:
    if request.path_params["kinds"] not in KINDS:
        raise not_found(visitor)
    return KINDS[request.path_params["kinds"]]


def asked_id(wanted: dict, visitor: Visitor) -> str:
    """The repository that a body names, which is one's own where it says no organization."""
    if visitor.user is None:
        raise HubError(401, "Invalid username or password.")
    return f"{wanted.get('organization') or visitor.user.name}/{wanted['name']}"


def endpoint(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def is_true(value: str | None) -> bool:
    return (value or "").lower() in ("true", "1")


def only(told: dict, keys: list[str]) -> dict:
    """These keys and what is always told; everything where no keys are asked for."""
    return {key: told[key] for key in told if not keys or key in ("_id", "id", *keys)}


def jsonable(told: object) -> object:
    """With dates of cards, which YAML reads as dates, as text."""
    return json.loads(json.dumps(told, default=str))
