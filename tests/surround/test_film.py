"""Videos of the whole sphere: real files, painted as photos of it are, steady, and recognised by players."""

import json
import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from moving_kit import content_of, write_video
from painting_kit import STYLES
from PIL import Image
from small_generators import random_generator
from sphere_kit import photo_sphere

from styletransfer.errors import InputError
from styletransfer.moving.video import job_of
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings
from styletransfer.surround.boxes import TOLD, is_spherical, say_spherical
from styletransfer.surround.film import SphereSteadyPainter, is_sphere, sphere_job_of
from styletransfer.surround.panorama import paint_panorama
from styletransfer.surround.sphere import heading

WIDTH = 512


@pytest.fixture(scope="module")
def pipeline():
    return StyleTransferPipeline(random_generator(STYLES), device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def sphere():
    return np.asarray(photo_sphere(WIDTH))


def turning(sphere, count, step=0):
    """Frames of a camera that turns by so many columns a frame, with a sensor's noise."""
    noise = np.random.default_rng(0)
    for index in range(count):
        frame = np.roll(sphere, -step * index, axis=1) + noise.normal(0, 3, sphere.shape)
        yield frame.clip(0, 255).astype(np.uint8)


def painted(pipeline, source, output, style="wave", **turns):
    settings = PaintSettings.of(style)
    job = sphere_job_of(pipeline, source, output, settings, size=WIDTH, **{"steadiness": 0.7, **turns})
    assert list(job.steps())[-1] == 1.0
    return [str(note) for note in job.notes]


def frames_of(path):
    return content_of(path).frames


def apart(one, other):
    return np.abs(one.astype(float) - other.astype(float)).mean()


# ---------------------------------------------------------------- how it is painted


def test_a_frame_is_painted_as_a_photo_of_the_sphere_is(tmp_path, pipeline, sphere):
    sphere = np.roll(sphere, -heading(sphere), axis=1)  # photos are turned so before they are painted
    source = write_video(tmp_path / "in.mp4", [sphere])
    assert painted(pipeline, source, tmp_path / "out.mp4") == []
    (found,), (frame,) = frames_of(tmp_path / "out.mp4"), frames_of(source)
    frame = np.roll(frame, -heading(frame), axis=1)
    expected = np.asarray(paint_panorama(pipeline, Image.fromarray(frame), "wave"))
    flat = np.asarray(pipeline(Image.fromarray(frame), "wave"))
    assert apart(found, expected) < 0.35 * apart(flat, expected)


def test_the_left_edge_continues_the_right_one_in_every_frame(pipeline, sphere):
    """Without a codec, which makes mistakes of its own at either edge."""
    painter = SphereSteadyPainter(pipeline.parts({"wave": 1.0}), (WIDTH, WIDTH // 2), 1.0, 0.7)
    frames = list(turning(sphere, 5, step=7))
    found = np.mean([seam(painter.paint(frame)) for frame in frames])
    photos = [np.asarray(paint_panorama(pipeline, Image.fromarray(frame), "wave")) for frame in frames]
    flat = [np.asarray(pipeline(Image.fromarray(frame), "wave")) for frame in frames]
    assert found < 1.5 * np.mean([seam(photo) for photo in photos])
    assert found < 0.7 * np.mean([seam(photo) for photo in flat])


def seam(picture):
    """How much larger the step from the right edge to the left one is than steps beside it."""
    around = np.concatenate([picture[:, -40:], picture[:, :40]], axis=1).astype(float)
    steps = np.abs(np.diff(around, axis=1)).mean(axis=(0, 2))
    return steps[39] / steps.mean()


@pytest.mark.parametrize("step", [0, 5])
def test_what_stays_or_turns_is_steadier_than_frame_by_frame(tmp_path, pipeline, sphere, step):
    source = write_video(tmp_path / "in.mp4", turning(sphere, 6, step))

    def change(steadiness):
        output = tmp_path / f"{steadiness}.mp4"
        painted(pipeline, source, output, steadiness=steadiness)
        frames = frames_of(output)[2:]
        return np.mean([apart(np.roll(a, -step, axis=1), b) for a, b in zip(frames, frames[1:], strict=False)])

    assert change(0.7) < (0.5 if step == 0 else 0.8) * change(0.0)


def test_a_killed_painting_goes_on_and_other_settings_begin_anew(tmp_path, pipeline, sphere, monkeypatch):
    monkeypatch.setattr("styletransfer.moving.filming.SEGMENT_SECONDS", 0.1)
    source = write_video(tmp_path / "in.mp4", turning(sphere, 8, step=3))
    painted(pipeline, source, tmp_path / "whole.mp4")
    job = sphere_job_of(pipeline, source, tmp_path / "out.mp4", PaintSettings.of("wave"), size=WIDTH)
    steps = job.steps()
    for _ in range(5):
        next(steps)
    steps.close()
    again = sphere_job_of(pipeline, source, tmp_path / "out.mp4", PaintSettings.of("wave"), size=WIDTH)
    assert again.resumed >= 3
    list(again.steps())
    for one, other in zip(frames_of(tmp_path / "out.mp4"), frames_of(tmp_path / "whole.mp4"), strict=True):
        assert apart(one, other) == 0
    started = sphere_job_of(pipeline, source, tmp_path / "b.mp4", PaintSettings.of("wave"))
    for begun, _ in zip(started.steps(), range(5), strict=False):
        assert begun < 1
    assert job_of(pipeline, source, tmp_path / "b.mp4", PaintSettings.of("wave")).resumed == 0


def test_what_is_not_twice_as_wide_as_high_is_refused(tmp_path, pipeline, sphere):
    source = write_video(tmp_path / "in.mp4", [sphere[:, :300]])
    with pytest.raises(InputError, match="twice as wide as high"):
        sphere_job_of(pipeline, source, tmp_path / "out.mp4", PaintSettings.of("wave"), size=WIDTH)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


# ---------------------------------------------------------------- what the file says


def test_the_painting_says_that_it_is_a_sphere_and_plays_as_before(tmp_path, pipeline, sphere):
    source = write_video(tmp_path / "in.mp4", turning(sphere, 4), sound="aac")
    assert not is_spherical(source) and not is_sphere(source, False) and is_sphere(source, True)
    painted(pipeline, source, tmp_path / "out.mp4")
    assert is_sphere(tmp_path / "out.mp4", False)
    assert TOLD in (tmp_path / "out.mp4").read_bytes()
    assert len(frames_of(tmp_path / "out.mp4")) == 4
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # still plays before all of it is here


@pytest.mark.parametrize("options", [{}, {"movflags": "+faststart"}])
def test_saying_so_changes_no_frame_and_no_sound(tmp_path, sphere, options):
    source = write_video(tmp_path / "plain.mp4", turning(sphere, 5), sound="aac")
    path = tmp_path / "moved.mp4"
    with av.open(str(source)) as given, av.open(str(path), "w", options=options) as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    before = packets(path)
    assert say_spherical(path) and is_spherical(path)
    assert packets(path) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["moved.mp4", "plain.mp4"]


def packets(path):
    with av.open(str(path)) as file:
        return [(packet.stream.index, packet.pts, bytes(packet)) for packet in file.demux() if packet.size]


def test_mkv_says_in_a_note_that_it_cannot_tell(tmp_path, pipeline, sphere):
    source = write_video(tmp_path / "in.mp4", [sphere])
    (note,) = painted(pipeline, source, tmp_path / "out.mkv")
    assert note == "The file does not say that it is a sphere: tell the player, or name it .mp4."


def test_damaged_boxes_are_no_sphere_and_stay_as_they_are(tmp_path, sphere):
    whole = write_video(tmp_path / "in.mp4", [sphere]).read_bytes()
    path, chance = tmp_path / "damaged.mp4", np.random.default_rng(0)
    for index in range(200):
        data = bytearray(whole[: chance.integers(1, len(whole))] if index % 2 else whole)
        for place in chance.integers(0, len(data), 4):
            data[place] = chance.integers(0, 256)
        path.write_bytes(data)
        assert is_spherical(path) in (False, True)
    path.write_bytes(b"")
    assert not is_spherical(path) and not say_spherical(path)


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_paints_a_sphere_because_it_is_told_or_because_the_file_says_so(tmp_path, tiny_pack, sphere):
    source = write_video(tmp_path / "in.mp4", turning(sphere, 3))

    def run(*arguments):
        command = [
            sys.executable,
            "-m",
            "styletransfer",
            *map(str, arguments),
            "--style",
            "red",
            "--pack",
            str(tiny_pack),
            "--json",
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1])["notes"]

    run(source, "-o", tmp_path / "flat.mp4")
    assert not is_spherical(tmp_path / "flat.mp4")
    run(source, "-o", tmp_path / "round.mp4", "--panorama")
    assert is_spherical(tmp_path / "round.mp4")
    run(tmp_path / "round.mp4", "-o", tmp_path / "again.mp4")
    assert is_spherical(tmp_path / "again.mp4")
