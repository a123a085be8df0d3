"""Style packs on the Hub: push one as one commit, find them by their tag, pull one into a folder."""

import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, HfApi, ModelInfo, constants, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from styletransfer.errors import InputError
from styletransfer.folders import written_whole
from styletransfer.hub.errors import patiently, told_plainly
from styletransfer.hub.repos import (
    DEFAULT_REVISION,
    Repo,
    check_repo_id,
    commit_files,
    fetch_pack,
    is_content_of,
    make_repo,
    named_pack,
    parse_repo,
)
from styletransfer.packs.card import card_for_repo, pack_title, render_card
from styletransfer.packs.contents import (
    CARD,
    CONFIG,
    DISCOVERY_TAG,
    DISCRIMINATOR,
    PROGRESS,
    SAMPLES,
    is_style_table,
    max_bytes,
)

PAGE = 100  # newest packs that one list is read for

_VERSION = re.compile(r"v(\d+)(-step-\d+-of-\d+)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackInfo:
    """What a pack's card says. The texts come from its author: do not trust them."""

    repo_id: str
    sha: str  # the commit that was looked at
    title: str
    styles: dict[str, str]  # name -> title
    thumbnail: str | None  # address of the first style's sample, on the Hub
    last_modified: datetime | None
    private: bool = False
    is_finished: bool = True  # whether its training is over, as its card tells


def push_pack(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str = DEFAULT_REVISION,
    tag: str | None = None,
    note: str = "",
    token: str | None = None,
) -> str:
    """Upload a pack as one commit and tag it; the folder is not changed.

    Failures that may pass (no connection, 429, 5xx) are tried again, a bounded number of times. Pushing the same pack
    twice makes no second commit.

    Args:
        folder: a pack that loads.
        repo_id: `org/name`; the repository is made if it is missing.
        private: of a repository that is made here.
        revision: branch, made if it is missing.
        tag: its version; the next of v1, v2, ... when None.
        note: for the commit's title and the numbered tag, "step 4 of 20" of a pack whose training has not ended.
        token: of a user who may write there; the one logged in when None.

    Returns:
        The commit's address.

    Raises:
        InputError: the folder is no sound pack, the tag exists, or the Hub refuses or does not answer. What was in the
            repository stays as it was.
    """
    check_repo_id(repo_id)
    files = _contents(Path(folder), repo_id)
    api = HfApi(token=token)
    with told_plainly(f"repository {repo_id}"):
        make_repo(api, repo_id, private=private, branch=revision)
        if tag is not None:
            patiently(lambda: _check_tag(api, repo_id, revision, files, tag))
        message = f"Push style pack, {note}" if note else "Push style pack"
        commit = patiently(lambda: _commit(api, repo_id, revision, files, message))
        patiently(lambda: _tag(api, repo_id, commit.oid, tag, note))
    return commit.commit_url


def pull_pack(source: str, folder: str | Path, *, token: str | None = None) -> Path:
    """Copy a pack of the Hub (`org/name[@revision]`) into a folder, whole or not at all; returns the folder.

    Raises:
        InputError: the pack cannot be downloaded or is unsound, or the folder holds something else.
    """
    repo, folder = named_pack(source), Path(folder)
    if folder.exists() and not _may_be_replaced(folder):
        raise InputError(f"{folder} exists and is not a style pack: name a new folder for {source}.")
    place = Path(os.path.abspath(folder))
    if not place.parent.is_dir():
        raise InputError(f"There is no folder {place.parent} for the pack: create it first.")
    origin = fetch_pack(repo, token=token)
    from styletransfer.packs.folder import load_discriminator, load_pack  # they bring torch

    load_pack(origin)
    load_discriminator(origin)
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
    """Packs on the Hub, newest first. Only their cards are read, not their weights.

    Args:
        authors: whose packs; everybody's when neither authors nor repos are given.
        repos: further packs by name, `org/name[@revision]`; they need no tag.
        tag: that packs are found by.
        token: of a user who sees private ones; the one logged in when None.

    Returns:
        One entry per repository. A repository that cannot be read as a pack is left out, with a line in the log.

    Raises:
        InputError: every request to the Hub failed.
    """
    api, repos = HfApi(token=token), list(repos)
    whose = list(dict.fromkeys(authors)) or ([] if repos else [None])
    questions = [(f"list of packs of {a}" if a else "list of packs", partial(_listed, api, a, tag)) for a in whose]
    questions += [(f"pack {text}", partial(_named, api, text)) for text in repos]
    found, failures = [], []
    for what, ask in questions:
        try:
            with told_plainly(what):
                found += ask()
        except InputError as error:
            failures.append(error)
    if failures and len(failures) == len(questions):
        raise failures[0]
    for error in failures:
        _log.warning("%s", error)
    packs = {pack.repo_id: pack for pack in map(_read_info, found) if pack}
    return sorted(packs.values(), key=_age, reverse=True)


# ---------------------------------------------------------------- pushing


def _contents(folder: Path, repo_id: str) -> dict[str, bytes]:
    """File name in the repository -> its content. All is read at once, as training may replace the folder meanwhile."""
    from styletransfer.packs.folder import load_discriminator, load_pack  # they bring torch

    styles = load_pack(folder).styles
    load_discriminator(folder)
    files = {name: path.read_bytes() for name, path in _pack_files(folder)}
    for name, content in files.items():
        if len(content) > max_bytes(name):
            raise InputError(f"{name} of {folder} is larger than {max_bytes(name):,} bytes: it could not be pulled.")
    card = files[CARD].decode("utf-8", "replace") if CARD in files else render_card(folder)
    return {**files, CARD: card_for_repo(card, repo_id, styles).encode()}


def _pack_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted([*folder.glob("*"), *folder.glob(f"{SAMPLES}/*"), *folder.glob(f"{DISCRIMINATOR}/*")]):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and max_bytes(name):
            yield name, path


def _check_tag(api: HfApi, repo_id: str, revision: str, files: dict[str, bytes], tag: str) -> None:
    """Refuse a tag that exists, before anything is committed; the very pack that it is on may be pushed again."""
    tags = {reference.name: reference.target_commit for reference in api.list_repo_refs(repo_id).tags}
    if tag not in tags:
        return
    head = api.model_info(repo_id, revision=revision, files_metadata=True)
    there = {file.rfilename: file for file in head.siblings or [] if max_bytes(file.rfilename)}
    same = there.keys() == files.keys() and all(is_content_of(there[name], files[name]) for name in files)
    if tags[tag] != head.sha or not same:
        raise InputError(f"{repo_id} has a tag {tag} already: nothing was pushed. Choose a new tag.")


def _commit(api: HfApi, repo_id: str, revision: str, files: dict[str, bytes], message: str) -> CommitInfo:
    # Read again at each attempt: the last one may have succeeded, and only its answer was lost.
    head = api.model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    stale = [f.rfilename for f in head.siblings or [] if max_bytes(f.rfilename) and f.rfilename not in files]
    return commit_files(api, repo_id, files, stale, message=message, parent=head.sha, revision=revision)


def _tag(api: HfApi, repo_id: str, commit: str, tag: str | None, note: str) -> None:
    tags = {reference.name: reference.target_commit for reference in api.list_repo_refs(repo_id).tags}
    if tag is None:
        numbers = {int(match[1]): sha for name, sha in tags.items() if (match := _VERSION.fullmatch(name))}
        if commit in numbers.values():
            return
        tag = "-".join([f"v{max(numbers, default=0) + 1}", *note.split()])
    if tags.get(tag, commit) != commit:  # somebody else has just made it
        raise InputError(f"The pack was pushed, but {repo_id} has a tag {tag} on another commit: choose a new one.")
    if tag not in tags:
        api.create_tag(repo_id, tag=tag, revision=commit)


# ---------------------------------------------------------------- pulling


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder is empty, or holds the files of a pack only."""
    if not folder.is_dir():
        return False
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return not names or (CONFIG in names and all(max_bytes(name) for name in names))


# ---------------------------------------------------------------- searching


def _listed(api: HfApi, author: str | None, tag: str) -> list[ModelInfo]:
    # Not api.list_models: there, one card that it cannot parse would hide all others.
    params: dict[str, Any] = {"filter": tag, "full": True, "cardData": True, "sort": "lastModified", "limit": PAGE}
    answer = get_session().get(
        f"{api.endpoint}/api/models",
        params=params | ({"author": author} if author else {}),
        headers=build_hf_headers(token=api.token),
        timeout=constants.HF_HUB_ETAG_TIMEOUT,
    )
    hf_raise_for_status(answer)
    return list(filter(None, map(_as_info, answer.json()[:PAGE])))


def _as_info(item: dict[str, Any]) -> ModelInfo | None:
    try:
        return ModelInfo(**item)
    except Exception as error:
        _log.warning("Pack %.100r is left out: its card cannot be read (%s).", item.get("id"), type(error).__name__)
        return None


def _named(api: HfApi, text: str) -> list[ModelInfo]:
    repo = named_pack(text)
    return [api.model_info(repo.id, revision=repo.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)]


def _age(pack: PackInfo) -> float:
    return pack.last_modified.timestamp() if pack.last_modified else 0.0


def _read_info(info: ModelInfo) -> PackInfo | None:
    styles = _styles_on_card(info)
    if not styles or parse_repo(str(info.id)) != Repo(str(info.id)) or not re.fullmatch("[0-9a-f]{40}", info.sha or ""):
        _log.warning("Pack %.100r is left out: its card names no styles.", info.id)
        return None
    sample = f"{SAMPLES}/{next(iter(styles))}.webp"
    has_sample = any(file.rfilename == sample for file in info.siblings or [])
    thumbnail = hf_hub_url(info.id, sample, revision=info.sha) if has_sample else None
    seen = {"private": bool(info.private), "is_finished": _is_finished(info)}
    return PackInfo(info.id, info.sha, pack_title(styles), styles, thumbnail, info.last_modified, **seen)


def _block(info: ModelInfo) -> dict[str, Any]:
    """Our part of the card's YAML; a stranger may have written anything into it."""
    block = info.card_data.to_dict().get("styletransfer") if info.card_data else None
    return block if isinstance(block, dict) else {}


def _is_finished(info: ModelInfo) -> bool:
    """False for a pack that was pushed while its training went on: its card tells how far it is."""
    return not _block(info).get(PROGRESS)


def _styles_on_card(info: ModelInfo) -> dict[str, str]:
    listed = _block(info).get("styles")
    pairs = [[s.get("name"), s.get("title")] for s in listed if isinstance(s, dict)] if isinstance(listed, list) else []
    return dict(pairs) if is_style_table(pairs) else {}
