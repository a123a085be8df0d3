"""The page as a Gradio Space: this source, the packs that ship, and packs of the Hub pinned to the commits of today."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from styletransfer.errors import InputError
from styletransfer.hub.errors import patiently, told_plainly
from styletransfer.hub.repos import Repo, Seen, check_repo_id, commit_files, fetch_pack, look_at_pack, named_pack
from styletransfer.packs.contents import CARD, max_bytes
from styletransfer.paths import ROOT

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

APP = "app.py"
FILES = (APP, "requirements.txt", "LICENSE")
FOLDERS = ("styletransfer", "styles", "examples", "assets")
THUMBNAIL = "assets/preview.jpg"  # what the Hub shows where a link to the Space is shared
PACKS_VARIABLE = "STYLETRANSFER_PACKS"  # what the page reads: org/a@commit,org/b@commit
KEPT = ".gitattributes"  # the Hub's own

_log = logging.getLogger(__name__)

TEXT = """
# {title}

Choose a style, add a photo, take home a painting of the same size. Runs on two CPU cores.
"""


def deploy_space(repo_id: str, *, packs: Sequence[str] = (), private: bool = False, token: str | None = None) -> str:
    """Make or renew a Space that serves the page, as one commit.

    Args:
        repo_id: `org/name` of the Space; it is made if it is missing.
        packs: of the Hub, `org/name[@revision]`, to be offered besides those that ship. Each is pinned to the commit it
            is at, fetched when the Space is built, and never asked for again. Each is loaded here first, as a broken
            one would greet every visitor. Of a private one in a public Space a warning is logged: the Space cannot
            fetch it without a token, and shows it to everybody with one.
        private: of a Space that is made here.
        token: of a user who may write there; the one logged in when None.

    Returns:
        The Space's address.

    Raises:
        InputError: this is no checkout, a pack is unsound, the Space holds another app, or the Hub refuses or does not
            answer. The Space's files then are as they were; deploying again is safe.
    """
    from huggingface_hub import HfApi

    check_repo_id(repo_id, "Space")
    pins = {repo: look_at_pack(repo, token=token) for repo in map(named_pack, packs)}
    for repo, seen in pins.items():
        _check(repo, seen, repo_id, private, token)
    api = HfApi(token=token)
    thumbnail = f"{api.endpoint}/spaces/{repo_id}/resolve/main/{THUMBNAIL}"
    files = _contents({repo.id: pin for repo, pin in pins.items()}, thumbnail)
    offered = ",".join(f"{repo.id}@{seen.commit}" for repo, seen in pins.items())
    with told_plainly(f"Space {repo_id}"):
        patiently(
            lambda: api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        )
        patiently(lambda: _commit(api, repo_id, files, offered, private))
    return f"{api.endpoint}/spaces/{repo_id}"


def _check(repo: Repo, seen: Seen, space: str, private: bool, token: str | None) -> None:
    """Warn of a private pack in a public Space; raises InputError for a pack that cannot be used."""
    from styletransfer.packs.folder import load_pack  # it brings torch

    if seen.is_private and not private:
        _log.warning(
            "Pack %s is private and Space %s is not: without a token it is missing there, with one everybody sees it.",
            repo,
            space,
        )
    load_pack(fetch_pack(Repo(repo.id, seen.commit), token=token), repo)


def _contents(pins: Mapping[str, Seen], thumbnail: str) -> dict[str, bytes]:
    """File name in the Space -> what goes there."""
    missing = [name for name in (APP, CARD, *FOLDERS) if not (ROOT / name).exists()]
    if missing:
        raise InputError(f"{ROOT} is no checkout of this project, it has no {missing[0]}: deploy from a clone.")
    paths = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        paths += sorted((ROOT / folder).rglob("*"))
    names = {path.relative_to(ROOT).as_posix(): path for path in paths if path.is_file()}
    files = {name: path.read_bytes() for name, path in names.items() if _is_source(name)}
    return {**files, CARD: _front_page(pins, thumbnail).encode()}


def _is_source(name: str) -> bool:
    """Not a cache, an editor's leavings, what a write cut short left behind, or a stranger in the folder of a pack."""
    parts = name.split("/")
    if any(part.startswith(".") or part == "__pycache__" for part in parts):
        return False
    return parts[0] != "styles" or max_bytes("/".join(parts[2:])) is not None


def _front_page(pins: Mapping[str, Seen], thumbnail: str) -> str:
    """README.md of the Space: the settings at the top of ours, with the packs to be fetched when it is built."""
    from huggingface_hub import RepoCard

    data = RepoCard((ROOT / CARD).read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    data.thumbnail = thumbnail
    if pins:
        # The Hub's form: a repository, its files, a commit. No name of a pack's file has a comma or a space.
        data.preload_from_hub = [f"{repo} {','.join(seen.files)} {seen.commit}" for repo, seen in pins.items()]
    return f"---\n{data.to_yaml()}\n---\n{TEXT.format(title=data.get('title'))}"


def _commit(api: "HfApi", repo_id: str, files: Mapping[str, bytes], offered: str, private: bool) -> "CommitInfo":
    from huggingface_hub import constants

    # Read anew at each attempt: the last one may have gone through, only its answer may have been lost.
    head = api.space_info(repo_id, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    there = [file.rfilename for file in head.siblings or [] if file.rfilename != KEPT]
    if APP in there and not any(name.startswith("styletransfer/") for name in there):
        raise InputError(f"The Space {repo_id} holds another app: choose a new name.")
    if private and not head.private:
        raise InputError(f"The Space {repo_id} is there already and public: choose another, or make it private.")
    api.add_space_variable(repo_id, PACKS_VARIABLE, offered)
    stale = [name for name in there if name not in files]
    return commit_files(api, repo_id, files, stale, message="Deploy the page", parent=head.sha, repo_type="space")
