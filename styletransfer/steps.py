"""Long work in steps: whoever asks for them sees how far it is, and whoever stops asking stops the work."""

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from styletransfer.errors import InputError

T = TypeVar("T")

# Yields the share that is done, rising to 1; returns what was made.
Steps = Generator[float, None, T]


def drained(steps: Steps[T]) -> T:
    """What the steps make, when all of them are taken at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def stretched(steps: Steps[T], start: float, end: float) -> Steps[T]:
    """The same steps as a part of longer work: their shares run from `start` to `end`."""
    return (yield from mapped(steps, lambda share: start + (end - start) * share))


def mapped(steps: Steps[T], made: Callable[[float], Any]) -> Generator[Any, None, T]:
    """The same steps, each handed out as what `made` makes of its share."""
    while True:
        try:
            share = next(steps)
        except StopIteration as stopped:
            return stopped.value
        yield made(share)


def in_time(steps: Steps[T], seconds: float, left: float | None = None) -> Steps[T]:
    """The same steps, given up by an InputError once they have taken so many seconds, or what is `left` of them."""
    end = time.monotonic() + (seconds if left is None else left)

    def still(share: float) -> float:
        if time.monotonic() > end:
            raise InputError(
                "Painting took longer than {seconds} seconds, the limit here: make the photo smaller.",
                seconds=f"{seconds:g}",
            )
        return share

    return (yield from mapped(steps, still))
