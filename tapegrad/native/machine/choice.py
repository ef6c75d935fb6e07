"""When the machine is used. Floor 6; light, since everything that sweeps asks here.

Loading llvmlite and the machine takes a tenth of a second, half a second where nothing
is on the disk yet. In that time the interpreter does some 100,000 steps, and nobody
knows how often a tape will be swept. So the interpreter works until it has done as much
as loading is worth, and then the machine takes over: the whole is about twice the best
at most. Once it is there, all but very short tapes go to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tapegrad.errors import CompileError

# Steps that the interpreter does in the time of loading.
PRICE = 100_000
# Shorter sweeps gain nothing: the machine has a fixed cost of some 20 us a call, and a
# tape is brought into its form once.
LEAST = 64


class _State:
    """What this process has done so far."""

    spent = 0
    loaded: Any = None
    missing = False


# None: by size and use. The tests ask for one tier by name.
_FORCED: ContextVar[bool | None] = ContextVar("tapegrad_machine", default=None)


@contextmanager
def forced(use: bool) -> Iterator[None]:
    """In a ``with`` block: all tapes that fit go to the machine, or none does."""
    token = _FORCED.set(use)
    try:
        yield
    finally:
        _FORCED.reset(token)


def machine(steps: int) -> Any:
    """The module `run`, where a sweep of so many steps is for the machine; else None.

    Args:
        steps: how long the sweep is; it counts as the interpreter's if None comes back.
    """
    wanted = _FORCED.get()
    if wanted is None:
        wanted = steps >= LEAST and pays(steps)
    return _load() if wanted and not _State.missing else None


def pays(steps: int) -> bool:
    """Whether native code is worth loading by now, or is there."""
    if _State.loaded is None:
        _State.spent += steps
    return _State.loaded is not None or _State.spent >= PRICE


def _load() -> Any:
    """The module `run` with its machine built; None where there is no llvmlite."""
    if _State.loaded is None:
        try:
            from tapegrad.native.machine import build, run

            build.common_machine()
        except (ImportError, CompileError):  # the interpreter is always there
            _State.missing = True
            return None
        _State.loaded = run
    return _State.loaded
