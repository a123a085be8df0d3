"""Fixed photos in every style, painted by the pipeline itself: how a run shows what it has learned."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from styletransfer.errors import InputError
from styletransfer.images import fit_long_side, load_picture
from styletransfer.pack_files import PHOTO
from styletransfer.pipeline import StyleTransferPipeline

GRID_SIDE = 384  # long side of a picture in a grid, pixels
PACK_SIDE = 768  # and of the sample that a pack shows


def first_readable(paths: Sequence[str | Path], count: int) -> list[Image.Image]:
    """The first `count` pictures that can be opened. Raises InputError when there is none."""
    pictures: list[Image.Image] = []
    for path in paths:
        if len(pictures) < count:
            try:
                pictures.append(load_picture(path).rgb)
            except InputError:
                continue  # training names it when it meets it
    if not pictures:
        raise InputError(f"None of the sample photos can be opened (first: {paths[0]}): give others.")
    return pictures


def sample_grid(pipeline: StyleTransferPipeline, photos: Sequence[Image.Image]) -> Image.Image:
    """One row per photo: the photo, then its painting in every style."""
    photos = [fit_long_side(photo, GRID_SIDE) for photo in photos]
    rows = [[photo, *(pipeline(photo, style) for style in pipeline.styles)] for photo in photos]
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
