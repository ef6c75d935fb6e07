"""Linear algebra of expressions, for single matrices. Floor 3; loads SymPy.

SymPy's own matrices, exact. Eigenvalues and singular values have no formula that is of
use: they are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy as sp
from sympy.matrices.exceptions import NonInvertibleMatrixError

from tapegrad.errors import DomainError

Function = Callable[..., Any]


def _solve(a: Any, b: Any) -> Any:
    try:
        return _array(sp.Matrix(a).LUsolve(sp.Matrix(b)))
    except NonInvertibleMatrixError as problem:
        raise np.linalg.LinAlgError(str(problem)) from None


def _inv(a: Any) -> Any:
    try:
        return _array(sp.Matrix(a).inv())
    except NonInvertibleMatrixError as problem:
        raise np.linalg.LinAlgError(str(problem)) from None


def _triangular(
    a: Any, b: Any, *, lower: bool, unit_diagonal: bool, transposed: bool
) -> Any:
    if unit_diagonal:
        a = np.where(np.eye(len(a), dtype=bool), sp.Integer(1), a)
    kept = np.tril(a) if lower else np.triu(a)
    return _solve(kept.T if transposed else kept, b)


def _cholesky(a: Any) -> Any:
    lower = sp.Matrix(np.tril(a) + np.tril(a, -1).T)
    return _array(lower.cholesky(hermitian=False))


def _det(a: Any) -> Any:
    return sp.Matrix(a).det()


def _refused(name: str) -> Function:
    def refused(*xs: Any) -> Any:
        msg = f"{name} of shape {xs[0].shape} has no closed form; use numbers"
        raise DomainError(msg)

    return refused


def _array(x: Any) -> Any:
    """A matrix of SymPy as an object array."""
    return np.array(x.tolist(), dtype=object).reshape(x.shape)


MATRICES: Mapping[str, Function] = {
    "solve": _solve,
    "inv": _inv,
    "det": _det,
    "cofactor": lambda a: _array(sp.Matrix(a).cofactor_matrix()),
    "logabsdet": lambda a: sp.log(sp.Abs(_det(a))),
    "signdet": lambda a: sp.sign(_det(a)),
    "cholesky": _cholesky,
    "solve_triangular": _triangular,
    "eigh": _refused("eigh"),
    "svdvals": _refused("svdvals"),
    "lstsq": lambda a, b: _solve(a.T @ a, a.T @ b),
}
