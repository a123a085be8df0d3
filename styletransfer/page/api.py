"""What programs ask the page for: its events with named and described parameters, and answers as data, not as HTML."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import gradio as gr

from styletransfer.errors import InputError
from styletransfer.page.events import SETTING_NAMES, File, turn_of
from styletransfer.page.language import say
from styletransfer.page.progress import shown_steps
from styletransfer.page.requests import save_preview, uploaded
from styletransfer.page.says import told
from styletransfer.page.studio import Studio

# Read by people on the page of the API, and by language models that call the endpoints as tools.
PARAMETERS = {
    "photo": "the photo's file",
    "photos": "the photos' files",
    "style": "key of a style, as /styles lists it",
    "strength": "from 0, the photo, to 1, the painting",
    "brush_size": "width of the strokes, 0.7 to 4; 1 as the style learned them",
    "keep_colors": "paint with the photo's colors",
    "second": "key of a style to mix in, or nothing",
    "second_share": "from 0 to 1, its weight where the first style has 1",
    "third": "key of one more style to mix in, or nothing",
    "third_share": "from 0 to 1, its weight where the first style has 1",
    "mask": "a picture, white where to paint, stretched over the photo; elsewhere the photo stays as it is",
    "file_format": "PNG, or JPEG of high quality",
}
NAMES = (*SETTING_NAMES, "mask")


class Answers:
    """What the page shows in its own way, for programs."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def explain(self, photo: File | None, *settings: Any) -> tuple[dict[str, Any], str, str | None]:
        """Explain a painting: returns three numbers, where it departs most from the photo, where it is still doubted.

        The numbers: "kept" of the photo (structural similarity, 1 is all), "nearer" to the style's sample (1 is as it,
        null where that cannot be said), "grid" left by the network (gray levels, photos have 0.1).
        """
        try:
            file, turn = uploaded(photo), turn_of(*settings)
            explained = self.studio.explain(file, turn)
        except InputError as error:
            raise told(error) from error
        departs, doubted = (
            picture and save_preview(picture, f"{file.stem[:60]}-{name}")
            for name, picture in (("departures", explained.departs), ("doubts", explained.doubted))
        )
        return asdict(explained.reading), departs, doubted

    def every_style(self, photo: File | None) -> Iterator[Any]:
        """Paint a photo small in every style of the packs at hand: returns the pictures, each with its style's key."""
        try:
            file = uploaded(photo)
            previews = yield from shown_steps(self.studio.in_every_style(file), 1, say("Painting"))
            yield [(save_preview(picture, f"{file.stem[:60]}-small"), key) for key, picture in previews.items()]
        except InputError as error:
            raise told(error) from error


def connect_answers(
    studio: Studio, photo: gr.Image, settings: list[gr.components.Component], painter: dict[str, Any]
) -> None:
    """Give the page's programs /explain and /every_style; what they answer with is shown nowhere.

    Args:
        studio: of the page.
        photo, settings: the components whose kinds the parameters have, in the order of `turn_of`.
        painter: the queue that both wait in.
    """
    answers = Answers(studio)
    numbers, departs, doubted = gr.JSON(visible=False), gr.Image(visible=False), gr.Image(visible=False)
    explain = named(answers.explain, "photo", *NAMES)
    gr.on([], explain, [photo, *settings], [numbers, departs, doubted], preprocess=False, api_name="explain", **painter)
    pictures = gr.Gallery(visible=False)
    every_style = named(answers.every_style, "photo")
    gr.on([], every_style, photo, pictures, preprocess=False, api_name="every_style", **painter)


def named(event: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """The event with names and words for its parameters: Gradio reads both from the function, for those who call it."""
    is_generator = inspect.isgeneratorfunction(event)

    def call(*arguments: Any) -> Any:
        return event(*arguments)

    def steps(*arguments: Any) -> Iterator[Any]:
        yield from event(*arguments)

    function = functools.wraps(event)(steps if is_generator else call)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(name, kind, default=None if name == "mask" else inspect.Parameter.empty) for name in names
    ]
    # A default may not stand before a parameter without one: whatever follows the mask has one, too.
    for position in range(names.index("mask") + 1 if "mask" in names else len(names), len(names)):
        parameters[position] = parameters[position].replace(default=None)
    function.__signature__ = inspect.Signature(parameters)
    words = (f"    {name}: {PARAMETERS[name]}" for name in names)
    function.__doc__ = "\n".join([inspect.getdoc(event) or "", "", "Args:", *words])
    return function
