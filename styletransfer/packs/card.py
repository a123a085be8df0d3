"""The model card of a pack, rendered from the pack's other files. Text in those files is never rendered as markup."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCard, ModelCardData, hf_hub_url

from styletransfer.errors import InputError, first_line
from styletransfer.packs.contents import (
    CARD,
    COMMAND,
    CONFIG,
    DISCOVERY_TAG,
    EVALUATION,
    PHOTO,
    PROGRESS,
    PROJECT,
    RECIPE,
    RUN,
    SAMPLES,
    is_style_table,
    read_json,
)

BLOCK = "styletransfer"  # our key in the card's YAML: what a search shows without reading the weights
PLACE = "this/folder"  # stands for the repository until the pack is pushed to one
LIMITS = """\
The pack turns photos into paintings, for fun and for art. A small network imitates how the paintings look: its results
are not works of the painters named here and must not be presented as such. Faces and fine print lose detail, small
photos get coarse strokes, and a style that was trained on one painting has only the colors of that painting."""


class Measure(NamedTuple):
    """How a number of evaluation.json is named on the Hub and in the card, and with how many digits it is shown."""

    kind: str
    label: str  # ends in an arrow: whether higher or lower is better
    digits: str = ".3f"


MEASURES = {
    "flat": Measure("brushwork-flat", "brushwork in calm places ↑", ".2f"),
    "deep": Measure("brushwork-deep", "brushwork, deep features ↑", ".2f"),
    "strokes": Measure("brushwork-strokes", "brushwork, early features ↑", ".2f"),
    "content": Measure("lpips", "content (LPIPS) ↓"),
    "ssim": Measure("ssim", "structure (SSIM) ↑", ".2f"),
    "patches": Measure("sliced-wasserstein", "patches (sliced Wasserstein, gray levels) ↓", ".1f"),
    "frechet": Measure("frechet-squeezenet", "collection (Frechet, SqueezeNet) ↓", ".1f"),
    "frechet_closed": Measure("frechet-closed", "share of the way to the collection ↑", ".0%"),
    "kid": Measure("kid", "KID ↓", ".4f"),
    "fid": Measure("fid", "FID ↓", ".1f"),
    "art_fid": Measure("art-fid", "ArtFID ↓", ".1f"),
}

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_URL = re.compile(r"https://[\w.-]+/[\w./-]+", re.ASCII)
_MARKUP = "<>&|[]`*_~$\\!"


def write_card(folder: Path) -> None:
    """Write README.md of a pack from its other files; an older one is replaced.

    Raises:
        InputError: config.json lists no styles, or a JSON file of the pack cannot be read.
    """
    (folder / CARD).write_text(render_card(folder), encoding="utf-8")


def render_card(folder: Path) -> str:
    """The text of the card; see `write_card`."""
    styles = _styles(folder)
    recipe, run, evaluation = (read_json(folder, name) for name in (RECIPE, RUN, EVALUATION))
    shown = [name for name in (PHOTO, *styles) if (folder / SAMPLES / f"{name}.webp").is_file()]
    sections = [
        _front_matter(styles, shown, recipe, run, evaluation),
        f"# {plain(pack_title(styles))}\n\nOne network that turns photos into paintings, in these styles.",
        _progress(run),
        "<Gallery />" if shown else "",
        _style_table(styles, shown, named_texts(recipe.get("note"))),
        _scores(evaluation),
        _usage(next(iter(styles)), run),
        f"## Intended use and limits\n\n{LIMITS}",
        _making(recipe, run),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def card_for_repo(text: str, repo_id: str, styles: Mapping[str, str]) -> str:
    """The card as it is pushed to the Hub, with the repository's name, a thumbnail and the tag that a search looks for.

    Raises:
        InputError: the card was edited by hand and its YAML is broken.
    """
    try:
        card = ModelCard(text)
        tags = list(card.data.tags or [])
    except Exception as error:  # the parser raises many classes
        raise InputError(f"The YAML at the top of {CARD} is invalid: {first_line(error)}. Correct it.") from error
    card.data.tags = tags if DISCOVERY_TAG in tags else [DISCOVERY_TAG, *tags]
    card.data.library_name = card.data.library_name or "styletransfer"
    card.data.thumbnail = hf_hub_url(repo_id, f"{SAMPLES}/{next(iter(styles))}.webp")
    card.text = card.text.replace(PLACE, repo_id)
    return str(card)


def pack_title(styles: Mapping[str, str]) -> str:
    """The title of a pack, made from the titles of its first three styles."""
    first, rest = list(styles.values())[:3], len(styles) - 3
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")


def plain(text: str) -> str:
    """Text escaped for one line of Markdown: no markup, no table cells, no invisible characters."""
    return "".join(f"&#{ord(c)};" if c in _MARKUP else c for c in _one_line(text))


def _one_line(text: str) -> str:
    """The text without line breaks, control characters and marks that change the direction of writing."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


# ---------------------------------------------------------------- what the card is made from


def _styles(folder: Path) -> dict[str, str]:
    styles = read_json(folder, CONFIG).get("styles")
    if not is_style_table(styles):
        raise InputError(f"{folder} is not a style pack: its {CONFIG} lists no styles with name and title.")
    return dict(styles)


def _datasets(run: Mapping[str, Any]) -> list[str]:
    """The Hub datasets that the run recorded. Names alone do not tell: `photos/monet` may be a folder or a dataset."""
    return [name for name in _texts(run.get("datasets")) if _HUB_ID.fullmatch(name)]


