"""`python -m styletransfer distill`: a pack with fewer residual blocks, which paints the same in less time."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from styletransfer.cli.flags import BAR, add_photos, count, photo_files, say
from styletransfer.cli.stopping import stoppable
from styletransfer.errors import InputError
from styletransfer.folders import check_parent

COMMANDS = ("distill",)


def run(arguments: Sequence[str], parser: type[argparse.ArgumentParser]) -> int:
    """Run one of COMMANDS with the arguments that begin with its name.

    Returns:
        The exit code: 0.

    Raises:
        InputError: it fails.
        KeyboardInterrupt: someone pressed Ctrl-C; nothing is written.
    """
    made = parser(
        prog="python -m styletransfer distill",
        description="Leave residual blocks out of a pack, and let what is left learn to paint as the whole does: the "
        "same pictures in less time. The pack is written at the end.",
    )
    add = made.add_argument
    add("pack", metavar="PACK", help="a style pack: its folder, or org/name[@revision] on the Hub")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="where the new pack goes")
    add("--blocks", type=count, default=3, metavar="N", help="residual blocks to keep (default: %(default)s)")
    add("--student", metavar="PACK", help="a pack that was distilled before, to go on with")
    add("--steps", type=count, default=1600, metavar="N", help="crops to learn from (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="of the crops (default: %(default)s)")
    add_photos(made, "to paint")
    add("--content-network-weights", metavar="FILE", help="safetensors file of SqueezeNet 1.1 (default: torchvision's)")
    add("--debug", action="store_true", help="show a traceback with an error")
    return _distill(made.parse_args(arguments[1:]))


def _distill(options: argparse.Namespace) -> int:
    # Modules that need torch are imported here, so that --help and mistyped arguments are answered at once.
    from styletransfer.hub.repos import resolve_pack
    from styletransfer.learning.distill import LAYERS, Distillation, save_distilled
    from styletransfer.learning.learner import shipped_photos
    from styletransfer.models.features import DownloadError, Features
    from styletransfer.packs.folder import load_pack
    from styletransfer.painter import place_of

    began = time.monotonic()
    _check_output(options.output)
    pack = Path(resolve_pack(options.pack))
    teacher = load_pack(pack, options.pack)
    photos = photo_files(options.photos) if options.photos else shipped_photos()
    try:
        features = Features("squeezenet1_1", LAYERS, options.content_network_weights)
    except DownloadError as error:
        raise InputError(
            "The weights of {network} cannot be downloaded ({reason}): give a file with --content-network-weights.",
            network=error.network,
            reason=error.reason,
        ) from error
    begun = load_pack(Path(resolve_pack(options.student)), options.student) if options.student else None
    distillation = Distillation(
        teacher, options.blocks, photos, features, begun=begun, device=place_of()[0], seed=options.seed
    )
    blocks = f"{options.blocks} residual block{'s' * (options.blocks > 1)}"
    with stoppable(distillation.learn(options.steps)) as steps:
        say(f"{teacher.config['blocks']} residual blocks to {options.blocks}, from {len(photos)} photos")
        with tqdm(total=1.0, bar_format=BAR, disable=None) as bar:  # None: no bar unless on a terminal
            for terms in steps:
                bar.update(distillation.steps / options.steps - bar.n)
                bar.set_postfix_str(f"{distillation.steps} steps, {127.5 * terms['pixels']:.1f} of 255 from the whole")
    save_distilled(options.output, pack, distillation, time.monotonic() - began)
    say(f"pack: {options.output} ({blocks} in place of {teacher.config['blocks']})")
    return 0


def _check_output(folder: Path) -> None:
    """Check before minutes of work that nothing lies where the pack goes, and that its parent is there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("{folder} is there already: name another.", folder=folder)
    check_parent(folder)
