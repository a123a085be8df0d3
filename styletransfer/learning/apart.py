"""Learning for visitors of a page: in processes of their own, one after the other, which give way to all others.

A process can be stopped at any moment, its memory goes back with it, and it takes no core from a visitor who paints.
It ends with the server, however that ends. What it leaves is a pack, written whole each time.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from styletransfer.errors import InputError, Sentence
from styletransfer.learning.recipe import NetworkWeights
from styletransfer.paths import ROOT

NICE = 10  # of the process, so that those who paint go first
HEARTBEAT = 0.5  # seconds at most between two words, so that whoever listens may stop


@dataclass(frozen=True)
class Word:
    """How far a learning in a process of its own is."""

    before: int = 0  # others that are served first
    seconds: float = 0.0
    done: float = 0.0  # share of the time that is behind, 0 to 1
    steps: int = 0
    is_better: bool = False  # whether the pack has just been written anew


class Workshop:
    """Learns one painting at a time, in the order in which they come; safe to use from any thread.

    Args:
        minutes: that a learning takes.
        waiting: how many may wait.
        threads: of the process that learns.
        weights: files of the networks that look at pictures.
        base: what styles start from, see `Learner`.
    """

    def __init__(
        self, *, minutes: float, waiting: int, threads: int, weights: NetworkWeights, base: str | None = None
    ) -> None:
        self.minutes, self.waiting, self.threads = minutes, waiting, threads
        self.weights, self.base = weights, base
        self._lock = threading.Lock()
        self._line: list[object] = []

    def learn(self, painting: Path, pack: Path, name: str, title: str) -> Iterator[Word]:
        """Learn a painting into a pack; yields often, and whoever stops asking stops the process.

        Args:
            painting: its file.
            pack: the folder, which there is not yet; from the first better word on it is there.
            name, title: of the style.

        Raises:
            InputError: too many wait, or the painting cannot be learned.
        """
        with self._place() as ticket:
            while before := self._before(ticket):
                yield Word(before=before)
                time.sleep(HEARTBEAT)
            yield from self._learn(self._command(painting, pack, name, title))

    @contextmanager
    def _place(self) -> Iterator[object]:
        """A place in the line, given up at the end."""
        ticket = object()
        with self._lock:
            if len(self._line) > self.waiting:
                raise InputError("Too many paintings are being learned: try again in some minutes.")
            self._line.append(ticket)
        try:
            yield ticket
        finally:
            with self._lock:
                self._line.remove(ticket)

    def _before(self, ticket: object) -> int:
        with self._lock:
            return self._line.index(ticket)

    def _command(self, painting: Path, pack: Path, name: str, title: str) -> list[str]:
        command = [sys.executable, "-m", "styletransfer", "learn", str(painting), "-o", str(pack), "--json", "--leash"]
        command += ["--name", name, "--title", title, "--minutes", f"{self.minutes:g}"]
        command += ["--base", self.base] if self.base else []
        files = {"style-network": self.weights.style, "content-network": self.weights.content}
        files["lpips"] = self.weights.lpips
        return command + [f"--{flag}-weights={file}" for flag, file in files.items() if file]

    def _learn(self, command: list[str]) -> Iterator[Word]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(self.threads)}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(command, env=environment, **pipes, text=True, encoding="utf-8")
        try:
            _give_way(process)
            yield from _words(process)
            if process.wait():
                raise InputError(_reason(process.stderr.read()))
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                pipe.close()


def _give_way(process: subprocess.Popen) -> None:
    if hasattr(os, "setpriority"):  # not on Windows
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)


def _words(process: subprocess.Popen) -> Iterator[Word]:
    """What a process says in lines of JSON; the same word again while it says nothing new."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    word = Word()
    yield word
    while True:
        try:
            line = lines.get(timeout=HEARTBEAT)
        except queue.Empty:
            yield Word(0, word.seconds, word.done, word.steps)
            continue
        if line is None:
            return
        said = json.loads(line)
        if "steps" in said:
            word = Word(0, said["seconds"], said["done"], said["steps"], said["is_better"])
            yield word


def _read(stream: Iterator[str], lines: "queue.Queue[str | None]") -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # closed while it was read
        pass
    lines.put(None)


def _reason(errors: str) -> Sentence:
    """The sentence of a command that failed."""
    told = [line.removeprefix("error: ") for line in errors.splitlines() if line.startswith("error: ")]
    return Sentence(told[-1]) if told else Sentence("The painting could not be learned: try again.")
