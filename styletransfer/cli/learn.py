"""`python -m styletransfer learn`: a painting of one's own as a style, better the longer it may take."""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from styletransfer.cli.flags import (
    BAR,
    INTERRUPTED,
    add_photos,
    add_weights,
    count,
    end_with_stdin,
    photo_files,
)
from styletransfer.cli.stopping import stoppable
from styletransfer.folders import check_parent

if TYPE_CHECKING:
    from styletransfer.learning.learner import Learner, Moment
    from styletransfer.learning.recipe import NetworkWeights

COMMANDS = ("learn",)
LPIPS = "heads of LPIPS, which keep more of the photo"


def run(arguments: Sequence[str], parser: type[argparse.ArgumentParser]) -> int:
    """Run one of COMMANDS with the arguments that begin with its name.

    Returns:
        The exit code: 0 when the time is over, 130 when it was interrupted, with the style as it was then saved.

    Raises:
        InputError: it fails.
    """
    made = parser(
        prog="python -m styletransfer learn",
        description="Learn a painting as a style, from a style that ships, and write it as a pack. The pack is there "
        "after some seconds, and gets better; Ctrl-C stops and keeps the best.",
    )
    _add_inputs(made)
    add_weights(made, LPIPS)
    made.add_argument("--json", action="store_true", help="print progress as lines of JSON")
    made.add_argument(
        "--leash", action="store_true", help="end with standard input: when the program that started this one ends"
    )
    made.add_argument("--debug", action="store_true", help="show a traceback with an error")
    return _learn(made.parse_args(arguments[1:]))


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("painting", type=Path, metavar="PAINTING", help="a picture of the painting; borders and frames are left out")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="where the pack goes, styles/mine")
    add("--minutes", type=float, default=1.0, metavar="M", help="how long it may take (default: %(default)s)")
    add("--steps", type=count, metavar="N", help="learn N steps, whatever the clock says: the same style each time")
    add("--name", metavar="NAME", help="name of the style (default: that of the folder)")
    add("--title", metavar="TEXT", help="title of the style, for people (default: made from its name)")
    add(
        "--base",
        metavar="STYLE",
        help="start from a style that ships, or a pack: a folder, or org/name[@revision] on the Hub (default: nearest)",
    )
    add_photos(parser, "to learn on")
    add("--preview", type=Path, metavar="FILE", help="paint the first photo into FILE whenever the style gets better")


def network_weights(options: argparse.Namespace) -> "NetworkWeights":
    """The files that the flags name."""
    from styletransfer.learning.recipe import NetworkWeights

    return NetworkWeights(options.style_network_weights, options.content_network_weights, options.lpips_weights)


def _learn(options: argparse.Namespace) -> int:
    # Modules that need torch are imported here, so that --help and mistyped arguments are answered at once.
    from styletransfer.images.files import save_picture
    from styletransfer.learning.learner import Learner, check_output, checked_minutes
    from styletransfer.packs.contents import style_name

    if options.leash:
        end_with_stdin()
    seconds = math.inf if options.steps else checked_minutes(options.minutes) * 60
    check_output(options.output)
    if options.preview:
        check_parent(options.preview)
    learner = Learner(
        options.painting,
        name=options.name or style_name(options.output.name),
        title=options.title,
        base=options.base,
        photos=photo_files(options.photos) if options.photos else (),
        weights=network_weights(options),
    )
    try:
        with stoppable(learner.learn(seconds, options.steps)) as moments:
            _tell(options, *(f"note: {note}" for note in learner.notes), f"starting from {learner.base}")
            for moment in _shown(options, moments, learner):
                if moment.is_better:
                    learner.save(options.output)
                    if options.preview:
                        painting = learner.pipeline()(learner.photos[0], learner.name)
                        save_picture(painting, options.preview)
    except KeyboardInterrupt:
        if learner.fit.steps:
            learner.save(options.output)
            _tell(options, f"stopped after {learner.fit.steps} steps; the best so far is in {options.output}")
        return INTERRUPTED
    _tell(options, f"pack: {options.output} ({learner.fit.steps} steps)")
    return 0


def _shown(options: argparse.Namespace, moments: "Iterator[Moment]", learner: "Learner") -> "Iterator[Moment]":
    """The moments, shown as a bar or as lines of JSON after what they caused."""
    if options.json:
        for moment in moments:
            yield moment
            print(json.dumps(moment.__dict__), flush=True)
        return
    with tqdm(total=1.0, bar_format=BAR, disable=None) as bar:  # None: no bar unless on a terminal
        for moment in moments:
            bar.update(moment.done - bar.n)
            bar.set_postfix_str(f"{moment.steps} steps")
            yield moment
            if moment.is_better:
                _tell(options, f"{moment.seconds:.0f} s: a better painting, in {options.output}")


def _tell(options: argparse.Namespace, *lines: str) -> None:
    for line in lines:
        if options.json:
            print(json.dumps({"said": line}), flush=True)
        else:
            tqdm.write(line, file=sys.stderr)
