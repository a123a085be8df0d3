"""A Hugging Face Hub on this machine, for tests: real HTTP on 127.0.0.1, a folder behind it, failures on request.

    with hub(tmp_path / "hub") as running:
        running.put("painter/pack", {"README.md": "..."})
        subprocess.run([...], env=running.environment("painter"))

The clients must be processes of their own, since huggingface_hub reads HF_ENDPOINT when it is imported.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect

from fake_hub.access import HubError, User
from fake_hub.api import Repositories
from fake_hub.desk import by_sent_path, forget, refuse
from fake_hub.faults import Fault, Faults, Served
from fake_hub.files import Files
from fake_hub.store import Commit, Repo, Store

HOST = "127.0.0.1"
USERS = (User("painter", organizations=("studio",)), User("visitor"))
PATIENCE = 120  # seconds until a server that takes a moment to start or stop is taken for hanging


@contextlib.contextmanager
def hub(folder: Path, users: Iterable[User] = USERS, page_size: int = 1000, port: int = 0) -> Iterator["Hub"]:
    """A Hub that runs until the end of the block and keeps everything in `folder`, which must not exist yet.

    port: any free one when 0, or one that is known before, for programs that are prepared before the Hub is.
    """
    running = Hub(folder, users, page_size, port)
    running.start()
    try:
        yield running
    finally:
        running.stop()


class Hub:
    """The running Hub, as a test sees it from behind."""

    def __init__(self, folder: Path, users: Iterable[User], page_size: int, port: int = 0):
        self.folder = folder
        self.store = Store(folder, users)
        repositories, files = Repositories(self.store, page_size), Files(self.store, page_size)
        handlers = {HubError: refuse, ClientDisconnect: forget, 404: repositories.refuse_address}
        routes = [*repositories.routes(), *files.routes()]
        application = by_sent_path(Starlette(routes=routes, exception_handlers=handlers))
        self.faults = Faults(application, self._sever)
        self._place = bound_socket(port)  # never listens: it keeps the port ours while the Hub is down
        self.endpoint = f"http://{HOST}:{self._place.getsockname()[1]}"
        self._server: uvicorn.Server | None = None

    # -----------------------------------------------------------------------------------------------------------------
    # What clients need

    def token(self, user: str, role: str = "write") -> str:
        """The user's token that may write, or with role "read" the one that may not."""
        return self.store.users[user].token(role)

    def environment(self, user: str | None = None, *, role: str = "write", home: Path | None = None) -> dict[str, str]:
        """The environment for a program that shall take this for the Hub; without a user it is anonymous.

        Each user has one HF_HOME and so one cache; another machine is another `home`.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        told = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home or self.folder / "homes" / (user or "nobody")),
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",  # with it, uploads ask for a service that is not here
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_ETAG_TIMEOUT": "120",  # not to take a busy machine for a Hub that does not answer
            "HF_HUB_DOWNLOAD_TIMEOUT": "120",
            "NO_PROXY": HOST,
            "no_proxy": HOST,
        }
        return kept | told | ({"HF_TOKEN": self.token(user, role)} if user else {})

    # -----------------------------------------------------------------------------------------------------------------
    # What is there

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        """The repository, with its branches, tags, history(), paths() and read(); KeyError where there is none."""
        repo = self.store.repo(repo_id, kind)
        if repo is None:
            raise KeyError(f"no {kind} {repo_id}")
        return repo

    def put(
        self,
        repo_id: str,
        files: Mapping[str, bytes | str | Path],
        kind: str = "model",
        *,
        branch: str = "main",
        private: bool = False,
        gated: str | bool = False,
        declared_sizes: Mapping[str, int] | None = None,
    ) -> Commit:
        """Commit files from behind, past all checks, to a repository that is made if missing.

        `private` and `gated` count when it is made. Of the files in `declared_sizes` the Hub says that they are so
        large, whatever they are.
        """
        repo = self.store.repo(repo_id, kind)
        if repo is None:
            repo = self.store.create(kind, repo_id, private=private, gated=gated)
        return repo.put(files, branch=branch, declared_sizes=declared_sizes)

    @property
    def served(self) -> list[Served]:
        """All requests so far, in the order in which they came."""
        return self.faults.served

    # -----------------------------------------------------------------------------------------------------------------
    # What goes wrong

    def fail(
        self,
        path: str,
        kind: str,
        *,
        method: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        **options: object,
    ) -> Fault:
        """Let requests go wrong whose unquoted path matches the pattern (as in fnmatch; * takes slashes, too).

        `times` says how often (None: until healed), `skip` how many pass before. Of several that match, the one told
        first happens. Kinds and their options:

        * "error": `status=500`, `message=...`
        * "rate-limit": 429 with `retry_after=1` seconds
        * "missing": 404, EntryNotFound
        * "quota": 403 with the Hub's sentence about storage
        * "cut": the connection ends after `after_bytes=0` of the body sent up or down; `reset=True` without good-bye
        * "lose-answer": what was asked for is done, but the connection ends before the answer
        * "slow": nothing happens for so many `seconds`
        * "corrupt": one byte of the body sent up (PUT, POST) or down (otherwise) changes
        """
        return self.faults.plan(path, kind, method=method, times=times, skip=skip, **options)

    def heal(self) -> None:
        """Forget all failures not yet happened."""
        self.faults.forget()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Nobody answers at the Hub's address within the block; afterwards it is as it was."""
        self._stop_serving()
        try:
            yield
        finally:
            self.start()

    # -----------------------------------------------------------------------------------------------------------------
    # Running

    def start(self) -> None:
        config = uvicorn.Config(
            self.faults, http="h11", loop="asyncio", ws="none", lifespan="off", log_level="error", access_log=False
        )
        self._server = uvicorn.Server(config)
        listening = bound_socket(self._place.getsockname()[1])
        listening.listen()
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the Hub did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        self._stop_serving()
        self._place.close()

    def _stop_serving(self) -> None:
        self._server.servers[0].get_loop().call_soon_threadsafe(self._sever_all)
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError("the Hub did not stop")

    def _sever(self, scope: dict, reset: bool) -> None:
        """End the connection that the request came by; with `reset` the other side loses what is under way."""
        for connection in list(self._server.server_state.connections):
            if connection.client == tuple(scope["client"]):
                if reset:
                    no_good_bye = struct.pack("ii", 1, 0)
                    wire = connection.transport.get_extra_info("socket")
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_good_bye)
                    connection.transport.abort()
                else:
                    connection.transport.close()

    def _sever_all(self) -> None:
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


def bound_socket(port: int) -> socket.socket:
    """A socket at this port (0: any free one), where others of ours may be, too, as long as one listens."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound
