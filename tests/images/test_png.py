"""PNG written strip by strip: any reader gives back the same pixels, whatever the strips."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from styletransfer.images import png
from styletransfer.images.files import save_picture
from styletransfer.images.png import COLOR_TYPES, PngWriter, write_png


def noisy(mode, size=(67, 203)):
    levels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    return Image.fromarray(levels.squeeze(), mode)


def opened(file):
    with Image.open(io.BytesIO(file.getvalue())) as image:
        image.load()
    return image


@pytest.mark.parametrize("mode", COLOR_TYPES)
@pytest.mark.parametrize("compressed", [True, False])
def test_every_mode_is_read_back_bit_for_bit(mode, compressed, monkeypatch):
    monkeypatch.setattr(png, "STRIP_BYTES", 1000)
    file = io.BytesIO()
    write_png(file, noisy(mode), compressed=compressed)
    image = opened(file)
    assert image.mode == mode and image.tobytes() == noisy(mode).tobytes()


@pytest.mark.parametrize("heights", [(203,), (1, 202), (100, 1, 102), (64, 64, 64, 11)])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_may_come_in_any_pieces(heights, threads, monkeypatch):
    monkeypatch.setattr(png, "STRIP_BYTES", 700)
    file, top = io.BytesIO(), 0
    with PngWriter(file, (67, 203), "RGB", threads=threads) as writer:
        for height in heights:
            writer.write(noisy("RGB").crop((0, top, 67, top + height)))
            top += height
    assert opened(file).tobytes() == noisy("RGB").tobytes()


def test_checksums_of_strips_add_up_to_zlibs_own():
    pieces = [np.random.default_rng(seed).bytes(length) for seed, length in enumerate((1, 70_000, 3, 65_521, 200_000))]
    adler = png.zlib.adler32(b"")
    for piece in pieces:
        adler = png._adler_of_both(adler, png.zlib.adler32(piece), len(piece))
    assert adler == png.zlib.adler32(b"".join(pieces))


def test_text_and_profile_are_kept_and_smooth_pictures_become_small(tmp_path):
    notes = PngInfo()
    notes.add_text("key", "value")
    smooth = Image.linear_gradient("L").resize((600, 400)).convert("RGB")
    save_picture(smooth, tmp_path / "a.png", pnginfo=notes, icc_profile=b"profile" * 20)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["key"] == "value" and image.info["icc_profile"] == b"profile" * 20
        assert image.tobytes() == smooth.tobytes()
    assert (tmp_path / "a.png").stat().st_size < 600 * 400 * 3 / 20


def test_who_gives_up_leaves_no_thread_waiting():
    with pytest.raises(ZeroDivisionError), PngWriter(io.BytesIO(), (67, 203), "RGB") as writer:
        writer.write(noisy("RGB"))
        raise ZeroDivisionError
