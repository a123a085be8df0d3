"""The command line: a photo or a folder of photos in, paintings out; `evaluate` measures a pack."""

import argparse
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from styletransfer.cli import evaluate as evaluate_command
from styletransfer.cli import hub as hub_commands
from styletransfer.errors import InputError

# What needs torch is imported where it is used: --help and mistyped arguments are answered at once.
if TYPE_CHECKING:
    from styletransfer.catalog import Catalog
    from styletransfer.pipeline import StyleTransferPipeline

PROGRAM = "python -m styletransfer"
SUCCESS, SOME_FAILED, FAILED, INTERRUPTED = 0, 1, 2, 130

Mix = Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 all painted, 1 some photos of a folder failed, 2 nothing was painted, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in hub_commands.COMMANDS:
            return hub_commands.run(_Parser(prog=PROGRAM), arguments)
        if arguments and arguments[0] in evaluate_command.COMMANDS:  # for a photo of that name write ./evaluate
            return evaluate_command.run(arguments, _Parser)
        return _run(_parser().parse_args(arguments))
    except InputError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        _say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument as all other bad input is: in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Paint a photo, or every photo of a folder.",
        epilog=f"Packs: {PROGRAM} {'|'.join((*evaluate_command.COMMANDS, *hub_commands.COMMANDS))} --help",
    )
    parser.add_argument("photo", type=Path, nargs="?", help="a picture file or a folder of them")
    parser.add_argument(
        "--style",
        type=_style,
        metavar="NAME",
        help="a style of the pack, or a mix of them: starry-night=0.6,great-wave=0.4",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="the painting's file, its name ending in .png, .jpg or .webp; for a folder of photos the folder to fill",
    )
    parser.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="0 is the photo, 1 the painting (default: %(default)s)"
    )
    parser.add_argument(
        "--brush-size",
        type=float,
        default=1.0,
        metavar="B",
        help="2: strokes twice as wide (default: %(default)s)",
    )
    parser.add_argument("--keep-colors", action="store_true", help="keep the photo's colors, paint its light")
    parser.add_argument("--mask", type=Path, metavar="PATH", help="a picture, white where to paint")
    parser.add_argument(
        "--pack",
        metavar="PACK",
        help="a style pack: a folder, or org/name[@revision] on the Hub (default: all that ship)",
    )
    parser.add_argument("--list", action="store_true", help="print the names and titles of the styles and stop")
    parser.add_argument("--debug", action="store_true", help="with an error, show where in the code it arose")
    return parser


def _style(text: str) -> str | Mix:
    if "=" not in text:
        return text
    parts = [part.split("=") for part in text.split(",")]
    try:
        mix = {name.strip(): float(weight) for name, weight in parts}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no mix: write name=weight,name=weight") from None
    if len(mix) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} names a style twice: give each one weight")
    return mix


def _run(options: argparse.Namespace) -> int:
    if options.list:
        return _list_styles(_titles(options.pack))
    missing = [
        name
        for name, value in (("PHOTO", options.photo), ("--style", options.style), ("--output", options.output))
        if value is None
    ]
    if missing:
        raise InputError(f"{' and '.join(missing)} missing: give a photo, --style NAME and --output PATH (see --help)")
    if not options.photo.exists():
        raise InputError(f"there is no file or folder {options.photo}; check the name")
    return _paint_folder(options) if options.photo.is_dir() else _paint_photo(options)


def _painter(options: argparse.Namespace) -> tuple["StyleTransferPipeline", str | Mix]:
    """The pipeline of the pack that is named, or of whichever packs that ship have the style; and the style in it."""
    if options.pack:
        from styletransfer.pipeline import StyleTransferPipeline

        return StyleTransferPipeline.from_pretrained(options.pack), options.style
    style = options.style
    return _shipped().pipeline({style: 1.0} if isinstance(style, str) else style)


def _shipped() -> "Catalog":
    from styletransfer.catalog import shipped_catalog

    return shipped_catalog()


