"""The model card of a pack, made from the pack's own files; whatever strangers wrote into those stays plain text."""

import json
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from styletransfer.errors import InputError
from styletransfer.pack_files import (
    CARD,
    CONFIG,
    DISCOVERY_TAG,
    EVALUATION,
    RECIPE,
    SAMPLES,
    is_style_table,
)

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

BLOCK = "styletransfer"  # our part of the card's YAML: what a search needs to know without the weights
PLACE = "this/folder"  # stands for the repository in the card of a folder that has none yet
LIBRARIES = ("styletransfer", "torch", "diffusers", "accelerate")
MEASURES = {"content": ("lpips", "content (LPIPS)"), "style": ("gram-distance", "style (Gram distance)")}
LIMITS = """\
For turning photos into paintings, for fun and for art. The styles imitate how pictures look, on a small network: what
it paints is not a work of the painters named here and should not be passed off as one. Faces and fine print lose
detail, small photos show coarse strokes, and a style learned from one painting knows that painting's colors only."""

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)


def write_card(folder: Path, made: Mapping[str, str] | None = None) -> None:
    """(Re)write README.md of a pack from its config, recipe and evaluation.

    Args:
        folder: the pack.
        made: what to say of its making beside the versions of libraries ("hardware", "training time"). What an older
            card said of it is kept when None.

    Raises:
        InputError: no or foreign config, a recipe or evaluation that is no JSON object.
    """
    (folder / CARD).write_text(render_card(folder, made), encoding="utf-8")


def render_card(folder: Path, made: Mapping[str, str] | None = None) -> str:
    """The text of the card; see `write_card`."""
    from huggingface_hub import ModelCardData

    styles, recipe, evaluation = _styles(folder), _read_object(folder / RECIPE), _read_object(folder / EVALUATION)
    made = {**versions(), **made} if made is not None else _made_before(folder) or versions()
    made = {_one_line(name): _one_line(text) for name, text in made.items()}
    title, results = pack_title(styles), _results(styles, evaluation)
    shown = [name for name in styles if (folder / SAMPLES / f"{name}.webp").is_file()]
    data = ModelCardData(
        license=str(recipe.get("license", "mit")),
        library_name="styletransfer",
        pipeline_tag="image-to-image",
        tags=[DISCOVERY_TAG, "style-transfer", "gan"],
        datasets=_datasets(recipe) or None,
        metrics=[kind for kind, _ in MEASURES.values()] if results else None,
        model_name=title,
        eval_results=results or None,
        widget=[{"text": styles[name], "output": {"url": f"{SAMPLES}/{name}.webp"}} for name in shown] or None,
        **{BLOCK: {"styles": [{"name": n, "title": t} for n, t in styles.items()], "made_with": made}},
    )
    sections = [
        f"---\n{data.to_yaml()}\n---",
        f"# {plain(title)}\n\nPhoto in, painting out: one network, these styles.",
        "<Gallery />" if shown else "",
        _style_table(styles, shown, _pairs(recipe.get("note"))),
        _usage(next(iter(styles))),
        f"## Intended use and limits\n\n{LIMITS}",
        _scores(evaluation),
        _making(recipe, made),
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
    return "".join(f"&#{ord(c)};" if c in "<>&|[]`*_\\!~$" else c for c in _one_line(text))


def _one_line(text: str) -> str:
    """Without line ends, control characters and marks that turn the direction of writing."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def versions() -> dict[str, str]:
    """Name -> version of what makes a pack, with the commit of this source where it is a git checkout."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    commit = _git_commit(Path(__file__).resolve().parent.parent)
    return {**found, "git commit": commit} if commit else found


def _git_commit(root: Path) -> str | None:
    if not (root / ".git").exists():  # else git would find the repository that an environment happens to lie in
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _styles(folder: Path) -> dict[str, str]:
    config = _read_object(folder / CONFIG)
    if not is_style_table(config.get("styles")):
        raise InputError(f"{folder} is no style pack: its {CONFIG} lists no styles by name and title.")
    return {name: _one_line(title) or name for name, title in config["styles"]}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object.")
    return value


def _made_before(folder: Path) -> dict[str, str] | None:
    """What the card in the folder says of the pack's making, which no other file keeps."""
    from huggingface_hub import ModelCard

    path = folder / CARD
    try:
        made = ModelCard(path.read_text(encoding="utf-8")).data.get(BLOCK)["made_with"] if path.is_file() else None
    except Exception:  # a card that was broken by hand has nothing to keep
        return None
    return {str(name): str(value) for name, value in made.items()} if isinstance(made, dict) else None


def _results(styles: Mapping[str, str], evaluation: Mapping[str, Any]) -> list["EvalResult"]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="image-to-image",
            dataset_type="photos",
            dataset_name=f"{evaluation.get('photos', '?')} photos that training never saw",
            metric_type=kind,
            metric_name=f"{label}, {styles.get(style, style)}",
            metric_value=round(scores[measure], 4),
        )
        for style, scores in _measured(evaluation).items()
        for measure, (kind, label) in MEASURES.items()
    ]


