"""The example photos, painted in every style ahead of the visitors: who chooses one need not wait for the network.

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
from styletransfer.page.studio import Studio

MAX_PAINTINGS = 64  # kept at a time, at most 1.8 MB each
QUIET = 2.0  # seconds without a visitor's painting, after which the cores are free for one of ours

_log = logging.getLogger(__name__)


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
