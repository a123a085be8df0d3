"""A pack comes back as it was saved, and one from a stranger can neither run code nor fill the memory."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from styletransfer.errors import InputError
from styletransfer.models.generator import Generator
from styletransfer.packs import folder as packs

STYLES = {"wave": "The Wave", "night-2": "Night", "alps": "High Alps"}  # not in the order of the alphabet
RECIPE = {"steps": 12, "license": "cc0-1.0", "note": ["wave=Hokusai, 1831", "alps=a=b"], "photo_scale": [1.0, 1.5]}


def random_generator(styles: dict[str, str] = STYLES, seed: int = 0) -> Generator:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        generator = Generator(styles, channels=8, blocks=1)
        for values in generator.parameters():
            values.normal_()
    return generator


def save(folder: Path, styles: dict[str, str] = STYLES, recipe: dict = RECIPE) -> Path:
    samples = {name: Image.new("RGB", (40, 30), (40 * place, 9, 9)) for place, name in enumerate(styles)}
    packs.save_pack(folder, random_generator(styles), samples=samples, recipe=recipe)
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return save(tmp_path / "pack")


def change_config(pack: Path, **changes: object) -> Path:
    config = json.loads((pack / packs.CONFIG).read_text()) | changes
    (pack / packs.CONFIG).write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return pack


def change_weights(pack: Path, change: object) -> Path:
    weights = load_file(pack / packs.WEIGHTS)
    change(weights)
    save_file(weights, pack / packs.WEIGHTS)
    return pack


def refusal(pack: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        packs.load_pack(pack)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 1000
    return message


# ---------------------------------------------------------------- there and back


def test_a_pack_comes_back_bit_for_bit(pack: Path) -> None:
    saved, loaded = random_generator(), packs.load_pack(str(pack))
    assert list(loaded.styles.items()) == list(STYLES.items())
    assert (loaded.config.channels, loaded.config.blocks) == (8, 1)
    assert saved.state_dict().keys() == loaded.state_dict().keys()
    for name, values in loaded.state_dict().items():
        assert torch.equal(values, saved.state_dict()[name]), name
        assert values.dtype == torch.float32
    assert not loaded.training
    assert not any(values.requires_grad for values in loaded.parameters())


def test_every_style_paints_as_before_it_was_saved(pack: Path) -> None:
    saved, loaded, photo = random_generator().eval(), packs.load_pack(pack), torch.rand(1, 3, 24, 24) * 2 - 1
    with torch.no_grad():
        paintings = [saved(photo, saved.style_weights({name: 1})) for name in STYLES]
        assert not torch.equal(paintings[0], paintings[1])
        for name, painting in zip(STYLES, paintings, strict=True):
            assert torch.equal(loaded(photo, loaded.style_weights({name: 1})), painting)


def test_a_pack_holds_what_it_promises_and_no_more(pack: Path) -> None:
    files = {path.relative_to(pack).as_posix() for path in pack.rglob("*") if path.is_file()}
    samples = {f"samples/{name}.webp" for name in STYLES}
    told = {"README.md", "training_config.json", "training_run.json"}
    assert files == {"config.json", "diffusion_pytorch_model.safetensors"} | told | samples
    assert [path.name for path in pack.parent.iterdir()] == ["pack"]
    assert json.loads((pack / "training_config.json").read_text()) == RECIPE
    for place, name in enumerate(STYLES):
        with Image.open(packs.sample_path(pack, name)) as sample:
            assert sample.size == (40, 30)
            assert abs(sample.convert("RGB").getpixel((20, 15))[0] - 40 * place) <= 4


def test_whoever_may_read_the_config_may_read_the_weights(pack: Path) -> None:
    assert len({path.stat().st_mode for path in pack.iterdir() if path.is_file()}) == 1


def test_saving_again_replaces_the_pack(pack: Path) -> None:
    (pack / "evaluation.json").write_text("{}")
    save(pack, {"new": "New"})
    assert packs.load_pack(pack).styles == {"new": "New"}
    assert sorted(path.name for path in (pack / "samples").iterdir()) == ["new.webp"]
    assert not (pack / "evaluation.json").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_loaded_in_float32(dtype: torch.dtype, pack: Path) -> None:
    before = load_file(pack / packs.WEIGHTS)
    change_weights(pack, lambda weights: weights.update({name: x.to(dtype) for name, x in weights.items()}))
    for name, values in packs.load_pack(pack).state_dict().items():
        assert torch.equal(values, before[name].to(dtype).float())


def test_a_sample_is_found_inside_the_pack_only(pack: Path) -> None:
    assert packs.sample_path(pack, "wave") == pack / "samples" / "wave.webp"
    assert packs.sample_path(pack, "none") is None
    Image.new("RGB", (8, 8)).save(pack.parent / "secret.webp")
    assert packs.sample_path(pack, "../../secret") is None
    assert packs.sample_path(pack, str(pack.parent / "secret")) is None


# ---------------------------------------------------------------- folders that are no packs


def test_a_folder_that_is_no_pack_is_refused_by_name(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refusal(tmp_path / "none")
    assert "config.json" in refusal(tmp_path)
    (tmp_path / "file").write_text("no folder")
    assert "file" in refusal(tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"_class_name": "UNet2DModel"}, "Generator"),
        ({"_class_name": None}, "Generator"),
        ({"channels": 10**9}, "1000000000"),
        ({"channels": 0}, "channels"),
        ({"channels": -8}, "channels"),
        ({"channels": 8.0}, "channels"),
        ({"channels": True}, "channels"),
        ({"channels": "8"}, "channels"),
        ({"channels": None}, "channels"),
        ({"blocks": 10**9}, "blocks"),
        ({"blocks": None}, "blocks"),
        ({"styles": None}, "styles"),
        ({"styles": []}, "styles"),
        ({"styles": "wave"}, "styles"),
        ({"styles": {"wave": "Wave"}}, "styles"),
        ({"styles": [["wave", "Wave", "x"]]}, "styles"),
        ({"styles": [["wave", 3]]}, "styles"),
        ({"styles": [["wave", ""]]}, "styles"),
        ({"styles": [["wave", "x" * 100_000]]}, "styles"),
        ({"styles": [["wave", "A"], ["wave", "B"]]}, "styles"),
        ({"styles": [[f"s{number}", "T"] for number in range(3000)]}, "styles"),
        ({"styles": [["../../up", "Up"]]}, "styles"),
        ({"styles": [["a/b", "Slash"]]}, "styles"),
        ({"styles": [["Wave", "Upper case"]]}, "styles"),
        ({"styles": [["<b>", "HTML"]]}, "styles"),
        ({"styles": [["-wave", "Dash"]]}, "styles"),
        ({"styles": [["wåve", "Not ASCII"]]}, "styles"),
        ({"styles": [["w" * 65, "Long"]]}, "styles"),
        ({"styles": [["wave", "\x1b[2J"]]}, "styles"),  # it would clear the terminal that lists it
        ({"styles": [["wave", "two\nlines"]]}, "styles"),
        ({"styles": [["wave", "\ud800"]]}, "styles"),  # no UTF-8 can hold it: it would break whoever prints it
    ],
)
def test_a_config_out_of_bounds_is_refused_before_anything_is_built(changes: dict, named: str, pack: Path) -> None:
    assert named in refusal(change_config(pack, **changes))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"Generator"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"channels": ' + b"9" * 9999,
    ],
    ids=["empty", "cut", "list", "null", "text", "bytes", "deep list", "deep object", "long number"],
)
def test_a_config_that_is_no_json_object_is_refused(content: bytes, pack: Path) -> None:
    (pack / packs.CONFIG).write_bytes(content)
    assert "config.json" in refusal(pack)


def test_a_huge_config_is_refused_unread(pack: Path) -> None:
    with (pack / packs.CONFIG).open("r+b") as file:
        file.truncate(10**12)  # sparse: no disk holds it
    assert "larger than" in refusal(pack)


def test_settings_that_we_do_not_know_are_not_passed_on(pack: Path) -> None:
    assert packs.load_pack(change_config(pack, auto_map={"Generator": "evil.py"}, extra=1)).config.channels == 8


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.pt", "weights.pkl", "model.ckpt", "model.pth"])
def test_a_pickle_is_never_opened(name: str, pack: Path) -> None:
    (pack / packs.WEIGHTS).unlink()
    bomb = f"cos\nmkdir\n(S'{pack.parent / 'owned'}'\ntR.".encode()  # unpickling it makes a folder
    (pack / name).write_bytes(bomb)
    message = refusal(pack)
    assert name in message
    assert packs.WEIGHTS in message
    assert not (pack.parent / "owned").exists()


def test_missing_weights_are_named(pack: Path) -> None:
    (pack / packs.WEIGHTS).unlink()
    assert packs.WEIGHTS in refusal(pack)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w: w.pop("to_rgb.bias"), "to_rgb.bias"),
        (lambda w: w.update({"more.weight": torch.zeros(1)}), "more.weight"),
        (lambda w: w.update({"stem.scale": torch.ones(4, 8)}), "stem.scale"),  # a style too many
        (lambda w: w.update({"stem.scale": torch.ones(8, 3)}), "stem.scale"),
        (lambda w: w.clear(), "body.0.conv.bias"),
        (lambda w: w["stem.shift"].__setitem__((0, 3), float("nan")), "NaN or infinity"),
        (lambda w: w["to_rgb.weight"].__setitem__((0, 0, 0, 0), float("-inf")), "NaN or infinity"),
        (lambda w: w.update({"stem.shift": torch.full((3, 8), 1e300, dtype=torch.float64)}), "NaN or infinity"),
        (lambda w: w.update({"stem.shift": torch.ones(3, 8, dtype=torch.int64)}), "stem.shift"),
        (lambda w: w.update({"stem.shift": torch.ones(3, 8, dtype=torch.complex64)}), "stem.shift"),
    ],
    ids=["missing", "extra", "rows", "columns", "none", "nan", "inf", "too large for float32", "whole", "complex"],
)
@pytest.mark.filterwarnings("error")
def test_weights_that_do_not_fit_the_config_are_refused(change: object, named: str, pack: Path) -> None:
    assert named in refusal(change_weights(pack, change))


@pytest.mark.parametrize("changes", [{"channels": 16}, {"blocks": 2}, {"styles": [["wave", "Wave"]]}])
def test_a_config_of_another_pack_is_refused(changes: dict, pack: Path) -> None:
    assert "do not fit" in refusal(change_config(pack, **changes))


def test_truncated_or_garbled_weights_are_refused(pack: Path) -> None:
    whole = (pack / packs.WEIGHTS).read_bytes()
    header = int.from_bytes(whole[:8], "little")
    for content in (
        b"",
        whole[:4],
        whole[: 8 + header // 2],
        whole[: 8 + header],
        whole[:-1],
        whole + b"more",
        b"\x80\x04}q\x00." * 20,
        (2**63 - 1).to_bytes(8, "little") + whole[8:],  # a header of eight exabytes
        (50_000_000).to_bytes(8, "little") + whole[8:],
        (len(whole) - 8).to_bytes(8, "little") + whole[8:],
    ):
        (pack / packs.WEIGHTS).write_bytes(content)
        refusal(pack)


def test_huge_weights_are_refused_unread(pack: Path) -> None:
    with (pack / packs.WEIGHTS).open("r+b") as file:
        file.truncate(10**12)
    assert "larger than" in refusal(pack)
