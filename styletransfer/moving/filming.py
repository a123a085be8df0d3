"""A painted video, written segment by segment."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from styletransfer.errors import Sentence
from styletransfer.images.files import unsaved
from styletransfer.moving.asked import USUAL_SIZE, FramePainter, check_output, check_turns, frame_painter
from styletransfer.moving.frames import Clip, Form, Frame
from styletransfer.moving.joining import join
from styletransfer.moving.kinds import VIDEO_FORMATS
from styletransfer.moving.reading import VideoFile, no_frame
from styletransfer.moving.segments import Segments, key_of
from styletransfer.moving.steady import USUAL_STEADINESS, resume, state_of
from styletransfer.painter import Painter
from styletransfer.results import record_of
from styletransfer.settings import PaintSettings
from styletransfer.steps import Steps

SEGMENT_SECONDS = 5.0  # what a kill costs at most, of the video's time
VERSION = 1  # of how videos are painted: pieces of another are not gone on with


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
        clip: what is painted in place of the video `source`: an animated picture, which has no sound.

    Raises:
        InputError: no video that can be read, settings out of bounds, or a result that cannot be written there.
    """

    facts: Mapping[str, object] = {}  # of this kind of job: pieces of another kind are not gone on with

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
        self.source, self.output = source, output
        self._sound = source if clip is None else None
        self.clip = VideoFile(source, size) if clip is None else clip
        self.settings = settings
        self._frames = self._frame_painter(painter, steadiness)
        record = record_of(settings, source.name, pack)
        self._comment = json.dumps({**record, "steadiness": steadiness})
        facts = {"record": record, "size": self.form.size, "steadiness": steadiness, "version": VERSION, **self.facts}
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
                raise no_frame(self.source)
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

    def _told(self, file: Path) -> list[Sentence]:
        """Let the whole file say what its frames do not, before it takes its name; returns notes."""
        return []

    def _frame_painter(self, painter: Painter, steadiness: float) -> FramePainter:
        return frame_painter(painter, self.settings, self.form.size, steadiness)

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
            self._segments.paths(), self._sound, part, self.output.suffix.lower(), self.form, self._comment
        )
        self._notes += self._told(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # some disks say only now that they are full
        part.replace(self.output)


@contextmanager
def _written(output: Path) -> Iterator[None]:
    """What the system says while files are written, as a sentence about the result."""
    try:
        yield
    except OSError as error:
        raise unsaved(output, error) from error
