"""What the loopback Hub keeps: users, repositories with their commits, and every content once, under its SHA-256."""

import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from fake_hub.access import HubError, User, Visitor, may_see, not_found

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
FIRST_FILES = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}


@dataclass(frozen=True)
class StoredFile:
    """A file as commits hold it; `size` is what the Hub says, which a test may have made up."""

    sha256: str
    size: int
    git_oid: str  # of the content, or of the pointer where the content is in large file storage
    pointer_size: int | None = None  # None where the content itself is in git

    @property
    def etag(self) -> str:
        return self.git_oid if self.pointer_size is None else self.sha256


@dataclass(frozen=True, eq=False)
class Commit:
    """One state of all files."""

    sha: str
    parent: "Commit | None" = field(repr=False)
    title: str
    description: str
    author: str
    date: datetime
    files: Mapping[str, StoredFile] = field(repr=False)

    def history(self) -> list["Commit"]:
        """This commit and those before it, newest first."""
        commits, commit = [], self
        while commit is not None:
            commits.append(commit)
            commit = commit.parent
        return commits

    def last_change_of(self, path: str) -> "Commit":
        commit = self
        while commit.parent is not None and commit.parent.files.get(path) == commit.files.get(path):
            commit = commit.parent
        return commit


class Contents:
    """Bytes in a folder, each once, named by their SHA-256."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True)

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def add(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        if not self.path(sha256).exists():
            arriving = self.folder / f"{sha256}.{threading.get_ident()}"
            arriving.write_bytes(content)
            os.replace(arriving, self.path(sha256))
        return sha256

    def add_as(self, sha256: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != sha256:
            raise HubError(400, "BadDigest: the content's SHA-256 is not the announced one")
        self.add(content)

    def in_git(self, content: bytes) -> StoredFile:
        return StoredFile(self.add(content), len(content), git_oid(content))

    def in_large_storage(self, sha256: str) -> StoredFile:
        if not self.path(sha256).exists():
            raise HubError(400, "Your push was rejected because an LFS pointer pointed to a file that does not exist.")
        size = self.path(sha256).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return StoredFile(sha256, size, git_oid(pointer), len(pointer))

    def store(self, content: bytes) -> StoredFile:
        return self.in_git(content) if is_text(content) else self.in_large_storage(self.add(content))


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def is_text(sample: bytes) -> bool:
    """Whether the content goes into git itself; a sample may end in the middle of a character."""
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return b"\0" not in sample


class Clock:
    """The time, never the same twice, so that "newest first" has one answer."""

    def __init__(self):
        self._last = datetime.now(timezone.utc)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            self._last = max(datetime.now(timezone.utc), self._last + timedelta(milliseconds=1))
            return self._last


@dataclass(eq=False)
class Repo:
    """A repository: branches and tags that point to commits, and who may see them."""

    kind: str
    id: str
    contents: Contents
    clock: Clock
    private: bool = False
    gated: str | bool = False  # "auto", "manual" or False
    readers: set[str] = field(default_factory=set)  # names let through the gate
    settings: dict = field(default_factory=dict)  # what else was asked for when it was created
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)

    def __post_init__(self):
        self._lock = threading.RLock()
        self._all: dict[str, Commit] = {}
        self._numbers = itertools.count()
        self.commit({path: self.contents.in_git(content) for path, content in FIRST_FILES.items()}, "initial commit")
        self.created = self.head.date

    @property
    def head(self) -> Commit:
        return self.branches["main"]

    def commit(
        self,
        changes: Mapping[str, StoredFile | None],
        title: str,
        *,
        branch: str = "main",
        description: str = "",
        author: str = "",
        expected_parent: str | None = None,
    ) -> Commit:
        """Put the changed files (None: deleted) on top of the branch."""
        with self._lock:
            parent = self.branches.get(branch) if self._all else None
            if self._all and parent is None:
                raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
            if expected_parent is not None and not parent.sha.startswith(expected_parent):
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            files = {**(parent.files if parent else {}), **changes}
            kept = {path: files[path] for path in sorted(files) if files[path] is not None}
            commit = self.branches[branch] = self._new_commit(parent, title, description, author, kept)
            return commit

    def squash(self, branch: str, title: str) -> None:
        with self._lock:
            tip = self.resolve(branch)
            self.branches[branch] = self._new_commit(None, title, "", tip.author, tip.files)

    def _new_commit(self, parent: Commit | None, *rest: object) -> Commit:
        title, description, author, files = rest
        told = f"{self.kind} {self.id} {next(self._numbers)} {parent and parent.sha} {title} {files}"
        sha = hashlib.sha1(told.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
        self._all[sha] = Commit(sha, parent, title, description, author, self.clock.now(), files)
        return self._all[sha]

    def resolve(self, revision: str = "main") -> Commit:
        """The commit that a branch, a tag, a ref or the beginning of a commit's name stands for."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        found = self.branches.get(name) or self.tags.get(name)
        if found is None and len(revision) >= 7:
            found = next((commit for sha, commit in self._all.items() if sha.startswith(revision)), None)
        if found is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def file(self, path: str, revision: str = "main") -> StoredFile:
        commit = self.resolve(revision)
        if path not in commit.files:
            raise HubError(404, f"{path} does not exist on {revision!r}", "EntryNotFound", commit.sha)
        return commit.files[path]

    def history(self, revision: str = "main") -> list[Commit]:
        return self.resolve(revision).history()

    def paths(self, revision: str = "main") -> list[str]:
        """The files' names without .gitattributes, which every repository has."""
        return [path for path in self.resolve(revision).files if path not in FIRST_FILES]

    def read(self, path: str, revision: str = "main") -> bytes:
        return self.contents.path(self.file(path, revision).sha256).read_bytes()

    def put(
        self,
        files: Mapping[str, bytes | str | Path],
        title: str = "Put by a test",
        *,
        branch: str = "main",
        declared_sizes: Mapping[str, int] | None = None,
    ) -> Commit:
        """Commit without asking anybody: any file name goes, and a size that is not true may be declared."""
        stored = {path: self.contents.store(_bytes(content)) for path, content in files.items()}
        for path, size in (declared_sizes or {}).items():
            stored[path] = replace(stored[path], size=size)
        return self.commit(stored, title, branch=branch, author=self.id.split("/")[0])


