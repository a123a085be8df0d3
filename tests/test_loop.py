"""The whole loop over HTTP, each part the real program: dataset, training on two processes, pack, page, painting."""

import json
import subprocess
import sys

import pytest
from page_kit import PATIENCE, add, assert_alike, download, message, pixels, start_app
from playwright.sync_api import expect
from training_kit import ROOT, SCRIPT, TINY, checkpoint, draw_pictures, flags, free_port

from styletransfer.pipeline import StyleTransferPipeline

DATASET, PACK = "painter/photos-and-waves", "painter/waves"

# Run with the Hub's address: the real `datasets` pushes the drawn pictures, in columns named as in huggan/monet2photo.
PUSH_PICTURES = """
import sys, pathlib, datasets
photos, waves = (sorted(map(str, pathlib.Path(folder).iterdir())) for folder in sys.argv[1:3])
columns = {"imageA": [waves[i % len(waves)] for i in range(len(photos))], "imageB": photos}
features = datasets.Features({"imageA": datasets.Image(), "imageB": datasets.Image()})
datasets.Dataset.from_dict(columns, features=features).push_to_hub(sys.argv[3], num_shards=2)
"""


def run(command, environment):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def output(running, tmp_path_factory):
    """The folder of a training on the dataset, streamed by two processes, whose pack went to the Hub."""
    folder = tmp_path_factory.mktemp("loop")
    pictures = draw_pictures(folder)
    painter = running.environment("painter")
    run(["-c", PUSH_PICTURES, pictures.photos, pictures.waves, DATASET], painter)
    settings = {
        **TINY,
        "photos": [f"{DATASET}:train:imageB"],
        "style": [f"waves={DATASET}:train:imageA"],
        "title": ["waves=Drawn Waves"],
        "streaming": True,
        "batch_size": 1,
        "steps": 4,
        "push_to_hub": PACK,
    }
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2, "--num_machines", 1]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", free_port()]
    run([*launcher, SCRIPT, *flags(folder / "run", settings)], painter)
    return folder / "run"


def test_the_training_took_place_on_two_processes_and_left_a_pack_on_the_hub(running, output):
    assert json.loads((checkpoint(output, 4) / "progress.json").read_text())["processes"] == 2
    repo = running.repo(PACK)
    assert {"config.json", "README.md", "samples/waves.webp"} <= set(repo.paths())
    assert repo.tags == {"v1": repo.head}
    assert f"- {DATASET}" in repo.read("README.md").decode()  # under `datasets:` of its card


def test_the_page_finds_the_style_and_paints_a_photo_with_it(running, output, browser, tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    visitor = running.environment() | {"STYLETRANSFER_AUTHORS": "painter", "GRADIO_ANALYTICS_ENABLED": "False"}
    starting = start_app(tmp_path, visitor)
    address = next(starting)
    try:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        style = page.locator("#styles label").filter(has_text="Drawn Waves")
        expect(style).to_be_visible()
        style.click()
        add(page, tmp_path / "photo.png")
        expect(message(page)).to_have_text("Drawn Waves, 96 × 80 pixels.")
        name, painting = download(page)
        page.close()
    finally:
        starting.close()
    assert name == "photo-waves.png"
    assert_alike(painting, pixels(StyleTransferPipeline.from_pretrained(output / "pack", device="cpu")(photo, "waves")))


def test_the_pack_is_there_for_every_program(running, output, browser, tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    command = ["-m", "styletransfer", tmp_path / "photo.png", "--pack", PACK, "--style", "waves"]
    run([*command, "-o", tmp_path / "painting.png"], running.environment())
    assert (tmp_path / "painting.png").stat().st_size > 0
