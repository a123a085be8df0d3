"""What a pack's paintings measure on photos that training never saw: a table, the numbers, and the pictures.

    python benchmarks/quality.py styles/PACK --photos photos/ --style the-scream=scream.jpg --weights weights/ \\
        --output quality.md --json quality.json --sheet quality.png

Content is LPIPS to the photo (0 keeps everything), style the Gram distance to the painting (0 is its style). Without a
pack only the photos themselves are measured: no content lost, no style gained, so every painting should beat their
style. The folder of weights holds the three files named below.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer import metrics
from styletransfer.errors import InputError
from styletransfer.features import Features
from styletransfer.images import PICTURE_SUFFIXES, fit_long_side, load_picture, picture_to_tensor, save_picture
from styletransfer.pipeline import StyleTransferPipeline

SQUEEZENET_FILE = "squeezenet1_1_torchvision_features.safetensors"
LPIPS_FILE = "lpips_v0_1_lin_squeeze.safetensors"
VGG_FILE = "vgg19_normalised_conv1_1_to_conv3_1.safetensors"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
COLLECTION = 64  # paintings of a folder, at most, whose mean Gram matrices stand for a style
CELL = 256  # pixels, side of a square of the contact sheet
LABEL = 16  # pixels, height of its line of text


@dataclass(frozen=True)
class Score:
    """One picture's measures; see `styletransfer.metrics` for their definitions."""

    photo: str
    content: float
    style: float
    grid: float
    border: float


class Judge:
    """Measures pictures against their photo and one painting; the networks are loaded once."""

    def __init__(self, weights: Path, device: str) -> None:
        self.device = device
        self.lpips = metrics.Lpips(weights / SQUEEZENET_FILE, weights / LPIPS_FILE).to(device)
        self.vgg = Features("vgg19", STYLE_LAYERS, weights=weights / VGG_FILE, padding="zeros").to(device)

    @torch.inference_mode()
    def grams(self, paintings: Sequence[Image.Image]) -> list[torch.Tensor]:
        """One per layer: the mean over the paintings of a style."""
        each = [metrics.picture_grams(self._tensor(painting), self.vgg) for painting in paintings]
        return [torch.stack(layer).mean(dim=0) for layer in zip(*each, strict=True)]

    @torch.inference_mode()
    def score(self, name: str, painted: Image.Image, photo: Image.Image, grams: Sequence[torch.Tensor]) -> Score:
        painted_tensor, photo_tensor = self._tensor(painted), self._tensor(photo)
        return Score(
            photo=name,
            content=self.lpips(painted_tensor, photo_tensor).item(),
            style=metrics.relative_gram_distance(metrics.picture_grams(painted_tensor, self.vgg), grams),
            grid=metrics.grid_amplitude(painted_tensor),
            border=metrics.border_ratio(painted_tensor, photo_tensor),
        )

    def _tensor(self, picture: Image.Image) -> torch.Tensor:
        return picture_to_tensor(picture).to(self.device)


def evenly_spaced(items: Sequence[Path], count: int) -> list[Path]:
    """`count` of the items, evenly spaced from the first on; all of them where there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def choose_photos(sources: Sequence[Path], photo_list: Path | None, count: int) -> list[Path]:
    """Evenly spaced pick over the sorted photos of `sources` (folders and files), or over those named by the list."""
    found = sorted(path for source in sources for path in _pictures(source))
    if photo_list is not None:
        if not photo_list.is_file():
            raise InputError(f"There is no photo list {photo_list}: give a text file with one name per line.")
        by_name = {path.name: path for path in found}
        names = sorted(line.strip() for line in photo_list.read_text().splitlines() if line.strip())
        absent = [name for name in names if name not in by_name]
        if absent:
            raise InputError(f"The photo list names {absent[0]}, which is not among the photos given.")
        found = [by_name[name] for name in names]
    if not found or count < 1:
        raise InputError("There is no photo to measure: give --photos a folder of pictures and a --count above 0.")
    return evenly_spaced(found, count)


def _pictures(source: Path) -> Iterator[Path]:
    if not source.exists():
        raise InputError(f"There is no photo or folder {source}.")
    if source.is_file():
        yield source
        return
    yield from (path for path in source.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


def parse_style(text: str) -> tuple[str, Path]:
    name, separator, painting = text.partition("=")
    if not (name and separator and painting):
        raise InputError(f"--style {text} is not understood: write NAME=PAINTING, a file or a folder of them.")
    return name, Path(painting)


def mean_scores(scores: Sequence[Score]) -> dict[str, float]:
    """What the table shows: means over photos, and the worst grid and border."""
    return {
        "content": fmean(score.content for score in scores),
        "style": fmean(score.style for score in scores),
        "grid_max": max(score.grid for score in scores),
        "border_mean": fmean(score.border for score in scores),
        "border_max": max(score.border for score in scores),
    }


def table(results: dict[str, dict[str, list[Score]]], photos: int, long_side: int) -> str:
    """Markdown: per style a row for the photos themselves and, with a pack, one for its paintings."""
    lines = [
        f"Means over {photos} photos, long side {long_side}; content: LPIPS to the photo, style: Gram distance to the "
        "painting (both: less is nearer), closed: share of the photo's style distance that is gone, "
        "grid in grey levels.",
        "",
        "| style | picture | content | style | closed | grid, worst | border, mean | border, worst |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for style, by_picture in results.items():
        distance = mean_scores(by_picture["photo itself"])["style"] or 1.0  # 0: the photo is the painting
        for picture, scores in by_picture.items():
            mean = mean_scores(scores)
            lines.append(
                f"| {style} | {picture} | {mean['content']:.3f} | {mean['style']:.3f} "
                f"| {1 - mean['style'] / distance:.0%} | {mean['grid_max']:.2f} "
                f"| {mean['border_mean']:.2f} | {mean['border_max']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def numbers(results: dict[str, dict[str, list[Score]]], photos: int, long_side: int) -> dict[str, Any]:
    """The table's numbers and every single photo's, as a pack's evaluation.json holds them."""
    styles = {}
    for style, by_picture in results.items():
        detailed = {
            picture: {**mean_scores(scores), "each": [asdict(score) for score in scores]}
            for picture, scores in by_picture.items()
        }
        styles[style] = {**detailed.get("painted", {}), "photo_itself": detailed["photo itself"]}
    return {"photos": photos, "long_side": long_side, "styles": styles}


