"""A run's newest checkpoint on a branch of its repository on the Hub, so that another machine can go on from it."""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from styletransfer.errors import InputError
from styletransfer.folders import written_whole
from styletransfer.hub.errors import patiently, told_plainly
from styletransfer.hub.repos import commit_files, is_as_uploaded, make_repo
from styletransfer.training.checkpoints import checkpoint_path, list_checkpoints

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo
    from huggingface_hub.hf_api import RepoSibling

BRANCH = "checkpoints"
_FILE = re.compile(r"step-(\d{8})/[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # what Accelerate writes: no folders inside


def push_checkpoint(folder: Path, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a checkpoint as one commit to the branch `checkpoints`, where it takes the place of the one before.

    Args:
        folder: a whole checkpoint, `step-00001000`.
        repo_id: `org/name`; the repository and the branch are made if they are missing.
        private: of a repository that is made here.
        token: of a user who may write there; the one logged in when None.

    Returns:
        The commit's address.

    Raises:
        InputError: the Hub refuses or does not answer, after several attempts. The branch is as it was.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with told_plainly(f"repository {repo_id}"):
        make_repo(api, repo_id, private=private, branch=BRANCH)
        return patiently(lambda: _commit(api, repo_id, folder))


def pull_newer_checkpoint(repo_id: str, folder: Path, *, token: str | None = None) -> Path | None:
    """Fetch the checkpoint of the Hub when it is newer than those in `folder`.

    A checkpoint is the state of a training, with random states in Python's own format: pull one only from a
    repository that you push to yourself. Packs are for everybody else's work.

    Args:
        repo_id: `org/name`, whose branch `checkpoints` is looked at.
        folder: of the run's checkpoints.
        token: of a user who may read there; the one logged in when None.

    Returns:
        The new checkpoint's folder, whole; None when the Hub has none, or none that is newer.

    Raises:
        InputError: the Hub does not answer, or what arrives is not what was uploaded.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with told_plainly(f"checkpoint of {repo_id}"):
        found = patiently(lambda: _newest(api, repo_id))
        here = list_checkpoints(folder)
        if found is None or (here and here[-1].name >= checkpoint_path(folder, found[0]).name):
            return None
        step, commit, files = found
        target = checkpoint_path(folder, step)
        with written_whole(target) as partial:
            download = partial / ".download"
            for file in files:
                path = patiently(lambda file=file: _fetch(api, repo_id, commit, file, download))
                shutil.copyfile(path, partial / file.rfilename.partition("/")[2])
            shutil.rmtree(download)
    return target


def _commit(api: "HfApi", repo_id: str, folder: Path) -> str:
    # Read anew at each attempt: the last one may have gone through, only its answer may have been lost.
    head = api.model_info(repo_id, revision=BRANCH)
    files = {f"{folder.name}/{path.name}": path for path in sorted(folder.iterdir())}
    # .gitattributes came with the branch and says which files are stored as large ones.
    kept = {".gitattributes", *files}
    stale = [file.rfilename for file in head.siblings or [] if file.rfilename not in kept]
    message = f"Keep checkpoint {folder.name}"
    commit = commit_files(api, repo_id, files, stale, message=message, parent=head.sha, revision=BRANCH)
    return commit.commit_url


def _newest(api: "HfApi", repo_id: str) -> "tuple[int, str, list[RepoSibling]] | None":
    """(step, commit, its files) of the newest checkpoint on the branch."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        info: ModelInfo = api.model_info(repo_id, revision=BRANCH, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None
    files = [file for file in info.siblings or [] if _FILE.fullmatch(file.rfilename)]
    if not files:
        return None
    name = max(file.rfilename.partition("/")[0] for file in files)
    return int(name.rpartition("-")[2]), info.sha, [f for f in files if f.rfilename.startswith(f"{name}/")]


def _fetch(api: "HfApi", repo_id: str, commit: str, file: "RepoSibling", folder: Path) -> Path:
    path = Path(api.hf_hub_download(repo_id, file.rfilename, revision=commit, cache_dir=folder))
    if not is_as_uploaded(path, file):
        shutil.rmtree(folder)
        raise InputError(f"{file.rfilename} of {repo_id} does not arrive as it was uploaded: try again.")
    return path
