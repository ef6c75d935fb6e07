"""Memory of large arrays that is used again. Floor 0.

A sweep makes and drops many arrays. The C library of Linux gives memory above 128 KiB
back to the system each time, and every new array then costs page faults: more than half
of a sweep over arrays of 100,000 entries. Its limits grow by themselves once a larger
block was given back (mallopt(3), M_MMAP_THRESHOLD), up to 32 MiB; so one block is taken
and given back, whose pages are never touched. Other systems do not mind.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

LARGE = 1 << 17
_BLOCK = (1 << 25) - (1 << 13)


def reuse_pages(array: Any) -> None:
    """To be told of arrays that come in: the first large one raises the limits."""
    if getattr(array, "nbytes", 0) > LARGE:
        _raise_limits()


@functools.cache
def _raise_limits() -> None:
    np.empty(_BLOCK, np.uint8)
