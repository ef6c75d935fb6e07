"""Tapes as NumPy source: it runs, and gives the tape's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import DomainError
from tapegrad.proof.wholes import DIRECTIONS, cases
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules import TABLE
from tapegrad.tape.structure import Structure, Tree

A = np.array([[2.0, 0.3, 0.1], [0.4, 1.5, 0.2], [0.1, 0.6, 1.8]])
B = np.array([0.5, 1.5, 2.5])

CASES = [
    (lambda x, y: x * np.tanh(y) ** 2 / 3 - x, (1.0, 2.0)),
    (lambda x, y: tg.sigmoid(x) + tg.softplus(y) + tg.relu(x - y), (1.0, 2.0)),
    (lambda x, y: tg.where(x > y, x, y * y * y) + np.maximum(x, y), (1.0, 2.0)),
    (lambda x, y: np.log(x) / (y - (x - y)) + x**-3 + x**y, (1.0, 2.0)),
    (lambda x: np.arctan2(x, 2.0) + np.sinc(x) + np.cbrt(x), (0.3,)),
    (lambda a: np.sum(a, axis=0)[1] + np.mean(a[1:, ::-1]) + a.T[0, 2], (A,)),
    (lambda a, b: np.sum(np.exp(a @ b / 9)[1:, None] ** 2), (A, B)),
    (lambda a, b: np.linalg.solve(a, b).sum() + np.linalg.norm(b), (A, B)),
    (lambda b: tg.logsumexp(b) + tg.softmax(b)[1] + np.std(b) + np.prod(b), (B,)),
    (lambda b: b[[2, 0]].sum() * np.max(b) + np.cumsum(b)[1], (B,)),
    (np.linalg.det, (A,)),
]


def executed(tape):
    scope = {}
    exec(compile(tape.to_python(), "tape", "exec"), scope)  # noqa: S102 - our own
    return scope


@pytest.mark.parametrize(("f", "at"), CASES)
def test_source_gives_the_tapes_numbers(f, at):
    tape = tg.record(f, *at)
    scope = executed(tape)
    assert scope["value"](*at) == pytest.approx(tape(*at), rel=1e-15)
    value, gradient = scope["value_and_gradient"](*at)
    expected = tape.value_and_gradient(*at)
    assert value == pytest.approx(expected[0], rel=1e-15)
    pairs = (
        zip(gradient, expected[1], strict=True)
        if len(at) > 1
        else ((gradient, expected[1]),)
    )
    for got, wanted in pairs:
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(("f", "at"), CASES)
def test_source_is_recorded_again(f, at):
    """Tape to Python to tape: the very numbers, value and gradient."""
    tape = tg.record(f, *at)
    again = tg.record(executed(tape)["value"], *at)
    wanted, found = (each.value_and_gradient(*at) for each in (tape, again))
    assert found[0] == pytest.approx(wanted[0], rel=1e-15)
    pairs = zip(
        *(x if len(at) > 1 else (x,) for x in (found[1], wanted[1])), strict=True
    )
    for got, right in pairs:
        np.testing.assert_allclose(got, right, rtol=1e-14, atol=1e-16)


# -- every row ---------------------------------------------------------------------

# to_python says so.
UNWRITTEN = {"lstsq"}
SCALAR = [
    (row, params)
    for row in TABLE
    if row.kind in {"elementwise", "select"} and row.slots == 1
    for params in row.params
]
WHOLE = [
    (row, number)
    for row in TABLE
    if row.whole and row.samples and row.name not in UNWRITTEN
    if row.kind != "discrete"
    for number in range(len(row.samples))
]


def recorded(case):
    """A row at a sample, its slots weighted and summed."""
    recorder = Recorder()
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        xs = [
            recorder.variable(x) if place in case.free else m.number(x)
            for place, x in enumerate(case.xs)
        ]
        made = getattr(m, case.row.name)(*xs, **case.params)
        total = m.number(0.0)
        for part, bar in zip(
            made if case.row.slots > 1 else [made], case.bars, strict=True
        ):
            shape = np.shape(bar)
            weighted = (
                m.mul(m.number(bar), part) if case.row.kind != "discrete" else part
            )
            axes = tuple(range(len(shape)))
            total = m.add(total, m.sum(weighted, axes=axes) if shape else weighted)
        inputs = tuple(recorder.slot_of(xs[place]) for place in case.free)
        output = recorder.slot_of(total)
    tape = recorder.freeze(
        inputs=inputs,
        outputs=(output,),
        structure=Structure(tuple(Tree() for _ in inputs)),
        example=tuple(case.xs[place] for place in case.free),
    )
    return tape, [case.xs[place] for place in case.free]


def ulps(found, wanted):
    """How many floats apart, at most; NaN beside NaN is none."""
    found, wanted = (np.asarray(x, np.float64) for x in (found, wanted))
    assert found.shape == wanted.shape
    if not found.size:
        return 0.0
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    apart = np.abs(found - wanted) / np.spacing(np.abs(wanted))
    return float(np.max(np.where(same, 0.0, apart)))


def operands_of(row):
    """Points inside the domain of a row, for each operand."""
    lows = [low if math.isfinite(low) else -1.0 for low, _ in row.domain]
    highs = [high if math.isfinite(high) else 3.0 for _, high in row.domain]
    lows += [0.2] * (row.arity - len(lows))
    highs += [2.0] * (row.arity - len(highs))
    parts = (0.37, 0.81, 0.55)
    return [
        low + part * (max(high, low + 2.0) - low if high > low + 2 else high - low)
        for low, high, part in zip(lows, highs, parts, strict=False)
    ]


@pytest.mark.parametrize(
    ("row", "params"), SCALAR, ids=[f"{r.name}{p or ''}" for r, p in SCALAR]
)
def test_every_row_of_numbers(row, params):
    from tapegrad.apply import apply

    at = operands_of(row)
    if row.kind == "select":
        at = at[:2]

    def f(*xs):
        if row.kind == "select":
            return tg.where(xs[0] > 0, *xs)
        return apply(row, *xs, **params)

    for point in (at, [np.array([x, 0.9 * x, 1.05 * x]) for x in at]):
        arrays = isinstance(point[0], np.ndarray)
        g = (lambda *xs: f(*xs).sum()) if arrays else f
        tape = tg.record(g, *point)
        scope = executed(tape)
        assert ulps(scope["value"](*point), tape(*point)) <= 4
        if row.kind == "cut":
            continue
        value, gradient = scope["value_and_gradient"](*point)
        wanted = tape.value_and_gradient(*point)
        pairs = (gradient, wanted[1]) if len(point) > 1 else ([gradient], [wanted[1]])
        for got, right in zip(*pairs, strict=True):
            assert ulps(got, right) <= 8, (point, got, right)
        assert ulps(value, wanted[0]) <= 4


def test_every_row_is_written():
    assert len(SCALAR) > 60
    assert len({row.name for row, _ in WHOLE}) > 30


@pytest.mark.parametrize(
    ("row", "number"), WHOLE, ids=[f"{r.name}-{n}" for r, n in WHOLE]
)
def test_every_row_of_arrays(row, number):
    case = cases(row)[number * DIRECTIONS]
    tape, point = recorded(case)
    scope = executed(tape)
    value, gradient = scope["value_and_gradient"](*point)
    wanted = tape.value_and_gradient(*point)
    assert value == pytest.approx(wanted[0], rel=1e-13, abs=1e-14)
    pairs = (gradient, wanted[1]) if len(point) > 1 else ([gradient], [wanted[1]])
    for got, right in zip(*pairs, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: (np.argsort(a) * 1.0) @ a,
        lambda a: a[np.argmax(a)] + a[np.argmin(a)],
        lambda a: (
            np.where(np.any(a > 2), a.sum(), a.prod())
            + np.where(np.all(a > 2), a[0], a[1])
        ),
        lambda a: np.linalg.slogdet(np.outer(a, a) + np.diag(a))[0] * a[0],
    ],
)
def test_rows_without_a_derivative(f):
    tape = tg.record(f, B)
    scope = executed(tape)
    assert scope["value"](B) == pytest.approx(tape(B), rel=1e-14)
    value, gradient = scope["value_and_gradient"](B)
    assert value == pytest.approx(tape(B), rel=1e-14)
    np.testing.assert_allclose(gradient, tape.gradient(B), rtol=1e-13)


def test_division_by_zero_follows_ieee():
    assert executed(tg.record(lambda x: 1 / x, 1.0))["value"](0.0) == math.inf


def test_several_outputs_have_a_jacobian():
    tape = tg.record(lambda x, y: (x * y, x + y), 2.0, 3.0)
    values, rows = executed(tape)["value_and_jacobian"](2.0, 3.0)
    assert values == (6.0, 5.0)
    assert rows == ((3.0, 2.0), (1.0, 1.0))


def test_guards_raise():
    tape = tg.record(lambda x: x * 2 if x > 0 else x, 1.0)
    scope = executed(tape)
    assert scope["value"](3.0) == 6.0
    with pytest.raises(ValueError, match="another branch"):
        scope["value"](-3.0)


def test_what_numpy_cannot_say():
    tape = tg.record(lambda a, b: np.linalg.lstsq(a, b)[0].sum(), A, B)
    with pytest.raises(DomainError, match="lstsq"):
        tape.to_python()
