"""Fixed photos in every style, painted by the pipeline itself: how a run shows what it has learned."""

from collections.abc import Iterable, Mapping, Sequence

from PIL import Image

from styletransfer.data.crops import Row, row_name, row_source
from styletransfer.errors import InputError
from styletransfer.images.files import fit_long_side, load_picture
from styletransfer.packs.contents import PHOTO
from styletransfer.pipeline import StyleTransferPipeline

GRID_SIDE = 384  # long side of a picture in a grid, pixels
PACK_SIDE = 512  # and of the sample that a pack shows


def first_readable(rows: Iterable[Row], count: int, what: str = "the sample photos") -> list[Image.Image]:
    """The first `count` pictures of a source, `what`, that can be opened. Raises InputError when there is none."""
    pictures: list[Image.Image] = []
    first = None
    for row in rows:
        first = first or row_name(row, "without a name")
        try:
            pictures.append(load_picture(row_source(row)).rgb)
        except InputError:
            continue  # training names it when it meets it
        if len(pictures) == count:
            break
    if not pictures:
        raise InputError(f"None of {what} can be opened (the first is {first}): give others.")
    return pictures


def paint_samples(pipeline: StyleTransferPipeline, photos: Sequence[Image.Image]) -> dict[str, list[Image.Image]]:
    """Style name -> the photos in that style, each at the size of a picture in a grid."""
    photos = [fit_long_side(photo, GRID_SIDE) for photo in photos]
    return {style: [pipeline(photo, style) for photo in photos] for style in pipeline.styles}


def sample_grid(photos: Sequence[Image.Image], painted: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """One row per photo: the photo, then its painting in every style, from `paint_samples`."""
    photos = [fit_long_side(photo, GRID_SIDE) for photo in photos]
    rows = [list(row) for row in zip(photos, *painted.values(), strict=True)]
    width, height = (max(photo.size[axis] for photo in photos) for axis in (0, 1))
    grid = Image.new("RGB", (width * len(rows[0]), height * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            grid.paste(picture, (x * width, y * height))
    return grid


def pack_samples(pipeline: StyleTransferPipeline, photo: Image.Image) -> dict[str, Image.Image]:
    """Style name -> the photo in that style, at the size a gallery shows, and the photo itself under PHOTO."""
    photo = fit_long_side(photo, PACK_SIDE)
    return {PHOTO: photo, **{style: pipeline(photo, style) for style in pipeline.styles}}
