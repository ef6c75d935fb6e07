"""Every row of whole arrays at its samples: a new row is tested unasked.

Pull against push by the dot product, both against differences at 50 digits, the pull as
a tape, second order, float32. Then what samples drawn at random never meet: ties,
zeros, equal eigenvalues, singular matrices, places written twice.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.errors import DomainError, ShapeError
from tapegrad.passing import SMOOTH
from tapegrad.proof.wholes import avals, cases, pulled, pushed, values
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE

ROWS = [row for row in TABLE if row.whole]
DIFFERENTIABLE = [row for row in ROWS if row.kind in SMOOTH]
KINDS = {"linear", "multilinear", "reduction", "matrix", "discrete"}


def names(rows):
    return [row.name for row in rows]


def call(name, *operands, **params):
    """A row applied to Values and numbers."""
    return apply(TABLE[name], *operands, **params)


def gradient(name, *xs, weights=None, **params):
    """Value of a row, and the gradient of its weighted sum by each operand."""
    operands = [tg.Value(np.array(x, float)) for x in xs]
    y = call(name, *operands, **params)
    total = y if weights is None else y * np.asarray(weights)
    call("sum", total, axes=tuple(range(np.ndim(y.data)))).backward()
    return y.data, *(x.grad for x in operands)


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_a_row_is_well_formed(row):
    assert row.kind in KINDS
    assert row.source
    assert row.samples, "a row of whole arrays names samples"
    assert row.shape is not None
    if row.kind == "reduction":
        assert row.partials is not None
        assert row.pull is None
    elif row.kind == "discrete":
        assert row.pull is row.push is row.partials is None
    else:
        assert row.pull is not None
        assert (row.push is not None) == (row.kind == "matrix")
    for sample in row.samples:
        assert len(sample.shapes) == row.arity or row.arity == -1
        assert not sample.make or len(sample.make) == len(sample.shapes)


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_values_have_the_shape_that_the_row_says(row):
    for case in cases(row):
        found = values(MIXED, case, case.xs)
        assert [(np.shape(y), MIXED.dtype(y)) for y in found] == avals(case)


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_pull_and_push_are_transposes(row):
    for case in cases(row):
        back = pulled(MIXED, case, case.xs, case.bars)
        dots = pushed(MIXED, case, case.xs, case.dots)
        left = sum(
            np.sum(part * case.dots[i]) for part, i in zip(back, case.free, strict=True)
        )
        right = sum(np.sum(b * d) for b, d in zip(case.bars, dots, strict=True))
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_a_push_takes_operands_one_at_a_time(row):
    for case in cases(row):
        if case.row.kind == "linear" or len(case.free) < 2:
            continue
        whole = pushed(MIXED, case, case.xs, case.dots)
        parts = []
        for chosen in case.free:
            only = [dot if i == chosen else None for i, dot in enumerate(case.dots)]
            parts.append(pushed(MIXED, case, case.xs, only))
        for y, *shares in zip(whole, *parts, strict=True):
            np.testing.assert_allclose(sum(shares), y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_the_verifier_holds(row):
    report = tg.verify([row.name])
    assert report.ok, "\n".join(map(str, report.failures))
    checks = {r.check for r in report.rows}
    if row.kind in SMOOTH:
        assert {"value", "push", "pull", "recorded", "order 2", "float32"} <= checks
    else:
        assert checks == {"value"}


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_eager_recorded_and_adjoint_tape_agree(row):
    for case in cases(row)[:: max(1, len(cases(row)) // 2)]:

        def weighted(*free, case=case):
            operands = list(case.xs)
            for i, x in zip(case.free, free, strict=True):
                operands[i] = x
            ys = apply(case.row, *operands, **case.params)
            ys = ys if case.row.slots > 1 else (ys,)
            total = 0.0
            for y, bar in zip(ys, case.bars, strict=True):
                axes = tuple(range(np.ndim(bar)))
                total = total + call("sum", y * bar, axes=axes)
            return total

        free = [case.xs[i] for i in case.free]
        if not sum(np.size(x) for x in free):
            continue
        expected = pulled(MIXED, case, case.xs, case.bars)
        leaves = [tg.Value(x) for x in free]
        weighted(*leaves).backward()
        tape = tg.record(weighted, *free)
        swept = tape.gradient(*free)
        swept = swept if len(free) > 1 else (swept,)
        for leaf, other, exact in zip(leaves, swept, expected, strict=True):
            np.testing.assert_allclose(leaf.grad, exact, rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(other, exact, rtol=1e-12, atol=1e-13)


# -- ties, zeros, NaN ------------------------------------------------------------------


def test_the_largest_entry_shares_at_ties():
    y, bar = gradient("amax", [3.0, 1.0, 3.0, 3.0], axes=(0,))
    assert y == 3.0
    assert bar.tolist() == [1 / 3, 0, 1 / 3, 1 / 3]
    _, bar = gradient("amin", [[0.0, -0.0], [2.0, 1.0]], axes=(1,))
    assert bar.tolist() == [[0.5, 0.5], [0, 1]]
    y, bar = gradient("amax", [1.0, math.nan], axes=(0,))
    assert math.isnan(y)
    assert np.isnan(bar).all()


def test_products_with_zeros():
    assert gradient("prod", [2.0, 3.0, 0.0], axes=(0,))[1].tolist() == [0, 0, 6]
    assert gradient("prod", [0.0, 3.0, 0.0], axes=(0,))[1].tolist() == [0, 0, 0]
    x = np.array([0.0, 3.0, 0.0])
    tape = tg.record(lambda x: call("prod", x, axes=(0,)), x)
    hessian = np.array(tape.hessian(x))
    assert hessian.tolist() == [[0, 0, 3], [0, 0, 0], [3, 0, 0]]


def test_kinks_of_length_and_spread():
    assert gradient("norm", [0.0, 0.0], axes=(0,))[1].tolist() == [0, 0]
    assert gradient("std", [2.0, 2.0], axes=(0,), ddof=0)[1].tolist() == [0, 0]
    y, bar = gradient("norm", [3e200, 4e200], axes=(0,))
    assert y == pytest.approx(5e200, rel=1e-15)
    np.testing.assert_allclose(bar, [0.6, 0.8])


def test_logsumexp_far_out():
    y, bar = gradient("logsumexp", [1000.0, 1000.0], axes=(0,))
    assert y == 1000.0 + math.log(2)
    np.testing.assert_allclose(bar, 0.5, rtol=1e-12)
    y, bar = gradient("logsumexp", [-math.inf, 0.0], axes=(0,))
    assert (y, bar.tolist()) == (0.0, [0, 1])


def test_the_last_write_wins():
    x, v = tg.Value(np.array([1.0, 2.0, 3.0])), tg.Value(np.array([4.0, 5.0, 6.0]))
    y = call("gather_set", x, v, np.array([1, 1, 0]), key=("a",))
    call("sum", y, axes=(0,)).backward()
    assert y.data.tolist() == [6, 5, 3]
    assert x.grad.tolist() == [0, 0, 1]
    assert v.grad.tolist() == [0, 1, 1]


# -- linear algebra --------------------------------------------------------------------


def test_determinants_of_singular_matrices():
    y, bar = gradient("det", [[1.0, 2.0], [2.0, 4.0]])
    assert y == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(bar, [[4, -2], [-2, 1]], atol=1e-14)
    rank_one = np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 2.0])
    assert np.abs(gradient("det", rank_one)[1]).max() < 1e-13
    y, bar = gradient("det", np.diag([2.0, 3.0, 0.0]))
    np.testing.assert_allclose(bar, np.diag([0.0, 0.0, 6.0]), atol=1e-14)
    stack = np.array([np.eye(2), np.zeros((2, 2)), [[1.0, 2.0], [2.0, 4.0]]])
    _, bar = gradient("det", stack)
    np.testing.assert_allclose(bar[0], np.eye(2), atol=1e-15)
    np.testing.assert_allclose(bar[1], 0, atol=1e-15)
    np.testing.assert_allclose(bar[2], [[4, -2], [-2, 1]], atol=1e-14)


def test_equal_eigenvalues_keep_the_derivative_of_eigenvalues():
    a = tg.Value(np.eye(3))
    w, v = call("eigh", a)
    call("sum", w * np.array([1.0, 2.0, 3.0]), axes=(0,)).backward()
    np.testing.assert_allclose(np.trace(a.grad), 6)
    assert np.isfinite(a.grad).all()
    a = tg.Value(np.eye(3))
    w, v = call("eigh", a)
    call("sum", v * np.arange(9.0).reshape(3, 3), axes=(0, 1)).backward()
    assert not np.isfinite(a.grad).all(), "eigenvectors have no derivative here"


def test_one_eigenvector_beside_equal_ones_keeps_its_derivative():
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = np.diag([1.0, 1.0, 5.0])
    a = tg.Value(matrix)
    _, v = call("eigh", a)
    top = call("index", v, key=((0, 3, 1), 2))
    call("sum", top * top * q[0], axes=(0,)).backward()
    assert np.isfinite(a.grad).all()


def test_gradients_of_symmetric_factors_are_symmetric():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 4))
    weights = rng.normal(size=(4, 4))
    spd = x @ x.T + np.eye(4)
    bar = gradient("cholesky", spd, weights=weights)[1]
    np.testing.assert_allclose(bar, bar.T, atol=1e-15)
    upper = spd + np.triu(np.ones((4, 4)), 1)
    np.testing.assert_array_equal(
        gradient("cholesky", upper)[0], gradient("cholesky", spd)[0]
    )


def test_the_logarithm_of_a_determinant_through_cholesky():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5, 5))
    spd = x @ x.T + np.eye(5)
    bar = gradient("logabsdet", spd)[1]
    a = tg.Value(spd)
    lower = call("cholesky", a)
    at = np.arange(5)
    diagonal = call("gather", lower, at, at, key=("a", "a"))
    (2.0 * call("sum", diagonal.log(), axes=(0,))).backward()
    np.testing.assert_allclose(a.grad, bar, rtol=1e-11)
    np.testing.assert_allclose(bar, np.linalg.inv(spd), rtol=1e-11)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("unit_diagonal", [True, False])
def test_large_triangular_systems(lower, transposed, unit_diagonal):
    scipy_linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(97, 97)) / 97 + np.eye(97), rng.normal(size=(97, 3))
    found = TABLE["solve_triangular"].numpy(
        np, a, b, lower=lower, transposed=transposed, unit_diagonal=unit_diagonal
    )
    expected = scipy_linalg.solve_triangular(
        a, b, lower=lower, trans=int(transposed), unit_diagonal=unit_diagonal
    )
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    stacked = TABLE["solve_triangular"].numpy(
        np,
        np.stack([a, a]),
        b,
        lower=lower,
        transposed=transposed,
        unit_diagonal=unit_diagonal,
    )
    np.testing.assert_array_equal(stacked[1], found)


def test_singular_values():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(4, 3))
    s, bar = gradient("svdvals", x)
    np.testing.assert_allclose(s, np.linalg.svd(x)[1], rtol=1e-14)
    u, _, v = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(bar, u @ v, rtol=1e-12, atol=1e-13)
    assert gradient("svdvals", np.zeros((2, 3)))[1].tolist() == [[0] * 3] * 2
    s, bar = gradient("svdvals", np.eye(3))
    np.testing.assert_allclose(bar, np.eye(3), atol=1e-14)


def test_least_squares_is_as_accurate_as_qr():
    """Normal equations would lose all digits here."""
    t = np.linspace(0, 1, 20)
    a = np.vander(t, 9)
    exact = np.arange(1.0, 10.0)[:, None]
    x = TABLE["lstsq"].numpy(np, a, a @ exact)
    np.testing.assert_allclose(x, exact, rtol=1e-8)


TRIANGLE = {"lower": True, "unit_diagonal": False, "transposed": False}
EMPTY = [
    ("eigh", [(0, 0)]),
    ("eigh", [(0, 2, 2)]),
    ("svdvals", [(0, 3)]),
    ("svdvals", [(0, 2, 3)]),
    ("solve", [(0, 0), (0, 2)]),
    ("solve", [(2, 2), (2, 0)]),
    ("inv", [(0, 0)]),
    ("det", [(0, 0)]),
    ("det", [(0, 2, 2)]),
    ("logabsdet", [(0, 0)]),
    ("cholesky", [(0, 0)]),
    ("lstsq", [(3, 0), (3, 1)]),
    ("lstsq", [(3, 2), (3, 0)]),
    ("solve_triangular", [(0, 0), (0, 1)]),
    ("solve_triangular", [(2, 2), (2, 0)]),
]


@pytest.mark.parametrize(("name", "shapes"), EMPTY, ids=str)
def test_empty_matrices_have_derivatives_of_their_shape(name, shapes):
    rng = np.random.default_rng(8)
    xs = [tg.Value(rng.normal(size=shape)) for shape in shapes]
    params = TRIANGLE if name == "solve_triangular" else {}
    found = call(name, *xs, **params)
    said = TABLE[name].shape(*((shape, "float64") for shape in shapes), **params)
    total = tg.Value(0.0)
    pairs = zip(found, said, strict=True) if TABLE[name].slots > 1 else [(found, said)]
    for y, (shape, _) in pairs:
        assert y.shape == shape
        total = total + call("sum", y, axes=tuple(range(len(shape))))
    total.backward()
    assert [x.grad.shape for x in xs] == shapes


WRONG = {
    "solve of a singular matrix": ("solve", DomainError, "solve", [(2, 2), (2, 1)]),
    "inverse of a singular matrix": ("inv", DomainError, "inv", [(2, 2)]),
    "not positive definite": ("cholesky", DomainError, "cholesky", [(2, 2)]),
    "rank": ("lstsq", DomainError, "full column rank", [(3, 2), (3, 1)]),
    "not square": ("solve", ShapeError, r"\(2, 3\)", [(2, 3), (2, 1)]),
    "det not square": ("det", ShapeError, r"\(2, 3\)", [(2, 3)]),
    "a vector": ("inv", ShapeError, r"\(3,\)", [(3,)]),
    "rows": ("solve", ShapeError, r"\(2, 2\) and \(3, 1\)", [(2, 2), (3, 1)]),
    "too wide": ("lstsq", ShapeError, "as many rows", [(2, 3), (2, 1)]),
    "svdvals of a vector": ("svdvals", ShapeError, "matrix", [(3,)]),
}


@pytest.mark.parametrize("what", WRONG)
def test_refusals_name_operation_and_shapes(what):
    name, kind, text, shapes = WRONG[what]
    operands = [np.zeros(shape) for shape in shapes]
    with pytest.raises(kind, match=text) as caught:
        call(name, *map(tg.Value, operands))
    assert isinstance(caught.value, ValueError)
    assert name in str(caught.value)
    assert "(" in str(caught.value)


@pytest.mark.parametrize("arithmetic", ["float64", "mpmath:30"])
def test_a_replay_that_meets_a_singular_matrix_says_so(arithmetic):
    rng = np.random.default_rng(6)
    a = rng.normal(size=(2, 2)) + 3 * np.eye(2)
    tape = tg.record(lambda a: call("inv", a), a)
    with pytest.raises(DomainError, match=r"inv of shape \(2, 2\)"):
        tape(np.ones((2, 2)), arithmetic=arithmetic)
    assert np.shape(tape(a, arithmetic=arithmetic)) == (2, 2)


# -- planted bugs ----------------------------------------------------------------------


def with_pull(name, change):
    """A row whose adjoints are changed."""
    row = TABLE[name]

    def wrong(m, bar, y, *xs, **params):
        return change(m, row.pull(m, bar, y, *xs, **params), y, *xs)

    return dataclasses.replace(row, pull=wrong)


PLANTED = {
    "wrong sign": with_pull("solve", lambda m, p, y, a, b: (-p[0], p[1])),
    "not transposed": with_pull(
        "transpose", lambda m, p, y, x: (m.reshape(p[0], shape=m.shape(x)[::-1]),)
    ),
    "operand left out": with_pull(
        "matmul", lambda m, p, y, a, b: (p[0], m.like(0, p[1]))
    ),
    "twice": with_pull("logabsdet", lambda m, p, y, a: (p[0] + p[0],)),
    "right at first order only": with_pull(
        "inv", lambda m, p, y, a: (m.stop_gradient(p[0]),)
    ),
    "not symmetric": dataclasses.replace(
        TABLE["softmax"], push=lambda m, dots, y, x, axes: y * dots[0]
    ),
    "a partial": dataclasses.replace(
        TABLE["logsumexp"], partials=lambda m, y, x, axes: (m.exp(x),)
    ),
    "a value": dataclasses.replace(
        TABLE["norm"], numpy=lambda np, x, axes: np.sum(np.abs(x), axes)
    ),
    "a shape": dataclasses.replace(TABLE["sum"], shape=lambda x, axes: (x[0], x[1])),
    "raises": with_pull("det", lambda m, p, y, a: m.no_such_word(a)),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_bug_is_found(what):
    report = tg.verify([PLANTED[what]])
    assert not report.ok
    assert {bad.status for bad in report.failures} == {"refuted"}
    found = {bad.check for bad in report.failures}
    if what == "right at first order only":
        assert found == {"order 2"}
    if what in {"wrong sign", "operand left out", "twice"}:
        assert "pull" in found
        assert "value" not in found
    assert tg.verify([PLANTED[what].name]).ok, "the table is left alone"


def test_a_row_without_samples_is_unproved():
    bare = dataclasses.replace(TABLE["sum"], samples=())
    report = tg.verify([bare])
    assert not report.ok
    assert {r.status for r in report.rows} == {"unproved"}


# -- shapes at their ends --------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "slope"),
    [(np.prod, 1), (np.max, 1), (np.std, 0), (np.linalg.norm, 1), (tg.logsumexp, 1)],
    ids=["prod", "max", "std", "norm", "logsumexp"],
)
def test_a_reduction_of_one_number(f, slope):
    value = f(np.array(2.0))
    assert tg.grad(lambda x: f(x) * x)(2.0) == 2.0 * slope + value
    assert tg.grad(tg.grad(lambda x: f(x) * x))(2.0) == 2.0 * slope


def test_an_axis_of_one_entry_that_is_stretched_to_none():
    x, y = np.ones((3, 1)), np.ones((3, 0))
    both = tg.grad(lambda x, y: np.sum(x * y), (0, 1))(x, y)
    np.testing.assert_array_equal(both[0], np.zeros((3, 1)))
    assert both[1].shape == (3, 0)


# -- selections ------------------------------------------------------------------------


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_a_selection_of_results_reaches_what_they_read(row):
    """What is absent through a row is what has the adjoint 0, and no more."""
    rng = np.random.default_rng(3)
    for case in cases(row)[::2]:
        free = [case.xs[i] for i in case.free]
        sizes = [np.size(bar) for bar in case.bars]
        if not all(sizes):
            continue
        for share in (0.0, 0.3, 0.8):
            marks = [np.asarray(rng.random(np.shape(b)) < share) for b in case.bars]

            def total(*xs, case=case, marks=marks, select=True):
                operands = list(case.xs)
                for i, x in zip(case.free, xs, strict=True):
                    operands[i] = x
                ys = apply(case.row, *operands, **case.params)
                weighted = 0.0
                for y, bar, mark in zip(
                    ys if case.row.slots > 1 else (ys,), case.bars, marks, strict=True
                ):
                    kept = tg.where(mark, y, 0.0) if select else y * mark.astype(float)
                    weighted = weighted + np.sum(kept * bar)
                return weighted

            places = tuple(range(len(free)))
            found = tg.grad(total, places)(*free)
            plain = tg.grad(functools.partial(total, select=False), places)(*free)
            for one, other in zip(found, plain, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)
