"""What the documents promise: links that lead to a file, Python that runs, and a README of a page or two."""

import re

import pytest
import yaml
from PIL import Image

from styletransfer.paths import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r'(?:\]\(|src=")([^)"]+)[)"]')
README = (ROOT / "README.md").read_text(encoding="utf-8")


def links(text):
    """The links of a document to other files of the repository, without the place inside them."""
    return {link.split("#")[0] for link in LINK.findall(text) if not link.startswith(("http", "#"))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document):
    found = links(document.read_text(encoding="utf-8"))
    assert [link for link in sorted(found) if not (document.parent / link).exists()] == []


def test_the_link_check_reads_both_kinds_of_links():
    text = '[a](docs/a.md#part) ![b](b.jpg) <img src="c.jpg"> [d](https://d.example) [e](#here)'
    assert links(text) == {"docs/a.md", "b.jpg", "c.jpg"}


def test_the_readme_is_short_and_begins_with_the_settings_of_a_space():
    assert len(README.splitlines()) <= 140
    settings = yaml.safe_load(README.split("---\n")[1])
    assert (settings["sdk"], settings["app_file"]) == ("gradio", "app.py")


def missing_names(text):
    """Functions that a walk names after a file (`a/b.py` ... `name`) and that the file does not define."""
    file, missing = None, []
    for word in re.findall(r"`([\w/.]+)`", text):
        if word.endswith(".py"):
            file = (ROOT / word).read_text(encoding="utf-8")
        elif word != "style_weights" and f"def {word}(" not in file:
            missing.append(word)
    return missing


def test_the_walk_names_functions_that_are_there():
    rows = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8").split("\n| ")[2:]
    assert len(rows) == 5
    assert [name for row in rows for name in missing_names(row)] == []
    assert missing_names("`styletransfer/steps.py`: `drained` and `patiently`") == ["patiently"]
    assert max(int(row.split("|")[2]) for row in rows) <= 3


def test_the_python_lines_of_the_readme_paint(photo, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "styles").symlink_to(ROOT / "styles")
    photo.save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert Image.open("painting.png").size == photo.size
