"""What a static parameter of a step may be, whichever row it is of. Floor 2."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.guards import Guard

DTYPES = ("float64", "float32", "int64", "bool")
# More bytes than any machine addresses: sizes below do not overflow.
MOST = 1 << 62
# Orders of a derivative, as in polygamma: a higher one would never come to an end.
HIGHEST = 1000
# What is done to a loop: adjoints or tangents, and of which places.
DERIVED = re.compile(r"(pull|push)( \d{1,6})+")


def _truth(value: Any) -> bool:
    return type(value) is bool


def _integer(value: Any) -> bool:
    return type(value) is int and -MOST < value < MOST


def _integers(value: Any) -> bool:
    return type(value) is tuple and all(map(_integer, value))


def _shape(value: Any) -> bool:
    return _integers(value) and all(size >= 0 for size in value)


def _key(value: Any) -> bool:
    return type(value) is tuple and all(
        entry is None
        or (isinstance(entry, str) and entry == "a")
        or _integer(entry)
        or (_integers(entry) and len(entry) == 3 and entry[2])
        for entry in value
    )


def _sweeps(value: Any) -> bool:
    return (
        type(value) is tuple
        and len(value) < 10
        and all(isinstance(x, str) and DERIVED.fullmatch(x) for x in value)
    )


def _tape(value: Any) -> bool:
    # Tape is checked by way of this file, and so cannot be imported by it
    return hasattr(value, "opcode")


def _number(value: Any) -> bool:
    return type(value) in {int, float} or isinstance(value, np.floating)


def _subscripts(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    found = re.fullmatch(r"([a-zA-Z]*(?:,[a-zA-Z]*)*)->([a-zA-Z]*)", value)
    return found is not None and set(found[2]) <= set(found[1])


# By the parameter's name.
VALID: dict[str, Callable[[Any], bool]] = {
    "axes": lambda value: _integers(value) or _integer(value),
    "axis": _integer,
    "body": _tape,
    "carry": lambda value: _integer(value) and value >= 0,
    "cond": _tape,
    "count": lambda value: _integer(value) and value > 0,
    "ddof": _integer,
    "dtype": lambda value: isinstance(value, str) and value in DTYPES,
    "exponent": _number,
    "guard": lambda value: isinstance(value, Guard) and isinstance(value.outcome, int),
    "k": _integer,
    "key": _key,
    "length": lambda value: _integer(value) and value >= 0,
    "lower": _truth,
    "name": lambda value: isinstance(value, str),
    "ordered": _truth,
    "n": lambda value: _integer(value) and 0 <= value <= HIGHEST,
    "ops": _sweeps,
    "place": lambda value: _integer(value) and value >= 0,
    "places": _integers,
    "pullback": _tape,
    "reverse": _truth,
    "shape": _shape,
    "snapshots": lambda value: _integer(value) and value >= 0,
    "slots": _truth,
    "solve": callable,
    "start": lambda value: _integer(value) and value >= 0,
    "stride": lambda value: _integer(value) and value != 0,
    "subscripts": _subscripts,
    "tape": _tape,
    "tolerance": _number,
    "transposed": _truth,
    "unit_diagonal": _truth,
    "xs": lambda value: _integer(value) and value >= 0,
}
