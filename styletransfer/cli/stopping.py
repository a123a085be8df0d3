"""Ctrl-C between two steps of long work, not in the middle of one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def between_steps() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until the step is done; a second one ends the step, too.

    The first step of an optimizer imports modules of torch that catch every exception: a KeyboardInterrupt that was
    raised there was lost, and the work went on. In the main thread only, as Python's signals are.

    Yields:
        A function to call after each step: it raises KeyboardInterrupt where Ctrl-C was pressed.
    """
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
