"""The command line: photos or folders of photos in, paintings out; `learn` makes a style, `evaluate` measures one."""

import argparse
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from styletransfer.cli import distill as distill_command
from styletransfer.cli import evaluate as evaluate_command
from styletransfer.cli import export as export_command
from styletransfer.cli import hub as hub_commands
from styletransfer.cli import learn as learn_command
from styletransfer.cli import optimize as optimize_command
from styletransfer.cli import panorama as panorama_command
from styletransfer.cli import video as video_command
from styletransfer.cli.flags import INTERRUPTED, say
from styletransfer.errors import InputError
from styletransfer.folders import check_parent
from styletransfer.models.memory import keep_freed_memory

# What needs torch is imported where it is used: --help and mistyped arguments are answered at once.
if TYPE_CHECKING:
    from styletransfer.pipeline import StyleTransferPipeline
    from styletransfer.settings import PaintSettings

PROGRAM = "python -m styletransfer"
COMMANDS = (
    *learn_command.COMMANDS,
    *optimize_command.COMMANDS,
    *distill_command.COMMANDS,
    *evaluate_command.COMMANDS,
    *export_command.COMMANDS,
    *hub_commands.COMMANDS,
)
SUCCESS, SOME_FAILED, FAILED = 0, 1, 2

Mix = Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 all painted, 1 some of several photos failed, 2 nothing was painted, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    keep_freed_memory()
    try:
        if arguments and arguments[0] in hub_commands.COMMANDS:
            return hub_commands.run(_Parser(prog=PROGRAM), arguments)
        if arguments and arguments[0] in evaluate_command.COMMANDS:  # for a photo of that name write ./evaluate
            return evaluate_command.run(arguments, _Parser)
        for command in (distill_command, export_command, learn_command, optimize_command):
            if arguments and arguments[0] in command.COMMANDS:
                return command.run(arguments, _Parser)
        return _run(_parser().parse_intermixed_args(arguments))
    except InputError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument as all other bad input is: in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError("{message} (see --help).", message=message[:1].upper() + message[1:].rstrip("."))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Paint a photo, several photos, or every photo of a folder.",
        epilog=f"Packs: {PROGRAM} {'|'.join(COMMANDS)} --help",
    )
    parser.add_argument(
        "photo", type=Path, nargs="*", help="a picture file or a folder of them; name as many as you like"
    )
    parser.add_argument(
        "--style",
        type=_style,
        metavar="NAME",
        help="a style that --list names, or a mix of them: starry-night=0.6,great-wave=0.4",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="the painting's file, its name ending in .png, .jpg or .webp; for several photos the folder to fill",
    )
    parser.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="0 is the photo, 1 the painting (default: %(default)s)"
    )
    parser.add_argument(
        "--brush-size",
        type=float,
        default=1.0,
        metavar="B",
        help="width of the strokes relative to the picture, 0.5 to 4; 2: twice as wide (default: %(default)s)",
    )
    parser.add_argument("--keep-colors", action="store_true", help="keep the photo's colors, paint its light")
    parser.add_argument("--mask", type=Path, metavar="PATH", help="a picture, white where to paint")
    parser.add_argument(
        "--wrap", action="store_true", help="the photo's left edge continues the right one, as in a full panorama"
    )
    panorama_command.add_flags(parser)
    parser.add_argument(
        "--pack",
        metavar="PACK",
        help="a style pack: a folder, or org/name[@revision] on the Hub (default: all that ship)",
    )
    video_command.add_flags(parser)
    parser.add_argument("--list", action="store_true", help="print the names and titles of the styles and stop")
    parser.add_argument("--debug", action="store_true", help="with an error, show where in the code it arose")
    return parser


def _style(text: str) -> str | Mix:
    if "=" not in text:
        return text
    parts = [part.split("=") for part in text.split(",")]
    try:
        mix = {name.strip(): float(share) for name, share in parts}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mix, write name=share,name=share") from None
    if len(mix) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} names a style twice, give each one share")
    return mix


def _run(options: argparse.Namespace) -> int:
    if options.list:
        return _list_styles(_pipeline(options).styles)
    needed = (("PHOTO", options.photo), ("--style", options.style), ("--output", options.output))
    missing = [name for name, value in needed if not value]
    if missing:
        raise InputError(
            "{missing} missing: give a photo, --style NAME and --output PATH (see --help).",
            missing=" and ".join(missing),
        )
    for photo in options.photo:
        if not photo.exists():
            raise InputError("There is no file or folder {photo}: check the name.", photo=photo)
    is_single = len(options.photo) == 1 and not options.photo[0].is_dir()
    return _paint_one(options) if is_single else _paint_several(options)


def _pipeline(options: argparse.Namespace) -> "StyleTransferPipeline":
    from styletransfer.pipeline import StyleTransferPipeline

    return StyleTransferPipeline.from_pretrained(options.pack)


