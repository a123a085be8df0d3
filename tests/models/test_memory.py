"""What the network has freed stays with the process, so that the next painting does not ask the system for it again."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")

FAULTS = """
import resource
import numpy as np
from styletransfer.models.memory import give_memory_back, keep_freed_memory

def paint():
    layers = [np.ones(5 * 1024 * 1024, np.uint8) for _ in range(20)]

def faults():
    paint()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    paint()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{asked}
print(faults())
give_memory_back()
print(faults())
"""


def pages_fetched(asked):
    """(in the second of two paintings, in the second after memory was given back)."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(asked=asked)], check=True, capture_output=True, text=True
    )
    return [int(line) for line in done.stdout.split()]


def test_a_second_painting_fetches_no_new_pages():
    assert pages_fetched("")[0] > 1000
    assert max(pages_fetched("keep_freed_memory()")) < 100
