"""Contrast of a style: exactly what is multiplied, and that calibrating finds a contrast that was taken away."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from styletransfer.cli import paint as cli
from styletransfer.evaluation.metrics import LPIPS_CHANNELS
from styletransfer.models.discriminator import Discriminator
from styletransfer.models.generator import Generator
from styletransfer.packs import folder as packs
from styletransfer.pipeline import StyleTransferPipeline


def draw(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:72, :96]
    waves = [np.sin(x / random.uniform(3, 12) + y / random.uniform(3, 12)) for _ in range(3)]
    return Image.fromarray((128 + 90 * np.stack(waves, axis=-1)).round().astype(np.uint8))


def two_styles() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Generator(styles={"red": "Red", "blue": "Blue"}, channels=8, blocks=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose style "red" is too pale for its painting by a factor of 1.3, and what calibrating needs."""
    folder = tmp_path_factory.mktemp("contrast")
    draw(0).save(folder / "photo.png")
    packs.save_pack(folder / "full", two_styles(), samples={}, recipe={})
    StyleTransferPipeline.from_pretrained(folder / "full", dtype=torch.float32)(draw(0), "red").save(folder / "red.png")
    pale = two_styles()
    pale.scale_contrast("red", 1 / 1.3)
    samples = {"_photo": draw(0), "red": draw(0)}
    judge = Discriminator(2, channels=4)
    packs.save_pack(folder / "pack", pale, samples=samples, recipe={"steps": 7}, discriminator=judge)
    # Heads so small that content counts for nothing: the style distance is 0 at a factor of 1.3.
    save_file(
        {f"lin{i}.model.1.weight": torch.full((1, c, 1, 1), 1e-6) for i, c in enumerate(LPIPS_CHANNELS)}, folder / "h"
    )
    (folder / "h").rename(folder / "heads.safetensors")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def calibrate(place: Path, pack: Path, *more: str) -> int:
    flags = ("--style-network-weights", "random", "--content-network-weights", "random", "--size", "96")
    return cli.main(["calibrate", str(pack), "--photos", str(place / "photo.png"), *flags, *more])


def heads(place: Path) -> tuple[str, str]:
    return "--lpips-weights", str(place / "heads.safetensors")


@torch.no_grad()
def test_contrast_multiplies_one_style_before_the_last_tanh():
    generator, photo = two_styles(), torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    bias = generator.to_rgb.bias[:, None, None]
    red, blue = torch.eye(2).split(1)
    before, other = torch.atanh(generator(photo, red)) - bias, generator(photo, blue)
    generator.scale_contrast("red", 1.25)
    torch.testing.assert_close(torch.atanh(generator(photo, red)) - bias, 1.25 * before, atol=1e-4, rtol=1e-3)
    assert torch.equal(generator(photo, blue), other)


@pytest.mark.parametrize("factor", [0, -1])
def test_a_factor_that_the_relu_would_not_let_through_is_refused(factor):
    with pytest.raises(ValueError, match="above 0"):
        two_styles().scale_contrast("red", factor)


def test_calibrating_finds_the_contrast_that_was_missing_and_leaves_the_other_style(place, tmp_path, capsys):
    pack = tmp_path / "pack"
    shutil.copytree(place / "pack", pack)
    (pack / "evaluation.json").write_text("{}")
    judged = files_of(pack / "discriminator")
    before = load_file(pack / "diffusion_pytorch_model.safetensors")
    assert calibrate(place, pack, *heads(place), "--style", f"red={place / 'red.png'}") == 0
    assert capsys.readouterr().out == "red: contrast 1.30\n"
    after, wanted = load_file(pack / "diffusion_pytorch_model.safetensors"), two_styles().state_dict()
    for name, weights in after.items():
        assert weights.dtype == torch.float32
        torch.testing.assert_close(weights, wanted[name])
        assert torch.equal(weights, before[name]) or name in {"up_full.scale", "up_full.shift"}
    assert judged == files_of(pack / "discriminator")
    assert not (pack / "evaluation.json").exists()  # it measured other paintings
    assert json.loads((pack / "training_config.json").read_text()) == {"steps": 7}
    assert json.loads((pack / "training_run.json").read_text())["contrast"] == {"red": 1.3}
    painted = StyleTransferPipeline.from_pretrained(place / "full")(pack / "samples" / "_photo.webp", "red")
    with Image.open(pack / "samples" / "red.webp") as sample:
        difference = np.abs(np.asarray(sample, float) - np.asarray(painted, float)).mean()
    assert difference < 3  # painted anew, from the sample photo that the pack holds; both are stored with loss
    assert calibrate(place, pack, *heads(place), "--style", f"red={place / 'red.png'}") == 0
    assert capsys.readouterr().out == "red: contrast 1.00\n"


@pytest.mark.parametrize(
    ("style", "with_heads", "sentence"),
    [
        ("green=red.png", True, "the pack has no style 'green': choose from red, blue"),
        ("red=nowhere", True, "nowhere"),
        ("red=red.png", False, "--lpips-weights"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence_and_the_pack_stays(
    place, monkeypatch, capsys, style, with_heads, sentence
):
    monkeypatch.chdir(place)
    weights = place / "pack" / "diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    assert calibrate(place, place / "pack", *(heads(place) if with_heads else ()), "--style", style) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert weights.read_bytes() == before
