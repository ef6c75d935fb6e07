"""np.linalg on Values. Floor 7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.arrays import reductions
from tapegrad.arrays.lift import (
    axes_of,
    axis_of,
    cut,
    div,
    dtype_of,
    index,
    line,
    matmul,
    misfit,
    mul,
    ndim_of,
    operand,
    primal,
    real,
    record,
    recorded,
    reshape,
    shape_of,
    size_of,
    sub,
    swap,
    test,
    total,
    transpose,
    where,
)
from tapegrad.arrays.registry import implements, unsupported
from tapegrad.errors import RecordError
from tapegrad.rules import shapes


def _square(a: Any, what: str) -> Any:
    a = real(a)
    shape = shape_of(a)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise misfit(what, a, why="is no square matrix, or stack of them")
    return a


@implements("linalg.solve", how="row")
def solve(a: Any, b: Any) -> Any:
    """x with a @ x = b; b is a vector, or a stack of matrices."""
    a, b = _square(a, "solve"), real(b)
    if ndim_of(b) == 1:
        if shape_of(b)[0] != shape_of(a)[-1]:
            raise misfit("solve", a, b)
        made = record("solve", a, reshape(b, (*shape_of(b), 1)))
        return reshape(made, shape_of(made)[:-1])
    if ndim_of(b) < 2 or shape_of(b)[-2] != shape_of(a)[-1]:
        raise misfit("solve", a, b)
    return record("solve", a, b)


@implements("linalg.inv", how="row")
def inv(a: Any) -> Any:
    """The inverse."""
    return record("inv", _square(a, "inv"))


@implements("linalg.det", how="row")
def det(a: Any) -> Any:
    """The determinant."""
    return record("det", _square(a, "det"))


@implements("linalg.slogdet", how="row", note="the sign has no derivative")
def slogdet(a: Any) -> Any:
    """Sign and logarithm of the determinant."""
    a = _square(a, "slogdet")
    sign = record("signdet", a)
    return _named("slogdet", sign, record("logabsdet", a))


def _named(name: str, *parts: Any) -> Any:
    """The named tuple that NumPy would give."""
    eye = np.eye(1)
    kind = type(np.linalg.slogdet(eye) if name == "slogdet" else np.linalg.eigh(eye))
    return kind(*parts)


@implements("linalg.cholesky", how="row", note="the lower triangle is read")
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The triangular factor of a positive definite matrix."""
    a = _square(a, "cholesky")
    return swap(record("cholesky", swap(a))) if upper else record("cholesky", a)


@implements("linalg.eigh", how="row", note="vectors of equal eigenvalues: NaN")
def eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 - NumPy's name
    """Eigenvalues and eigenvectors of a symmetric matrix."""
    a = _square(a, "eigh")
    return _named("eigh", *record("eigh", swap(a) if UPLO.upper() == "U" else a))


@implements("linalg.eigvalsh", how="row")
def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 - NumPy's name
    """Eigenvalues of a symmetric matrix, in rising order."""
    return eigh(a, UPLO)[0]


@implements("linalg.svd", how="row", note="compute_uv=False")
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular values."""
    del full_matrices
    if compute_uv:
        raise unsupported(
            "np.linalg.svd with its vectors",
            "take the singular values (compute_uv=False), or np.linalg.eigh(a.T @ a)",
        )
    return svdvals(a)


@implements("linalg.svdvals", how="row")
def svdvals(x: Any) -> Any:
    """Singular values, in falling order."""
    return record("svdvals", real(x))


@implements("linalg.lstsq", how="row", note="of full column rank")
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Least squares: solution, residuals, rank and singular values."""
    a, b = real(a), real(b)
    if ndim_of(a) != 2 or ndim_of(b) not in {1, 2} or shape_of(a)[0] != shape_of(b)[0]:
        raise misfit("lstsq", a, b)
    wide = reshape(b, (size_of(b), 1)) if ndim_of(b) == 1 else b
    x = record("lstsq", a, wide)
    away = sub(wide, matmul(a, x))
    rows, columns = shape_of(a)
    squares: Any = total(mul(away, away), 0)
    if rows <= columns:
        squares = np.zeros(0)
    rank = int(np.linalg.matrix_rank(primal(a), rcond))
    if ndim_of(b) == 1:
        x = reshape(x, (columns,))
    return x, squares, rank, svdvals(a)


