"""What a link to the page becomes elsewhere: icon, card and tags, asked for over HTTP as other sites do."""

import io
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styletransfer.hub.spaces import THUMBNAIL
from styletransfer.page.head import PREVIEW_SIZE

ASSETS = Path(__file__).resolve().parents[2] / "assets"
MAX_PREVIEW = 150_000  # bytes


def asked(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return answer.headers, answer.read()


class Head(HTMLParser):
    """The tags of a page as those read them who run no script."""

    def __init__(self, text):
        super().__init__()
        self.metas, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "meta" and "content" in attributes:
            key = attributes.get("property") or attributes.get("name")
            self.metas.append((key, attributes["content"], attributes.get("media")))
        if tag == "link":
            self.links.append(attributes)

    def all(self, key):
        return [content for name, content, _ in self.metas if name == key]


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("favicon.ico", "icon.png", "image/png"),
        ("icon.svg", "icon.svg", "image/svg+xml"),
        ("preview.jpg", "preview.jpg", "image/jpeg"),
    ],
)
def test_icon_and_preview_are_served_as_they_are(address, path, file, kind):
    headers, body = asked(address + path)
    assert body == (ASSETS / file).read_bytes()
    assert headers["content-type"].split(";")[0] == kind


def test_the_page_names_its_own_title_picture_and_colors_and_nothing_of_gradio(address):
    headers, body = asked(address)
    assert int(headers["content-length"]) == len(body)
    head = Head(body.decode())
    for key in ("og:title", "twitter:title"):
        assert head.all(key) == ["Photo in, painting out"]
    for key in ("og:description", "twitter:description", "description"):
        assert len(head.all(key)) == 1 and "painting" in head.all(key)[0]
    for key in ("og:image", "twitter:image"):
        assert head.all(key) == [f"{address}preview.jpg"]
    assert head.all("og:url") == [address]
    assert head.all("twitter:card") == ["summary_large_image"]
    assert head.all("twitter:creator") == []
    assert {media for key, _, media in head.metas if key == "theme-color"} == {
        "(prefers-color-scheme: light)",
        "(prefers-color-scheme: dark)",
    }
    assert {"rel": "icon", "type": "image/svg+xml", "href": "icon.svg"} in head.links
    assert b"<title>Photo in, painting out</title>" in body
    assert not [content for _, content, _ in head.metas if "gradio" in content.lower()]


def test_behind_a_proxy_the_addresses_are_those_from_outside_and_a_hosts_name_stays_text(address):
    _, body = asked(address, **{"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "org-page.hf.space"})
    assert Head(body.decode()).all("og:image") == ["https://org-page.hf.space/preview.jpg"]
    _, body = asked(address, **{"X-Forwarded-Host": 'x"><script>alert(1)</script>'})
    assert b"<script>alert" not in body


def test_the_preview_is_a_card_of_the_size_that_is_told_and_small():
    content = (ASSETS / "preview.jpg").read_bytes()
    assert len(content) <= MAX_PREVIEW
    assert Image.open(io.BytesIO(content)).size == PREVIEW_SIZE
    assert (ASSETS.parent / THUMBNAIL).read_bytes() == content


def test_the_icon_is_told_from_a_plain_square_at_16_pixels():
    small = np.asarray(Image.open(ASSETS / "icon.png").convert("RGB").resize((16, 16), Image.Resampling.LANCZOS))
    assert (small.sum(axis=-1, dtype=int) > 450).sum() > 30  # waves
    assert ((small[..., 0] > 180) & (small[..., 2] < 120)).sum() > 10  # sun
