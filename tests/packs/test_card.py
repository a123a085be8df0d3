"""The model card: valid for the Hub, made from the pack's own files, and never more than text from strangers."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.packs.card import card_for_repo, pack_title, render_card
from styletransfer.paths import SHIPPED_PACK
from styletransfer.training.config import load_config

RECIPE = {
    "photos": ["painter/photos:train:image", "/home/somebody/private/photos"],
    "style": ["red=painter/reds", "blue=pictures/blue"],
    "note": ["red=A. Painter, 1900, public domain", "blue=<script>alert(1)</script> | [x](http://x)"],
    "license": "cc0-1.0",
    "steps": 240,
}
RUN = {
    "hardware": "2 cores",
    "training time": "2 h <b>",
    "git commit": "0" * 40,
    "datasets": ["painter/photos", "painter/reds", "../up", 5],
}
RED = {"content": 0.31234, "flat": 0.25, "kid": 0.01, "unknown": 1}
SCORES = {"photos": 40, "styles": {"red": RED, "blue": {"flat": 2}}}


@pytest.fixture
def pack(tiny_pack):
    """A pack with everything that a card can tell."""
    (tiny_pack / "samples").mkdir()
    for name in ("red", "_photo"):
        Image.new("RGB", (16, 16), "red").save(tiny_pack / f"samples/{name}.webp")
    (tiny_pack / "training_config.json").write_text(json.dumps(RECIPE))
    (tiny_pack / "training_run.json").write_text(json.dumps(RUN))
    (tiny_pack / "evaluation.json").write_text(json.dumps(SCORES))
    return tiny_pack


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def with_titles(pack, *titles):
    config = json.loads((pack / "config.json").read_text())
    config["styles"] = [[f"style-{number}", title] for number, title in enumerate(titles)]
    (pack / "config.json").write_text(json.dumps(config))


def test_the_top_of_the_card_says_what_the_hub_and_the_app_look_for(pack):
    data = front_matter(render_card(pack))
    assert data["license"] == "cc0-1.0"
    assert (data["library_name"], data["pipeline_tag"]) == ("styletransfer", "image-to-image")
    assert "styletransfer-pack" in data["tags"]
    assert data["datasets"] == ["painter/photos", "painter/reds"]
    assert data["styletransfer"]["styles"] == [{"name": "red", "title": "Red"}, {"name": "blue", "title": "Blue"}]
    pictures = [(entry["text"], entry["output"]["url"]) for entry in data["widget"]]
    assert pictures == [("The photo", "samples/_photo.webp"), ("Red", "samples/red.webp")]


def test_measured_values_become_a_model_index_that_hub_classes_read_back(pack):
    card = ModelCard(render_card(pack))
    results = {(each.dataset_config, each.metric_type): each.metric_value for each in card.data.eval_results}
    red = {("red", "lpips"): 0.3123, ("red", "brushwork-flat"): 0.25, ("red", "kid"): 0.01}
    assert results == {**red, ("blue", "brushwork-flat"): 2}
    assert [each.task_name for each in card.data.eval_results] == ["Style transfer: Red"] * 3 + ["Style transfer: Blue"]
    assert card.data.eval_results[0].dataset_name == "40 photos that training never saw"
    assert card.data.metrics == ["brushwork-flat", "lpips", "kid"]
    index = front_matter(render_card(pack))["model-index"]
    assert [len(result["metrics"]) for result in index[0]["results"]] == [3, 1]
    assert "| red | 0.25 | 0.312 | 0.0100 |\n| blue | 2.00 |  |  |\n" in card.text


def test_the_body_shows_photo_and_paintings_the_sources_and_the_exact_command(pack):
    text = render_card(pack)
    for part in (
        "<Gallery />",
        "| ![The photo](samples/_photo.webp) | ![Red](samples/red.webp) |",
        "A. Painter, 1900, public domain",
        "## Intended use and limits",
        "accelerate launch train_accelerate.py --config training_config.json",
        "- hardware: 2 cores",
        "- training time: 2 h &#60;b&#62;",
        f"- git commit: {'0' * 40}",
        'pipeline("photo.jpg", style="red")',
    ):
        assert part in text


def test_only_what_the_run_called_a_dataset_of_the_hub_is_one(pack):
    (pack / "training_run.json").write_text(json.dumps({"datasets": ["painter/reds"]}))
    text = render_card(pack)
    assert front_matter(text)["datasets"] == ["painter/reds"]
    assert "- paintings of red: painter/reds\n- paintings of blue: blue\n" in text
    (pack / "training_run.json").unlink()
    assert "datasets" not in front_matter(render_card(pack))


def test_the_config_that_the_command_names_is_one_that_training_takes(pack):
    assert load_config(pack / "training_config.json").steps == 240


def test_no_local_path_stands_in_a_card(pack):
    text = render_card(pack)
    assert "somebody" not in text and "pictures/blue" not in text
    assert "- photos: photos\n" in text


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("https://example.org/art/styletransfer", "[styletransfer](https://example.org/art/styletransfer)"),
        (None, "styletransfer"),
        ("javascript:alert(1)", "styletransfer"),
        ("https://example.org/a) [free](https://evil.example/", "styletransfer"),
    ],
)
def test_the_card_says_where_the_project_lives_and_how_to_install_it(pack, project, said):
    (pack / "training_run.json").write_text(json.dumps({**RUN, "project": project}))
    told = f"The pack needs the project {said}: in a copy of its source, run `pip install .` once.\n"
    assert told in render_card(pack)


def test_a_card_without_recipe_and_evaluation_has_no_such_parts(tiny_pack):
    text = render_card(tiny_pack)
    assert not {"datasets", "model-index", "metrics", "widget"} & front_matter(text).keys()
    assert not any(part in text for part in ("Gallery", "## Measured", "## How it was made", "- hardware"))
    ModelCard(text)


def test_html_and_markup_in_titles_and_notes_stay_text(pack):
    titles = ["<img src=x onerror=alert(1)>", "a | b ](c)", "--- license: evil", "$x$", "'"]
    with_titles(pack, *titles)
    text = render_card(pack)
    body = ModelCard(text).text
    assert "<img" not in body and "<script" not in body and "](c)" not in body and "[x](" not in body
    data = front_matter(text)
    assert data["license"] == "cc0-1.0"
    assert [style["title"] for style in data["styletransfer"]["styles"]] == titles
    rows = [line for line in body.splitlines() if "`style-" in line]
    assert [row.count("|") for row in rows] == [6] * len(titles)


@pytest.mark.parametrize("title", ["two\nlines", "\u202eevil", "\x1b[31m", "", "x" * 201])
def test_no_card_is_made_of_a_title_that_no_pack_may_have(pack, title):
    with_titles(pack, title)
    with pytest.raises(InputError, match="lists no styles"):
        render_card(pack)


@pytest.mark.parametrize(
    ("styles", "title"),
    [
        ({"a": "A"}, "A"),
        ({"a": "A", "b": "B", "c": "C"}, "A, B, C"),
        ({letter: letter.upper() for letter in "abcde"}, "A, B, C and 2 more"),
    ],
)
def test_a_pack_is_called_by_its_first_styles(styles, title):
    assert pack_title(styles) == title


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", "{", "cannot be read"),
        ("config.json", "{}", "lists no styles"),
        ("config.json", '{"styles": [["../x", "X"]]}', "lists no styles"),
        ("training_config.json", "[1]", "must hold a JSON object"),
        ("training_run.json", "[" * 100_000, "cannot be read"),
        ("evaluation.json", "\xff", "cannot be read"),
    ],
)
def test_a_pack_that_no_card_can_be_made_of_is_refused_in_a_sentence(pack, name, content, words):
    (pack / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=words):
        render_card(pack)


@pytest.mark.parametrize("odd", [None, 5, [], [1, {}], "x", {"a": 1}, float("nan")])
def test_odd_values_in_recipe_run_and_evaluation_are_left_out(pack, odd):
    (pack / "training_run.json").write_text(json.dumps(dict.fromkeys(("hardware", "datasets"), odd)))
    (pack / "training_config.json").write_text(json.dumps(dict.fromkeys(("photos", "style", "note", "steps"), odd)))
    (pack / "evaluation.json").write_text(json.dumps({"photos": odd, "styles": odd}))
    ModelCard(render_card(pack))
    (pack / "evaluation.json").write_text(json.dumps({"styles": {"red": odd, "blue": {"content": odd, "flat": odd}}}))
    ModelCard(render_card(pack))


def test_on_the_hub_a_card_names_its_repository_and_keeps_what_was_written_by_hand(pack):
    mine = render_card(pack).replace("# Red, Blue", "# My own words").replace("- styletransfer-pack\n", "")
    text = card_for_repo(mine, "org/name", {"red": "Red"})
    card = ModelCard(text)
    assert "# My own words" in card.text
    assert 'from_pretrained("org/name")' in card.text and "this/folder" not in text
    assert card.data.tags == ["styletransfer-pack", "style-transfer", "gan"]
    assert card.data.thumbnail.endswith("/org/name/resolve/main/samples/red.webp")
    assert card.data.eval_results


@pytest.mark.parametrize("text", ["---\n[1, 2]\n---\n# x\n", "---\na: [\n---\n# x\n", "---\ntags: 5\n---\n"])
def test_a_card_broken_by_hand_is_refused_in_a_sentence(text):
    with pytest.raises(InputError, match="YAML at the top"):
        card_for_repo(text, "org/name", {"red": "Red"})


def test_the_card_of_the_shipped_pack_is_the_one_its_files_make():
    assert (SHIPPED_PACK / "README.md").read_text(encoding="utf-8") == render_card(SHIPPED_PACK), "run write_card on it"
