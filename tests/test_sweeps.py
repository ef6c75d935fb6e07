"""Sweeps agree with each other on random programs; passes keep the grammar."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad import bulk, jacobians, sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import adjoint_tape, gradient_tape, tangent_tape
from tapegrad.operations import where
from tapegrad.passes import prune
from tapegrad.readings import NUMPY, SCALAR, reading
from tapegrad.rules import TABLE

EXACT = ["add", "sub", "mul", "div", "neg", "abs", "relu", "max", "sqrt"]
ROWS = [row.name for row in TABLE if row.kind == "elementwise" and row.name != "pow"]
INPUTS = 3

floats = st.one_of(
    st.floats(-4, 4, allow_subnormal=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 0.5]),
)
points = st.lists(floats, min_size=INPUTS, max_size=INPUTS)


def programs(names):
    step = st.tuples(
        st.sampled_from([*names, "where"]),
        st.tuples(*[st.integers(0, 10**6)] * 4),
        st.sampled_from([2, 3, -1, 0.5]),
    )
    return st.lists(step, min_size=1, max_size=25)


def run(program, xs):
    """Interpret a random program on whatever numbers record."""
    values = list(xs)
    for name, picks, exponent in program:
        a, b, c, d = (values[pick % len(values)] for pick in picks)
        if name == "where":
            values.append(where(a < b, c, d))
        elif name == "powc":
            values.append(apply(TABLE["powc"], a, exponent=exponent))
        else:
            row = TABLE[name]
            params = row.params[picks[0] % len(row.params)]
            values.append(apply(row, *(a, b, c)[: row.arity], **params))
    return values[-1]


def alike(a, b, relative):
    if relative == 0:
        return a == b or (math.isnan(a) and math.isnan(b))
    return np.allclose(a, b, rtol=relative, atol=1e-300, equal_nan=True)


def gradients(program, xs):
    """The gradient by every way there is, by name."""
    tape = tg.record(lambda *xs: run(program, xs), *xs)
    tape.check()
    found = {}
    with np.errstate(all="ignore"):
        base = sweeps.flat(tape)
        for m in (SCALAR, NUMPY):
            inputs = [m.number(x) for x in xs]
            slots = sweeps.replay(base, m, inputs)
            bars = sweeps.adjoint(base, m, slots, {base.outputs[0]: m.number(1.0)})
            name = type(m).__name__
            found[name] = [0.0 if bars[i] is None else bars[i] for i in base.inputs]
        lines = bulk.lines_of_tape(base, np.array([float(s) for s in slots]))
        bars, _ = bulk.adjoint(lines, {base.outputs[0]: 1.0})
        found["bulk"] = [bars[i] for i in base.inputs]
    derived = adjoint_tape(tape)
    derived.check()
    found["adjoint tape"] = derived(*xs)
    forward = tangent_tape(tape)
    forward.check()
    units = np.eye(INPUTS).tolist()
    found["tangent"] = [tape.jvp(tuple(xs), tuple(unit))[1] for unit in units]
    found["tangent tape"] = [forward(*xs, *unit) for unit in units]
    leaves = [tg.Value(x) for x in xs]
    root = run(program, leaves)
    if isinstance(root, tg.Value):
        root.backward()
    found["eager"] = [leaf.grad for leaf in leaves]
    return found


@settings(max_examples=150, deadline=None)
@given(programs(EXACT), points)
def test_all_sweeps_agree_bit_for_bit_where_every_step_is_exact(program, xs):
    found = gradients(program, xs)
    reference = found.pop("ScalarReading")
    forward = [found.pop("tangent"), found.pop("tangent tape")]
    for name, gradient in found.items():
        for a, b in zip(reference, gradient, strict=True):
            assert alike(float(a), float(b), 0), name
    for a, b in zip(*forward, strict=True):
        assert alike(a, b, 0)


@settings(max_examples=150, deadline=None)
@given(programs(ROWS), points)
def test_all_sweeps_agree_on_every_row(program, xs):
    found = gradients(program, xs)
    reference = np.array(found.pop("ScalarReading"))
    if not np.isfinite(reference).all() or np.abs(reference).max() > 1e100:
        return  # where ulps decide between inf and NaN, the ways may differ
    for name, gradient in found.items():
        scale = np.abs(reference).max() + 1
        close = np.allclose(
            np.array(gradient, float), reference, rtol=1e-8, atol=1e-8 * scale
        )
        assert close or name.startswith("tangent"), name


@settings(max_examples=60, deadline=None)
@given(programs(ROWS), points)
def test_passes_keep_grammar_and_meaning(program, xs):
    tape = tg.record(lambda *xs: run(program, xs), *xs)
    smaller = prune(tape)
    smaller.check()
    assert prune(smaller) is smaller
    assert len(smaller) <= len(tape)
    assert alike(smaller(*xs), tape(*xs), 0)
    both = gradient_tape(tape)
    both.check()
    values = both(*xs)
    assert alike(values[0], tape(*xs), 0)


def test_fifty_digits_agree_with_floats_and_sympy():
    def f(x, y):
        return tg.where(x < y, np.exp(x) * np.sin(y), x / y) + np.tanh(x) ** 2

    tape = tg.record(f, 0.3, 0.8)
    exact = [float(g) for g in tape.gradient(0.3, 0.8, arithmetic="mpmath:50")]
    assert tape.gradient(0.3, 0.8) == pytest.approx(exact, rel=4e-16)
    import sympy as sp

    x, y = sp.symbols("x y", real=True)
    symbolic = tape.gradient(x, y, arithmetic="sympy")
    at = {x: sp.Rational(3, 10), y: sp.Rational(8, 10)}
    assert [float(g.subs(at).evalf(30)) for g in symbolic] == pytest.approx(exact)


def test_the_sweep_skips_structural_zeros_only():
    tape = tg.record(lambda x, y: x * 0.0 + y, 1.0, 2.0)
    assert tape.gradient(math.inf, 1.0) == (0.0, 1.0)
    product = tg.record(lambda x: (x - x) * np.log(x), 2.0)
    assert math.isnan(product.gradient(0.0))  # 0 * inf in a live arm stays NaN


def test_big_tapes_are_swept_in_bulk_and_agree(monkeypatch):
    def f(x):
        y = x
        for k in range(400):
            y = np.sin(y) * x + k * 0.001 if k % 3 else y * y * 0.5
        return y

    tape = tg.record(f, 0.7)
    assert len(tape) > jacobians.BULK
    swept = tape.gradient(0.7)
    monkeypatch.setattr(jacobians, "BULK", 10**9)
    assert swept == pytest.approx(tape.gradient(0.7), rel=1e-13)


def test_a_planted_wrong_partial_is_noticed(monkeypatch):
    """The comparison above can fail: a sign planted in one reading only."""
    real = NUMPY.cos
    monkeypatch.setattr(NUMPY, "cos", lambda x: -real(x), raising=False)
    program = [("sin", (0, 0, 0, 0), 2)]
    found = gradients(program, [0.3, 0.0, 0.0])
    assert found["NumpyReading"][0] == -found["ScalarReading"][0]


def test_readings_are_cached_by_name():
    assert reading("float64") is SCALAR
    assert reading("mpmath:30") is reading("mpmath:30")
    assert reading("mpmath").digits == 50
