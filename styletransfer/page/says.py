"""What the events of the page say, as text and HTML in the visitor's language."""

import html

import gradio as gr

from styletransfer.errors import InputError
from styletransfer.page.explain import Reading
from styletransfer.page.language import finished, say, told_in_language


def about(title: str, size: tuple[int, int]) -> str:
    """The line about a painting: its style, and its size in pixels."""
    return say("{title}, {width} × {height} pixels.", title=title, width=size[0], height=size[1])


def sentence(error: InputError) -> str:
    """In the visitor's language, with a capital and a full stop."""
    return finished(told_in_language(str(error)))


def told(error: InputError) -> gr.Error:
    """The error as Gradio shows it."""
    return gr.Error(html.escape(sentence(error), quote=False), title=say("Not painted"), print_exception=False)


def report(lines: list[str]) -> str:
    """Lines of HTML."""
    return "<br>".join(html.escape(line) for line in lines)


def reading_text(reading: Reading) -> str:
    """The numbers as lines of HTML, each with what it means."""
    lines = [say("Kept of the photo: {kept} (structural similarity; 1 is all of it).", kept=f"{reading.kept:.2f}")]
    if reading.nearer is not None:
        lines.append(
            say(
                "Closeness to the style: {nearer} (0 is the photo's colors and strokes, 1 those of the style's sample "
                "picture).",
                nearer=f"{reading.nearer:.2f}",
            )
        )
    lines.append(
        say(
            "Grid left by the network: {grid} gray levels (photos have 0.1; from 1 on it is seen).",
            grid=f"{reading.grid:.1f}",
        )
    )
    return report(lines)
