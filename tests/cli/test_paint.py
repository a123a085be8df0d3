"""The command as people run it: a process, its files, its exit code, what it says."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from styletransfer.catalog import shipped_catalog
from styletransfer.cli.paint import main
from styletransfer.models.generator import Generator
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.results import read_settings, settings_of
from styletransfer.settings import PaintSettings

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}


def run_process(*arguments, cwd):
    command = [sys.executable, "-m", "styletransfer", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command in this process, where torch is awake already, in the test's own folder."""

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return call


@pytest.fixture
def tiny_pack(tiny_pack):
    """The pack, its two styles made to paint differently."""
    generator = Generator.from_pretrained(tiny_pack)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, parameter in generator.named_parameters():
            if name.endswith(("scale", "shift")):
                torch.nn.init.normal_(parameter, std=0.5)
    generator.save_pretrained(tiny_pack)
    return tiny_pack


def pixels(picture):
    return np.asarray(Image.open(picture) if isinstance(picture, Path) else picture)


def painted(pack, photo, style, **options):
    return pixels(StyleTransferPipeline.from_pretrained(pack, device="cpu")(photo, style, **options))


def says_one_sentence(done, *words):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert [word for word in words if word not in lines[0]] == []


def test_a_photo_becomes_the_pipelines_painting(tmp_path, photo, tiny_pack):
    photo.save(tmp_path / "photo.png")
    done = run_process("photo.png", "--style", "red", "-o", "out.png", "--pack", tiny_pack, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), painted(tiny_pack, photo, "red"))


def test_a_mix_and_a_strength_reach_the_pipeline(tmp_path, photo, tiny_pack, run):
    photo.save(tmp_path / "photo.png")
    options = ("--style", "red=3, blue=1", "--strength", "0.4", "--pack", tiny_pack)
    assert run("photo.png", *options, "-o", "out.png").returncode == 0
    expected = painted(tiny_pack, photo, {"red": 3, "blue": 1}, strength=0.4)
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), expected)
    assert (expected != painted(tiny_pack, photo, "red", strength=0.4)).any()


def test_brush_colors_and_mask_reach_the_pipeline(tmp_path, photo, tiny_pack, run):
    photo.save(tmp_path / "photo.png")
    mask = Image.linear_gradient("L").point(lambda level: 255 * (level > 128))
    mask.save(tmp_path / "mask.png")
    turns = ("--brush-size", 2, "--keep-colors", "--mask", "mask.png")
    done = run("photo.png", "--pack", tiny_pack, "--style", "red", *turns, "-o", "painting.png")
    assert done.returncode == 0, done.stderr
    expected = painted(tiny_pack, photo, "red", brush_size=2, keep_colors=True, mask=mask)
    np.testing.assert_allclose(pixels(tmp_path / "painting.png").astype(int), expected, atol=1)


def test_into_an_existing_folder_the_painting_is_named_after_photo_and_style(tmp_path, photo, tiny_pack, run):
    photo.save(tmp_path / "photo.png")
    (tmp_path / "paintings").mkdir()
    done = run("photo.png", "--style", "red", "-o", "paintings", "--pack", tiny_pack, "--strength", "0")
    assert done.returncode == 0
    np.testing.assert_array_equal(pixels(tmp_path / "paintings" / "photo-red.png"), pixels(photo))


def test_list_prints_names_and_titles_in_the_packs_order(tmp_path, tiny_pack, run):
    done = run("--list", "--pack", tiny_pack)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [["red", "Red"], ["blue", "Blue"]]


