"""What MP4 and MOV files say of a sphere: read, and written ("Spherical Video RFC", version 1, Google 2015).

A file is a tree of boxes: four bytes of size, four of kind, then what is inside (ISO/IEC 14496-12, section 4.2).
"""

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from styletransfer.images.files import whole_file

SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
SPHERICAL = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
TOLD = b"""<?xml version="1.0"?>\
<rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" \
xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">\
<GSpherical:Spherical>true</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>\
<GSpherical:StitchingSoftware>styletransfer</GSpherical:StitchingSoftware>\
<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType></rdf:SphericalVideo>"""
MOST_HEADER = 256 * 1024 * 1024  # bytes of an index; the largest that is read into memory
CHUNK = 1 << 20


class Box(NamedTuple):
    """Where a box lies in its file, or in the box that holds it."""

    kind: bytes
    start: int
    inside: int  # where its contents begin
    end: int


def is_spherical(path: Path) -> bool:
    """Whether the file says that its video is a sphere, laid out by longitude and latitude; False where unreadable."""
    try:
        index = _index(path)
        return index is not None and _tells(index[1])
    except (OSError, ValueError, struct.error):
        return False


def _tells(data: bytes) -> bool:
    own = (box for trak in _children(data, b"trak") for box in _boxes(data, trak.inside, trak.end))
    told = (data[box.inside : box.end] for box in own if box.kind == b"uuid")
    if any(each.startswith(SPHERICAL) and b"<GSpherical:Spherical>true" in each for each in told):
        return True
    return b"sv3d" in data and b"equi" in data  # version 2 of the same


def say_spherical(path: Path) -> bool:
    """Let the file say so; returns whether it could be said. The file is replaced whole or left as it was.

    Raises:
        InputError: the file cannot be written.
    """
    index = _index(path)
    if index is None:
        return False
    place, data = index
    video = next((trak for trak in _children(data, b"trak") if b"vide" in data[trak.inside : trak.end]), None)
    if video is None:
        return False
    box = struct.pack(">I4s", 24 + len(TOLD), b"uuid") + SPHERICAL + TOLD
    changed = bytearray(data)
    if place < _first_media(path) and not _moved_chunks(changed, len(box)):
        return False
    _grow(changed, video.start, len(box))
    _grow(changed, 0, len(box))
    changed[video.end : video.end] = box
    with path.open("rb") as old, whole_file(path) as new:
        _copy(old, new, place)
        new.write(changed)
        old.seek(place + len(data))
        shutil.copyfileobj(old, new, CHUNK)
    return True


def _index(path: Path) -> tuple[int, bytes] | None:
    """Where the index (moov) begins, and all of it; None where there is none."""
    with path.open("rb") as file:
        for box in _file_boxes(path):
            if box.kind == b"moov" and box.end - box.start <= MOST_HEADER:
                file.seek(box.start)
                return box.start, file.read(box.end - box.start)
    return None


def _first_media(path: Path) -> int:
    return min((box.start for box in _file_boxes(path) if box.kind == b"mdat"), default=0)


def _file_boxes(path: Path) -> Iterator[Box]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start + 8 <= size:
            file.seek(start)
            box = _box(file.read(16), start, size)
            yield box
            start = box.end


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        box = _box(data[start : start + 16], start, end)
        yield box
        start = box.end


def _box(head: bytes, start: int, end: int) -> Box:
    size, kind = struct.unpack(">I4s", head[:8])
    inside = start + 8
    if size == 1:
        size, inside = struct.unpack(">Q", head[8:16])[0], start + 16
    stop = end if size == 0 else start + size
    if not inside <= stop <= end:
        raise ValueError("a box reaches beyond the one that holds it")
    return Box(kind, start, inside, stop)


def _children(data: bytes, *path: bytes) -> Iterator[Box]:
    """The boxes under an index along a path of kinds."""
    level = [_box(data[:16], 0, len(data))]
    for kind in path:
        level = [box for parent in level for box in _boxes(data, parent.inside, parent.end) if box.kind == kind]
    return iter(level)


def _grow(data: bytearray, start: int, count: int) -> None:
    (size,) = struct.unpack_from(">I", data, start)
    if size > 1:
        struct.pack_into(">I", data, start, size + count)
    elif size == 1:
        (size,) = struct.unpack_from(">Q", data, start + 8)
        struct.pack_into(">Q", data, start + 8, size + count)


def _moved_chunks(data: bytearray, count: int) -> bool:
    """Let the index know that the media after it lies further back; False where its numbers are too small for that."""
    for kind, form in ((b"stco", ">I"), (b"co64", ">Q")):
        for box in _children(bytes(data), b"trak", b"mdia", b"minf", b"stbl", kind):
            (entries,) = struct.unpack_from(">I", data, box.inside + 4)
            width = struct.calcsize(form)
            for place in range(box.inside + 8, box.inside + 8 + entries * width, width):
                (offset,) = struct.unpack_from(form, data, place)
                if offset + count >= 1 << (8 * width):
                    return False
                struct.pack_into(form, data, place, offset + count)
    return True


def _copy(old: BinaryIO, new: BinaryIO, count: int) -> None:
    """So many bytes."""
    for start in range(0, count, CHUNK):
        new.write(old.read(min(CHUNK, count - start)))
