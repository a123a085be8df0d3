"""A Hub dataset that is read during training: shuffled, split over processes, retried on errors, resumed exactly."""

import time
from collections.abc import Iterator
from typing import Any, TypedDict

import datasets
import fsspec
import numpy as np
from datasets.distributed import split_dataset_by_node
from PIL import Image
from tqdm import tqdm

from styletransfer.data.crops import LoadRow, Row, bad_file, nothing_usable
from styletransfer.errors import InputError, StreamError, first_line

LONGEST_WAIT = 60  # seconds between two attempts; the first wait is one second


class Position(TypedDict):
    """A place in a stream: a block of rows, and how many of them have been taken. Plain values, for JSON."""

    turn: int  # passes through the dataset before this one
    block: int  # blocks of this pass before this one
    state: dict[str, Any] | None  # of the dataset at the start of the block; None: the pass begins with it
    whole: bool  # whether the process reads the whole dataset because its share is empty
    taken: int  # rows of the block, in its shuffled order


class PatientRows:
    """One pass over the rows of a stream that have a picture, with its bytes; reading is retried when it fails.

    `state` is the dataset's after the last row that was returned.
    """

    def __init__(
        self,
        name: str,  # for messages: "the photos"
        rows: datasets.IterableDataset,  # from load_source
        state: dict[str, Any] | None = None,  # where to begin; None: at the first row
        *,
        patience: float,  # seconds for which reading is retried
    ) -> None:
        self.name, self.rows, self.state, self.patience = name, rows, state, patience

    def __iter__(self) -> Iterator[Row]:
        """Raises StreamError when reading keeps failing."""
        wait, end = 1.0, None
        while True:
            try:
                self.rows.load_state_dict(self.state)
                for row in self.rows:
                    row = _with_bytes(row)
                    self.state = self.rows.state_dict()
                    wait, end = 1.0, None
                    if row["image"]:  # two columns of unequal lengths end in empty rows
                        yield row
                return
            except Exception as error:  # of the network, of a file system, of a format
                now = time.monotonic()
                if end is None:
                    end = now + self.patience
                    tqdm.write(
                        f"Reading {self.name} failed ({first_line(error)}): retrying for {self.patience:.0f} seconds."
                    )
                if now + wait > end:
                    raise StreamError(f"Reading {self.name} keeps failing ({first_line(error)}).") from error
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)


def _with_bytes(row: Row) -> Row:
    """A row of a loose file has only its address: the file is read here, where errors are retried."""
    image = row["image"] or {}
    address = image.get("path") or ""
    if image.get("bytes") is not None or "://" not in address:
        return row
    with fsspec.open(address, "rb") as file:
        return {"image": {**image, "bytes": file.read()}}


class Stream:
    """A streamed source without end: in each pass its shards, and the rows within a block, come in another order.

    Rows are shuffled within blocks of `buffer`; while one block is used, the next is read. The shuffling buffer of
    datasets is not used, as its content is lost when a run resumes; a block is simply read again from its start.
    """

    keeps = False

    def __init__(
        self,
        name: str,  # for messages: "the photos"
        rows: datasets.IterableDataset,  # from load_source
        *,
        seed: int,
        stream: int,  # number of its stream of random numbers
        buffer: int,  # rows in a block, at least 1; twice as many, not decoded, are in memory
        rank: int = 0,
        processes: int = 1,
        patience: float,  # see PatientRows
    ) -> None:
        self.name, self.seed, self.stream, self.buffer, self.patience = name, seed, stream, buffer, patience
        self.whole = rows
        self.share = split_dataset_by_node(rows, rank, processes) if processes > 1 else rows
        self.position = Position(turn=0, block=0, state=None, whole=processes == 1, taken=0)
        self._walker: Iterator[Row] | None = None

    def take(self, number: int, load: LoadRow) -> tuple[Image.Image, list[str]]:
        """What `load` returns for the next row that can be used, and the rows skipped before it; `number` is not used.

        Raises:
            InputError: no row of a whole pass can be used.
            StreamError: reading keeps failing.
        """
        self._walker = self._walker or self._walk()
        skipped: list[str] = []
        first_turn = self.position["turn"]
        for row in self._walker:
            try:
                return load(row), skipped
            except InputError as error:
                skipped.append(bad_file(row, f"one of {self.name}", error))
            if self.position["turn"] > first_turn + 1:
                break
        raise nothing_usable(self.name, skipped)

    def order(self, *place: int) -> np.random.Generator:
        """The random numbers of a pass, or of one of its blocks."""
        return np.random.default_rng((self.seed, self.stream, *place))

    def _walk(self) -> Iterator[Row]:
        """Rows from `position` on; it is moved along."""
        skip = self.position["taken"]
        reader = _Reader(self, self.position)
        start, block = reader.position(), list(reader.block())
        while True:
            following = reader.position()
            ahead = reader.block()
            coming: list[Row] = []
            order = self.order(start["turn"], 1 + start["block"]).permutation(len(block))
            for taken, index in enumerate(order[skip:].tolist(), start=skip + 1):
                self.position = Position(**{**start, "taken": taken})
                yield block[index]
                coming.extend(
                    row for row in (next(ahead, None),) if row is not None
                )  # one row at a time, so that no step waits for a whole block
            coming.extend(ahead)
            start, block, skip = following, coming, 0


class _Reader:
    """Reads blocks of rows, pass after pass, from a position on."""

    def __init__(self, stream: Stream, start: Position) -> None:
        self.stream = stream
        self.turn, self.number, self.whole = start["turn"], start["block"], start["whole"]
        self.rows_in_turn = 0 if start["state"] is None else 1
        self._open(start["state"])

    def position(self) -> Position:
        """The start of the next block."""
        return Position(turn=self.turn, block=self.number, state=self._rows.state, whole=self.whole, taken=0)

    def block(self) -> Iterator[Row]:
        """The rows of a block; the last block of a pass is shorter."""
        for _ in range(self.stream.buffer):
            row = next(self._iterator, None)
            if row is None:
                self._next_turn()
                return
            self.rows_in_turn += 1
            yield row
        self.number += 1

    def _next_turn(self) -> None:
        if not self.rows_in_turn and self.whole:
            raise InputError(f"There is no picture among {self.stream.name}: choose another source, split or label.")
        if not self.rows_in_turn:
            self.whole = True  # fewer rows than processes: this one reads all of them, as it needs some
        else:
            self.turn += 1
        self.number = self.rows_in_turn = 0
        self._open(None)

    def _open(self, state: dict[str, Any] | None) -> None:
        rows = self.stream.whole if self.whole else self.stream.share
        # Any epoch but 0 shuffles the shards; it is the same in every process, as the shards are split among them.
        rows.set_epoch(int(self.stream.order(self.turn, 0).integers(1, 2**31)))
        self._rows = PatientRows(self.stream.name, rows, state, patience=self.stream.patience)
        self._iterator = iter(self._rows)