@implements("linalg.pinv", note="of full rank")
def pinv(a: Any, rcond: Any = None) -> Any:
    """The pseudo-inverse."""
    del rcond
    a = real(a)
    if ndim_of(a) != 2:
        raise misfit("pinv", a, why="is no matrix")
    rows, columns = shape_of(a)
    if rows >= columns:
        return record("lstsq", a, np.eye(rows, dtype=dtype_of(a)))
    return swap(record("lstsq", swap(a), np.eye(columns, dtype=dtype_of(a))))


@implements("linalg.tensorsolve")
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Solve with several axes taken as one."""
    if axes is not None:
        raise unsupported("np.linalg.tensorsolve(axes=)", "use np.moveaxis first")
    a, b = real(a), real(b)
    n = size_of(b)
    made = solve(reshape(a, (n, n)), reshape(b, (n,)))
    return reshape(made, shape_of(a)[ndim_of(b) :])


@implements("linalg.tensorinv")
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse with several axes taken as one."""
    a = real(a)
    left, right = shape_of(a)[:ind], shape_of(a)[ind:]
    n = math.prod(left)
    return reshape(inv(reshape(a, (n, n))), (*right, *left))


@implements("linalg.cond", note="p=None and 2")
def cond(x: Any, p: Any = None) -> Any:
    """The largest singular value over the smallest."""
    if p not in {None, 2}:
        raise unsupported(f"np.linalg.cond(p={p!r})", "use norms of a and of inv(a)")
    s = svdvals(x)
    last = ndim_of(s) - 1
    return div(index(s, {last: 0}), index(s, {last: shape_of(s)[last] - 1}))


# -- norms -----------------------------------------------------------------------------


@implements("linalg.norm", how="row", note="0 has the derivative 0; all orders")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:  # noqa: A002
    """A norm of a vector or a matrix."""
    x = real(x)
    if axis is None:
        if ord is None:
            return reductions.length(x, keepdims=keepdims)
        places: tuple[int, ...] = tuple(range(ndim_of(x)))
    else:
        listed = axis if isinstance(axis, tuple | list) else (axis,)
        places = tuple(axis_of(i, x) for i in listed)
    if len(places) == 1:
        return _vector(x, places, 2 if ord is None else ord, keepdims)
    if len(places) != 2:
        raise misfit("norm", x, why=f"has no norm of order {ord!r}")
    return _matrix(x, places, "fro" if ord is None else ord, keepdims)


@implements("linalg.vector_norm", how="row", note="0 has the derivative 0")
def vector_norm(
    x: Any,
    /,
    *,
    axis: Any = None,
    keepdims: Any = False,
    ord: Any = 2,  # noqa: A002
) -> Any:
    """The norm of the entries along axes."""
    x = real(x)
    return _vector(x, axes_of(axis, x), ord, keepdims)


@implements("linalg.matrix_norm", how="row", note="0 has the derivative 0")
def matrix_norm(x: Any, /, *, keepdims: Any = False, ord: Any = "fro") -> Any:  # noqa: A002
    """The norms of a stack of matrices."""
    x = real(x)
    return _matrix(x, (ndim_of(x) - 2, ndim_of(x) - 1), ord, keepdims)


