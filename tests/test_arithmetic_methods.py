"""`arithmetic=` on every method of a tape: values and derivatives of every kind."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad import DomainError

ARITHMETICS = ("mpmath:50", "float32", "sympy")


def scalar(x, y):
    return x * np.tanh(y) / (1.0 + np.exp(-x * y))


def several(x, y):
    return {"p": x * y, "q": [np.sin(x), y**3]}


def arrays(a, b):
    return np.sum(np.tanh(a @ b) * b) + np.mean(a) ** 2


def vector(a, b):
    return np.sin(a @ b) * b


A = np.array([[0.3, -1.2], [0.7, 0.5]])
B = np.array([0.4, -0.9])
XY = (0.7, -1.3)

ONE = {"scalar": (scalar, XY), "arrays": (arrays, (A, B))}
ALL = {**ONE, "several": (several, XY), "vector": (vector, (A, B))}
METHODS = {
    "value": lambda tape, at, **how: tape(*at, **how),
    "gradient": lambda tape, at, **how: tape.gradient(*at, **how),
    "value_and_gradient": lambda t, at, **how: t.value_and_gradient(*at, **how),
    "jacobian": lambda tape, at, **how: tape.jacobian(*at, **how),
    "hessian": lambda tape, at, **how: tape.hessian(*at, **how),
    "jvp": lambda tape, at, **how: tape.jvp(at, like(at, 0.5), **how),
    "vjp": lambda tape, at, **how: tape.vjp(at, seeds(tape, at), **how),
    "hvp": lambda tape, at, **how: tape.hvp(at, like(at, 0.5), **how),
    "slots": lambda tape, at, **how: tape.slots(*at, **how),
    "adjoints": lambda tape, at, **how: tape.adjoints(*at, **how),
}
# Methods of tapes with one number alone.
NUMBER = {"gradient", "value_and_gradient", "hessian", "hvp"}
CASES = [
    (method, name) for method in METHODS for name in (ONE if method in NUMBER else ALL)
]


def like(at, number):
    return tuple(np.full(np.shape(x), number)[()] for x in at)


def seeds(tape, at):
    """Adjoints nested like the results."""
    found = tape(*at)
    if isinstance(found, dict):
        return {"p": 1.0, "q": [0.5, 2.0]}
    return np.ones(np.shape(found))[()]


def leaves(nested):
    """All numbers of a nesting, in order."""
    if isinstance(nested, dict):
        return [x for key in nested for x in leaves(nested[key])]
    if isinstance(nested, list | tuple):
        return [x for part in nested for x in leaves(part)]
    if isinstance(nested, np.ndarray):
        return [x for part in nested.ravel().tolist() for x in leaves(part)]
    return [nested]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize(("method", "name"), CASES)
def test_every_method_in_every_arithmetic(method, name, arithmetic):
    f, at = ALL[name]
    tape = tg.record(f, *at)
    plain = leaves(METHODS[method](tape, at))
    found = leaves(METHODS[method](tape, at, arithmetic=arithmetic))
    assert len(found) == len(plain)
    rtol = 1e-5 if arithmetic == "float32" else 1e-13
    for x, y in zip(found, plain, strict=True):
        assert float(x) == pytest.approx(float(y), rel=rtol, abs=rtol)


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_a_plain_float_on_the_way(name):
    """Many digits stay many, symbols stay symbols, and singles single."""
    f, at = ALL[name]
    tape = tg.record(f, *at)
    for method, run in METHODS.items():
        if method in NUMBER and name not in ONE:
            continue
        for x in leaves(run(tape, at, arithmetic="mpmath:50")):
            assert hasattr(x, "_mpf_"), (method, type(x))
        for x in leaves(run(tape, at, arithmetic="sympy")):
            assert isinstance(x, sp.Expr), (method, type(x))
        single = run(tape, at, arithmetic="float32")
        kinds = {getattr(x, "dtype", None) for x in parts(single)}
        assert kinds == {np.dtype(np.float32)}, method


def parts(nested):
    """Leaves of a nesting, arrays whole."""
    if isinstance(nested, dict):
        return [x for key in nested for x in parts(nested[key])]
    if isinstance(nested, list | tuple):
        return [x for part in nested for x in parts(part)]
    return [nested]


def test_fifty_digits_are_right():
    """Against mpmath's own differentiation of the formula."""
    tape = tg.record(scalar, *XY)
    with mpmath.workdps(60):
        x, y = map(mpmath.mpf, XY)

        def f(a, b):
            return a * mpmath.tanh(b) / (1 + mpmath.exp(-a * b))

        value, (dx, dy) = tape.value_and_gradient(*XY, arithmetic="mpmath:50")
        assert abs(value - f(x, y)) < 1e-48
        assert abs(dx - mpmath.diff(f, (x, y), (1, 0))) < 1e-20
        assert abs(dy - mpmath.diff(f, (x, y), (0, 1))) < 1e-20
        cross = tape.hessian(*XY, arithmetic="mpmath:50")[0][1]
        assert abs(cross - mpmath.diff(f, (x, y), (1, 1))) < 1e-12
        few = tape(*XY, arithmetic="mpmath:20")
        assert 1e-25 < abs(few - f(x, y)) < 1e-18


def test_symbols_go_into_every_method():
    x, y = sp.symbols("x y", real=True)
    tape = tg.record(scalar, *XY)
    form = tape(x, y, arithmetic="sympy")
    gradient = tape.gradient(x, y, arithmetic="sympy")
    at = {x: XY[0], y: XY[1]}
    for symbol, found in zip((x, y), gradient, strict=True):
        assert sp.diff(form, symbol).subs(at).evalf() == pytest.approx(
            float(found.subs(at))
        )
    second = tape.hessian(x, y, arithmetic="sympy")
    assert float(second[0][1].subs(at)) == pytest.approx(
        float(sp.diff(form, x, y).subs(at))
    )
    _, slope = tape.jvp((x, y), (1.0, 0.0), arithmetic="sympy")
    assert float(slope.subs(at)) == pytest.approx(float(gradient[0].subs(at)))
    _, pulled = tape.vjp((x, y), 2.0, arithmetic="sympy")
    assert float(pulled[1].subs(at)) == pytest.approx(2 * float(gradient[1].subs(at)))
    along = tape.hvp((x, y), (0.0, 1.0), arithmetic="sympy")
    assert float(along[0].subs(at)) == pytest.approx(float(second[0][1].subs(at)))


def test_strings_of_digits_and_mpf_go_in():
    tape = tg.record(lambda x: x * x, 2.0)
    with mpmath.workdps(60):
        third = mpmath.mpf(1) / 3
        assert abs(tape(third, arithmetic="mpmath:50") - third**2) < 1e-49
        assert abs(tape.gradient(third, arithmetic="mpmath:50") - 2 * third) < 1e-49


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_arithmetic_is_named(method):
    tape = tg.record(scalar, *XY)
    with pytest.raises(DomainError, match="there is no arithmetic 'decimal'"):
        METHODS[method](tape, XY, arithmetic="decimal")
    with pytest.raises(DomainError, match="mpmath:0"):
        METHODS[method](tape, XY, arithmetic="mpmath:0")
