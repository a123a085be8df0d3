"""Ctrl-C between two steps: the step is done first, and a library that catches everything does not swallow it."""

import signal

import pytest

from styletransfer.cli.stopping import stoppable


def test_the_step_is_done_before_it_is_heeded():
    done = []

    def steps():
        yield 1
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException:  # as modules do that torch imports
            pytest.fail("it was raised in the middle of the step")
        done.append("step")
        yield 2
        done.append("more")

    with pytest.raises(KeyboardInterrupt), stoppable(steps()) as checked:
        for step in checked:
            assert step == 1
    assert done == ["step"]


def test_a_second_one_ends_the_step():
    with pytest.raises(KeyboardInterrupt), stoppable([1]) as checked:
        for _ in checked:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second was not heeded")


def test_what_was_there_before_is_there_again():
    before = signal.getsignal(signal.SIGINT)
    with stoppable([1]) as checked:
        for _ in checked:
            assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_it_is_held_back_before_the_first_step_too():
    done = []
    with pytest.raises(KeyboardInterrupt), stoppable(done.append(step) or step for step in (1, 2)) as checked:
        signal.raise_signal(signal.SIGINT)
        for _ in checked:
            pytest.fail("it was lost")
    assert done == [1]