def _vector(x: Any, places: Any, order: Any, keepdims: Any) -> Any:
    if isinstance(order, str):
        msg = f"{order!r} is no norm of a vector ({line()})"
        raise RecordError(msg)
    if order == 2:
        return reductions.length(x, places, keepdims=keepdims)
    size = record("abs", x)
    if order == math.inf:
        return reductions.maximum(size, places, keepdims=keepdims)
    if order == -math.inf:
        return reductions.minimum(size, places, keepdims=keepdims)
    if order == 0:
        return (
            total(test("not_equal", x, 0), places, keepdims=keepdims)
            if (recorded(x))
            else np.sum(primal(x) != 0, places, float, keepdims=keepdims is True)
        )
    if order == 1:
        return total(size, places, keepdims=keepdims)
    power = int(order) if order == int(order) else float(order)
    made = total(record("powc", size, exponent=power), places, keepdims=keepdims)
    # the root has a pole at 0, where the norm has the derivative 0
    none = test("equal", made, 0)
    root = record("powc", where(none, 1.0, made), exponent=1.0 / order)
    return where(none, 0.0, root)


def _matrix(x: Any, places: tuple[int, ...], order: Any, keepdims: Any) -> Any:
    if order == "fro":
        return reductions.length(x, places, keepdims=keepdims)
    row, column = places
    kept = shapes.kept(shape_of(x), places)
    if order in {1, -1, math.inf, -math.inf}:
        summed, rest = (row, column) if abs(order) == 1 else (column, row)
        sums = total(record("abs", x), summed, keepdims=True)
        pick = reductions.maximum if order > 0 else reductions.minimum
        made = pick(sums, rest, keepdims=True)
    elif order in {2, -2, "nuc"}:
        rest_axes = [i for i in range(ndim_of(x)) if i not in places]
        s = svdvals(transpose(x, (*rest_axes, row, column)))
        last, count = ndim_of(s) - 1, shape_of(s)[-1]
        if order == "nuc":
            made = total(s, last)
        else:
            made = cut(s, last, 0 if order == 2 else count - 1, 1)
    else:
        msg = f"{order!r} is no norm of a matrix ({line()})"
        raise RecordError(msg)
    return reshape(
        made, kept if keepdims is True else shapes.reduced(shape_of(x), places)
    )


# -- beyond NumPy ----------------------------------------------------------------------


def solve_triangular(
    a: Any,
    b: Any,
    *,
    lower: bool = False,
    trans: int | str = 0,
    unit_diagonal: bool = False,
) -> Any:
    """x with a @ x = b for a triangular a, as in ``scipy.linalg``.

    Args:
        a: a matrix; the other triangle is not read.
        b: a vector, or a stack of matrices.
        lower: whether a is lower triangular.
        trans: 1 or "T" solves with the transpose.
        unit_diagonal: take the diagonal as ones.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> L = np.array([[2.0, 0.0], [1.0, 4.0]])
        >>> tg.linalg.solve_triangular(L, np.array([2.0, 9.0]), lower=True)
        array([1., 2.])
    """
    a, b = _square(a, "solve_triangular"), real(b)
    vector = ndim_of(b) == 1
    wide = reshape(b, (size_of(b), 1)) if vector else b
    if ndim_of(b) < 1 or shape_of(wide)[-2] != shape_of(a)[-1]:
        raise misfit("solve_triangular", a, b)
    made = record(
        "solve_triangular",
        a,
        wide,
        lower=bool(lower),
        unit_diagonal=bool(unit_diagonal),
        transposed=trans in {1, "T"},
    )
    return reshape(made, shape_of(made)[:-1]) if vector else made


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Any:
    """x with a @ x = b, given (factor, lower) of a, as in ``scipy.linalg``."""
    factor, lower = c_and_lower
    first = solve_triangular(factor, b, lower=lower, trans=0 if lower else 1)
    return solve_triangular(factor, first, lower=lower, trans=1 if lower else 0)


def cho_factor(a: Any, lower: bool = False) -> tuple[Any, bool]:
    """The triangular factor of a positive definite matrix, for `cho_solve`."""
    a = operand(a)
    return cholesky(a, upper=not lower), lower
