"""Who visits the loopback Hub, and the rules about who may do what, with the refusals as the Hub words them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fake_hub.store import Repo


class HubError(Exception):
    """A refusal, as the Hub words it: a status, a sentence, and where clients tell cases apart, an X-Error-Code."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.commit = status, message, code, commit


@dataclass(frozen=True)
class User:
    """Somebody with an account, who may write to their own namespace and to those of their organizations."""

    name: str
    organizations: tuple[str, ...] = ()

    def token(self, role: str = "write") -> str:
        return f"hf_{self.name}_{role}"

    def owns(self, repo_id: str) -> bool:
        return repo_id.split("/")[0] in (self.name, *self.organizations)


@dataclass(frozen=True)
class Visitor:
    """Who sends a request: a user or nobody, with a token that may write or only read."""

    user: User | None = None
    may_write: bool = False

    def owns(self, repo_id: str) -> bool:
        return self.user is not None and self.user.owns(repo_id)


def may_see(repo: "Repo", visitor: Visitor) -> bool:
    return not repo.private or visitor.owns(repo.id)


def not_found(visitor: Visitor) -> HubError:
    """Missing and private look the same, and to the anonymous both look like a matter of logging in."""
    if visitor.user is None:
        return HubError(401, "Invalid username or password.", "RepoNotFound")
    return HubError(404, "Repository not found", "RepoNotFound")


def check_gate(repo: "Repo", visitor: Visitor) -> None:
    """Of a gated repository everybody may see that it is there, and only those let in may have the files."""
    if not repo.gated or visitor.owns(repo.id):
        return
    if visitor.user is None:
        message = f"Access to {repo.kind} {repo.id} is restricted. You must be authenticated to access it."
        raise HubError(401, message, "GatedRepo")
    if visitor.user.name not in repo.readers:
        message = f"Access to {repo.kind} {repo.id} is restricted and you are not in the authorized list."
        raise HubError(403, message, "GatedRepo")


def check_may_write(repo_id: str, visitor: Visitor) -> None:
    if visitor.user is None:
        raise HubError(401, "Invalid username or password.")
    if not visitor.owns(repo_id):
        raise HubError(403, f"You don't have the rights to write to the namespace of {repo_id}")
    if not visitor.may_write:
        raise HubError(403, "This token is read-only: use a token with the write role")
