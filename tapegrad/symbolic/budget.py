"""A limit on how much SymPy may do, in calls: the same on every machine. Floor 9.

simplify() and Piecewise can take minutes over a formula of one line, and nothing tells
beforehand which. A limit in seconds needs signals, which only the main thread has, and
gives another answer on a slow machine. Calls are counted in any thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import CO_GENERATOR
from types import FrameType
from typing import Any


class _Spent(BaseException):
    """Not an Exception: SymPy catches those in places and would go on."""


def within(calls: int, task: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """The result of a task, or of another one when it takes too many calls.

    Args:
        calls: how many calls and returns of functions the task may make.
        task: what is tried.
        otherwise: what is done when the calls are spent.
    """
    left = calls
    mine = _Spent()

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        left -= 1
        if left >= 0 or event not in {"call", "c_call"}:
            return
        # Not in a generator: it may be one that is thrown away. Python would write the
        # exception to the console, drop it, and count no further.
        if not frame.f_code.co_flags & CO_GENERATOR:
            raise mine

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        result = task()
    except _Spent as spent:
        if spent is not mine:  # an enclosing budget's
            raise
    else:
        return result
    finally:
        sys.setprofile(before)
    return otherwise()
