"""The example photos: one stands in for a visitor's until there is one, and all are painted ahead in every style.

Nothing is stored with the project: at a quality that one can look at, a dozen styles would weigh several megabytes,
and a pack trained anew would be shown by paintings of the old one. What is kept is the pipeline's own, bit for bit.
"""

import logging
import threading
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from styletransfer.errors import InputError
from styletransfer.images.files import PICTURE_SUFFIXES
from styletransfer.page.requests import save_preview
from styletransfer.page.studio import Studio, Turn
from styletransfer.page.zero_gpu import gpu_decorator
from styletransfer.paths import EXAMPLES

MAX_PAINTINGS = 64  # kept at a time, at most 1.8 MB each
QUIET = 2.0  # seconds without a visitor's painting, after which the cores are free for one of ours

FIRST = "coffee"  # of the examples: one object, whose edges and highlights every style turns into strokes

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
        shown = studio.show(photo, Turn({style: 1.0}))
        return save_preview(shown.before, photo.stem), save_preview(shown.after, f"{photo.stem}-{style}")
    sample_photo = card.sample and card.sample.with_name("_photo.webp")
    return (str(sample_photo), str(card.sample)) if sample_photo and sample_photo.is_file() else None


def paint_ahead(studio: Studio, photos: Sequence[Path], quiet: float = QUIET) -> threading.Thread:
    """Paint the photos in all styles at hand, in a thread of its own, whenever nobody else paints; returns it."""
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
