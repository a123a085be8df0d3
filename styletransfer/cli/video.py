"""`python -m styletransfer CLIP`: a video or an animated picture in, a painted one out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from styletransfer.cli.flags import BAR, say
from styletransfer.moving.kinds import ANIMATION_FORMATS, VIDEO_FORMATS, VIDEO_SUFFIXES

# What needs torch, PyAV or OpenCV is imported where it is used: photos are painted without them.
if TYPE_CHECKING:
    from styletransfer.errors import Sentence
    from styletransfer.pipeline import StyleTransferPipeline
    from styletransfer.settings import PaintSettings


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
    """Whether the file is painted as something that moves: a video, or an animated picture for a result that moves."""
    suffix, wanted = path.suffix.lower(), output.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return path.is_file()
    if suffix not in ANIMATION_FORMATS or wanted not in {*VIDEO_FORMATS, *ANIMATION_FORMATS}:
        return False
    from styletransfer.moving.animation import is_animation

    return is_animation(path)


def result_suffix(path: Path) -> str:
    """What the name of a painting ends with, where the result is a folder."""
    return ".mp4" if path.suffix.lower() in VIDEO_SUFFIXES else ".png"


def paint(
    options: argparse.Namespace,
    pipeline: "StyleTransferPipeline",
    settings: "PaintSettings",
    source: Path,
    output: Path,
) -> None:
    """Paint one video or animated picture.

    Raises:
        InputError: it fails.
        KeyboardInterrupt: it was interrupted; what was painted is kept.
    """
    from styletransfer.moving.asked import USUAL_SIZE
    from styletransfer.moving.steady import USUAL_STEADINESS
    from styletransfer.moving.video import job_of

    job = job_of(
        pipeline,
        source,
        output,
        settings,
        size=options.size or USUAL_SIZE,
        steadiness=USUAL_STEADINESS if options.steadiness is None else options.steadiness,
        pack=options.pack or "",
    )
    said = _say_new(job.notes, 0)
    if job.resumed:
        say(f"going on after {job.seconds:.1f} s that were painted before")
    try:
        with tqdm(total=1.0, bar_format=BAR, disable=None) as bar:  # None: no bar unless on a terminal
            for share in job.steps():
                bar.update(share - bar.n)
    except KeyboardInterrupt:
        if job.keep():
            say(f"kept what was painted in {output}")
        raise
    _say_new(job.notes, said)


def _say_new(notes: "list[Sentence]", said: int) -> int:
    for note in notes[said:]:
        say(f"note: {note}")
    return len(notes)
