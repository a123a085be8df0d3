"""`export --format onnx`: files that paint as PyTorch does, the card that says so, and what is refused."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from styletransfer.cli.paint import main
from styletransfer.export import onnx_files
from styletransfer.images.files import fit_long_side, load_picture, picture_to_tensor, tensor_to_picture
from styletransfer.models.onnx_network import OnnxNetwork
from styletransfer.packs.folder import load_pack
from styletransfer.paths import EXAMPLES, STYLES

ROOT = Path(__file__).resolve().parents[2]
PACK = STYLES / "collections"  # of several styles


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder that the command writes, and what it prints."""
    folder = tmp_path_factory.mktemp("export") / "onnx"
    command = [sys.executable, "-m", "styletransfer", "export", str(PACK), "--format", "onnx", "-o", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


@pytest.fixture(scope="module")
def generator():
    return load_pack(PACK)


@pytest.mark.parametrize("file", onnx_files.FILES)
@pytest.mark.parametrize(("photo", "side"), [("cat.jpg", 512), ("rocket.jpg", 333), ("coffee.jpg", 50)])
def test_real_photos_are_painted_as_by_pytorch(exported, generator, file, photo, side):
    network = OnnxNetwork((exported[0] / file).read_bytes())
    pixels = picture_to_tensor(fit_long_side(load_picture(EXAMPLES / photo).rgb, side))
    first, second, *_ = generator.styles
    for mix in ({first: 1}, {second: 1}, {first: 0.3, second: 0.7}):
        weights = generator.style_weights(mix)
        with torch.no_grad():
            assert (network(pixels, weights) - generator(pixels, weights)).abs().max() < 1e-3


def test_the_report_and_the_card_say_what_was_measured(exported, generator):
    folder, printed = exported
    report = json.loads((folder / onnx_files.REPORT).read_text(encoding="utf-8"))
    assert report["styles"] == [list(pair) for pair in generator.styles.items()]
    card = (folder / "README.md").read_text(encoding="utf-8")
    for file, facts in report["files"].items():
        model = onnx.load(folder / file)
        assert model.opset_import[0].version == report["opset"]
        assert facts["bytes"] == (folder / file).stat().st_size
        assert 0 < facts["largest_difference"] < 1e-3
        assert f"| `{file}` | {facts['weights']} |" in card and f"{facts['largest_difference']:.0e}" in card
        assert str(folder / file) in printed
    assert f"Opset {report['opset']}" in card and f"{report['measured_on']} example photos" in card
    assert all(f"`{name}`" in card for name in generator.styles)
    assert report["pack"] == PACK.name and str(ROOT) not in json.dumps(report)


def test_the_python_lines_of_the_card_paint_what_the_pipeline_paints(exported, generator, tmp_path, monkeypatch):
    folder, _ = exported
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "generator.onnx").symlink_to(folder / "generator.onnx")
    photo = fit_long_side(load_picture(EXAMPLES / "astronaut.jpg").rgb, 120)
    photo.save(tmp_path / "photo.jpg", "PNG")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    with torch.no_grad():
        expected = tensor_to_picture(
            generator(picture_to_tensor(photo), generator.style_weights({next(iter(generator.styles)): 1}))
        )
    painted = np.asarray(Image.open("painting.png")).astype(int)
    assert np.abs(painted - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize("pack", sorted(path.name for path in STYLES.iterdir()))
def test_every_pack_that_ships_is_within_a_thousandth_of_pytorch(pack):
    generator = load_pack(STYLES / pack)
    pixels = picture_to_tensor(fit_long_side(load_picture(EXAMPLES / "pagoda.jpg").rgb, 150))
    for half in onnx_files.FILES.values():
        model = onnx_files.onnx_graph(generator, half=half).SerializeToString()
        cases = [onnx_files.Case(pixels, generator.style_weights({style: 1})) for style in generator.styles]
        assert 0 < onnx_files.largest_difference(generator, model, cases) < onnx_files.MOST_APART


def refused(capsys, *arguments):
    assert main(["export", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    return said.err


def test_a_folder_of_something_else_is_left_alone(tmp_path, tiny_pack, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for target in (tmp_path / "mine", tmp_path / "file", tiny_pack):
        assert "holds something else" in refused(capsys, tiny_pack, "--format", "onnx", "-o", target)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    assert "make it first" in refused(capsys, tiny_pack, "--format", "onnx", "-o", tmp_path / "no" / "where")


def test_an_older_export_is_replaced(tmp_path, tiny_pack):
    arguments = ["export", str(tiny_pack), "--format", "onnx", "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    (tmp_path / "out" / "stale").write_text("old")
    assert main(arguments) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "export.json",
        *sorted(onnx_files.FILES),
    ]


def test_wrong_calls_are_told_in_one_sentence(tmp_path, tiny_pack, capsys):
    out = tmp_path / "out"
    assert "--format" in refused(capsys, tiny_pack, "-o", out)
    assert "invalid choice" in refused(capsys, tiny_pack, "--format", "tflite", "-o", out)
    assert "give one PACK, not 0" in refused(capsys, "--format", "onnx", "-o", out)
    assert "give one PACK, not 2" in refused(capsys, tiny_pack, tiny_pack, "--format", "onnx", "-o", out)
    assert "no style pack" in refused(capsys, tmp_path / "missing", "--format", "onnx", "-o", out)
    assert not out.exists()


def test_a_network_that_strays_from_pytorch_is_not_written(tmp_path, tiny_pack, capsys, monkeypatch):
    def damaged(generator, *, half=False):
        other = copy.deepcopy(generator)
        other.to_rgb.bias += 0.01
        return real(other, half=half)

    real = onnx_files.onnx_graph
    monkeypatch.setattr(onnx_files, "onnx_graph", damaged)
    assert "nothing was written" in refused(capsys, tiny_pack, "--format", "onnx", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
