"""The command line of a training: every field of TrainingConfig is a flag, and `--help` tells them in groups.

argparse and not a library that reads dataclasses: docs/decisions.md says why.
"""

import argparse
import difflib
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_args, get_origin, get_type_hints

from styletransfer.training.config import TrainingConfig, configure, flag_name, read_settings
from styletransfer.training.presets import PRESETS

# The groups of --help: each begins with this field and ends before the next.
GROUPS = {
    "photos": "Pictures to learn from",
    "output_dir": "The pack",
    "steps": "Length and start",
    "crop_size": "Crops",
    "channels": "Networks",
    "objective": "Objective: which losses, how much of each",
    "style_distance": "Objective: how style, content and PatchNCE are compared",
    "learning_rate": "Optimizer",
    "mixed_precision": "Speed and memory",
    "log_every": "Logs, samples and checkpoints",
    "push_to_hub": "The Hugging Face Hub",
}
NUMBERS = {int: "N", float: "X"}  # how --help writes values without a name of their own


class Command(NamedTuple):
    """What a command line says: the run, and what is kept out of its recipe."""

    config: TrainingConfig
    hub_token: str | None


def parse_config(argv: Sequence[str], prog: str) -> TrainingConfig:
    """The config of a command line; see `parse_command`."""
    return parse_command(argv, prog).config


def parse_command(argv: Sequence[str], prog: str) -> Command:
    """Flags over the YAML of `--config` over the preset of the objective over defaults.

    Raises:
        InputError: unreadable or unknown settings.
        SystemExit: with code 2, after one sentence, for an unknown flag or a value of the wrong type.
    """
    given = vars(_parser(prog).parse_args(argv))
    given.pop("debug")
    token, settings = given.pop("hub_token"), read_settings(map(Path, given.pop("config")))
    return Command(
        configure({**settings, **{name: value for name, value in given.items() if value is not None}}), token
    )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        usage=f"{prog} --photos SOURCE --style NAME=SOURCE [settings]",
        description="Train styles: photos in, paintings out. Without a source, a style after Claude Monet is trained.",
        epilog=_presets_in_words(),
        formatter_class=_HelpWithLines,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        default=[],
        help="Read settings from a YAML file; names are those of the flags with underscores. "
        "Repeat the flag for more files: later ones override earlier ones, and flags override files.",
    )
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    types, group = get_type_hints(TrainingConfig), parser
    for setting in fields(TrainingConfig):
        if setting.name in GROUPS:
            group = parser.add_argument_group(GROUPS[setting.name])
        if setting.name == "resume":
            _add_resume(group, setting)
        else:
            group.add_argument(flag_name(setting), **_argument(setting, types[setting.name]))
    group.add_argument(
        "--hub-token", metavar="TOKEN", help="Token of a Hub user, in place of HF_TOKEN or `hf auth login`."
    )
    return parser


def _add_resume(group: Any, setting: Field) -> None:
    """`--resume` takes a folder or none."""
    words = {"help": setting.metadata["help"], "metavar": setting.metadata["metavar"], "default": None}
    group.add_argument("--resume", nargs="?", const=True, **words)
    group.add_argument("--no-resume", dest="resume", action="store_const", const=False, help=argparse.SUPPRESS)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong first, in one sentence, and leaves the usage to --help."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            unknown = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
            near = difflib.get_close_matches(unknown, self._option_string_actions, n=1)
            message = f"there is no {unknown}; did you mean {near[0]}?" if near else f"there is no {unknown}."
        end = "" if message.endswith((".", "?")) else "."
        self.exit(2, f"error: {message}{end} See {self.prog} --help.\n")


class _HelpWithLines(argparse.HelpFormatter):
    """Keeps the line breaks of the epilog, and never breaks a flag at one of its hyphens."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for part in text.splitlines() for line in self._split_lines(part, width))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def _presets_in_words() -> str:
    lines = []
    for name, table in PRESETS.items():
        words = " ".join(f"--{setting.replace('_', '-')} {_plain(value)}" for setting, value in table.items())
        lines.append(f"--objective {name}: {words or 'the defaults above'}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _argument(setting: Field, kind: Any) -> dict[str, Any]:
    default = "" if setting.default in ((), None, MISSING) else f" (default: {_plain(setting.default)})"
    words: dict[str, Any] = {"help": setting.metadata["help"] + default, "default": None}
    if kind is bool:
        return {**words, "action": argparse.BooleanOptionalAction}
    metavar = setting.metadata["metavar"]
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        many = {"action": "append"} if setting.default == () else {"nargs": "+"}
        return {**words, **many, "type": inner, "metavar": metavar or NUMBERS[inner]}
    kind = str if kind == (str | None) else kind
    choices = setting.metadata["choices"]
    return {**words, "type": kind, "choices": choices, "metavar": None if choices else metavar or NUMBERS[kind]}
