"""A training from its command line to its pack; what goes wrong is told in one sentence, and nothing made is lost."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from small_generators import random_discriminator
from training_kit import (
    SCRIPT,
    TINY,
    WEIGHTS,
    Command,
    assert_same_run,
    checkpoint,
    checkpoints,
    differences,
    flags,
    loss_lines,
    losses,
    progress,
    same_bits,
    train,
    trained,
)

from styletransfer import StyleTransferPipeline
from styletransfer.packs.folder import load_discriminator, load_pack, save_pack
from styletransfer.training.config import load_config

BROKEN = "a-broken.jpg"  # the first by name: the grids meet it, too
BRIEF = {"steps": 2, "checkpoint_every": 2}


@pytest.fixture(scope="session")
def whole_run(pictures, tmp_path_factory):
    """A training with everything on, one of its photos cut short: its output folder and what it said."""
    folder = tmp_path_factory.mktemp("whole")
    photos = shutil.copytree(pictures.photos, folder / "photos")
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / BROKEN)
    whole = (photos / BROKEN).read_bytes()
    (photos / BROKEN).write_bytes(whole[: len(whole) // 2])
    sources = {**pictures.sources, "photos": [photos], "title": ["dots=Polka Dots"], "note": ["dots=Drawn by code"]}
    rhythm = {"steps": 6, "checkpoint_every": 2, "sample_every": 3, "tracker": None}
    finished = train(folder / "run", {**TINY, **sources, **rhythm})
    assert finished.code == 0, finished.err
    return folder / "run", finished


@pytest.fixture(scope="session")
def output(whole_run):
    return whole_run[0]


@pytest.fixture(scope="session")
def pipeline(output):
    return StyleTransferPipeline.from_pretrained(output / "pack", device="cpu", dtype=torch.float32)


@pytest.fixture(scope="session")
def stopped(settings, tmp_path_factory):
    """A training that has reached step 4 of 8, and the one that went through, with the same settings."""
    through = trained(tmp_path_factory.mktemp("through") / "run", settings)
    until_4 = tmp_path_factory.mktemp("stopped") / "run"
    shutil.copytree(checkpoint(through, 4), checkpoint(until_4, 4))
    lines = (through / "losses.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (until_4 / "losses.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    return until_4, through


def copy_of(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


# ---------------------------------------------------------------- what a training leaves


def test_pack_paints_in_every_style(pipeline, pictures):
    assert pipeline.styles == {"waves": "Waves", "dots": "Polka Dots"}
    photo = Image.open(pictures.photos / "photo-0.png").convert("RGB")
    waves, dots = (np.asarray(pipeline(photo, style), dtype=float) for style in pipeline.styles)
    assert waves.shape == dots.shape == (120, 150, 3)
    assert np.abs(waves - dots).mean() > 0.1 and np.abs(waves - np.asarray(photo)).mean() > 1


def test_pack_shows_a_sample_of_every_style(pipeline):
    for style in pipeline.styles:
        with Image.open(pipeline.sample(style)) as sample:
            assert (sample.format, sample.size) == ("WEBP", (512, 410))


def test_pack_has_a_card_and_the_recipe_of_its_training(output, whole_run, pictures):
    card = (output / "pack" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n") and "styletransfer-pack" in card
    assert all(words in card for words in ("samples/waves.webp", "samples/dots.webp", "Polka Dots", "Drawn by code"))
    recipe = load_config(output / "pack" / "training_config.json")
    assert (recipe.steps, recipe.crop_size, recipe.style_layers) == (6, 96, ("relu1",))
    assert recipe.style_sources == {"waves": str(pictures.waves), "dots": str(pictures.dots)}
    assert f"pack: {output / 'pack'}" in whole_run[1].out.splitlines()


def test_pack_holds_the_averaged_generator(output):
    names = [name for name, _ in load_pack(output / "pack").named_parameters()]
    average = torch.load(checkpoint(output, 6) / "custom_checkpoint_2.pkl", weights_only=False)["shadow_params"]
    packed = load_file(output / "pack" / WEIGHTS)
    assert [name for name, tensor in zip(names, average, strict=True) if not same_bits(packed[name], tensor)] == []
    assert differences(output / "pack" / WEIGHTS, checkpoint(output, 6) / "model.safetensors") != []


def test_average_without_memory_is_the_trained_generator(settings, tmp_path):
    run = trained(tmp_path / "run", {**settings, **BRIEF, "ema_decay": 0})
    assert differences(run / "pack" / WEIGHTS, checkpoint(run, 2) / "model.safetensors") == []


def test_sample_grids_show_photos_and_what_the_pipeline_makes_of_them(output, pictures):
    assert sorted(path.name for path in (output / "samples").iterdir()) == ["step-00000003.png", "step-00000006.png"]
    grid = Image.open(output / "samples" / "step-00000006.png")
    photos = [Image.open(pictures.photos / f"photo-{n}.png").convert("RGB") for n in range(4)]
    sizes = [(384, 307), (307, 384), (384, 384), (384, 264)]
    assert grid.size == (3 * 384, 4 * 384)
    fastest = StyleTransferPipeline.from_pretrained(output / "pack")
    for row, (photo, size) in enumerate(zip(photos, sizes, strict=True)):
        photo = photo.resize(size, Image.Resampling.LANCZOS)
        for column, picture in enumerate([photo, fastest(photo, "waves"), fastest(photo, "dots")]):
            place = (column * 384, row * 384, column * 384 + size[0], row * 384 + size[1])
            difference = np.abs(np.asarray(grid.crop(place), dtype=float) - np.asarray(picture, dtype=float))
            # The photo exactly; a painting as far as bfloat16 comes out the same with another number of threads.
            assert difference.mean() <= (0.5 if column else 0), f"row {row}, column {column}"


def test_tensorboard_draws_the_losses_by_default(output):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = {path.parent for path in output.rglob("events.out.tfevents.*")}
    drawn, grids = {}, []
    for folder in events:
        curves = EventAccumulator(str(folder)).Reload()
        drawn |= {name: curves.Scalars(name) for name in curves.Tags()["scalars"]}
        grids += [(grid.step, grid.width, grid.height) for n in curves.Tags()["images"] for grid in curves.Images(n)]
    assert grids == [(3, 3 * 384, 4 * 384), (6, 3 * 384, 4 * 384)]
    for name in ("style", "content", "discriminator", "adversarial", "learning_rate"):
        points = [(point.step, point.value) for point in drawn[name]]
        assert points == [(line["step"], pytest.approx(line[name])) for line in loss_lines(output)]


def test_old_checkpoints_are_pruned(output):
    assert checkpoints(output) == ["step-00000004", "step-00000006"]
    assert progress(output, 6)["step"] == 6


def test_learning_rate_warms_up_and_decays_as_a_cosine(stopped):
    rates = [line["learning_rate"] for line in losses(stopped[1]).values()]
    falling = [5e-4 * (1 + np.cos(np.pi * n / 6)) / 2 for n in range(7)]
    assert rates == pytest.approx([2.5e-4, *falling], abs=1e-12)  # what the next step will take


def test_every_weighted_loss_is_logged_and_no_other(output):
    always = {
        "step",
        "discriminator",
        "adversarial",
        "identity",
        "style",
        "deep_style",
        "gray_style",
        "calm",
        "content",
        "tone",
        "grid",
    }
    assert [line.keys() - always for line in loss_lines(output)] == [
        {"learning_rate", "r1_penalty"} if step % 3 == 1 else {"learning_rate"} for step in range(1, 7)
    ]


def test_broken_photo_is_named_once_and_counted(whole_run):
    said = [line for line in (whole_run[1].out + whole_run[1].err).splitlines() if BROKEN in line]
    assert len(said) == 1, said
    assert "skipped" in said[0] and "damaged or cut short" in said[0] and "1 bad" in said[0]


def test_training_learns(settings, tmp_path):
    """A good part of the distance to the styles goes in a few steps, here of bfloat16 arithmetic."""
    learn = {"steps": 40, "checkpoint_every": 40, "learning_rate": 1e-2, "schedule": "constant"}
    run = trained(tmp_path / "run", {**settings, **learn, "mixed_precision": "bf16"})
    style = [line["style"] for line in loss_lines(run)]
    assert np.mean(style[-8:]) < 0.65 * np.mean(style[:8])


# ---------------------------------------------------------------- ways to start


def test_settings_file_is_read_and_flags_go_before_it(settings, tmp_path):
    sources = {name: [str(source) for source in settings[name]] for name in ("photos", "style")}
    layers = {name: [settings[name]] for name in ("style_layers", "deep_style_layers", "content_layers")}
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps({**settings, **sources, **layers, "steps": 5, "learning_rate": 0}), encoding="utf-8")
    run = tmp_path / "run"
    finished = train(run, {"config": file, "steps": 1, "title": ["waves=Waves at Sea"]})
    assert finished.code == 0, finished.err
    recipe = load_config(run / "pack" / "training_config.json")
    assert (recipe.steps, recipe.learning_rate, recipe.crop_size) == (1, 0, 96)
    assert recipe.style_titles["waves"] == "Waves at Sea"


def test_finished_run_resumes_to_the_same_pack(stopped, settings, tmp_path):
    run = copy_of(stopped[1], tmp_path)
    shutil.rmtree(run / "pack")
    trained(run, {**settings, "resume": True})
    assert_same_run(stopped[1], run)


def test_resumed_run_may_go_further(stopped, settings, tmp_path):
    run = copy_of(stopped[0], tmp_path)
    trained(run, {**settings, "resume": True, "steps": 6})
    assert [line["step"] for line in loss_lines(run)] == [1, 2, 3, 4, 5, 6]
    assert checkpoints(run) == ["step-00000004", "step-00000006"]


def test_what_a_killed_run_left_half_written_is_no_part_of_the_next_checkpoint(stopped, settings, tmp_path):
    run = copy_of(stopped[0], tmp_path)
    left = run / "checkpoints" / ".partial-step-00000008"
    left.mkdir()
    (left / "stream-1.json").write_text("of a second process, which there is not any more")
    trained(run, {**settings, "resume": True})
    assert not (checkpoint(run, 8) / "stream-1.json").exists()
    assert_same_run(stopped[1], run)


@pytest.fixture
def painted_pack(tmp_path):
    """A pack whose styles "waves" and "night" have scales and shifts of their own."""
    from styletransfer.models.generator import Generator

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        generator = Generator(styles={"night": "Night", "waves": "Waves"}, channels=8, blocks=1)
        for parameter in generator.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    judge = random_discriminator(2, seed=5, channels=8, resolutions=2)
    save_pack(tmp_path / "painted", generator, samples={}, recipe={}, discriminator=judge)
    return tmp_path / "painted"


def test_training_on_from_a_pack_keeps_its_styles_and_starts_new_ones_from_their_mean(painted_pack, settings, tmp_path):
    still = {**BRIEF, "learning_rate": 0, "discriminator_learning_rate": 0, "initialize_from": painted_pack}
    run = trained(tmp_path / "run", {**settings, **still})
    before, after = load_file(painted_pack / WEIGHTS), load_file(run / "pack" / WEIGHTS)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if name.endswith((".scale", ".shift")):
            assert same_bits(after[name][0], tensor[1]), f"{name} of waves"
            torch.testing.assert_close(after[name][1], tensor.mean(dim=0), rtol=0, atol=1e-7)
        else:
            assert same_bits(after[name], tensor), name
    before, after = (load_file(pack / "discriminator" / WEIGHTS) for pack in (painted_pack, run / "pack"))
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items() if ".6." not in name)
    for name in ("scales.0.6.bias", "scales.1.6.weight"):
        assert torch.equal(after[name][0], before[name][1]), f"{name} of waves"
        torch.testing.assert_close(after[name][1].float(), before[name].float().mean(dim=0), rtol=0, atol=1e-3)


def test_the_pack_carries_the_discriminator_of_the_last_step(output):
    kept = load_file(checkpoint(output, 6) / "model_1.safetensors")
    carried = load_file(output / "pack" / "discriminator" / WEIGHTS)
    assert carried.keys() == kept.keys()
    assert all(torch.equal(carried[name], tensor.half()) for name, tensor in kept.items())
    assert load_discriminator(output / "pack").config.styles == 2


def test_trainer_runs_from_python(settings, tmp_path):
    from accelerate.state import AcceleratorState, GradientState

    from styletransfer.training.flags import parse_config
    from styletransfer.training.trainer import Trainer

    try:
        without = {"no_pack_discriminator": True}
        config = parse_config(flags(tmp_path / "run", {**settings, **BRIEF, **without}), prog="train")
        assert Trainer(config).train() == tmp_path / "run" / "pack"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    assert StyleTransferPipeline.from_pretrained(tmp_path / "run" / "pack").styles.keys() == {"waves", "dots"}
    assert load_discriminator(tmp_path / "run" / "pack") is None


# ---------------------------------------------------------------- what goes wrong is told in one sentence


def sentence(finished, *parts):
    """The one line of an error that a program ended with; it must hold these parts."""
    lines = [line for line in finished.err.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("error: ")]
    assert len(told) == 1 and lines[-1] == told[0] and "Traceback" not in finished.err, finished.err
    assert not [part for part in parts if str(part) not in told[0]], told[0]
    return told[0]


def refused(finished, *parts):
    assert finished.code == 2, finished.err
    return sentence(finished, *parts)


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    return folder


BAD_SETTINGS = {
    "no photos": ({"photos": None}, "--photos"),
    "no style": ({"style": None}, "--style"),
    "photos missing": ({"photos": ["{tmp}/nowhere"]}, "nowhere"),
    "photos without a picture": ({"photos": ["{tmp}/empty"]}, "no picture", "empty"),
    "photos that are no picture": ({"photos": ["{tmp}/empty/notes.txt"]}, "notes.txt"),
    "paintings missing": ({"style": ["waves={tmp}/nowhere"]}, "nowhere"),
    "style without =": ({"style": ["waves"]}, "--style", "'waves'"),
    "one style twice": ({"style": ["waves={waves}", "waves={waves}"]}, "'waves'", "twice"),
    "bad style name": ({"style": ["Big Waves={waves}"]}, "'Big Waves'", "lower-case"),
    "style name with a path": ({"style": ["../waves={waves}"]}, "'../waves'"),
    "title of no style": ({"title": ["wavs=Waves"]}, "--title", "'wavs'"),
    "note on no style": ({"note": ["wavs=Drawn by code"]}, "--note", "'wavs'"),
    "endless title": ({"title": ["waves=" + "x" * 201]}, "--title", "200 characters"),
    "title of two lines": ({"title": ["waves=one\ntwo"]}, "--title", "one line"),
    "odd crop": ({"crop_size": 100}, "--crop-size", "100", "multiple of 16"),
    "unknown schedule": ({"schedule": "sine"}, "--schedule", "sine"),
    "schedule with rules of its own": ({"schedule": "piecewise_constant"}, "--schedule", "piecewise_constant"),
    "settings file missing": ({"config": "{tmp}/nowhere.yaml"}, "nowhere.yaml"),
    "feature weights missing": ({"style_network_weights": "{tmp}/nowhere.safetensors"}, "nowhere.safetensors"),
    "unknown layer": ({"style_layers": "relu9_1"}, "relu9_1", "fire2"),
    "balance of an unknown style": ({"content_balance": ["night=2"]}, "--content-balance", "'night'"),
    "fp16 on the CPU": ({"mixed_precision": "fp16"}, "fp16", "bf16"),
    "resume without a checkpoint": ({"resume": True}, "no checkpoint", "--resume"),
    "start from no pack": ({"initialize_from": "{tmp}/nowhere"}, "nowhere"),
    "sample photos missing": ({"sample_photos": "{tmp}/nowhere"}, "nowhere"),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_settings_that_cannot_be_used_are_refused(name, settings, pictures, empty, tmp_path):
    changes, *parts = BAD_SETTINGS[name]
    text = json.dumps(changes).replace("{tmp}", str(tmp_path)).replace("{waves}", str(pictures.waves))
    run = tmp_path / "run"
    refused(train(run, {**settings, **BRIEF, **json.loads(text)}), *parts)
    assert not run.exists(), "a training that never starts leaves no folder"


def test_every_photo_broken_is_refused(settings, empty, tmp_path):
    (empty / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    refused(train(tmp_path / "run", {**settings, **BRIEF, "photos": [empty]}), "photo.jpg")
    assert not (tmp_path / "run").exists()


def test_pack_of_another_size_is_refused_as_a_start(painted_pack, settings, tmp_path):
    wider = {**settings, **BRIEF, "initialize_from": painted_pack, "channels": 16}
    refused(train(tmp_path / "run", wider), "--initialize-from", "channels 8")


def test_checkpoints_are_not_trained_over(stopped, settings, tmp_path):
    run = copy_of(stopped[0], tmp_path)
    refused(train(run, settings), "--resume", "--output-dir")
    assert checkpoints(run) == ["step-00000004"] and len(loss_lines(run)) == 4


OTHER_NETWORKS = {
    "styles": ({"style": ["waves={waves}"]}, "waves, dots"),
    "order of styles": ({"style": ["dots={dots}", "waves={waves}"]}, "waves, dots"),
    "width": ({"channels": 16}, "--channels 8"),
    "discriminator": ({"spectral_norm": True}, "--spectral-norm"),
}


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_checkpoint_of_other_networks_is_refused(name, stopped, settings, pictures, tmp_path):
    changes, *parts = OTHER_NETWORKS[name]
    text = json.dumps(changes).replace("{waves}", str(pictures.waves)).replace("{dots}", str(pictures.dots))
    run = copy_of(stopped[0], tmp_path)
    refused(train(run, {**settings, "resume": True, **json.loads(text)}), "step-00000004", *parts)
    assert checkpoints(run) == ["step-00000004"]


def test_output_folder_under_a_file_is_refused(settings, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    finished = train(tmp_path / "file" / "run", {**settings, **BRIEF}, logs=tmp_path / "logs")
    refused(finished, tmp_path / "file")


# ---------------------------------------------------------------- real command lines


def test_command_line_says_one_sentence_and_nothing_else(settings, tmp_path):
    line = [sys.executable, SCRIPT, *flags(tmp_path / "run", {**settings, "photos": [tmp_path / "none"]})]
    finished = Command(line).wait()
    assert (finished.code, finished.out) == (2, "")
    assert [refused(finished, "none")] == finished.err.splitlines()


def test_debug_shows_the_traceback(settings, tmp_path):
    finished = train(tmp_path / "run", {**settings, "photos": [tmp_path / "none"], "debug": True})
    assert finished.code != 0
    assert "Traceback" in finished.err and "load_source" in finished.err and "InputError" in finished.err


def test_help_lists_the_settings(tmp_path):
    finished = train(tmp_path / "run", {"help": True})
    assert finished.code == 0
    assert all(flag in finished.out for flag in ("--photos", "--style", "--resume", "--initialize-from", "--config"))


# ---------------------------------------------------------------- NaN


def test_loss_without_a_number_stops_with_the_step_the_loss_and_the_last_good_checkpoint(stopped, settings, tmp_path):
    run = copy_of(stopped[0], tmp_path)
    finished = train(run, {**settings, "resume": True, "style_loss_weight": 1e39})  # more than float32 can hold
    assert finished.code == 1
    sentence(finished, "The loss style has been NaN or infinite since step 5", checkpoint(run, 4))
    assert checkpoints(run) == ["step-00000004"] and not (run / "pack").exists()
    assert_same_run(stopped[1], trained(run, {**settings, "resume": True}))


def test_first_steps_without_a_number_say_that_there_is_no_checkpoint(settings, tmp_path):
    finished = train(tmp_path / "run", {**settings, "learning_rate": 1e30, "warmup_steps": 0})
    assert finished.code == 1
    sentence(finished, "step 2", "no checkpoint")


# ---------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path):
    """Makes a file system of so many bytes; `resize` changes that."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size):
        refuse = [] if not os.path.ismount(folder) else ["remount"]
        line = ["mount", "-t", "tmpfs", "-o", ",".join([*refuse, f"size={size}"]), "tmpfs", str(folder)]
        try:
            subprocess.run(line, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root may mount a small disk")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


def room(folder):
    """Bytes of a folder in pages of 4 KiB, as a file system in memory counts them."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def test_disk_full_during_a_checkpoint_keeps_the_one_before_and_the_run_goes_on(
    stopped, settings, small_disk, tmp_path
):
    one = room(checkpoint(stopped[1], 4))
    run = small_disk(one * 3 // 2) / "run"
    finished = train(run, settings, logs=tmp_path / "logs")
    refused(finished, "step 8", checkpoint(run, 4), "disk is full")
    assert checkpoints(run) == ["step-00000004"]
    small_disk(one * 20)
    assert train(run, {**settings, "resume": True}, logs=tmp_path / "logs").code == 0
    assert_same_run(stopped[1], run)


def test_disk_full_before_the_first_checkpoint_says_that_there_is_none(stopped, settings, small_disk, tmp_path):
    run = small_disk(room(checkpoint(stopped[1], 4)) // 2) / "run"
    refused(train(run, settings, logs=tmp_path / "logs"), "step 4", "disk is full")
    assert checkpoints(run) == []


def test_disk_full_when_the_pack_is_written_is_told_and_the_checkpoint_stays(stopped, settings, small_disk, tmp_path):
    settings = {**settings, **BRIEF}
    run = small_disk(room(checkpoint(stopped[1], 4)) + 6 * 4096) / "run"
    refused(train(run, settings, logs=tmp_path / "logs"), run / "pack", "disk is full")
    assert checkpoints(run) == ["step-00000002"] and not (run / "pack").exists()
    small_disk(2**26)
    assert train(run, {**settings, "resume": True}, logs=tmp_path / "logs").code == 0
    assert (run / "pack" / WEIGHTS).exists()


@pytest.fixture
def read_only_folder(tmp_path):
    """A folder in which nobody may write, root neither."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    line = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(line, capture_output=True).returncode:
        pytest.skip("root may write everywhere, and may not mount here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_output_folder_that_cannot_be_written_is_refused(settings, read_only_folder, tmp_path):
    refused(train(read_only_folder / "run", {**settings, **BRIEF}, logs=tmp_path / "logs"), read_only_folder)