def _list_styles(titles: Mapping[str, str]) -> int:
    width = max(len(name) for name in titles)
    for name, title in titles.items():
        # A title may come from a stranger: control characters could rewrite the terminal.
        print(f"{name:{width}}  {''.join(c for c in title if c.isprintable())}")
    return SUCCESS


def _paint_one(options: argparse.Namespace) -> int:
    (photo,), output = options.photo, options.output
    if output.is_dir():
        output = output / _painting_name(photo, options.style)
    if output.exists() and output.samefile(photo):
        raise InputError("{name} is the photo itself: give the painting another name.", name=output)
    pipeline, settings = _checked(options)
    _paint(options, pipeline, settings, photo, output)
    return SUCCESS


def _paint_several(options: argparse.Namespace) -> int:
    paintings = _plan(options.photo, options.output, options.style)
    pipeline, settings = _checked(options)
    try:
        options.output.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            "The folder {name} cannot be made ({reason}): name another.", name=options.output, reason=error.strerror
        ) from error

    failed = 0
    for photo, painting in tqdm(paintings.items(), unit="photo", disable=None):  # None: no bar unless on a terminal
        try:
            _paint(options, pipeline, settings, photo, painting)
        except InputError as error:
            failed += 1
            say(f"error: {error}")
    painted = len(paintings) - failed
    say(f"painted {painted} of {len(paintings)} photos")
    return FAILED if not painted else SOME_FAILED if failed else SUCCESS


def _plan(named: Sequence[Path], output: Path, style: str | Mix) -> dict[Path, Path]:
    """Photo -> painting for every picture that is named or lies in a named folder, without touching the disk."""
    photos = list(dict.fromkeys(photo for path in named for photo in _pictures(path)))
    _check_output(output, filter(Path.is_dir, named))
    uses = Counter(path.stem.lower() for path in photos)
    # a.jpg and a.png become two paintings: where a stem is shared, the whole name stands in the painting's.
    paintings = {path: output / _painting_name(path, style, uses[path.stem.lower()] > 1) for path in photos}
    if len(set(paintings.values())) < len(paintings):
        raise InputError("Photos of several folders have the same name: paint one folder after the other.")
    return paintings


def _pictures(path: Path) -> list[Path]:
    from styletransfer.images.files import PICTURE_SUFFIXES

    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
    if not found:
        raise InputError("There is no picture in {folder}: give a folder with photos.", folder=path)
    return found


def _check_output(output: Path, folders: Iterable[Path]) -> None:
    """Raises InputError where several paintings cannot go into `output`; `folders` hold the photos."""
    from styletransfer.images.files import PICTURE_SUFFIXES

    if output.exists() and any(output.samefile(folder) for folder in folders):
        raise InputError("{name} is the folder of the photos: give the paintings another one.", name=output)
    if output.exists() and not output.is_dir():
        raise InputError("{name} is a file: several photos need a folder for their paintings.", name=output)
    if not output.exists() and output.suffix.lower() in PICTURE_SUFFIXES:
        raise InputError("{name} names a picture: several photos need a folder for their paintings.", name=output)
    check_parent(output)


def _painting_name(photo: Path, style: str | Mix, whole: bool = False) -> str:
    stem, suffix = photo.name if whole else photo.stem, video_command.result_suffix(photo)
    return f"{stem}-{style if isinstance(style, str) else '+'.join(style)}{suffix}"


def _checked(options: argparse.Namespace) -> tuple["StyleTransferPipeline", "PaintSettings"]:
    """The pipeline and the settings, which paint the least there is: a fault is said before any photo is opened."""
    from PIL import Image

    from styletransfer.settings import PaintSettings

    names = ("style", "strength", "brush_size", "keep_colors", "mask", "wrap")
    settings = PaintSettings(**{name: getattr(options, name) for name in names})
    pipeline = _pipeline(options)
    pipeline(Image.new("RGB", (16, 16)), settings)
    return pipeline, settings


def _paint(
    options: argparse.Namespace,
    pipeline: "StyleTransferPipeline",
    settings: "PaintSettings",
    photo: Path,
    painting: Path,
) -> None:
    if video_command.is_moving(photo, painting):
        return video_command.paint(options, pipeline, settings, photo, painting)
    from styletransfer.images.files import load_picture
    from styletransfer.large import Origin, paint_strips, reader_for_strips
    from styletransfer.results import save_result
    from styletransfer.steps import drained

    reader = reader_for_strips(photo, painting, settings)
    if reader is not None and not panorama_command.is_asked(options, photo, reader.size):  # too large for memory
        for note in drained(paint_strips(pipeline, reader, painting, settings, Origin(photo.name, options.pack or ""))):
            say(f"note: {photo}: {note}")
        return
    picture = load_picture(photo)
    for note in picture.notes:
        say(f"note: {photo}: {note}")
    try:
        result, extras = panorama_command.paint(pipeline, photo, picture, settings, options, say)
    except InputError as error:
        raise InputError("{photo}: {reason}", photo=photo, reason=error) from error
    save_result(result, painting, settings, photo=photo.name, pack=options.pack or "", **extras)
