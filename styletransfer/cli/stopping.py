"""Ctrl-C between two steps of long work, not in the middle of one."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Step = TypeVar("Step")


@contextmanager
def stoppable(steps: Iterable[Step]) -> Iterator[Iterator[Step]]:
    """The steps, with Ctrl-C held back until the one that is being done is done; a second one ends that, too.

    It is held back from the `with` on, so what is said and set up before the first step belongs inside.

    The first step of an optimizer imports modules of torch that catch every exception: a KeyboardInterrupt that was
    raised there was lost, and the work went on. In the main thread only, as Python's signals are.

    Raises:
        KeyboardInterrupt: someone pressed Ctrl-C; what came of the step is not handed on.
    """
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    def checked() -> Iterator[Step]:
        for step in steps:
            if pressed:
                raise KeyboardInterrupt
            yield step

    before = signal.signal(signal.SIGINT, press)
    try:
        yield checked()
    finally:
        signal.signal(signal.SIGINT, before)
