"""What a run keeps goes to the Hub in the background: training never waits for it and never fails with it."""

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

FOLDER = ".pushing"  # inside the run's folder: copies that wait for the Hub

_FILE = re.compile(r"step-(\d{8})/[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # what Accelerate writes: no folders inside

Push = Callable[..., object]  # (folder, repo_id, *, private)
Job = tuple[Path | None, Callable[[], object]]  # the copy to be pushed, and how


class Publisher:
    """Pushes packs and checkpoints of one run, one after the other, in a thread of its own.

    Of each kind only the newest waits: while the Hub is slow, older ones give way to it. A push that fails is
    retried with growing pauses, then said in one line; `finish` tells what is missing on the Hub in the end.

    Args:
        repo_id: `org/name`; made if it is missing.
        private: of a repository that is made.
        output: the run's folder.
    """

    def __init__(self, repo_id: str, *, private: bool, output: Path) -> None:
        self.repo_id, self.private = repo_id, private
        self._copies = output / FOLDER
        shutil.rmtree(self._copies, ignore_errors=True)  # of a killed run
        self._numbers = itertools.count()
        self._failures: dict[str, str] = {}
        # First of all the repository: say at the start, not at the end of a night, that nothing can be pushed.
        self._waiting: dict[str, Job] = {"repository": (None, self._make_repo)}
        self._changed = threading.Condition()
        self._closing = False
        # A daemon: whoever interrupts a training does not wait for the Hub either.
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
        self._thread.start()

    def offer_pack(self, folder: Path, note: str = "") -> None:
        """Push the pack as it is now; commit and tag of an unfinished one have the note "step 4 of 20"."""
        self._offer("pack", folder, partial(push_pack, note=note))

    def offer_checkpoint(self, folder: Path) -> None:
        """Push the checkpoint."""
        self._offer("checkpoint", folder, push_checkpoint)

    def finish(self, pack: Path, checkpoint: Path | None) -> list[str]:
        """Push the last pack, wait until everything is pushed, and tell what is not: one sentence for each.

        Args:
            pack: the finished pack.
            checkpoint: the last one that was offered, for the command that pushes it by hand; None when none was.
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
        return f"The {kind} in {folder} is whole, but not on the Hub: {self._failures[kind]} Push it with: {command}"

    def _offer(self, kind: str, folder: Path, push: Push) -> None:
        """Have a copy pushed: the folder itself may be written anew or pruned before its turn comes."""
        copy = self._copies / str(next(self._numbers)) / folder.name
        try:
            shutil.copytree(folder, copy)
        except OSError as error:  # a full disk, say: no reason to stop a training that has just been saved
            self._failed(kind, f"no copy of it can be made ({error.strerror or 'the disk is full'}).")
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
            except Exception as error:  # whatever it is, the training is worth more than the push
                self._failed(kind, f"{type(error).__name__}: {error}.")
            _discard(copy)

    def _failed(self, kind: str, reason: str) -> None:
        self._failures[kind] = reason
        tqdm.write(f"The {kind} was not pushed to {self.repo_id}: {reason} Training is not touched by this.")


def _discard(copy: Path | None) -> None:
    if copy:
        shutil.rmtree(copy.parent, ignore_errors=True)


def open_publisher(config: "TrainingConfig", accelerator: "Accelerator") -> Publisher | None:
    """The publisher of a run, in its main process; None elsewhere and without --push-to-hub."""
    if config.push_to_hub is None or not accelerator.is_main_process:
        return None
    return Publisher(config.push_to_hub, private=config.private, output=Path(config.output_dir))


def fetch_checkpoint(config: "TrainingConfig", accelerator: "Accelerator", folder: Path) -> None:
    """With --resume and --hub-checkpoint: have the Hub's checkpoint here when it is newer, in every process.

    Raises:
        InputError: in the process that asks, when the Hub does not give it and there is none here to go on from.
    """
    if not (config.resume is True and config.hub_checkpoint):
        return
    if accelerator.is_local_main_process:  # one download on each machine
        try:
            newer = pull_newer_checkpoint(config.push_to_hub, folder)
            if newer:
                tqdm.write(f"Going on from {newer.name}, fetched from {config.push_to_hub}.")
        except InputError as error:
            here = list_checkpoints(folder)
            if not here:
                raise
            tqdm.write(f"Going on from {here[-1]}: {error}")
    accelerator.wait_for_everyone()


# ---- checkpoints on the Hub ------------------------------------------------------------------------------------------


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
    # Read anew at each attempt: the last one may have gone through, only its answer may have been lost.
    head = api.model_info(repo_id, revision=BRANCH)
    files = {f"{folder.name}/{path.name}": path for path in sorted(folder.iterdir())}
    # .gitattributes came with the branch and says which files are stored as large ones.
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
