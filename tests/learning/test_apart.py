"""Learning for visitors: in line, in a process of its own, stopped at any moment."""

import threading
import time

import pytest

from styletransfer.errors import InputError
from styletransfer.learning.apart import Word, Workshop
from styletransfer.learning.recipe import NetworkWeights
from styletransfer.packs.folder import load_pack

RANDOM = NetworkWeights(style="random", content="random")


@pytest.fixture
def workshop(tiny_pack, monkeypatch):
    monkeypatch.setattr("styletransfer.aside.NICE", 0)  # beside other tests it would get no core

    def make(**settings):
        given = {"minutes": 30, "waiting": 1, "threads": 1, "weights": RANDOM, "base": str(tiny_pack)}
        return Workshop(**(given | settings))

    return make


def test_a_process_learns_and_ends_when_nobody_asks_any_more(workshop, painting_file, tmp_path):
    words = workshop().learn(painting_file, tmp_path / "mine", "mine", "Mine")
    for word in words:
        if word.is_better:
            break
    assert word.steps >= 1 and 0 < word.done < 1
    words.close()
    assert load_pack(tmp_path / "mine").styles == {"mine": "Mine"}
    card = (tmp_path / "mine/training_run.json").stat().st_mtime_ns
    time.sleep(1)
    assert (tmp_path / "mine/training_run.json").stat().st_mtime_ns == card


def test_a_process_that_fails_tells_its_sentence(workshop, painting_file, tmp_path):
    failing = workshop(weights=NetworkWeights(style="nowhere.safetensors", content="random"))
    with pytest.raises(InputError, match="nowhere.safetensors cannot be read"):
        list(failing.learn(painting_file, tmp_path / "mine", "mine", "Mine"))
    assert not (tmp_path / "mine").exists()


def test_one_is_served_after_the_other_and_too_many_are_refused(workshop, painting_file, tmp_path, monkeypatch):
    open_door, served = threading.Event(), []

    def learn(self, command):
        served.append(command)
        while not open_door.is_set():
            yield Word(steps=1)
            time.sleep(0.01)

    monkeypatch.setattr(Workshop, "_learn", learn)
    shop = workshop(waiting=1)
    first, second, third = (shop.learn(painting_file, tmp_path / str(n), "mine", "Mine") for n in range(3))
    assert next(first).steps == 1
    assert next(second).before == 1
    with pytest.raises(InputError, match="Too many"):
        next(third)
    assert len(served) == 1
    first.close()
    assert next(second).steps == 1
    assert len(served) == 2
    second.close()
    assert len(shop._line) == 0


def test_who_leaves_the_line_makes_room(workshop, painting_file, tmp_path, monkeypatch):
    monkeypatch.setattr(Workshop, "_learn", lambda self, command: iter([Word(steps=1)] * 99))
    shop = workshop(waiting=1)
    first, second = (shop.learn(painting_file, tmp_path / str(n), "mine", "Mine") for n in range(2))
    next(first), next(second)
    second.close()
    other = shop.learn(painting_file, tmp_path / "other", "mine", "Mine")
    assert next(other).before == 1
