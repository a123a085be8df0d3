"""`python -m styletransfer optimize`: one photo, its pixels optimized until it is painted like paintings."""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from styletransfer.cli.flags import BAR, INTERRUPTED, add_weights
from styletransfer.cli.learn import LPIPS, network_weights
from styletransfer.cli.stopping import stoppable
from styletransfer.errors import InputError

if TYPE_CHECKING:
    from styletransfer.learning.optimize import PictureOptimizer, StylePicture

COMMANDS = ("optimize",)
SAVED_EVERY = 10.0  # seconds


def run(arguments: Sequence[str], parser: type[argparse.ArgumentParser]) -> int:
    """Run one of COMMANDS with the arguments that begin with its name.

    Returns:
        The exit code: 0 when the time is over, 130 when it was interrupted, with the picture as it was then saved.

    Raises:
        InputError: it fails.
    """
    made = parser(
        prog="python -m styletransfer optimize",
        description="Optimize the pixels of one photo until it is painted like one or several paintings. The picture "
        "is there after some seconds, and gets better; Ctrl-C stops and keeps what there is.",
    )
    _add_inputs(made)
    add_weights(made, LPIPS)
    made.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return _optimize(made.parse_args(arguments[1:]))


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photo", type=Path, metavar="PHOTO", help="a picture")
    add("paintings", type=Path, nargs="+", metavar="PAINTING", help="pictures of paintings; frames are left out")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="where the picture goes: .png, .jpg or .webp")
    add("--minutes", type=float, default=2.0, metavar="M", help="how long it may take (default: %(default)s)")
    add("--steps", type=int, metavar="N", help="work N steps, whatever the clock says: the same picture each time")
    add("--size", type=int, default=512, metavar="PIXELS", help="long side of the picture (default: %(default)s)")
    add("--init", default="photo", metavar="WHAT", help="begin with the photo, style or noise (default: %(default)s)")
    add("--style", default="points", metavar="NAME", help="a style that ships, for --init style (default: %(default)s)")
    add("--weights", type=float, nargs="+", metavar="W", help="what each painting counts, in their order (default: 1)")
    add(
        "--mask",
        action="append",
        default=[],
        metavar="N=FILE",
        help="painting N, from 1 on, is the style where the picture FILE is white; may be repeated",
    )
    add("--seed", type=int, default=0, metavar="N", help="of all that is drawn at random (default: %(default)s)")


def _optimize(options: argparse.Namespace) -> int:
    # Modules that need torch are imported here, so that --help and mistyped arguments are answered at once.
    from styletransfer.images.files import save_picture
    from styletransfer.learning.learner import checked_minutes
    from styletransfer.learning.optimize import PictureOptimizer

    if options.steps is not None and options.steps < 1:
        raise InputError("--steps is {steps}: it must be at least 1.", steps=options.steps)
    seconds = math.inf if options.steps else checked_minutes(options.minutes) * 60
    output = options.output
    if output.exists() and any(output.samefile(path) for path in (options.photo, *options.paintings) if path.exists()):
        raise InputError("{name} is one of the pictures given: give the result another name.", name=output)
    made = PictureOptimizer(
        options.photo,
        _styles(options),
        size=options.size,
        init=options.init,
        style=options.style,
        weights=network_weights(options),
        seed=options.seed,
    )
    save_picture(made.picture(), output)  # what cannot be written is said now
    for note in made.notes:
        tqdm.write(f"note: {note}")
    try:
        _work(made, seconds, options)
    except KeyboardInterrupt:
        save_picture(made.picture(), output)
        return INTERRUPTED
    save_picture(made.picture(), output)
    return 0


def _work(made: "PictureOptimizer", seconds: float, options: argparse.Namespace) -> None:
    from styletransfer.images.files import save_picture

    saved = time.monotonic()
    sights = stoppable(made.optimize(seconds, options.steps))
    with sights as seen, tqdm(total=1.0, bar_format=BAR, disable=None) as bar:  # None: no bar unless on a terminal
        for sight in seen:
            bar.update(sight.done - bar.n)
            bar.set_postfix_str(f"{sight.size[0]}x{sight.size[1]}, {sight.steps} steps")
            if time.monotonic() - saved > SAVED_EVERY:
                save_picture(made.picture(), options.output)
                saved = time.monotonic()


def _styles(options: argparse.Namespace) -> "list[StylePicture]":
    from styletransfer.learning.optimize import StylePicture

    count = len(options.paintings)
    weights = options.weights or [1.0] * count
    if len(weights) != count:
        raise InputError(
            "There are {given} --weights for {count} paintings: give one for each.", given=len(weights), count=count
        )
    masks: dict[int, Path] = {}
    for text in options.mask:
        number, equals, path = text.partition("=")
        if not (equals and path and number.isdigit() and 1 <= int(number) <= count):
            raise InputError(
                "--mask {text} must be N=FILE, with N from 1 to {count}, the number of a painting.",
                text=text,
                count=count,
            )
        masks[int(number)] = Path(path)
    return [
        StylePicture(painting, weight, masks.get(number))
        for number, (painting, weight) in enumerate(zip(options.paintings, weights, strict=True), start=1)
    ]
