"""The model card of a pack, made from the pack's own files; whatever strangers wrote into those stays plain text."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from styletransfer.errors import InputError
from styletransfer.packs.contents import (
    CARD,
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
)

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

BLOCK = "styletransfer"  # our part of the card's YAML: what a search needs to know without the weights
PLACE = "this/folder"  # stands for the repository in the card of a folder that has none yet
LIMITS = """\
For turning photos into paintings, for fun and for art. The styles imitate how pictures look, on a small network: what
it paints is not a work of the painters named here and should not be passed off as one. Faces and fine print lose
detail, small photos show coarse strokes, and a style learned from one painting knows that painting's colors only."""


class Measure(NamedTuple):
    """How a number of evaluation.json is called on the Hub and in the card, and how many digits of it mean anything."""

    kind: str
    label: str  # with an arrow towards the better
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
    """(Re)write README.md of a pack from its other files.

    Raises:
        InputError: no or foreign config; a recipe, an evaluation or a run that is no JSON object.
    """
    (folder / CARD).write_text(render_card(folder), encoding="utf-8")


def render_card(folder: Path) -> str:
    """The text of the card; see `write_card`."""
    styles, recipe, run = _styles(folder), _read_object(folder / RECIPE), _read_object(folder / RUN)
    evaluation = _read_object(folder / EVALUATION)
    shown = [name for name in (PHOTO, *styles) if (folder / SAMPLES / f"{name}.webp").is_file()]
    sections = [
        _front_matter(styles, shown, recipe, run, evaluation),
        f"# {plain(pack_title(styles))}\n\nPhoto in, painting out: one network, these styles.",
        _progress(run),
        "<Gallery />" if shown else "",
        _style_table(styles, shown, _pairs(recipe.get("note"))),
        _scores(evaluation),
        _usage(next(iter(styles)), run),
        f"## Intended use and limits\n\n{LIMITS}",
        _making(recipe, run),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def card_for_repo(text: str, repo_id: str, styles: Mapping[str, str]) -> str:
    """The card as it goes to the Hub: it names its repository, has a thumbnail, and bears the tag it is found by.

    Raises:
        InputError: the YAML at the top of a card that was edited by hand is broken.
    """
    from huggingface_hub import ModelCard, hf_hub_url

    try:
        card = ModelCard(text)
        tags = list(card.data.tags or [])
    except Exception as error:  # YAML's errors are of many kinds
        raise InputError(f"The top of {CARD} is no YAML of a model card ({_first_line(error)}): mend it.") from error
    card.data.tags = tags if DISCOVERY_TAG in tags else [DISCOVERY_TAG, *tags]
    card.data.library_name = card.data.library_name or "styletransfer"
    card.data.thumbnail = hf_hub_url(repo_id, f"{SAMPLES}/{next(iter(styles))}.webp")
    card.text = card.text.replace(PLACE, repo_id)
    return str(card)


def pack_title(styles: Mapping[str, str]) -> str:
    """What a pack is called: by its first styles."""
    first, rest = list(styles.values())[:3], len(styles) - 3
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")


def plain(text: str) -> str:
    """A stranger's text as one line of Markdown text: no markup, no table cells, nothing unseen."""
    return "".join(f"&#{ord(c)};" if c in _MARKUP else c for c in _one_line(text))


def _one_line(text: str) -> str:
    """Without line ends, control characters and marks that turn the direction of writing."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


# ---------------------------------------------------------------- what the card is made from


def _styles(folder: Path) -> dict[str, str]:
    config = _read_object(folder / CONFIG)
    if not is_style_table(config.get("styles")):
        raise InputError(f"{folder} is no style pack: its {CONFIG} lists no styles by name and title.")
    return dict(config["styles"])


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object.")
    return value


def _datasets(run: Mapping[str, Any]) -> list[str]:
    """The Hub datasets of a run as the run itself told: to other eyes `photos/monet` may be a folder or a dataset."""
    return [name for name in _texts(run.get("datasets")) if _HUB_ID.fullmatch(name)]


def _measured(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Style -> its scores by measure, in the order of MEASURES; a style without any is left out."""
    styles = evaluation.get("styles")
    told = {name: each for name, each in styles.items() if isinstance(each, dict)} if isinstance(styles, dict) else {}
    found = {
        name: {measure: float(each[measure]) for measure in MEASURES if _is_number(each.get(measure))}
        for name, each in told.items()
    }
    return {name: scores for name, scores in found.items() if scores}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _photos_measured_on(evaluation: Mapping[str, Any]) -> str:
    return f"{evaluation.get('photos', 'some')} photos that training never saw"


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []


def _pairs(value: Any) -> dict[str, str]:
    """["name=text", ...] -> {name: text}."""
    return {name: text for name, _, text in (item.partition("=") for item in _texts(value))}


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# ---------------------------------------------------------------- its sections


def _front_matter(
    styles: Mapping[str, str],
    shown: Sequence[str],
    recipe: Mapping[str, Any],
    run: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> str:
    from huggingface_hub import ModelCardData

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
        **{BLOCK: {"styles": [{"name": name, "title": title} for name, title in styles.items()]}},
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(styles: Mapping[str, str], evaluation: Mapping[str, Any]) -> list["EvalResult"]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="image-to-image",
            task_name=f"Style transfer: {styles.get(style, style)}",
            dataset_type="photos",
            dataset_name=_photos_measured_on(evaluation),
            dataset_config=style,  # without it the Hub's classes take all styles for one result
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
    return f"## Measured on {plain(_photos_measured_on(evaluation))}\n\n{table}\n\n↓ less is nearer, ↑ more is."


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
    """How to make it again: the command, and what is known of the run that made it."""
    lines = []
    if recipe:
        steps = f"up to {run[PROGRESS]}" if run.get(PROGRESS) else f"for {recipe.get('steps', '?')} steps"
        lines += [f"Trained {plain(steps)}; every setting is in `{RECIPE}`.", ""]
        lines += ["```", f"accelerate launch train_accelerate.py --config {RECIPE}", "```", ""]
    lines += [f"- {plain(name)}: {plain(text)}" for name, text in run.items() if isinstance(text, str)]
    datasets = _datasets(run)
    sources = [("photos", text) for text in _texts(recipe.get("photos"))]
    sources += [(f"paintings of {name}", source) for name, source in _pairs(recipe.get("style")).items()]
    for what, text in sources:
        # Of a path on somebody's disk only the last name means anything to a reader; the rest is nobody's business.
        lines.append(
            f"- {plain(what)}: {plain(text if re.split('[@:]', text)[0] in datasets else PurePath(text).name)}"
        )
    return "\n".join(["## How it was made", "", *lines]) if lines else ""
