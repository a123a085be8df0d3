"""Long work in steps: whoever asks for them sees how far it is, and whoever stops asking stops the work."""

from collections.abc import Generator
from typing import TypeVar

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
    while True:
        try:
            share = next(steps)
        except StopIteration as stopped:
            return stopped.value
        yield start + (end - start) * share
