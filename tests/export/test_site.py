"""The page without a server, in a real browser over a plain web server: its journey, its size, its pixels, offline."""

import functools
import json
import os
import re
import shutil
import stat
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

from styletransfer import StyleTransferPipeline
from styletransfer.cli.paint import main
from styletransfer.errors import InputError
from styletransfer.export import site as site_room
from styletransfer.export.onnx_files import REPORT
from styletransfer.images.files import load_picture
from styletransfer.paths import EXAMPLES, SHIPPED_PACK, STYLES

PACKS = (SHIPPED_PACK, STYLES / "collections")
PAINTED = "#pictures.painted"
PATIENCE, LONG = 120_000, 600_000  # milliseconds, for a busy machine


class PlainServer(ThreadingHTTPServer):
    """A folder over HTTP, without any header of its own; it counts what it sends."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.sent, self.asked = 0, []
        self.address = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def copyfile(self, source, outputfile):
        content = source.read()
        self.server.sent += len(content)
        self.server.asked.append(self.path)
        outputfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def runtime():
    """Skips where nothing brings onnxruntime-web: no test may need the network."""
    try:
        return site_room.fetched_runtime()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def site(runtime, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    assert main(["export", *map(str, PACKS), "--format", "web", "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def server(site):
    server = PlainServer(site)
    yield server
    server.close()


@pytest.fixture(scope="module")
def opened(site, browser):
    """A page that has painted its opening photo, and what its server sent until then."""
    server = PlainServer(site)
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US", accept_downloads=True)
    page = context.new_page()
    page.elsewhere, page.faults = [], []
    page.on(
        "request",
        lambda request: request.url.startswith((server.address, "blob:")) or page.elsewhere.append(request.url),
    )
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(server.address)
    page.wait_for_selector(PAINTED, timeout=PATIENCE)
    page.first_bytes = server.sent
    yield page
    context.close()
    server.close()


def photo_file(folder, size, name="My photo.png"):
    """A part of an example photo: a PNG, so that the browser and we read the same pixels."""
    path = folder / name
    load_picture(EXAMPLES / "pagoda.jpg").rgb.crop((200, 100, 560, 370)).resize(size).save(path)
    return path


@contextmanager
def painting(page):
    """What is done inside begins a painting, which is waited for."""
    before = page.evaluate("document.documentElement.dataset.painted")
    yield
    # By its attribute: the page's policy forbids to evaluate what wait_for_function sends.
    expect(page.locator("html")).not_to_have_attribute("data-painted", before or "", timeout=PATIENCE)


def add(page, path):
    with painting(page):
        page.set_input_files("#file", path)


def choose(page, style):
    with painting(page):
        page.locator(f"#styles input[value={style}]").check(force=True)


def set_strength(page, value):
    page.locator("#strength").fill(str(value))


def downloaded(page, folder):
    with page.expect_download(timeout=LONG) as download:
        page.click("#download")
        expect(page.locator("#download")).to_be_enabled(timeout=LONG)
        expect(page.locator("#message")).to_have_text(re.compile("^Saved as"))
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def apart(one, other):
    one, other = (np.asarray(image.convert("RGB")).astype(int) for image in (one, other))
    assert one.shape == other.shape
    return np.abs(one - other)


def painted(path, style, **settings):
    pack = next(pack for pack in PACKS if style in (pack / "config.json").read_text())
    return StyleTransferPipeline.from_pretrained(pack, device="cpu", dtype=torch.float32)(path, style, **settings)


# ---------------------------------------------------------------- the journey


def test_the_page_opens_with_a_painting_after_less_than_ten_megabytes_and_asks_nobody_else(opened, site):
    told = json.loads((site / REPORT).read_text())["first_painting"]
    assert opened.first_bytes < site_room.FIRST_PAINTING
    assert max(told.values()) < site_room.FIRST_PAINTING  # by WebGPU too
    assert abs(opened.first_bytes - told["wasm"]) < 100_000  # some small files are asked for twice
    assert opened.elsewhere == [] and opened.faults == []
    expect(opened.locator("h1")).to_have_text("Photo in, painting out")
    expect(opened.locator("#message")).to_have_text("An example. Add a photo of yours.")
    assert opened.locator("#styles label").count() == 3


def test_a_server_without_headers_is_enough_for_several_threads(opened):
    assert opened.evaluate("crossOriginIsolated")
    assert int(opened.evaluate("document.documentElement.dataset.threads")) == min(8, os.cpu_count())


def test_the_download_has_the_pipelines_pixels(opened, tmp_path):
    path = photo_file(tmp_path, (203, 150))
    add(opened, path)
    expect(opened.locator("#message")).to_have_text("The Starry Night, 203 × 150 pixels.")
    file = downloaded(opened, tmp_path)
    assert file.name == "My photo-starry-night.png"
    assert apart(Image.open(file), painted(path, "starry-night")).max() <= 1


def test_another_style_of_a_pack_with_several_and_half_the_strength(opened, tmp_path):
    path = photo_file(tmp_path, (180, 120))
    add(opened, path)
    choose(opened, "hiroshige")
    expect(opened.locator("#note")).to_contain_text("Hiroshige")
    set_strength(opened, 50)
    file = downloaded(opened, tmp_path)
    expected = painted(path, "hiroshige", strength=0.5)
    assert apart(Image.open(file), expected).max() <= 1
    assert apart(painted(path, "monet", strength=0.5), expected).max() > 20  # the styles of the pack do differ
    set_strength(opened, 0)
    assert apart(Image.open(downloaded(opened, tmp_path)), Image.open(path)).max() == 0
    opened.locator("#format input[value=jpeg]").check()
    set_strength(opened, 100)
    file = downloaded(opened, tmp_path)
    assert (file.suffix, Image.open(file).format) == (".jpg", "JPEG")
    opened.locator("#format input[value=png]").check()
    choose(opened, "starry-night")


@pytest.mark.slow
def test_a_larger_photo_is_painted_at_its_own_size_with_strokes_as_wide_as_the_pipelines(opened, tmp_path):
    path = photo_file(tmp_path, (960, 320))
    add(opened, path)
    file = downloaded(opened, tmp_path)
    expected = painted(path, "starry-night")
    fine = painted(path, "starry-night", brush_size=0.5)
    assert apart(Image.open(file), expected).mean() < 0.5 * apart(fine, expected).mean()


@pytest.mark.slow
def test_a_photo_of_more_than_a_megapixel_is_painted_in_tiles_without_seams(opened, tmp_path):
    path = photo_file(tmp_path, (1400, 760))
    add(opened, path)
    found = Image.open(downloaded(opened, tmp_path))
    expected = painted(path, "starry-night")
    fine = painted(path, "starry-night", brush_size=0.5)
    assert apart(found, expected).mean() < 0.5 * apart(fine, expected).mean()
    steps = np.abs(np.diff(np.asarray(found).astype(int), axis=1)).mean(axis=(0, 2))
    for edge in (512, 1024):  # where tiles meet
        assert steps[edge - 1] < 1.5 * steps[edge - 40 : edge + 40].mean()


@pytest.mark.slow
def test_a_long_painting_can_be_canceled(opened, tmp_path):
    add(opened, photo_file(tmp_path, (900, 600)))
    opened.click("#download")
    opened.click("#cancel")
    expect(opened.locator("#message")).to_have_text("Canceled.")
    expect(opened.locator("#download")).to_be_enabled()
    add(opened, photo_file(tmp_path, (64, 64)))
    assert Image.open(downloaded(opened, tmp_path)).size == (64, 64)


def test_transparency_stays(opened, tmp_path):
    path = photo_file(tmp_path, (64, 48))
    picture = Image.open(path).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size).point(lambda level: 255 if level > 127 else 0))
    picture.save(path)
    add(opened, path)
    file = Image.open(downloaded(opened, tmp_path))
    assert np.array_equal(np.asarray(file.getchannel("A")), np.asarray(picture.getchannel("A")))


def test_what_cannot_be_painted_is_told_and_the_painting_before_stays(opened, tmp_path):
    add(opened, photo_file(tmp_path, (64, 48)))
    (tmp_path / "notes.jpg").write_text("no picture")
    opened.set_input_files("#file", tmp_path / "notes.jpg")
    expect(opened.locator("#message")).to_have_text(re.compile("cannot read notes.jpg"))
    opened.set_input_files("#file", photo_file(tmp_path, (15, 40), "small.png"))
    expect(opened.locator("#message")).to_have_text(re.compile("15×40 pixels"))
    assert Image.open(downloaded(opened, tmp_path)).size == (64, 48)


@pytest.mark.slow
def test_a_photo_may_be_dropped_and_taken_by_the_camera(opened, tmp_path):
    path = photo_file(tmp_path, (72, 56))
    dropped = """async (bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
        dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, cancelable: true, bubbles: true}));
    }"""
    with painting(opened):
        opened.evaluate(dropped, list(path.read_bytes()))
    expect(opened.locator("#message")).to_have_text("The Starry Night, 72 × 56 pixels.")
    opened.context.grant_permissions(["camera"])
    opened.click("#camera")
    expect(opened.locator("#camera")).to_have_text("Take the photo")
    with painting(opened):
        opened.click("#camera")
    expect(opened.locator("#camera")).to_have_text("Camera")
    expect(opened.locator("#message")).to_have_text(re.compile(r"The Starry Night, \d{3,4} × \d{3,4} pixels"))
    assert opened.faults == []


def test_nothing_on_the_page_fails_its_readers(opened):
    assert Axe().run(opened).response["violations"] == []


@pytest.mark.slow
def test_once_loaded_the_page_paints_without_a_network(site, browser, tmp_path):
    server = PlainServer(site)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.address)
        page.wait_for_selector(PAINTED, timeout=PATIENCE)
        server.close()
        page.reload()
        page.wait_for_selector(PAINTED, timeout=PATIENCE)
        add(page, photo_file(tmp_path, (48, 40)))
        page.locator("#styles input[value=monet]").check(force=True)  # was never loaded
        expect(page.locator("#message")).to_have_text(re.compile("could not be loaded"), timeout=PATIENCE)


@pytest.mark.slow
def test_where_no_service_worker_is_allowed_the_page_paints_with_one_thread_in_chinese_on_a_phone(server, browser):
    phone = {"width": 390, "height": 844}
    with browser.new_context(service_workers="block", viewport=phone, locale="zh-CN", color_scheme="dark") as context:
        page = context.new_page()
        page.goto(server.address)
        page.wait_for_selector(PAINTED, timeout=PATIENCE)
        assert page.evaluate("document.documentElement.dataset.threads") == "1"
        assert page.evaluate("document.documentElement.lang") == "zh"
        expect(page.locator("h1")).to_have_text("照片变画作")
        expect(page.locator("#styles label").first).to_contain_text("星月夜")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = page.locator("#painting").bounding_box()
        assert box["y"] + box["height"] < phone["height"] * 0.6
        assert Axe().run(page).response["violations"] == []


@pytest.mark.slow
def test_webgpu_paints_the_same_pixels(server, browser, tmp_path):
    """By Chromium's graphics card in software, which is slow but takes every step of a real one."""
    flags = ["--headless", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    path = photo_file(tmp_path, (64, 48))
    with browser.browser_type.launch(executable_path=shutil.which("chromium"), args=flags) as other:
        page = other.new_context(service_workers="block").new_page()
        page.route("**/coffee.jpg", lambda route: route.fulfill(path=path))
        page.goto(f"{server.address}?engine=webgpu")
        page.wait_for_selector(PAINTED, timeout=LONG)
        if not page.evaluate("navigator.gpu?.requestAdapter().then((adapter) => adapter !== null)"):
            pytest.skip("this browser has no WebGPU")
        assert page.evaluate("document.documentElement.dataset.engine") == "webgpu"
        assert apart(Image.open(downloaded(page, tmp_path)), painted(path, "starry-night")).max() <= 1


# ---------------------------------------------------------------- what is written


def test_words_are_there_in_both_languages(site):
    words = json.loads((site / "site.json").read_text(encoding="utf-8"))["words"]
    assert words["en"].keys() == words["zh"].keys()
    holes = {
        language: {key: set(re.findall(r"\{\w+\}", text)) for key, text in table.items()}
        for language, table in words.items()
    }
    assert holes["en"] == holes["zh"]
    asked = set(re.findall(r'data-say="(\w+)"', (site / "index.html").read_text()))
    asked |= set(re.findall(r'(?:say|message)\("(\w+)"', (site / "page.js").read_text()))
    assert asked <= words["en"].keys()


@pytest.mark.slow
def test_the_same_packs_make_the_same_bytes(site, tmp_path):
    assert main(["export", *map(str, PACKS), "--format", "web", "-o", str(tmp_path / "again")]) == 0
    files = {path.relative_to(site) for path in site.rglob("*") if path.is_file()}
    assert files == {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert [name for name in files if (site / name).read_bytes() != (tmp_path / "again" / name).read_bytes()] == []


@pytest.mark.slow
def test_all_styles_that_ship_make_one_page(runtime, tmp_path):
    made = site_room.export_site([], tmp_path / "site")
    assert made.styles == len(StyleTransferPipeline.from_pretrained().styles)
    assert max(made.first_painting.values()) < site_room.FIRST_PAINTING


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("keep")
    assert main(["export", str(SHIPPED_PACK), "--format", "web", "-o", str(tmp_path)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# ---------------------------------------------------------------- the runtime


def fake_npm(folder, script):
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(stat.S_IRWXU)
    return str(folder)


def test_without_npm_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm is missing, .* install Node.js"):
        site_room.fetched_runtime()


def test_a_package_other_than_the_tested_one_is_never_used(tmp_path, monkeypatch):
    packed = f"{site_room.RUNTIME}-{site_room.RUNTIME_VERSION}.tgz"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{fake_npm(tmp_path / 'bin', f'echo other > {packed}')}:{os.environ['PATH']}")
    (tmp_path / "cache" / "styletransfer").mkdir(parents=True)
    (tmp_path / "cache" / "styletransfer" / packed).write_text("tampered")
    with pytest.raises(InputError, match="it is not the one that was tested"):
        site_room.fetched_runtime()


def test_what_npm_says_is_handed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", "echo 'npm error the network is down' >&2; exit 1"))
    with pytest.raises(InputError, match="the network is down"):
        site_room.fetched_runtime()


def test_what_was_fetched_once_is_kept(runtime, tmp_path, monkeypatch):
    kept = tmp_path / "styletransfer" / runtime.name
    kept.parent.mkdir()
    kept.symlink_to(Path(runtime).resolve())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert site_room.fetched_runtime() == kept