def _measured(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Style -> measure -> score, in the order of MEASURES; styles without scores are left out."""
    styles = evaluation.get("styles")
    rows = {name: each for name, each in styles.items() if isinstance(each, dict)} if isinstance(styles, dict) else {}
    found = {
        name: {measure: float(each[measure]) for measure in MEASURES if _is_number(each.get(measure))}
        for name, each in rows.items()
    }
    return {name: scores for name, scores in found.items() if scores}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _photos_measured_on(evaluation: Mapping[str, Any]) -> str:
    return f"{evaluation.get('photos', 'some')} photos that training never saw"


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []


def named_texts(value: Any) -> dict[str, str]:
    """["name=text", ...] -> {name: text}, from a value out of JSON; entries that are not texts are left out."""
    return {name: text for name, _, text in (item.partition("=") for item in _texts(value))}


# ---------------------------------------------------------------- its sections


def _front_matter(
    styles: Mapping[str, str],
    shown: Sequence[str],
    recipe: Mapping[str, Any],
    run: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> str:
    results = _results(styles, evaluation)
    captions = {PHOTO: "The photo", **styles}
    data = ModelCardData(
        license=str(recipe.get("license", "mit")),
        library_name="styletransfer",
        pipeline_tag="image-to-image",
        tags=[DISCOVERY_TAG, "style-transfer", "gan"],
        datasets=_datasets(run) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=pack_title(styles),
        eval_results=results or None,
        widget=[{"text": captions[name], "output": {"url": f"{SAMPLES}/{name}.webp"}} for name in shown] or None,
        **{BLOCK: _block(styles, run)},
    )
    return f"---\n{data.to_yaml()}\n---"


def _block(styles: Mapping[str, str], run: Mapping[str, Any]) -> dict[str, Any]:
    """What a search reads: the styles, and how far the training is where it has not ended."""
    block: dict[str, Any] = {"styles": [{"name": name, "title": title} for name, title in styles.items()]}
    return block | ({PROGRESS: run[PROGRESS]} if isinstance(run.get(PROGRESS), str) else {})


def _results(styles: Mapping[str, str], evaluation: Mapping[str, Any]) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="image-to-image",
            task_name=f"Style transfer: {styles.get(style, style)}",
            dataset_type="photos",
            dataset_name=_photos_measured_on(evaluation),
            dataset_config=style,  # else the Hub's classes merge all styles into one result
            metric_type=MEASURES[measure].kind,
            metric_name=MEASURES[measure].label,
            metric_value=round(score, 4),
        )
        for style, scores in _measured(evaluation).items()
        for measure, score in scores.items()
    ]


def _style_table(styles: Mapping[str, str], shown: Sequence[str], notes: Mapping[str, str]) -> str:
    before = [f"![The photo]({SAMPLES}/{PHOTO}.webp)"] if PHOTO in shown else []
    head = [*(["photo"] if before else []), "sample", "style", "title", "painting"]
    lines = [head, ["---"] * len(head)]
    for name, title in styles.items():
        after = f"![{plain(title)}]({SAMPLES}/{name}.webp)" if name in shown else ""
        lines.append([*before, after, f"`{name}`", plain(title), plain(notes.get(name, ""))])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _scores(evaluation: Mapping[str, Any]) -> str:
    measured = _measured(evaluation)
    columns = [measure for measure in MEASURES if any(measure in scores for scores in measured.values())]
    if not columns:
        return ""
    head = ["style", *(MEASURES[measure].label for measure in columns)]
    lines = [head, ["---"] * len(head)]
    for name, scores in measured.items():
        shown = [format(scores[m], MEASURES[m].digits) if m in scores else "" for m in columns]
        lines.append([plain(name), *shown])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return (
        f"## Measured on {plain(_photos_measured_on(evaluation))}\n\n{table}\n\n↓ lower is better, ↑ higher is better."
    )


def _usage(style: str, run: Mapping[str, Any]) -> str:
    url = run.get(PROJECT)
    known = isinstance(url, str) and _URL.fullmatch(url)
    project = f"[styletransfer]({url})" if known else "styletransfer"
    return f"""## Use

The pack needs the project {project}: in a copy of its source, run `pip install .` once.

```python
from styletransfer import StyleTransferPipeline

pipeline = StyleTransferPipeline.from_pretrained("{PLACE}")
pipeline("photo.jpg", style="{style}").save("painting.png")
```

```
python -m styletransfer photo.jpg --pack {PLACE} --style {style} -o painting.png
```"""


def _progress(run: Mapping[str, Any]) -> str:
    progress = run.get(PROGRESS)
    return f"**Unfinished: this pack is from {plain(progress)} of its training.**" if isinstance(progress, str) else ""


def _making(recipe: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """How to train the pack again: the command, and the facts of the run that made it."""
    lines, command = [], run.get(COMMAND)
    if isinstance(command, str):
        lines += [f"Learned from one painting; every setting is in `{RECIPE}`.", "", f"    {_one_line(command)}", ""]
    elif recipe:
        steps = f"up to {run[PROGRESS]}" if run.get(PROGRESS) else f"for {recipe.get('steps', '?')} steps"
        lines += [f"Trained {plain(steps)}; every setting is in `{RECIPE}`.", ""]
        lines += ["```", f"accelerate launch train_accelerate.py --config {RECIPE}", "```", ""]
    lines += [
        f"- {plain(name)}: {plain(text)}" for name, text in run.items() if isinstance(text, str) and name != COMMAND
    ]
    datasets = _datasets(run)
    sources = [("photos", text) for text in _texts(recipe.get("photos"))]
    sources += [(f"paintings of {name}", source) for name, source in named_texts(recipe.get("style")).items()]
    for what, text in sources:
        # Only the last part of a local path is shown: the rest is private and of no use to a reader.
        lines.append(
            f"- {plain(what)}: {plain(text if re.split('[@:]', text)[0] in datasets else PurePath(text).name)}"
        )
    return "\n".join(["## How it was made", "", *lines]) if lines else ""
