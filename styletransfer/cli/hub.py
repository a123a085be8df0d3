"""The commands that talk to the Hub: push a pack, pull one, search for packs, deploy the page."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from styletransfer.hub import packs as hub
from styletransfer.hub import spaces
from styletransfer.hub.repos import Repo, check_repo_id, fetch_pack
from styletransfer.training.checkpoints import is_checkpoint
from styletransfer.training.publishing import push_checkpoint

COMMANDS = ("push", "pull", "search", "deploy-space")


def run(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    """Run one of COMMANDS, with the arguments from its name on; returns 0. Raises InputError for whatever fails."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # a dozen bars for a dozen small files tell nothing
    options = _with_commands(parser).parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    command(options)
    return 0


def _with_commands(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    commands = parser.add_subparsers(required=True)
    push = _add(commands, "push", _push, "upload a pack to the Hub as one commit, and tag it")
    push.add_argument(
        "folder", type=Path, help="folder of a style pack, or of a checkpoint, which goes to the branch `checkpoints`"
    )
    _add_target(push, "repository")
    push.add_argument(
        "--revision",
        default="main",
        metavar="BRANCH",
        help="branch to push to; it is created if it is missing (default: main)",
    )
    push.add_argument("--tag", metavar="TAG", help="tag for this version, a new one (default: the next of v1, v2, ...)")
    pull = _add(commands, "pull", _pull, "copy a pack from the Hub into a folder")
    pull.add_argument("repo", metavar="org/name[@revision]", help="pack on the Hub, with a branch, tag or commit")
    pull.add_argument("folder", type=Path, help="a new folder, or one whose pack is to be replaced")
    search = _add(commands, "search", _search, "list the style packs on the Hub, newest first")
    search.add_argument(
        "--author", action="append", default=[], metavar="NAME", help="list packs of this author; repeat for more"
    )
    deploy = _add(commands, "deploy-space", _deploy, "create or update a Space that serves the page")
    _add_target(deploy, "Space")
    deploy.add_argument(
        "--packs",
        default="",
        metavar="org/a[@revision],org/b",
        help="packs on the Hub that the page offers besides those in this repository",
    )
    deploy.add_argument(
        "--static",
        action="store_true",
        help="a static Space, which paints in the visitor's browser, in place of a Gradio Space with a server",
    )
    return parser


def _add(
    commands: "argparse._SubParsersAction", name: str, command: Callable[[argparse.Namespace], None], help: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.set_defaults(command=command)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_target(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("repo", metavar="org/name", help=f"name of the {what} on the Hub; it is created if missing")
    parser.add_argument("--private", action="store_true", help=f"create the {what} as a private one")


def _push(options: argparse.Namespace) -> None:
    if is_checkpoint(options.folder):
        print(push_checkpoint(options.folder, options.repo, private=options.private))
        return
    address = hub.push_pack(
        options.folder, options.repo, private=options.private, revision=options.revision, tag=options.tag
    )
    print(address)


def _pull(options: argparse.Namespace) -> None:
    print(hub.pull_pack(options.repo, options.folder))


def _search(options: argparse.Namespace) -> None:
    packs = hub.search_packs(options.author)
    if not packs:
        whose = f" by {' or '.join(options.author)}" if options.author else ""
        print(f"There is no style pack{whose} on the Hub.", file=sys.stderr)
    for pack in packs:
        day = pack.last_modified.date().isoformat() if pack.last_modified else "?"
        print(f"{pack.repo_id}@{pack.sha}  {day}  {pack.title}  ({', '.join(pack.styles)})")


def _deploy(options: argparse.Namespace) -> None:
    packs = [name.strip() for name in options.packs.split(",") if name.strip()]
    deploy = _deploy_static if options.static else spaces.deploy_space
    print(deploy(options.repo, packs=packs, private=options.private))


def _deploy_static(repo: str, *, packs: Sequence[str], private: bool) -> str:
    # They need torch, which the other commands do not wait for.
    from styletransfer.catalog import shipped_catalog
    from styletransfer.export.site import export_site

    check_repo_id(repo, "Space")
    pins = spaces.checked_packs(packs, repo, private=private)
    folders = [entry.folder for entry in shipped_catalog().entries]
    folders += [fetch_pack(Repo(pack.id, seen.commit)) for pack, seen in pins.items()]
    with tempfile.TemporaryDirectory() as place:
        site = Path(place) / "site"
        export_site(folders, site)
        return spaces.deploy_static_space(repo, site, private=private)
