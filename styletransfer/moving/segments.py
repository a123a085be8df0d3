"""A long painting in pieces: finished segments of H.264 in a hidden folder beside the result, and where to go on.

A segment gets its name when it is whole, and with it the state of the painter; a kill costs what was painted since.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from styletransfer.moving.frames import BT601, Form, Frame
from styletransfer.moving.light import to_yuv

RECORD, STATE = "segments.json", "state.npz"
# No B-frames: then packets stand in the order of the frames, and segments can follow one another as they are.
H264 = {"crf": "19", "preset": "fast", "bf": "0"}
KEY_SECONDS = 4  # between two frames that a player can jump to


@dataclass(frozen=True)
class Segment:
    """A finished piece."""

    name: str
    start: int  # ticks
    end: int
    frames: int


class Segments:
    """The pieces of one painting.

    Args:
        output: the result; the folder is made beside it.
        key: of all that the painting depends on; pieces of another key are thrown away.
        form: of the frames.
    """

    def __init__(self, output: Path, key: str, form: Form) -> None:
        self.folder, self.form, self._key = hidden_folder(output), form, key
        self.done = self._found()
        self._writer: _Writer | None = None

    @property
    def frames(self) -> int:
        """How many frames are in finished pieces."""
        return sum(segment.frames for segment in self.done)

    def state(self) -> Mapping[str, np.ndarray] | None:
        """The painter's state after the last finished piece, None where there is none."""
        if not self.done:
            return None
        with np.load(self._state_path(self.done[-1].name)) as file:
            return dict(file)

    def write(self, painting: np.ndarray, frame: Frame) -> None:
        """Append the painting (H, W, 3) of a frame to the piece that is being written."""
        if self._writer is None:
            self._writer = _Writer(self.folder / f"{len(self.done):05}.part.mp4", self.form, frame.start)
        self._writer.write(painting, frame)

    @property
    def open_seconds(self) -> float:
        """How long the piece is that is being written."""
        return 0.0 if self._writer is None else float(self._writer.length * self.form.ticks)

    def finish(self, state: Mapping[str, np.ndarray] | None) -> None:
        """End the piece that is being written; with the painter's state it counts when work goes on later."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        name = f"{len(self.done):05}"
        writer.path.replace(self.folder / f"{name}.mp4")
        # At once: who is interrupted while the state is written keeps this piece, too.
        self.done.append(Segment(name, writer.start, writer.start + writer.length, writer.frames))
        if state is not None:
            _saved(self._state_path(name), state)
            self._record()

    def paths(self) -> Iterator[tuple[Path, Segment]]:
        """The finished pieces in their order, each with its file."""
        for segment in self.done:
            yield self.folder / f"{segment.name}.mp4", segment

    def abandon(self) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def remove(self) -> None:
        """Take all pieces away."""
        self.abandon()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _state_path(self, name: str) -> Path:
        return self.folder / f"{name}-{STATE}"

    def _found(self) -> list[Segment]:
        try:
            record = json.loads((self.folder / RECORD).read_text())
            done = [Segment(**segment) for segment in record["segments"]]
            if record["key"] == self._key and all((self.folder / f"{s.name}.mp4").exists() for s in done):
                return done
        except (OSError, ValueError, KeyError, TypeError):
            pass
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        return []

    def _record(self) -> None:
        part = self.folder / f"{RECORD}.part"
        part.write_text(json.dumps({"key": self._key, "segments": [vars(segment) for segment in self.done]}))
        part.replace(self.folder / RECORD)
        for old in self.folder.glob(f"*-{STATE}"):
            if old != self._state_path(self.done[-1].name):
                old.unlink()


class _Writer:
    """One piece, being written; its clock begins at 0."""

    def __init__(self, path: Path, form: Form, start: int) -> None:
        self.path, self.start, self.length, self.frames, self._form = path, start, 0, 0, form
        self._container = av.open(str(path), "w", format="mp4")
        self._stream = _h264(self._container, form)

    def write(self, painting: np.ndarray, frame: Frame) -> None:
        made = to_yuv(painting, self._form.matrix, self._form.is_full_range)
        made.pts, made.time_base = frame.start - self.start, self._form.ticks
        self._container.mux(self._stream.encode(made))
        self.frames, self.length = self.frames + 1, made.pts + frame.length

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


def hidden_folder(output: Path) -> Path:
    """Where the pieces of a result lie until it is whole."""
    return output.with_name(f".{output.name}.painting")


def key_of(source: Path, facts: Mapping[str, object]) -> str:
    """What says that two paintings are the same one: the source as it lies there, and the facts of the painting."""
    there = source.stat()
    text = json.dumps([str(source.resolve()), there.st_size, there.st_mtime_ns, dict(facts)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _h264(container: av.container.OutputContainer, form: Form) -> av.VideoStream:
    rate = min(form.rate, Fraction(240))
    gop = {"g": str(max(1, round(KEY_SECONDS * form.rate)))}
    stream = container.add_stream("libx264", rate=rate.limit_denominator(60000), options=H264 | gop)
    context = stream.codec_context
    stream.width, stream.height = form.size
    stream.pix_fmt, context.time_base, stream.time_base = "yuv420p", form.ticks, form.ticks
    context.colorspace = 6 if form.matrix == BT601 else form.matrix
    context.color_range = ColorRange.JPEG if form.is_full_range else ColorRange.MPEG
    context.color_primaries = ColorPrimaries.SMPTE170M if form.matrix == BT601 else ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    return stream


def _saved(path: Path, state: Mapping[str, np.ndarray]) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **state)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
