"""What the server says to a visitor, in the visitor's language: the rooms below give English, the page translates.

Labels are translated in the browser (`texts.py`); sentences with names and numbers in them are made here. Programs
get English, unless they send Chinese in Accept-Language.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from gradio.context import LocalContext

from styletransfer.page.chinese import SENTENCES, WORDS
from styletransfer.page.texts import chinese_title

ENGLISH, CHINESE = "en", "zh"
GRADIOS_CHINESE = {"zh-cn", "zh-tw"}  # what Gradio's own labels know; all others of China it shows in English
_spoken: ContextVar[str] = ContextVar("spoken", default="")
REASON = "没有成功，原因（英文）：{reason}"  # of what stands in no table: it is of use to those who look after packs


def say(template: str, **values: object) -> str:
    """One of the page's own sentences, by its English template, in the language of the visitor who asked."""
    text = SENTENCES[template] if visitors_language() == CHINESE else template
    return text.format_map(values)


def told_in_language(sentence: str, language: str | None = None) -> str:
    """A sentence of the rooms below, in the visitor's language, without its full stop.

    Args:
        sentence: English, as an InputError or a note about a photo holds it.
        language: of the one who reads it; the visitor's when None.
    """
    english = sentence.rstrip(".")
    if (language or visitors_language()) != CHINESE:
        return english
    for pattern, chinese in _patterns():
        if match := pattern.fullmatch(english):
            values = {name: WORDS.get(value, value) for name, value in match.groupdict().items()}
            return chinese.rstrip("。").format_map(values)
    return REASON.format(reason=english)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """For where the visitor's request is not at hand, as in another process."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def finished(text: str) -> str:
    """A sentence in the visitor's language with its capital and its full stop."""
    return f"{text[0].upper()}{text[1:]}{'。' if visitors_language() == CHINESE else '.'}"


def visitors_title(title: str) -> str:
    """A style's title in the visitor's language, where it is known in it."""
    return chinese_title(title) if visitors_language() == CHINESE else title


def visitors_language() -> str:
    """Of the request that is being answered; English where there is none."""
    if spoken := _spoken.get():
        return spoken
    request = LocalContext.request.get(None)
    headers: Mapping[str, str] = getattr(request, "headers", None) or {}
    return chosen_language(headers.get("accept-language", ""))


def chosen_language(accept_language: str) -> str:
    """The page's language for an Accept-Language header.

    It is that of the labels, which Gradio chooses by the browser's first language alone, so that no page speaks two.
    """
    ranked = []
    for position, part in enumerate(accept_language.split(",")):
        tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((_number(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
        if tag and quality > 0:
            ranked.append((-quality, position, tag))
    return CHINESE if ranked and min(ranked)[2] in GRADIOS_CHINESE else ENGLISH


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Every English template as a pattern, with its Chinese; what says most comes first."""
    templates = sorted(SENTENCES, key=lambda text: -len(re.sub(r"{\w+}", "", text)))
    return [(re.compile(_pattern(template.rstrip(".")), re.DOTALL), SENTENCES[template]) for template in templates]


def _pattern(template: str) -> str:
    parts = re.split(r"{(\w+)}", template)
    return "".join(f"(?P<{part}>.+?)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
