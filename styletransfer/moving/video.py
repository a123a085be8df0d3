"""A video in, a painted video out."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from styletransfer.errors import InputError, Sentence
from styletransfer.images.files import unsaved
from styletransfer.images.finishing import finish, soft_mask
from styletransfer.moving.frames import Clip, Form, Frame
from styletransfer.moving.joining import VIDEO_FORMATS, join
from styletransfer.moving.reading import VideoFile
from styletransfer.moving.segments import Segments, key_of
from styletransfer.moving.steady import STEADINESS, USUAL_STEADINESS, SteadyPainter, resume, state_of
from styletransfer.painter import Painter
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import record_of
from styletransfer.settings import PaintSettings, Style, shown
from styletransfer.steps import Steps

USUAL_SIZE = 1280  # pixels: long side of the painted video, where the source is not smaller
SIZES = (16, 4096)
SEGMENT_SECONDS = 5.0  # what a kill costs at most, of the video's time
VERSION = 1  # of how videos are painted: pieces of another are not gone on with


class FramePainter:
    """Paints frames in all settings of a painting.

    Args:
        painter: has the styles.
        settings: of the painting.
        size: (width, height) of the frames.
        steadiness: 0 to 1.
    """

    def __init__(self, painter: Painter, settings: PaintSettings, size: tuple[int, int], steadiness: float) -> None:
        self.settings = settings
        self.steady = SteadyPainter(painter.parts(settings.mix), size, settings.stroke_scale(size), steadiness)
        self._mask = None if settings.mask is None else soft_mask(settings.mask, size)

    def paint(self, frame: Frame) -> np.ndarray:
        """The frame's painting, (H, W, 3) uint8."""
        painting, settings = self.steady.paint(frame.rgb), self.settings
        if settings.strength == 1 and not settings.keep_colors and self._mask is None:
            return painting
        pictures = Image.fromarray(frame.rgb), Image.fromarray(painting)
        laid = finish(*pictures, strength=settings.strength, keep_colors=settings.keep_colors, mask=self._mask)
        return np.asarray(laid)


class VideoJob:
    """One video being painted, segment by segment.

    Args:
        painter: has the styles.
        source: the video.
        output: the result; its name says the container, see `VIDEO_FORMATS`.
        settings: of the painting.
        size: pixels that the longer side has at most.
        steadiness: 0 to 1, how much of what was painted before is kept where the scene has not changed.
        pack: the style's pack, for the record in the file.
        clip: what is painted in place of the frames of `source`, which then gives nothing but sound.

    Raises:
        InputError: no video that can be read, settings out of bounds, or a result that cannot be written there.
    """

    def __init__(
        self,
        painter: Painter,
        source: Path,
        output: Path,
        settings: PaintSettings,
        *,
        size: int = USUAL_SIZE,
        steadiness: float = USUAL_STEADINESS,
        pack: str = "",
        clip: Clip | None = None,
    ) -> None:
        check_turns(settings, size, steadiness)
        check_output(source, output, VIDEO_FORMATS)
        painter.check(settings)
        self.source, self.output, self._pack = source, output, pack
        self.clip = VideoFile(source, size) if clip is None else clip
        self.settings = settings
        self._frames = FramePainter(painter, settings, self.form.size, steadiness)
        record = record_of(settings, source.name, pack)
        self._comment = json.dumps({**record, "steadiness": steadiness})
        facts = {"record": record, "size": self.form.size, "steadiness": steadiness, "version": VERSION}
        with _written(output):
            self._segments = Segments(output, key_of(source, facts), self.form)
        self._notes: list[Sentence] = []
        self.resumed = self._segments.frames  # frames that were painted before

    @property
    def form(self) -> Form:
        """Of the frames."""
        return self.clip.form

    @property
    def notes(self) -> list[Sentence]:
        """What was left out or changed, for the user to read; all is said when the work is done."""
        return [*self.clip.notes, *self._notes]

    @property
    def seconds(self) -> float:
        """How much of the video is painted."""
        done = self._segments.done
        return float(done[-1].end * self.form.ticks) if done else 0.0

    def steps(self) -> Steps[Path]:
        """Paint: yields the share that is done, returns the file, which is written whole or not at all."""
        with _written(self.output):
            yield from self._paint()
            if not self._segments.done:
                raise InputError("{name} has no frame that can be read: give a whole video.", name=self.source)
            self._join()
        self._segments.remove()
        yield 1.0
        return self.output

    def keep(self) -> bool:
        """After an interruption: write what is painted so far as a whole file, and keep the pieces to go on later.

        Returns:
            Whether there was anything.
        """
        with _written(self.output):
            recorded = list(self._segments.done)
            self._segments.finish(None)
            if self._segments.done:
                self._join()
            is_some = bool(self._segments.done)
            self._segments.done = recorded
        return is_some

    def discard(self) -> None:
        """Throw away what was painted."""
        self._segments.remove()

    def _paint(self) -> Steps[None]:
        steady, done = self._frames.steady, self.resumed
        state = self._segments.state()
        if state is not None:
            resume(steady, state)
        for index, frame in enumerate(self.clip.frames()):
            if index < done:
                continue
            self._segments.write(self._frames.paint(frame), frame)
            if self._segments.open_seconds >= SEGMENT_SECONDS:
                self._segments.finish(state_of(steady))
            yield self._share(frame)
        self._segments.finish(state_of(steady) if steady.past else None)

    def _share(self, frame: Frame) -> float:
        whole = self.form.count / self.form.rate
        return min(0.99, float((frame.start + frame.length) * self.form.ticks / whole)) if whole else 0.0

    def _join(self) -> None:
        part = self._segments.folder / "whole.part"
        self._notes = join(
            self._segments.paths(), self.source, part, self.output.suffix.lower(), self.form, self._comment
        )
        part.replace(self.output)


