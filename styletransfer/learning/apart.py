"""Learning for visitors of a page, aside: each in a process of its own. What it leaves is a pack, written whole."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from styletransfer.aside import HEARTBEAT, Line, words_of
from styletransfer.errors import Sentence
from styletransfer.learning.recipe import NetworkWeights


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
        self._line = Line(waiting, Sentence("Too many paintings are being learned: try again in some minutes."))

    def learn(self, painting: Path, pack: Path, name: str, title: str) -> Iterator[Word]:
        """Learn a painting into a pack; yields often, and whoever stops asking stops the process.

        Args:
            painting: its file.
            pack: the folder, which there is not yet; from the first better word on it is there.
            name, title: of the style.

        Raises:
            InputError: too many wait, or the painting cannot be learned.
        """
        with self._line.place() as ticket:
            while before := self._line.before(ticket):
                yield Word(before=before)
                time.sleep(HEARTBEAT)
            yield from self._learn(self._command(painting, pack, name, title))

    def _command(self, painting: Path, pack: Path, name: str, title: str) -> list[str]:
        command = ["learn", str(painting), "-o", str(pack), "--json", "--leash"]
        command += ["--name", name, "--title", title, "--minutes", f"{self.minutes:g}"]
        command += ["--base", self.base] if self.base else []
        files = {"style-network": self.weights.style, "content-network": self.weights.content}
        files["lpips"] = self.weights.lpips
        return command + [f"--{flag}-weights={file}" for flag, file in files.items() if file]

    def _learn(self, command: list[str]) -> Iterator[Word]:
        word, failed = Word(), Sentence("The painting could not be learned: try again.")
        for said in words_of(command, self.threads, failed):
            if said is None:  # the same word again
                yield Word(0, word.seconds, word.done, word.steps)
            elif "steps" in said:
                word = Word(0, said["seconds"], said["done"], said["steps"], said["is_better"])
                yield word
