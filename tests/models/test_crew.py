"""Pieces of work side by side: in order, whole or not at all, and the number of torch's threads stays as it was."""

import subprocess
import sys
import threading
import time

import pytest
import torch

from styletransfer.models import crew
from styletransfer.models.crew import side_by_side


@pytest.fixture(autouse=True)
def two_threads():
    """A crew of two, whatever the tests run with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    crew._crew.cache_clear()
    yield
    crew._crew.cache_clear()
    torch.set_num_threads(before)


def test_results_come_in_order_and_two_are_made_at_a_time():
    together = threading.Barrier(2, timeout=20)

    def work(number):
        together.wait()  # breaks where one is made after the other
        time.sleep(0.02 * (number % 3))
        return number**2, torch.get_num_threads()

    found = list(side_by_side(work, range(10)))
    assert found == [(number, (number**2, 1)) for number in range(10)]
    assert torch.get_num_threads() == 2


def test_threads_that_begin_later_have_all_of_torchs_threads():
    list(side_by_side(abs, [1, 2]))
    seen = []
    later = threading.Thread(target=lambda: seen.append((torch.ones(2).sum().item(), torch.get_num_threads())))
    later.start()
    later.join()
    assert seen == [(2.0, 2)]


def test_who_stops_asking_stops_the_work():
    begun = []
    for number, _ in side_by_side(lambda number: begun.append(number) or time.sleep(0.01), range(1000)):
        if number == 3:
            break
    count = len(begun)
    assert count < 20
    time.sleep(0.1)
    assert len(begun) == count


def test_an_error_reaches_who_asked():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 / number, [1, 2, 0, 3]))


def test_one_thread_works_alone():
    code = (
        "import torch, threading; torch.set_num_threads(1)\n"
        "from styletransfer.models.crew import side_by_side\n"
        "print(list(side_by_side(lambda n: (n, threading.active_count()), [1, 2])))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[(1, (1, 1)), (2, (2, 1))]"
