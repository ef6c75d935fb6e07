"""Rows of factorisations: cholesky, eigh, singular values, least squares. Floor 1.

`cholesky` and `eigh` read the lower triangle, as NumPy's do, and stand for functions of
symmetric matrices: their adjoints are symmetric, the derivative of ``f((a + a^T) / 2)``
at a symmetric a. (Giles 2008, see ``linalg``.)

Eigenvectors of an eigenvalue that stands several times are any basis of their space,
and have no derivative: where it is asked for it is infinite or NaN. The eigenvalues
alone keep a finite one.
"""

from __future__ import annotations

from typing import Any

from tapegrad.errors import ShapeError
from tapegrad.rules import shapes
from tapegrad.rules.linalg import finite, fitting, right_side
from tapegrad.rules.movement import unbroadcast
from tapegrad.rules.primitive import Primitive, Sample, row
from tapegrad.rules.products import swapped


def _columns(m: Any, x: Any) -> Any:
    """A number for each column, shaped so that it multiplies the column."""
    shape = m.shape(x)
    return m.reshape(x, shape=(*shape[:-1], 1, shape[-1]))


def _rows(m: Any, x: Any) -> Any:
    return m.reshape(x, shape=(*m.shape(x), 1))


def _symmetric(m: Any, x: Any) -> Any:
    return (x + swapped(m, x)) / 2


# -- factorisations of symmetric matrices ----------------------------------------------


def _half(m: Any, x: Any) -> Any:
    """The lower triangle with half the diagonal."""
    return (m.tril(x, k=0) + m.tril(x, k=-1)) / 2


def _lower(m: Any, a: Any, b: Any, *, transposed: bool) -> Any:
    return m.solve_triangular(
        a, b, lower=True, unit_diagonal=False, transposed=transposed
    )


def _cholesky_pull(m: Any, bar: Any, y: Any) -> Any:
    middle = _half(m, m.matmul(swapped(m, y), bar))
    # y^-T middle y^-1, the second factor from the right
    left = _lower(m, y, middle, transposed=True)
    both = _lower(m, y, swapped(m, left), transposed=True)
    return (_symmetric(m, both),)


def _cholesky_push(m: Any, dots: Any, y: Any) -> Any:
    left = _lower(m, y, _symmetric(m, dots[0]), transposed=False)
    both = _lower(m, y, swapped(m, left), transposed=False)
    return m.matmul(y, _half(m, both))


CHOLESKY = row(
    Primitive(
        "cholesky",
        1,
        kind="matrix",
        lanes="stack",
        source="lower factor; I. Murray, arXiv:1602.07527, equations 8 and 10",
        numpy=fitting(shapes.square, lambda np, a: np.linalg.cholesky(a)),
        shape=shapes.square,
        pull=lambda m, bar, y, a: _cholesky_pull(m, bar, y),
        push=lambda m, dots, y, a: _cholesky_push(m, dots, y),
        samples=(
            Sample(((3, 3),), make=("spd",)),
            Sample(((2, 2, 2),), make=("spd",)),
        ),
    )
)


def _over_gaps(m: Any, x: Any, w: Any) -> Any:
    """x_ij / (w_j - w_i) off the diagonal, 0 on it.

    Where two eigenvalues are equal, an entry that is 0 stays 0, so that a function of
    the eigenvalues alone keeps its derivative; any other is infinite.
    """
    off = m.tril(x, k=-1) + m.triu(x, k=1)
    gaps = _columns(m, w) - _rows(m, w)
    absent = m.logical_and(m.equal(gaps, 0), m.equal(off, 0))
    return m.where(absent, 0, off / m.where(absent, 1, gaps))


def _eigh_pull(m: Any, bars: Any, ys: Any) -> Any:
    (w_bar, v_bar), (w, v) = bars, ys
    turned = swapped(m, v)
    mixed = _over_gaps(m, m.matmul(turned, v_bar), w)
    inside = v * _columns(m, w_bar) + m.matmul(v, mixed)
    return (_symmetric(m, m.matmul(inside, turned)),)


def _eigh_push(m: Any, dots: Any, ys: Any) -> Any:
    w, v = ys
    moved = m.matmul(_symmetric(m, dots[0]), v)
    w_dot = m.sum(v * moved, axes=(len(m.shape(v)) - 2,))
    mixed = _over_gaps(m, m.matmul(swapped(m, v), moved), w)
    return w_dot, m.matmul(v, mixed)


EIGH = row(
    Primitive(
        "eigh",
        1,
        kind="matrix",
        lanes="stack",
        slots=2,
        source="eigenvalues rising, eigenvectors as columns; Giles 2008, section 3.1",
        numpy=fitting(shapes.square, lambda np, a: tuple(np.linalg.eigh(a))),
        shape=lambda a: ((shapes.square(a)[0][:-1], a[1]), a),
        pull=lambda m, bars, ys, a: _eigh_pull(m, bars, ys),
        push=lambda m, dots, ys, a: _eigh_push(m, dots, ys),
        samples=(
            Sample(((3, 3),), make=("symmetric",)),
            Sample(((2, 2, 2),), make=("symmetric",)),
        ),
    )
)


# -- rectangular matrices --------------------------------------------------------------


