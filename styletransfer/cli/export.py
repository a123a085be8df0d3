"""`python -m styletransfer export`: packs for other programs, and for the browser."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from styletransfer.errors import InputError

COMMANDS = ("export",)


def run(arguments: Sequence[str], parser: type[argparse.ArgumentParser]) -> int:
    """Run one of COMMANDS with the arguments that begin with its name; returns 0. Raises InputError if it fails."""
    made = parser(
        prog="python -m styletransfer export",
        description="Write a pack as ONNX files, or packs as a page that paints in the browser without a server.",
    )
    add = made.add_argument
    add(
        "pack",
        nargs="*",
        metavar="PACK",
        help="a style pack: a folder, or org/name[@revision] on the Hub (default, for web: all that ship)",
    )
    add(
        "--format",
        required=True,
        choices=("onnx", "web"),
        help="onnx: two ONNX files, with weights in float32 and in float16; web: a folder for any web server",
    )
    add("-o", "--output", required=True, type=Path, metavar="FOLDER", help="a new folder, or an export to be replaced")
    add("--debug", action="store_true", help="show a traceback with an error")
    options = made.parse_args(arguments[1:])
    return (_onnx if options.format == "onnx" else _web)(options.pack, options.output)


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


def _web(packs: Sequence[str], output: Path) -> int:
    from styletransfer.export.onnx_files import check_target
    from styletransfer.export.site import export_site
    from styletransfer.hub.repos import resolve_pack

    check_target(output)
    site = export_site([resolve_pack(pack) for pack in packs], output)
    sizes = ", ".join(f"{size / 1e6:.1f} MB by {engine}" for engine, size in site.first_painting.items())
    print(f"{output}  {site.styles} styles, the first painting after {sizes}")
    print(f"Look at it: python -m http.server --directory {output}")
    return 0
