"""The machine as native functions, built once in a process. Floor 6; loads llvmlite.

The common machine has all rows of the table, and serves nearly every tape; from the
disk it is there in milliseconds. A tape with other rows or other parameters (a user's
row, x**7) has one that was built for its cases.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tapegrad.errors import CompileError
from tapegrad.native.engine import Engine
from tapegrad.native.machine.cases import ROWS, Case, standing
from tapegrad.native.machine.loops import source

# More cases than this in one tape: each has a row or a parameter of its own, and code
# made for them would serve no other tape.
MOST = 64


@dataclass(frozen=True, slots=True)
class Machine:
    """The two loops for some cases.

    Args:
        forward: (cases, reads, expected, v, steps) -> 0, or the step of a guard + 1.
        reverse: (cases, reads past the last, v, bars, reached, steps, slots).
        numbers: the number of each case, by row's name and static parameters.
        engine: what holds the code.
    """

    forward: Callable[..., int]
    reverse: Callable[..., None]
    numbers: dict[Any, int]
    engine: Engine


def key_of(case: Case) -> Any:
    """A case as a key: a user's row by its definition, 2 and 2.0 apart."""
    row, static = case
    return row.name, row.digest, tuple((name, type(x), repr(x)) for name, x in static)


def machine_for(cases: tuple[Case, ...]) -> Machine | None:
    """A machine that has some cases; None where there are too many, or no code."""
    common = common_machine()
    if all(key_of(case) in common.numbers for case in cases):
        return common
    if len(cases) > MOST:
        return None
    try:
        ordered = sorted(cases, key=lambda case: repr(key_of(case)))
        return _special(_Wanted(tuple(map(key_of, ordered)), tuple(ordered)))
    except CompileError:
        return None


@functools.cache
def common_machine() -> Machine:
    """The machine of the table's own rows."""
    return _built(tuple(standing()))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Some cases, known by their keys."""

    keys: tuple[Any, ...]
    cases: tuple[Case, ...] = field(compare=False)


@functools.lru_cache(maxsize=32)
def _special(wanted: _Wanted) -> Machine:
    return _built(wanted.cases)


def _built(cases: tuple[Case, ...]) -> Machine:
    text, calls = source(cases)
    engine = Engine(text, calls, codegen=1, passes=1)
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    forward = ctypes.CFUNCTYPE(count, *[pointer] * 4, count)
    reverse = ctypes.CFUNCTYPE(None, *[pointer] * 5, count, count)
    return Machine(
        forward(engine.address("forward")),
        reverse(engine.address("reverse")),
        {key_of(case): number for number, case in enumerate(cases, ROWS)},
        engine,
    )
