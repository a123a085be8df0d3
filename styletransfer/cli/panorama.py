"""`--panorama` and `--stereo`: photos of the whole sphere and pairs for two eyes, as the command paints them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from styletransfer.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from styletransfer.images.files import Picture
    from styletransfer.painter import Painter
    from styletransfer.settings import PaintSettings


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--panorama",
        action="store_true",
        help="the photo is a 360-degree picture, twice as wide as high; one that says so itself (XMP) needs no flag",
    )
    parser.add_argument(
        "--stereo",
        choices=("sbs",),
        help="the photo is a stereo pair, left and right eye side by side: both are painted alike",
    )


def is_asked(options: argparse.Namespace, photo: Path, size: tuple[int, int]) -> bool:
    """Whether a large photo is to be painted as a 360-degree picture or a stereo pair, by the flags or by itself.

    Args:
        options: of the command.
        photo: its file, which is read for what it says of itself only where its shape is that of a sphere: to find
            that, a PNG has to be decoded.
        size: width and height.
    """
    from styletransfer.images.files import embedded_xmp
    from styletransfer.surround.gpano import is_equirectangular, panorama_properties
    from styletransfer.surround.panorama import is_panorama

    if options.stereo or options.panorama:
        return True
    return is_panorama(size) and is_equirectangular(panorama_properties(embedded_xmp(photo))[0])


def paint(
    painter: "Painter",
    photo: Path,
    picture: "Picture",
    settings: "PaintSettings",
    options: argparse.Namespace,
    say: Callable[[str], None],
) -> tuple["Image.Image", dict[str, object]]:
    """The painting of one photo, and what `save_result` is to write beside the settings.

    Raises:
        InputError: as the painter does; or the photo is not of the kind that the flags say, or of two kinds.
    """
    if options.stereo and (options.panorama or options.wrap):
        raise InputError("A stereo pair is painted with --stereo alone: leave out --panorama and --wrap.")
    from styletransfer.surround.gpano import is_equirectangular, packet, panorama_properties
    from styletransfer.surround.panorama import is_panorama, paint_panorama

    if options.stereo:
        from styletransfer.surround.stereo import paint_stereo

        return paint_stereo(painter, picture, settings), {"also": {"stereo": options.stereo}}
    properties, notes = panorama_properties(picture.xmp)
    for note in notes:
        say(f"note: {photo}: {note}")
    if options.panorama or (is_equirectangular(properties) and is_panorama(picture.size)):
        painting = paint_panorama(painter, picture, settings)
        return painting, {"also": {"panorama": True}, "xmp": packet(properties, painting.size)}
    if is_equirectangular(properties):
        say(f"note: {photo}: it is a part of a 360-degree picture, and painted as any photo.")
    elif is_panorama(picture.size) and not options.wrap:
        say(f"note: {photo}: it is twice as wide as high; if it is a 360-degree picture, add --panorama.")
    return painter(picture, settings), {}
