"""Style packs to the Hub and back: pushed as one commit, found by their tag, pulled into a folder."""

import itertools
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from styletransfer.cards import card_for_repo, pack_title, render_card
from styletransfer.errors import InputError
from styletransfer.folders import written_whole
from styletransfer.hub_errors import is_passing, told_plainly, wait_asked_for
from styletransfer.pack_files import CARD, CONFIG, DISCOVERY_TAG, SAMPLES, is_style_table, max_bytes
from styletransfer.repos import Repo, parse_repo, resolve_pack

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi, ModelInfo

ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds before the second attempt; doubled before each further one
PAGE = 100  # packs that one author's list is read to

_VERSION = re.compile(r"v(\d+)")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackInfo:
    """What a pack's card says; every text in it is a stranger's."""

    repo_id: str
    sha: str  # the commit that was looked at
    title: str
    styles: dict[str, str]  # name -> title
    thumbnail: str | None  # address of the first style's sample, on the Hub
    last_modified: datetime | None


def push_pack(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str = "main",
    tag: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a pack as one commit and tag it; the folder stays as it is.

    Whatever may pass (no connection, 429, 5xx) is tried again, a bounded number of times. Pushing the same pack
    twice makes no second commit.

    Args:
        folder: a pack that loads.
        repo_id: `org/name`; the repository is made if it is missing.
        private: of a repository that is made here.
        revision: branch, made if it is missing.
        tag: its version; the next of v1, v2, ... when None.
        token: of a user who may write there; the one logged in when None.

    Returns:
        The commit's address.

    Raises:
        InputError: the folder is no sound pack, or the Hub refuses or does not answer. Whatever was there remains.
    """
    from huggingface_hub import HfApi

    repo = parse_repo(repo_id)
    if repo is None or repo.id != repo_id:
        raise InputError(f"{repo_id!r} is no name of a repository: write org/name.")
    files = _contents(Path(folder), repo_id)
    api = HfApi(token=token)
    with told_plainly(f"repository {repo_id}"):
        _patiently(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        if revision != "main":
            _patiently(lambda: api.create_branch(repo_id, branch=revision, exist_ok=True))
        commit = _patiently(lambda: _commit(api, repo_id, revision, files))
        _patiently(lambda: _tag(api, repo_id, commit.oid, tag))
    return commit.commit_url


def pull_pack(source: str, folder: str | Path, *, token: str | None = None) -> Path:
    """Copy a pack of the Hub (`org/name[@revision]`) into a folder, whole or not at all; returns the folder.

    Raises:
        InputError: there is no sound pack to be had, or the folder holds something else already.
    """
    from styletransfer.packs import load_pack  # it brings torch

    folder = Path(folder)
    if folder.exists() and not _may_be_replaced(folder):
        raise InputError(f"{folder} is there and is no style pack: name a new folder for {source}.")
    place = Path(os.path.abspath(folder))
    if not place.parent.is_dir():
        raise InputError(f"There is no folder {place.parent} to put the pack into: make it first.")
    origin = resolve_pack(source, token=token)
    load_pack(origin)
    try:
        with written_whole(place) as partial:
            for name, path in _pack_files(origin):
                (partial / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(path, partial / name)
    except OSError as error:
        raise InputError(f"The pack cannot be written to {folder}: {error.strerror}.") from error
    return folder


def search_packs(
    authors: Sequence[str] = (),
    *,
    repos: Iterable[str] = (),
    tag: str = DISCOVERY_TAG,
    token: str | None = None,
) -> list[PackInfo]:
    """Packs on the Hub, newest first, from their cards alone: no weights are fetched.

    Args:
        authors: whose packs; everybody's when neither authors nor repos are given.
        repos: packs named one by one, `org/name[@revision]`; they need no tag.
        tag: that makes a repository one of ours.
        token: of a user who sees private ones; the one logged in when None.

    Returns:
        One entry per repository. What cannot be read as a pack is left out, with a line in the log.

    Raises:
        InputError: the Hub does not answer for any of what was asked.
    """
    from huggingface_hub import HfApi

    api, repos = HfApi(token=token), list(repos)
    whose = list(dict.fromkeys(authors)) or ([] if repos else [None])
    questions = [
        (f"list of packs of {author}" if author else "list of packs", lambda author=author: _listed(api, author, tag))
        for author in whose
    ]
    questions += [(f"pack {text}", lambda text=text: [_named(api, text)]) for text in repos]
    found, failures = [], []
    for what, ask in questions:
        try:
            with told_plainly(what):
                found += ask()
        except InputError as error:
            _log.warning("%s", error)
            failures.append(error)
    if failures and len(failures) == len(questions):
        raise failures[0]
    packs = {pack.repo_id: pack for pack in map(_read_info, found) if pack}
    return sorted(
        packs.values(), key=lambda pack: pack.last_modified.timestamp() if pack.last_modified else 0, reverse=True
    )


# ---------------------------------------------------------------- pushing


def _contents(folder: Path, repo_id: str) -> dict[str, bytes | Path]:
    """File name in the repository -> what goes there."""
    from styletransfer.packs import load_pack  # it brings torch

    styles = load_pack(folder).styles
    files: dict[str, bytes | Path] = dict(_pack_files(folder))
    for name, path in files.items():
        if path.stat().st_size > max_bytes(name):
            raise InputError(f"{path} is larger than {max_bytes(name):,} bytes: nobody could pull the pack.")
    card = (folder / CARD).read_text(encoding="utf-8") if CARD in files else render_card(folder)
    return {**files, CARD: card_for_repo(card, repo_id, styles).encode()}


def _pack_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted([*folder.glob("*"), *folder.glob(f"{SAMPLES}/*")]):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and max_bytes(name):
            yield name, path


def _commit(api: "HfApi", repo_id: str, revision: str, files: dict[str, bytes | Path]) -> "CommitInfo":
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, constants

    # Read anew at each attempt: the last one may have gone through, only its answer may have been lost.
    head = api.model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    stale = [f.rfilename for f in head.siblings or [] if max_bytes(f.rfilename) and f.rfilename not in files]
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    operations += [CommitOperationDelete(name) for name in stale]
    return api.create_commit(
        repo_id, operations, commit_message="Push style pack", revision=revision, parent_commit=head.sha
    )


def _tag(api: "HfApi", repo_id: str, commit: str, tag: str | None) -> None:
    tags = {reference.name: reference.target_commit for reference in api.list_repo_refs(repo_id).tags}
    if tag is None:
        numbers = {int(match[1]): sha for name, sha in tags.items() if (match := _VERSION.fullmatch(name))}
        if commit in numbers.values():
            return
        tag = f"v{max(numbers, default=0) + 1}"
    if tags.get(tag, commit) != commit:
        raise InputError(f"The pack was pushed, but {repo_id} has a tag {tag} on another commit: choose a new one.")
    if tag not in tags:
        api.create_tag(repo_id, tag=tag, revision=commit)


def _patiently(step: Callable[[], _T]) -> _T:
    """Do a step, and again while it fails of something that may pass."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    for attempt in itertools.count(1):
        try:
            return step()
        except Exception as error:
            if attempt == ATTEMPTS or not is_passing(error) or isinstance(error, OfflineModeIsEnabled):
                raise
            wait = wait_asked_for(error) or FIRST_WAIT * 2 ** (attempt - 1)
            _log.warning("The Hub does not answer (attempt %d of %d): waiting %.0f s.", attempt, ATTEMPTS, wait)
            time.sleep(wait)
    raise AssertionError("unreachable")


# ---------------------------------------------------------------- pulling


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder is empty, or a pack and nothing but a pack."""
    if not folder.is_dir():
        return False
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return not names or (CONFIG in names and all(max_bytes(name) for name in names))


# ---------------------------------------------------------------- searching


def _listed(api: "HfApi", author: str | None, tag: str) -> list["ModelInfo"]:
    from huggingface_hub.utils import build_hf_headers, paginate

    # Not api.list_models: there, one card that its classes cannot take would hide all others.
    params: dict[str, Any] = {"filter": tag, "full": True, "cardData": True, "sort": "lastModified", "limit": PAGE}
    params |= {"author": author} if author else {}
    items = paginate(f"{api.endpoint}/api/models", params=params, headers=build_hf_headers(token=api.token))
    return list(filter(None, map(_as_info, itertools.islice(items, PAGE))))


def _as_info(item: dict[str, Any]) -> "ModelInfo | None":
    from huggingface_hub import ModelInfo

    try:
        return ModelInfo(**item)
    except Exception as error:
        _log.warning("Pack %.100r is left out: its card cannot be read (%s).", item.get("id"), type(error).__name__)
        return None


def _named(api: "HfApi", text: str) -> "ModelInfo":
    from huggingface_hub import constants

    repo = parse_repo(text)
    if repo is None:
        raise InputError(f"{text!r} is no name of a pack: write org/name or org/name@revision.")
    return api.model_info(repo.id, revision=repo.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)


def _read_info(info: "ModelInfo") -> PackInfo | None:
    from huggingface_hub import hf_hub_url

    styles = _styles_on_card(info)
    if not styles or parse_repo(str(info.id)) != Repo(str(info.id)) or not re.fullmatch("[0-9a-f]{40}", info.sha or ""):
        _log.warning("Pack %.100r is left out: its card names no styles.", info.id)
        return None
    sample = f"{SAMPLES}/{next(iter(styles))}.webp"
    has_sample = any(file.rfilename == sample for file in info.siblings or [])
    thumbnail = hf_hub_url(info.id, sample, revision=info.sha) if has_sample else None
    return PackInfo(info.id, info.sha, pack_title(styles), styles, thumbnail, info.last_modified)


def _styles_on_card(info: "ModelInfo") -> dict[str, str]:
    card = info.card_data.to_dict() if info.card_data else {}
    block = card.get("styletransfer")
    listed = block.get("styles") if isinstance(block, dict) else None
    pairs = [[s.get("name"), s.get("title")] for s in listed if isinstance(s, dict)] if isinstance(listed, list) else []
    return dict(pairs) if is_style_table(pairs) else {}
