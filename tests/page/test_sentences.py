"""Every sentence of the server in two languages, chosen as the labels of the page are."""

import ast
import re
from pathlib import Path

import pytest

from styletransfer.page.chinese import SENTENCES, WORDS
from styletransfer.page.language import REASON, chosen_language, say, told_in_language
from styletransfer.page.texts import CHINESE, ENGLISH

PACKAGE = Path(__file__).resolve().parents[2] / "styletransfer"
# The files whose sentences a visitor can cause. What is wrong with a pack is English, with a lead in Chinese.
SPEAKING = ("images/files", "images/colors", "images/advice", "pipeline")
SPEAKING += ("page/api", "page/calls", "catalog", "page/drawing", "page/events", "page/head", "page/look")
SPEAKING += ("page/progress", "page/requests", "page/says", "page/session", "page/studio", "page/texts", "page/visit")
HAN = re.compile(r"[\u4e00-\u9fff]")


def text_of(node):
    """A literal as text, every name in it as a number; None for what is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "7" for part in node.values)
    return None


def sentences_of(source):
    """What a module tells in English: its InputErrors, its notes about a photo, and what it lets `say` say."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = ast.unparse(node.func)
        if name in ("InputError", "notes.append", "say") and (text := text_of(node.args[0])):
            yield text if name != "say" else re.sub(r"{\w+}", "7", text)


def advice_of(source):
    (function,) = (node for node in ast.walk(ast.parse(source)) if getattr(node, "name", "") == "advise")
    for node in ast.walk(function):
        if isinstance(node, ast.Tuple) and (text := text_of(node.elts[-1])):
            yield text


def all_sentences():
    modules = [PACKAGE / f"{name}.py" for name in SPEAKING]
    found = [(path.stem, text) for path in modules for text in sentences_of(path.read_text(encoding="utf-8"))]
    return found + [
        ("advice", text) for text in advice_of((PACKAGE / "images" / "advice.py").read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("room", "sentence"), all_sentences())
def test_every_sentence_that_a_visitor_may_get_is_there_in_chinese(room, sentence):
    told = told_in_language(sentence, "zh")
    assert HAN.search(told) and not told.startswith(REASON[:6]), f"{room}: no Chinese for {sentence!r}"
    assert told_in_language(sentence, "en") == sentence.rstrip(".")


def test_no_translation_is_of_a_sentence_that_nobody_says():
    said = {told_in_language(sentence, "zh") for _, sentence in all_sentences()}
    unsaid = [
        english for english, chinese in SENTENCES.items() if re.sub(r"{\w+}", "7", chinese.rstrip("。")) not in said
    ]
    assert unsaid == []


def test_the_collector_sees_each_kind_of_sentence_and_would_miss_a_translation():
    source = "raise InputError(f'There is no {x}: y.')\nnotes.append('it is odd')\nsay('In {n} words.', n=1)\nf('no')"
    assert list(sentences_of(source)) == ["There is no 7: y.", "it is odd", "In 7 words."]
    assert told_in_language("it is odd", "zh") == REASON.format(reason="it is odd")
    assert len(list(advice_of((PACKAGE / "images" / "advice.py").read_text(encoding="utf-8")))) == 4
    assert len(all_sentences()) > 40


def test_translations_tell_the_same_things():
    for english, chinese in SENTENCES.items():
        told, names = (set(re.findall(r"{(\w+)}", text)) for text in (chinese, english))
        assert told <= names, english
    assert ENGLISH.keys() == CHINESE.keys()
    for key, english in ENGLISH.items():
        assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", CHINESE[key]), key


@pytest.mark.parametrize(
    ("sentence", "chinese"),
    [
        (
            "The photo is 15x40 pixels: the least that can be painted is 16x16.",
            "照片是 15x40 像素：至少要 16x16 才能作画",
        ),
        ("There is no mask yet: add one first.", "还没有蒙版：请先添加"),
        (
            "the picture is damaged or cut short; give a whole picture file",
            "这张图片已损坏或不完整；请给一个完整的图片文件",
        ),
        ("There is no style 'a: b {c}': choose from red, blue.", "没有 'a: b {c}' 这种风格：请从 red, blue 中选择"),
        ("The pack org/x is damaged.", "没有成功，原因（英文）：The pack org/x is damaged"),
    ],
)
def test_names_and_numbers_are_kept(sentence, chinese):
    assert told_in_language(sentence, "zh") == chinese


def test_without_a_visitor_all_is_english():
    assert say("{title}, {width} × {height} pixels.", title="Red", width=3, height=4) == "Red, 3 × 4 pixels."
    assert WORDS["photo"] == "照片"


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
