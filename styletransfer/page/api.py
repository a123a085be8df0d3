"""What programs ask the page for: its events with named and described parameters, and answers as data, not as HTML.

And the calls that a visitor may copy, which make the same painting from a program.
"""

import functools
import inspect
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import gradio as gr

from styletransfer.errors import InputError
from styletransfer.page.language import say, told
from styletransfer.page.progress import shown_steps
from styletransfer.page.requests import SETTING_NAMES, Asked, File, save_preview, uploaded
from styletransfer.page.studio import Studio
from styletransfer.settings import BRUSH_SIZES, SHARES, PaintSettings

# Read by people on the page of the API, and by language models that call the endpoints as tools.
PARAMETERS = {
    "photo": "the photo's file",
    "photos": "the photos' files",
    "style": "key of a style, as /styles lists it",
    "strength": "from 0, the photo, to 1, the painting",
    "brush_size": f"width of the strokes relative to the picture, {BRUSH_SIZES[0]:g} to {BRUSH_SIZES[1]:g}; 1 as the "
    "style learned them",
    "keep_colors": "paint with the photo's colors",
    "second": "key of a style to mix in, or nothing",
    "second_share": f"from 0 to {SHARES[1]:g}, its share where the first style has 1",
    "third": "key of one more style to mix in, or nothing",
    "third_share": f"from 0 to {SHARES[1]:g}, its share where the first style has 1",
    "mask": "a picture, white where to paint, stretched over the photo; elsewhere the photo stays as it is",
    "file_format": "PNG, or JPEG of high quality",
}
NAMES = (*SETTING_NAMES, "mask")
STYLES = ("style", "second", "third")  # parameters that take the key of a style


class AnsweringBlocks(gr.Blocks):
    """Blocks that refuse in a sentence what is no call of an endpoint: Gradio by itself answers with no word at all.

    Args:
        more_styles: whether packs may come while the page runs. Gradio describes the endpoints once, when it starts,
            and as tools they refuse whatever is not in that description: then it lists no styles, /styles does.
    """

    def __init__(self, *arguments: Any, more_styles: bool = False, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.more_styles = more_styles

    def get_api_info(self, *arguments: Any, **options: Any) -> Any:
        """As Gradio's, with any text for a style where more of them may come."""
        described = super().get_api_info(*arguments, **options)
        for endpoint in described["named_endpoints"].values() if self.more_styles else ():
            for parameter in endpoint["parameters"]:
                if parameter["parameter_name"] in STYLES:
                    parameter["type"] = {name: kind for name, kind in parameter["type"].items() if name != "enum"}
                    parameter["python_type"] = {**parameter["python_type"], "type": "str"}
        return described

    async def preprocess_data(self, *arguments: Any, **options: Any) -> list[Any]:
        """As Gradio's; raises gr.Error for a value of the wrong kind, or for too few of them."""
        try:
            return await super().preprocess_data(*arguments, **options)
        except gr.Error:
            raise
        except Exception as error:  # of pydantic, for the most part
            said = InputError(
                "A part of the request is not what this endpoint takes: the page shows the call under Use the API."
            )
            raise told(said) from error


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
            file = uploaded(photo)
            explained = self.studio.explain(file, Asked(*settings).settings())
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
        photo, settings: the components whose kinds the parameters have, in the order of `Asked`.
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


# ---------------------------------------------------------------- calls to copy


def python_call(address: str, settings: Mapping[str, object]) -> str:
    """With gradio_client, against this page."""
    lines = [f"    {name}={value!r}," for name, value in settings.items()]
    return "\n".join(
        [
            "from gradio_client import Client, handle_file",
            "",
            f"client = Client({address!r})",
            "painting, about = client.predict(",
            '    photo=handle_file("photo.jpg"),',
            *lines,
            '    api_name="/paint",',
            ")",
        ]
    )


def curl_call(address: str, settings: Mapping[str, object]) -> str:
    """Three requests: the photo up, the settings, the answer."""
    address = address.rstrip("/")
    values = json.dumps(list(settings.values()))[1:-1]
    data = '{"data": [{"path": "\'"$photo"\'", "meta": {"_type": "gradio.FileData"}}, ' + values.replace("'", "'\\''")
    return "\n".join(
        [
            f"photo=$(curl -s {address}/gradio_api/upload -F files=@photo.jpg | cut -d'\"' -f2)",
            f"event=$(curl -s {address}/gradio_api/call/paint -H 'Content-Type: application/json' \\",
            f"  -d '{data}]}}' | cut -d'\"' -f4)",
            f"curl -sN {address}/gradio_api/call/paint/$event",
        ]
    )


def shell_call(settings: PaintSettings, pack: str) -> str:
    """With the command line of this project.

    Args:
        settings: their styles by the names that the pack has.
        pack: a folder or a name on the Hub; empty for those that the command knows by itself.
    """
    mix = settings.mix
    style = next(iter(mix)) if len(mix) == 1 else ",".join(f"{name}={share:g}" for name, share in mix.items())
    parts = ["python", "-m", "styletransfer", "photo.jpg", "--style", style]
    parts += ["--pack", pack] if pack else []
    parts += ["--strength", f"{settings.strength:g}"] if settings.strength != 1 else []
    parts += ["--brush-size", f"{settings.brush_size:g}"] if settings.brush_size != 1 else []
    parts += ["--keep-colors"] if settings.keep_colors else []
    return shlex.join([*parts, "-o", "painting.png"])
