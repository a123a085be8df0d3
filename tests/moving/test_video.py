"""Videos painted: what comes in by real codecs, what goes out, and what a kill, a fault or a full disk leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from moving_kit import content_of, panned, scenery, write_high_range, write_video
from painting_kit import refusal

from styletransfer.moving import filming
from styletransfer.moving.reading import VideoFile
from styletransfer.moving.segments import Segments, hidden_folder
from styletransfer.moving.video import job_of, paint_video
from styletransfer.pipeline import StyleTransferPipeline
from styletransfer.settings import PaintSettings

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def pipeline(tiny_pack):
    return StyleTransferPipeline.from_pretrained(tiny_pack, device="cpu")


def difference(one, other):
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def written_to(monkeypatch):
    """A list that gets every frame (H, W, 3) that is given to be written."""
    painted, write = [], Segments.write

    def noted(self, painting, frame):
        painted.append(painting.copy())
        write(self, painting, frame)

    monkeypatch.setattr(Segments, "write", noted)
    return painted


def test_frames_times_and_sound_of_a_video_are_kept(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mp4", panned(20), sound="aac")
    notes = paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    given, made = content_of(source), content_of(tmp_path / "out.mp4")
    assert notes == []
    assert made.streams == {"video": ["h264"], "audio": ["aac"]}
    assert (made.pixels, made.is_fast, made.samples) == ("yuv420p", True, given.samples)
    assert made.times == pytest.approx(given.times) and made.seconds == pytest.approx(given.seconds)
    assert made.frames[0].shape == given.frames[0].shape
    assert difference(made.frames[5], given.frames[5]) > 15  # it was painted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4", "tiny-pack"]


def test_a_frame_is_painted_as_a_photo_of_it_is(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mp4", [scenery()] * 3)
    paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    photo = content_of(source).frames[0]
    expected = np.asarray(pipeline(photo, "red"))
    assert difference(content_of(tmp_path / "out.mp4").frames[0], expected) < 6  # H.264 halves the colors' resolution


def test_a_strength_of_0_gives_the_video_and_a_mask_keeps_its_part(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mp4", panned(4))
    given = content_of(source).frames[2]
    paint_video(source, tmp_path / "none.mp4", "red", pipeline=pipeline, strength=0.0)
    assert difference(content_of(tmp_path / "none.mp4").frames[2], given) < 5
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 48:] = 255
    paint_video(source, tmp_path / "half.mp4", "red", pipeline=pipeline, mask=mask)
    half = content_of(tmp_path / "half.mp4").frames[2]
    assert difference(half[:, :40], given[:, :40]) < 5 < 12 < difference(half[:, 64:], given[:, 64:])


def test_a_variable_frame_rate_keeps_its_times(tmp_path, pipeline):
    times = [0, 0.04, 0.2, 0.24, 0.5, 1.0, 1.04]
    source = write_video(tmp_path / "clip.mp4", panned(7), times=times)
    paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    assert content_of(tmp_path / "out.mp4").times == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_video_is_painted_upright(tmp_path, pipeline, rotation):
    frames = list(panned(3))
    source = write_video(tmp_path / "clip.mp4", frames, rotation=rotation)
    paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline, strength=0.0)
    upright = np.rot90(frames[0], rotation // 90)
    assert difference(content_of(tmp_path / "out.mp4").frames[0], upright) < 6
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert next(made.decode(video=0)).rotation == 0


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (1, True), (5, False), (5, True)])
def test_matrix_and_range_of_the_colors_are_kept(tmp_path, pipeline, matrix, full):
    colors = np.zeros((64, 96, 3), np.uint8)
    colors[:, :32], colors[:, 32:64], colors[:, 64:] = (200, 30, 30), (20, 180, 40), (245, 245, 240)
    source = write_video(tmp_path / "clip.mp4", [colors] * 3, matrix=matrix, full=full)
    paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline, strength=0.0)
    made = content_of(tmp_path / "out.mp4")
    assert ({5: 5, 6: 5}.get(made.matrix, made.matrix), made.full) == (matrix, full)
    clip = VideoFile(tmp_path / "out.mp4", 1280)
    shown = next(clip.frames()).rgb
    for column, color in ((16, (200, 30, 30)), (48, (20, 180, 40)), (80, (245, 245, 240))):
        assert np.abs(shown[32, column].astype(int) - color).max() <= 6


def test_odd_sides_become_even_and_a_note_says_so(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mkv", panned(3, 97, 65), codec="libx264")
    notes = paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    assert content_of(tmp_path / "out.mp4").frames[0].shape == (66, 98, 3)
    assert notes == ["A video needs even sides: its last row or column of pixels is there twice."]


def test_a_large_video_is_painted_smaller_and_a_note_says_so(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mp4", panned(2, 160, 90))
    notes = paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline, size=96)
    assert content_of(tmp_path / "out.mp4").frames[0].shape == (54, 96, 3)
    assert "96x54 pixels instead of 160x90" in notes[0]


def test_high_dynamic_range_becomes_that_of_a_usual_screen(tmp_path, pipeline):
    """Level 0.58 of PQ is 203 nits, the white of paper: bright, but not the brightest there is."""
    levels = {}
    for light in (0.2, 0.58, 0.75):
        source = write_high_range(tmp_path / "high.mp4", light)
        clip = VideoFile(source, 1280)
        levels[light] = next(clip.frames()).rgb.mean()
        assert clip.notes == ["The video's high dynamic range was brought into the range of usual screens."]
    assert 15 < levels[0.2] < 60 and 230 < levels[0.58] < 248 < levels[0.75] <= 255
    paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    assert content_of(tmp_path / "out.mp4").pixels == "yuv420p"


@pytest.mark.parametrize(("container", "codec"), [("avi", "pcm_s16le"), ("mov", "pcm_s16le")])
def test_sound_that_mp4_does_not_hold_becomes_aac(tmp_path, pipeline, container, codec):
    source = write_video(tmp_path / f"clip.{container}", panned(25), sound=codec, codec="mpeg4")
    notes = paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    made = content_of(tmp_path / "out.mp4")
    assert notes == [f"The sound was written as AAC: .mp4 does not hold {codec}."]
    assert made.streams["audio"] == ["aac"] and made.samples == pytest.approx(48000, abs=3000)
    paint_video(source, tmp_path / "out.mkv", "red", pipeline=pipeline)
    assert content_of(tmp_path / "out.mkv").streams["audio"] == [codec]


def test_subtitles_that_mp4_does_not_hold_are_left_out_with_a_note(tmp_path, pipeline):
    captions = tmp_path / "captions.srt"
    captions.write_text("1\n00:00:00,000 --> 00:00:00,500\nHello\n")
    silent, source = write_video(tmp_path / "silent.mkv", panned(20)), tmp_path / "clip.mkv"
    with av.open(str(silent)) as video, av.open(str(captions)) as text, av.open(str(source), "w") as made:
        pairs = {s: made.add_stream_from_template(s) for s in (video.streams.video[0], text.streams.subtitles[0])}
        for file in (video, text):
            for packet in file.demux():
                if packet.size:
                    packet.stream = pairs[packet.stream]
                    made.mux(packet)
    notes = paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    assert notes == ["Subtitles were left out: .mp4 does not hold srt."]
    paint_video(source, tmp_path / "out.mkv", "red", pipeline=pipeline)
    assert content_of(tmp_path / "out.mkv").streams["subtitle"] == ["srt"]


# ---------------------------------------------------------------- going on, stopping, and faults


def test_work_goes_on_where_a_kill_has_left_it_and_paints_the_same(tmp_path, pipeline, monkeypatch):
    monkeypatch.setattr(filming, "SEGMENT_SECONDS", 0.3)
    painted = written_to(monkeypatch)
    source = write_video(tmp_path / "clip.mp4", panned(40), sound="aac")
    paint_video(source, tmp_path / "whole.mp4", "red", pipeline=pipeline)
    expected = painted.copy()
    painted.clear()

    def job():
        return job_of(pipeline, source, tmp_path / "out.mp4", PaintSettings("red"))

    first = job()
    for share in first.steps():
        if share > 0.6:
            break  # as if killed: nothing is closed or written
    assert not (tmp_path / "out.mp4").exists()
    second = job()
    assert 16 <= second.resumed < 40
    del painted[second.resumed :]
    for _ in second.steps():
        pass
    assert len(expected) == len(painted) == 40
    assert all(np.array_equal(one, other) for one, other in zip(painted, expected, strict=True))
    whole, made = content_of(tmp_path / "whole.mp4"), content_of(tmp_path / "out.mp4")
    assert len(made.frames) == 40 and made.times == whole.times and made.samples == whole.samples
    # libx264 does not always make the same of the same frames: both files are near what was painted.
    for file in (made, whole):
        assert max(difference(*pair) for pair in zip(file.frames, expected, strict=True)) < 7
    assert not hidden_folder(tmp_path / "out.mp4").exists()


def test_other_settings_begin_anew(tmp_path, pipeline, monkeypatch):
    monkeypatch.setattr(filming, "SEGMENT_SECONDS", 0.3)
    source, output = write_video(tmp_path / "clip.mp4", panned(30)), tmp_path / "out.mp4"
    first = job_of(pipeline, source, output, PaintSettings("red"))
    for share in first.steps():
        if share > 0.6:
            break
    assert job_of(pipeline, source, output, PaintSettings("blue")).resumed == 0


@pytest.mark.slow
def test_ctrl_c_keeps_a_playable_file_and_the_same_command_goes_on(tmp_path, tiny_pack):
    source = write_video(tmp_path / "clip.mp4", panned(900, 160, 96, (0.2, 0.1)), sound="aac")
    command = [sys.executable, "-m", "styletransfer", "clip.mp4", "--style", "red", "-o", "out.mp4"]
    command += ["--pack", str(tiny_pack)]
    process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    folder, end = hidden_folder(tmp_path / "out.mp4"), time.monotonic() + 200
    while not (folder / "00000.mp4").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "kept what was painted in out.mp4" in said
    part = content_of(tmp_path / "out.mp4")
    assert 125 <= len(part.frames) < 900
    assert part.samples / 48000 == pytest.approx(part.seconds, abs=0.1)
    again = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0 and "going on after" in again.stderr, again.stderr
    assert len(content_of(tmp_path / "out.mp4").frames) == 900
    assert content_of(tmp_path / "out.mp4").samples == content_of(source).samples


def test_a_file_that_is_cut_short_is_painted_up_to_there(tmp_path, pipeline):
    whole = write_video(tmp_path / "whole.mkv", panned(60))
    source = tmp_path / "clip.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    notes = paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    assert 10 < len(content_of(tmp_path / "out.mp4").frames) < 55
    assert any("seconds, the rest of the file is missing or damaged" in note for note in notes)


def test_a_file_damaged_in_its_middle_is_painted_around_it(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.avi", panned(60), codec="mpeg4")
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    source.write_bytes(content)
    notes = paint_video(source, tmp_path / "out.mp4", "red", pipeline=pipeline)
    assert 40 < len(content_of(tmp_path / "out.mp4").frames) < 60
    assert any("damaged" in note for note in notes)


def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, pipeline):
    def says(name, output="out.mp4", **turns):
        return refusal(
            paint_video, tmp_path / name, tmp_path / output, turns.pop("style", "red"), pipeline=pipeline, **turns
        )

    write_video(tmp_path / "clip.mp4", panned(2))
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "empty.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "sound.mp4"), "w") as made:
        tone = made.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
        frame.rate = 48000
        made.mux([*tone.encode(frame), *tone.encode(None)])
    assert says("missing.mp4").startswith("There is no file")
    assert "damaged or no video" in says("noise.mp4") and "damaged or no video" in says("empty.mp4")
    assert "has no video in it" in says("sound.mp4")
    assert "end the name with one of .mp4" in says("clip.mp4", "out.txt")
    assert says("clip.mp4", "no/out.mp4").startswith("There is no folder")
    assert "is the video itself" in says("clip.mp4", "clip.mp4")
    assert "There is no style 'green'" in says("clip.mp4", style="green")
    assert "Steadiness must be 0 to 1, not 2" in says("clip.mp4", steadiness=2.0)
    assert "The size must be 16 to 4096 pixels, not 5" in says("clip.mp4", size=5)
    assert "Wrapping is for panoramas" in says("clip.mp4", wrap=True)
    assert not (tmp_path / "out.mp4").exists() and not list(tmp_path.glob(".*"))


def test_a_video_of_an_unknown_codec_is_refused(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.avi", panned(3), codec="mpeg4")
    source.write_bytes(source.read_bytes().replace(b"FMP4", b"QQQQ"))
    assert "codec" in refusal(paint_video, source, tmp_path / "out.mp4", "red", pipeline=pipeline)


def test_a_video_without_frames_is_refused(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mkv", panned(3))
    with av.open(str(source)) as whole, av.open(str(tmp_path / "none.mkv"), "w") as made:
        made.add_stream_from_template(whole.streams.video[0])
        made.start_encoding()
    said = refusal(paint_video, tmp_path / "none.mkv", tmp_path / "out.mp4", "red", pipeline=pipeline)
    assert "no frame that can be read" in said or "damaged or no video" in said


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path, pipeline, monkeypatch):
    source, output = write_video(tmp_path / "clip.mp4", panned(3)), tmp_path / "out.mp4"
    output.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(filming, "join", full)
    assert "the disk is full" in refusal(paint_video, source, output, "red", pipeline=pipeline)
    assert output.read_bytes() == b"old"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said(tmp_path, pipeline):
    source = write_video(tmp_path / "clip.mp4", panned(3))
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "you may not write there" in refusal(paint_video, source, locked / "out.mp4", "red", pipeline=pipeline)
