"""One photo being turned this way and that, at screen size: the network runs only for what needs it."""

import threading
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from PIL import Image

from styletransfer.errors import Sentence
from styletransfer.images.advice import advise
from styletransfer.images.files import Picture, load_picture
from styletransfer.models.canvas import rescaled
from styletransfer.painter import Layers, Painter, Photo, check_size
from styletransfer.settings import SCREEN_SIDE, PaintSettings
from styletransfer.steps import Steps, drained

KEPT_PAINTINGS = 4  # of each pack
KEPT_MASKS = 2


class Session(Layers):
    """A photo at screen size, with the paintings made of it so far.

    Strength, colors and mask are laid over a painting that is kept; only a style, a mix or a brush that is new runs
    the network. Safe to use from any thread.

    Args:
        photo: a picture, opened or not.
        side: longer side of what is shown, in pixels; a smaller photo keeps its size.

    Raises:
        InputError: the photo cannot be read, or is too small to be painted.
    """

    def __init__(self, photo: Photo, side: int = SCREEN_SIDE) -> None:
        picture = photo if isinstance(photo, Picture) else load_picture(photo)
        check_size(picture.size)
        self.notes: tuple[Sentence, ...] = (*picture.notes, *advise(picture.rgb))
        self.full_size = picture.size
        self._picture = _at_screen_size(picture, side)
        self._lock = threading.Lock()
        self._paintings: WeakKeyDictionary[Painter, LRUCache] = WeakKeyDictionary()
        self._ahead: WeakKeyDictionary[Painter, dict[str, Image.Image]] = WeakKeyDictionary()
        self._masks: LRUCache[bytes, Image.Image] = LRUCache(KEPT_MASKS)

    @property
    def picture(self) -> Picture:
        """The photo at screen size; a copy, which may be drawn on, as all others go on with the session's own."""
        alpha = self._picture.alpha and self._picture.alpha.copy()
        return Picture(self._picture.rgb.copy(), alpha, self._picture.notes)

    def render(self, painter: Painter, settings: PaintSettings) -> Image.Image:
        """What the painter makes of the photo at screen size, bit for bit; errors are its own.

        Returns:
            A picture of the caller's own, whatever of it is kept here.
        """
        with self._lock:
            return drained(painter.steps(self._picture, settings, layers=self)).copy()

    def paint_ahead(self, painter: Painter, style: str) -> None:
        """Make the painting in one style and keep it for as long as the painter is there."""
        with self._lock:
            made = self._ahead.setdefault(painter, {})
            if style not in made:
                made[style] = painter.paint(self._picture.rgb, style)

    def mask(self, mask: Image.Image, size: tuple[int, int]) -> Image.Image:
        """As `Layers.mask`; the last few are kept."""
        key = mask.size[0].to_bytes(4, "big") + mask.tobytes()
        if key not in self._masks:
            self._masks[key] = super().mask(mask, size)
        return self._masks[key]

    def painting(self, painter: Painter, rgb: Image.Image, settings: PaintSettings) -> Steps[Image.Image]:
        """As `Layers.painting`; the last few of each painter are kept."""
        mix, brush_size = tuple(sorted(settings.mix.items())), settings.brush_size
        ahead = self._ahead.get(painter, {}).get(mix[0][0])
        if ahead is not None and len(mix) == 1 and brush_size == 1:
            return ahead
        made = self._paintings.setdefault(painter, LRUCache(KEPT_PAINTINGS))
        if (mix, brush_size) not in made:
            made[mix, brush_size] = yield from super().painting(painter, rgb, settings)
        return made[mix, brush_size]


def _at_screen_size(picture: Picture, side: int) -> Picture:
    if max(picture.size) <= side:
        return picture
    rgb = rescaled(picture.rgb, side / max(picture.size))
    alpha = picture.alpha.resize(rgb.size, Image.Resampling.LANCZOS) if picture.alpha else None
    return Picture(rgb, alpha, picture.notes)
