"""Edges of functions of whole arrays, in every way of getting a derivative.

A way takes ``(f, x)``, a function of one array with one number as its result, and
returns value and gradient.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value

INF, NAN = math.inf, math.nan


def elsewhere(x):
    """Where functions are recorded: not where they are asked."""
    return np.linspace(0.5, 1.5, x.size).reshape(x.shape) + 0.25


def taped(f, x):
    return tg.record(f, elsewhere(x))


def eager(f, x):
    leaf = Value(x)
    y = f(leaf)
    y.backward()
    return float(y), np.asarray(leaf.grad)


def reverse(f, x):
    return taped(f, x).value_and_gradient(x)


def recorded_here(f, x):
    return tg.record(f, x).value_and_gradient(x)


def forward(f, x):
    tape = taped(f, x)
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        unit = np.zeros(x.shape)
        unit[place] = 1.0
        value, found[place] = tape.jvp((x,), (unit,))
    return value, found


def adjoint_tape(f, x):
    tape = taped(f, x)
    return tape(x), tape.adjoint_tape()(x)


def transform(f, x):
    return tg.value_and_grad(f)(x)


def loaded(f, x):
    return tg.from_bytes(taped(f, x).to_bytes()).value_and_gradient(x)


def native(f, x):
    return taped(f, x).compile().value_and_gradient(x)


def native_adjoint_tape(f, x):
    tape = taped(f, x)
    return tape.compile()(x), tape.adjoint_tape().compile()(x)


def mpmath(f, x):
    value, gradient = taped(f, x).value_and_gradient(x, arithmetic="mpmath:50")
    return float(value), np.array(gradient, dtype=float)


WAYS = {
    "eager": eager,
    "reverse": reverse,
    "recorded here": recorded_here,
    "forward": forward,
    "adjoint tape": adjoint_tape,
    "transform": transform,
    "loaded": loaded,
    "native": native,
    "native adjoint tape": native_adjoint_tape,
    "mpmath": mpmath,
}

EDGES = {
    "norm at the zero vector": (np.linalg.norm, [0.0, 0.0], 0.0, [0.0, 0.0]),
    "norm of large numbers": (
        np.linalg.norm,
        [3e200, 4e200],
        5e200,
        [0.6, 0.8],
    ),
    "norm of small numbers": (np.linalg.norm, [3e-200, 4e-200], 5e-200, [0.6, 0.8]),
    "max at a tie of three": (
        np.max,
        [2.0, 2.0, 1.0, 2.0],
        2.0,
        [1 / 3, 1 / 3, 0.0, 1 / 3],
    ),
    "min at a tie": (np.min, [1.0, 2.0, 1.0], 1.0, [0.5, 0.0, 0.5]),
    "max with NaN": (np.max, [NAN, 1.0], NAN, [NAN, NAN]),
    "logsumexp of large numbers": (
        lambda x: tg.logsumexp(x) * 1.0,
        [1000.0, 1000.0],
        1000.0 + math.log(2.0),
        [0.5, 0.5],
    ),
    "prod with one zero": (np.prod, [0.0, 2.0, 3.0], 0.0, [6.0, 0.0, 0.0]),
    "prod with two zeros": (np.prod, [0.0, 0.0, 3.0], 0.0, [0.0, 0.0, 0.0]),
    "std of equal numbers": (np.std, [2.0, 2.0, 2.0], 0.0, [0.0, 0.0, 0.0]),
    "an unused entry": (lambda x: x[0] * 2.0, [1.0, 5.0], 2.0, [2.0, 0.0]),
    "an entry read twice": (lambda x: x[0] * x[0], [3.0, 1.0], 9.0, [6.0, 0.0]),
    "gather with a place twice": (
        lambda x: np.sum(x[np.array([1, 1, 0])] * np.array([1.0, 2.0, 4.0])),
        [5.0, 7.0],
        41.0,
        [4.0, 3.0],
    ),
    "where, a bad arm entry by entry": (
        lambda x: np.sum(np.where(x > 0, np.log(x), x * x)),
        [0.0, 1.0, -1.0],
        1.0,
        [0.0, 1.0, -2.0],
    ),
    "where under a sum": (
        lambda x: np.where(x[0] > 0, np.sum(np.log(x)), np.sum(x)),
        [-1.0, 0.0],
        -1.0,
        [1.0, 1.0],
    ),
    "clip at its bounds": (
        lambda x: np.sum(np.clip(x, 0.0, 1.0)),
        [0.0, 0.5, 1.0, 2.0],
        2.5,
        [0.5, 1.0, 0.5, 0.0],
    ),
    "broadcast against a column": (
        lambda x: np.sum(x * x[:, None]),
        [1.0, 2.0],
        9.0,
        [6.0, 6.0],
    ),
    "sorted": (
        lambda x: np.sum(np.sort(x) * np.array([1.0, 2.0, 4.0])),
        [3.0, 1.0, 2.0],
        17.0,
        [4.0, 1.0, 2.0],
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EDGES)
def test_an_edge_in_every_way(name, way):
    f, at, value, gradient = EDGES[name]
    found, slopes = WAYS[way](f, np.array(at))
    np.testing.assert_allclose(float(found), value, rtol=4e-16)
    np.testing.assert_allclose(np.asarray(slopes, float), gradient, rtol=4e-16)


@pytest.mark.parametrize("nested", [False, True], ids=["tape", "transform"])
def test_the_hessian_of_prod_with_two_zeros(nested):
    x = np.array([0.0, 0.0, 3.0])
    hessian = tg.hessian(np.prod)(x) if nested else taped(np.prod, x).hessian(x)
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = 3.0
    np.testing.assert_array_equal(hessian, expected)


def test_second_derivatives_keep_what_vanishes():
    f = lambda x: np.sum((np.exp(x) - 1.0) ** 2)  # noqa: E731
    np.testing.assert_array_equal(np.diag(tg.hessian(f)(np.zeros(3))), [2.0, 2.0, 2.0])


def test_empty_arrays():
    x = np.zeros((0, 3))
    for f in (np.sum, np.prod, lambda x: np.sum(np.exp(x) @ np.ones((3, 2)))):
        for way in ("eager", "reverse", "adjoint tape", "loaded", "native"):
            value, gradient = WAYS[way](f, x)
            assert float(value) == float(f(x))
            assert np.shape(gradient) == (0, 3)
