"""Video files, frame by frame: upright, in RGB, with the times they are shown at. Memory is that of a few frames."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from styletransfer.errors import InputError, Sentence
from styletransfer.moving.frames import BT601, BT709, Form, Frame, even_note
from styletransfer.moving.light import BT2020, is_full, is_high_range, matrix_of, to_rgb
from styletransfer.painter import check_size

USUAL_RATE = Fraction(25)  # frames in a second, where a file does not say


class VideoFile:
    """A video's frames.

    Args:
        path: any container and codec that FFmpeg reads.
        long_side: pixels that the longer side of the frames has at most.

    Raises:
        InputError: missing, unreadable, without a video that can be decoded, or frames too small to be painted.
    """

    def __init__(self, path: Path, long_side: int) -> None:
        self.path, self.notes, self._long_side = path, [], long_side
        with opened(path) as container:
            stream = video_of(container, path)
            first = self._first(container, stream)
            self._turns = round(first.rotation / 90) % 4  # counterclockwise, until the frame is upright
            self._plain, self.form = self._formed(container, stream, first)

    def frames(self) -> Iterator[Frame]:
        """All frames in their order; damaged ones are left out, and a note says so."""
        with opened(self.path) as container:
            stream = video_of(container, self.path)
            offset = start_of(container, stream.time_base)
            usual = max(1, round(1 / (self.form.rate * stream.time_base)))
            due, end = 0, 0
            for frame in self._decoded(container, stream):
                start = max(due, due if frame.pts is None else frame.pts - offset)
                length = frame.duration or usual
                due, end = start + 1 if frame.pts is not None else start + length, start + length
                yield Frame(self._upright(frame), start, length)
            self._note_missing(container, float(end * stream.time_base))

    def _first(self, container: av.container.InputContainer, stream: av.VideoStream) -> av.VideoFrame:
        for frame in self._decoded(container, stream):
            return frame
        raise no_frame(self.path)

    def _decoded(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        stream.thread_type = "AUTO"
        damaged = 0
        for packet in _packets(container, stream):
            try:
                for frame in packet.decode():
                    damaged += frame.is_corrupt
                    yield frame
            except av.FFmpegError:
                damaged += 1
        if damaged:
            self._note("{count} pieces of the video are damaged: what can be read is painted.", count=damaged)

    def _formed(
        self, container: av.container.InputContainer, stream: av.VideoStream, frame: av.VideoFrame
    ) -> tuple[tuple[int, int], Form]:
        aspect = stream.sample_aspect_ratio or Fraction(1)
        whole = (max(1, round(frame.width * aspect)), frame.height)  # square pixels
        check_size(whole)
        scale = min(1.0, self._long_side / max(whole))
        plain = whole if scale == 1 else tuple(max(16, round(side * scale / 2) * 2) for side in whole)
        even = tuple(side + side % 2 for side in plain)
        size = even if self._turns % 2 == 0 else even[::-1]
        self._note_changes(frame, whole, plain, even)
        matrix = matrix_of(frame)
        rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
        count = stream.frames or round(float(rate) * _seconds(container, stream))
        full = is_full(frame) and not is_high_range(frame)
        return plain, Form(size, stream.time_base, rate, count, BT601 if matrix == BT601 else BT709, full, loops=0)

    def _note_changes(
        self, frame: av.VideoFrame, whole: tuple[int, int], plain: tuple[int, int], even: tuple[int, int]
    ) -> None:
        if plain != whole:
            self._note(
                "The video is painted at {width}x{height} pixels instead of {wide}x{high}: --size says how large.",
                width=even[0],
                height=even[1],
                wide=whole[0],
                high=whole[1],
            )
        if even != plain:
            self.notes.append(even_note())
        if is_high_range(frame):
            self._note("The video's high dynamic range was brought into the range of usual screens.")
        elif matrix_of(frame) == BT2020:
            self._note("The video's wide colors (BT.2020) are written as BT.709.")

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        rgb = to_rgb(frame, self._plain)
        odd = [(0, side % 2) for side in rgb.shape[:2]]
        if any(after for _, after in odd):
            rgb = np.pad(rgb, [*odd, (0, 0)], mode="edge")
        return np.ascontiguousarray(np.rot90(rgb, self._turns))

    def _note_missing(self, container: av.container.InputContainer, end: float) -> None:
        seconds = _seconds(container, video_of(container, self.path))
        if seconds - end > max(1.0, 0.02 * seconds):
            self._note(
                "The video ends after {found} of {told} seconds, the rest of the file is missing or damaged.",
                found=f"{end:.1f}",
                told=f"{seconds:.1f}",
            )

    def _note(self, template: str, **values: object) -> None:
        note = Sentence(template, **values)
        if note not in self.notes:
            self.notes.append(note)


def opened(path: Path) -> av.container.InputContainer:
    """The file as FFmpeg reads it; raises InputError where it cannot."""
    if path.is_dir():
        raise InputError("{name} is a folder: give a video file.", name=path)
    if not path.exists():
        raise InputError("There is no file {name}: check the name.", name=path)
    try:
        return av.open(str(path), metadata_errors="replace")
    except PermissionError as error:
        raise InputError(
            "{name} cannot be read ({reason}): give a file that you may read.", name=path, reason=error.strerror
        ) from error
    except (av.FFmpegError, ValueError) as error:
        raise InputError("{name} is damaged or no video: give a whole video file.", name=path) from error


def video_of(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The video in the file, which is no picture of a cover; raises InputError where there is none to be decoded."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError("{name} has no video in it: give a video file.", name=path)
    if streams[0].codec_context is None:
        raise InputError("The video in {name} has an unknown codec: convert it to H.264 first.", name=path)
    return streams[0]


def no_frame(path: Path) -> InputError:
    """There is a video, but nothing to see in it."""
    return InputError("{name} has no frame that can be read: give a whole video.", name=path)


def start_of(container: av.container.InputContainer, ticks: Fraction) -> int:
    """Where the file's clock begins, in ticks: some count from a second on."""
    return round(Fraction(max(0, container.start_time or 0), av.time_base) / ticks)


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The packets of the stream, to the end of what can be read."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        return


def _seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base
