"""The catalog: styles of many packs, each pack loaded when one of its styles is used."""

import contextlib
import copy
import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from styletransfer.catalog import Catalog, PackEntry, StyleCard, folder_entry, shipped_catalog
from styletransfer.errors import InputError
from styletransfer.models.generator import Generator
from styletransfer.packs.folder import load_pack
from styletransfer.painter import Painter


def make_pack(folder, **styles):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Generator(styles=styles, channels=4, blocks=1).save_pretrained(folder)
    return folder


@pytest.fixture
def shelf(tmp_path):
    make_pack(tmp_path / "alps", night="Alpine Night", snow="Snow")
    make_pack(tmp_path / "first", night="Night", day="Day")
    recipe = {"note": ["night=Ann Painter, Night, 1889; public domain", "day=Bob\n  Painter"]}
    (tmp_path / "first" / "training_config.json").write_text(json.dumps(recipe))
    return tmp_path


def entry(name, loads, fails=False):
    def load():
        loads.append(name)
        if fails:
            raise InputError(f"{name} is broken.")
        return object()

    return PackEntry(name, load, (StyleCard(f"{name}:red", "red", "Red", name),))


def test_every_pack_of_the_shelf_is_offered_the_first_before_the_others(shelf):
    styles = shipped_catalog(shelf, first="first").styles
    assert list(styles) == ["night", "day", "alps:night", "snow"]
    assert styles["night"].note == "Ann Painter, Night, 1889; public domain"
    assert styles["day"].note == "Bob Painter"
    assert (styles["alps:night"].name, styles["alps:night"].title) == ("night", "Alpine Night")


def test_a_mix_goes_to_the_pack_by_the_names_it_knows(shelf):
    catalog = shipped_catalog(shelf, first="first")
    pipeline, mix = catalog.pipeline({"alps:night": 0.5, "snow": 1})
    assert mix == {"night": 0.5, "snow": 1}
    assert set(pipeline.styles) == {"night", "snow"}
    assert catalog.pipeline({"snow": 1})[0] is pipeline
    with pytest.raises(InputError, match="must be 0 to 100, not -1"):
        catalog.pipeline({"night": -1, "snow": 1})
    with pytest.raises(InputError, match="no style 'sun': choose from night, day"):
        catalog.pipeline({"sun": 1})


def save_relative(folder, of, by):
    """A pack whose network was trained on from that of another one: its weights lie near."""
    generator = load_pack(of)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        relative = Generator(styles={"rain": "Rain"}, channels=4, blocks=1)
        state = {key: x[:1] if key.endswith(("scale", "shift")) else x for key, x in generator.state_dict().items()}
        relative.load_state_dict({key: x + by * x.abs().mean() * torch.randn_like(x) for key, x in state.items()})
    relative.save_pretrained(folder)


def test_styles_of_several_packs_mix_where_their_networks_come_from_one(shelf):
    save_relative(shelf / "kin", of=shelf / "first", by=0.3)
    save_relative(shelf / "stranger", of=shelf / "first", by=30)
    catalog = shipped_catalog(shelf, first="first")
    pipeline, mix = catalog.pipeline({"night": 3, "rain": 1})
    assert mix == {"night": 3, "rain": 1} and list(pipeline.styles) == ["night", "rain"]
    assert catalog.pipeline({"night": 3, "rain": 1})[0] is pipeline
    photo = Image.effect_noise((64, 48), 90).convert("RGB")
    ends = [np.asarray(catalog.pipeline({key: 1.0})[0](photo, key), float) for key in ("night", "rain")]
    near, far = (np.abs(np.asarray(pipeline(photo, mix), float) - end).mean() for end in ends)
    assert 0 < near < far < np.abs(ends[0] - ends[1]).mean()
    alone, mix = catalog.pipeline({"night": 1, "rain": 0})
    assert np.array_equal(np.asarray(alone(photo, mix), float), ends[0])


def test_styles_of_networks_that_were_trained_apart_are_laid_over_one_another(shelf):
    """Each pair can be mixed: where the weights have nothing between them that paints, the paintings have."""
    save_relative(shelf / "stranger", of=shelf / "first", by=30)
    catalog = shipped_catalog(shelf, first="first")
    painter, mix = catalog.pipeline({"night": 3, "rain": 1, "snow": 0})
    assert mix == {"night": 3, "rain": 1} and painter.styles == {"night": "Night", "rain": "Rain"}
    assert catalog.pipeline({"night": 3, "rain": 1})[0] is painter
    photo = Image.effect_noise((64, 48), 90).convert("RGB")
    ends = [np.asarray(catalog.pipeline({key: 1.0})[0](photo, key), float) for key in ("night", "rain")]
    laid = np.asarray(painter(photo, mix), float)
    assert np.abs(laid - (0.75 * ends[0] + 0.25 * ends[1])).max() <= 1
    shares = list(painter.steps(photo, mix))
    assert shares == sorted(shares) and shares[-1] == 1
    three, mix = catalog.pipeline({"night": 1, "rain": 1, "snow": 1})
    assert np.asarray(three(photo, mix)).shape == (48, 64, 3)


