"""Rows of linear algebra: systems, inverses, determinants. Floor 1.

Operands are stacks of matrices, ``(..., n, n)`` or ``(..., n, k)``; the stacks
broadcast. Derivatives follow M. B. Giles, Collected Matrix Derivative Results for
Forward and Reverse Mode Algorithmic Differentiation (2008), and are written in the
vocabulary, so that they are differentiated again:

    a x = b:    b_bar = a^-T x_bar                a_bar = -b_bar x^T
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules import shapes
from tapegrad.rules.movement import unbroadcast
from tapegrad.rules.primitive import Primitive, Rule, Sample, row
from tapegrad.rules.products import swapped

# Blocks of a triangular system that are solved as they stand; larger ones are halved.
BLOCK = 32


def _number_of(a: shapes.Aval) -> shapes.Aval:
    """A number for each matrix of a stack."""
    shapes.square(a)
    return a[0][:-2], a[1]


def fitting(shape: Rule, compute: Rule) -> Rule:
    """A computation that looks at the shapes first: NumPy's words are of values."""

    def checked(np: Any, *xs: Any, **params: Any) -> Any:
        shape(*((np.shape(x), "") for x in xs), **params)
        return compute(np, *xs, **params)

    return checked


def finite(np: Any, a: Any) -> Any:
    """Which matrices of a stack are finite, as a stack of one entry each.

    LAPACK's search for singular values does not end where an entry is infinite.
    """
    return np.all(np.isfinite(a), (-2, -1), keepdims=True)


def _against(m: Any, x: Any) -> Any:
    """A number for each matrix, shaped so that it multiplies the matrix."""
    return m.reshape(x, shape=(*m.shape(x), 1, 1))


def _inner(m: Any, a: Any, b: Any) -> Any:
    """The sum of the entrywise product, for each matrix of two stacks."""
    ndim = len(m.shape(a))
    return m.sum(a * b, axes=(ndim - 2, ndim - 1))


# -- systems ---------------------------------------------------------------------------


def _solve_pull(m: Any, bar: Any, y: Any, a: Any, b: Any) -> Any:
    back = m.solve(swapped(m, a), bar)
    return (
        unbroadcast(m, -m.matmul(back, swapped(m, y)), m.shape(a)),
        unbroadcast(m, back, m.shape(b)),
    )


def right_side(m: Any, dots: Any, y: Any) -> Any:
    """b_dot - a_dot y, of what there is."""
    a_dot, b_dot = dots
    if a_dot is None:
        return b_dot
    moved = m.matmul(a_dot, y)
    return -moved if b_dot is None else b_dot - moved


SOLVE = row(
    Primitive(
        "solve",
        2,
        kind="matrix",
        lanes="stack",
        source="Giles 2008, section 2.2.3 (a^-1 b)",
        numpy=fitting(shapes.solved, lambda np, a, b: np.linalg.solve(a, b)),
        shape=shapes.solved,
        pull=_solve_pull,
        push=lambda m, dots, y, a, b: m.solve(a, right_side(m, dots, y)),
        samples=(
            Sample(((3, 3), (3, 2)), make=("regular", "real")),
            Sample(((2, 2, 2), (2, 1)), make=("regular", "real")),
            Sample(((2, 2), (3, 2, 1)), make=("regular", "real")),
        ),
    )
)
INV = row(
    Primitive(
        "inv",
        1,
        kind="matrix",
        lanes="stack",
        source="Giles 2008, section 2.2.3",
        numpy=fitting(shapes.square, lambda np, a: np.linalg.inv(a)),
        shape=shapes.square,
        pull=lambda m, bar, y, a: (
            -m.matmul(m.matmul(swapped(m, y), bar), swapped(m, y)),
        ),
        push=lambda m, dots, y, a: -m.matmul(m.matmul(y, dots[0]), y),
        samples=(
            Sample(((3, 3),), make=("regular",)),
            Sample(((2, 2, 2),), make=("regular",)),
        ),
    )
)


