"""Deploys the page as a Space.

As a Gradio Space: this source, the packs in it, and packs of the Hub pinned to their commits. As a static Space: the
files of a page that paints in the browser, which `export --format web` has written.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from huggingface_hub import CommitInfo, HfApi, RepoCard, constants

from styletransfer.errors import InputError
from styletransfer.hub.errors import patiently, told_plainly
from styletransfer.hub.repos import Repo, Seen, check_repo_id, commit_files, fetch_pack, look_at_pack, named_pack
from styletransfer.packs.contents import CARD, max_bytes
from styletransfer.paths import ROOT

APP = "app.py"
FILES = (APP, "requirements.txt", "LICENSE")
FOLDERS = ("styletransfer", "styles", "examples", "assets")
THUMBNAIL = "assets/preview.jpg"  # what the Hub shows where a link to the Space is shared
PACKS_VARIABLE = "STYLETRANSFER_PACKS"  # what the page reads: org/a@commit,org/b@commit
KEPT = ".gitattributes"  # written by the Hub
INDEX, SITE = "index.html", "site.json"  # of a static page; the second is in no page but ours
# With these a browser lets the page use all cores (shared memory asks for cross-origin isolation).
ISOLATED = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}

_log = logging.getLogger(__name__)

TEXT = """
# {title}

