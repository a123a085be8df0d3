"""What the events of the page say, as text and HTML in the visitor's language."""

import html

import gradio as gr

from styletransfer.errors import InputError
from styletransfer.page.explain import Reading
from styletransfer.page.language import finished, say, told_in_language

PRINTED_DOTS = 300 / 2.54  # to a centimeter: what counts as sharp in the hand
LEAST_PRINT = 1000  # pixels: below, a print is smaller than a postcard
GRID_SEEN = 1.0  # gray levels


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


def print_hint(size: tuple[int, int]) -> list[str]:
    """The size up to which a painting prints sharply, as one sentence; none for what only suits a screen."""
    if min(size) < LEAST_PRINT:
        return []
    width, height = (round(side / PRINTED_DOTS) for side in size)
    return [say("Prints sharply up to {width} × {height} cm.", width=width, height=height)]


def reading_text(reading: Reading) -> str:
    """What the numbers mean in a sentence, and the numbers themselves to be unfolded, as HTML."""
    kept = min(1.0, max(0.0, reading.kept))
    sentences = [_kept_in_words(kept)]
    numbers = [say("Kept of the photo's shapes: {kept} %.", kept=round(100 * kept))]
    if reading.nearer is not None:
        nearer = min(1.0, max(0.0, reading.nearer))
        sentences.append(_nearer_in_words(nearer))
        numbers.append(say("The way from the photo to the style's sample: {nearer} %.", nearer=round(100 * nearer)))
    if reading.grid >= GRID_SEEN:
        sentences.append(say("Up close, a fine grid can be seen."))
    grid = say("Grid left by the network: {grid} gray levels (seen from 1 on).", grid=f"{max(0.0, reading.grid):.1f}")
    numbers.append(grid)
    summary = f"<p>{html.escape(' '.join(sentences))}</p>"
    return f"{summary}<details><summary>{say('In numbers')}</summary><p>{report(numbers)}</p></details>"


def _kept_in_words(share: float) -> str:
    if share >= 0.75:
        return say("Nearly everything in your photo can still be made out.")
    if share >= 0.45:
        return say("The shapes of your photo are still there; fine detail has become brushwork.")
    return say("Only the large shapes of your photo are left; the rest is brushwork.")


def _nearer_in_words(share: float) -> str:
    if share >= 0.66:
        return say("Colors and strokes are nearly those of the style.")
    if share >= 0.33:
        return say("Colors and strokes lie between your photo and the style.")
    return say("Colors and strokes are still close to your photo.")
