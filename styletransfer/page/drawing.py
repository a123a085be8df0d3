"""A part of the photo alone: the canvas that it is drawn on, and the mask that follows each stroke."""

from dataclasses import dataclass

import gradio as gr
from gradio.events import Dependency

from styletransfer.page.events import Events

# The page looks at the canvas once a stroke is over, whatever ended it: pointer, a key, a button of the canvas.
TELL_STROKES = """() => {
  let pressed = false
  const inside = event => !!event.target?.closest?.("#canvas")
  const tell = () => setTimeout(() => document.querySelector("#stroke")?.click(), 50)
  document.addEventListener("pointerdown", event => { pressed = inside(event) }, true)
  for (const end of ["pointerup", "pointercancel"])
    document.addEventListener(end, () => { if (pressed) tell(); pressed = false }, true)
  document.addEventListener("keyup", event => { if (inside(event)) tell() }, true)
}"""


@dataclass(frozen=True)
class Drawing:
    """The components of a drawing."""

    wanted: gr.Checkbox
    canvas: gr.ImageEditor
    drawn: gr.JSON  # what the canvas held when it was last asked; never seen
    mask: gr.Image  # the mask made of it, as a file; never seen
    stroke: gr.Button  # clicked by the browser after each stroke; never seen


def build_drawing(texts: gr.I18n) -> Drawing:
    """The components, where they stand on the page."""
    wanted = gr.Checkbox(label=texts("part"), elem_id="part")
    canvas = gr.ImageEditor(
        type="pil",
        label=texts("draw"),
        sources=(),
        transforms=(),
        brush=gr.Brush(colors=["#3a57a6"], color_mode="fixed"),
        layers=gr.LayerOptions(allow_additional_layers=False),
        visible=False,
        interactive=True,
        elem_id="canvas",
    )
    drawn = gr.JSON(visible=False)
    mask = gr.Image(type="filepath", label="Mask", visible=False, elem_id="mask-file")
    return Drawing(wanted, canvas, drawn, mask, gr.Button(visible="hidden", elem_id="stroke"))


def ask_canvas(drawing: Drawing, button: gr.Button) -> Dependency:
    """The event that puts the canvas's pictures into `drawing.drawn` when the button is clicked, for others to follow.

    It runs in the browser alone. Gradio asks every input and output of a server's event for its value, at every step of
    any event of the page, and the canvas answers by uploading three pictures: sixty in a stroke, minutes on a phone.
    """
    return button.click(
        None,
        drawing.canvas,
        drawing.drawn,
        js="canvas => canvas",
        trigger_mode="always_last",
        show_progress="hidden",
        api_visibility="private",
    )


def connect_drawing(page: gr.Blocks, photo: gr.Image, drawing: Drawing, events: Events) -> None:
    """The canvas follows the photo, and the mask the canvas."""
    silent = {"preprocess": False, "show_progress": "hidden", "api_visibility": "private"}
    gr.on(
        [drawing.wanted.change, photo.change],
        events.canvas,
        [drawing.wanted, photo],
        [drawing.canvas, drawing.mask],
        show_progress_on=drawing.stroke,  # in place of the canvas, see `ask_canvas`
        **silent,
    )
    # Not canvas.input: it tells of every move of the pointer, and hands out pictures from before the last stroke.
    page.load(None, js=TELL_STROKES)
    asked = ask_canvas(drawing, drawing.stroke)
    asked.then(events.mask_of, drawing.drawn, drawing.mask, trigger_mode="always_last", **silent)
