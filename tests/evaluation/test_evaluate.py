"""`evaluate` measures a pack with real files, on one process and on two, and says what it could not measure."""

import io
import json
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import inception
from training_kit import Command, free_port

from styletransfer.cli import paint as cli
from styletransfer.evaluation import distributions
from styletransfer.evaluation.meter import Meter, Score, WeightFiles
from styletransfer.evaluation.report import collection_rows, contact_sheet, summary, table
from styletransfer.models.features import LPIPS_CHANNELS
from styletransfer.models.generator import Generator
from styletransfer.packs import folder as packs
from styletransfer.packs.card import render_card


def draw(seed: int, width: int = 72, height: int = 60) -> Image.Image:
    """Soft colored waves with some grain, others for each seed."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / random.uniform(3, 12) + y / random.uniform(3, 12) + random.uniform(0, 6)) for _ in range(3)]
    pixels = random.uniform(90, 160, 3) + 60 * np.stack(waves, axis=-1) + random.normal(0, 5, (height, width, 3))
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def save_heads(path: Path) -> None:
    random = torch.Generator().manual_seed(4)
    heads = {
        f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1, generator=random)
        for i, c in enumerate(LPIPS_CHANNELS.values())
    }
    torch.save(heads, path)  # as the authors hand theirs out


def save_inception(path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    save_file(network.state_dict(), path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/, collection/, single.png, weights and a pack of the styles "red" and "blue"."""
    folder = tmp_path_factory.mktemp("evaluation")
    for name, seeds in (("photos", range(3)), ("collection", range(10, 16))):
        (folder / name).mkdir()
        for seed in seeds:
            draw(seed).save(folder / name / f"{seed}.png")
    shutil.copy(folder / "photos" / "0.png", folder / "single.png")
    save_heads(folder / "squeeze.pth")
    save_inception(folder / "inception.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(styles={"red": "Red", "blue": "Blue"}, channels=8, blocks=1)
    packs.save_pack(folder / "pack", generator, samples={"red": draw(0)}, recipe={})
    return folder


def arguments(place: Path, **changed: str | None) -> list[str]:
    flags = {
        "photos": place / "photos",
        "size": 72,
        "style-network-weights": "random",
        "content-network-weights": "random",
        "lpips-weights": place / "squeeze.pth",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    given = [part for name, value in flags.items() if value is not None for part in (f"--{name}", str(value))]
    styles = ("--style", f"red={place / 'single.png'}", "--style", f"blue={place / 'collection'}")
    return ["evaluate", str(place / "pack"), *styles, *given]


@pytest.fixture(scope="module")
def launched(place: Path) -> Command:
    """The same evaluation as `evaluated` on two processes under the real launcher, which takes its time to begin."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2]
    launcher += ["--num_machines", 1, "--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher += ["--main_process_port", free_port(), "-m", "styletransfer"]
    given = arguments(place, json=place / "two.json", inception_weights=place / "inception.safetensors")
    return Command([*launcher, *given])


@pytest.fixture(scope="module")
def evaluated(place: Path) -> tuple[str, dict[str, Any]]:
    """What one process printed, and the numbers it wrote; place/figure.png is there, too."""
    files = {"json": place / "one.json", "figure": place / "figure.png"}
    given = arguments(place, **files, inception_weights=place / "inception.safetensors")
    printed, threads = io.StringIO(), torch.get_num_threads()
    torch.set_num_threads(1)  # as the launcher's processes have, so that sums come out the same
    try:
        with redirect_stdout(printed):
            assert cli.main(given) == 0
    finally:
        torch.set_num_threads(threads)
    return printed.getvalue(), json.loads((place / "one.json").read_text())


# ---------------------------------------------------------------- the command


def test_baselines_are_floor_and_ceiling(evaluated: tuple) -> None:
    for row in evaluated[1]["styles"].values():
        itself, colors = row["photo_itself"], row["colors_only"]
        assert (itself["content"], itself["ssim"], itself["closed"], itself["color_shift"]) == (0, 1, 0, 0)
        assert (itself["border_mean"], itself["border_max"]) == (1, 1)
        assert (itself["flat"], itself["deep"], itself["strokes"]) == (0, 0, 0)
        assert 0 < colors["content"] and 0 < colors["ssim"] < 1 and colors["color_shift"] > 0
        assert colors["patches"] < itself["patches"]  # the palette is right, the strokes are not
        assert row["content"] > 0 and row["closed"] < 1
    # the first photo is the painting of red
    first = evaluated[1]["styles"]["red"]["photo_itself"]["each"][0]
    assert (first["photo"], first["style"], first["patches"]) == ("0.png", 0.0, 0.0)


def test_means_are_those_of_the_single_photos_and_lie_in_their_intervals(evaluated: tuple) -> None:
    for row in evaluated[1]["styles"].values():
        assert [each["photo"] for each in row["each"]] == ["0.png", "1.png", "2.png"]
        for name in ("flat", "deep", "strokes", "content", "style", "ssim", "patches", "clipped", "color_shift"):
            values = [each[name] for each in row["each"]]
            assert row[name] == pytest.approx(sum(values) / 3)
            low, high = row["intervals"][name]
            assert min(values) - 1e-9 <= low <= row[name] <= high <= max(values) + 1e-9
        assert row["grid_max"] == max(each["grid"] for each in row["each"]) == max(row["grid_periods_max"].values())
        assert row["border_max"] == max(each["border"] for each in row["each"])
        closed = 1 - row["style"] / row["photo_itself"]["style"]
        assert row["closed"] == pytest.approx(closed)


def test_a_collection_is_compared_as_one_and_a_single_painting_is_not(evaluated: tuple) -> None:
    red, blue = (evaluated[1]["styles"][name] for name in ("red", "blue"))
    assert not {"frechet", "kid", "floor"} & red.keys()
    floor = blue["floor"]
    assert (floor["paintings"], floor["references"], floor["pictures"]) == (6, 3, 3)
    way = blue["photo_itself"]["frechet"] - floor["frechet"]
    if way > 0:
        assert blue["frechet_closed"] == pytest.approx((blue["photo_itself"]["frechet"] - blue["frechet"]) / way)
        assert blue["photo_itself"]["frechet_closed"] == 0
    assert {"kid"} <= blue.keys() & floor.keys() and "fid" not in blue
    assert sum("FID is refused: below 2,048" in note for note in evaluated[1]["notes"]) == 1


def test_the_table_shows_each_style_with_its_baselines(evaluated: tuple) -> None:
    printed, numbers = evaluated
    assert printed == table(numbers)
    for style, row in numbers["styles"].items():
        for kind, found in (
            ("photo itself", row["photo_itself"]),
            ("colors only", row["colors_only"]),
            ("painted", row),
        ):
            (line,) = [
                line for line in printed.splitlines() if line.startswith(f"| {style} | {kind} | {found['flat']:.2f}")
            ]
            assert f"| {found['content']:.3f}" in line
            assert f"| {found['style']:.3f} [" in line
            assert line.count("|") == 16
    assert "| blue | other paintings | 3 |" in printed and "| red | other paintings" not in printed


def test_the_figure_holds_photos_and_paintings_beside_the_styles_painting(place: Path, evaluated: tuple) -> None:
    with Image.open(place / "figure.png") as figure:
        assert figure.size == (3 * 256, 16 + 4 * 256)
        cells = np.asarray(figure.convert("RGB"), dtype=float)[16:].reshape(4, 256, 3, 256, 3)
    spread = cells[:, 60:196, :, 60:196].std(axis=(1, 3, 4))
    assert spread[0, 0] == 0 and spread.ravel()[1:].min() > 5  # empty above the photos; a picture everywhere else


def test_the_card_of_a_pack_reads_the_numbers(place: Path, evaluated: tuple, tmp_path: Path) -> None:
    shutil.copytree(place / "pack", tmp_path / "pack")
    shutil.copy(place / "one.json", tmp_path / "pack" / "evaluation.json")
    packs.write_card(tmp_path / "pack")
    blue = evaluated[1]["styles"]["blue"]
    assert f"{blue['strokes']:.2f} | {blue['content']:.3f}" in (tmp_path / "pack" / "README.md").read_text()


@pytest.mark.slow
def test_two_processes_give_the_table_of_one(place: Path, evaluated: tuple, launched: Command) -> None:
    done = launched.wait()
    assert done.code == 0, done.err
    printed, one = evaluated
    two = json.loads((place / "two.json").read_text())
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two == {**one, "processes": 2}
    assert done.out == printed


def test_a_bad_picture_is_noted_and_left_out(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copytree(place / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "1.png").write_bytes(b"no picture")
    draw(5, width=72, height=20).save(tmp_path / "photos" / "3.png")
    code = cli.main(arguments(place, photos=tmp_path / "photos", json=tmp_path / "found.json"))
    printed, _ = capsys.readouterr()
    assert code == 0
    numbers = json.loads((tmp_path / "found.json").read_text())
    assert numbers["photos"] == 2
    assert [each["photo"] for each in numbers["styles"]["red"]["each"]] == ["0.png", "2.png"]
    assert "Note: 1.png is left out: " in printed and "Note: 3.png is left out: Scaled it has 72x20 pixels" in printed
    assert "Note: KID, FID and ArtFID are left out: they need pt_inception-2015-12-05" in printed


def test_a_limit_takes_photos_evenly_and_a_measure_without_weights_is_left_out_and_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    code = cli.main(arguments(place, limit=2, lpips_weights=None, json=tmp_path / "found.json"))
    printed, _ = capsys.readouterr()
    assert code == 0
    row = json.loads((tmp_path / "found.json").read_text())["styles"]["red"]
    assert [each["photo"] for each in row["each"]] == ["0.png", "1.png"]
    assert "content" not in row and "content" not in row["each"][0] and row["style"] > 0
    assert "| red | painted |" in printed and row["deep"] < 1
    cells = next(line for line in printed.splitlines() if line.startswith("| red | painted |")).split(" | ")
    assert cells[5] == "—"
    assert "Note: content (LPIPS) is left out: it needs" in printed and "--lpips-weights" in printed


def test_weights_that_torchvision_cannot_download_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    meter = Meter(WeightFiles(content="random"), torch.device("cpu"))
    assert meter.vgg is None
    (note,) = [note for note in meter.notes if note.startswith("the style distance is left out")]
    assert "VGG-19's ImageNet weights" in note and "--style-network-weights" in note


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"photos": "absent"}, ["absent"]),
        ({"style": "green=single.png"}, ["green", "red, blue"]),
        ({"style": "red"}, ["--style", "NAME=VALUE"]),
        ({"limit": "0"}, ["--limit", "above 0"]),
        ({"json": "absent/found.json"}, ["no folder absent"]),
        ({"lpips_weights": "absent.pth"}, ["absent.pth"]),
        ({"inception_weights": "single.png"}, ["single.png", "safetensors"]),
        ({"photos": None}, ["--photos"]),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    changed: dict, words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(place)
    code = cli.main(arguments(place, **changed))
    printed, said = capsys.readouterr()
    assert (code, printed) == (2, "")
    (line,) = [line for line in said.splitlines() if not line.strip("\r").startswith(("paintings", "photos"))]
    assert line.startswith("error: ") and [word for word in words if word not in line] == []


# ---------------------------------------------------------------- the summary


def score(photo: str, content: float, style: float | None, **other: float) -> Score:
    grid = {"4": other.get("grid", 0.1), "8/3": 0.05, "2": 0.0}
    values = {
        "border": 1.0,
        "ssim": 0.5,
        "patches": 7.0,
        "clipped": 0.0,
        "color_shift": 3.0,
        "grid": grid["4"],
        **other,
    }
    brushwork = {"flat": 0.3, "deep": 0.4, "strokes": 0.2}
    return Score(photo, content=content, style=style, grid_periods=grid, **brushwork, **values)


def test_summary_of_a_case_worked_by_hand() -> None:
    before = [score("a", 0, 1.0), score("b", 0, 3.0)]
    row = summary([score("a", 0.4, 0.25, grid=0.3), score("b", 0.5, 0.75, border=2.0)], before, seed=0)
    assert (row["content"], row["style"], row["closed"]) == (pytest.approx(0.45), 0.5, 0.75)
    assert (row["grid_max"], row["border_mean"], row["border_max"]) == (0.3, 1.5, 2.0)
    assert row["grid_periods_max"] == {"4": 0.3, "8/3": 0.05, "2": 0.0}
    assert row["intervals"]["closed"] == [0.75, 0.75]  # every photo closes as much
    assert row["intervals"]["content"] == [pytest.approx(0.4), pytest.approx(0.5)]


def test_a_style_that_the_photos_have_already_leaves_nothing_to_close() -> None:
    row = summary([score("a", 0, 0.0)], [score("a", 0, 0.0)], seed=0)
    assert row["closed"] == 1  # as far as it can be


def test_fid_and_artfid_are_given_for_2048_pictures_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "KID_SUBSETS", 2)  # a hundred take a while
    random = torch.Generator().manual_seed(0)
    photos, paintings = torch.randn(2048, 4, generator=random), torch.randn(2050, 4, generator=random) + 2
    rows = {"photo_itself": {"content": 0.0}, "painted": {"content": 0.5}}
    pictures = {"photo_itself": {"inception": photos}, "painted": {"inception": photos + 1}}
    found = collection_rows(pictures, {"inception": paintings}, rows, seed=0)
    assert "refused" not in found and found["floor"]["paintings"] == 2050
    assert rows["photo_itself"]["fid"] == pytest.approx(16, rel=0.1)  # four means, each 2 apart
    assert rows["painted"]["fid"] == pytest.approx(4, rel=0.1)
    assert rows["painted"]["art_fid"] == pytest.approx(1.5 * (1 + rows["painted"]["fid"]))
    assert rows["photo_itself"]["kid"] > rows["painted"]["kid"] > abs(found["floor"]["kid"])


def test_the_card_of_the_pack_takes_what_was_measured(evaluated: tuple, place: Path, tmp_path: Path) -> None:
    pack = shutil.copytree(place / "pack", tmp_path / "pack")
    shutil.copy(place / "one.json", pack / "evaluation.json")
    read = ModelCard(render_card(pack)).data.eval_results
    found = {(each.dataset_config, each.metric_type): each.metric_value for each in read}
    blue = evaluated[1]["styles"]["blue"]
    assert found["blue", "lpips"] == round(blue["content"], 4)
    assert found["blue", "kid"] == round(blue["kid"], 4)
    assert {each.dataset_name for each in read} == {"3 photos that training never saw"}


def test_a_contact_sheet_begins_shorter_columns_lower() -> None:
    sheet = contact_sheet({"a": [draw(0, 256, 100)], "b": [draw(1, 100, 256), draw(2, 256, 256)]})
    assert sheet.size == (512, 16 + 512)
    white = (255, 255, 255)
    assert sheet.getpixel((128, 16 + 128)) == white and sheet.getpixel((128, 16 + 256 + 128)) != white
    assert sheet.getpixel((256 + 128, 16 + 128)) != white