def _titles(pack: str | None) -> dict[str, str]:
    """Name -> title of every style of the pack, or of all packs that ship."""
    if pack is None:
        return {key: card.title for key, card in _shipped().styles.items()}
    from styletransfer.pipeline import StyleTransferPipeline

    return StyleTransferPipeline.from_pretrained(pack).styles


def _list_styles(titles: Mapping[str, str]) -> int:
    width = max(len(name) for name in titles)
    for name, title in titles.items():
        # A title may come from a stranger: control characters could rewrite the terminal.
        print(f"{name:{width}}  {''.join(c for c in title if c.isprintable())}")
    return SUCCESS


def _paint_photo(options: argparse.Namespace) -> int:
    output = options.output
    if output.is_dir():
        output = output / _painting_name(options.photo.stem, options.style)
    if output.exists() and output.samefile(options.photo):
        raise InputError(f"{output} is the photo itself; give the painting another name")
    pipeline, style = _painter(options)
    _check(pipeline, style, options)
    _paint(pipeline, style, options.photo, output, options)
    return SUCCESS


def _paint_folder(options: argparse.Namespace) -> int:
    paintings = _plan(options.photo, options.output, options.style)
    pipeline, style = _painter(options)
    _check(pipeline, style, options)
    try:
        options.output.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {options.output} cannot be made: {error.strerror}; name another") from error

    failed = 0
    for photo, painting in tqdm(paintings.items(), unit="photo", disable=None):  # None: no bar unless on a terminal
        try:
            _paint(pipeline, style, photo, painting, options)
        except InputError as error:
            failed += 1
            _say(f"error: {error}")
    painted = len(paintings) - failed
    _say(f"painted {painted} of {len(paintings)} photos")
    return FAILED if not painted else SOME_FAILED if failed else SUCCESS


def _plan(folder: Path, output: Path, style: str | Mix) -> dict[Path, Path]:
    """Photo -> painting for every picture of the folder, without touching the disk."""
    from styletransfer.images.files import PICTURE_SUFFIXES

    if output.exists() and output.samefile(folder):
        raise InputError(f"{output} is the folder of the photos; give the paintings another one")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file: a folder of photos needs a folder of paintings")
    if not output.parent.is_dir():
        raise InputError(f"there is no folder {output.parent} for {output.name}; make it first")
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not photos:
        raise InputError(f"there is no picture in {folder}; give a folder with photos")
    uses = Counter(path.stem.lower() for path in photos)
    # a.jpg and a.png become two paintings: where a stem is shared, the whole name stands in the painting's.
    stems = (path.name if uses[path.stem.lower()] > 1 else path.stem for path in photos)
    return {photo: output / _painting_name(stem, style) for photo, stem in zip(photos, stems, strict=True)}


def _painting_name(stem: str, style: str | Mix) -> str:
    return f"{stem}-{style if isinstance(style, str) else '+'.join(style)}.png"


def _turns(options: argparse.Namespace) -> dict[str, object]:
    names = ("strength", "brush_size", "keep_colors", "mask")
    return {name: getattr(options, name) for name in names}


def _check(pipeline: "StyleTransferPipeline", style: str | Mix, options: argparse.Namespace) -> None:
    """Paint the least there is: a wrong style or strength is said once, before any photo is opened."""
    from PIL import Image

    pipeline(Image.new("RGB", (16, 16)), style, **_turns(options))


def _paint(
    pipeline: "StyleTransferPipeline", style: str | Mix, photo: Path, painting: Path, options: argparse.Namespace
) -> None:
    from styletransfer.images.files import load_picture, save_picture

    picture = load_picture(photo)
    for note in picture.notes:
        _say(f"note: {photo}: {note}")
    try:
        result = pipeline(picture, style, **_turns(options))
    except InputError as error:
        raise InputError(f"{photo}: {error}") from error
    save_picture(result, painting)


def _say(line: str) -> None:
    """Print for the user's eyes only, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)
