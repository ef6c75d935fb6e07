"""Every row of the table in native code: value and gradient against the interpreter."""

from __future__ import annotations

import dataclasses
import math
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from rowfunctions import function_of

import tapegrad as tg
from tapegrad.derivatives import gradient_tape
from tapegrad.native.lowering import lower
from tapegrad.rules import TABLE

# rows of whole arrays have tests of their own, in tests/native/arrays
ROWS = [row for row in TABLE if row.kind != "structure" and not row.whole]
# The interpreter asks NumPy where Python raises, and NumPy's pow, say, is another one;
# without calls of a library there is nothing to differ in.
ULPS = 2


def same(one, other, ulps=0):
    """Equal floats, up to so many units in the last place; NaN equals NaN."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if one == other:
        return math.copysign(1.0, one) == math.copysign(1.0, other)
    return abs(one - other) <= ulps * math.ulp(other)


def near(found, want, edge):
    """What an edge states: equal, or within the relative error that it allows."""
    if same(found, want) or found == want:
        return True
    return math.isclose(found, want, rel_tol=edge.relative, abs_tol=0.0)


def points_of(row, params):
    """Edges, special numbers, and numbers of all sizes in the row's domain."""
    mine = [edge.at for edge in row.edges if dict(edge.params) in ({}, dict(params))]
    chance = random.Random(row.name)
    special = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 5e-324, 1e308]
    mine += [tuple(chance.choices(special, k=row.arity)) for _ in range(60)]
    for _ in range(60):
        point = []
        for low, high in row.domain:
            x = math.ldexp(chance.uniform(0.5, 1.0), chance.randint(-12, 8))
            x = x if low >= 0.0 or chance.random() < 0.5 else -x
            point.append(min(max(x, low), high))
        mine.append(tuple(point))
    return mine


CASES = [(row, params) for row in ROWS for params in row.params]


def name_of(case):
    row, params = case
    return row.name + "".join(f"-{value}" for value in params.values())


@pytest.mark.parametrize("level", ["0", "2"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_native_is_the_interpreter(case, level):
    row, params = case
    example = [0.75, 0.5, 0.25][: row.arity]
    tape = tg.record(function_of(row, params), *example)
    native = tape.compile(level)
    outside = [c for c in lower(gradient_tape(tape), 100).calls if not c.intrinsic]
    ulps = ULPS if outside else 0
    for point in points_of(row, params):
        assert same(native(*point), tape(*point), ulps), point
        value, slopes = native.value_and_gradient(*point)
        want, expected = tape.value_and_gradient(*point)
        assert same(value, want, ulps), point
        if row.arity == 1:
            slopes, expected = (slopes,), (expected,)
        assert len(slopes) == len(expected) == row.arity
        for slope, other in zip(slopes, expected, strict=True):
            assert same(slope, other, ulps), (point, slopes, expected)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_edges_hold_in_native_code(case):
    row, params = case
    edges = [edge for edge in row.edges if dict(edge.params) == dict(params)]
    if not edges:
        return
    native = tg.record(function_of(row, params), *[0.75] * row.arity).compile()
    for edge in edges:
        value, slopes = native.value_and_gradient(*edge.at)
        slopes = (slopes,) if row.arity == 1 else slopes
        if edge.value is not None:
            assert near(value, edge.value, edge), edge
        for slope, want in zip(slopes, edge.partials, strict=True):
            assert near(slope, want, edge), (edge, slopes)


def test_the_check_can_fail():
    assert not same(1.0, 1.0 + 2.0**-52)
    assert same(1.0, 1.0 + 2.0**-52, 1)
    assert not same(0.0, -0.0)
    assert not same(math.nan, 1.0, 5)
    assert same(math.nan, math.nan)


def test_a_planted_instruction_is_caught(monkeypatch):
    """A row whose native form is another one disagrees with the interpreter."""
    wrong = dataclasses.replace(TABLE["sub"], llvm="fadd")
    rows = [wrong if row.name == "sub" else row for row in TABLE.rows]
    tape = tg.record(lambda x, y: x - y, 3.0, 1.0)
    monkeypatch.setattr(TABLE, "rows", rows)
    assert tape.compile()(3.0, 1.0) != tape(3.0, 1.0)
