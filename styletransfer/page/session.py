"""One photo being turned this way and that, at screen size: the network runs only for what needs it."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from PIL import Image

from styletransfer.images.advice import advise
from styletransfer.images.files import Picture, load_picture
from styletransfer.images.finishing import finish, soft_mask
from styletransfer.pipeline import LEAST_SIDE, Photo, StyleTransferPipeline, check_settings, rescaled

SCREEN_SIDE = 768  # pixels; about 0.2 s of two CPU cores
KEPT_PAINTINGS = 4  # of each pack
KEPT_MASKS = 2


class Session:
    """A photo at screen size, with the paintings made of it so far.

    Strength, colors and mask are laid over a painting that is kept; only a style, a mix or a brush that is new runs
    the network. Safe to use from any thread.

    Args:
        photo: a picture, opened or not.
        side: longer side of what is shown, in pixels; a smaller photo keeps its size.

    Raises:
        InputError: the photo cannot be read.
    """

    def __init__(self, photo: Photo, side: int = SCREEN_SIDE) -> None:
        picture = photo if isinstance(photo, Picture) else load_picture(photo)
        self.notes = (*picture.notes, *advise(picture.rgb))
        self.full_size = picture.size
        self._picture = _at_screen_size(picture, side)
        self._lock = threading.Lock()
        self._paintings: WeakKeyDictionary[StyleTransferPipeline, OrderedDict[object, Image.Image]] = (
            WeakKeyDictionary()
        )
        self._ahead: WeakKeyDictionary[StyleTransferPipeline, dict[str, Image.Image]] = WeakKeyDictionary()
        self._masks: OrderedDict[bytes, Image.Image] = OrderedDict()

    @property
    def picture(self) -> Picture:
        """The photo at screen size; a copy, which may be drawn on, as all others go on with the session's own."""
        alpha = self._picture.alpha and self._picture.alpha.copy()
        return Picture(self._picture.rgb.copy(), alpha, self._picture.notes)

    def render(
        self,
        pipeline: StyleTransferPipeline,
        style: str | Mapping[str, float],
        *,
        strength: float = 1.0,
        brush_size: float = 1.0,
        keep_colors: bool = False,
        mask: Image.Image | None = None,
    ) -> Image.Image:
        """What the pipeline makes of the photo at screen size, bit for bit; arguments and errors are its own.

        Returns:
            A picture of the caller's own, whatever of it is kept here.
        """
        check_settings(self._picture, strength, brush_size)
        with self._lock:
            soft = None if mask is None else self._soft(mask)
            if strength == 0:
                return self.picture.compose()
            painting = self._painting(pipeline, style, brush_size)
        finished = finish(self._picture.rgb, painting, strength=strength, keep_colors=keep_colors, mask=soft)
        return Picture(finished, self._picture.alpha).compose().copy()  # at full strength it is the painting kept

    def paint_ahead(self, pipeline: StyleTransferPipeline, style: str) -> None:
        """Make the painting in one style and keep it for as long as the pipeline is there."""
        with self._lock:
            made = self._ahead.setdefault(pipeline, {})
            if style not in made:
                made[style] = pipeline.paint(self._picture.rgb, style)

    def _painting(
        self, pipeline: StyleTransferPipeline, style: str | Mapping[str, float], brush_size: float
    ) -> Image.Image:
        mix = ((style, 1.0),) if isinstance(style, str) else tuple(sorted(style.items()))
        ahead = self._ahead.get(pipeline, {}).get(mix[0][0])
        if ahead is not None and len(mix) == 1 and brush_size == 1:
            return ahead
        made = self._paintings.setdefault(pipeline, OrderedDict())
        if (mix, brush_size) not in made:
            made[mix, brush_size] = pipeline.paint(self._picture.rgb, style, brush_size=brush_size)
        return _used(made, (mix, brush_size), KEPT_PAINTINGS)

    def _soft(self, mask: Image.Image) -> Image.Image:
        gray = mask.convert("L")
        key = gray.size[0].to_bytes(4, "big") + gray.tobytes()
        if key not in self._masks:
            self._masks[key] = soft_mask(gray, self._picture.size)
        return _used(self._masks, key, KEPT_MASKS)


def _used(kept: OrderedDict, key: object, most: int) -> Image.Image:
    """The entry under the key, from now on the newest of at most so many."""
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
    return kept[key]


def _at_screen_size(picture: Picture, side: int) -> Picture:
    if max(picture.size) <= side or min(picture.size) < LEAST_SIDE:
        return picture
    rgb = rescaled(picture.rgb, side / max(picture.size))
    alpha = picture.alpha.resize(rgb.size, Image.Resampling.LANCZOS) if picture.alpha else None
    return Picture(rgb, alpha, picture.notes)
