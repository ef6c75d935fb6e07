"""What a row passes on, written out as Python, is its rule read with floats."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import pulls
from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.recorder import Columns

# Places where Python raises, rules switch, and numbers overflow.
NUMBERS = (0.0, -0.0, 0.5, -0.7, 1.0, -2.0, 3.25, 40.0, 1e200, -1e-300, 5e-324)
POINTS = (*NUMBERS, math.inf, -math.inf, math.nan)
ROWS = [row for row in TABLE if row.kind == "elementwise" and row.arity in {1, 2}]


def bits(x: float) -> bytes:
    """A float's bits; every NaN is one."""
    return struct.pack("<d", math.nan if math.isnan(x) else x)


def by_rule(row: Primitive, bar: float, xs: tuple[float, ...], params: Any) -> Any:
    """Adjoints of the operands, from the rule itself."""
    y = SCALAR.apply(row, *xs, **params)
    found: list[float | None] = [None] * len(xs)
    for place, partial in enumerate(SCALAR.partials(row, y, *xs, **params)):
        if type(partial) is not int or partial != 0:
            found[place] = bar * partial
    return found


def by_pull(row: Primitive, bar: float, xs: tuple[float, ...], params: Any) -> Any:
    """Adjoints of the operands, by the function of the row."""
    columns = Columns()
    slots = [columns.input(x) for x in xs]
    slot = columns.push(row, slots, params, SCALAR.apply(row, *xs, **params))
    bars: list[float | None] = [None] * (slot + 1)
    code = TABLE.opcode(row)
    for _ in range(pulls.OFTEN + 2):  # parameters are written out when they come often
        bars = [None] * (slot + 1)
        pull = pulls.PULLS[code]
        assert pull is not None
        pull(bar, 4 * slot, columns.flat, bars, columns)
    return bars[:-1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_passes_on_what_its_rule_says(row: Primitive) -> None:
    pairs = [(x, y) for x in POINTS for y in POINTS]
    for params in row.params:
        for xs in pairs if row.arity == 2 else [(x,) for x in POINTS]:
            for bar in (0.7, -0.0, math.inf):
                told = by_rule(row, bar, xs, params)
                found = by_pull(row, bar, xs, params)
                for want, have in zip(told, found, strict=True):
                    assert (want is None) == (have is None), (params, xs, bar)
                    if want is not None:
                        assert bits(want) == bits(have), (params, xs, bar)


def test_every_rule_of_one_or_two_numbers_can_be_written_out() -> None:
    for row in ROWS:
        assert pulls.rule_lines(row, row.params[-1], {}) is not None, row.name


def test_a_number_of_a_rule_is_not_looked_at() -> None:
    looking = Primitive("looking", 1, lambda m, y, x: (2 if x == 0 else 3,), source="")
    assert pulls.rule_lines(looking, {}, {}) is None
    short = Primitive("short", 1, lambda m, y, x: (-y if x < 0 else y,), source="")
    assert pulls.rule_lines(short, {}, {}) is None


def test_a_step_far_from_its_segment_s_start_is_swept_alone() -> None:
    x = tg.Value(1.5)
    y = x * x
    for _ in range(3 * 200):
        y = y + 0.0
    z = x * 3.0 + x.relu()
    z.backward()
    assert x.grad == 4.0


def test_an_operand_that_is_read_twice_receives_twice() -> None:
    x = tg.Value(3.0)
    (x * x + (x - x) + x / x).backward()
    assert x.grad == 6.0


def test_the_arm_that_is_not_selected_is_absent() -> None:
    x = tg.Value(0.0)
    tg.where(x > 0, x.log(), 2.0 * x).backward()
    assert x.grad == 2.0
