"""Threads that run networks side by side, each on a piece of its own.

Threads that share one convolution wait for one another after every layer; on two cores that is a tenth of the time.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import islice
from threading import Barrier
from typing import TypeVar

import torch

MOST = 4  # pieces at a time; each takes some hundred megabytes

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Result]]:
    """The pieces in order, each with what the work made of it.

    Who stops asking stops the work: pieces that were begun are finished, no other is.
    """
    crew = _crew()
    if crew is None:
        yield from ((piece, work(piece)) for piece in pieces)
        return
    rest = iter(pieces)
    begun = deque((piece, crew.submit(work, piece)) for piece in islice(rest, MOST + 1))
    try:
        while begun:
            piece, result = begun.popleft()
            yield piece, result.result()
            begun.extend((later, crew.submit(work, later)) for later in islice(rest, 1))
    finally:
        for _, result in begun:
            result.cancel()
        wait([result for _, result in begun])


@lru_cache(maxsize=1)
def _crew() -> ThreadPoolExecutor | None:
    """None where torch has a single thread."""
    count = torch.get_num_threads()
    size = min(MOST, count)
    if size < 2:
        return None
    settled = Barrier(size + 1)

    def settle() -> None:
        torch.get_num_threads()  # a thread's first question to torch sets its number, and would undo the next line
        torch.set_num_threads(count // size)  # of this thread; and of threads that begin now, so it is set back at once
        settled.wait()

    crew = ThreadPoolExecutor(size, "crew", initializer=settle)
    for _ in range(size):
        crew.submit(int)
    settled.wait()
    torch.set_num_threads(count)
    return crew
