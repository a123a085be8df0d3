"""A pack may carry its discriminator: written small, read strictly, and asked where it still sees a photo."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_generators import add_discriminator, random_discriminator, random_generator

from styletransfer.catalog import Catalog, folder_entry
from styletransfer.errors import InputError
from styletransfer.evaluation.explain import doubts
from styletransfer.models.discriminator import Discriminator
from styletransfer.packs.folder import CONFIG, WEIGHTS, load_discriminator, load_pack, save_pack
from styletransfer.page.studio import Limits, Studio
from styletransfer.settings import PaintSettings
from styletransfer.training.networks import initialize_discriminator

STYLES = {"red": "Red", "blue": "Blue"}


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_it_comes_back_as_it_was_to_half_precision(tmp_path, spectral_norm):
    saved = random_discriminator(channels=8, resolutions=2, spectral_norm=spectral_norm, undecided=0.5)
    before = {key: value.clone() for key, value in saved.state_dict().items()}
    save_pack(tmp_path / "pack", random_generator(STYLES), samples={}, recipe={}, discriminator=saved)
    loaded = load_discriminator(tmp_path / "pack")
    sizes = ("styles", "channels", "resolutions", "spectral_norm", "undecided")
    assert [loaded.config[name] for name in sizes] == [2, 8, 2, spectral_norm, 0.5]
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[key].half().float())
        assert torch.equal(saved.state_dict()[key], before[key]), "saving changed the network that goes on training"
    assert not loaded.training
    files = [path for path in (tmp_path / "pack").rglob("*") if path.is_file()]
    assert len({path.stat().st_mode for path in files}) == 1
    assert (tmp_path / "pack/discriminator" / WEIGHTS).stat().st_size < 2.2 * sum(x.numel() for x in before.values())


def test_a_pack_without_one_has_none(tiny_pack):
    assert load_discriminator(tiny_pack) is None


def changed(place, **changes):
    config = json.loads((place / CONFIG).read_text()) | changes
    (place / CONFIG).write_text(json.dumps(config))


def of_other_shape(place):
    weights = load_file(place / WEIGHTS)
    weights["scales.0.0.weight"] = weights["scales.0.0.weight"][:1].clone()
    save_file(weights, place / WEIGHTS)


def infinite(place):
    weights = load_file(place / WEIGHTS)
    weights["scales.0.0.bias"][0] = torch.inf
    save_file(weights, place / WEIGHTS)


def pickled(place):
    (place / WEIGHTS).unlink()
    (place / "pytorch_model.bin").write_bytes(b"\x80\x04.")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda place: changed(place, _class_name="Generator"), "is not a discriminator for 2 styles"),
        (lambda place: changed(place, styles=3), "is not a discriminator for 2 styles"),
        (lambda place: changed(place, channels=10**9), "channels = 1000000000: it must be"),
        (lambda place: changed(place, resolutions=True), "resolutions = True: it must be"),
        (lambda place: changed(place, spectral_norm="yes"), "a boolean spectral_norm"),
        (lambda place: changed(place, undecided=float("nan")), "a finite number undecided"),
        (lambda place: (place / CONFIG).write_text("[]"), "must hold a JSON object"),
        (lambda place: (place / CONFIG).unlink(), "has no config.json"),
        (lambda place: (place / CONFIG).write_text(" " * 10**6), "which no pack needs"),
        (lambda place: (place / WEIGHTS).write_bytes(b"\x80\x04\x95" + bytes(500)), "cannot be read"),
        (pickled, "a pickle, which could run code"),
        (of_other_shape, "do not fit its config.json"),
        (infinite, "NaN or infinity"),
    ],
)
def test_an_unsound_one_is_refused_in_a_sentence_and_the_pack_still_paints(tiny_pack, spoil, words):
    spoil(add_discriminator(tiny_pack))
    with pytest.raises(InputError, match=words) as caught:
        load_discriminator(tiny_pack)
    assert "\n" not in str(caught.value)
    assert load_pack(tiny_pack).styles == STYLES


# ---------------------------------------------------------------- where it sees a photo


@torch.no_grad()
def planted(undecided=0.3):
    """It takes bright places for paintings in the first style and dark ones in the second: logits of about 1 and 0."""
    discriminator = Discriminator(styles=2, channels=4, resolutions=2, undecided=undecided)
    for network in discriminator.scales:
        for layer in network:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.zero_()
                layer.bias.zero_()
        network[0].weight[0] = 1 / 48  # the mean
        network[2].weight[0, 0] = network[4].weight[0, 0] = 1 / 16
        network[6].weight[0, 0, 1, 1] = 1
        network[6].weight[1, 0, 1, 1] = -1
        network[6].bias[1] = 1
    return discriminator.eval()


def half_bright():
    picture = Image.new("RGB", (160, 96), "black")
    picture.paste("white", (80, 0, 160, 96))
    return picture


def red_of(picture):
    shown = np.asarray(picture).astype(int)
    return shown[..., 0] - shown[..., 2]


@pytest.mark.parametrize("style", [0, 1])
def test_the_half_that_a_planted_discriminator_doubts_is_red(style):
    dark, bright = slice(0, 60), slice(100, 144)
    doubted, believed = (dark, bright) if style == 0 else (bright, dark)
    shown = doubts(half_bright(), planted(), torch.eye(2)[[style]])
    assert shown.size == (160, 96)
    assert red_of(shown)[16:80, doubted].min() > 60
    assert not red_of(shown)[16:80, believed].any()


def test_one_that_is_convinced_everywhere_leaves_no_red():
    shown = doubts(half_bright(), planted(undecided=-1.0), torch.eye(2)[[0]])
    assert not red_of(shown).any()


def test_a_painting_too_small_for_it_is_not_judged():
    assert doubts(Image.new("RGB", (31, 200)), planted(), torch.eye(2)[[0]]) is None


def explained(pack, photo, tmp_path):
    catalog = Catalog()
    catalog.add(folder_entry(pack))
    photo.save(tmp_path / "photo.png")
    return Studio(catalog, Limits()).explain(tmp_path / "photo.png", PaintSettings({"blue": 1.0}, strength=0))


def test_the_page_asks_the_discriminator_of_the_very_pack(tiny_pack, tmp_path):
    assert explained(tiny_pack, half_bright(), tmp_path).doubted is None
    save_pack(tiny_pack, load_pack(tiny_pack), samples={}, recipe={}, discriminator=planted())
    seen = explained(tiny_pack, half_bright(), tmp_path)  # at strength 0: the photo itself, in the second style
    assert red_of(seen.doubted)[16:80, 100:144].min() > 60
    assert not red_of(seen.doubted)[16:80, :60].any()
    changed(tiny_pack / "discriminator", channels=5)
    assert explained(tiny_pack, half_bright(), tmp_path).doubted is None


# ---------------------------------------------------------------- fine-tuning


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_training_on_keeps_what_it_knows_of_its_styles_and_starts_new_ones_from_their_mean(spectral_norm):
    sizes = {"channels": 4, "resolutions": 2, "spectral_norm": spectral_norm}
    trained, fresh = random_discriminator(2, seed=1, **sizes), random_discriminator(3, seed=2, **sizes)
    assert initialize_discriminator(fresh, trained, ("new", "blue", "red"), random_generator(STYLES))
    before, after = trained.state_dict(), fresh.state_dict()
    rows = fresh.rows_per_style()
    assert {"scales.0.6.bias", "scales.1.6.bias"} <= set(rows)
    for key, value in after.items():
        if key in rows:
            assert torch.equal(value[1], before[key][1]) and torch.equal(value[2], before[key][0])
            torch.testing.assert_close(value[0], before[key].mean(dim=0))
        else:
            assert torch.equal(value, before[key])


def test_one_of_another_size_is_left_alone():
    trained, fresh = random_discriminator(2, channels=8), random_discriminator(2, channels=4)
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    assert not initialize_discriminator(fresh, trained, STYLES, random_generator(STYLES))
    assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items())
