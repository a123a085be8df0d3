"""Repositories on the Hub: names, commits, and packs that are checked before download, cached and usable offline."""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    try_to_load_from_cache,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from styletransfer.errors import InputError
from styletransfer.hub.errors import is_passing, patiently, told_plainly
from styletransfer.packs.contents import CONFIG, PICKLES, WEIGHTS, leaves_folder, max_bytes

DEFAULT_REVISION = "main"
MAX_PACK_BYTES = 256 << 20  # of all files together
DOWNLOADS = 4  # at once

_NAME = re.compile(r"(?P<id>[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*)(@(?P<revision>\w[\w./+-]*))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Repo:
    """A repository on the Hub at a branch, a tag or a commit."""

    id: str
    revision: str = DEFAULT_REVISION

    def __str__(self) -> str:
        return self.id if self.revision == DEFAULT_REVISION else f"{self.id}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether it names one commit, which never changes."""
        return bool(_COMMIT.fullmatch(self.revision))


def parse_repo(text: str) -> Repo | None:
    """`org/name` or `org/name@revision`; None for any other text."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    revision = match["revision"] or DEFAULT_REVISION
    sound = not any(part in ("", ".", "..") for part in revision.split("/"))  # it becomes a path in the cache
    return Repo(match["id"], revision) if sound else None


def named_pack(text: str) -> Repo:
    """The repository of a pack's name; raises InputError for a text that is not a valid name."""
    repo = parse_repo(text)
    if repo is None:
        raise InputError(f"{text!r} is not a valid name of a pack on the Hub: write org/name or org/name@revision.")
    return repo


def check_repo_id(text: str, what: str = "repository", flag: str = "") -> None:
    """Raises InputError for a text that is not `org/name`; the message says `what` it should name, and its `flag`."""
    repo = parse_repo(text)
    if repo is None or repo.id != text:
        raise InputError(f"{flag and flag + ' '}{text!r} is not a valid {what} name: write org/name.")


def resolve_pack(source: str | Path, *, revision: str | None = None, **fetching: Any) -> Path:
    """The folder of a pack: itself, or where the Hub's `org/name[@revision]` lies once fetched.

    A folder that exists wins over a name on the Hub; a `Path` is never looked up there.

    Args:
        source: a folder, or a name on the Hub.
        revision: branch, tag or commit of a name that has none in it.
        fetching: as for `fetch_pack`.

    Raises:
        InputError: a revision of a folder, two revisions, or as `fetch_pack`.
    """
    repo = None if isinstance(source, Path) or os.path.exists(source) else parse_repo(source)
    if repo is None:
        if revision is not None:
            raise InputError("{pack} is a folder, and has no revision {revision}.", pack=source, revision=revision)
        return Path(source)
    if revision is not None:
        if "@" in str(source):
            raise InputError("{pack} names a revision already: leave {revision} away.", pack=source, revision=revision)
        repo = named_pack(f"{repo.id}@{revision}")
    return fetch_pack(repo, **fetching)


def fetch_pack(
    repo: Repo,
    *,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Download a pack from the Hub; returns its folder in the cache, with the files of a pack and no others.

    Without a network, or while the Hub fails, the copy that was downloaded last is used. A pack that names a commit and
    is in the cache is used without a request.

    Args:
        repo: of the pack.
        token: of a user who may read it; the one logged in when None.
        cache_dir: the cache; the Hub client's own when None.
        local_files_only: ask the Hub nothing.

    Raises:
        InputError: the pack does not exist, may not be read, cannot be reached, or would not be safe to download.
    """
    with told_plainly(f"pack {repo}", cached=True):
        cached = _cached(repo, cache_dir)
        if cached and (repo.is_pinned or local_files_only or constants.HF_HUB_OFFLINE):
            return cached
        if local_files_only:
            raise InputError("Pack {pack} is not in the cache: fetch it once without local_files_only.", pack=repo)
        try:
            return _fetch(repo, token, cache_dir)
        except Exception as error:
            if not (cached and is_passing(error)):
                raise
            _log.warning("The Hub does not answer for pack %s: using the copy in the cache.", repo)
            return cached


class Seen(NamedTuple):
    """What the Hub says of a pack before any of it is fetched."""

    commit: str
    files: list[str]
    is_private: bool


def look_at_pack(repo: Repo, *, token: str | None = None) -> Seen:
    """What a pack of the Hub is at, without fetching anything; raises as `fetch_pack`."""
    with told_plainly(f"pack {repo}"):
        info = _info(HfApi(token=token), repo)
        return Seen(info.sha, sorted(_wanted(repo, info)), bool(info.private))


def make_repo(api: HfApi, repo_id: str, *, private: bool = False, branch: str = DEFAULT_REVISION) -> None:
    """Create a repository and a branch where they are missing.

    Raises:
        InputError: the repository exists and is public, but should be private. Else as the Hub's client.
    """
    patiently(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
    if private and not patiently(lambda: api.model_info(repo_id)).private:
        raise InputError(f"The repository {repo_id} exists already and is public: choose another, or make it private.")
    if branch != DEFAULT_REVISION:
        patiently(lambda: api.create_branch(repo_id, branch=branch, exist_ok=True))


def commit_files(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, bytes | Path],
    stale: Iterable[str],
    *,
    message: str,
    parent: str | None,
    revision: str = DEFAULT_REVISION,
    repo_type: str = "model",
) -> CommitInfo:
    """Add files and delete stale ones in one commit on top of `parent`; raises as the Hub's client."""
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    operations += [CommitOperationDelete(name) for name in stale]
    return api.create_commit(
        repo_id,
        operations,
        repo_type=repo_type,
        commit_message=message,
        revision=revision,
        parent_commit=parent,
    )


def _cached(repo: Repo, cache_dir: str | Path | None) -> Path | None:
    # The config is fetched last, so a snapshot that has it has everything.
    config = try_to_load_from_cache(repo.id, CONFIG, cache_dir=cache_dir, revision=repo.revision)
    folder = Path(config).parent if isinstance(config, str) else None
    return folder if folder and (folder / WEIGHTS).is_file() else None


def _fetch(repo: Repo, token: str | bool | None, cache_dir: str | Path | None) -> Path:
    api = HfApi(token=token)
    commit, files = _listing(api, repo)

    def fetch(name: str) -> Path:
        for _ in range(2):  # a damaged copy in the cache is deleted and downloaded again
            path = Path(api.hf_hub_download(repo.id, name, revision=commit, cache_dir=cache_dir))
            if is_as_uploaded(path, files[name]):
                return path
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        raise InputError(f"{name} of pack {repo} does not arrive as it was uploaded: try again.")

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        list(pool.map(fetch, [name for name in files if name != CONFIG]))
    folder = fetch(CONFIG).parent
    if not repo.is_pinned:
        _note_commit(folder, repo.revision, commit)
    return folder


def _listing(api: HfApi, repo: Repo) -> tuple[str, Mapping[str, RepoSibling]]:
    """The commit that the repository is at, and the pack's files in it."""
    info = _info(api, repo)
    return info.sha, _wanted(repo, info)


def _info(api: HfApi, repo: Repo) -> ModelInfo:
    info = api.model_info(repo.id, revision=repo.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    if not _COMMIT.fullmatch(info.sha or ""):
        raise ValueError("no commit")
    return info


def _wanted(repo: Repo, info: ModelInfo) -> Mapping[str, RepoSibling]:
    """The pack's files among those of a repository, by name; raises InputError for files that are not safe."""
    names = [file.rfilename for file in info.siblings or []]
    for name in names:
        if leaves_folder(name):
            raise InputError(f"Pack {repo} is refused: its file name {name!r} points out of its folder.")
    if CONFIG not in names:
        raise InputError(f"{repo} on the Hub is not a style pack: it has no {CONFIG}.")
    if WEIGHTS not in names:
        pickles = [name for name in names if name.endswith(PICKLES)]
        if pickles:
            raise InputError(f"Pack {repo} holds {pickles[0]!r}, a pickle that could run code: only {WEIGHTS} is read.")
        raise InputError(f"Pack {repo} has no weights: {WEIGHTS} is missing.")
    files = {file.rfilename: file for file in info.siblings if max_bytes(file.rfilename)}
    for name, file in files.items():
        if file.size is None or _size(file) > max_bytes(name):
            size = "of unknown size" if file.size is None else f"{_size(file):,} bytes"
            raise InputError(f"{name} of pack {repo} is {size}: no pack needs more than {max_bytes(name):,} bytes.")
    if sum(map(_size, files.values())) > MAX_PACK_BYTES:
        raise InputError(f"Pack {repo} is larger than {MAX_PACK_BYTES >> 20} MB: no pack needs that.")
    return files


def _size(file: RepoSibling) -> int:
    return max(file.size or 0, file.lfs.size if file.lfs else 0)


def is_as_uploaded(path: Path, file: RepoSibling) -> bool:
    """Whether a downloaded file is the one in its repository, by size and hash."""
    return path.stat().st_size == _size(file) and is_content_of(file, path.read_bytes())


def is_content_of(file: RepoSibling, content: bytes) -> bool:
    """Whether a file in a repository has this content: SHA-256 of large files, git's own hash of small ones."""
    if file.lfs:
        return hashlib.sha256(content).hexdigest() == file.lfs.sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == file.blob_id


def _note_commit(folder: Path, revision: str, commit: str) -> None:
    """Record the commit of a branch where the Hub's client looks it up offline (refs in its cache).

    The client itself records it before the files are downloaded: after a failure, half a pack would count as whole.
    """
    reference = folder.parent.parent / "refs" / revision
    partial = reference.with_name(f".{reference.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # in a read-only cache the download has served its purpose, too
        reference.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(commit)
        partial.replace(reference)
