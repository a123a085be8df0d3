"""What the server does beside its answers: examples painted ahead of the visitors, and a GPU lent where there is one.

The package `spaces` is there on Spaces that lend a GPU (ZeroGPU), and nowhere else. What it decorates runs in a
process of its own: arguments and results travel as pickles, of errors only gr.Error arrives as it was, and the
visitor's request stays behind.
"""

import functools
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from styletransfer.errors import InputError
from styletransfer.images.files import PICTURE_SUFFIXES
from styletransfer.page.language import speaking, visitors_language
from styletransfer.page.requests import save_preview
from styletransfer.page.studio import Studio
from styletransfer.paths import EXAMPLES
from styletransfer.settings import PaintSettings

MAX_PAINTINGS = 96  # of the examples, kept at a time, at most 1.8 MB each
QUIET = 2.0  # seconds without a visitor's painting, after which the cores are free for one of ours


FIRST = "coffee"  # of the examples: one object, whose edges and highlights every style turns into strokes

# The events that run a network.
PAINTING = ("follow", "preview", "paint", "take_home", "paint_all", "every_style", "explain")

_log = logging.getLogger(__name__)


def examples() -> list[Path]:
    """The example photos, in the order of their names; none where their folder is missing."""
    files = sorted(EXAMPLES.iterdir()) if EXAMPLES.is_dir() else []
    return [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]


def example_photo() -> Path | None:
    """The photo that stands in for a visitor's; None where there are no examples."""
    files = examples()
    return next((file for file in files if file.stem == FIRST), files[0] if files else None)


def first_pair(studio: Studio) -> tuple[str, str] | None:
    """Photo and painting that the page opens with, as files; None where there is nothing to show.

    Where a GPU is lent to visitors, nothing can be painted ahead of them: there it is the sample of the pack.

    Raises:
        InputError: the pack of the first style cannot be loaded.
    """
    photo, (style, card) = example_photo(), next(iter(studio.catalog.styles.items()))
    if photo and not gpu_decorator():
        shown = studio.show(photo, PaintSettings(style))
        return save_preview(shown.before, photo.stem), save_preview(shown.after, f"{photo.stem}-{style}")
    sample_photo = card.sample and card.sample.with_name("_photo.webp")
    return (str(sample_photo), str(card.sample)) if sample_photo and sample_photo.is_file() else None


def paint_ahead(studio: Studio, photos: Sequence[Path], quiet: float = QUIET) -> threading.Thread:
    """Paint the photos in all styles at hand, in a thread of its own, whenever nobody else paints; returns it.

    Who chooses an example need not wait for the network. Nothing of it is stored with the project: a dozen styles would
    weigh several megabytes, and a pack trained anew would be shown by paintings of the old one.
    """
    work = threading.Thread(target=_paint_all, args=(studio, photos, quiet), daemon=True, name="examples")
    work.start()
    return work


def _paint_all(studio: Studio, photos: Sequence[Path], quiet: float) -> None:
    # Style by style: the first one, which the page opens with, is ready for all photos before the next is begun.
    wanted = ((style, photo) for style in studio.catalog.at_hand() for photo in photos)
    for style, photo in islice(wanted, MAX_PAINTINGS):
        while studio.quiet_seconds < quiet:
            time.sleep(quiet / 10)
        try:
            studio.paint_ahead(photo, style)
        except InputError as error:  # it is said to whoever chooses it
            _log.warning("%s in %s is not painted ahead: %s", photo.name, style, error)


@functools.cache
def gpu_decorator() -> Callable[..., Any] | None:
    """`spaces.GPU` where the package is; None elsewhere.

    To be asked first before any network is loaded: importing the package is what makes the main process place
    networks for a GPU that it does not have.
    """
    try:
        import spaces
    except ImportError:
        return None
    return spaces.GPU


def lend_gpu(events: Any, names: Sequence[str] = PAINTING) -> Any:
    """The events, those of these names with the GPU's decorator if there is one."""
    decorate = gpu_decorator()
    for name in names if decorate else ():
        setattr(events, name, _on_gpu(getattr(events, name), decorate))
    return events


def _on_gpu(event: Callable[..., Any], decorate: Callable[..., Any]) -> Callable[..., Any]:
    """The event on the GPU; the visitor's language goes along, since the request does not."""
    if not inspect.isgeneratorfunction(event):

        @functools.wraps(event)
        def once(language: str, *arguments: Any) -> Any:
            with speaking(language):
                return event(*arguments)

        lent = decorate(once)
        return functools.wraps(event)(lambda *arguments: lent(visitors_language(), *arguments))

    @functools.wraps(event)
    def steps(language: str, *arguments: Any) -> Iterator[Any]:
        results = event(*arguments)
        while True:
            with speaking(language):
                try:
                    result = next(results)
                except StopIteration:
                    return
            yield result

    lent_steps = decorate(steps)

    @functools.wraps(event)
    def stepwise(*arguments: Any) -> Iterator[Any]:
        yield from lent_steps(visitors_language(), *arguments)

    return stepwise
