"""Two thousand broken pictures and settings, the same every time: each is painted or refused with a sentence."""

import io
import json
import math
import resource
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from page_kit import peak_memory_of_children
from PIL import Image

from styletransfer.errors import InputError
from styletransfer.pipeline import StyleTransferPipeline

SEED = 20
THROUGH_LIBRARY, THROUGH_API = 1500, 500
SECONDS, MEMORY = 20, 1 << 30
STRANGE = [None, "", "red", "-1", -1, 0, 0.3, 1e300, -1e300, math.nan, math.inf, True, [], {}, [1], 10**30]
STRANGE.append({"path": "/etc/passwd"})
SETTINGS = ["red", 1, 1, False, "", 0.5, "", 0.5, None, "PNG"]  # as /paint takes them, after the photo


def sound_files():
    """Pictures of every kind that people bring: suffix and bytes."""
    rng = np.random.default_rng(SEED)
    rgb = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((48, 36), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (".jpg", rgb, {"exif": exif}),
        (".jpg", rgb.convert("CMYK"), {"progressive": True}),
        (".png", rgb, {}),
        (".png", rgb.convert("RGBA"), {}),
        (".png", rgb.quantize(7), {}),
        (".png", rgb.convert("1"), {}),
        (".png", Image.fromarray(rng.integers(0, 1 << 16, (20, 20), dtype=np.uint16)), {}),
        (".webp", rgb, {}),
        (".gif", rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (".tif", rgb, {"compression": "tiff_lzw"}),
        (".bmp", rgb, {}),
    ]
    files = []
    for suffix, picture, options in kinds:
        file = io.BytesIO()
        picture.save(file, Image.registered_extensions()[suffix], **options)
        files.append((suffix, file.getvalue()))
    return files


def mutated(content, other, rng):
    """The bytes of a picture after one accident."""
    data, kind = bytearray(content), rng.integers(6)
    place = int(rng.integers(len(data)))
    if kind == 0:  # cut short
        return bytes(data[:place])
    if kind == 1:  # some bytes changed anywhere
        for at in rng.integers(len(data), size=rng.integers(1, 9)):
            data[at] = rng.integers(256)
    elif kind == 2:  # the header, where sizes and counts stand
        for at in rng.integers(min(64, len(data)), size=rng.integers(1, 4)):
            data[at] = rng.choice([0, 1, 127, 128, 255])
    elif kind == 3:  # a piece missing
        del data[place : place + int(rng.integers(1, 200))]
    elif kind == 4:  # a piece of another file within
        data[place:place] = other[: int(rng.integers(1, 300))]
    else:  # one file's beginning and another's end
        data[place:] = other[place:]
    return bytes(data)


def mutations(count, stream):
    """(suffix, bytes), the same every time."""
    files, rng = sound_files(), np.random.default_rng([SEED, stream])
    for _ in range(count):
        suffix, content = files[rng.integers(len(files))]
        yield suffix, mutated(content, files[rng.integers(len(files))][1], rng)


def assert_sentence(text, source):
    assert text and text.strip().endswith(".") and "Traceback" not in text and "Error" not in text, (text, source)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Pillow, about what is broken
def test_the_library_paints_or_refuses_each_in_a_sentence(pack, tmp_path):
    pipeline = StyleTransferPipeline.from_pretrained(pack, device="cpu")
    before, painted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for number, (suffix, content) in enumerate(mutations(THROUGH_LIBRARY, 0)):
        file = tmp_path / f"{number}{suffix}"
        file.write_bytes(content)
        began = time.monotonic()
        try:
            painted += pipeline(file, "red").width > 0
        except InputError as error:
            assert_sentence(str(error), file)
        assert time.monotonic() - began < SECONDS, file
        file.unlink()
    assert THROUGH_LIBRARY // 20 < painted < THROUGH_LIBRARY
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


def answer(address, data):
    """Event and data with which /paint answers."""
    call = urllib.request.Request(f"{address}gradio_api/call/paint", json.dumps({"data": data}).encode())
    call.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(call, timeout=SECONDS) as reply:
            event = json.load(reply)["event_id"]
        with urllib.request.urlopen(f"{address}gradio_api/call/paint/{event}", timeout=SECONDS) as reply:
            lines = reply.read().decode().splitlines()
    except urllib.error.HTTPError as error:  # what is no call at all
        return "error", error.read().decode()
    kind = [line.partition(": ")[2] for line in lines if line.startswith("event: ") and "heartbeat" not in line][-1]
    return kind, [line.partition(": ")[2] for line in lines if line.startswith("data: ")][-1]


def upload(address, suffix, content):
    """The server's path of an uploaded file."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="photo{suffix}"\r\n\r\n'.encode()
    call = urllib.request.Request(f"{address}gradio_api/upload", head + content + b"\r\n--x--\r\n")
    call.add_header("Content-Type", "multipart/form-data; boundary=x")
    with urllib.request.urlopen(call, timeout=SECONDS) as reply:
        return json.load(reply)[0]


@pytest.mark.slow
def test_the_api_paints_or_refuses_each_in_a_sentence(address):
    before, rng, painted = peak_memory_of_children(), np.random.default_rng([SEED, 2]), 0
    sound = upload(address, *sound_files()[0])
    for number, (suffix, content) in enumerate(mutations(THROUGH_API, 1)):
        settings = list(SETTINGS)
        if number % 2:  # a sound photo, asked for in a strange way
            settings[rng.integers(len(settings))] = STRANGE[rng.integers(len(STRANGE))]
        path = sound if number % 2 else upload(address, suffix, content)
        began = time.monotonic()
        kind, data = answer(address, [{"path": path, "meta": {"_type": "gradio.FileData"}}, *settings])
        assert time.monotonic() - began < SECONDS, (number, suffix, settings)
        painted += kind == "complete"
        if kind != "complete":
            told = json.loads(data)
            assert told and (told.get("error") or told.get("detail")), (number, suffix, str(settings), data)
            assert_sentence(told.get("error") or json.dumps(told["detail"]), (number, suffix, settings))
    assert THROUGH_API // 20 < painted < THROUGH_API
    assert peak_memory_of_children() - before < MEMORY
