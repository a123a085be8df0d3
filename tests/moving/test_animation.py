"""Animated pictures: durations, loops and transparency go through every format."""

import subprocess

import numpy as np
import pytest
from moving_kit import content_of, panned, write_video
from painting_kit import refusal
from PIL import Image

from styletransfer.cli.paint import main
from styletransfer.moving import animation
from styletransfer.moving.animation import in_one_palette, is_animation
from styletransfer.moving.video import paint_video
from styletransfer.pipeline import StyleTransferPipeline

LENGTHS = [80, 80, 120, 80, 500]  # milliseconds


@pytest.fixture
def pipeline(tiny_pack):
    return StyleTransferPipeline.from_pretrained(tiny_pack, device="cpu")


@pytest.fixture
def run(tmp_path, tiny_pack, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        code = main([*map(str, arguments), "--style", "red", "--pack", str(tiny_pack)])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return call


def animate(path, *, seen=None, size=(61, 47), **options):
    """An animated picture; `seen` is the box that is not transparent."""
    pictures = [Image.fromarray(frame) for frame in panned(len(LENGTHS), *size)]
    if seen:
        for picture in pictures:
            alpha = Image.new("L", picture.size, 0)
            alpha.paste(255, seen)
            picture.putalpha(alpha)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=LENGTHS, **options)
    return path


def frames_of(path):
    with Image.open(path) as image:
        found = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            found.append((image.convert("RGBA"), image.info.get("duration")))
        return found, image.info.get("loop")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("source", ["anim.gif", "anim.webp", "anim.png"])
def test_durations_and_loops_are_kept(tmp_path, pipeline, source, suffix):
    file = animate(tmp_path / source, loop=3)
    assert paint_video(file, tmp_path / f"out{suffix}", "red", pipeline=pipeline) == []
    frames, loop = frames_of(tmp_path / f"out{suffix}")
    assert [duration for _, duration in frames] == LENGTHS and loop == 3
    assert {picture.size for picture, _ in frames} == {(61, 47)}
    given = np.asarray(frames_of(file)[0][2][0]).astype(int)
    assert np.abs(np.asarray(frames[2][0]) - given)[..., :3].mean() > 10  # it was painted


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_transparency_is_kept(tmp_path, pipeline, suffix):
    file = animate(tmp_path / "anim.png", seen=(10, 10, 40, 30))
    paint_video(file, tmp_path / f"out{suffix}", "red", pipeline=pipeline)
    for picture, _ in frames_of(tmp_path / f"out{suffix}")[0]:
        alpha = np.asarray(picture.getchannel("A"))
        assert alpha[10:30, 10:40].min() == 255 and alpha.sum() == 255 * 20 * 30


def test_a_gif_that_plays_once_plays_once(tmp_path, pipeline):
    file = animate(tmp_path / "anim.gif")
    paint_video(file, tmp_path / "out.gif", "red", pipeline=pipeline)
    assert frames_of(tmp_path / "out.gif")[1] is None


def test_an_animated_picture_becomes_a_video_with_its_times(tmp_path, pipeline):
    notes = paint_video(animate(tmp_path / "anim.gif"), tmp_path / "out.mp4", "red", pipeline=pipeline)
    made = content_of(tmp_path / "out.mp4")
    assert made.times == pytest.approx([0, 0.08, 0.16, 0.28, 0.36]) and made.seconds == pytest.approx(0.86)
    assert made.frames[0].shape == (48, 62, 3) and "even sides" in notes[0]


def test_a_video_becomes_an_animated_picture(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mp4", panned(5))
    paint_video(source, tmp_path / "out.webp", "red", pipeline=pipeline)
    frames, loop = frames_of(tmp_path / "out.webp")
    assert [duration for _, duration in frames] == [40] * 5 and loop == 0


def test_frames_of_a_gif_share_one_palette():
    frames = [Image.fromarray(frame) for frame in panned(6)]
    palettes = {tuple(picture.getpalette()) for picture in in_one_palette(frames)}
    assert len(palettes) == 1


def test_the_command_paints_what_moves_and_still_pictures_as_ever(tmp_path, run):
    animate(tmp_path / "anim.gif")
    Image.fromarray(next(panned(1))).save(tmp_path / "still.gif")
    write_video(tmp_path / "clip.mp4", panned(3))
    assert not is_animation(tmp_path / "still.gif")
    done = run("anim.gif", "-o", "one.webp")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(frames_of(tmp_path / "one.webp")[0]) == len(LENGTHS)
    done = run("anim.gif", "still.gif", "clip.mp4", "-o", "all")
    assert (done.returncode, done.stderr) == (0, "painted 3 of 3 photos\n")
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == ["anim-red.png", "clip-red.mp4", "still-red.png"]
    assert len(frames_of(tmp_path / "all" / "anim-red.png")[0]) == len(LENGTHS)
    assert not is_animation(tmp_path / "all" / "still-red.png")


def test_the_command_says_a_fault_in_one_sentence(tmp_path, run):
    write_video(tmp_path / "clip.mp4", panned(3))
    for arguments, said in [
        (("clip.mp4", "-o", "out.jpg"), "cannot hold what moves"),
        (("clip.mp4", "-o", "out.mp4", "--steadiness", "3"), "Steadiness must be 0 to 1"),
        (("clip.mp4", "-o", "clip.mp4"), "is the photo itself"),
    ]:
        done = run(*arguments)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_damaged_animation_is_painted_as_far_as_it_goes(tmp_path, pipeline):
    file = animate(tmp_path / "anim.gif", size=(120, 90))
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 3 // 5])
    notes = paint_video(file, tmp_path / "out.webp", "red", pipeline=pipeline)
    assert 1 <= len(frames_of(tmp_path / "out.webp")[0]) < len(LENGTHS)
    assert "is damaged after frame" in notes[0] and len(notes) == 1


def test_what_does_not_fit_into_memory_is_refused(tmp_path, pipeline, monkeypatch):
    monkeypatch.setattr(animation, "MOST_PIXELS", 10_000)
    file = animate(tmp_path / "anim.gif")
    said = refusal(paint_video, file, tmp_path / "out.gif", "red", pipeline=pipeline)
    assert "too long for an animated picture" in said and not (tmp_path / "out.gif").exists()
