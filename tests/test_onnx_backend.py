"""`backend="onnx"`: the pipeline paints with onnxruntime what it paints with PyTorch."""

import pytest
import torch
from painting_kit import STYLES, farthest, refusal
from PIL import Image
from small_generators import random_generator

from styletransfer import StyleTransferPipeline
from styletransfer import painter as painting_room
from styletransfer.images.files import load_picture
from styletransfer.packs import folder as packs
from styletransfer.paths import EXAMPLES, SHIPPED_PACK

FLOAT = {"device": "cpu", "dtype": torch.float32}


@pytest.fixture(scope="module")
def both():
    generators = [random_generator(STYLES) for _ in range(2)]
    for generator in generators:
        generator.register_to_config(grain=0.1)
    return StyleTransferPipeline(generators[0], **FLOAT), StyleTransferPipeline(generators[1], backend="onnx")


@pytest.mark.parametrize(
    "settings",
    [{"style": "wave"}, {"style": {"night": 3, "alps": 1}, "brush_size": 2, "strength": 0.7, "keep_colors": True}],
)
def test_photos_are_painted_alike(both, photo, settings):
    torch_pipeline, onnx_pipeline = both
    assert farthest(torch_pipeline(photo, **settings), onnx_pipeline(photo, **settings)) <= 1


def test_large_photos_are_painted_alike_tile_by_tile(both, photo, monkeypatch):
    monkeypatch.setattr(painting_room, "WHOLE_PIXELS", 4096)
    monkeypatch.setattr(painting_room, "TILE_SIZE", 64)
    torch_pipeline, onnx_pipeline = both
    large = photo.resize((300, 210))
    assert farthest(torch_pipeline.paint(large, "alps"), onnx_pipeline.paint(large, "alps")) <= 1


@pytest.mark.parametrize("side", [320, 181])
def test_a_pack_that_ships_paints_a_real_photo_alike(side):
    photo = load_picture(EXAMPLES / "pagoda.jpg").rgb.resize((side, side * 3 // 4))
    expected = StyleTransferPipeline.from_pretrained(SHIPPED_PACK, **FLOAT)(photo, "starry-night")
    assert (
        farthest(StyleTransferPipeline.from_pretrained(SHIPPED_PACK, backend="onnx")(photo, "starry-night"), expected)
        <= 1
    )


def test_all_styles_that_ship_and_their_mixes_are_painted_alike(photo):
    mix = {"starry-night": 1, "great-wave": 2}  # of two packs
    shipped = StyleTransferPipeline.from_pretrained(backend="onnx")
    expected = StyleTransferPipeline.from_pretrained(**FLOAT)
    assert farthest(shipped(photo, mix), expected(photo, mix)) <= 1
    painter, _ = shipped.catalog.pipeline(mix)
    assert painter.backend == "onnx" and painter.network is not painter.generator


def test_what_onnxruntime_does_not_have_is_refused_in_a_sentence(tmp_path):
    packs.save_pack(tmp_path / "pack", random_generator(STYLES), samples={}, recipe={})
    load = StyleTransferPipeline.from_pretrained
    for source in (tmp_path / "pack", None):
        assert "leave device and dtype out" in refusal(load, source, backend="onnx", dtype=torch.bfloat16)
        assert "leave device and dtype out" in refusal(load, source, backend="onnx", device="cuda")
        assert "torch or onnx, not 'tensorflow'" in refusal(load, source, backend="tensorflow")
    pipeline = load(tmp_path / "pack", backend="onnx")
    assert "leave device and dtype out" in refusal(pipeline.to, torch.float16)
    assert pipeline.to("cpu") is pipeline
    assert pipeline(Image.new("RGB", (20, 20)), "wave").size == (20, 20)
