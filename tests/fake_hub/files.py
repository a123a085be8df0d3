"""The loopback Hub's addresses for files: listed, taken, brought and committed."""

import base64
import json
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fake_hub.access import HubError, check_gate
from fake_hub.desk import Desk, endpoint, is_true, part
from fake_hub.store import Commit, StoredFile, is_text
from fake_hub.views import describe_path, describe_tree

LARGE = 10 * 2**20  # bytes from which text, too, goes into large file storage
REPO = "/{kinds}/{namespace}/{name}"


class Files(Desk):
    """Folders, files and commits."""

    def routes(self) -> list[Route]:
        api = f"/api{REPO}"
        return [
            Route(f"{api}/tree/{{revision}}", self.tree),
            Route(f"{api}/tree/{{revision}}/{{path:path}}", self.tree),
            Route(f"{api}/paths-info/{{revision}}", self.paths_info, methods=["POST"]),
            Route(f"{REPO}/resolve/{{revision}}/{{path:path}}", self.download),
            Route(f"{api}/preupload/{{revision}}", self.choose_upload, methods=["POST"]),
            Route(f"{REPO}.git/info/lfs/objects/batch", self.offer_upload, methods=["POST"]),
            Route("/lfs/{sha256}", self.upload, methods=["PUT"]),
            Route("/lfs/{sha256}/verify", self.verify_upload, methods=["POST"]),
            Route(f"{api}/commit/{{revision}}", self.commit, methods=["POST"]),
        ]

    # -----------------------------------------------------------------------------------------------------------------
    # To look at and to take

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
    # To bring

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
