"""Long work of a server in processes of their own, one after the other, which give way to all others.

A process can be stopped at any moment, its memory goes back with it, and it takes no core from a visitor who paints.
It ends with the server, however that ends.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from styletransfer.errors import InputError, Sentence
from styletransfer.paths import ROOT

NICE = 10  # of the process, so that those who paint go first
HEARTBEAT = 0.5  # seconds at most between two words, so that whoever listens may stop


class Line:
    """Those who wait for their turn; safe to use from any thread.

    Args:
        waiting: how many may wait.
        full: what one too many is told.
    """

    def __init__(self, waiting: int, full: Sentence) -> None:
        self.waiting, self._full = waiting, full
        self._lock = threading.Lock()
        self._line: list[object] = []

    def __len__(self) -> int:
        """How many are in it, with the one who is served."""
        with self._lock:
            return len(self._line)

    @contextmanager
    def place(self) -> Iterator[object]:
        """A place in the line, given up at the end; raises InputError where too many wait."""
        ticket = object()
        with self._lock:
            if len(self._line) > self.waiting:
                raise InputError(self._full)
            self._line.append(ticket)
        try:
            yield ticket
        finally:
            with self._lock:
                self._line.remove(ticket)

    def before(self, ticket: object) -> int:
        """How many are served first."""
        with self._lock:
            return self._line.index(ticket)


def words_of(arguments: Sequence[str], threads: int, failed: Sentence) -> Iterator[dict[str, Any] | None]:
    """Run `python -m styletransfer ARGUMENTS`, which says lines of JSON; whoever stops asking stops the process.

    Args:
        arguments: of the command, which ends with its standard input.
        threads: of the process.
        failed: what is said where it gives no reason.

    Yields:
        What it says; None now and then while it says nothing new.

    Raises:
        InputError: the command failed.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", "styletransfer", *arguments]
    process = subprocess.Popen(command, env=environment, **pipes, text=True, encoding="utf-8")
    try:
        _give_way(process)
        yield from _words(process)
        if process.wait():
            raise InputError(_reason(process.stderr.read()) or failed)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def _give_way(process: subprocess.Popen) -> None:
    if hasattr(os, "setpriority"):  # not on Windows
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)


def _words(process: subprocess.Popen) -> Iterator[dict[str, Any] | None]:
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    yield None
    while True:
        try:
            line = lines.get(timeout=HEARTBEAT)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield json.loads(line)


def _read(stream: Iterator[str], lines: "queue.Queue[str | None]") -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # closed while it was read
        pass
    lines.put(None)


def _reason(errors: str) -> Sentence | None:
    """The sentence of a command that failed."""
    told = [line.removeprefix("error: ") for line in errors.splitlines() if line.startswith("error: ")]
    return Sentence(told[-1]) if told else None
