"""The loopback Hub's addresses: what the clients of huggingface_hub and datasets ask for, answered from a store."""

import base64
import json
from urllib.parse import parse_qs, parse_qsl, urlencode

from hub_http import asked_id, by_sent_path, endpoint, forget, is_true, jsonable, kind_of, only, part, refuse
from hub_store import (
    KINDS,
    Commit,
    HubError,
    Repo,
    Store,
    StoredFile,
    Visitor,
    check_gate,
    check_may_write,
    is_text,
    not_found,
)
from hub_views import (
    card_data,
    card_problems,
    describe,
    describe_commit,
    describe_in_list,
    describe_path,
    describe_ref,
    describe_tree,
)
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

LARGE = 10 * 2**20  # bytes from which text, too, goes into large file storage
REPO = "/{kinds}/{namespace}/{name}"


def hub_application(store: Store, page_size: int):
    """The ASGI application; `page_size` entries are in one answer of a listing at most."""
    api = Api(store, page_size)
    handlers = {HubError: refuse, ClientDisconnect: forget, 404: api.unknown_address}
    return by_sent_path(Starlette(routes=api.routes(), exception_handlers=handlers))


class Api:
    """The handlers, each from a request to an answer or a HubError."""

    def __init__(self, store: Store, page_size: int):
        self.store, self.page_size = store, page_size

    def routes(self) -> list[Route]:
        repo = f"/api{REPO}"
        return [
            Route("/api/whoami-v2", self.whoami),
            Route("/api/validate-yaml", self.validate_card, methods=["POST"]),
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route("/api/{kinds}", self.list_repos),
            Route(repo, self.info),
            Route(f"{repo}/revision/{{revision}}", self.info),
            Route(f"{repo}/auth-check", self.check_access),
            Route(f"{repo}/refs", self.refs),
            Route(f"{repo}/commits/{{revision}}", self.commits),
            Route(f"{repo}/tree/{{revision}}", self.tree),
            Route(f"{repo}/tree/{{revision}}/{{path:path}}", self.tree),
            Route(f"{repo}/paths-info/{{revision}}", self.paths_info, methods=["POST"]),
            Route(f"{repo}/preupload/{{revision}}", self.choose_upload, methods=["POST"]),
            Route(f"{repo}/commit/{{revision}}", self.commit, methods=["POST"]),
            Route(f"{repo}/branch/{{revision}}", self.create_branch, methods=["POST"]),
            Route(f"{repo}/branch/{{revision}}", self.delete_branch, methods=["DELETE"]),
            Route(f"{repo}/tag/{{revision}}", self.create_tag, methods=["POST"]),
            Route(f"{repo}/tag/{{revision}}", self.delete_tag, methods=["DELETE"]),
            Route(f"{repo}/super-squash/{{revision}}", self.squash, methods=["POST"]),
            Route(f"{repo}/settings", self.change_settings, methods=["PUT"]),
            Route(f"{REPO}.git/info/lfs/objects/batch", self.offer_upload, methods=["POST"]),
            Route("/lfs/{sha256}", self.upload, methods=["PUT"]),
            Route("/lfs/{sha256}/verify", self.verify_upload, methods=["POST"]),
            Route(f"{REPO}/resolve/{{revision}}/{{path:path}}", self.download),
        ]

    # -----------------------------------------------------------------------------------------------------------------
    # Who asks, for what

    def visitor(self, request: Request) -> Visitor:
        return self.store.visitor(request.headers.get("authorization"))

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
        end = start + min(self.page_size, int(request.query_params.get("limit", self.page_size)))
        headers = {}
        if end < len(entries):
            query = [(key, value) for key, value in parse_qsl(request.url.query) if key != "cursor"]
            address = endpoint(request) + request.scope["raw_path"].decode()
            headers["Link"] = f'<{address}?{urlencode([*query, ("cursor", end)])}>; rel="next"'
        return JSONResponse(jsonable(entries[start:end]), headers=headers)

    async def unknown_address(self, request: Request, error: Exception) -> Response:
        """A repository without a namespace, of which there are none here, or nothing at all."""
        refusal = HubError(404, "Sorry, we can't find the page you are looking for.")
        if KINDS.keys() & {*request.url.path.split("/")[1:3]}:
            refusal = not_found(self.visitor(request))
        return await refuse(request, refusal)

    async def whoami(self, request: Request) -> Response:
        visitor = self.visitor(request)
        if visitor.user is None:
            raise HubError(401, "Invalid username or password.")
        role = "write" if visitor.may_write else "read"
        return JSONResponse(
            {
                "type": "user",
                "id": visitor.user.name,
                "name": visitor.user.name,
                "fullname": visitor.user.name.title(),
                "isPro": False,
                "orgs": [{"type": "org", "name": name, "roleInOrg": "write"} for name in visitor.user.organizations],
                "auth": {"type": "access_token", "accessToken": {"displayName": "tests", "role": role}},
            }
        )

    # -----------------------------------------------------------------------------------------------------------------
    # Repositories

    async def create(self, request: Request) -> Response:
        wanted = await request.json()
        visitor = self.visitor(request)
        repo_id = asked_id(wanted, visitor)
        kind = wanted.get("type") or "model"
        check_may_write(repo_id, visitor)
        url = f"{endpoint(request)}{'' if kind == 'model' else f'/{kind}s'}/{repo_id}"
        if self.store.repo(repo_id, kind) is not None:
            return JSONResponse({"error": f"You already created this {kind} repo", "url": url}, 409)
        self.store.create(kind, repo_id, private=wanted.get("visibility") == "private", settings=wanted)
        return JSONResponse({"url": url})

    async def delete(self, request: Request) -> Response:
        wanted = await request.json()
        visitor = self.visitor(request)
        repo = self.store.find(wanted.get("type") or "model", asked_id(wanted, visitor), visitor)
        check_may_write(repo.id, visitor)
        self.store.delete(repo)
        return JSONResponse({})

    async def change_settings(self, request: Request) -> Response:
        repo = self.repo(request, to_write=True)
        wanted = await request.json()
        if "visibility" in wanted:
            repo.private = wanted["visibility"] == "private"
        repo.gated = wanted.get("gated", repo.gated)
        return JSONResponse({"private": repo.private, "gated": repo.gated})

    async def list_repos(self, request: Request) -> Response:
        visitor = self.visitor(request)
        query = request.query_params
        repos = self.store.visible(kind_of(request, visitor), visitor)
        if query.get("sort") == "createdAt":
            repos.sort(key=lambda repo: repo.created, reverse=True)
        tags = {*query.getlist("filter"), *query.getlist("pipeline_tag")}
        author, words = query.get("author"), query.get("search", "").lower()
        told = [describe(repo, repo.head) for repo in repos if words in repo.id.lower()]
        told = [each for each in told if author in (None, each["author"]) and tags <= {*each["tags"]}]
        if expand := query.getlist("expand"):
            return self.paged(request, [only(each, expand) for each in told])
        full, with_card = is_true(query.get("full")), is_true(query.get("cardData"))
        return self.paged(request, [describe_in_list(each, full=full, with_card=with_card) for each in told])

    async def info(self, request: Request) -> Response:
        repo, commit = self.repo_and_commit(request)
        told = describe(repo, commit, with_sizes=is_true(request.query_params.get("blobs")))
        return JSONResponse(jsonable(only(told, request.query_params.getlist("expand"))))

    async def check_access(self, request: Request) -> Response:
        check_gate(self.repo(request), self.visitor(request))
        return JSONResponse({})

    async def validate_card(self, request: Request) -> Response:
        wanted = await request.json()
        problems = card_problems(wanted["content"], wanted["repoType"])
        warnings = [] if problems or card_data(wanted["content"]) else ["empty or missing yaml metadata in repo card"]
        told = {"errors": problems, "warnings": warnings}
        told = {key: [{"message": text} for text in texts] for key, texts in told.items()}
        return JSONResponse(told, 400 if problems else 200)

    # -----------------------------------------------------------------------------------------------------------------
    # Branches, tags, commits

    async def refs(self, request: Request) -> Response:
        repo = self.repo(request)
        branches = [describe_ref("heads", name, commit) for name, commit in repo.branches.items()]
        tags = [describe_ref("tags", name, commit) for name, commit in repo.tags.items()]
        return JSONResponse({"branches": branches, "converts": [], "tags": tags, "pullRequests": []})

    async def commits(self, request: Request) -> Response:
        _, commit = self.repo_and_commit(request)
        return self.paged(request, [describe_commit(each) for each in commit.history()])

    async def create_branch(self, request: Request) -> Response:
        repo, branch = self.repo(request, to_write=True), part(request, "revision")
        wanted = json.loads(await request.body() or b"{}")
        return point(repo.branches, branch, repo.resolve(wanted.get("startingPoint", "main")))

    async def delete_branch(self, request: Request) -> Response:
        repo, branch = self.repo(request, to_write=True), part(request, "revision")
        if branch == "main":
            raise HubError(403, "The main branch cannot be deleted")
        return drop(repo.branches, branch)

    async def create_tag(self, request: Request) -> Response:
        repo = self.repo(request, to_write=True)
        wanted = await request.json()
        return point(repo.tags, wanted["tag"], repo.resolve(part(request, "revision")))

    async def delete_tag(self, request: Request) -> Response:
        return drop(self.repo(request, to_write=True).tags, part(request, "revision"))

    async def squash(self, request: Request) -> Response:
        repo = self.repo(request, to_write=True)
        wanted = await request.json()
        repo.squash(part(request, "revision"), wanted["message"])
        return JSONResponse({})

    # -----------------------------------------------------------------------------------------------------------------
    # Files, to look at and to take

    async def tree(self, request: Request) -> Response:
        _, commit = self.repo_and_commit(request)
        query = request.query_params
        options = {"recursive": is_true(query.get("recursive")), "expand": is_true(query.get("expand"))}
        return self.paged(request, describe_tree(commit, part(request, "path", ""), **options))

    async def paths_info(self, request: Request) -> Response:
        _, commit = self.repo_and_commit(request)
        wanted = parse_qs((await request.body()).decode())
        expand = is_true(wanted.get("expand", [""])[0])
        told = [describe_path(commit, path.strip("/"), expand=expand) for path in wanted.get("paths", [])]
        return JSONResponse([entry for entry in told if entry is not None])

    async def download(self, request: Request) -> Response:
        repo, commit = self.repo_and_commit(request)
        check_gate(repo, self.visitor(request))
        file = repo.file(part(request, "path"), commit.sha)
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{file.etag}"'}
        if file.pointer_size is not None:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return FileResponse(repo.contents.path(file.sha256), headers=headers)

    # -----------------------------------------------------------------------------------------------------------------
    # Files, to bring

    async def choose_upload(self, request: Request) -> Response:
        repo = self.repo(request, to_write=True)
        files = repo.resolve(part(request, "revision")).files
        wanted = await request.json()
        told = []
        for each in wanted["files"]:
            in_git = is_text(base64.b64decode(each["sample"])) and each["size"] < LARGE
            known = files[each["path"]].etag if each["path"] in files else None
            mode = "regular" if in_git else "lfs"
            told.append({"path": each["path"], "uploadMode": mode, "shouldIgnore": False, "oid": known})
        return JSONResponse({"files": told})

    async def offer_upload(self, request: Request) -> Response:
        self.repo(request, to_write=True)
        objects = [{"oid": each["oid"], "size": each["size"]} for each in (await request.json())["objects"]]
        for each in objects:
            if not self.store.contents.path(each["oid"]).exists():
                href = f"{endpoint(request)}/lfs/{each['oid']}"
                each["actions"] = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def upload(self, request: Request) -> Response:
        content = await request.body()  # a client that leaves midway leaves nothing behind
        self.store.contents.add_as(part(request, "sha256"), content)
        return Response()

    async def verify_upload(self, request: Request) -> Response:
        wanted = await request.json()
        if self.store.contents.in_large_storage(wanted["oid"]).size != wanted["size"]:
            raise HubError(422, "The file's size is not the announced one")
        return JSONResponse({"message": "ok"})

    async def commit(self, request: Request) -> Response:
        repo, branch = self.repo(request, to_write=True), part(request, "revision")
        if branch not in repo.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line]
        header = lines[0]["value"]
        changes = {}
        for line in lines[1:]:
            changes |= self.change(repo.branches[branch], line["key"], line["value"])
        commit = repo.commit(
            changes,
            header["summary"],
            branch=branch,
            description=header.get("description", ""),
            author=self.visitor(request).user.name,
            expected_parent=header.get("parentCommit"),
        )
        prefix = "" if repo.kind == "model" else f"/{repo.kind}s"
        url = f"{endpoint(request)}{prefix}/{repo.id}/commit/{commit.sha}"
        return JSONResponse({"success": True, "commitOid": commit.sha, "commitUrl": url})

    def change(self, parent: Commit, key: str, value: dict) -> dict[str, StoredFile | None]:
        """What one line of a commit does to the files."""
        path = value["path"]
        if path.startswith("/") or {"..", ".", "", ".git"} & set(path.rstrip("/").split("/")):
            raise HubError(400, f"Invalid path: {path}")
        if key == "file":
            return {path: self.store.contents.in_git(base64.b64decode(value["content"]))}
        if key == "lfsFile":
            return {path: self.store.contents.in_large_storage(value["oid"])}
        folder = path.rstrip("/") + "/"
        gone = [each for each in parent.files if each == path or (key == "deletedFolder" and each.startswith(folder))]
        if not gone:
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound", parent.sha)
        return dict.fromkeys(gone)


def point(refs: dict[str, Commit], name: str, commit: Commit) -> Response:
    if name in refs:
        raise HubError(409, f"Reference {name} already exists")
    refs[name] = commit
    return JSONResponse({})


def drop(refs: dict[str, Commit], name: str) -> Response:
    if name not in refs:
        raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
    del refs[name]
    return JSONResponse({})
