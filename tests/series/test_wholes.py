"""Series of every row of whole arrays at its samples, against mpmath.

A weighted sum of the row's entries along a curve is differentiated by mpmath, from
values at 60 digits alone. Eigenvectors have no sign of their own, so their squares are
weighed.
"""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.errors import DomainError
from tapegrad.passing import SMOOTH
from tapegrad.proof.wholes import cases
from tapegrad.readings.mpmath import Big, MpmathReading
from tapegrad.rules import TABLE

ORDER = 6
DIGITS = MpmathReading(60)
CTX = DIGITS.ctx
ROWS = [row for row in TABLE if row.whole and row.kind in SMOOTH]


def settled(row, ys):
    """All slots, without the signs that are nobody's."""
    if row.slots == 1:
        return [ys]
    return [ys[0], *(y * y for y in ys[1:])]


def weighed(case, ys):
    return sum(
        (
            CTX.mpf(float(weight)) * getattr(entry, "value", entry)
            for bar, y in zip(case.bars, ys, strict=True)
            for weight, entry in zip(np.ravel(bar), np.ravel(y), strict=True)
        ),
        CTX.mpf(0),
    )


def bends(case):
    """Terms of t^2 and t^3 of a curved path: symmetric like the direction."""
    return [
        None if dot is None else tuple(f(np.asarray(dot)) for f in (np.sin, np.cos))
        for dot in case.dots
    ]


def reference(case):
    def along(t):
        xs, step = [], Big(CTX, t)
        for x, dot, bend in zip(case.xs, case.dots, bends(case), strict=True):
            mine = DIGITS.number(x)
            if dot is not None:
                two, three = (DIGITS.number(part[()]) for part in bend)
                mine = mine + DIGITS.number(dot) * step
                mine = mine + two * (step * step) + three * (step * step * step)
            xs.append(mine)
        found = getattr(DIGITS, case.row.name)(*xs, **case.params)
        return weighed(case, settled(case.row, found))

    return CTX.taylor(along, CTX.mpf(0), ORDER, singular=False)


def weighed_series(case, arithmetic):
    def f(*moved):
        full = list(case.xs)
        for place, x in zip(case.free, moved, strict=True):
            full[place] = x
        return settled(case.row, apply(case.row, *full, **case.params))

    x0 = tuple(case.xs[i] for i in case.free)
    direction = tuple(case.dots[i] for i in case.free)
    higher = [tuple(bends(case)[i][k] for i in case.free) for k in (0, 1)]
    found = tg.taylor(f, x0, direction, ORDER, higher=higher, arithmetic=arithmetic)
    return [weighed(case, [y[k] for y in found]) for k in range(ORDER + 1)]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_row_has_the_series_of_its_values(row):
    for case in cases(row)[::3]:
        wanted = reference(case)
        size = max([abs(c) for c in wanted] + [CTX.mpf(1)])
        many, floats = (weighed_series(case, a) for a in ("mpmath:50", "float64"))
        for k, c in enumerate(wanted):
            at = f"{row.name} {case.params}, order {k}"
            assert abs(many[k] - c) <= CTX.mpf(10) ** -44 * size, at
            assert abs(floats[k] - c) <= 1e-12 * size, at


def test_the_inverse_along_a_line_is_a_geometric_series():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 3)) + 4 * np.eye(3), rng.normal(size=(3, 3))
    found = tg.taylor(np.linalg.inv, a, b, 8)
    step = -np.linalg.inv(a) @ b
    wanted = np.linalg.inv(a)
    for k in range(9):
        np.testing.assert_allclose(found[k], wanted, rtol=1e-11, atol=1e-13)
        wanted = step @ wanted


def test_a_determinant_is_a_polynomial():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
    found = tg.taylor(np.linalg.det, a, b, 7)
    at = np.linspace(-1, 1, 5)
    values = [np.linalg.det(a + t * b) for t in at]
    wanted = np.polynomial.Polynomial.fit(at, values, 4).convert().coef
    np.testing.assert_allclose(found[:5], wanted, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found[5:], 0, atol=1e-12)


def test_many_operands_of_einsum_are_multiplied_in_turn():
    rng = np.random.default_rng(2)
    xs = tuple(rng.normal(size=shape) for shape in [(2, 3), (3, 4), (4, 2), (2,)])
    ds = tuple(rng.normal(size=x.shape) for x in xs)

    def f(*ys):
        return np.einsum("ij,jk,kl,l->il", *ys)

    found = tg.taylor(f, xs, ds, 6)
    for t in (0.3, -0.2):
        direct = f(*(x + t * d for x, d in zip(xs, ds, strict=True)))
        np.testing.assert_allclose(
            sum(c * t**k for k, c in enumerate(found)), direct, rtol=1e-12, atol=1e-12
        )
    assert np.abs(found[4]).max() > 1e-3
    assert np.all(found[5:] == 0)  # structurally: the product of four lines


def test_a_singular_matrix_is_named():
    with pytest.raises(DomainError, match=r"inv of shape \(2, 2\)"):
        tg.taylor(np.linalg.inv, np.ones((2, 2)), np.eye(2), 3)
    with pytest.raises(DomainError, match="the derivative of cofactor"):
        tg.taylor(np.linalg.det, np.zeros((2, 2)), np.eye(2), 3)


def test_a_larger_system_than_a_block_of_substitution():
    rng = np.random.default_rng(3)
    a = np.tril(rng.normal(size=(40, 40))) / 8 + 2 * np.eye(40)
    b, da, db = (rng.normal(size=s) / 8 for s in [(40, 2), (40, 40), (40, 2)])
    found = tg.taylor(
        lambda a, b: tg.linalg.solve_triangular(a, b, lower=True), (a, b), (da, db), 12
    )
    t = 0.05
    moved = tg.linalg.solve_triangular(a + t * da, b + t * db, lower=True)
    series = sum(c * t**k for k, c in enumerate(found))
    np.testing.assert_allclose(series, moved, rtol=1e-11, atol=1e-12)
