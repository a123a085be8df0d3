"""Many visitors at once: everybody gets their own painting, and the memory stays bounded."""

import os
import threading

import numpy as np
import pytest
from gradio_client import Client, handle_file
from page_kit import peak_memory_of_children, pixels, start_app
from PIL import Image

from styletransfer.catalog import shipped_catalog

VISITORS, PHOTOS = 10, 5
MEMORY = 4 << 30  # bytes


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    yield from start_app(tmp_path_factory.mktemp("app"), dict(os.environ))


def own_photo(visitor, number):
    """No two alike."""
    rng = np.random.default_rng([visitor, number])
    return Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )


@pytest.mark.slow
def test_ten_visitors_paint_five_photos_each_and_none_gets_anothers(address, tmp_path):
    catalog = shipped_catalog()
    styles = list(catalog.styles)
    painted, failures = {}, []

    def visit(visitor):
        try:
            client = Client(address, download_files=tmp_path / str(visitor), verbose=False, analytics_enabled=False)
            for number in range(PHOTOS):
                file = tmp_path / f"{visitor}-{number}.png"
                own_photo(visitor, number).save(file)
                style = styles[(visitor + number) % len(styles)]
                client.predict(photo=handle_file(file), style=style, strength=0.5, api_name="/preview")
                painted[visitor, number, style] = client.predict(
                    photo=handle_file(file), style=style, strength=0.9, api_name="/paint"
                )[0]
        except Exception as error:
            failures.append(f"{visitor}: {error}")

    visitors = [threading.Thread(target=visit, args=(visitor,)) for visitor in range(VISITORS)]
    for each in visitors:
        each.start()
    for each in visitors:
        each.join(900)
    assert failures == []
    assert len(painted) == VISITORS * PHOTOS
    for (visitor, number, style), file in painted.items():
        pipeline, mix = catalog.pipeline({style: 1.0})
        expected = pixels(pipeline(own_photo(visitor, number), mix, strength=0.9))
        assert np.abs(pixels(file) - expected).mean() < 1
    assert 100 << 20 < peak_memory_of_children() < MEMORY
    print(f"peak memory of the app: {peak_memory_of_children() >> 20} MB")
