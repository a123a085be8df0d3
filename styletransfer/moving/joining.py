"""The finished pieces of a painting and the sound of its source as one file, without encoding what need not be."""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av

from styletransfer.errors import Sentence
from styletransfer.moving.frames import Form
from styletransfer.moving.kinds import VIDEO_FORMATS
from styletransfer.moving.reading import opened, start_of
from styletransfer.moving.segments import Segment

# What browsers and FFmpeg's own writer of MP4 both know.
MP4_AUDIO = frozenset({"aac", "mp3", "opus", "flac", "ac3", "eac3", "alac"})
MP4_SUBTITLES = frozenset({"mov_text"})
SOUND_BITS = 160_000  # a second, where sound is encoded again

Timed = tuple[float, int, av.Packet]  # seconds, number of the stream, what is written then


def join(
    pieces: Iterable[tuple[Path, Segment]], source: Path | None, target: Path, suffix: str, form: Form, comment: str
) -> list[Sentence]:
    """Write the video.

    Args:
        pieces: files of the painting, in their order.
        source: whose sound and subtitles are taken; None for silence.
        target: the file to write.
        suffix: of the result, which says its container.
        form: of the frames.
        comment: goes into the file's metadata.

    Returns:
        What was changed or left out, for the user to read.

    Raises:
        OSError: the file cannot be written.
    """
    pieces, notes = list(pieces), []
    end = float(pieces[-1][1].end * form.ticks)
    options = {} if suffix == ".mkv" else {"movflags": "+faststart"}
    with ExitStack() as files:
        made = files.enter_context(av.open(str(target), "w", format=VIDEO_FORMATS[suffix], options=options))
        made.metadata["comment"] = comment
        with av.open(str(pieces[0][0])) as first:
            video = made.add_stream_from_template(first.streams.video[0])
        video.time_base = form.ticks
        lines = [_video_packets(pieces, video, form)]
        if source is not None:
            sound = files.enter_context(opened(source))
            streams = (*sound.streams.audio, *sound.streams.subtitles)
            tracks = [_Track(stream, made, suffix, notes) for stream in streams]
            lines.append(_sound_packets(sound, [track for track in tracks if track.target is not None], end))
        made.start_encoding()
        for _, _, packet in heapq.merge(*lines, key=lambda timed: timed[0]):
            made.mux(packet)
    return notes


def _video_packets(pieces: list[tuple[Path, Segment]], video: av.VideoStream, form: Form) -> Iterator[Timed]:
    held: av.Packet | None = None
    for path, segment in pieces:
        with av.open(str(path)) as piece:
            stream = piece.streams.video[0]
            for packet in piece.demux(stream):
                if packet.pts is None:
                    continue
                pts = segment.start + round(packet.pts * stream.time_base / form.ticks)
                packet.pts = packet.dts = pts
                packet.time_base, packet.stream = form.ticks, video
                if held is not None:
                    held.duration = pts - held.pts
                    yield float(held.pts * form.ticks), 0, held
                held = packet
    if held is not None:
        held.duration = max(1, pieces[-1][1].end - held.pts)
        yield float(held.pts * form.ticks), 0, held


class _Track:
    """One stream of sound or subtitles, copied or encoded again."""

    def __init__(
        self, source: av.stream.Stream, made: av.container.OutputContainer, suffix: str, notes: list[Sentence]
    ) -> None:
        self.source, self.target, self._encodes = source, None, False
        known = source.codec_context is not None
        name = source.codec_context.name if known else "unknown"
        holds_all = suffix == ".mkv" and known
        if source.type == "audio" and not known:
            notes.append(Sentence("A sound track of an unknown codec was left out."))
        elif holds_all or name in (MP4_AUDIO if source.type == "audio" else MP4_SUBTITLES) or name.startswith("mp3"):
            self.target = made.add_stream_from_template(source)
        elif source.type == "audio":
            self._encodes = True
            self.target = made.add_stream("aac", rate=source.rate, bit_rate=SOUND_BITS, layout=_layout(source))
            notes.append(
                Sentence("The sound was written as AAC: {suffix} does not hold {codec}.", suffix=suffix, codec=name)
            )
        else:
            notes.append(
                Sentence("Subtitles were left out: {suffix} does not hold {codec}.", suffix=suffix, codec=name)
            )
        if self.target is not None and source.language:
            self.target.metadata["language"] = source.language

    def written(self, packet: av.Packet) -> Iterator[av.Packet]:
        """What a packet of the source becomes; an empty one ends the stream."""
        if not self._encodes:
            if packet.dts is not None:
                packet.stream = self.target
                yield packet
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames = []
        for frame in frames:
            yield from self.target.encode(frame)
        if packet.dts is None:
            yield from self.target.encode(None)


def _layout(source: av.AudioStream) -> str:
    return "mono" if source.channels == 1 else "stereo"


def _sound_packets(sound: av.container.InputContainer, tracks: list[_Track], end: float) -> Iterator[Timed]:
    """The packets of all tracks up to that second, in the order in which they are played."""
    by_index = {track.source.index: track for track in tracks}
    if not tracks:
        return
    last = 0.0
    for packet in _readable(sound, [track.source for track in tracks]):
        ticks = packet.time_base or packet.stream.time_base
        if packet.dts is not None:
            offset = start_of(sound, ticks)
            packet.dts -= offset
            packet.pts = packet.dts if packet.pts is None else packet.pts - offset
            if float(packet.dts * ticks) >= end:
                continue
        track = by_index[packet.stream.index]
        for made in track.written(packet):
            last = max(last, float(Fraction(made.dts or 0) * made.time_base))
            yield last, track.target.index, made


def _readable(sound: av.container.InputContainer, streams: list[av.stream.Stream]) -> Iterator[av.Packet]:
    try:
        yield from sound.demux(streams)
    except av.FFmpegError:
        return
