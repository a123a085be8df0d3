"""Every sentence of the server in two languages, chosen as the labels of the page are."""

import ast
import pickle
import re
from pathlib import Path

import pytest

from styletransfer.errors import InputError, Sentence
from styletransfer.page.language import REASON, SENTENCES, WORDS, chosen_language, in_language, say
from styletransfer.page.texts import CHINESE, ENGLISH

PACKAGE = Path(__file__).resolve().parents[2] / "styletransfer"
# The files whose sentences a visitor can cause. What the Hub says is English, with a lead in Chinese.
SPEAKING = (
    "images",
    "moving",
    "surround",
    "page",
    "page/tabs",
    "packs/folder",
    "packs/contents",
    "models/stored_weights",
    "settings",
    "painter",
    "learning/apart",
    "learning/paintings",
    "folders",
    "pipeline",
    "catalog",
    "hub_catalog",
    "steps",
)
UNSEEN = {  # said to whoever starts the server, writes a pack or calls the library
    "{name} must be a whole number of at least 1, not {value}.",
    "{name} must be a number of seconds, not {value}.",
    "The pack {pack} cannot be written: {reason}.",
    "{pack} is not a discriminator for {styles} styles: it belongs to another pack.",
    "The {file} of {pack} must have a boolean spectral_norm and a finite number undecided.",
    "The list of photos is empty: give at least one.",
    "Wrapping is true or false, not {value}.",
    "{name} is too long for an animated picture: write a video, or make it smaller with --size.",
    "Wrapping is for panoramas, not for what moves: leave it out.",
    "The size must be {least} to {most} pixels, not {value}.",
    "Steadiness must be 0 to 1, not {value}.",
    "{name} cannot hold what moves: end the name with one of {kinds}.",
    "{name} is a folder: give another name for the video.",
    "{name} is a folder: give a video file.",
    "{name} is the video itself: give the painting another name.",
    "The backend is torch or onnx, not {value}.",
    "The backend onnx paints on the processor in float32: leave device and dtype out.",
    "This device has no fast 8-bit arithmetic: leave dtype out, or give bfloat16 or float32.",
}
MAKERS = ("InputError", "Sentence", "say", "self._note")
HAN = re.compile(r"[\u4e00-\u9fff]")


def literals_of(node):
    """The texts that an expression may be, told as they stand; None for what is put together on the spot."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield None


def sentences_of(source):
    """The templates of a module: of its InputErrors, its sentences, and what it lets `say` say."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in MAKERS:
            yield from literals_of(node.args[0])


def constants_of(source, function):
    """Sentences that stand in a function as constants, to be made there."""
    (found,) = (node for node in ast.walk(ast.parse(source)) if getattr(node, "name", "") == function)
    texts = (node.value for node in ast.walk(found) if isinstance(node, ast.Constant))
    return [text for text in texts if isinstance(text, str) and text.endswith(".") and text != ast.get_docstring(found)]


def files():
    for name in SPEAKING:
        path = PACKAGE / name
        yield from sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def all_sentences():
    found = [(path.stem, text) for path in files() for text in sentences_of(path.read_text(encoding="utf-8"))]
    made = (("images/advice", "advise"), ("settings", "__post_init__"), ("settings", "checked_share"))
    for file, function in made:
        source = (PACKAGE / f"{file}.py").read_text(encoding="utf-8")
        found += [(function, text) for text in constants_of(source, function) if "Raises" not in text]
    return found


@pytest.mark.parametrize(("room", "sentence"), all_sentences())
def test_every_sentence_is_a_template_with_a_capital_and_a_full_stop(room, sentence):
    assert sentence is not None, f"{room} puts a sentence together by itself: no table can hold it"
    if " " in sentence.replace("Not painted", ""):  # else a label
        assert sentence[0].isupper() or sentence[0] == "{", f"{room}: {sentence!r}"
        assert sentence.endswith("."), f"{room}: {sentence!r}"


@pytest.mark.parametrize(("room", "sentence"), all_sentences())
def test_every_sentence_that_a_visitor_may_get_is_there_in_chinese(room, sentence):
    assert sentence in SENTENCES or sentence in UNSEEN, f"{room}: no Chinese for {sentence!r}"


