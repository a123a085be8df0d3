"""The loopback Hub's addresses for repositories: what there is, what it is called, and in which states."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fake_hub.access import HubError, check_gate, check_may_write
from fake_hub.desk import Desk, asked_id, endpoint, is_true, jsonable, kind_of, only, part
from fake_hub.store import Commit
from fake_hub.views import card_data, card_problems, describe, describe_commit, describe_in_list, describe_ref, moment

REPO = "/api/{kinds}/{namespace}/{name}"


class Repositories(Desk):
    """Users, repositories, branches and tags."""

    def routes(self) -> list[Route]:
        return [
            Route("/api/whoami-v2", self.whoami),
            Route("/api/validate-yaml", self.validate_card, methods=["POST"]),
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route("/api/{kinds}", self.list_repos),
            Route(REPO, self.info),
            Route(f"{REPO}/revision/{{revision}}", self.info),
            Route(f"{REPO}/auth-check", self.check_access),
            Route(f"{REPO}/settings", self.change_settings, methods=["PUT"]),
            Route(f"{REPO}/variables", self.set_variable, methods=["POST"]),
            Route(f"{REPO}/refs", self.refs),
            Route(f"{REPO}/commits/{{revision}}", self.commits),
            Route(f"{REPO}/branch/{{revision}}", self.create_branch, methods=["POST"]),
            Route(f"{REPO}/branch/{{revision}}", self.delete_branch, methods=["DELETE"]),
            Route(f"{REPO}/tag/{{revision}}", self.create_tag, methods=["POST"]),
            Route(f"{REPO}/tag/{{revision}}", self.delete_tag, methods=["DELETE"]),
            Route(f"{REPO}/super-squash/{{revision}}", self.squash, methods=["POST"]),
        ]

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

    async def set_variable(self, request: Request) -> Response:
        repo = self.repo(request, to_write=True)
        wanted = await request.json()
        variables = repo.settings.setdefault("variables", {})
        variables[wanted["key"]] = {"value": wanted["value"], "updatedAt": moment(repo.clock.now())}
        return JSONResponse(variables)

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
