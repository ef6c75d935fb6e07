"""Array tapes in other arithmetics, with slots nudged, and shown: all of it works."""

from __future__ import annotations

import json

import mpmath
import numpy as np
import pytest
import scipy.optimize
import sympy as sp

import tapegrad as tg

RNG = np.random.default_rng(8)
SYMMETRIC = np.array([[3.0, 0.5], [0.5, 2.0]])


def normal(*shape):
    return RNG.normal(size=shape)


def written(x):
    y = x.copy()
    y[1:3] = y[:2] * 2.0
    return np.sum(y * x)


FUNCTIONS = {
    "a layer": (
        lambda x, w, b: np.mean(np.tanh(x @ w + b) ** 2),
        (normal(3, 2), normal(2, 3), normal(3)),
    ),
    "statistics": (
        lambda x: np.var(x, axis=0).sum() + np.std(x, ddof=1),
        (normal(4, 2),),
    ),
    "lengths": (
        lambda x: np.linalg.norm(x) + np.linalg.norm(x, axis=1).sum(),
        (normal(3, 2),),
    ),
    "extremes": (lambda x: x.max() + x.min(axis=0).sum(), (normal(3, 2),)),
    "running": (
        lambda x: np.cumprod(x).sum() + np.cumsum(x)[2] + np.diff(x).prod(),
        (normal(4),),
    ),
    "an arm": (lambda x: np.sum(np.where(x > 0, np.log(x), x * x)), (normal(4),)),
    "movement": (
        lambda x: np.sum(np.stack([np.roll(x, 1), np.flip(x)], 1) @ np.ones(2) * x),
        (normal(4),),
    ),
    "triangles": (
        lambda x: np.sum(np.tril(x) @ np.triu(x, 1)) + np.trace(x),
        (normal(3, 3),),
    ),
    "products": (
        lambda x, y: np.sum(np.outer(x, y) ** 2) + x @ y + np.kron(x, y).sum(),
        (normal(3), normal(3)),
    ),
    "einsum": (
        lambda x, y: np.einsum("ij,jk,ik->", x, y, x @ y),
        (normal(3, 2), normal(2, 3)),
    ),
    "systems": (
        lambda a, b: np.sum(np.linalg.solve(a, b)) + np.linalg.slogdet(a)[1],
        (SYMMETRIC, normal(2)),
    ),
    "a factor": (lambda a: np.sum(np.linalg.cholesky(a) @ a), (SYMMETRIC,)),
    "rosenbrock": (scipy.optimize.rosen, (normal(4),)),
    "places": (lambda x, i: np.sum(x[i] ** 2), (normal(4), np.array([1, 1, 3]))),
    "a mask": (lambda x: np.sum(x[x > 0] ** 3), (normal(5),)),
    "writes": (written, (normal(5),)),
    "bounds": (lambda x: np.sum(np.clip(x, -0.5, 0.5) * abs(x)), (normal(5),)),
}


def as_tuple(gradient):
    return gradient if isinstance(gradient, tuple) else (gradient,)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("arithmetic", ["mpmath:50", "sympy", "float32"])
def test_values_and_gradients_of_arrays_agree(name, arithmetic):
    f, at = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        tape = tg.record(f, *at)
    value, gradient = tape.value_and_gradient(*at)
    other, slopes = tape.value_and_gradient(*at, arithmetic=arithmetic)
    rtol = 2e-5 if arithmetic == "float32" else 1e-12
    np.testing.assert_allclose(float(other), value, rtol=rtol)
    for found, exact in zip(as_tuple(slopes), as_tuple(gradient), strict=True):
        assert found.shape == exact.shape
        numbers = np.asarray(found, float)
        np.testing.assert_allclose(numbers, exact, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_symbols_go_in_and_formulas_come_out(name):
    f, at = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        tape = tg.record(f, *at)
    point = {}
    args = list(at)
    for place, x in enumerate(at):
        if x.dtype.kind == "f":
            symbols = [
                sp.Symbol(f"x{len(point) + i}", real=True) for i in range(x.size)
            ]
            args[place] = np.array(symbols, dtype=object).reshape(x.shape)
            point.update(zip(symbols, x.ravel(), strict=True))
    form = tape(*args, arithmetic="sympy")
    assert form.free_symbols <= set(point)
    assert float(form.subs(point)) == pytest.approx(tape(*at), rel=1e-10)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_tape_is_shown(name):
    f, at = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        tape = tg.record(f, *at)
    assert len(str(tape).splitlines()) == len(tape) + 2
    assert "steps" in repr(tape)
    assert len(tape.trace().reverse) == len(tape.trace(symbolic=True).reverse)
    assert tg.draw(tape).source.count("_op [") >= 1
    assert json.loads(tape.to_json())


def test_what_comes_out_belongs_to_the_library():
    tape = tg.record(lambda x: {"y": x / 3.0, "s": np.sum(x)}, np.ones(2))
    big = tape(np.ones(2), arithmetic="mpmath:40")
    assert mpmath.almosteq(big["y"][0] * 3, 1, 1e-38)
    assert float(big["s"]) == 2.0
    exact = tape(np.ones(2), arithmetic="sympy")
    assert exact["y"].tolist() == [sp.Rational(1, 3)] * 2
    assert tape(np.ones(2), arithmetic="float32")["y"].dtype == np.float32


def layers(x):
    z = np.tanh(x)
    z.label = "z"
    m = np.mean(z)
    m.label = "m"
    return np.sum(z * m)


def test_labelled_arrays_are_nudged():
    tape = tg.record(layers, np.ones(3))
    z = np.array([1.0, 2.0, 3.0])
    assert tape(np.ones(3), replace={"z": z}) == pytest.approx(12.0)
    assert tape(np.ones(3), replace={"z": z.tolist()}) == pytest.approx(12.0)
    both = tape(np.ones(3), replace={"z": z, "m": 0.5})
    assert both == pytest.approx(3.0)
    exact = tape(np.ones(3), replace={"z": z}, arithmetic="sympy")
    assert exact == 12
    np.testing.assert_array_equal(z, [1.0, 2.0, 3.0])


def test_bad_nudges_name_the_label_and_both_shapes():
    tape = tg.record(layers, np.ones(3))
    with pytest.raises(tg.ShapeError, match=r"z: got shape \(2,\).*\(3,\)"):
        tape(np.ones(3), replace={"z": np.ones(2)})
    with pytest.raises(tg.RecordError, match="no slot is labelled 'w'"):
        tape(np.ones(3), replace={"w": np.ones(3)})
    with pytest.raises(tg.RecordError, match="z"):
        tape(np.ones(3), replace={"z": np.array(["a", "b", "c"])})
