"""What becomes of the memory that networks have used: kept for the next painting, bounded, or given back.

All of it concerns glibc and oneDNN; elsewhere nothing is done.
"""

import contextlib
import ctypes
import os

KERNELS = 128  # compiled, for the screen's size and the tiles of full size
HEAPS = 2
KEPT = 256 * 1024 * 1024  # bytes at the end of a heap that stay with the process
OWN_PAGES = 32 * 1024 * 1024  # bytes from which an array has pages of its own, given back at once: the most there is

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of malloc.h


def keep_freed_memory() -> None:
    """Keep what a layer has freed for the next one; to be called by a program before its first painting.

    By default glibc gives the arrays of each painting back to the system, which clears every page when it is asked for
    again. A photo of 512x512 took 6,500 such pages, a tenth of its time.
    """
    _ask_glibc("mallopt", M_MMAP_THRESHOLD, OWN_PAGES)
    _ask_glibc("mallopt", M_TRIM_THRESHOLD, KEPT)


def bound_memory() -> None:
    """Keep memory from growing with every new size of photo; to be called before the first painting.

    oneDNN keeps compiled kernels for 1,024 shapes by default, and every size of photo brings some twenty. glibc gives
    each thread a heap of its own, whose gaps add up. After 1,000 paintings of as many sizes both had taken 1 GB.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    _ask_glibc("mallopt", M_ARENA_MAX, HEAPS)


def give_memory_back() -> None:
    """Return freed memory to the system: glibc would keep it."""
    _ask_glibc("malloc_trim", 0)


def _ask_glibc(function: str, *arguments: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None)[function](*arguments)