def _bytes(content: bytes | str | Path) -> bytes:
    if isinstance(content, Path):
        return content.read_bytes()
    return content.encode() if isinstance(content, str) else content


class Store:
    """All repositories and users, and the rules about who may do what."""

    def __init__(self, folder: Path, users: Iterable[User]):
        self.users = {user.name: user for user in users}
        self.contents = Contents(folder / "contents")
        self._clock = Clock()
        self._lock = threading.Lock()
        self._repos: dict[tuple[str, str], Repo] = {}
        self._visitors = {user.token("read"): Visitor(user) for user in self.users.values()}
        self._visitors |= {user.token(): Visitor(user, may_write=True) for user in self.users.values()}

    def visitor(self, authorization: str | None) -> Visitor:
        if authorization is None:
            return Visitor()
        token = authorization.removeprefix("Bearer ")
        if token not in self._visitors:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self._visitors[token]

    def create(self, kind: str, repo_id: str, **options: object) -> Repo:
        with self._lock:
            if (kind, repo_id) in self._repos:
                raise HubError(409, f"You already created this {kind} repo: {repo_id}")
            repo = self._repos[kind, repo_id] = Repo(kind, repo_id, self.contents, self._clock, **options)
            return repo

    def delete(self, repo: Repo) -> None:
        del self._repos[repo.kind, repo.id]

    def repo(self, repo_id: str, kind: str = "model") -> Repo | None:
        return self._repos.get((kind, repo_id))

    def visible(self, kind: str, visitor: Visitor) -> list[Repo]:
        """The repositories that the visitor may know of, last changed first."""
        seen = [repo for repo in list(self._repos.values()) if repo.kind == kind and may_see(repo, visitor)]
        return sorted(seen, key=lambda repo: repo.head.date, reverse=True)

    def find(self, kind: str, repo_id: str, visitor: Visitor) -> Repo:
        repo = self.repo(repo_id, kind)
        if repo is None or not may_see(repo, visitor):
            raise not_found(visitor)
        return repo
