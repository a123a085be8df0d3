"""The tab "Video": a clip is brought, painted aside, played and taken home."""

import os
import shutil
import time

import psutil
import pytest
from moving_kit import content_of, panned, write_video
from page_kit import PATIENCE, add, says, start_app
from playwright.sync_api import expect

import styletransfer.page.tabs.video as tab_module
from styletransfer.catalog import Catalog, folder_entry
from styletransfer.page.studio import Limits, Studio
from styletransfer.page.tabs.video import VideoRoom, is_offered


@pytest.fixture
def room(files, tiny_pack, monkeypatch):
    monkeypatch.setattr("styletransfer.aside.NICE", 0)  # beside other tests it would get no core
    catalog = Catalog()
    catalog.add(folder_entry(tiny_pack))
    return VideoRoom(Studio(catalog, Limits(video_seconds=2)))


@pytest.fixture
def painters():
    """How many processes paint for this one."""

    def paints(process):
        try:
            return "--leash" in process.cmdline()
        except psutil.Error:  # it has just ended
            return False

    def count():
        return sum(map(paints, psutil.Process().children(recursive=True)))

    return count


@pytest.mark.slow
def test_a_clip_is_painted_in_a_process_of_its_own(files, room, painters):
    clip = write_video(files / "my clip.mp4", panned(12), sound="aac")
    said, seen = [], 0
    for word in room.paint({"path": str(clip)}, "red", 1.0):
        said.append(word[0])
        seen = max(seen, painters())
    assert seen == 1 and painters() == 0
    assert "Looking at the video." in said[0] and "Painting:" in said[1] and "Painted." in said[-1]
    (made,) = files.glob("*/my clip-red.mp4")
    assert len(content_of(made).frames) == 12 and str(made).replace(" ", "%20") in word[1]
    assert "<video" in word[1] and 'download="my clip-red.mp4"' in word[1]


def test_a_visitor_who_goes_away_stops_the_work(files, room, painters):
    clip = write_video(files / "clip.mp4", panned(45))
    work = room.paint({"path": str(clip)}, "red", 1.0)
    next(work), next(work), next(work)
    assert painters() == 1
    work.close()
    assert painters() == 0 and not list(files.glob("*/.*"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(
            lambda files: write_video(files / "long.mp4", panned(75)),
            "The video has 3 seconds: 2 is the limit here",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda files: shutil.copy(__file__, files / "text.mp4"),
            "text.mp4 is damaged or no video",
            marks=pytest.mark.slow,
        ),
        (lambda files: files / "gone.mp4", "The video is no longer here: add it again."),
    ],
)
def test_a_fault_is_said_in_one_sentence_without_our_folders(files, room, make, said):
    told = []
    with pytest.raises(Exception, match=r"\.") as caught:
        for text, _ in room.paint({"path": str(make(files))}, "red", 1.0):
            told.append(text)
    assert said in told[-1] and str(files) not in told[-1] + str(caught.value)


def test_visitors_of_one_machine_stand_in_line(files, room, monkeypatch):
    clip = write_video(files / "clip.mp4", panned(3))
    works = [room.paint({"path": str(clip)}, "red", 1.0) for _ in range(3)]
    for work in works:
        next(work)
    next(works[0])
    assert "In line: 1 before yours." in next(works[1])[0]
    assert "In line: 2 before yours." in next(works[2])[0]
    works[0].close()
    assert "In line: 1 before yours." in next(works[2])[0]
    for work in works[1:]:
        work.close()


def test_it_can_be_left_out():
    assert is_offered({}) and not is_offered({tab_module.VARIABLE: "0"})


@pytest.mark.slow
def test_a_visitor_brings_a_clip_and_plays_the_painting(tmp_path, tiny_pack, browser):
    clip = write_video(tmp_path / "clip.mp4", panned(40, 192, 108), sound="aac")
    environment = {**os.environ, "STYLETRANSFER_PACK": str(tiny_pack), "STYLETRANSFER_OWN": "0"}
    for address in start_app(tmp_path, environment):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.get_by_role("tab", name="Video").click()
        page.locator("#clip input[type=file]").set_input_files(clip)
        expect(page.locator("#clip")).to_contain_text("clip")
        page.locator("#paint-video").click()
        expect(page.locator("#video-says")).to_contain_text("Painted.", timeout=2 * PATIENCE)
        video = page.locator("#painted-video video")
        page.wait_for_function("() => document.querySelector('#painted-video video').readyState >= 2")
        assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [192, 108]
        video.evaluate("video => { video.muted = true; return video.play() }")
        page.wait_for_function("() => document.querySelector('#painted-video video').currentTime > 0.4")
        page.locator("#painted-video").scroll_into_view_if_needed()
        with page.expect_download() as waiting:
            page.locator("#painted-video a").click()
        assert waiting.value.suggested_filename == "clip-red.mp4"
        assert len(content_of(waiting.value.path()).frames) == 40
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/video-desk.png")
            page.set_viewport_size({"width": 390, "height": 844})
            page.screenshot(path=f"{folder}/video-phone.png", full_page=True)


@pytest.mark.slow
def test_cancel_stops_the_painting_and_photos_do_not_wait_for_it(tmp_path, tiny_pack, browser, photo):
    clip = write_video(tmp_path / "clip.mp4", panned(700, 320, 180, (0.3, 0.1)))
    photo.save(tmp_path / "photo.png")
    environment = {**os.environ, "STYLETRANSFER_PACK": str(tiny_pack), "STYLETRANSFER_OWN": "0"}
    for address in start_app(tmp_path, environment):
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("tab", name="Video").click()
        page.locator("#clip input[type=file]").set_input_files(clip)
        page.locator("#paint-video").click()
        expect(page.locator("#video-says progress")).to_be_visible()
        other = browser.new_page()
        other.goto(address)
        began = time.monotonic()
        add(other, tmp_path / "photo.png")
        says(other, "Red, 96 × 80 pixels. ")
        assert time.monotonic() - began < 20
        expect(page.locator("#video-says")).to_contain_text("Painting:")
        page.locator("#stop-video").click()
        expect(page.locator("#video-says")).to_have_text("Stopped: nothing was kept.")
        page.wait_for_timeout(1500)
        expect(page.locator("#video-says")).to_have_text("Stopped: nothing was kept.")
