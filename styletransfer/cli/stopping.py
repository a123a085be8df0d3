"""Ctrl-C between two steps of long work, not in the middle of one."""

import signal
from collections.abc import Iterable, Iterator
from typing import TypeVar

Step = TypeVar("Step")


def stoppable(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, with Ctrl-C held back until the one that is being done is done; a second one ends that, too.

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

    before = signal.signal(signal.SIGINT, press)
    try:
        for step in steps:
            if pressed:
                raise KeyboardInterrupt
            yield step
    finally:
        signal.signal(signal.SIGINT, before)
