"""`python -m styletransfer evaluate`: measures a pack and writes a table, a JSON file and a figure."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from styletransfer.cli.flags import add_weights, count
from styletransfer.errors import InputError
from styletransfer.folders import check_parent, why_unwritten

COMMANDS = ("evaluate",)


def run(arguments: Sequence[str], parser: type[argparse.ArgumentParser]) -> int:
    """Run one of COMMANDS with the arguments that begin with its name; returns 0. Raises InputError if it fails."""
    made = parser(
        prog="python -m styletransfer evaluate",
        description="Measure the paintings of a pack, beside the photos and the photos in the style's colors.",
    )
    _add_inputs(made)
    _add_outputs(made)
    return _evaluate(made.parse_args(arguments[1:]))


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("pack", metavar="PACK", help="the style pack: a folder, or org/name[@revision] on the Hub")
    add(
        "--photos",
        required=True,
        metavar="SOURCE",
        help="photos that training never saw: a folder, one picture, or a dataset on the Hub",
    )
    add(
        "--style",
        action="append",
        required=True,
        metavar="NAME=SOURCE",
        help="a style of the pack and the source of its paintings, as for --photos; may be repeated",
    )
    add(
        "--size",
        type=count,
        default=512,
        metavar="PIXELS",
        help="long side of photos and paintings (default: %(default)s)",
    )
    add_weights(parser, "linear heads of LPIPS")
    add("--debug", action="store_true", help="show a traceback with an error")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="write all numbers to FILE; the card of a pack shows its evaluation.json",
    )
    add("--figure", type=Path, metavar="FILE", help="write a picture of photos and paintings to FILE")
    add("--limit", type=count, metavar="N", help="use N photos, evenly spaced over the source (default: all)")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="random seed of the confidence intervals (default: %(default)s)",
    )
    add(
        "--inception-weights",
        metavar="FILE",
        help="pt_inception-2015-12-05-6726825d.pth of pytorch-fid, needed for KID and FID",
    )


def _evaluate(options: argparse.Namespace) -> int:
    for path in filter(None, (options.json, options.figure)):
        check_parent(path)  # before minutes of measuring
    # Modules that need torch are imported here, so that --help and mistyped arguments are answered at once.
    from styletransfer.evaluation.evaluate import evaluate
    from styletransfer.evaluation.meter import WeightFiles
    from styletransfer.evaluation.report import contact_sheet, table
    from styletransfer.images.files import save_picture
    from styletransfer.training.config import pairs

    weights = WeightFiles(
        style=options.style_network_weights,
        content=options.content_network_weights,
        lpips=options.lpips_weights,
        inception=options.inception_weights,
    )
    found = evaluate(
        options.pack,
        options.photos,
        pairs("--style", options.style),
        weights,
        size=options.size,
        limit=options.limit,
        seed=options.seed,
    )
    if int(os.environ.get("RANK", 0)) > 0:  # only the first process of a launch prints
        return 0
    print(table(found.numbers), end="")
    if options.json:
        try:
            options.json.write_text(json.dumps(found.numbers, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{options.json} cannot be written: {why_unwritten(error)}.") from error
    if options.figure:
        save_picture(contact_sheet(found.figure), options.figure)
    return 0
