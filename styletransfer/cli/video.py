"""`python -m styletransfer CLIP`: a video or an animated picture in, a painted one out."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from styletransfer.cli.flags import BAR, INTERRUPTED

# What needs torch, PyAV or OpenCV is imported where it is used: photos are painted without them.
if TYPE_CHECKING:
    from styletransfer.pipeline import StyleTransferPipeline
    from styletransfer.settings import PaintSettings

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
    | {".ogv", ".mxf", ".vob"}
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that only videos and animated pictures have."""
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="of a video: its longer side at most (default: 1280)"
    )
    parser.add_argument(
        "--steadiness",
        type=float,
        metavar="S",
        help="of a video: 0 to 1, how much of what was painted before is kept (default: 0.7)",
    )


def is_moving(path: Path, output: Path) -> bool:
    """Whether the file is painted as something that moves: a video by its name, an animated picture by its result."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def paint(
    options: argparse.Namespace,
    checked: Callable[[argparse.Namespace], "tuple[StyleTransferPipeline, PaintSettings]"],
) -> int:
    """Paint one video.

    Returns:
        The exit code: 0, or 130 when it was interrupted, with what was painted kept.

    Raises:
        InputError: it fails.
    """
    from styletransfer.moving.video import USUAL_SIZE, USUAL_STEADINESS, VideoJob

    pipeline, settings = checked(options)
    job = VideoJob(
        pipeline,
        options.photo[0],
        options.output,
        settings,
        size=options.size or USUAL_SIZE,
        steadiness=USUAL_STEADINESS if options.steadiness is None else options.steadiness,
        pack=options.pack or "",
    )
    said = _say_new(job.notes, 0)
    if job.resumed:
        _say(f"going on after {job.seconds:.1f} s that were painted before")
    try:
        with tqdm(total=1.0, bar_format=BAR, disable=None) as bar:  # None: no bar unless on a terminal
            for share in job.steps():
                bar.update(share - bar.n)
    except KeyboardInterrupt:
        if job.keep():
            _say(f"kept what was painted in {options.output}; the same command goes on from there")
        return INTERRUPTED
    _say_new(job.notes, said)
    return 0


def _say_new(notes: list[str], said: int) -> int:
    for note in notes[said:]:
        _say(f"note: {note}")
    return len(notes)


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
