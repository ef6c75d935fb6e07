"""Sweeps over large arrays use their memory again: counted in page faults."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
import tapegrad as tg

x = np.linspace(-1.0, 1.0, 100_000)
tape = tg.record(lambda x: (np.tanh(x) * np.sin(x) + np.exp(-x * x)).sum(), x)

def work():
    tape.value_and_gradient(x)

for _ in range(5):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library keeps memory its way"
)
def test_memory_is_used_again():
    """An array of 800 kB is 196 pages; a sweep makes some twenty."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 100