def paint_video(
    source: str | Path,
    output: str | Path,
    style: Style | PaintSettings,
    *,
    pipeline: Painter | None = None,
    size: int = USUAL_SIZE,
    steadiness: float = USUAL_STEADINESS,
    progress: Callable[[float], None] = lambda share: None,
    **turns: Any,
) -> list[Sentence]:
    """Paint a video, steady in time, with its sound.

    A kill costs a few seconds of work: the same call goes on where the last whole segment ended.

    Args:
        source: a file that FFmpeg reads.
        output: the file to write, H.264 in .mp4, .m4v, .mov or .mkv; replaced whole or not at all.
        style: a name, a mix, or settings, as `StyleTransferPipeline.__call__` has them.
        pipeline: has the styles; all that ship when None.
        size: pixels that the longer side has at most.
        steadiness: 0 to 1: 0 paints each frame by itself, on a canvas that moves with the camera.
        progress: is told the share that is done, rising to 1.
        turns: strength, brush_size, keep_colors, mask, as `StyleTransferPipeline.__call__` has them.

    Returns:
        What was left out or changed, in sentences.

    Raises:
        InputError: no video that can be read, settings out of bounds, or a result that cannot be written there.
    """
    painter = StyleTransferPipeline.from_pretrained() if pipeline is None else pipeline
    settings = PaintSettings.of(style, **turns)
    job = VideoJob(painter, Path(source), Path(output), settings, size=size, steadiness=steadiness)
    for share in job.steps():
        progress(share)
    return job.notes


def check_turns(settings: PaintSettings, size: int, steadiness: float) -> None:
    """Raises InputError where something that moves cannot be painted so."""
    if settings.wrap:
        raise InputError("Wrapping is for panoramas, not for what moves: leave it out.")
    if not (isinstance(size, int) and SIZES[0] <= size <= SIZES[1]):
        raise InputError(
            "The size must be {least} to {most} pixels, not {value}.", least=SIZES[0], most=SIZES[1], value=shown(size)
        )
    if not STEADINESS[0] <= steadiness <= STEADINESS[1]:
        raise InputError("Steadiness must be 0 to 1, not {value}.", value=shown(steadiness))


def check_output(source: Path, output: Path, kinds: Any) -> None:
    """Raises InputError where no result of one of these kinds (suffixes) can be written there."""
    if output.suffix.lower() not in kinds:
        raise InputError(
            "{name} cannot hold what moves: end the name with one of {kinds}.", name=output, kinds=", ".join(kinds)
        )
    if not output.parent.is_dir():
        raise InputError(
            "There is no folder {folder} for {name}: make it first.", folder=output.parent, name=output.name
        )
    if output.is_dir():
        raise InputError("{name} is a folder: give another name for the video.", name=output)
    if output.exists() and source.exists() and output.samefile(source):
        raise InputError("{name} is the video itself: give the painting another name.", name=output)


@contextmanager
def _written(output: Path) -> Iterator[None]:
    """What the system says while files are written, as a sentence about the result."""
    try:
        yield
    except OSError as error:
        raise unsaved(output, error) from error
