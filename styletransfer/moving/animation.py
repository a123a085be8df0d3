"""Animated pictures (GIF, WebP, APNG), read and written by Pillow with their durations, loops and transparency."""

import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from styletransfer.errors import InputError, Sentence
from styletransfer.images.colors import fill_hidden
from styletransfer.images.files import fit_long_side, write_whole
from styletransfer.moving.asked import USUAL_SIZE, check_output, check_turns, frame_painter
from styletransfer.moving.frames import Clip, Form, Frame, even_note
from styletransfer.moving.kinds import ANIMATION_FORMATS
from styletransfer.moving.steady import USUAL_STEADINESS
from styletransfer.painter import Painter, check_size
from styletransfer.settings import PaintSettings
from styletransfer.steps import Steps

MOST_PIXELS = 300_000_000  # of all frames together: a writer of animated pictures holds them in memory
TICKS = Fraction(1, 1000)
NO_TIME, SLOW = 10, 100  # milliseconds: so little is shown for so long by browsers
PALETTE_FRAMES, COLORS = 16, 255  # of a GIF: frames that its palette is made from; one more color is transparent


class AnimationFile:
    """The frames of an animated picture, upright, each as a whole.

    Args:
        path: GIF, WebP or APNG.
        long_side: pixels that the longer side has at most.
        for_video: whether a video is made of it: sides are even then, and transparent places white.

    Raises:
        InputError: it cannot be read, or its frames are too small.
    """

    def __init__(self, path: Path, long_side: int, for_video: bool = False) -> None:
        self.path, self.notes, self._for_video = path, [], for_video
        with _opened(path) as image:
            check_size(image.size)
            loops = image.info.get("loop")
            lengths = [_length(image) for _ in self._sought(image)]
            self._size = tuple(round(side * min(1, long_side / max(image.size))) for side in image.size)
        if for_video:
            lengths = [length if length > NO_TIME else SLOW for length in lengths]
            self._note_video(lengths)
        self.lengths = lengths
        even = tuple(side + side % 2 for side in self._size) if for_video else self._size
        rate = Fraction(1000 * len(lengths), max(1, sum(lengths)))
        self.form = Form(even, TICKS, rate, len(lengths), loops=loops)

    def frames(self) -> Iterator[Frame]:
        """All frames in their order."""
        start = 0
        with _opened(self.path) as image:
            for index in self._sought(image):
                length = max(1, self.lengths[index])
                rgb, alpha = self._read(image.convert("RGBA"))
                yield Frame(rgb, start, length, alpha)
                start += length

    def _sought(self, image: Image.Image) -> Iterator[int]:
        """The number of each frame that can be read; the image stands there."""
        for index in count():
            try:
                image.seek(index)
                image.load()
            except EOFError:
                return
            except Exception:  # on damaged bytes a decoder may raise anything
                if index == 0:
                    raise _unreadable(self.path) from None
                note = Sentence(
                    "The animation is damaged after frame {count}: what comes before is painted.", count=index
                )
                self.notes += [] if note in self.notes else [note]
                return
            yield index

    def _read(self, rgba: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
        rgba = rgba if rgba.size == self._size else fit_long_side(rgba, max(self._size)).resize(self._size)
        alpha = rgba.getchannel("A")
        is_opaque = alpha.getextrema()[0] == 255
        if self._for_video:
            white = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
            odd = [(0, side % 2) for side in rgba.size[::-1]]
            return np.pad(np.asarray(white.convert("RGB")), [*odd, (0, 0)], mode="edge"), None
        rgb = rgba.convert("RGB")
        if is_opaque:
            return np.asarray(rgb), None
        return np.asarray(fill_hidden(rgb, alpha)), np.asarray(alpha)

    def _note_video(self, lengths: list[int]) -> None:
        if any(side % 2 for side in self._size):
            self.notes.append(even_note())


class AnimationJob:
    """One animated picture being painted; as `VideoJob`, but all in memory, and without going on after a kill.

    Args:
        painter: has the styles.
        clip: what is painted.
        source: its file.
        output: the result; its name ends in one of ANIMATION_FORMATS.
        settings: of the painting.
        size: as the clip was opened with.
        steadiness: 0 to 1.

    Raises:
        InputError: settings out of bounds, more than fits into memory, or a result that cannot be written there.
    """

    resumed = 0  # frames painted before

    def __init__(
        self,
        painter: Painter,
        clip: Clip,
        source: Path,
        output: Path,
        settings: PaintSettings,
        *,
        size: int = USUAL_SIZE,
        steadiness: float = USUAL_STEADINESS,
    ) -> None:
        check_turns(settings, size, steadiness)
        check_output(source, output, ANIMATION_FORMATS)
        painter.check(settings)
        self.clip, self.source, self.output = clip, source, output
        self._check_memory(clip.form)
        self._frames = frame_painter(painter, settings, clip.form.size, steadiness)
        self._painted: list[tuple[Image.Image, int]] = []  # each with its ticks
        self.seconds = 0.0

    @property
    def notes(self) -> list[Sentence]:
        """What was left out or changed, for the user to read."""
        return list(self.clip.notes)

    def steps(self) -> Steps[Path]:
        """Paint: yields the share that is done, returns the file."""
        for index, frame in enumerate(self.clip.frames(), start=1):
            self._check_memory(self.clip.form, index)
            painting = Image.fromarray(self._frames.paint(frame))
            if frame.alpha is not None:
                painting.putalpha(Image.fromarray(frame.alpha))
            self._painted.append((painting, frame.length))
            yield min(0.99, index / (self.clip.form.count or index))
        self._save()
        yield 1.0
        return self.output

    def keep(self) -> bool:
        """After an interruption: write the frames that are painted; whether there were any."""
        if self._painted:
            self._save()
        return bool(self._painted)

    def discard(self) -> None:
        """Throw away what was painted."""
        self._painted.clear()

    def _check_memory(self, form: Form, count: int = 0) -> None:
        if (count or form.count) * form.size[0] * form.size[1] > MOST_PIXELS:
            raise InputError(
                "{name} is too long for an animated picture: write a video, or make it smaller with --size.",
                name=self.source,
            )

    def _save(self) -> None:
        kind = ANIMATION_FORMATS[self.output.suffix.lower()]
        pictures = [picture for picture, _ in self._painted]
        lengths = [float(length * self.clip.form.ticks * 1000) for _, length in self._painted]
        options: dict[str, Any] = {"duration": [round(length) for length in lengths]}
        if self.clip.form.loops is not None:
            options["loop"] = self.clip.form.loops
        elif kind != "GIF":
            options["loop"] = 1
        if kind == "GIF":
            pictures = in_one_palette(pictures)
            options |= {"disposal": 2, "optimize": False}
        elif kind == "WEBP":
            options |= {"quality": 88, "method": 3}
        file = io.BytesIO()
        pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], **options)
        write_whole(self.output, file.getvalue())


