"""The batches of a run, from any step on: downloaded sources are read by sample number, streams by position."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import datasets
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from styletransfer.data.crops import Cropper
from styletransfer.data.samples import (
    CHOICE,
    KEPT_PIXELS,
    STYLES,
    Batch,
    Kept,
    PairedCrops,
    Samples,
    StepSampler,
    check_sources,
    collate,
    shuffled_photos,
    shuffled_style,
)
from styletransfer.data.sources import Source
from styletransfer.data.streaming import PatientRows, Position, Stream
from styletransfer.errors import InputError, StreamError
from styletransfer.training.config import TrainingConfig


def with_steps(config: TrainingConfig, photos: Sequence[Source], processes: int) -> TrainingConfig:
    """The config with the steps that its epochs take: passes through all photos.

    Raises:
        InputError: the photos are streamed, so that their number is not known.
    """
    if not config.epochs:
        return config
    if any(isinstance(source, datasets.IterableDataset) for source in photos):
        raise InputError("--epochs needs the number of photos, which is not known with --streaming: give --steps.")
    per_step = config.batch_size * config.gradient_accumulation_steps * processes
    return replace(config, steps=math.ceil(config.epochs * sum(map(len, photos)) / per_step))


class Batches:
    """The batches of a training, on its device.

    Args:
        accelerator: of the run.
        config: the settings.
        photos: from load_source.
        paintings: from load_source, by the name of their style.

    Raises:
        InputError: sources that cannot be used.
    """

    position = ""  # where this process's streams continue after the last batch; empty without streams

    def __init__(
        self,
        accelerator: Accelerator,
        config: TrainingConfig,
        photos: Sequence[Source],
        paintings: Mapping[str, Source],
    ) -> None:
        self.accelerator, self.config = accelerator, config
        self.streamed = any(isinstance(source, datasets.IterableDataset) for source in [*photos, *paintings.values()])
        self._per_step = config.batch_size * accelerator.num_processes * config.gradient_accumulation_steps
        crop = {name: getattr(config, name) for name in ("crop_size", "photo_scale", "painting_size", "seed")}
        if self.streamed:
            self._crops: StreamedCrops | PairedCrops = StreamedCrops(
                photos,
                paintings,
                batch_size=config.batch_size,
                rank=accelerator.process_index,
                processes=accelerator.num_processes,
                buffer=config.shuffle_buffer,
                patience=config.stream_patience,
                **crop,
            )
        else:
            self._crops = PairedCrops(photos, paintings, length=config.steps * self._per_step, **crop)

    def after(self, step: int) -> Iterator[Batch]:
        """This process's batches from there on, to the last step.

        Raises:
            StreamError: a stream that cannot be read any further.
        """
        return self._from_streams(step) if isinstance(self._crops, StreamedCrops) else self._from_numbers(step)

    def _from_numbers(self, step: int) -> Iterator[Batch]:
        """From sources that were downloaded: a batch depends on its sample numbers only."""
        config = self.config
        sampler = StepSampler(step * self._per_step, len(self._crops))
        loader = DataLoader(
            self._crops,
            config.batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=config.workers,
            drop_last=True,
        )
        return iter(self.accelerator.prepare_data_loader(loader))

    def _from_streams(self, step: int) -> Iterator[Batch]:
        passes = self.config.gradient_accumulation_steps
        self._crops.go_to(step * passes, self.config.steps * passes, self.position)
        # Not prepared by Accelerate, which would split the streams a second time.
        for batch in DataLoader(self._crops, batch_size=None, num_workers=min(self.config.workers, 1)):
            if isinstance(batch, Exception):
                raise batch
            self.position = batch.position
            yield send_to_device(batch, self.accelerator.device)


def rows_of(name: str, source: Source, patience: float) -> datasets.Dataset | PatientRows:
    """The rows of a source; for a stream, reading is retried for `patience` seconds."""
    return source if isinstance(source, datasets.Dataset) else PatientRows(name, source, patience=patience)


class StreamedCrops(IterableDataset):
    """The batches of one process where sources are streamed, as PairedCrops makes them of downloaded sources.

    Styles, crops and augmentation depend on the seed and the sample number only, and downloaded sources keep their
    order. The rows of a stream depend on the process, too. Each source of photos is used equally often.
    """

    def __init__(
        self,
        photos: Sequence[Source],
        styles: Mapping[str, Source],  # by the name of the style
        *,
        batch_size: int,
        rank: int = 0,
        processes: int = 1,
        buffer: int,  # see Stream
        patience: float,  # see PatientRows
        **crop: Any,  # the fields of Cropper
    ) -> None:
        """Raises InputError for a value out of its range."""
        check_sources(photos, styles)
        cropper = Cropper(**crop)
        self.batch_size, self.numbers, self.rank, self.processes = batch_size, range(0), rank, processes
        self.streams: list[Stream] = []

        def stream(name: str, rows: datasets.IterableDataset, number: int) -> Stream:
            place = {"rank": rank, "processes": processes, "buffer": buffer, "patience": patience}
            self.streams.append(Stream(name, rows, seed=cropper.seed, stream=number, **place))
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

    def go_to(self, start: int, stop: int, position: str = "") -> None:
        """Continue with the batches of this process from number `start` to `stop` - 1.

        Args:
            start, stop: numbers of batches.
            position: of the batch before; empty: the streams begin a new pass, a different one for each start.
        """
        self.numbers = range(start, stop)
        positions: list[Position] = json.loads(position) if position else []
        for number, stream in enumerate(self.streams):
            stream.position = positions[number] if positions else Position(**{**stream.position, "turn": start})

    def __iter__(self) -> Iterator[Batch | Exception]:
        """The batches, each with the position after it; at an error, the error itself.

        If it were raised in a worker, its message would be wrapped in a traceback.
        """
        worker = get_worker_info()
        if worker and worker.num_workers > 1:
            raise ValueError("streams are read by one worker at most")
        for number in self.numbers:
            first = (number * self.processes + self.rank) * self.batch_size
            try:
                batch = collate([self._samples(k) for k in range(first, first + self.batch_size)])
            except (InputError, StreamError) as error:
                yield error
                return
            yield batch._replace(position=json.dumps([stream.position for stream in self.streams]))