def test_no_translation_is_of_a_sentence_that_nobody_says():
    said = {sentence for _, sentence in all_sentences()}
    assert [english for english in SENTENCES if english not in said] == []
    assert UNSEEN <= said and not UNSEEN & SENTENCES.keys()


def test_the_collector_sees_each_kind_of_sentence():
    source = (
        "raise InputError('There is no {x}: y.', x=1)\nnotes.append(Sentence('It is odd.'))\nsay('In {n} words.', n=1)"
    )
    found = set(sentences_of(source + "\nInputError(f'{x}')\nf('no')"))
    assert found == {"There is no {x}: y.", "It is odd.", "In {n} words.", None}
    assert len(all_sentences()) > 60


def test_translations_tell_the_same_things():
    for english, chinese in SENTENCES.items():
        told, names = (set(re.findall(r"{(\w+)}", text)) for text in (chinese, english))
        assert told <= names, english
        assert HAN.search(chinese) and chinese.endswith("。") == english.endswith("."), english
    assert ENGLISH.keys() == CHINESE.keys()
    for key, english in ENGLISH.items():
        assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", CHINESE[key]), key


@pytest.mark.parametrize(
    ("sentence", "chinese"),
    [
        (
            Sentence(
                "The photo is {width}x{height} pixels: the least that can be painted is 16x16.", width=15, height=40
            ),
            "照片是 15x40 像素：至少要 16x16 才能作画。",
        ),
        (Sentence("There is no {what} yet: add one first.", what="mask"), "还没有蒙版：请先添加。"),
        (
            Sentence("{name} is damaged or cut short: give a whole picture file.", name="The picture"),
            "这张图片已损坏或不完整：请给一个完整的图片文件。",
        ),
        (
            Sentence("There is no style {style}: choose from {styles}.", style="'a: b {c}'", styles="red, blue"),
            "没有 'a: b {c}' 这种风格：请从 red, blue 中选择。",
        ),
        ("The pack org/x {is} damaged.", "没有成功，原因（英文）：The pack org/x {is} damaged."),
    ],
)
def test_names_and_numbers_are_kept(sentence, chinese):
    assert in_language(sentence, "zh") == chinese
    assert in_language(sentence, "en") == sentence


def test_a_visitor_reads_the_names_of_files_and_never_where_they_are():
    told = Sentence("There is no file {name}: check the name.", name=Path("/srv/secret/beach.png"))
    assert told == "There is no file /srv/secret/beach.png: check the name."
    assert in_language(told, "en") == "There is no file beach.png: check the name."
    assert in_language(told, "zh") == "没有 beach.png 这个文件：请检查名称。"


def test_an_error_keeps_its_template_and_values_on_its_way_through_another_process():
    error = InputError("There is no {what} yet: add one first.", what="mask")
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one) == one.sentence == "There is no mask yet: add one first."
        assert in_language(one.sentence, "zh") == "还没有蒙版：请先添加。"
    again = InputError(error.sentence)
    assert again.sentence.values == {"what": "mask"}
    assert str(InputError("Braces {stay} where there are no values.")) == "Braces {stay} where there are no values."


def test_without_a_visitor_all_is_english():
    assert say("{title}, {width} × {height} pixels.", title="Red", width=3, height=4) == "Red, 3 × 4 pixels."
    assert WORDS["photo"] == "照片"
    assert in_language("It is odd.", "zh") == REASON.format(reason="It is odd.")


# Headers as browsers and programs send them.
@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),  # Chrome
        ("zh-CN,zh;q=0.8,zh-TW;q=0.7,zh-HK;q=0.5,en-US;q=0.3,en;q=0.2", "zh"),  # Firefox
        ("zh-TW,zh;q=0.9", "zh"),
        ("zh-cn", "zh"),  # older Safari
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("de-DE,de;q=0.9,zh-CN;q=0.8", "en"),  # the labels are English for this one, too
        ("en;q=0.5, zh-CN;q=0.9", "zh"),
        ("zh-CN;q=0, en", "en"),
        ("*", "en"),
        ("", "en"),
        ("zh-CN;q=abc", "en"),
        (";;,,q=1;", "en"),
    ],
)
def test_the_language_is_that_of_the_first_choice(header, language):
    assert chosen_language(header) == language