def contact_sheet(columns: dict[str, list[Image.Image]]) -> Image.Image:
    """One column per title, pictures from top to bottom, each fitted into a square."""
    rows = max(len(pictures) for pictures in columns.values())
    sheet = Image.new("RGB", (CELL * len(columns), LABEL + CELL * rows), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (title, pictures) in enumerate(columns.items()):
        draw.text((column * CELL + 4, 2), title, fill="black")
        for row, picture in enumerate(pictures):
            small = fit_long_side(picture, CELL - 4)
            left, top = ((CELL - side) // 2 for side in small.size)
            sheet.paste(small, (column * CELL + left, LABEL + row * CELL + top))
    return sheet


def load_fitted(path: Path, long_side: int) -> Image.Image:
    return fit_long_side(load_picture(path).rgb, long_side)


def measure(args: argparse.Namespace) -> tuple[dict[str, dict[str, list[Score]]], dict[str, list[Image.Image]]]:
    """Paint and measure: scores by style and picture, and the columns of the contact sheet."""
    paths = choose_photos(args.photos, args.photo_list, args.count)
    photos = [load_fitted(path, args.long_side) for path in paths]
    paintings = {
        name: [load_fitted(path, args.long_side) for path in evenly_spaced(sorted(_pictures(source)), COLLECTION)]
        for name, source in map(parse_style, args.style)
    }
    judge = Judge(args.weights, args.device)
    pipeline = StyleTransferPipeline.from_pretrained(args.pack, device=args.device) if args.pack else None
    blank = Image.new("RGB", (CELL, CELL), "white")
    results, columns = {}, {"photo": [blank, *photos]}
    for style, collection in paintings.items():
        grams = judge.grams(collection)
        pictures = {"photo itself": photos}
        if pipeline is not None:
            pictures["painted"] = [pipeline(photo, style) for photo in photos]
        results[style] = {
            title: [judge.score(path.name, *pair, grams) for path, *pair in zip(paths, shown, photos, strict=True)]
            for title, shown in pictures.items()
        }
        columns[style] = [collection[0], *pictures.get("painted", ())]
    return results, columns


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", nargs="?", type=Path, help="style pack; without it only the photos are measured")
    parser.add_argument("--photos", nargs="+", type=Path, required=True, help="folders or files")
    parser.add_argument("--photo-list", type=Path, help="text file, one file name per line: pick among these only")
    parser.add_argument("--style", action="append", required=True, metavar="NAME=PAINTING")
    parser.add_argument("--weights", type=Path, required=True, help=f"folder with {SQUEEZENET_FILE} and the others")
    parser.add_argument("--count", type=int, default=20, help="photos, evenly spaced over the sorted list (20)")
    parser.add_argument("--long-side", type=int, default=512, help="of photos and paintings, in pixels (512)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="write the table here (Markdown)")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--sheet", type=Path, help="write the contact sheet here")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_arguments(argv)
    try:
        results, columns = measure(args)
        photos = len(next(iter(results.values()))["photo itself"])
        text = table(results, photos, args.long_side)
        print(text)
        if args.output:
            args.output.write_text(text)
        if args.json:
            args.json.write_text(json.dumps(numbers(results, photos, args.long_side), indent=2) + "\n")
        if args.sheet:
            save_picture(contact_sheet(columns), args.sheet)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
