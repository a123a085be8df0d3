"""From the scores of single pictures to a table: means with confidence intervals, and distances of collections."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from styletransfer.evaluation import distributions
from styletransfer.evaluation.meter import Score

PAINTED = "painted"
PICTURES = ("photo_itself", "colors_only", PAINTED)  # two baselines, and the paintings of the pack
MEANS = ("flat", "deep", "strokes", "content", "style", "ssim", "patches", "clipped", "color_shift")
CELL = 256  # pixels, side of a square of the figure
LABEL = 16  # pixels, height of the title above a column


def summary(scores: Sequence[Score], baseline: Sequence[Score], seed: int) -> dict[str, Any]:
    """Means over photos with 95 % confidence intervals, and the maximum of grid and border.

    Args:
        scores: one per photo, all of the same kind of picture.
        baseline: the scores of the photos themselves, in the same order; "closed" is a share of their style distance.
        seed: of the bootstrap.
    """
    columns = {name: [getattr(score, name) for score in scores] for name in MEANS}
    columns = {name: values for name, values in columns.items() if None not in values}
    row: dict[str, Any] = {name: fmean(values) for name, values in columns.items()}
    intervals = {name: distributions.bootstrap_interval([values], _mean, seed) for name, values in columns.items()}
    if "style" in columns:
        before = [score.style for score in baseline]
        row["closed"] = 1 - row["style"] / (fmean(before) or 1.0)  # the mean is 0 where the photo is the painting
        intervals["closed"] = distributions.bootstrap_interval([columns["style"], before], _closed, seed)
    row["grid_max"] = max(score.grid for score in scores)
    row["grid_periods_max"] = {
        period: max(score.grid_periods[period] for score in scores) for period in scores[0].grid_periods
    }
    row["border_mean"] = fmean(score.border for score in scores)
    row["border_max"] = max(score.border for score in scores)
    row["intervals"] = {name: list(interval) for name, interval in intervals.items()}
    return row


def collection_rows(
    pictures: Mapping[str, Mapping[str, Tensor]],
    paintings: Mapping[str, Tensor],
    rows: Mapping[str, dict[str, Any]],
    seed: int,
) -> dict[str, Any]:
    """Add to each row the distance of its pictures to a collection of paintings.

    Args:
        pictures: kind -> network ("frechet", "inception") -> (photos, features).
        paintings: network -> (paintings, features).
        rows: kind -> row. "frechet", "frechet_closed", "kid", "fid" and "art_fid" are added as far as there are weights
            and enough pictures.

    Returns:
        "floor": the distances between two halves of the paintings, and how many were compared; "refused": why FID is
        not reported.
    """
    floor: dict[str, Any] = {"paintings": len(next(iter(paintings.values()), ()))}
    found: dict[str, Any] = {"floor": floor}
    if "frechet" in paintings:
        for kind, row in rows.items():
            way = distributions.frechet_halves(
                pictures["photo_itself"]["frechet"], pictures[kind]["frechet"], paintings["frechet"]
            )
            row["frechet"] = way["painted"]
            row.update({"frechet_closed": way["closed"]} if "closed" in way else {})
        floor |= {"frechet": way["floor"], "pictures": way["pictures"], "references": way["references"]}
    if "inception" in paintings:
        references = paintings["inception"]
        floor["kid"] = distributions.kernel_distance(references[1::2], references[::2], seed)
        reason = distributions.why_no_fid(len(pictures[PAINTED]["inception"]), len(references))
        found |= {"refused": reason} if reason else {}
        for kind, row in rows.items():
            row["kid"] = distributions.kernel_distance(pictures[kind]["inception"], references, seed)
            if reason is None:
                row["fid"] = distributions.frechet_distance(pictures[kind]["inception"], references)
                row.update({"art_fid": distributions.art_fid(row["content"], row["fid"])} if "content" in row else {})
    return found


def table(numbers: Mapping[str, Any]) -> str:
    """The content of evaluation.json as a Markdown table: the baselines and paintings of each style, and the notes."""
    lines = [
        f"Means over {numbers['photos']} photos, long side {numbers['long_side']} pixels, with 95 % confidence "
        "intervals in brackets. Brushwork is measured without color (0: a recolored photo, 1: the painting itself): "
        "flat in calm places of the photo, deep in deep features, strokes in early features. Content: LPIPS distance "
        "to the photo; style: Gram distance to the painting (lower is better for both); closed: the share of the "
        "photo's style distance that is gone; SSIM: structure that is kept; patches: sliced Wasserstein distance to "
        "patches of the painting, in gray levels; grid: in gray levels; clipped: share of pixels at black or white; "
        "color: shift of the mean color in CIELAB.",
        "",
        "| style | picture | flat | deep | strokes | content | style | closed | SSIM | patches | grid, worst "
        "| border, mean | border, worst | clipped | color |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for style, found in numbers["styles"].items():
        for kind in PICTURES:
            row = found if kind == PAINTED else found[kind]
            cells = [_with_interval(row, measure, ".2f") for measure in ("flat", "deep", "strokes")]
            cells += [
                _with_interval(row, "content"),
                _with_interval(row, "style"),
                _with_interval(row, "closed", ".0%"),
            ]
            cells += [f"{row['ssim']:.2f}", f"{row['patches']:.1f}", f"{row['grid_max']:.2f}"]
            cells += [f"{row['border_mean']:.2f}", f"{row['border_max']:.2f}"]
            cells += [f"{row['clipped']:.1%}", f"{row['color_shift']:.1f}"]
            lines.append(" | ".join([f"| {style}", _title(kind), *cells]) + " |")
    lines += _collection_lines(numbers["styles"])
    lines += [line for note in numbers["notes"] for line in ("", f"Note: {note}.")]
    return "\n".join(lines) + "\n"


def contact_sheet(columns: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """One column per title, with its pictures in squares from top to bottom; shorter columns end at the bottom, too."""
    rows = max(len(pictures) for pictures in columns.values())
    sheet = Image.new("RGB", (CELL * len(columns), LABEL + CELL * rows), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (title, pictures) in enumerate(columns.items()):
        draw.text((column * CELL + 4, 2), title, fill="black")
        for row, picture in enumerate(pictures, start=rows - len(pictures)):
            left, top = ((CELL - side) // 2 for side in picture.size)
            sheet.paste(picture, (column * CELL + left, LABEL + row * CELL + top))
    return sheet


def _collection_lines(styles: Mapping[str, Any]) -> list[str]:
    compared = {style: found for style, found in styles.items() if {"frechet", "kid"} & found.keys()}
    if not compared:
        return []
    lines = [
        "",
        "Collections (lower is better): Frechet distance of SqueezeNet features to every second painting. The floor is "
        "the distance of the other paintings, and closed the share of the way from the photos to the floor.",
        "",
        "| style | picture | pictures | Frechet | closed | KID | FID | ArtFID |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for style, found in compared.items():
        for kind in (*PICTURES, "floor"):
            row = found if kind == PAINTED else found[kind]
            cells = [str(found["floor"].get("pictures", "—"))]
            specs = {"frechet": ".1f", "frechet_closed": ".0%", "kid": ".4f", "fid": ".1f", "art_fid": ".1f"}
            cells += [format(row[key], spec) if key in row else "—" for key, spec in specs.items()]
            lines.append(" | ".join([f"| {style}", _title(kind), *cells]) + " |")
    return lines


def _with_interval(row: Mapping[str, Any], name: str, spec: str = ".3f") -> str:
    if name not in row:
        return "—"
    low, high = row["intervals"][name]
    short = spec if spec.endswith("%") else ".2f"
    return format(row[name], spec) + ("" if low == high else f" [{low:{short}}, {high:{short}}]")


def _title(kind: str) -> str:
    return {"photo_itself": "photo itself", "colors_only": "colors only", "floor": "other paintings"}.get(kind, kind)


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=1)


def _closed(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    distance = before.mean(axis=1)
    return 1 - after.mean(axis=1) / np.where(distance == 0, 1.0, distance)
