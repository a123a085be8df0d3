"""Train, measure and publish into styles/ every pack of recipes/, one after the other; a run that was stopped goes on.

python scripts/train_gallery.py --photos unseen/ --lpips-weights squeeze.pth --held-out monet=monet-held-out

Start it where the folders that the recipes name are.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.evaluation.calibrate import change_weights
from styletransfer.models.generator import Generator
from styletransfer.packs.card import write_card
from styletransfer.packs.contents import RUN
from styletransfer.packs.folder import load_pack
from styletransfer.training.config import load_config, pairs
from styletransfer.training.setup import checkpoint_folder, initialize

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ("first", "second", "third", "fourth")  # in this order: each may start from an earlier one
PREPARED_BY = {  # trained before them, in this order, and not shipped
    "first": ("earlier/first",),
    "second": ("earlier/second",),
    "third": ("earlier/third",),
    "fourth": ("objectives/perceptual", "earlier/fourth"),
}
# Half of each weight stays as it was before the last phase, which gained in one way and lost in another; the mean has
# the best of both. Not calibrated, because more contrast would take from the content and raise the border.
AVERAGED = ("first", "fourth")


def main() -> None:
    """Each recipe: training, evaluation, card, and the pack's place in styles/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", type=Path, default=[path_of(name) for name in RECIPES])
    parser.add_argument("--photos", required=True, metavar="SOURCE", help="photos that training never saw")
    parser.add_argument("--lpips-weights", metavar="FILE", help="heads of LPIPS, for the measure of content")
    parser.add_argument("--held-out", action="append", default=[], metavar="NAME=SOURCE", help="to measure by")
    options = parser.parse_args()
    for recipe in options.recipes:
        publish(recipe, options.photos, options.lpips_weights, pairs("--held-out", options.held_out))


def publish(recipe: Path, photos: str, lpips_weights: str | None, held_out: dict[str, str]) -> None:
    """One pack, from its recipe to styles/."""
    config = load_config(recipe)
    for name in PREPARED_BY.get(recipe.stem, ()):
        train(path_of(name))
    train(recipe)
    pack = Path(config.output_dir, "pack")
    paintings = config.style_sources
    sources = {name: held_out.get(name, source) for name, source in paintings.items()}
    weights = [
        word
        for flag, file in (
            ("--style-network-weights", config.style_network_weights),
            ("--content-network-weights", config.content_network_weights),
            ("--lpips-weights", lpips_weights),
        )
        if file
        for word in (flag, file)
    ]
    command = [sys.executable, "-m", "styletransfer"]
    if recipe.stem in AVERAGED:
        average(pack, Path(config.initialize_from))
    else:
        run([*command, "calibrate", pack, "--photos", config.photos[0], *style_flags(paintings), *weights])
    measure = [*command, "evaluate", pack, "--photos", photos, *style_flags(sources), *weights]
    run([*measure, "--json", pack / "evaluation.json", "--figure", Path(config.output_dir, "figure.png")])
    write_card(pack)
    place = ROOT / "styles" / recipe.stem
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(pack, place)
    print(f"{recipe.stem}: {place}")


def path_of(name: str) -> Path:
    """A recipe of this repository."""
    return ROOT / "recipes" / f"{name}.yaml"


def train(recipe: Path) -> None:
    """From the newest checkpoint where there is one."""
    config = load_config(recipe)
    resume = ["--resume"] if any(checkpoint_folder(config).glob("step-*")) else []
    launch = [sys.executable, "-m", "accelerate.commands.launch", ROOT / "train_accelerate.py"]
    run([*launch, "--config", recipe, *resume])


def average(pack: Path, before: Path) -> None:
    """The mean of a pack's weights and of those that its training started from (Wortsman 2022, section 3)."""
    trained = load_pack(pack)
    earlier = Generator(styles=trained.styles, channels=trained.config["channels"], blocks=trained.config["blocks"])
    initialize(earlier, load_pack(before))
    for weight, old in zip(trained.parameters(), earlier.parameters(), strict=True):
        weight.data.lerp_(old.data, 0.5)
    run = json.loads((pack / RUN).read_text(encoding="utf-8"))
    change_weights(pack, trained, {**run, "weights": "half of them from before the last phase"})


def style_flags(sources: Mapping[str, str]) -> list[str]:
    """--style NAME=SOURCE of each."""
    return [word for name, source in sources.items() for word in ("--style", f"{name}={source}")]


def run(command: list[str | Path]) -> None:
    """A program that must end well, started where this one was."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([str(word) for word in command], check=True, env=environment)


if __name__ == "__main__":
    main()
