"""What tests of moving pictures share: real files in real codecs, made of one photo, and what is in a file."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from styletransfer.images.files import load_picture

ROOT = Path(__file__).resolve().parent.parent
SECOND = 12800  # ticks


def scenery(width=96, height=64):
    """(height, width, 3) uint8, cut from a photo."""
    photo = np.asarray(load_picture(ROOT / "examples" / "pagoda.jpg").rgb)
    scale = max(width / photo.shape[1], height / photo.shape[0])
    return np.ascontiguousarray(
        cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:height, :width]
    )


def panned(count, width=96, height=64, step=(1.3, 0.4)):
    """Frames of a camera that moves so many pixels to the right and down from frame to frame."""
    wide = scenery(width + round(step[0] * count) + 8, height + round(step[1] * count) + 8)
    for index in range(count):
        looks = np.float64([[1, 0, step[0] * index], [0, 1, step[1] * index]])
        yield cv2.warpAffine(wide, looks, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)


def write_video(path, frames, *, times=None, rotation=0, codec="libx264", sound="", seconds=None, matrix=1, full=False):
    """A video file of the frames (H, W, 3) uint8.

    times: in seconds, of each frame; 25 in a second when None.
    sound: codec of a sine tone; none when empty.
    """
    frames = list(frames)
    height, width = frames[0].shape[:2]
    times = [index / 25 for index in range(len(frames))] if times is None else times
    with av.open(str(path), "w") as made:
        video = made.add_stream(codec, rate=25, options={"crf": "12"} if codec == "libx264" else {})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        if width % 2 or height % 2:
            video.pix_fmt = "yuv444p"
        context = video.codec_context
        context.time_base = Fraction(1, SECOND) if codec == "libx264" else Fraction(1, 25)
        context.colorspace, context.color_range = matrix, ColorRange.JPEG if full else ColorRange.MPEG
        if rotation:
            video.set_display_rotation(rotation)
        tone = made.add_stream(sound, rate=48000, layout="mono") if sound else None
        for frame, time in zip(frames, times, strict=True):
            image = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(
                format=video.pix_fmt,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=matrix,
                dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            )
            image.pts, image.time_base = round(time / context.time_base), context.time_base
            made.mux(video.encode(image))
        made.mux(video.encode(None))
        if tone:
            made.mux(_tone(tone, (times[-1] + 1 / 25) if seconds is None else seconds))
    return path


def _tone(stream, seconds):
    samples = np.sin(2 * np.pi * 440 * np.arange(round(48000 * seconds)) / 48000)
    resampler = av.AudioResampler(stream.format.name, "mono", 48000, stream.frame_size or 1024)
    frame = av.AudioFrame.from_ndarray((samples * 9000).astype(np.int16)[None], "s16", "mono")
    frame.rate, frame.pts = 48000, 0
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return [packet for each in [*frames, None] for packet in stream.encode(each)]


def write_high_range(path, light=0.58, count=6):
    """A video of one gray in PQ (`light` is its level), 10 bit, BT.2020."""
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        context = video.codec_context
        context.colorspace, context.color_range = 9, ColorRange.MPEG
        context.color_trc, context.color_primaries = ColorTrc.SMPTE2084, ColorPrimaries.BT2020
        for index in range(count):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, level in zip(frame.planes, (64 + 876 * light, 512, 512), strict=True):
                values = np.full(plane.buffer_size // 2, round(level), np.uint16)
                plane.update(values.tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.color_trc, frame.color_primaries = ColorTrc.SMPTE2084, ColorPrimaries.BT2020
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
    return path


@dataclass
class Content:
    """What a video file holds."""

    frames: list  # (H, W, 3) uint8 each
    times: list  # seconds
    seconds: float
    streams: dict  # kind -> names of codecs
    pixels: str
    matrix: int
    full: bool
    samples: int  # of sound
    is_fast: bool  # whether a browser can play it before it has all of it


def content_of(path):
    """Everything in a video file, decoded to its end."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        decoded = list(file.decode(video))
        streams = {}
        for stream in file.streams:
            streams.setdefault(stream.type, []).append(stream.codec_context.name)
        seconds = float(video.duration * video.time_base) if video.duration else file.duration / av.time_base
        pixels = video.codec_context.pix_fmt
    samples = 0
    with av.open(str(path)) as file:
        if file.streams.audio:
            samples = sum(frame.samples for frame in file.decode(file.streams.audio[0]))
    head = path.read_bytes()
    return Content(
        [frame.to_ndarray(format="rgb24") for frame in decoded],
        [frame.time for frame in decoded],
        seconds,
        streams,
        pixels,
        int(decoded[0].colorspace),
        decoded[0].color_range == ColorRange.JPEG,
        samples,
        0 <= head.find(b"moov") < head.find(b"mdat"),
    )
