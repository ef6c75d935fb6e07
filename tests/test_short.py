"""Short tapes of numbers give what the sweeps of every reading give, bit for bit."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import short, sweeps
from tapegrad.readings import SCALAR

POINTS = (0.0, -0.0, 0.5, -4.0, 2.0, 1e200, 1e-320, math.inf, -math.inf, math.nan)


def mixed(a: Any, b: Any) -> Any:
    """Constants, powers, kinks, choices, three operands, an unused step."""
    c = a * b + b**3 - (a + 1) / 3.0
    _ = c.exp() * c
    d = tg.where(c > b, c.log(), -c) + tg.maximum(a, b)
    return np.clip(d, -1e3, b * 10.0) + (b - a).relu() + a**-0.5 + a**b


def twice(a: Any, b: Any) -> Any:
    """Operands read twice, and a step with a value that two read."""
    c = a * a
    return c * c + (c - c) + b / b


def outer(a: Any, b: Any) -> Any:
    """Functions whose rules call others."""
    return a.tanh() + b.sigmoid() * a.lgamma() + np.arctan2(a, b) + a.sqrt() * b.cbrt()


def guarded(a: Any, b: Any) -> Any:
    """A guard between two steps."""
    c = a + b
    return c * 2.0 if c > -1.0 else c


def bits(xs: Any) -> list[Any]:
    """Bits of floats, every NaN alike; truth values and None as they are."""
    return [
        struct.pack("<d", math.nan if math.isnan(x) else x) if type(x) is float else x
        for x in xs
    ]


@pytest.mark.parametrize("f", [mixed, twice, outer])
def test_values_and_adjoints_are_those_of_the_sweeps(f: Callable[..., Any]) -> None:
    tape = tg.record(f, 0.5, 2.0)
    (slot,) = tape.outputs
    for a in POINTS:
        for b in POINTS:
            told = sweeps.replay(tape, SCALAR, [a, b])
            values = short.replay(tape, [a, b])
            assert values is not None
            assert bits(values) == bits(told), (a, b)
            want = sweeps.adjoint(tape, SCALAR, told, {slot: 1.0})
            bars = short.adjoint(tape, values, {slot: 1.0})
            assert bars is not None
            mine = [bars[i] for i in tape.inputs]
            assert bits(mine) == bits(want[i] for i in tape.inputs), (a, b)


def test_a_guard_that_flips_is_told_with_its_numbers() -> None:
    tape = tg.record(guarded, 0.5, 2.0)
    assert tape(1.0, 1.0) == 4.0
    assert short.replay(tape, [-4.0, 2.0]) is None
    with pytest.raises(tg.BranchChanged, match="test_short.py"):
        tape(-4.0, 2.0)


def test_long_tapes_and_tapes_of_arrays_are_left_alone() -> None:
    def many(x: Any) -> Any:
        for _ in range(short.LONGEST + 1):
            x = x + x
        return x

    assert short.replay(tg.record(many, 0.5), [0.5]) is None
    assert short.replay(tg.record(lambda x: x.sum(), np.ones(2)), [0.5]) is None


def test_a_plan_is_no_part_of_the_tape() -> None:
    import pickle

    tape = tg.record(twice, 0.5, 2.0)
    before = hash(tape)
    assert tape.gradient(0.5, 2.0) == tape.gradient(0.5, 2.0)
    again = pickle.loads(pickle.dumps(tape))
    assert again == tape
    assert hash(again) == before
    assert again.gradient(3.0, 2.0) == tape.gradient(3.0, 2.0)
