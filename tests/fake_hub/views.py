"""How the loopback Hub describes what it keeps: repositories, folders, commits, and what their cards say."""

import re
from datetime import datetime

import yaml

from fake_hub.access import HubError
from fake_hub.store import Commit, Repo, StoredFile, git_oid

FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
# What listings tell of a repository if not asked for more.
LISTED = ("id", "_id", "modelId", "likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt")
# What of a card becomes a tag, and as what.
TAGGED = {
    "tags": "{}",
    "library_name": "{}",
    "pipeline_tag": "{}",
    "task_categories": "task_categories:{}",
    "license": "license:{}",
    "language": "{}",
    "datasets": "dataset:{}",
    "base_model": "base_model:{}",
}


def card_data(text: str) -> dict:
    """The metadata at the top of a card.

    Raises:
        HubError: it is not YAML or not a mapping.
    """
    found = FRONT_MATTER.match(text)
    try:
        data = (yaml.safe_load(found.group(1)) if found else None) or {}
    except yaml.YAMLError as error:
        raise HubError(400, f"Invalid YAML: {error}") from error
    if not isinstance(data, dict):
        raise HubError(400, "The metadata must be a mapping")
    return data


def card_problems(text: str, kind: str) -> list[str]:
    """What the Hub would refuse in a card's metadata."""
    try:
        data = card_data(text)
    except HubError as error:
        return [error.message]
    problems = []
    for key in ("tags", "datasets", "metrics", "language"):
        if not all(isinstance(value, str) for value in as_list(data.get(key))):
            problems.append(f'"{key}" must be a string or a list of strings')
    for key in ("license", "library_name", "pipeline_tag", "thumbnail", "sdk"):
        if not isinstance(data.get(key, ""), str):
            problems.append(f'"{key}" must be a string')
    for entry in as_list(data.get("model-index")):
        if not (isinstance(entry, dict) and isinstance(entry.get("name"), str) and _are_results(entry.get("results"))):
            problems.append('"model-index" must be a list of a name and results with a task, a dataset and metrics')
    if kind == "space" and data and "sdk" not in data:
        problems.append('"sdk" is required')
    return problems


def _are_results(results: object) -> bool:
    return isinstance(results, list) and all(
        isinstance(result, dict)
        and isinstance(result.get("task"), dict)
        and isinstance(result.get("dataset"), dict)
        and all(isinstance(metric, dict) and {"type", "value"} <= metric.keys() for metric in result.get("metrics", []))
        for result in results
    )


def as_list(value: object) -> list:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def card_of(repo: Repo, commit: Commit) -> dict:
    """The card's metadata at this commit; nothing where it cannot be read."""
    if "README.md" not in commit.files:
        return {}
    text = repo.contents.path(commit.files["README.md"].sha256).read_text(encoding="utf-8", errors="replace")
    try:
        return card_data(text)
    except HubError:
        return {}


def tags_of(card: dict) -> list[str]:
    tags = [form.format(value) for key, form in TAGGED.items() for value in as_list(card.get(key))]
    return list(dict.fromkeys(tags))


def describe(repo: Repo, commit: Commit, *, with_sizes: bool = False) -> dict:
    """Everything that is told about a repository."""
    card = card_of(repo, commit)
    told = {
        "_id": git_oid(f"{repo.kind} {repo.id}".encode())[:24],
        "id": repo.id,
        "author": repo.id.split("/")[0],
        "sha": commit.sha,
        "lastModified": moment(commit.date),
        "createdAt": moment(repo.created),
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags_of(card),
        "cardData": card,
        "siblings": [_sibling(path, file, with_sizes) for path, file in commit.files.items()],
        "usedStorage": sum(file.size for file in commit.files.values()),
    }
    if repo.kind == "model":
        told |= {"modelId": repo.id, "pipeline_tag": card.get("pipeline_tag"), "library_name": card.get("library_name")}
        told |= {"model-index": card["model-index"]} if "model-index" in card else {}
    if repo.kind == "space":
        told |= {"sdk": card.get("sdk", repo.settings.get("sdk")), "subdomain": repo.id.replace("/", "-")}
    return told


def describe_in_list(told: dict, *, full: bool, with_card: bool) -> dict:
    """What of a description a listing tells: little, unless asked for more."""
    kept = told.keys() if full else {*LISTED}
    return {key: value for key, value in told.items() if (with_card if key == "cardData" else key in kept)}


def _sibling(path: str, file: StoredFile, with_sizes: bool) -> dict:
    if not with_sizes:
        return {"rfilename": path}
    told = {"rfilename": path, "size": file.size, "blobId": file.git_oid}
    if file.pointer_size is not None:
        told["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return told


def describe_path(commit: Commit, path: str, *, expand: bool = False) -> dict | None:
    """A file or folder as listings of folders tell it; None where there is neither."""
    file = commit.files.get(path)
    if file is not None:
        told = {"type": "file", "path": path, "size": file.size, "oid": file.git_oid}
        if file.pointer_size is not None:
            told["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    elif any(other.startswith(f"{path}/") for other in commit.files):
        told = {"type": "directory", "path": path, "size": 0, "oid": commit.sha}
    else:
        return None
    if expand:
        changed = commit.last_change_of(path) if file is not None else commit
        told["lastCommit"] = {"id": changed.sha, "title": changed.title, "date": moment(changed.date)}
    return told


def describe_tree(commit: Commit, folder: str, *, recursive: bool, expand: bool) -> list[dict]:
    """The files and folders in a folder ("" is the topmost), folders inside too if recursive.

    Raises:
        HubError: there is no such folder.
    """
    inside = f"{folder}/" if folder else ""
    paths = set()
    for path in commit.files:
        if path.startswith(inside):
            parts = path[len(inside) :].split("/")
            depths = range(1, len(parts) + 1) if recursive else [1]
            paths |= {inside + "/".join(parts[:depth]) for depth in depths}
    if folder and not paths:
        raise HubError(404, f"{folder} does not exist", "EntryNotFound", commit.sha)
    return [describe_path(commit, path, expand=expand) for path in sorted(paths)]


def describe_commit(commit: Commit) -> dict:
    return {
        "id": commit.sha,
        "title": commit.title,
        "message": commit.description,
        "authors": [{"user": commit.author}],
        "date": moment(commit.date),
    }


def describe_ref(folder: str, name: str, commit: Commit) -> dict:
    return {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit.sha}


def moment(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03d}Z"
