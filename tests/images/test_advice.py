"""Warnings about photos: each fault is told, and sound photos are left in peace."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from styletransfer.images.advice import advise
from styletransfer.images.files import PICTURE_SUFFIXES

EXAMPLES = sorted(
    path for path in (Path(__file__).resolve().parents[2] / "examples").iterdir() if path.suffix in PICTURE_SUFFIXES
)


def opened(path):
    return Image.open(path).convert("RGB")


def saved_at(quality, image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


FAULTS = {
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "very dark": lambda image: image.point(lambda level: level // 6),
    "very small": lambda image: image.resize((60, 40)),
    "compressed": lambda image: saved_at(4, image),
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_sound(path):
    assert advise(opened(path)) == ()
    assert advise(saved_at(75, opened(path))) == ()
    large = opened(path)
    assert advise(large.resize((large.width * 2 // 3, large.height * 2 // 3), Image.Resampling.LANCZOS)) == ()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_fault_is_told_alone(path, fault):
    (sentence,) = advise(FAULTS[fault](opened(path)))
    assert fault in sentence and sentence.startswith("The photo ") and sentence.endswith(".")


def test_blocks_are_found_wherever_they_start():
    image = saved_at(4, opened(EXAMPLES[0]))
    assert len(advise(image.crop((3, 5, image.width, image.height)))) == 1


@pytest.mark.parametrize("color", [(128, 128, 128), (250, 250, 250)])
def test_a_plain_wall_is_no_fault(color):
    assert advise(Image.new("RGB", (400, 300), color)) == ()
    noise = np.random.default_rng(0).normal(128, 2, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    assert advise(Image.fromarray(noise)) == ()
