"""A painting that takes too long, through real HTTP: refused in a sentence, and painter and memory are free again."""

import os
import re
import time

import pytest
from gradio_client import Client, handle_file
from page_kit import ROOT, memory_of_children, peak_memory_of_children, start_app
from PIL import Image

HUGE, SMALL = (7200, 5400), (320, 240)
ALL_SAID = "All photos together took longer than 1 seconds, the limit here: bring fewer at once."
SAID = "Painting took longer than 1 seconds, the limit here: make the photo smaller."
PATIENCE = 10  # seconds beyond what the refused painting took, for a small one on a busy machine


@pytest.mark.slow
def test_what_takes_longer_than_the_limit_is_refused_and_the_painter_is_free_again(tmp_path):
    with Image.open(ROOT / "examples" / "cat.jpg") as photo:
        for name, size in (("huge", HUGE), ("small", SMALL)):
            photo.convert("RGB").resize(size).save(tmp_path / f"{name}.jpg", quality=90)
    huge, small = (handle_file(tmp_path / f"{name}.jpg") for name in ("huge", "small"))
    asked = {"style": "great-wave", "api_name": "/paint"}
    (tmp_path / "app").mkdir()
    for address in start_app(tmp_path / "app", os.environ | {"STYLETRANSFER_MAX_SECONDS": "1"}):
        client = Client(address, verbose=False, analytics_enabled=False)
        began = time.monotonic()
        with pytest.raises(Exception, match=re.escape(SAID)):
            client.predict(photo=huge, **asked)
        refused = time.monotonic()
        assert peak_memory_of_children() - memory_of_children() > 3 * HUGE[0] * HUGE[1]  # the decoded photo, at least
        client.predict(photo=small, **asked)
        assert time.monotonic() - refused < refused - began + PATIENCE  # nobody went on with what was refused
        report = client.predict(photos=[huge, small], style="great-wave", api_name="/paint_all")[1]
    assert f"✗ huge.jpg: {SAID}" in report and f"✗ small.jpg: {ALL_SAID}" in report and "0 / 2" in report
    made = sorted(file.name for file in (tmp_path / "app" / "files").rglob("*-great-wave.png"))
    assert made == ["small-great-wave.png"]