def test_a_broken_pack_is_left_out_with_a_note_and_none_at_all_is_an_error(shelf, tmp_path):
    (shelf / "alps" / "config.json").write_text("{}")
    (shelf / "first" / "training_config.json").write_text('{"note": [7]}')
    catalog = shipped_catalog(shelf)
    assert list(catalog.styles) == ["night", "day"]
    assert catalog.styles["night"].note == ""
    assert len(catalog.notes) == 1 and "alps" in catalog.notes[0]
    (shelf / "first" / "config.json").unlink()
    with pytest.raises(InputError):
        shipped_catalog(shelf)
    with pytest.raises(InputError, match="no style pack in"):
        shipped_catalog(tmp_path / "nowhere")


def test_packs_are_loaded_once_when_used_and_the_longest_unused_goes():
    loads, catalog = [], Catalog(kept=2)
    for name in "abc":
        catalog.add(entry(name, loads))
    assert loads == []
    for name in "abacab":
        catalog.pipeline({f"{name}:red": 1})
    assert loads == ["a", "b", "c", "b"]


def test_a_pack_that_fails_is_noted_once_and_offered_again_only_when_it_is_added_anew():
    loads, catalog = [], Catalog()
    catalog.add(entry("a", loads, fails=True))
    catalog.add(entry("b", loads))
    before = catalog.version
    with pytest.raises(InputError, match="a is broken"):
        catalog.pipeline({"a:red": 1})
    assert catalog.notes == ("a is broken.",) and catalog.version > before
    assert list(catalog.styles) == catalog.at_hand() == ["b:red"]
    for _ in range(3):
        with pytest.raises(InputError, match="no style 'a:red': choose from b:red"):
            catalog.pipeline({"a:red": 1})
    assert loads == ["a"] and len(catalog.notes) == 1
    catalog.add(entry("a", loads))
    assert catalog.notes == ()
    catalog.pipeline({"a:red": 1})


def test_a_pack_that_cannot_be_fetched_at_the_moment_stays_on_offer():
    def load():
        raise InputError("The Hub could not be reached.") from ConnectionError()

    catalog = Catalog()
    catalog.add(PackEntry("a", load, (StyleCard("a:red", "red", "Red", "a"),)))
    for _ in range(2):
        with pytest.raises(InputError, match="could not be reached"):
            catalog.pipeline({"a:red": 1})
    assert list(catalog.styles) == ["a:red"] and len(catalog.notes) == 1


def test_a_broken_pack_of_the_shelf_is_called_by_its_name_and_never_by_its_path(shelf):
    catalog = shipped_catalog(shelf, first="first")
    (shelf / "alps" / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="alps") as caught:
        catalog.pipeline({"snow": 1})
    assert str(shelf) not in str(caught.value) + " ".join(catalog.notes)


@pytest.mark.parametrize("factor", [1e30, 1e6])
def test_weights_that_paint_black_are_refused_in_a_sentence(shelf, factor):
    folder = shelf / "first"
    generator = load_pack(folder)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter *= factor
    with (
        pytest.raises(InputError, match="paints no picture|not finite") if factor == 1e30 else contextlib.nullcontext()
    ):
        Painter(copy.deepcopy(generator), dtype=torch.float32)(Image.effect_noise((64, 48), 90).convert("RGB"), "night")
    generator.save_pretrained(folder)
    with pytest.raises(InputError, match="weights of first contain numbers above 10000"):
        shipped_catalog(shelf, first="first").pipeline({"night": 1})


def test_ten_visitors_of_one_pack_load_it_once_and_others_do_not_wait():
    loads, catalog = [], Catalog()
    gate, started = threading.Event(), threading.Event()

    def slow():
        started.set()
        assert gate.wait(60)
        loads.append("slow")
        return object()

    catalog.add(PackEntry("slow", slow, (StyleCard("slow:red", "red", "Red", "slow"),)))
    catalog.add(entry("quick", loads))
    threads = [threading.Thread(target=catalog.pipeline, args=({"slow:red": 1},)) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert started.wait(60)
    catalog.pipeline({"quick:red": 1})
    gate.set()
    for thread in threads:
        thread.join(60)
    assert loads == ["quick", "slow"]


def test_the_entry_of_a_folder_that_is_no_pack_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a style pack"):
        folder_entry(tmp_path)
