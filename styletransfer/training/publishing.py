"""Pushes packs and checkpoints to the Hub in the background: training neither waits for a push nor fails with it."""

import itertools
import re
import shlex
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, ModelInfo
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoSibling
from tqdm import tqdm

from styletransfer.errors import InputError
from styletransfer.folders import written_whole
from styletransfer.hub.errors import patiently, told_plainly
from styletransfer.hub.packs import push_pack
from styletransfer.hub.repos import commit_files, is_as_uploaded, make_repo
from styletransfer.training.checkpoints import BRANCH, checkpoint_path, list_checkpoints

if TYPE_CHECKING:  # the command that pushes a checkpoint need not load them
    from accelerate import Accelerator

    from styletransfer.training.config import TrainingConfig

FOLDER = ".pushing"  # in the run's folder: copies that wait to be pushed

_FILE = re.compile(r"step-(\d{8})/[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # what Accelerate writes: no folders inside

Push = Callable[..., object]  # (folder, repo_id, *, private)
Job = tuple[Path | None, Callable[[], object]]  # the copy to be pushed, and the function that pushes it


class Publisher:
    """Pushes packs and checkpoints of one run, one after the other, in a thread of its own.

    While the Hub is slow, a newer pack or checkpoint replaces one that still waits. A push that fails is retried with
    growing pauses, then reported in one line; `finish` returns what is missing on the Hub in the end.

    Args:
        repo_id: `org/name`; it is created if it is missing.
        private: create it as a private one.
        output: the run's folder.
    """

    def __init__(self, repo_id: str, *, private: bool, output: Path) -> None:
        self.repo_id, self.private = repo_id, private
        self._copies = output / FOLDER
        shutil.rmtree(self._copies, ignore_errors=True)  # left by a killed run
        self._numbers = itertools.count()
        self._failures: dict[str, str] = {}
        # The repository first: if nothing can be pushed, that is reported at the start and not after hours of training.
        self._waiting: dict[str, Job] = {"repository": (None, self._make_repo)}
        self._changed = threading.Condition()
        self._closing = False
        # A daemon: an interrupted training does not wait for the Hub.
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
        self._thread.start()

    def offer_pack(self, folder: Path, note: str = "") -> None:
        """Push the pack as it is now; commit and tag of an unfinished one have the note "step 4 of 20"."""
        self._offer("pack", folder, partial(push_pack, note=note))

    def offer_checkpoint(self, folder: Path) -> None:
        """Push the checkpoint."""
        self._offer("checkpoint", folder, push_checkpoint)

    def finish(self, pack: Path, checkpoint: Path | None) -> list[str]:
        """Push the last pack, wait until all pushes have ended, and return one sentence for each that failed.

        Args:
            pack: the finished pack.
            checkpoint: the last one that was offered, for the command that pushes it by hand; None without one.
        """
        self.offer_pack(pack)
        with self._changed:
            self._closing = True
            self._changed.notify()
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self._failures.setdefault("pack", "The push was interrupted.")
        shutil.rmtree(self._copies, ignore_errors=True)
        places = {"pack": pack, "checkpoint": checkpoint}
        return [self._by_hand(kind, places[kind]) for kind in self._failures if places.get(kind)]

    def _make_repo(self) -> None:
        with told_plainly(f"repository {self.repo_id}"):
            make_repo(HfApi(), self.repo_id, private=self.private)

    def _by_hand(self, kind: str, folder: Path) -> str:
        private = " --private" if self.private else ""
        command = f"python -m styletransfer push {shlex.quote(str(folder))} {self.repo_id}{private}"
        return f"The {kind} in {folder} is safe, but not on the Hub. {self._failures[kind]} Push it with: {command}"

    def _offer(self, kind: str, folder: Path, push: Push) -> None:
        """Queue a copy: the folder itself may be replaced or pruned before it is pushed."""
        copy = self._copies / str(next(self._numbers)) / folder.name
        try:
            shutil.copytree(folder, copy)
        except OSError as error:  # for example a full disk: the training itself is saved
            self._failed(kind, f"It cannot be copied ({error.strerror or 'the disk is full'}).")
            return
        with self._changed:
            older = self._waiting.pop(kind, None)
            self._waiting[kind] = copy, lambda: push(copy, self.repo_id, private=self.private)
            self._changed.notify()
        if older:
            _discard(older[0])

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                kind = next(iter(self._waiting))
                copy, push = self._waiting.pop(kind)
            try:
                push()
                self._failures.pop(kind, None)
            except InputError as error:
                self._failed(kind, str(error))
            except Exception as error:  # whatever it is, the training must go on
                self._failed(kind, f"{type(error).__name__}: {error}.")
            _discard(copy)

    def _failed(self, kind: str, reason: str) -> None:
        self._failures[kind] = reason
        tqdm.write(f"The {kind} was not pushed to {self.repo_id}. {reason} Training continues.")


def _discard(copy: Path | None) -> None:
    if copy:
        shutil.rmtree(copy.parent, ignore_errors=True)


def open_publisher(config: "TrainingConfig", accelerator: "Accelerator") -> Publisher | None:
    """The publisher of a run, in its main process; None elsewhere and without --push-to-hub."""
    if config.push_to_hub is None or not accelerator.is_main_process:
        return None
    return Publisher(config.push_to_hub, private=config.private, output=Path(config.output_dir))


def fetch_checkpoint(config: "TrainingConfig", accelerator: "Accelerator", folder: Path) -> None:
    """With --resume and --hub-checkpoint: download the Hub's checkpoint when it is newer than those here.

    Raises:
        InputError: the download failed, and there is no checkpoint here to continue from.
    """
    if not (config.resume is True and config.hub_checkpoint):
        return
    if accelerator.is_local_main_process:  # one download on each machine
        try:
            newer = pull_newer_checkpoint(config.push_to_hub, folder)
            if newer:
                tqdm.write(f"Continuing from {newer.name}, downloaded from {config.push_to_hub}.")
        except InputError as error:
            here = list_checkpoints(folder)
            if not here:
                raise
            tqdm.write(f"Continuing from {here[-1]}. {error}")
    accelerator.wait_for_everyone()


# ---- checkpoints on the Hub ------------------------------------------------------------------------------------------


def push_checkpoint(folder: Path, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a checkpoint as one commit to the branch `checkpoints`, in place of the one before.

    Args:
        folder: a complete checkpoint, `step-00001000`.
        repo_id: `org/name`; the repository and the branch are created if they are missing.
        private: create the repository as a private one.
        token: of a user who may write there; the one logged in when None.

    Returns:
        The commit's address.

    Raises:
        InputError: the Hub refuses or does not answer, after several attempts. The branch is then unchanged.
    """
    api = HfApi(token=token)
    with told_plainly(f"repository {repo_id}"):
        make_repo(api, repo_id, private=private, branch=BRANCH)
        return patiently(lambda: _commit(api, repo_id, folder))


def pull_newer_checkpoint(repo_id: str, folder: Path, *, token: str | None = None) -> Path | None:
    """Download the checkpoint on the Hub when it is newer than those in `folder`.

    A checkpoint contains pickles, which can run code: download one only from a repository of your own. Use packs for
    the work of others.

    Args:
        repo_id: `org/name`, with a branch `checkpoints`.
        folder: with the run's checkpoints.
        token: of a user who may read there; the one logged in when None.

    Returns:
        The new checkpoint's folder; None when the Hub has none that is newer.

    Raises:
        InputError: the Hub does not answer, or a file does not arrive as it was uploaded.
    """
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


def _commit(api: HfApi, repo_id: str, folder: Path) -> str:
    # Read again at each attempt: the last one may have succeeded, and only its answer was lost.
    head = api.model_info(repo_id, revision=BRANCH)
    files = {f"{folder.name}/{path.name}": path for path in sorted(folder.iterdir())}
    # .gitattributes belongs to the branch and says which files go to large file storage.
    kept = {".gitattributes", *files}
    stale = [file.rfilename for file in head.siblings or [] if file.rfilename not in kept]
    message = f"Keep checkpoint {folder.name}"
    commit = commit_files(api, repo_id, files, stale, message=message, parent=head.sha, revision=BRANCH)
    return commit.commit_url


def _newest(api: HfApi, repo_id: str) -> tuple[int, str, list[RepoSibling]] | None:
    """(step, commit, its files) of the newest checkpoint on the branch."""
    try:
        info: ModelInfo = api.model_info(repo_id, revision=BRANCH, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None
    files = [file for file in info.siblings or [] if _FILE.fullmatch(file.rfilename)]
    if not files:
        return None
    name = max(file.rfilename.partition("/")[0] for file in files)
    return int(name.rpartition("-")[2]), info.sha, [f for f in files if f.rfilename.startswith(f"{name}/")]


def _fetch(api: HfApi, repo_id: str, commit: str, file: RepoSibling, folder: Path) -> Path:
    path = Path(api.hf_hub_download(repo_id, file.rfilename, revision=commit, cache_dir=folder))
    if not is_as_uploaded(path, file):
        shutil.rmtree(folder)
        raise InputError(f"{file.rfilename} of {repo_id} does not arrive as it was uploaded: try again.")
    return path