def _singular_vectors(m: Any, a: Any) -> tuple[Any, Any]:
    """Left and right singular vectors as columns, largest singular value first.

    From the symmetric matrix [[0, a], [a^T, 0]], whose eigenvalues are the singular
    values and their negatives: nothing is squared, and `eigh` has every derivative.
    """
    *lead, tall, wide = m.shape(a)
    size = min(tall, wide)
    turned = swapped(m, a)
    top = m.concatenate(m.like(0, m.matmul(a, turned)), a, axis=len(lead) + 1)
    low = m.concatenate(turned, m.like(0, m.matmul(turned, a)), axis=len(lead) + 1)
    _, v = m.eigh(m.concatenate(top, low, axis=len(lead)))
    keep = tuple((0, n, 1) for n in lead)

    def cut(start: int, count: int) -> Any:
        key = (*keep, (start, count, 1), (tall + wide - 1, size, -1))
        return m.index(v, key=key)

    return cut(0, tall), cut(tall, wide)


def _values_pull(m: Any, bar: Any, y: Any, a: Any) -> Any:
    u, v = _singular_vectors(m, a)
    # each half of an eigenvector has the length 1 / sqrt(2)
    share = m.where(m.equal(y, 0), 0, bar + bar)
    return (m.matmul(u * _columns(m, share), swapped(m, v)),)


def _values_push(m: Any, dots: Any, y: Any, a: Any) -> Any:
    u, v = _singular_vectors(m, a)
    moved = m.sum(u * m.matmul(dots[0], v), axes=(len(m.shape(a)) - 2,))
    return m.where(m.equal(y, 0), 0, moved + moved)


def _values_shape(a: shapes.Aval) -> shapes.Aval:
    if len(a[0]) < 2:
        msg = f"singular values are of a matrix, got shape {a[0]}"
        raise ShapeError(msg)
    return (*a[0][:-2], min(a[0][-2:])), a[1]


def _values(np: Any, a: Any) -> Any:
    held = finite(np, a)
    found = np.linalg.svd(np.where(held, a, np.ones((), a.dtype)), compute_uv=False)
    return np.where(held[..., 0], found, np.asarray(np.nan, a.dtype))


SVDVALS = row(
    Primitive(
        "svdvals",
        1,
        kind="matrix",
        lanes="stack",
        source="singular values, falling; kink at 0, minimum-norm subgradient 0",
        numpy=fitting(_values_shape, _values),
        shape=_values_shape,
        pull=_values_pull,
        push=_values_push,
        samples=(
            Sample(((3, 2),)),
            Sample(((2, 2, 3),)),
            Sample(((2, 2),)),
        ),
    )
)


def _least_squares(np: Any, a: Any, b: Any) -> Any:
    q, r = np.linalg.qr(a)
    size = np.abs(np.diagonal(r, 0, -2, -1))
    least = np.finfo(r.dtype).eps * max(a.shape[-2:])
    if size.size and np.any(size.min(-1) <= least * size.max(-1)):
        msg = "the matrix does not have full column rank"
        raise np.linalg.LinAlgError(msg)
    return np.linalg.solve(r, np.matmul(np.swapaxes(q, -1, -2), b))


def _fitted(a: shapes.Aval, b: shapes.Aval) -> shapes.Aval:
    (left, dtype), (right, _) = a, b
    if len(left) < 2 or len(right) < 2 or left[-2] != right[-2]:
        msg = f"shapes {left} and {right} do not fit for a least-squares solution"
        raise ShapeError(msg)
    if left[-2] < left[-1]:
        msg = (
            f"least squares needs as many rows as columns at least, got shape {left}; "
            "the shortest solution is a.T @ solve(a @ a.T, b)"
        )
        raise ShapeError(msg)
    return (*shapes.broadcast(left[:-2], right[:-2]), left[-1], right[-1]), dtype


def _normal(m: Any, a: Any, x: Any) -> Any:
    """(a^T a)^-1 x."""
    return m.solve(m.matmul(swapped(m, a), a), x)


def _fit_pull(m: Any, bar: Any, y: Any, a: Any, b: Any) -> Any:
    z = _normal(m, a, bar)
    b_bar = m.matmul(a, z)
    left_over = b - m.matmul(a, y)
    a_bar = m.matmul(left_over, swapped(m, z)) - m.matmul(b_bar, swapped(m, y))
    return unbroadcast(m, a_bar, m.shape(a)), unbroadcast(m, b_bar, m.shape(b))


def _fit_push(m: Any, dots: Any, y: Any, a: Any, b: Any) -> Any:
    found = m.lstsq(a, right_side(m, dots, y))
    if dots[0] is None:
        return found
    left_over = b - m.matmul(a, y)
    return found + _normal(m, a, m.matmul(swapped(m, dots[0]), left_over))


LSTSQ = row(
    Primitive(
        "lstsq",
        2,
        kind="matrix",
        lanes="stack",
        source="least squares, full column rank: (a^T a)^-1 a^T b, by QR",
        numpy=fitting(_fitted, _least_squares),
        shape=_fitted,
        pull=_fit_pull,
        push=_fit_push,
        samples=(
            Sample(((4, 2), (4, 1))),
            Sample(((2, 3, 2), (3, 2))),
            Sample(((2, 2), (2, 1)), make=("regular", "real")),
        ),
    )
)
