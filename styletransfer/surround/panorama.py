"""360-degree pictures: equirectangular photos, painted so that neither seam nor poles show when one looks round.

The band around the horizon is painted as it is, its left edge continuing the right one. Above and below it a row is
stretched ever more, and strokes would come out pinched: there the sphere is painted in a chart of each pole
(`sphere.py`). All three are painted with one set of frozen statistics. Where they meet, the painting changes from one
to the other along the line around the picture on which both agree best.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.images.files import Picture, load_picture
from styletransfer.painter import Layers, Painter, Photo, Touch
from styletransfer.settings import SCREEN_SIDE, PaintSettings, Style
from styletransfer.steps import Steps, drained, stretched
from styletransfer.surround import sphere
from styletransfer.surround.agreement import joined
from styletransfer.surround.scaling import scaled_steps

LEAST_HEIGHT = 128  # pixels
LATITUDE = math.radians(36)  # around which band and chart meet
MEETING = math.radians(10)  # height of the ring in which they do
MARGIN = 48  # pixels that are painted beyond it, so that no border lies within


def paint_panorama(pipeline: Painter, photo: Photo, style: Style | PaintSettings, **turns: Any) -> Image.Image:
    """Paint a 360-degree photo.

    Who rolls the photo by a number of columns gets the same painting, rolled; that is exact, whatever the number.

    Args:
        pipeline: paints; a `StyleTransferPipeline`, or any other painter.
        photo: equirectangular, opened or not; twice as wide as high, at least 256x128 pixels.
        style: settings; or a style or a mix, with the other settings as keywords, see `PaintSettings`. A brush of 1 is
            as the style learned it in a view of 90 degrees on a screen of 768 pixels.

    Returns:
        As the pipeline's own call does.

    Raises:
        InputError: as the pipeline does; or the photo is not 2:1, or too small.
    """
    picture = photo if isinstance(photo, Picture) else load_picture(photo)
    check_panorama(picture.size)
    return drained(pipeline.steps(picture, PaintSettings.of(style, **turns), layers=SphereLayers()))


def is_panorama(size: tuple[int, int]) -> bool:
    """Whether a picture (width, height) has the shape of a whole sphere: 2:1, within a hundredth."""
    return abs(size[0] / size[1] - 2) <= 0.02


def check_panorama(size: tuple[int, int]) -> None:
    """Raises InputError for a picture (width, height) that cannot be all of a sphere."""
    width, height = size
    if not is_panorama(size):
        raise InputError(
            "The photo is {width}x{height} pixels: a 360-degree picture is twice as wide as high.",
            width=width,
            height=height,
        )
    if height < LEAST_HEIGHT:
        raise InputError(
            "The 360-degree picture is {width}x{height} pixels: the least is 256x128.", width=width, height=height
        )


class SphereLayers(Layers):
    """The layers of a painting of the whole sphere."""

    def painting(self, painter: Painter, rgb: Image.Image, settings: PaintSettings) -> Steps[Image.Image]:
        """The painting alone, "RGB", as large as the photo."""
        brush = settings.brush_size
        return sphere_steps(painter, rgb, settings.mix, stroke_scale(brush, rgb.width), brush)


def stroke_scale(brush_size: float, width: int) -> float:
    """How many times as wide as learned, in pixels, strokes are to be: in a view of 90 degrees as in any picture."""
    return brush_size * max(1.0, width / math.pi / SCREEN_SIDE)


def sphere_steps(
    painter: Painter, rgb: Image.Image, mix: Mapping[str, float], scale: float, brush: float
) -> Steps[Image.Image]:
    """As `Painter.paint_steps`, for an equirectangular picture."""
    start = sphere.heading(np.asarray(rgb))

    def painted(each: Image.Image) -> Steps[Image.Image]:
        return painted_sphere(np.asarray(each), painter.frozen(each, mix))

    turned = Image.fromarray(np.roll(np.asarray(rgb), -start, axis=1))
    painting = yield from scaled_steps(turned, scale, brush, True, painted)
    return Image.fromarray(np.roll(np.asarray(painting), start, axis=1))


def painted_sphere(picture: np.ndarray, touch: Touch) -> Steps[Image.Image]:
    """The picture painted once, strokes as wide as learned: the band first, then over it each pole."""
    height = len(picture)
    ring = _rows(height, LATITUDE + MEETING / 2), _rows(height, LATITUDE - MEETING / 2)
    top = max(0, ring[0] - MARGIN)
    band = yield from stretched(touch(Image.fromarray(picture[top : height - top]), True), 0, 0.5)
    painting = np.empty_like(picture)
    painting[top : height - top] = np.asarray(band)
    yield from stretched(_add_pole(picture, painting, ring, touch), 0.5, 0.75)
    # Upside down and in a mirror, so that the chart itself is seen from inside, as the north's is.
    yield from stretched(_add_pole(picture[::-1, ::-1], painting[::-1, ::-1], ring, touch), 0.75, 1)
    return Image.fromarray(painting)


def _rows(height: int, latitude: float) -> int:
    """How many rows lie above a latitude."""
    return round(height * (0.5 - latitude / math.pi))


def _add_pole(picture: np.ndarray, painting: np.ndarray, ring: tuple[int, int], touch: Touch) -> Steps[None]:
    """Paint the north pole of a picture into the painting, which has the rows from `ring` on."""
    height, width = picture.shape[:2]
    chart = Image.fromarray(sphere.chart_of_pole(picture, _reach(ring[1], height)))
    chart = np.asarray((yield from touch(chart, False)))
    for rows in sphere.strips(range(0, ring[0])):
        painting[rows.start : rows.stop] = sphere.rows_of_pole(chart, (width, height), rows)
    meeting = sphere.rows_of_pole(chart, (width, height), range(*ring))
    painting[ring[0] : ring[1]] = joined(meeting, painting[ring[0] : ring[1]])


def _reach(rows: int, height: int) -> float:
    """How far a chart reaches that has those rows of the picture, and the margin around them."""
    return 2 * math.atan(math.tan(rows / height * math.pi / 2) + MARGIN / sphere.chart_scale(height))
