"""While something takes long: its progress, the place in the queue, and a button that cancels it."""

import html
import json
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from styletransfer.page.language import SENTENCES
from styletransfer.steps import Steps, T, mapped

# Gradio writes these in English into the page, whatever its language, and drops the titles of
# errors; the numbers in them are all that is kept.
PLACES = {"en": "In the queue: place {place} of {all}", "zh": "排队中：第 {place} 位，共 {all} 位"}
WORKING = {"en": "Working: {seconds} s", "zh": "处理中：{seconds} 秒"}
FAILED = {"en": "Not painted", "zh": SENTENCES["Not painted"]}
QUEUE_FULL = {"en": "Too many are waiting: try again in a minute.", "zh": "排队的人太多：请过一分钟再试。"}

SAY_PLACES = """() => {
  const language = (document.documentElement.lang || navigator.language).startsWith("zh") ? "zh" : "en"
  const [places, working, failed, full] = TEXTS.map(text => text[language])
  const fill = (text, values) => text.replace(/\\{(\\w+)\\}/g, (_, name) => values[name])
  const say = () => {
    document.querySelectorAll(".progress-text").forEach(status => {
      const text = status.textContent
      const place = text.match(/queue: (\\d+)\\/(\\d+)/)
      const seconds = text.match(/([\\d.]+)(\\/[\\d.]+)?s\\s*$/)
      const says = place ? fill(places, {place: place[1], all: place[2]})
        : seconds ? fill(working, {seconds: Math.floor(seconds[1])}) : ""
      if (says && status.dataset.says !== says) status.dataset.says = says
    })
    document.querySelectorAll(".toast-title").forEach(title => {
      if (title.textContent.trim() === "Error") title.textContent = failed
    })
    document.querySelectorAll(".toast-text").forEach(toast => {
      if (toast.textContent.startsWith("Queue is full")) toast.textContent = full
    })
  }
  new MutationObserver(say).observe(document.body, {childList: true, subtree: true, characterData: true})
}""".replace("TEXTS", json.dumps([PLACES, WORKING, FAILED, QUEUE_FULL], ensure_ascii=False))


def shown_steps(steps: Steps[T], outputs: int, what: str) -> Steps[T]:
    """The steps of an event that has so many outputs: a bar shows how far they are, and between any two of them the
    event can be cancelled, since Gradio cancels a running event only where it hands something out.

    Args:
        steps: of the work.
        outputs: of the event; none of them changes.
        what: is being done, in a word or two.
    """

    def shown(share: float) -> Any:
        gr.Progress()(share, desc=what)
        return unchanged(outputs)

    return (yield from mapped(steps, shown))


def let_cancel(
    button: gr.Button,
    running: list[Any],
    event: Callable[..., Any],
    inputs: gr.components.Component,
    outputs: list[gr.components.Component],
) -> None:
    """Let the button cancel whatever runs or waits for this visitor, and then say so by the event."""
    # Two listeners: to one that cancels, Gradio gives no inputs.
    button.click(None, cancels=running)
    button.click(event, inputs, outputs, queue=False, show_progress="hidden", api_visibility="private")


def passing(text: str) -> str:
    """A sentence, as HTML, that stands over the page for a moment; the same one twice is shown twice."""
    return f'<p role="status" data-at="{time.monotonic_ns()}">{html.escape(text)}</p>'


def unchanged(outputs: int) -> Any:
    """What an event hands out to change none of its outputs."""
    return tuple(gr.skip() for _ in range(outputs)) if outputs > 1 else gr.skip()
