"""How the loopback Hub reads requests, refuses them, and hands out long answers page by page."""

import json
from urllib.parse import parse_qsl, unquote, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from fake_hub.access import HubError, Visitor, check_may_write, not_found
from fake_hub.store import KINDS, Commit, Repo, Store


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


class Desk:
    """What all handlers need: who asks, for which repository, and paging; a handler goes from request to answer."""

    def __init__(self, store: Store, page_size: int):
        self.store, self.page_size = store, page_size

    def visitor(self, request: Request) -> Visitor:
        return self.store.visitor(request.headers.get("authorization"))

    async def refuse_address(self, request: Request, error: Exception) -> Response:
        """A repository without a namespace, of which there are none here, or nothing at all."""
        refusal = HubError(404, "Sorry, we can't find the page you are looking for.")
        if KINDS.keys() & {*request.url.path.split("/")[1:3]}:
            try:
                refusal = not_found(self.visitor(request))
            except HubError as unknown_token:
                refusal = unknown_token
        return await refuse(request, refusal)

    def repo(self, request: Request, *, to_write: bool = False) -> Repo:
        visitor = self.visitor(request)
        repo_id = f"{part(request, 'namespace')}/{part(request, 'name')}"
        repo = self.store.find(kind_of(request, visitor), repo_id, visitor)
        if to_write:
            check_may_write(repo.id, visitor)
        return repo

    def repo_and_commit(self, request: Request) -> tuple[Repo, Commit]:
        repo = self.repo(request)
        return repo, repo.resolve(part(request, "revision", "main"))

    def paged(self, request: Request, entries: list) -> Response:
        """One page of the entries, and where the next one is."""
        start = int(request.query_params.get("cursor", 0))
        limit = int(request.query_params.get("limit", self.page_size))
        end = start + max(1, min(self.page_size, limit))
        headers = {}
        if end < len(entries):
            query = [(key, value) for key, value in parse_qsl(request.url.query) if key != "cursor"]
            address = endpoint(request) + request.scope["raw_path"].decode()
            headers["Link"] = f'<{address}?{urlencode([*query, ("cursor", end)])}>; rel="next"'
        return JSONResponse(jsonable(entries[start:end]), headers=headers)


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
