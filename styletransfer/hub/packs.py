"""Style packs to the Hub and back: pushed as one commit, found by their tag, pulled into a folder."""

import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from styletransfer.errors import InputError
from styletransfer.folders import written_whole
from styletransfer.hub.errors import patiently, told_plainly
from styletransfer.hub.repos import (
    DEFAULT_REVISION,
    Repo,
    check_repo_id,
    commit_files,
    fetch_pack,
    make_repo,
    named_pack,
    parse_repo,
)
from styletransfer.packs.card import card_for_repo, pack_title, render_card
from styletransfer.packs.contents import CARD, CONFIG, DISCOVERY_TAG, DISCRIMINATOR, SAMPLES, is_style_table, max_bytes

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi, ModelInfo

PAGE = 100  # packs, the newest, that one list is read to

_VERSION = re.compile(r"v(\d+)")
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
    private: bool = False
    is_finished: bool = True  # whether its training is over, as its card tells


def push_pack(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str = DEFAULT_REVISION,
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

    check_repo_id(repo_id)
    files = _contents(Path(folder), repo_id)
    api = HfApi(token=token)
    with told_plainly(f"repository {repo_id}"):
        make_repo(api, repo_id, private=private, branch=revision)
        commit = patiently(lambda: _commit(api, repo_id, revision, files))
        patiently(lambda: _tag(api, repo_id, commit.oid, tag))
    return commit.commit_url


def pull_pack(source: str, folder: str | Path, *, token: str | None = None) -> Path:
    """Copy a pack of the Hub (`org/name[@revision]`) into a folder, whole or not at all; returns the folder.

    Raises:
        InputError: there is no sound pack to be had, or the folder holds something else already.
    """
    repo, folder = named_pack(source), Path(folder)
    if folder.exists() and not _may_be_replaced(folder):
        raise InputError(f"{folder} is there and is no style pack: name a new folder for {source}.")
    place = Path(os.path.abspath(folder))
    if not place.parent.is_dir():
        raise InputError(f"There is no folder {place.parent} to put the pack into: make it first.")
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
    questions = [(f"list of packs of {a}" if a else "list of packs", partial(_listed, api, a, tag)) for a in whose]
    questions += [(f"pack {text}", partial(_named, api, text)) for text in repos]
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
    return sorted(packs.values(), key=_age, reverse=True)


# ---------------------------------------------------------------- pushing


def _contents(folder: Path, repo_id: str) -> dict[str, bytes]:
    """File name in the repository -> what goes there; all read now, as training may replace the folder meanwhile."""
    from styletransfer.packs.folder import load_discriminator, load_pack  # they bring torch

    styles = load_pack(folder).styles
    load_discriminator(folder)
    files = {name: path.read_bytes() for name, path in _pack_files(folder)}
    for name, content in files.items():
        if len(content) > max_bytes(name):
            raise InputError(f"{name} of {folder} is larger than {max_bytes(name):,} bytes: nobody could pull it.")
    card = files[CARD].decode("utf-8", "replace") if CARD in files else render_card(folder)
    return {**files, CARD: card_for_repo(card, repo_id, styles).encode()}


def _pack_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted([*folder.glob("*"), *folder.glob(f"{SAMPLES}/*"), *folder.glob(f"{DISCRIMINATOR}/*")]):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and max_bytes(name):
            yield name, path


def _commit(api: "HfApi", repo_id: str, revision: str, files: dict[str, bytes]) -> "CommitInfo":
    from huggingface_hub import constants

    # Read anew at each attempt: the last one may have gone through, only its answer may have been lost.
    head = api.model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    stale = [f.rfilename for f in head.siblings or [] if max_bytes(f.rfilename) and f.rfilename not in files]
    return commit_files(api, repo_id, files, stale, message="Push style pack", parent=head.sha, revision=revision)


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


# ---------------------------------------------------------------- pulling


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder is empty, or a pack and nothing but a pack."""
    if not folder.is_dir():
        return False
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return not names or (CONFIG in names and all(max_bytes(name) for name in names))


# ---------------------------------------------------------------- searching


def _listed(api: "HfApi", author: str | None, tag: str) -> list["ModelInfo"]:
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    # Not api.list_models: there, one card that its classes cannot take would hide all others.
    params: dict[str, Any] = {"filter": tag, "full": True, "cardData": True, "sort": "lastModified", "limit": PAGE}
    answer = get_session().get(
        f"{api.endpoint}/api/models",
        params=params | ({"author": author} if author else {}),
        headers=build_hf_headers(token=api.token),
        timeout=constants.HF_HUB_ETAG_TIMEOUT,
    )
    hf_raise_for_status(answer)
    return list(filter(None, map(_as_info, answer.json()[:PAGE])))


def _as_info(item: dict[str, Any]) -> "ModelInfo | None":
    from huggingface_hub import ModelInfo

    try:
        return ModelInfo(**item)
    except Exception as error:
        _log.warning("Pack %.100r is left out: its card cannot be read (%s).", item.get("id"), type(error).__name__)
        return None


def _named(api: "HfApi", text: str) -> list["ModelInfo"]:
    from huggingface_hub import constants

    repo = named_pack(text)
    return [api.model_info(repo.id, revision=repo.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)]


def _age(pack: PackInfo) -> float:
    return pack.last_modified.timestamp() if pack.last_modified else 0.0


def _read_info(info: "ModelInfo") -> PackInfo | None:
    from huggingface_hub import hf_hub_url

    styles = _styles_on_card(info)
    if not styles or parse_repo(str(info.id)) != Repo(str(info.id)) or not re.fullmatch("[0-9a-f]{40}", info.sha or ""):
        _log.warning("Pack %.100r is left out: its card names no styles.", info.id)
        return None
    sample = f"{SAMPLES}/{next(iter(styles))}.webp"
    has_sample = any(file.rfilename == sample for file in info.siblings or [])
    thumbnail = hf_hub_url(info.id, sample, revision=info.sha) if has_sample else None
    seen = {"private": bool(info.private), "is_finished": _is_finished(info)}
    return PackInfo(info.id, info.sha, pack_title(styles), styles, thumbnail, info.last_modified, **seen)


def _block(info: "ModelInfo") -> dict[str, Any]:
    """Our part of the card's YAML; a stranger may have written anything into it."""
    block = info.card_data.to_dict().get("styletransfer") if info.card_data else None
    return block if isinstance(block, dict) else {}


def _is_finished(info: "ModelInfo") -> bool:
    """False for a pack that was pushed on the way: its card says at which step of how many."""
    step, steps = (_block(info).get(name) for name in ("step", "steps"))
    return not (isinstance(step, int) and isinstance(steps, int) and step < steps)


def _styles_on_card(info: "ModelInfo") -> dict[str, str]:
    listed = _block(info).get("styles")
    pairs = [[s.get("name"), s.get("title")] for s in listed if isinstance(s, dict)] if isinstance(listed, list) else []
    return dict(pairs) if is_style_table(pairs) else {}