Choose a style, add a photo, take home a painting of the same size. {where}
"""
ON_A_SERVER = "Runs on two CPU cores."
IN_THE_BROWSER = "Runs in your browser: no photo leaves your device."


def deploy_space(repo_id: str, *, packs: Sequence[str] = (), private: bool = False, token: str | None = None) -> str:
    """Create or update a Space that serves the page, as one commit.

    Args:
        repo_id: `org/name` of the Space; it is created if it is missing.
        packs: on the Hub, `org/name[@revision]`, that the page offers besides those in this repository. Each is loaded
            here first, pinned to its present commit, and downloaded when the Space is built. For a private one in a
            public Space a warning is logged: the Space cannot fetch it without a token, and with one shows it to all.
        private: create the Space as a private one.
        token: of a user who may write there; the one logged in when None.

    Returns:
        The Space's address.

    Raises:
        InputError: this is not a checkout, a pack is unsound, the Space holds another app, or the Hub refuses or does
            not answer. The Space's files are then unchanged, and deploying again is safe.
    """
    check_repo_id(repo_id, "Space")
    pins = checked_packs(packs, repo_id, private=private, token=token)
    api = HfApi(token=token)
    thumbnail = f"{api.endpoint}/spaces/{repo_id}/resolve/main/{THUMBNAIL}"
    files = _contents({repo.id: pin for repo, pin in pins.items()}, thumbnail)
    variables = {PACKS_VARIABLE: ",".join(f"{repo.id}@{seen.commit}" for repo, seen in pins.items())}
    return _deploy(api, repo_id, "gradio", files, variables, private)


def deploy_static_space(repo_id: str, site: str | Path, *, private: bool = False, token: str | None = None) -> str:
    """Create or update a static Space from a page that paints in the browser, as one commit.

    Args:
        repo_id: `org/name` of the Space; it is created if it is missing.
        site: the folder that `export --format web` has written.
        private: create the Space as a private one.
        token: of a user who may write there; the one logged in when None.

    Returns:
        The Space's address.

    Raises:
        InputError: the folder holds no such page, the Space holds another app, or the Hub refuses or does not answer.
            The Space's files are then unchanged, and deploying again is safe.
    """
    check_repo_id(repo_id, "Space")
    site = Path(site)
    missing = [name for name in (INDEX, SITE) if not (site / name).is_file()]
    if missing:
        raise InputError(f"{site} is no exported page, it has no {missing[0]}: write one with export --format web.")
    files = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*")) if path.is_file()}
    return _deploy(HfApi(token=token), repo_id, "static", {**files, CARD: _static_front_page().encode()}, {}, private)


def checked_packs(
    packs: Sequence[str], space: str, *, private: bool = False, token: str | None = None
) -> dict[Repo, Seen]:
    """Packs `org/name[@revision]` as they are now, each loaded once; warns of a private one in a public Space.

    Raises:
        InputError: a pack is unsound, or the Hub refuses or does not answer.
    """
    pins = {repo: look_at_pack(repo, token=token) for repo in map(named_pack, packs)}
    for repo, seen in pins.items():
        _check(repo, seen, space, private, token)
    return pins


def _deploy(
    api: HfApi,
    repo_id: str,
    sdk: str,
    files: Mapping[str, bytes | Path],
    variables: Mapping[str, str],
    private: bool,
) -> str:
    with told_plainly(f"Space {repo_id}"):
        # What the Hub puts into a new Space, a page of greetings for one, is nobody's app.
        is_new = not patiently(lambda: api.repo_exists(repo_id, repo_type="space"))
        patiently(lambda: api.create_repo(repo_id, repo_type="space", space_sdk=sdk, private=private, exist_ok=True))
        patiently(lambda: _commit(api, repo_id, files, variables, private, is_new))
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
    """File name in the Space -> its content."""
    _check_checkout(APP, CARD, *FOLDERS)
    paths = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        paths += sorted((ROOT / folder).rglob("*"))
    names = {path.relative_to(ROOT).as_posix(): path for path in paths if path.is_file()}
    files = {name: path.read_bytes() for name, path in names.items() if _is_source(name)}
    return {**files, CARD: _front_page(pins, thumbnail).encode()}


def _check_checkout(*names: str) -> None:
    missing = [name for name in names if not (ROOT / name).exists()]
    if missing:
        raise InputError(f"{ROOT} is not a checkout of this project, it has no {missing[0]}: deploy from a clone.")


def _our_card() -> RepoCard:
    """README.md of this repository, which an installed wheel has not."""
    _check_checkout(CARD)
    return RepoCard((ROOT / CARD).read_text(encoding="utf-8"), ignore_metadata_errors=True)


def _is_source(name: str) -> bool:
    """Whether a file is part of the app: no cache, hidden or temporary file, and in `styles` only files of packs."""
    parts = name.split("/")
    if any(part.startswith(".") or part == "__pycache__" for part in parts):
        return False
    return parts[0] != "styles" or max_bytes("/".join(parts[2:])) is not None


def _front_page(pins: Mapping[str, Seen], thumbnail: str) -> str:
    """README.md of the Space: the metadata of ours, and the packs to be downloaded when the Space is built."""
    data = _our_card().data
    data.thumbnail = thumbnail
    if pins:
        # The Hub's form: a repository, its files, a commit. No name of a pack's file has a comma or a space.
        data.preload_from_hub = [f"{repo} {','.join(seen.files)} {seen.commit}" for repo, seen in pins.items()]
    return f"---\n{data.to_yaml()}\n---\n{TEXT.format(title=data.get('title'), where=ON_A_SERVER)}"


def _static_front_page() -> str:
    """README.md of a static Space: what ours says of the page, without what a server needs."""
    ours = _our_card().data.to_dict()
    told = ("title", "emoji", "colorFrom", "colorTo", "license", "tags")
    data = {name: ours[name] for name in told if name in ours}
    data |= {"short_description": "Photo in, painting out, in your browser"}
    data |= {"sdk": "static", "custom_headers": ISOLATED}
    text = TEXT.format(title=ours.get("title"), where=IN_THE_BROWSER)
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---\n{text}"


def _commit(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, bytes | Path],
    variables: Mapping[str, str],
    private: bool,
    is_new: bool,
) -> CommitInfo:
    # Read again at each attempt: the last one may have succeeded, and only its answer was lost.
    head = api.space_info(repo_id, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    there = [file.rfilename for file in head.siblings or [] if file.rfilename != KEPT]
    is_ours = is_new or SITE in there or any(name.startswith("styletransfer/") for name in there)
    if not is_ours and (APP in there or INDEX in there):
        raise InputError(f"The Space {repo_id} holds another app: choose a new name.")
    if private and not head.private:
        raise InputError(f"The Space {repo_id} exists already and is public: choose another, or make it private.")
    for name, value in variables.items():
        api.add_space_variable(repo_id, name, value)
    stale = [name for name in there if name not in files]
    return commit_files(api, repo_id, files, stale, message="Deploy the page", parent=head.sha, repo_type="space")