def is_animation(path: Path) -> bool:
    """Whether the file is a picture of several frames; phones write a second picture behind a JPEG, which is none."""
    try:
        with Image.open(path, formats=("GIF", "WEBP", "PNG")) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # on damaged bytes a decoder may raise anything
        return False


def in_one_palette(pictures: list[Image.Image]) -> list[Image.Image]:
    """RGB or RGBA pictures of one size with the colors of all: a palette for each frame would flicker."""
    chosen = pictures[:: max(1, len(pictures) // PALETTE_FRAMES)]
    wide, high = (max(1, side // 2) for side in pictures[0].size)
    sheet = Image.new("RGB", (wide, high * len(chosen)))
    for row, picture in enumerate(chosen):
        sheet.paste(picture.convert("RGB").resize((wide, high)), (0, row * high))
    palette = sheet.quantize(COLORS, method=Image.Quantize.MEDIANCUT)
    return [_reduced(picture, palette) for picture in pictures]


def _reduced(picture: Image.Image, palette: Image.Image) -> Image.Image:
    reduced = picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    if picture.mode == "RGBA":
        hidden = picture.getchannel("A").point(lambda level: 255 if level < 128 else 0)
        reduced.paste(COLORS, mask=hidden)
        reduced.info["transparency"] = COLORS
    return reduced


def _length(image: Image.Image) -> int:
    return round(image.info.get("duration", 0))


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=("GIF", "WEBP", "PNG"))
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> InputError:
    return InputError("{name} is damaged or no animated picture: give a whole GIF, WebP or APNG.", name=path)
