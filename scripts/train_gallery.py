"""Train the packs of recipes/ one after the other, distill and measure them, and copy them to styles/.

A stopped run is continued.

python scripts/train_gallery.py --photos unseen/ --lpips-weights squeeze.pth --held-out monet=monet-held-out

The recipes name their sources by relative paths: start the script in the folder that these are relative to. The first
recipe is trained first, because the others start from its weights.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.packs.card import write_card
from styletransfer.training.checkpoints import checkpoint_folder
from styletransfer.training.config import TrainingConfig, load_config, pairs

ROOT = Path(__file__).resolve().parents[1]
COMMON = ROOT / "recipes" / "common.yaml"
FIRST = ROOT / "recipes" / "starry-night.yaml"
BLOCKS = 3  # residual blocks that a pack which ships keeps
CROPS = 1600  # that it learns from to paint with so few


def main() -> None:
    """Train, measure and publish the pack of each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "recipes", nargs="*", type=Path, default=recipes(), help="recipes to train (default: all in recipes/)"
    )
    parser.add_argument(
        "--photos", required=True, metavar="SOURCE", help="photos to measure on, which training never saw"
    )
    parser.add_argument(
        "--lpips-weights", metavar="FILE", help="weights of LPIPS's linear layers, needed to measure content"
    )
    parser.add_argument(
        "--held-out",
        action="append",
        default=[],
        metavar="NAME=SOURCE",
        help="paintings of style NAME to measure against in place of those it was trained on; repeat for more styles",
    )
    options = parser.parse_args()
    for recipe in options.recipes:
        publish(recipe, options.photos, options.lpips_weights, pairs("--held-out", options.held_out))


def recipes() -> list[Path]:
    """All recipes of this repository, the one that the others start from first."""
    others = sorted(path for path in COMMON.parent.glob("*.yaml") if path not in (COMMON, FIRST))
    return [FIRST, *others]


def publish(recipe: Path, photos: str, lpips_weights: str | None, held_out: Mapping[str, str]) -> None:
    """Train a pack by its recipe, distill and measure it, write its card, and copy it to styles/."""
    config = load_config(COMMON, recipe)
    train(config, recipe)
    pack = distilled(config)
    measure(config, pack, photos, lpips_weights, held_out)
    write_card(pack)
    place = ROOT / "styles" / recipe.stem
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(pack, place)
    print(f"{recipe.stem}: {place}")


def train(config: TrainingConfig, recipe: Path) -> None:
    """Train, from the newest checkpoint if there is one; do nothing if the pack is already there."""
    if Path(config.output_dir, "pack").exists():
        return
    resume = ["--resume"] if any(checkpoint_folder(config).glob("step-*")) else []
    launch = [sys.executable, "-m", "accelerate.commands.launch", ROOT / "train_accelerate.py"]
    run([*launch, "--config", COMMON, "--config", recipe, *resume])


def distilled(config: TrainingConfig) -> Path:
    """The pack with fewer residual blocks; it is made where it is not there yet."""
    whole, pack = (Path(config.output_dir, name) for name in ("pack", "distilled"))
    if config.blocks <= BLOCKS:
        return whole
    if not pack.exists():
        photos, weights = config.photos[0], config.content_network_weights
        sizes = ["--blocks", str(BLOCKS), "--steps", str(CROPS)]
        files = ["--photos", photos, *(("--content-network-weights", weights) if weights else ())]
        run([sys.executable, "-m", "styletransfer", "distill", whole, "-o", pack, *sizes, *files])
    return pack


def measure(
    config: TrainingConfig, pack: Path, photos: str, lpips_weights: str | None, held_out: Mapping[str, str]
) -> None:
    """Write the pack's evaluation.json, measured against held-out paintings where given, else those of the training."""
    files = {
        "--style-network-weights": config.style_network_weights,
        "--content-network-weights": config.content_network_weights,
        "--lpips-weights": lpips_weights,
    }
    weights = [word for flag, file in files.items() if file for word in (flag, file)]
    sources = {name: held_out.get(name, source) for name, source in config.style_sources.items()}
    styles = [word for name, source in sources.items() for word in ("--style", f"{name}={source}")]
    outputs = ["--json", pack / "evaluation.json", "--figure", Path(config.output_dir, "figure.png")]
    run([sys.executable, "-m", "styletransfer", "evaluate", pack, "--photos", photos, *styles, *weights, *outputs])


def run(command: list[str | Path]) -> None:
    """Run a program in the current folder; raises CalledProcessError if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([str(word) for word in command], check=True, env=environment)


if __name__ == "__main__":
    main()
