"""Edges, through NumPy's names: kinks, ties, poles, zeros, arms not selected."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value

NAN, INF = np.nan, np.inf
Z = np.zeros(3)

EDGES = [
    ("norm at zero", np.linalg.norm, Z, [0, 0, 0]),
    ("1-norm at zero", lambda x: np.linalg.norm(x, 1), Z, [0, 0, 0]),
    ("3-norm at zero", lambda x: np.linalg.norm(x, 3), Z, [0, 0, 0]),
    ("largest entry of zeros", lambda x: np.linalg.norm(x, INF), Z, [0, 0, 0]),
    ("matrix norm at zero", np.linalg.norm, np.zeros((1, 2)), [[0, 0]]),
    ("norm does not overflow", np.linalg.norm, np.full(4, 1e200), [0.5] * 4),
    ("std of equal numbers", np.std, Z + 2, [0, 0, 0]),
    ("var of equal numbers", np.var, Z + 2, [0, 0, 0]),
    ("nanstd of equal numbers", np.nanstd, np.array([1.0, NAN, 1.0]), [0, 0, 0]),
    ("a tie of three", np.max, Z, [1 / 3, 1 / 3, 1 / 3]),
    ("a tie of two", np.min, np.array([1.0, 0.0, 0.0]), [0, 0.5, 0.5]),
    ("max of NaN", np.max, np.array([NAN, 1.0]), [NAN, NAN]),
    ("no zero is divided by", np.prod, np.array([0.0, 2.0, 3.0]), [6, 0, 0]),
    ("two zeros", np.prod, np.array([0.0, 0.0, 3.0]), [0, 0, 0]),
    ("cumprod", lambda x: np.cumprod(x)[2], np.array([0.0, 2, 3]), [6, 0, 0]),
    (
        "clip at its bounds",
        lambda x: np.sum(np.clip(x, 0, 1)),
        np.array([0.0, 1.0, 0.5, 2.0]),
        [0.5, 0.5, 1, 0],
    ),
    (
        "log where it is not selected",
        lambda x: np.sum(np.where(x > 0, np.log(x), x)),
        np.array([0.0, -1.0, 4.0]),
        [1, 1, 0.25],
    ),
    (
        "division where it is not selected",
        lambda x: np.sum(np.where(x == 0, 1.0, np.sin(x) / x)),
        Z,
        [0, 0, 0],
    ),
    ("logsumexp of large numbers", tg.logsumexp, np.array([1e3, 1e3]), [0.5, 0.5]),
    ("abs", lambda x: np.sum(np.abs(x)), Z, [0, 0, 0]),
    ("sqrt", lambda x: np.sum(np.sqrt(x)), Z, [INF, INF, INF]),
    ("hypot", lambda x: np.sum(np.hypot(x, x)), Z, [0, 0, 0]),
    ("arctan2", lambda x: np.sum(np.arctan2(x, x)), Z, [NAN, NAN, NAN]),
    (
        "NaN replaced",
        lambda x: np.sum(np.nan_to_num(x)),
        np.array([NAN, 1.0, INF]),
        [0, 1, 0],
    ),
    ("NaN left out", lambda x: np.nansum(x * x), np.array([NAN, 1.0]), [0, 2]),
    ("mean with NaN", np.nanmean, np.array([NAN, 1.0, 3.0]), [0, 0.5, 0.5]),
    ("sort of ties", lambda x: np.sum(np.sort(x) * np.arange(3.0)), Z, [0, 1, 2]),
    ("maximum at a tie", lambda x: np.sum(np.maximum(x, 0)), Z, [0.5] * 3),
    ("relu at zero", lambda x: np.sum(tg.relu(x)), Z, [0, 0, 0]),
    (
        "eigenvalues that are equal",
        lambda x: np.sum(np.linalg.eigvalsh(x)),
        np.eye(2),
        [[1, 0], [0, 1]],
    ),
    ("powers", lambda x: np.sum(x**0.0), Z, [0, 0, 0]),
    ("squares of negatives", lambda x: np.sum(x**2), -np.ones(2), [-2, -2]),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("f", "x", "want"), [e[1:] for e in EDGES], ids=[e[0] for e in EDGES]
)
def test_an_edge(f, x, want):
    leaf = Value(x)
    root = f(leaf)
    with np.errstate(all="ignore"):
        if f(x) != INF:  # NumPy's own norm overflows
            np.testing.assert_allclose(root.data, f(x), 1e-14)
    root.backward()
    np.testing.assert_allclose(leaf.grad, want, 1e-14)
    np.testing.assert_allclose(tg.grad(f)(x), want, 1e-14)
    np.testing.assert_allclose(tg.record(f, x + 1.7).gradient(x), want, 1e-14)


def test_the_hessian_of_products_with_zeros():
    hessian = np.asarray(tg.hessian(np.prod)(np.array([0.0, 0.0, 3.0])))
    np.testing.assert_array_equal(hessian, [[0, 3, 0], [3, 0, 0], [0, 0, 0]])
    last = tg.hessian(lambda x: np.cumprod(x)[-1])(np.array([0.0, 0.0, 3.0]))
    np.testing.assert_array_equal(np.asarray(last), hessian)


def test_the_second_derivative_at_a_zero_value():
    f = lambda x: np.sum((np.exp(x) - 1) ** 2)  # noqa: E731
    np.testing.assert_array_equal(np.asarray(tg.hessian(f)(np.zeros(2))), 2 * np.eye(2))


def test_perturbations_of_arrays_are_not_confused():
    def f(x):
        return np.sum(x * tg.grad(lambda y: np.sum(x + y))(x))

    np.testing.assert_array_equal(tg.grad(f)(np.array([1.0, 2.0])), [1.0, 1.0])


def test_what_the_caller_changes_later_does_not_matter():
    fixed = np.array([1.0, 2.0])
    tape = tg.record(lambda x: np.sum(x * fixed + np.take(fixed, [1, 0])), fixed * 3)
    fixed[:] = 100.0
    assert tape(np.array([1.0, 1.0])) == 6.0


def test_arithmetic_of_truth_values_is_logic_as_in_numpy():
    x = np.array([1.0, -2.0, 3.0, 0.5])
    other = np.array([-1.0, 5.0, 2.0, 2.0])
    for f in (
        lambda v: (v > 0) + (v > 1) + 0.0,
        lambda v: ((v > 0) + (v > 1)).sum() * v,
        lambda v: ((v > 0) + True) * v,
        lambda v: (np.array([True, False, True, False]) + (v > 1)) * v,
        lambda v: np.add(v > 0, v > 1) * v,
        lambda v: (v > 0) * (v > 1),
        lambda v: ((v > 0) * (v > 1) + (v < 0)) * v,
        lambda v: (1 - (v > 0)) * v,
        lambda v: ((v > 0) + 1) * v,
        lambda v: ((v > 0) @ v) * v,
        lambda v: np.outer(v > 0, v),
        lambda v: np.outer(v > 0, v < 1),
        lambda v: np.kron(v > 0, v < 1),
    ):
        tape = tg.record(f, x)
        for point in (x, other):
            for got in (tape(point), tape.compile()(point)):
                np.testing.assert_array_equal(got, f(point))
                assert got.dtype == f(point).dtype


@pytest.mark.parametrize(
    "f",
    [
        lambda v: (v > 0) - (v > 1),
        lambda v: -(v > 0),
        lambda v: np.diff(v > 0),
        lambda v: (v > 0) @ (v > 1),
        lambda v: np.dot(v > 0, v > 1),
        lambda v: np.convolve(v > 0, v > 1),
        lambda v: np.einsum("i,i", v > 0, v > 1),
        lambda v: np.einsum("i->", v > 0),
    ],
)
def test_other_arithmetic_of_truth_values_is_refused(f):
    with pytest.raises(tg.RecordError, match=r"truth values.*test_edges.py.*astype"):
        tg.record(f, np.array([1.0, 2.0]))
