"""Write the scores of all shipped packs to benchmarks/quality.md, to the README, and to the card of each pack.

python scripts/write_scores.py
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.evaluation.report import table
from styletransfer.packs.card import write_card
from styletransfer.packs.contents import EVALUATION
from styletransfer.paths import STYLES

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(?<=<!-- quality -->\n).*?(?=<!-- end of quality -->)", re.DOTALL)


def main() -> None:
    """Read every evaluation.json, merge the numbers, and write the tables."""
    packs = [path.parent for path in sorted(STYLES.glob("*/config.json"))]
    for pack in packs:
        write_card(pack)
    files = [pack / EVALUATION for pack in packs if (pack / EVALUATION).is_file()]
    numbers = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    for path, each in zip(files, numbers, strict=True):  # without spaces, so that all packs stay below 20 MB
        path.write_text(json.dumps(each, separators=(",", ":")) + "\n", encoding="utf-8")
    if len({(each["photos"], each["long_side"]) for each in numbers}) != 1:
        raise SystemExit("error: The packs were measured on different photos: evaluate all of them on the same ones.")
    styles = {name: found for each in numbers for name, found in each["styles"].items()}
    notes = list(dict.fromkeys(note for each in numbers for note in each["notes"]))
    joined = {**numbers[0], "styles": styles, "notes": notes}
    (ROOT / "benchmarks" / "quality.md").write_text(table(joined), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(lambda _: short_table(joined), readme.read_text(encoding="utf-8")), encoding="utf-8")


def short_table(numbers: dict[str, Any]) -> str:
    """One row per style: the brushwork, content and faults of its paintings."""
    lines = [
        f"Means over {numbers['photos']} photos that training never saw, long side {numbers['long_side']} pixels.",
        "Brushwork is measured without color: 0 is a recolored photo, 1 the painting itself. *Flat*: in calm places;",
        "*deep*: in deep features (shapes); *strokes*: in early features. *Content* is the LPIPS distance to photos,",
        "lower is better. *Grid* is in gray levels, where 1 is visible; a *border* of 1 is as in the photo.",
        "",
        "| style | flat | deep | strokes | content | grid, worst | border, mean |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in numbers["styles"].items():
        cells = [f"{found[measure]:.2f}" for measure in ("flat", "deep", "strokes")]
        cells += [f"{found['content']:.3f}", f"{found['grid_max']:.2f}", f"{found['border_mean']:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