def test_a_note_about_the_photo_is_said_and_the_photo_painted(tmp_path, photo, tiny_pack, run):
    photo.save(tmp_path / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    done = run("moving.gif", "--style", "red", "-o", "out.jpg", "--pack", tiny_pack)
    assert done.returncode == 0
    assert done.stderr.startswith("note: moving.gif: ")
    assert pixels(tmp_path / "out.jpg").shape == (80, 96, 3)


# ---------------------------------------------------------------- folders


@pytest.fixture
def photos(tmp_path, photo):
    """Five files: three photos, two of them of one stem, a text that is no photo, and one that says it is."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photo.save(folder / "beach.PNG")
    photo.crop((0, 0, 40, 32)).save(folder / "cat.png")
    photo.crop((8, 0, 50, 30)).save(folder / "cat.jpg")
    (folder / "list.txt").write_text("not a photo")
    (folder / "torn.jpg").write_bytes((folder / "cat.jpg").read_bytes()[:300])
    return folder


def test_a_folder_is_painted_and_a_bad_file_in_it_only_reported(tmp_path, photos, tiny_pack):
    done = run_process(photos, "--style", "blue", "-o", "paintings", "--pack", tiny_pack, cwd=tmp_path)
    assert done.returncode == 1
    first, last = done.stderr.splitlines()
    assert first.startswith(f"error: {photos / 'torn.jpg'}")
    assert last == "painted 3 of 4 photos"
    made = {path.name: pixels(path) for path in (tmp_path / "paintings").iterdir()}
    assert sorted(made) == ["beach-blue.png", "cat.jpg-blue.png", "cat.png-blue.png"]
    for name, photo in (
        ("beach-blue.png", "beach.PNG"),
        ("cat.jpg-blue.png", "cat.jpg"),
        ("cat.png-blue.png", "cat.png"),
    ):
        np.testing.assert_array_equal(made[name], painted(tiny_pack, photos / photo, "blue"))


def test_several_photos_and_folders_are_painted_on_one_line(tmp_path, photos, photo, tiny_pack, run):
    (photos / "torn.jpg").unlink()
    photo.save(tmp_path / "one.png")
    photo.save(tmp_path / "two.jpg")
    done = run("one.png", "--style", "red", photos, "-o", "paintings", "--pack", tiny_pack, "two.jpg")
    assert (done.returncode, done.stderr) == (0, "painted 5 of 5 photos\n")
    names = ["beach-red.png", "cat.jpg-red.png", "cat.png-red.png", "one-red.png", "two-red.png"]
    assert sorted(path.name for path in (tmp_path / "paintings").iterdir()) == names
    done = run("one.png", "two.jpg", "--style", "red", "-o", "y.png", "--pack", tiny_pack)
    says_one_sentence(done, "y.png names a picture: several photos need a folder")


def test_the_settings_are_inside_every_painting(tmp_path, photo, tiny_pack, run):
    photo.save(tmp_path / "photo.png")
    turns = ("--strength", 0.4, "--brush-size", 2, "--keep-colors", "--pack", tiny_pack)
    for name in ("out.png", "out.jpg", "out.webp"):
        assert run("photo.png", "--style", "red=3,blue=1", *turns, "-o", name).returncode == 0
        record = read_settings(tmp_path / name)
        assert settings_of(record) == PaintSettings({"red": 3, "blue": 1}, 0.4, 2, True)
        assert (record["photo"], record["pack"]) == ("photo.png", str(tiny_pack))


def test_without_a_pack_all_styles_that_ship_are_there_one_and_the_same_everywhere(tmp_path, photo, run):
    listed = [line.split()[0] for line in run("--list").stdout.splitlines()]
    pipeline = StyleTransferPipeline.from_pretrained(device="cpu")
    assert listed == list(pipeline.styles) == list(shipped_catalog().styles) and len(listed) > 3
    photo.save(tmp_path / "photo.png")
    style = listed[-1]
    assert run("photo.png", "--style", style, "-o", "out.png").returncode == 0
    np.testing.assert_allclose(pixels(tmp_path / "out.png").astype(int), pixels(pipeline(photo, style)), atol=1)
    says_one_sentence(run("photo.png", "--style", "none", "-o", "x.png"), "no style 'none': choose from", style)


def test_a_folder_of_good_photos_ends_with_zero(tmp_path, photos, tiny_pack, run):
    (photos / "torn.jpg").unlink()
    done = run(photos, "--style", "red=1,blue=1", "-o", "paintings", "--pack", tiny_pack)
    assert (done.returncode, done.stderr) == (0, "painted 3 of 3 photos\n")
    assert (tmp_path / "paintings" / "beach-red+blue.png").is_file()


def test_a_folder_of_which_nothing_can_be_painted_ends_with_two(tmp_path, tiny_pack, run):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("not a photo")
    done = run("photos", "--style", "red", "-o", "paintings", "--pack", tiny_pack)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "painted 0 of 1 photos"


def test_a_terminal_sees_a_progress_bar(tmp_path, photos, tiny_pack):
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # as born it is 0 columns wide
    command = [sys.executable, "-m", "styletransfer", photos, "--style", "red", "-o", "out", "--pack", tiny_pack]
    with subprocess.Popen(map(str, command), cwd=tmp_path, env=ENVIRONMENT, stderr=stderr) as process:
        os.close(stderr)
        seen = b""
        while b"painted 3 of 4 photos" not in seen:
            seen += os.read(terminal, 4096)
    os.close(terminal)
    assert process.returncode == 1
    assert b"4/4" in seen
    assert seen.count(b"error: ") == 1


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["PHOTO", "--style", "--output", "--help"]),
        (("photo.png", "--style", "red"), ["--output"]),
        (("photo.png", "--style", "red", "-o", "x.png", "--strength", "much"), ["--strength", "much"]),
        (("photo.png", "--stile", "red", "-o", "x.png"), ["--stile"]),
        (("photo.png", "--style", "red=1,blue", "-o", "x.png"), ["red=1,blue", "name=share"]),
        (("photo.png", "--style", "red=1,red=2", "-o", "x.png"), ["twice"]),
        (("nothing.png", "--style", "red", "-o", "x.png"), ["nothing.png"]),
        (("photo.png", "--style", "red", "-o", "photo.png"), ["photo itself"]),
        (("photo.png", "--style", "red", "-o", "link.png"), ["photo itself"]),
    ],
)
def test_a_wrong_argument_is_answered_in_one_sentence_without_waking_torch(tmp_path, photo, arguments, words):
    photo.save(tmp_path / "photo.png")
    (tmp_path / "link.png").symlink_to("photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    says_one_sentence(in_a_process_without_torch(tmp_path, *arguments), *words)
    assert (tmp_path / "photo.png").read_bytes() == before


def test_help_is_printed_without_waking_torch(tmp_path):
    done = in_a_process_without_torch(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(flag in done.stdout for flag in ("--style", "--output", "--strength", "--pack", "--list", "--debug"))


def in_a_process_without_torch(cwd, *arguments):
    code = "import sys; sys.modules['torch'] = None; from styletransfer.cli.paint import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--style": "green"}, ["green", "red, blue"]),
        ({"--style": "red=-1"}, ["-1"]),
        ({"--strength": "1.5"}, ["1.5", "Strength must be 0 to 1"]),
        ({"photo": "text.jpg"}, ["text.jpg"]),
        ({"photo": "small.png"}, ["small.png", "1x1", "16x16"]),
        ({"-o": "nowhere/out.png"}, ["nowhere"]),
        ({"-o": "out.xyz"}, ["out.xyz", ".png"]),
        ({"--pack": "nowhere"}, ["nowhere"]),
        ({"photo": "photos", "-o": "nowhere/paintings"}, ["nowhere"]),
        ({"photo": "photos", "-o": "photos"}, ["photos"]),
        ({"photo": "photos", "-o": "text.jpg"}, ["text.jpg", "folder"]),
        ({"photo": "empty", "-o": "paintings"}, ["empty"]),
        ({"photo": "photos", "-o": "paintings", "--strength": "2"}, ["2"]),
        ({"--brush-size": "0.25"}, ["The brush size must be 0.5 to 4, not 0.25."]),
        ({"--strength": "nan"}, ["Strength must be 0 to 1, not nan."]),
        ({"--style": "red=1e300,blue=1"}, ["The share of a style must be 0 to 100, not 1e+300."]),
        ({"photo": "photos", "-o": "y.png"}, ["y.png names a picture", "folder"]),
    ],
)
def test_bad_input_is_answered_in_one_sentence_and_leaves_nothing(tmp_path, photo, tiny_pack, changes, words, run):
    photo.save(tmp_path / "photo.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "small.png")
    (tmp_path / "text.jpg").write_text("not a photo")
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photos" / "a.png")
    before = sorted(tmp_path.rglob("*"))
    options = {"photo": "photo.png", "--style": "red", "-o": "out.png", "--pack": tiny_pack, **changes}
    flags = [text for name, value in options.items() if name != "photo" for text in (name, value)]
    says_one_sentence(run(options["photo"], *flags), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_debug_adds_the_traceback(tmp_path, tiny_pack, run):
    (tmp_path / "text.jpg").write_text("not a photo")
    done = run("text.jpg", "--style", "red", "-o", "out.png", "--pack", tiny_pack, "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_an_interrupt_ends_quietly_with_130_and_leaves_no_half_painting(tmp_path, photo, tiny_pack):
    (tmp_path / "photos").mkdir()
    for number in range(400):
        photo.save(tmp_path / "photos" / f"{number}.png")
    command = [sys.executable, "-m", "styletransfer", "photos", "--style", "red", "-o", "out", "--pack", str(tiny_pack)]
    settings = {"cwd": tmp_path, "env": ENVIRONMENT, "stderr": subprocess.PIPE, "text": True}
    # A shell's background job ignores interrupts, and so would what it starts.
    settings["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, **settings) as process:
        while not list(tmp_path.glob("out/*.png")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130
    assert all(pixels(path).shape == (80, 96, 3) for path in tmp_path.glob("out/*"))
    assert not list(tmp_path.glob("out/.*"))
