"""tape.trace(): each thing that happens in the two sweeps, in order."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.errors import BranchChanged, ShapeError
from tapegrad.symbolic.parse import parse


def f(x, y):
    return x * np.tanh(y) + x * x


def test_the_lines_of_a_small_tape():
    assert str(tg.record(f, 2.0, 0.0).trace()).splitlines() == [
        "forward",
        "  v0 = x = 2.0",
        "  v1 = y = 0.0",
        "  v2 = tanh(v1) = 0.0",
        "  v3 = v0 * v2 = 0.0",
        "  v4 = v0 * v0 = 4.0",
        "  v5 = v3 + v4 = 4.0",
        "reverse",
        "  v5_bar = 1.0",
        "  v3_bar += v5_bar = 1.0",
        "  v4_bar += v5_bar = 1.0",
        "  v0_bar += v4_bar * 2.0 = 2.0",
        "  v0_bar += v4_bar * 2.0 = 4.0",
        "  v0_bar += v3_bar * 0.0 = 4.0",
        "  v2_bar += v3_bar * 2.0 = 2.0",
        "  v1_bar += v2_bar * 1.0 = 2.0",
    ]


def test_symbolic_partials_stand_in_place_of_numbers():
    reverse = tg.record(f, 2.0, 0.0).trace(symbolic=True).reverse
    assert reverse[3:] == (
        "v0_bar += v4_bar * v0 = 2.0",
        "v0_bar += v4_bar * v0 = 4.0",
        "v0_bar += v3_bar * v2 = 4.0",
        "v2_bar += v3_bar * v0 = 2.0",
        "v1_bar += v2_bar * sech(v1)**2 = 2.0",
    )


def test_the_last_line_of_each_input_is_its_derivative():
    tape = tg.record(lambda x, y: np.exp(x * y) / (x - y) ** 3 - np.sqrt(x), 1.2, 0.7)
    for symbolic in (False, True):
        last = {}
        for line in tape.trace(1.5, 0.25, symbolic=symbolic).reverse:
            slot, grown = re.match(r"(v\d+)_bar.* = (\S+)$", line).groups()
            last[slot] = float(grown)
        found = (last["v0"], last["v1"])
        assert np.allclose(found, tape.gradient(1.5, 0.25), rtol=1e-9, atol=0)


def test_formulas_give_what_the_sweep_adds():
    """Each reverse line, computed from its own formula, is right."""
    tape = tg.record(
        lambda x, y: np.sin(x) * y**3 - np.log(y) / np.maximum(x, y) + abs(x), 0.7, 1.2
    )
    names = {f"v{slot}": value for slot, value in enumerate(tape.slots(0.7, 1.2))}
    bars: dict[str, float] = {}
    for line in tape.trace(symbolic=True).reverse:
        first = re.match(r"(v\d+)_bar = (\S+)$", line)
        if first:
            bars[first[1]] = float(first[2])
            continue
        onto, sign, come, partial, grown = re.match(
            r"(v\d+)_bar ([+-])= (v\d+)_bar(?: \* (.*))? = (\S+)$", line
        ).groups()
        formula = sp.sympify(partial or "1", locals={n: sp.Symbol(n) for n in names})
        part = bars[come] * float(formula.subs(names)) * (1 if sign == "+" else -1)
        bars[onto] = bars.get(onto, 0.0) + part
        assert np.isclose(bars[onto], float(grown), rtol=1e-9, atol=0), line
    assert np.allclose([bars["v0"], bars["v1"]], tape.gradient(0.7, 1.2), rtol=1e-12)


def test_kinks_read_as_cases():
    reverse = tg.record(abs, 2.0).trace(symbolic=True).reverse
    assert reverse[1] == (
        "v0_bar += v1_bar * Piecewise((1, v0 > 0), (-1, v0 < 0), (0, True)) = 1.0"
    )


def test_the_arm_that_is_not_selected_is_absent():
    lines = (
        tg.record(lambda x: tg.where(x > 0.0, x * x, np.log(x)), 2.0).trace().reverse
    )
    assert not any("log" in line for line in lines)
    assert lines[-1] == "v0_bar += v3_bar * 2.0 = 4.0"


def test_formulas_alone_without_numbers():
    trace = parse("where(x < y, x*y, -y)").trace(symbolic=True)
    assert "v0 = x" in trace.forward
    assert "v3_bar += where(v2, v5_bar, 0)" in trace.reverse
    assert "v4_bar += where(v2, 0, v5_bar)" in trace.reverse
    assert "v1_bar += where(not(v2), -v4_bar, 0)" in trace.reverse
    assert not any(re.search(r"= -?\d", line) for line in trace.reverse[1:])


def test_a_guard_is_a_line_and_is_kept():
    def g(x):
        return x * x if x > 1.0 else x

    tape = tg.record(g, 2.0)
    assert any(line.startswith("guard: v2 is True") for line in tape.trace().forward)
    with pytest.raises(BranchChanged):
        tape.trace(0.5)


def test_labels_stand_beside_slots():
    def g(x):
        z = x * 3.0
        z.label = "z"
        return z

    assert tg.record(g, 2.0).trace().forward[-1] == "v2 = z = v0 * v1 = 6.0"


def test_sub_tapes_are_traced_step_by_step():
    inner = tg.record(f, 1.0, 2.0)
    assert any(
        "tanh" in line for line in tg.record(lambda x: inner(x, x), 1.0).trace().forward
    )


def test_eager_values_have_traces_through_their_tape():
    y = tg.Value(3.0, label="x") * 2
    assert y.tape.trace().reverse[1] == "v0_bar += v2_bar * 2.0 = 2.0"


def test_notebooks_see_escaped_html():
    text = tg.record(lambda x: tg.where(x < 1.0, x, 2.0), 0.5).trace()._repr_html_()
    assert "v0 &lt; v1" in text


def test_bad_calls():
    with pytest.raises(ShapeError, match="pass some"):
        parse("x*y").trace()
    with pytest.raises(ShapeError, match="2 outputs"):
        tg.record(lambda x: [x, x], 1.0).trace()
    with pytest.raises(ShapeError):
        tg.record(f, 1.0, 2.0).trace(1.0)
    with pytest.raises(tg.TapegradError):
        tg.record(f, 1.0, 2.0).trace("a", 2.0)
    long = tg.record(lambda x: sum(x * float(k) for k in range(1_500)), 1.0)
    with pytest.raises(ShapeError, match="too long"):
        long.trace()


# -- arrays ------------------------------------------------------------------------


def layer(x, w):
    return np.sum(np.tanh(x @ w + w[0])[1:, ::-1] * np.array([1.0, 4.0]))


def test_a_trace_with_arrays():
    tape = tg.record(layer, np.array([[0.0, 1.0], [-1.0, 0.5]]), np.eye(2))
    assert str(tape.trace(symbolic=True)).splitlines() == [
        "forward",
        "  v0 = x = [[0.0, 1.0], [-1.0, 0.5]]",
        "  v1 = w = [[1.0, 0.0], [0.0, 1.0]]",
        "  v2 = v0 @ v1 = [[0.0, 1.0], [-1.0, 0.5]]",
        "  v3 = v1[0] = [1.0, 0.0]",
        "  v4 = v2 + v3 = [[1.0, 1.0], [0.0, 0.5]]",
        "  v5 = tanh(v4) = [[0.7616, 0.7616], [0.0, 0.4621]]",
        "  v6 = v5[1:, ::-1] = [[0.4621, 0.0]]",
        "  v7 = [1.0, 4.0]",
        "  v8 = v6 * v7 = [[0.4621, 0.0]]",
        "  v9 = sum(v8) = 0.4621171573",
        "reverse",
        "  v9_bar = 1.0",
        "  v8_bar += broadcast_to(v9_bar, (1, 2)) = [[1.0, 1.0]]",
        "  v6_bar += v8_bar * v7 = [[1.0, 4.0]]",
        "  v5_bar[1:, ::-1] += v6_bar = [[0.0, 0.0], [4.0, 1.0]]",
        "  v4_bar += v5_bar * sech(v4)**2 = [[0.0, 0.0], [4.0, 0.7864]]",
        "  v2_bar += v4_bar = [[0.0, 0.0], [4.0, 0.7864]]",
        "  v3_bar += sum(v4_bar, axis=0) = [4.0, 0.7864]",
        "  v1_bar[0] += v3_bar = [[4.0, 0.7864], [0.0, 0.0]]",
        "  v0_bar += v2_bar @ v1.T = [[0.0, 0.0], [4.0, 0.7864]]",
        "  v1_bar += v0.T @ v2_bar = [[0.0, 0.0], [2.0, 0.3932]]",
    ]


def test_numbers_in_place_of_partials_where_there_are_partials():
    reverse = tg.record(layer, np.eye(2), np.eye(2)).trace().reverse
    assert "v6_bar += v8_bar * [1.0, 4.0] = [[1.0, 4.0]]" in reverse
    assert reverse[-1].startswith("v1_bar += v0.T @ v2_bar = ")


def test_the_last_lines_of_arrays_are_their_derivatives():
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    tape = tg.record(layer, np.eye(2), np.eye(2))
    last = {}
    for line in tape.trace(x, w).reverse:
        slot, grown = re.match(r"(v\d+)_bar.* = (.*)$", line).groups()
        last[slot] = np.array(eval(grown))  # noqa: S307 - a list of numbers
    for slot, gradient in zip(("v0", "v1"), tape.gradient(x, w), strict=True):
        np.testing.assert_allclose(last[slot], gradient, rtol=1e-3)


def test_formulas_of_arrays_alone():
    tape = tg.record(layer, np.eye(2), np.eye(2))
    alone = dataclasses.replace(tape, example=None).trace(symbolic=True)
    with_numbers = tape.trace(symbolic=True)
    assert len(alone.reverse) == len(with_numbers.reverse)
    for short, long in zip(alone.reverse[1:], with_numbers.reverse[1:], strict=True):
        assert long.startswith(f"{short} = ")


def test_an_arm_that_is_not_selected_carries_its_mask():
    tape = tg.record(
        lambda x: np.sum(np.where(x > 1.0, np.log(x), x * x)), np.array([0.5, 2.0])
    )
    lines = tape.trace().reverse
    assert "v6_bar += broadcast_to(v7_bar, (2,)) = [1.0, 1.0]" not in lines
    assert any("+= where(v2, v5_bar, 0) = [0.0, 1.0]" in line for line in lines)
    assert any("where(not(v2), v4_bar * [0.5, 2.0], 0)" in line for line in lines)


def test_a_step_of_several_slots():
    def f(a):
        w, v = np.linalg.eigh(a)
        return np.sum(w * v[0])

    trace = tg.record(f, np.array([[2.0, 0.0], [0.0, 3.0]])).trace()
    assert "v1, v2 = eigh(v0) = [2.0, 3.0], [[1.0, 0.0], [0.0, 1.0]]" in trace.forward
    assert any("v0_bar += pull_eigh(v1_bar, v2_bar)" in line for line in trace.reverse)


def test_a_rule_too_long_for_a_line_is_named_and_large_arrays_stay_short():
    tape = tg.record(np.prod, np.linspace(1.0, 1.01, 5_000))
    assert (
        tape.trace(symbolic=True)
        .reverse[1]
        .startswith("v0_bar += pull_prod(v1_bar) = [")
    )
    assert max(map(len, tape.trace().reverse)) < 100
