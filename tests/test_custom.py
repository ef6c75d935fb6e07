"""Functions with gradients of their own: every mode, order, tier and way of saving."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value


@tg.custom_gradient
def log1pexp(x):
    """log(1 + exp(x)), whose plain derivative is NaN for large x."""
    e = np.exp(x)
    return np.log(1 + e), lambda bar: bar * (1 - 1 / (1 + e))


@tg.custom_gradient
def product(x, y):
    """A product whose pullback is three times the derivative, so that it shows."""
    return x * y, lambda bar: (3.0 * bar * y, 3.0 * bar * x)


@tg.custom_gradient
def parted(p, k):
    """Nested arguments and results, and a static argument."""
    first, second = p["w"] ** k, np.sum(p["b"])

    def pullback(bars):
        w = bars["first"] * k * p["w"] ** (k - 1)
        return {"w": w, "b": bars["second"] * np.ones(3)}, None

    return {"first": first, "second": second}, pullback


@tg.custom_gradient
def sliced(x):
    """Arrays in, arrays out."""
    return x[1:] - x[:-1], lambda bar: np.concatenate(
        [-bar[:1], bar[:-1] - bar[1:], bar[-1:]]
    )


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_the_derivative_is_the_pullback() -> None:
    assert tg.grad(log1pexp)(1000.0) == 1.0
    assert tg.grad(product, argnums=(0, 1))(2.0, 5.0) == (15.0, 6.0)
    assert log1pexp(0.0) == np.log(2.0)  # plain numbers stay plain


def test_the_derivative_without_it_would_be_nan() -> None:
    plain = tg.grad(lambda x: np.log(1 + np.exp(x)))
    assert np.isnan(plain(1000.0))


@pytest.mark.parametrize("x", [-1.5, 0.0, 2.0])
def test_second_derivatives_are_those_of_the_pullback(x: float) -> None:
    s = sigmoid(x)
    assert tg.grad(tg.grad(log1pexp))(x) == pytest.approx(s * (1 - s), rel=1e-14)
    third = tg.grad(tg.grad(tg.grad(log1pexp)))(x)
    assert third == pytest.approx(s * (1 - s) * (1 - 2 * s), rel=1e-12, abs=1e-16)
    # once more three times the derivative, of each pullback as it is written
    inner = tg.grad(product, argnums=0)
    assert tg.grad(inner, argnums=1)(x, 5.0) == 3.0


def test_the_rule_holds_in_values_that_a_derivative_reads() -> None:
    # (d/dx)^2 of product^2 = 2 * (3y)^2, though a plain product has 2 * 3y * y
    square = tg.record(lambda x, y: product(x, y) ** 2, 2.0, 5.0)
    assert square.hessian(2.0, 5.0)[0][0] == 450.0
    assert square.compile().hessian(2.0, 5.0)[0][0] == 450.0
    assert tg.grad(tg.grad(lambda x: product(x, 5.0) ** 2))(2.0) == 450.0
    x = Value(2.0)
    slope = tg.record(lambda x: product(x, 5.0) ** 2, 1.0).adjoint_tape()(x)
    slope.backward()
    assert x.grad == 450.0


def test_forward_mode_is_the_transposed_pullback() -> None:
    assert tg.jvp(product, (2.0, 5.0), (1.0, 10.0)) == (10.0, 3 * (5 + 20.0))
    _, dot = tg.jvp(log1pexp, (0.5,), (2.0,))
    assert dot == pytest.approx(2 * sigmoid(0.5), rel=1e-15)
    x = np.array([1.0, 4.0, 9.0, 16.0])
    _, dot = tg.jvp(sliced, (x,), (np.array([1.0, 10.0, 100.0, 1000.0]),))
    assert np.array_equal(dot, [9.0, 90.0, 900.0])
    forward = tg.record(lambda x: log1pexp(x * x), 1.5).tangent_tape()
    assert forward.gradient(1.5, 1.0)[1] == pytest.approx(3 * sigmoid(2.25))


def test_all_four_pairs_of_modes_agree() -> None:
    tape = tg.record(lambda x: log1pexp(x * x) * x, 0.7)
    reverse_reverse = tape.hessian(0.7)
    forward_reverse = tape.hvp(0.7, 1.0)
    forward = tape.tangent_tape()
    forward_forward = forward.jvp((0.7, 1.0), (1.0, 0.0))[1]
    reverse_forward = forward.gradient(0.7, 1.0)[0]
    step = 1e-6
    numeric = (tape.gradient(0.7 + step) - tape.gradient(0.7 - step)) / (2 * step)
    found = [reverse_reverse, forward_reverse, forward_forward, reverse_forward]
    assert found == pytest.approx([numeric] * 4, rel=1e-8)
    assert np.ptp(found) <= 4e-16 * abs(numeric)


def test_forward_mode_of_a_nonlinear_pullback_is_refused() -> None:
    @tg.custom_gradient
    def clipped(x):
        return 2.0 * x, lambda bar: np.clip(bar, -1.0, 1.0)

    assert tg.grad(lambda x: 5 * clipped(x))(1.0) == 1.0
    with pytest.raises(tg.RecordError, match=r"clipped: its pullback is not lin.*cl"):
        tg.jvp(clipped, (1.0,), (1.0,))

    @tg.custom_gradient
    def shifted(x):
        return 2.0 * x, lambda bar: bar + 1.0

    with pytest.raises(tg.RecordError, match=r"not linear"):
        tg.jvp(shifted, (1.0,), (1.0,))


def test_arguments_and_results_nest() -> None:
    p = {"w": 2.0, "b": np.array([1.0, 2.0, 3.0])}

    def loss(p):
        out = parted(p, 3)
        return out["first"] + 2 * out["second"]

    value, slope = tg.value_and_grad(loss)(p)
    assert value == 8.0 + 12.0
    assert slope["w"] == 12.0
    assert np.array_equal(slope["b"], [2.0, 2.0, 2.0])
    # an output that nothing reads has a zero cotangent
    only = tg.grad(lambda p: parted(p, 3)["first"])(p)
    assert only["w"] == 12.0
    assert np.array_equal(only["b"], [0.0, 0.0, 0.0])


def test_jacobians_of_arrays() -> None:
    x = np.array([1.0, 4.0, 9.0, 16.0])
    expected = np.diff(np.eye(4), axis=0)
    assert np.array_equal(tg.jacobian(sliced)(x), expected)
    assert np.array_equal(tg.record(sliced, x).jacobian(x), expected)
    assert np.array_equal(tg.record(sliced, x).compile().jacobian(x), expected)


def test_eager_values() -> None:
    x = Value(2.0)
    y = log1pexp(x * x)
    y.backward()
    assert x.grad == pytest.approx(4 * sigmoid(4.0), rel=1e-15)
    assert y._op == "log1pexp"
    (again,) = y._prev
    assert again.data == 4.0
    y.backward()
    assert x.grad == pytest.approx(8 * sigmoid(4.0), rel=1e-15)
    a, b = Value(3.0), Value(np.array([1.0, 2.0, 4.0]))
    out = parted({"w": a, "b": b}, 2)
    (out["first"] * out["second"]).backward()
    assert a.grad == 7 * 6.0
    assert np.array_equal(b.grad, [9.0, 9.0, 9.0])
    assert out["second"].tape(3.0, np.array([1.0, 1.0, 1.0])) == 3.0
    a, b = Value(3.0), Value(5.0)
    c = product(a, b)
    c.grad = 1.0
    c._backward()
    assert (a.grad, b.grad) == (15.0, 9.0)


def test_no_history_under_no_record() -> None:
    with tg.no_record():
        y = log1pexp(Value(0.0))
    assert y.data == np.log(2.0)
    assert y._prev == set()


@pytest.mark.parametrize("arithmetic", ["float64", "float32", "mpmath:50"])
def test_replay_in_every_arithmetic(arithmetic: str) -> None:
    tape = tg.record(lambda x: log1pexp(x) * x, 1.0)
    found = tape.gradient(0.25, arithmetic=arithmetic)
    expected = 0.25 * sigmoid(0.25) + np.log1p(np.exp(0.25))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_native_code_uses_the_pullback() -> None:
    tape = tg.record(lambda x, y: product(x, y) * x, 1.0, 1.0)
    native = tape.compile()
    assert native(2.0, 5.0) == 20.0
    assert native.value_and_gradient(2.0, 5.0) == (20.0, (3 * 10.0 + 10.0, 3 * 4.0))
    assert native.hessian(2.0, 5.0) == tape.hessian(2.0, 5.0)
    assert "fmul" in tape.to_llvm()


def test_files_and_pickles() -> None:
    tape = tg.record(lambda x, y: product(x, y) * x, 1.0, 1.0)
    for again in (tg.from_bytes(tape.to_bytes()), pickle.loads(pickle.dumps(tape))):
        assert again == tape
        assert again.gradient(2.0, 5.0) == (40.0, 12.0)
        assert again.hessian(2.0, 5.0) == tape.hessian(2.0, 5.0)


def test_formulas_and_source() -> None:
    tape = tg.record(product, 1.0, 1.0)
    assert str(tape.to_sympy()) == "x*y"
    slopes = tape.to_sympy(derivative=True)
    assert {k: str(v) for k, v in slopes.items()} == {"x": "3*y", "y": "3*x"}
    scope: dict = {}
    exec(tape.to_python(), scope)  # noqa: S102 - our own source
    assert scope["value_and_gradient"](2.0, 5.0) == (10.0, (15.0, 6.0))


def test_lists_traces_and_pictures_name_the_function() -> None:
    tape = tg.record(product, 2.0, 5.0)
    assert "product    v0, v1" in str(tape)
    trace = str(tape.trace())
    assert "v2 = product(v0, v1) = 10.0" in trace
    assert "v0_bar += pull_product(v2_bar) = 15.0" in trace
    assert "product" in tape.draw().source


def test_a_wrong_pullback_is_found() -> None:
    @tg.custom_gradient
    def wrong(x):
        return x * x, lambda bar: bar * x

    report = tg.check_gradient(wrong, 1.5)
    assert not report.ok
    assert tg.check_gradient(log1pexp, 1.5).ok
    with pytest.raises(tg.GradientMismatch):
        tg.check_gradient(wrong, 1.5, raise_on_error=True)


def test_branches_inside_are_guarded() -> None:
    @tg.custom_gradient
    def kinked(x):
        if x > 0:
            return x, lambda bar: bar
        return -x, lambda bar: -bar

    tape = tg.record(lambda x: kinked(x) * 2, 1.0)
    assert tape.gradient(3.0) == 2.0
    with pytest.raises(tg.BranchChanged, match="test_custom.py"):
        tape.gradient(-3.0)
    with pytest.raises(tg.BranchChanged, match="test_custom.py"):
        tape.compile().gradient(-3.0)


def test_perturbations_of_nested_derivatives_stay_apart() -> None:
    def outer(x):
        return x * tg.grad(lambda y: product(x, y))(1.0)

    # d/dx [x * 3x]
    assert tg.grad(outer)(2.0) == 12.0


# -- what is refused ---------------------------------------------------------------


def test_a_function_that_returns_no_pair() -> None:
    @tg.custom_gradient
    def alone(x):
        return x * x

    with pytest.raises(tg.RecordError, match=r"alone\(\) returned .* \(value, pullb"):
        tg.grad(alone)(1.0)


@pytest.mark.parametrize(
    ("adjoints", "words"),
    [
        (lambda bar: bar, r"returned 1 adjoints for 2 arguments \(x, y\)"),
        (lambda bar: (bar, bar, bar), r"returned 3 adjoints for 2 arguments"),
        (lambda bar: (bar, {"a": bar}), r"argument y that does not nest like it"),
    ],
)
def test_the_wrong_number_of_adjoints(adjoints, words) -> None:
    @tg.custom_gradient
    def two(x, y):
        return x * y[0], adjoints

    with pytest.raises(tg.ShapeError, match=words):
        tg.grad(two)(1.0, [2.0])


def test_an_adjoint_of_another_shape() -> None:
    @tg.custom_gradient
    def total(x):
        return np.sum(x), lambda bar: bar

    with pytest.raises(tg.ShapeError, match=r"adjoint of shape \(\) for x, which has"):
        tg.grad(total)(np.ones(3))


def test_values_that_are_no_arguments() -> None:
    def outer(x):
        @tg.custom_gradient
        def inner(y):
            return x * y, lambda bar: bar * x

        return inner(2.0)

    with pytest.raises(tg.RecordError, match=r"inner\(\) reads x of the recording"):
        tg.grad(outer)(1.0)
    with pytest.raises(tg.RecordError, match="keyword argument y"):
        tg.grad(lambda x: product(x, y=x))(1.0)


def test_none_is_zero() -> None:
    @tg.custom_gradient
    def first(x, y):
        return x * y, lambda bar: (bar * y, None)

    assert tg.grad(first, argnums=(0, 1))(2.0, 5.0) == (5.0, 0.0)
    assert tg.record(first, 2.0, 5.0).hessian(2.0, 5.0) == ((0.0, 1.0), (0.0, 0.0))


def test_an_unselected_arm_stays_absent() -> None:
    @tg.custom_gradient
    def root(x):
        return x**0.5, lambda bar: bar / (2 * x**0.5)

    guarded = tg.grad(lambda x: tg.where(x > 0, root(x), 0.0))
    assert guarded(4.0) == 0.25
    assert guarded(0.0) == 0.0


def test_damaged_files_are_refused() -> None:
    tape = tg.record(product, 2.0, 5.0)
    (number,) = (step.number for step in tape if step.primitive.name == "custom")
    statics = list(tape.statics)
    place = int(tape.static[number])
    params = dict(statics[place])
    for change in ({"places": (0, 7)}, {"pullback": params["tape"]}, {"tape": 3.0}):
        statics[place] = tuple(sorted((params | change).items()))
        damaged = dataclasses.replace(tape, statics=tuple(statics))
        with pytest.raises(tg.TapeFormatError):
            damaged.check()


def test_cotangents_of_results_that_nothing_reads_are_zeros() -> None:
    """Every result has one, also integers and truth values; in every tier."""
    seen = []

    @tg.custom_gradient
    def several(x):
        def pullback(bars):
            seen.append(bars)
            slope = bars["wave"] * np.cos(x) - bars["flat"] * np.sin(x)
            return slope + np.sum(bars["table"]) * x + np.sum(bars["places"])

        return {
            "wave": np.sin(x),
            "flat": np.cos(x),
            "table": x * np.arange(3.0),
            "places": np.arange(2),
        }, pullback

    for name, slope in (("wave", np.cos(0.3)), ("flat", -np.sin(0.3))):
        tape = tg.record(lambda x, name=name: several(x)[name], 0.3)
        bars = seen[-1]
        assert bars["table"].shape == (3,)
        assert np.array_equal(bars["places"], [0.0, 0.0])
        for found in (tape.gradient, tape.adjoint_tape(), tape.compile().gradient):
            assert found(0.3) == pytest.approx(slope, rel=1e-15)
        assert tape.jvp((0.3,), (1.0,))[1] == pytest.approx(slope, rel=1e-15)
    # the pullback's own: three ones times x
    assert tg.grad(lambda x: np.sum(several(x)["table"]))(0.3) == pytest.approx(0.9)


def test_a_zero_cotangent_is_a_number() -> None:
    """Times an infinite slope it is NaN, as in JAX; a choice gates it."""

    @tg.custom_gradient
    def both(x):
        return (
            np.sin(x),
            np.sqrt(x),
        ), lambda bars: bars[0] * np.cos(x) + bars[1] * 0.5 / np.sqrt(x)

    @tg.custom_gradient
    def gated(x):
        def pullback(bars):
            steep = tg.where(bars[1] == 0, 0.0, bars[1] * 0.5 / np.sqrt(x))
            return bars[0] * np.cos(x) + steep

        return (np.sin(x), np.sqrt(x)), pullback

    tape = tg.record(lambda x: gated(x)[0], 0.0)
    assert np.isnan(tg.grad(lambda x: both(x)[0])(0.0))
    assert tg.grad(lambda x: gated(x)[0])(0.0) == 1.0
    assert tape.adjoint_tape()(0.0) == tape.compile().gradient(0.0) == 1.0
    assert tg.grad(lambda x: gated(x)[1])(4.0) == 0.25