def _measured(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Style -> its scores, of those that have all."""
    styles = evaluation.get("styles")
    styles = styles if isinstance(styles, dict) else {}
    return {
        name: scores
        for name, scores in styles.items()
        if isinstance(scores, dict) and all(isinstance(scores.get(measure), int | float) for measure in MEASURES)
    }


def _scores(evaluation: Mapping[str, Any]) -> str:
    rows = [
        f"| {plain(name)} | " + " | ".join(f"{scores[measure]:.3f}" for measure in MEASURES) + " |"
        for name, scores in _measured(evaluation).items()
    ]
    if not rows:
        return ""
    head = [f"## Measured on {plain(str(evaluation.get('photos', '?')))} photos that training never saw", ""]
    labels = " | ".join(label for _, label in MEASURES.values())
    return "\n".join([*head, f"| style | {labels} |", "|---|---|---|", *rows, "", "Lower is closer, of both."])


def _style_table(styles: Mapping[str, str], shown: list[str], notes: Mapping[str, str]) -> str:
    samples = {name: f"![{plain(styles[name])}]({SAMPLES}/{name}.webp)" for name in shown}
    rows = [
        f"| {samples.get(name, '')} | `{name}` | {plain(title)} | {plain(notes.get(name, ''))} |"
        for name, title in styles.items()
    ]
    return "\n".join(["| sample | style | title | source of the paintings |", "|---|---|---|---|", *rows])


def _usage(style: str) -> str:
    return f"""## Use

```python
from styletransfer import StyleTransferPipeline

pipeline = StyleTransferPipeline.from_pretrained("{PLACE}")
pipeline("photo.jpg", style="{style}").save("painting.png")
```

```
python -m styletransfer photo.jpg --pack {PLACE} --style {style} -o painting.png
```"""


def _making(recipe: Mapping[str, Any], made: Mapping[str, str]) -> str:
    lines = ["## How it was made", ""]
    if recipe:
        steps = plain(str(recipe.get("steps", "?")))
        command = f"accelerate launch train_accelerate.py --config {RECIPE}"
        lines += [f"Trained for {steps} steps. Every setting is in `{RECIPE}`:", "", "```", command, "```", ""]
    lines += [f"- {plain(name)}: {plain(text)}" for name, text in made.items()]
    sources = [("photos", text) for text in _texts(recipe.get("photos"))]
    sources += [(f"paintings of {name}", source) for name, source in _pairs(recipe.get("style")).items()]
    # Of a local path only the last name means anything to a reader; the rest is nobody's business.
    lines += [f"- {plain(what)}: {plain(text if _hub_id(text) else Path(text).name)}" for what, text in sources]
    return "\n".join(lines)


def _datasets(recipe: Mapping[str, Any]) -> list[str]:
    """The Hub datasets among the sources of a run: `org/name`, with or without selectors, that is no folder here."""
    sources = [*_texts(recipe.get("photos")), *_pairs(recipe.get("style")).values()]
    ids = dict.fromkeys(filter(None, map(_hub_id, sources)))
    return [name for name in ids if not Path(name).exists()]


def _hub_id(source: str) -> str | None:
    name = source.split(":")[0]
    return name if _HUB_ID.fullmatch(name) else None


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []


def _pairs(value: Any) -> dict[str, str]:
    """["name=text", ...] -> {name: text}."""
    return {name: text for name, _, text in (item.partition("=") for item in _texts(value))}


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
