"""The scores of all shipped packs, from their evaluation.json, in benchmarks/quality.md and, shorter, in the README.

python scripts/write_scores.py
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone that was never installed

from styletransfer.evaluation.report import table

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(?<=<!-- quality -->\n).*?(?=<!-- end of quality -->)", re.DOTALL)


def main() -> None:
    """Read, join, write."""
    numbers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("styles/*/evaluation.json"))]
    if len({(each["photos"], each["long_side"]) for each in numbers}) != 1:
        raise SystemExit("the packs were measured on different photos: evaluate them alike first")
    styles = {name: found for each in numbers for name, found in each["styles"].items()}
    notes = list(dict.fromkeys(note for each in numbers for note in each["notes"]))
    joined = {**numbers[0], "styles": styles, "notes": notes}
    (ROOT / "benchmarks" / "quality.md").write_text(table(joined), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(lambda _: short_table(joined), readme.read_text(encoding="utf-8")), encoding="utf-8")


def short_table(numbers: dict[str, Any]) -> str:
    """One row per style: brushwork, content and faults of its paintings."""
    lines = [
        f"Means over {numbers['photos']} photos that training never saw, long side {numbers['long_side']}. Brushwork",
        "has its colors taken away: 0 is the photo in other colors, 1 is the painting. Flat: in calm places;",
        "deep: shapes, in deep features; strokes: in early features. Content is LPIPS to the photo: less is nearer.",
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
