"""`python -m styletransfer CLIP`: a video or an animated picture in, a painted one out."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from styletransfer.cli.flags import BAR, end_with_stdin, say
from styletransfer.errors import InputError
from styletransfer.moving.kinds import ANIMATION_FORMATS, VIDEO_FORMATS, VIDEO_SUFFIXES

# What needs torch, PyAV or OpenCV is imported where it is used: photos are painted without them.
if TYPE_CHECKING:
    from styletransfer.errors import Sentence
    from styletransfer.moving.video import Job
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

    for flag in ("--json", "--leash"):  # for a server that has it painted, see `aside.words_of`
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--most-seconds", type=float, help=argparse.SUPPRESS)


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
    """Paint one video or animated picture, and say how far it is, to a person or to the program that asks.

    Raises:
        InputError: it fails.
        KeyboardInterrupt: it was interrupted; what was painted is kept.
    """
    if options.leash:
        end_with_stdin()
    try:
        _paint(options, pipeline, settings, source, output)
    except InputError as error:
        if options.json:
            _print({"error": [error.sentence.template, error.sentence.values]})
        raise


def _paint(
    options: argparse.Namespace,
    pipeline: "StyleTransferPipeline",
    settings: "PaintSettings",
    source: Path,
    output: Path,
) -> None:
    job = _job(options, pipeline, settings, source, output)
    if options.json:
        return _tell(job)
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


def _job(
    options: argparse.Namespace,
    pipeline: "StyleTransferPipeline",
    settings: "PaintSettings",
    source: Path,
    output: Path,
) -> "Job":
    from styletransfer.moving import asked
    from styletransfer.moving.steady import USUAL_STEADINESS
    from styletransfer.moving.video import job_of
    from styletransfer.surround import film

    is_sphere = film.is_sphere(source, options.panorama)
    return (film.sphere_job_of if is_sphere else job_of)(
        pipeline,
        source,
        output,
        settings,
        size=options.size or (film if is_sphere else asked).USUAL_SIZE,
        steadiness=USUAL_STEADINESS if options.steadiness is None else options.steadiness,
        pack=options.pack or "",
        most_seconds=options.most_seconds,
    )


def _tell(job: "Job") -> None:
    """Paint, and print lines of JSON: how far it is, and at the end the notes, each as its template and values."""
    for share in job.steps():
        _print({"done": share})
    _print({"notes": [[note.template, note.values] for note in job.notes]})


def _print(word: dict[str, object]) -> None:
    print(json.dumps(word, default=str), flush=True)


def _say_new(notes: "list[Sentence]", said: int) -> int:
    for note in notes[said:]:
        say(f"note: {note}")
    return len(notes)