def _triangle(np: Any, a: Any, *, lower: bool, unit_diagonal: bool) -> Any:
    """The triangle that is read, with the diagonal that is meant."""
    kept = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        size = a.shape[-1]
        kept = np.where(np.eye(size, dtype=bool), np.ones((), a.dtype), kept)
    return kept


def _forward(np: Any, a: Any, b: Any) -> Any:
    """Forward substitution by halves, a lower triangle.

    A small block goes to the general solver upside down: that makes it an upper
    triangle, which LU factorisation leaves as it is, without a row exchange.
    """
    size = a.shape[-1]
    if size <= BLOCK:
        return np.linalg.solve(a[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]
    half = size // 2
    first = _forward(np, a[..., :half, :half], b[..., :half, :])
    rest = b[..., half:, :] - np.matmul(a[..., half:, :half], first)
    second = _forward(np, a[..., half:, half:], rest)
    wide = np.broadcast_to(first, (*second.shape[:-2], *first.shape[-2:]))
    return np.concatenate((wide, second), -2)


def _substituted(
    np: Any, a: Any, b: Any, *, lower: bool, unit_diagonal: bool, transposed: bool
) -> Any:
    kept = _triangle(np, a, lower=lower, unit_diagonal=unit_diagonal)
    if transposed:
        kept = np.swapaxes(kept, -1, -2)
    if lower != transposed:
        return _forward(np, kept, b)
    turned = _forward(np, kept[..., ::-1, ::-1], b[..., ::-1, :])
    return turned[..., ::-1, :]


def _read(m: Any, x: Any, *, lower: bool, unit_diagonal: bool) -> Any:
    """The entries of a matrix that a triangular system reads, zeros elsewhere."""
    if lower:
        return m.tril(x, k=-1 if unit_diagonal else 0)
    return m.triu(x, k=1 if unit_diagonal else 0)


def _triangular_pull(
    m: Any, bar: Any, y: Any, a: Any, b: Any, *, transposed: bool, **which: bool
) -> Any:
    back = m.solve_triangular(a, bar, transposed=not transposed, **which)
    left, right = (y, back) if transposed else (back, y)
    product = -m.matmul(left, swapped(m, right))
    return (
        unbroadcast(m, _read(m, product, **which), m.shape(a)),
        unbroadcast(m, back, m.shape(b)),
    )


def _triangular_push(
    m: Any, dots: Any, y: Any, a: Any, *, transposed: bool, **which: bool
) -> Any:
    a_dot, b_dot = dots
    if a_dot is not None:
        a_dot = _read(m, a_dot, **which)
        a_dot = swapped(m, a_dot) if transposed else a_dot
    right = right_side(m, (a_dot, b_dot), y)
    return m.solve_triangular(a, right, transposed=transposed, **which)


def _which(*, lower: bool, unit_diagonal: bool, transposed: bool) -> dict[str, bool]:
    return {"lower": lower, "unit_diagonal": unit_diagonal, "transposed": transposed}


SOLVE_TRIANGULAR = row(
    Primitive(
        "solve_triangular",
        2,
        kind="matrix",
        lanes="stack",
        source="Giles 2008, section 2.2.3, of one triangle of a",
        numpy=fitting(shapes.solved, _substituted),
        shape=shapes.solved,
        pull=_triangular_pull,
        push=lambda m, dots, y, a, b, **which: _triangular_push(m, dots, y, a, **which),
        samples=(
            Sample(
                ((3, 3), (3, 2)),
                _which(lower=True, unit_diagonal=False, transposed=False),
                ("regular", "real"),
            ),
            Sample(
                ((3, 3), (2, 3, 1)),
                _which(lower=True, unit_diagonal=True, transposed=True),
                ("regular", "real"),
            ),
            Sample(
                ((2, 3, 3), (3, 1)),
                _which(lower=False, unit_diagonal=True, transposed=False),
                ("regular", "real"),
            ),
            Sample(
                ((2, 2), (2, 1)),
                _which(lower=False, unit_diagonal=False, transposed=True),
                ("regular", "real"),
            ),
        ),
    )
)


# -- determinants ----------------------------------------------------------------------


def _cofactors(np: Any, a: Any) -> Any:
    """det(a) a^-T, from the singular values where a is singular.

    With a = u s v the cofactors are det(u) det(v) u c v, where c holds for each
    singular value the product of all others.
    """
    det = np.asarray(np.linalg.det(a))
    plain = np.isfinite(det) & (det != 0)
    wide = plain[..., None, None]
    held = finite(np, a)
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    made = det[..., None, None] * np.linalg.inv(np.where(wide, a, eye))
    made = np.swapaxes(made, -1, -2)
    if np.all(plain):
        return made
    u, s, v = np.linalg.svd(np.where(wide | ~held, eye, a))
    others = np.where(eye == 0, s[..., None, :], np.ones((), a.dtype))
    sign = np.linalg.det(u) * np.linalg.det(v)
    c = sign[..., None] * np.prod(others, -1)
    found = np.matmul(u * c[..., None, :], v)
    return np.where(wide, made, np.where(held, found, np.asarray(np.nan, a.dtype)))


def _cofactor_push(m: Any, dots: Any, y: Any, a: Any) -> Any:
    turned = swapped(m, m.inv(a))
    trace = _against(m, _inner(m, turned, dots[0]))
    return y * trace - m.matmul(m.matmul(y, swapped(m, dots[0])), turned)


def _cofactor_pull(m: Any, bar: Any, y: Any, a: Any) -> Any:
    turned = swapped(m, m.inv(a))
    trace = _against(m, _inner(m, y, bar))
    return (trace * turned - m.matmul(m.matmul(turned, swapped(m, bar)), y),)


COFACTOR = row(
    Primitive(
        "cofactor",
        1,
        kind="matrix",
        lanes="stack",
        source="the gradient of det, DLMF 1.3.5; its own derivative needs a regular a",
        numpy=fitting(shapes.square, _cofactors),
        shape=shapes.square,
        pull=_cofactor_pull,
        push=_cofactor_push,
        samples=(
            Sample(((3, 3),), make=("regular",)),
            Sample(((2, 2, 2),), make=("regular",)),
        ),
    )
)
DET = row(
    Primitive(
        "det",
        1,
        kind="matrix",
        lanes="stack",
        source="Jacobi's formula; right at singular matrices, too",
        numpy=fitting(_number_of, lambda np, a: np.linalg.det(a)),
        shape=_number_of,
        pull=lambda m, bar, y, a: (_against(m, bar) * m.cofactor(a),),
        push=lambda m, dots, y, a: _inner(m, m.cofactor(a), dots[0]),
        samples=(
            Sample(((3, 3),), make=("regular",)),
            Sample(((2, 2, 2),), make=("regular",)),
        ),
    )
)
LOGABSDET = row(
    Primitive(
        "logabsdet",
        1,
        kind="matrix",
        lanes="stack",
        source="log |det a|; Giles 2008, section 2.2.4",
        numpy=fitting(_number_of, lambda np, a: np.linalg.slogdet(a)[1]),
        shape=_number_of,
        pull=lambda m, bar, y, a: (_against(m, bar) * swapped(m, m.inv(a)),),
        push=lambda m, dots, y, a: _inner(m, swapped(m, m.inv(a)), dots[0]),
        samples=(
            Sample(((3, 3),), make=("regular",)),
            Sample(((2, 2, 2),), make=("regular",)),
        ),
    )
)
SIGNDET = row(
    Primitive(
        "signdet",
        1,
        kind="discrete",
        lanes="stack",
        source="the sign of the determinant: -1, 0 or 1; no derivative",
        numpy=fitting(_number_of, lambda np, a: np.linalg.slogdet(a)[0]),
        shape=_number_of,
        samples=(Sample(((2, 2, 2),), make=("regular",)),),
    )
)
