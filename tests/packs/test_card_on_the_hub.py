"""The card of a pack is read by the Hub as it was meant, and shows a stranger's text without following it."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from PIL import Image

from styletransfer.models.generator import Generator
from styletransfer.packs import folder as packs
from styletransfer.packs.contents import DISCOVERY_TAG

STYLES = {"wave": "The Wave", "night-2": "Night", "alps": "High Alps"}
RECIPE = {"steps": 12, "license": "cc0-1.0", "note": ["wave=Hokusai, 1831", "alps=a=b"]}


def save(folder: Path, styles: dict[str, str] = STYLES, recipe: dict = RECIPE) -> Path:
    samples = dict.fromkeys(styles, Image.new("RGB", (40, 30)))
    packs.save_pack(folder, Generator(styles, channels=4, blocks=1), samples=samples, recipe=recipe)
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return save(tmp_path / "pack")


class Page(HTMLParser):
    """The tags of a rendered card and the text of its table's cells."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags, self.sources, self.cells, self.inside = [], [], [], False
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        self.inside = tag == "td" or (self.inside and tag in ("code", "img"))
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "td"

    def handle_data(self, text: str) -> None:
        if self.inside:
            self.cells[-1] += text


def card(pack: Path) -> ModelCard:
    return ModelCard((pack / "README.md").read_text(encoding="utf-8"))


def test_the_card_tells_the_hub_what_the_pack_is(pack: Path) -> None:
    data = card(pack).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc0-1.0", "styletransfer", "image-to-image")
    assert DISCOVERY_TAG in data.tags


@pytest.mark.parametrize("license", ["other: see LICENSE", "mit # or not", "x\ntags: [evil]", "---", "[a", "'", "no"])
def test_any_text_given_as_license_stays_a_text_in_the_card(license: str, tmp_path: Path) -> None:
    data = card(save(tmp_path / "pack", recipe=RECIPE | {"license": license})).data
    assert data.license == license
    assert DISCOVERY_TAG in data.tags


def test_the_card_shows_every_style_with_its_sample_and_note(pack: Path) -> None:
    page = Page(card(pack).text)
    assert page.sources == [f"samples/{name}.webp" for name in STYLES]
    rows = [page.cells[start : start + 4] for start in range(0, len(page.cells), 4)]
    assert rows == [
        ["", "wave", "The Wave", "Hokusai, 1831"],
        ["", "night-2", "Night", ""],
        ["", "alps", "High Alps", "a=b"],
    ]


STRANGE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "a | b || c",
    "`code` **bold** _slanted_ ~~gone~~",
    "back\\slash \\| \\<b\\>",
    "&lt;b&gt; &#60;i&#62; &amp;",
    "<!-- hidden",
    "# heading",
    "]( )(",
]


@pytest.mark.parametrize("text", STRANGE)
def test_markup_in_titles_and_notes_is_shown_not_followed(text: str, tmp_path: Path) -> None:
    page = Page(card(save(tmp_path / "pack", {"one": text, "two": "Two"}, RECIPE | {"note": [f"two={text}"]})).text)
    assert page.sources == ["samples/one.webp", "samples/two.webp"]
    ours = {"gallery", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "img", "pre", "ul", "li"}
    assert set(page.tags) <= ours
    shown = " ".join(text.split())
    assert page.cells == ["", "one", shown, "", "", "two", "Two", shown]


def test_the_card_tells_what_was_measured(pack: Path) -> None:
    assert "Measured" not in (pack / "README.md").read_text()
    scores = {name: {"flat": 0.4 + place / 10, "content": 0.71} for place, name in enumerate(STYLES)}
    (pack / "evaluation.json").write_text(json.dumps({"photos": 20, "styles": scores}))
    packs.write_card(pack)
    text = (pack / "README.md").read_text()
    assert "20 photos" in text
    assert Page(card(pack).text).cells[12:15] == ["wave", "0.40", "0.710"]
    assert DISCOVERY_TAG in card(pack).data.tags


def test_the_example_in_the_card_runs(pack: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pack.parent
    shutil.copytree(pack, place / "this" / "folder")
    photo.save(place / "photo.jpg")
    monkeypatch.chdir(place)
    (example,) = re.findall(r"```python\n(.*?)```", (pack / "README.md").read_text(), flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102
    with Image.open(place / "painting.png") as painting:
        assert painting.size == photo.size
