"""`python -m styletransfer export`: packs for other programs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from styletransfer.errors import InputError

COMMANDS = ("export",)


def run(arguments: Sequence[str], parser: type[argparse.ArgumentParser]) -> int:
    """Run one of COMMANDS with the arguments that begin with its name; returns 0. Raises InputError if it fails."""
    made = parser(prog="python -m styletransfer export", description="Write packs for other programs.")
    add = made.add_argument
    add("pack", nargs="*", metavar="PACK", help="a style pack: a folder, or org/name[@revision] on the Hub")
    add(
        "--format",
        required=True,
        choices=("onnx",),
        help="onnx: two ONNX files, with weights in float32 and in float16",
    )
    add("-o", "--output", required=True, type=Path, metavar="FOLDER", help="a new folder, or an export to be replaced")
    add("--debug", action="store_true", help="show a traceback with an error")
    options = made.parse_args(arguments[1:])
    return _onnx(options.pack, options.output)


def _onnx(packs: Sequence[str], output: Path) -> int:
    from styletransfer.export.onnx_files import check_target, export_onnx
    from styletransfer.hub.repos import resolve_pack

    if len(packs) != 1:
        raise InputError("One pack becomes ONNX files: give one PACK, not {count}.", count=len(packs))
    check_target(output)
    report = export_onnx(resolve_pack(packs[0]), output, packs[0])
    for file, facts in report["files"].items():
        difference = f"{facts['largest_difference']:.0e}"
        print(f"{output / file}  opset {report['opset']}, at most {difference} from PyTorch, {facts['bytes']} bytes")
    return 0
