"""What a 360-degree picture says of itself in XMP: Google's GPano properties, which viewers and headsets look for.

Source: Google, "Photo Sphere XMP Metadata" (namespace http://ns.google.com/photos/1.0/panorama/).
"""

import re
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from styletransfer.errors import Sentence

NAMESPACE = "http://ns.google.com/photos/1.0/panorama/"
MAX_BYTES = 1_000_000  # of a packet; real ones are a few kilobytes
MAX_TEXT = 200  # characters of a property
PROJECTION = "equirectangular"

_NAME = re.compile(r"[A-Za-z]{1,64}")
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:GPano="{namespace}"{properties}/></rdf:RDF></x:xmpmeta>\n'
    '<?xpacket end="w"?>'
)


def panorama_properties(xmp: bytes) -> tuple[dict[str, str], list[Sentence]]:
    """The GPano properties of an XMP packet by name, and what is to be said where it cannot be read."""
    if not xmp:
        return {}, []
    try:
        root = _parsed(xmp)
    except (ElementTree.ParseError, ValueError):
        return {}, [Sentence("The picture's XMP data is damaged and was ignored.")]
    prefix, found = f"{{{NAMESPACE}}}", {}
    for element in root.iter():
        written = [*element.attrib.items(), (element.tag, element.text or "")]
        for name, text in written:
            if name.startswith(prefix) and _NAME.fullmatch(name.removeprefix(prefix)):
                found.setdefault(name.removeprefix(prefix), text.strip()[:MAX_TEXT])
    return found, []


def _parsed(xmp: bytes) -> ElementTree.Element:
    """The packet's root; raises ValueError or ParseError for what is none."""
    if len(xmp) > MAX_BYTES or b"<!DOCTYPE" in xmp or b"<!ENTITY" in xmp:  # entities can grow without end
        raise ValueError("not a packet of XMP")
    return ElementTree.fromstring(xmp.strip(b"\0 \t\r\n"))


def is_equirectangular(properties: Mapping[str, str]) -> bool:
    """Whether a picture says that it is a part of a sphere, unrolled, or the whole of it."""
    return properties.get("ProjectionType", "").lower() == PROJECTION


def packet(properties: Mapping[str, str], size: tuple[int, int]) -> bytes:
    """The XMP packet of a picture of the whole sphere.

    Args:
        properties: of the photo, as `panorama_properties` reads them: heading, first view and so on are kept.
        size: width and height of the painting, which are written in place of the photo's.
    """
    width, height = map(str, size)
    own = {
        "ProjectionType": PROJECTION,
        "UsePanoramaViewer": "True",
        "CroppedAreaImageWidthPixels": width,
        "CroppedAreaImageHeightPixels": height,
        "FullPanoWidthPixels": width,
        "FullPanoHeightPixels": height,
        "CroppedAreaLeftPixels": "0",
        "CroppedAreaTopPixels": "0",
    }
    written = "".join(f" GPano:{name}={quoteattr(text)}" for name, text in {**properties, **own}.items())
    return _PACKET.format(namespace=NAMESPACE, properties=written).encode()
