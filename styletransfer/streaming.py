"""Photos and paintings read from the Hub as they are needed: shuffled, shared out to the processes, exactly resumed."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import datasets
import numpy as np
from accelerate import Accelerator
from accelerate.utils import send_to_device
from datasets.distributed import split_dataset_by_node
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .config import TrainingConfig
from .crops import Cropper, Row, row_name
from .data import (
    CHOICE,
    KEPT_PIXELS,
    STYLES,
    Batch,
    Kept,
    LoadRow,
    Samples,
    bad_file,
    check_sources,
    collate,
    nothing_usable,
    shuffled_photos,
    shuffled_style,
)
from .errors import InputError
from .sources import Source, first_line

POSITION = "stream-{rank}.json"
RETRY_WAITS = (1, 2, 4, 8, 16)  # seconds, on top of what the libraries wait themselves


class Position(TypedDict):
    """Where a stream is: a block of rows, and how many of it are taken. Plain values, for JSON."""

    turn: int  # passes through the dataset before this one
    block: int  # blocks of this pass before this one
    state: dict[str, Any] | None  # of the dataset at the start of the block; None: the pass begins with it
    whole: bool  # this process's share is empty, so that it reads the whole dataset
    taken: int  # rows of the block, in its shuffled order


class Stream:
    """A streamed source without end: pass after pass, each time its shards and then its rows in another order.

    Rows are shuffled within blocks of `buffer`, and while one is handed out the next is read. The shuffling buffer of
    datasets is not used: what it holds is lost when a run is resumed. A block is read again from where it began.
    """

    keeps = False

    def __init__(
        self,
        name: str,  # for messages: "the photos"
        rows: datasets.IterableDataset,  # from load_source
        *,
        seed: int,
        stream: int,  # sets its order apart from those of the other sources
        buffer: int,  # rows in a block, at least 1; twice as many, not decoded, are in memory
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.name, self.seed, self.stream, self.buffer = name, seed, stream, buffer
        self.whole = rows
        self.share = split_dataset_by_node(rows, rank, processes) if processes > 1 else rows
        self.position = Position(turn=0, block=0, state=None, whole=processes == 1, taken=0)
        self._walker: Iterator[Row] | None = None

    def take(self, number: int, load: LoadRow) -> tuple[Image.Image, list[str]]:
        """What `load` makes of the next row that it can use, and the bad ones before it; streams do not count.

        Raises:
            InputError: there is none in a whole pass, or the source cannot be read any further.
        """
        self._walker = self._walker or self._walk()
        skipped: list[str] = []
        first_turn = self.position["turn"]
        for row in self._walker:
            try:
                return load(row), skipped
            except InputError as error:
                skipped.append(bad_file(row_name(row, f"one of {self.name}"), error))
            if self.position["turn"] > first_turn + 1:
                break
        raise nothing_usable(self.name, skipped)

    def order(self, *place: int) -> np.random.Generator:
        """The random numbers for a pass, or for a block of it."""
        return np.random.default_rng((self.seed, self.stream, *place))

    def _walk(self) -> Iterator[Row]:
        """Rows from the position on, which moves with them."""
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
                coming.extend(row for row in (next(ahead, None),) if row is not None)  # little by little, not at once
            coming.extend(ahead)
            start, block, skip = following, coming, 0


class _Reader:
    """Rows with a picture, block after block and pass after pass, from a position on."""

    def __init__(self, stream: Stream, start: Position) -> None:
        self.stream = stream
        self.turn, self.number, self.whole = start["turn"], start["block"], start["whole"]
        self.rows_in_turn = 0 if start["state"] is None else 1
        self._open(start["state"])

    def position(self) -> Position:
        """The start of the block that is read next."""
        return Position(turn=self.turn, block=self.number, state=self._state, whole=self.whole, taken=0)

    def block(self) -> Iterator[Row]:
        """The rows of a block; the last of a pass is shorter, so that no pass runs into the next."""
        for _ in range(self.stream.buffer):
            row = self._row()
            if row is None:
                self._next_turn()
                return
            self.rows_in_turn += 1
            yield row
        self.number += 1

    def _next_turn(self) -> None:
        if not self.rows_in_turn and self.whole:
            raise InputError(f"there is no picture among {self.stream.name}: choose another source, split or label")
        if not self.rows_in_turn:
            self.whole = True  # fewer rows than processes: all of them for this one, since it must not stand still
        else:
            self.turn += 1
        self.number = self.rows_in_turn = 0
        self._open(None)

    def _row(self) -> Row | None:
        """The next row with a picture, or None at the end of the pass; what breaks off is taken up again."""
        for wait in (*RETRY_WAITS, None):
            try:
                for row in self._iterator:
                    # Taken here: what breaks off further up has moved the dataset's state past rows not handed out.
                    self._state = self._rows.state_dict()
                    if row["image"]:  # two columns of unequal lengths end in empty rows
                        return row
                return None
            except Exception as error:  # of the network, of a file system, of a format
                if wait is None:
                    raise InputError(
                        f"{self.stream.name} cannot be read any further ({first_line(error)}): "
                        "go on from the last checkpoint with --resume"
                    ) from error
                time.sleep(wait)
                self._open(self._state)
        return None

    def _open(self, state: dict[str, Any] | None) -> None:
        self._rows = self.stream.whole if self.whole else self.stream.share
        # Any epoch but 0 orders the shards anew; the same one in every process, as they share the shards.
        self._rows.set_epoch(int(self.stream.order(self.turn, 0).integers(1, 2**31)))
        self._rows.load_state_dict(state)
        self._iterator = iter(self._rows)
        self._state = state  # behind the last row


class StreamedCrops(IterableDataset):
    """The batches of one process, with sources that are streamed: what PairedCrops is for sources that are here.

    Styles, cuts and augmentation depend on the seed and the sample number alone, and sources that are here keep their
    order. Which rows of a stream come depends on the process, too. Each source of photos is used equally often.
    """

    def __init__(
        self,
        photos: Sequence[Source],
        styles: Mapping[str, Source],  # by the name of the style
        *,
        batch_size: int,
        start: int,  # number of the first batch of this process, and of the one after the last
        stop: int,
        rank: int = 0,
        processes: int = 1,
        buffer: int = 256,  # see Stream
        position: str = "",  # of the batch before the first one
        **crop: Any,  # the fields of Cropper
    ) -> None:
        """Raises InputError for a value out of its range, and for a position of other sources."""
        check_sources(photos, styles)
        cropper = Cropper(**crop)
        self.batch_size, self.numbers, self.rank, self.processes = batch_size, range(start, stop), rank, processes
        self.streams: list[Stream] = []

        def stream(name: str, rows: datasets.IterableDataset, number: int) -> Stream:
            place = {"rank": rank, "processes": processes}
            self.streams.append(Stream(name, rows, seed=cropper.seed, stream=number, buffer=buffer, **place))
            return self.streams[-1]

        here = [source for source in photos if isinstance(source, datasets.Dataset)]
        afar = [source for source in photos if not isinstance(source, datasets.Dataset)]
        pictures = [shuffled_photos(here, cropper.seed)] if here else []
        pictures += [stream("the photos", rows, CHOICE + 1 + i) for i, rows in enumerate(afar)]
        kept = Kept(KEPT_PIXELS)
        paintings = [
            shuffled_style(style, rows, i, cropper.seed, kept)
            if isinstance(rows, datasets.Dataset)
            else stream(f'the paintings of "{style}"', rows, STYLES + i)
            for i, (style, rows) in enumerate(styles.items())
        ]
        self._samples = Samples(pictures, paintings, cropper)
        self._go_to(json.loads(position) if position else [])

    def _go_to(self, positions: Sequence[Position]) -> None:
        if positions and len(positions) != len(self.streams):
            raise InputError(
                f"the checkpoint has read {len(positions)} streams and there are {len(self.streams)} now: "
                "resume with the same sources"
            )
        for stream, position in zip(self.streams, positions, strict=False):
            stream.position = position

    def __iter__(self) -> Iterator[Batch]:
        """The batches from `start` to `stop` - 1, each with the position after it."""
        worker = get_worker_info()
        if worker and worker.num_workers > 1:
            raise ValueError("streams are read by one worker at most")
        for number in self.numbers:
            first = (number * self.processes + self.rank) * self.batch_size
            batch = collate([self._samples(k) for k in range(first, first + self.batch_size)])
            yield batch._replace(position=json.dumps([stream.position for stream in self.streams]))


def streamed_batches(
    accelerator: Accelerator,
    config: TrainingConfig,
    photos: Sequence[Source],
    paintings: Mapping[str, Source],
    *,
    step: int,  # optimizer updates done
    position: str,  # of the batch before
    **crop: Any,  # the fields of Cropper
) -> Iterator[Batch]:
    """The batches of this process from a step of a training on, where it computes."""
    per_step = config.gradient_accumulation_steps
    crops = StreamedCrops(
        photos,
        paintings,
        batch_size=config.batch_size,
        start=step * per_step,
        stop=config.steps * per_step,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
        buffer=config.shuffle_buffer,
        position=position,
        **crop,
    )
    # Not prepared by Accelerate, which would share out the streams a second time.
    for batch in DataLoader(crops, batch_size=None, num_workers=min(config.workers, 1)):
        yield send_to_device(batch, accelerator.device)


def write_position(folder: Path, rank: int, position: str) -> None:
    """Keep where the streams of a process go on, if anything is streamed, in a checkpoint."""
    if position:
        (folder / POSITION.format(rank=rank)).write_text(position, encoding="utf-8")


def read_position(folder: Path, rank: int) -> str:
    """What write_position has kept, or an empty text."""
    path = folder / POSITION.format(rank=rank)
    return path.read_text(encoding="utf-8") if path.is_file() else ""
