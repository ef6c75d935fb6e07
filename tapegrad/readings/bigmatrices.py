"""Linear algebra at many digits, for single matrices. Floor 3.

Gaussian elimination with partial pivoting over mpmath's numbers; eigenvalues and
singular values are mpmath's own. Matrices come and go as object arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Function = Callable[..., Any]

SINGULAR = "Singular matrix"
INDEFINITE = "Matrix is not positive definite"
DEFICIENT = "the matrix does not have full column rank"


def matrices(ctx: Any, number: Any) -> Mapping[str, Function]:
    """Rows of linear algebra by name.

    Args:
        ctx: an mpmath context.
        number: makes a number of the reading from the context and an mpf.
    """
    own = Matrices(ctx)

    def dressed(function: Function) -> Function:
        bare = np.frompyfunc(lambda x: ctx.mpf(getattr(x, "value", x)), 1, 1)
        dress = np.frompyfunc(lambda x: number(ctx, ctx.mpf(x)), 1, 1)

        def applied(*xs: Any, **params: Any) -> Any:
            found = function(*map(bare, xs), **params)
            return tuple(map(dress, found)) if type(found) is tuple else dress(found)

        return applied

    names = (
        "solve inv det cofactor logabsdet signdet cholesky solve_triangular eigh "
        "svdvals lstsq"
    )
    return {name: dressed(getattr(own, name)) for name in names.split()}


class Matrices:
    """Linear algebra over object arrays of mpf.

    Args:
        ctx: the mpmath context.
    """

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx

    def _eye(self, n: int) -> Any:
        return np.eye(n, dtype=int).astype(object) * self.ctx.one

    def _reduced(self, a: Any, b: Any) -> tuple[Any, Any, Any]:
        """An upper triangle, the right sides that go with it, and det(a)."""
        a, b, det = np.array(a), np.array(b), self.ctx.one
        for k in range(len(a)):
            best = max(range(k, len(a)), key=lambda i: abs(a[i, k]))
            if best != k:
                a[[k, best]], b[[k, best]], det = a[[best, k]], b[[best, k]], -det
            det *= a[k, k]
            if not det:
                break
            for i in range(k + 1, len(a)):
                share = a[i, k] / a[k, k]
                a[i, k:] = a[i, k:] - a[k, k:] * share
                b[i] = b[i] - b[k] * share
        return a, b, det

    def solve(self, a: Any, b: Any) -> Any:
        upper, right, det = self._reduced(a, b)
        if not det:
            raise np.linalg.LinAlgError(SINGULAR)
        return self._substituted(upper[::-1, ::-1], right[::-1])[::-1]

    def _substituted(self, lower: Any, b: Any) -> Any:
        """Forward substitution."""
        out = np.array(b)
        for i in range(len(lower)):
            if not lower[i, i]:
                raise np.linalg.LinAlgError(SINGULAR)
            for k in range(i):
                out[i] = out[i] - out[k] * lower[i, k]
            out[i] = out[i] / lower[i, i]
        return out

    def inv(self, a: Any) -> Any:
        return self.solve(a, self._eye(len(a)))

    def det(self, a: Any) -> Any:
        return self._reduced(a, self._eye(len(a)))[2]

    def cofactor(self, a: Any) -> Any:
        out = np.empty(a.shape, object)
        for i, j in np.ndindex(a.shape):
            minor = self.det(np.delete(np.delete(a, i, 0), j, 1))
            out[i, j] = -minor if (i + j) % 2 else minor
        return out

    def logabsdet(self, a: Any) -> Any:
        det = self.det(a)
        return self.ctx.log(abs(det)) if det else self.ctx.ninf

    def signdet(self, a: Any) -> Any:
        return self.ctx.sign(self.det(a))

    def cholesky(self, a: Any) -> Any:
        out = np.zeros(a.shape, int).astype(object) * self.ctx.one
        for j in range(len(a)):
            square = a[j, j] - sum(out[j, :j] ** 2)
            if not square > 0:
                raise np.linalg.LinAlgError(INDEFINITE)
            out[j, j] = self.ctx.sqrt(square)
            for i in range(j + 1, len(a)):
                out[i, j] = (a[i, j] - sum(out[i, :j] * out[j, :j])) / out[j, j]
        return out

    def solve_triangular(
        self, a: Any, b: Any, *, lower: bool, unit_diagonal: bool, transposed: bool
    ) -> Any:
        if unit_diagonal:
            a = np.where(np.eye(len(a), dtype=bool), self.ctx.one, a)
        if transposed:
            a = a.T
        if lower != transposed:
            return self._substituted(a, b)
        return self._substituted(a[::-1, ::-1], b[::-1])[::-1]

    def eigh(self, a: Any) -> Any:
        lower = np.tril(a) + np.tril(a, -1).T
        w, v = self.ctx.eigsy(self.ctx.matrix(lower.tolist()))
        return _array(w)[:, 0], _array(v)

    def svdvals(self, a: Any) -> Any:
        tall = a if len(a) >= len(a.T) else a.T
        found = self.ctx.svd_r(self.ctx.matrix(tall.tolist()), compute_uv=False)
        return _array(found)[:, 0]

    def lstsq(self, a: Any, b: Any) -> Any:
        try:
            return self.solve(a.T @ a, a.T @ b)
        except np.linalg.LinAlgError:
            raise np.linalg.LinAlgError(DEFICIENT) from None


def _array(x: Any) -> Any:
    """A matrix of mpmath as an object array."""
    out = np.empty((x.rows, x.cols), object)
    for i, j in np.ndindex(out.shape):
        out[i, j] = x[i, j]
    return out
