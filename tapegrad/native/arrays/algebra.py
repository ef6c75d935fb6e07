"""Rows of linear algebra as nodes: LAPACK on stacks of matrices. Floor 9."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native.arrays.graph import Graph, Node
from tapegrad.native.arrays.rules import rule
from tapegrad.rules.shapes import indexed


def _stack(a: Node) -> tuple[Any, int]:
    if 0 in a.shape:
        msg = f"linear algebra of empty arrays, here of shape {a.shape}, is not native"
        raise CompileError(msg)
    return a.shape[:-2], a.shape[-1]


def _factored(g: Graph, a: Node) -> tuple[Node, ...]:
    """LU factors of each matrix, transposed, and the rows that were exchanged."""
    batch, n = _stack(a)
    avals = ((a.shape, a.dtype), ((*batch, n), "int32"))
    return g.calls("getrf", (a,), avals)


@rule
def _solve(g: Graph, a: Node, b: Node) -> Node:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    _stack(b)
    a, transposed = _untransposed(g.broadcast(a, (*batch, *a.shape[-2:])))
    b = g.swapped(g.broadcast(b, (*batch, *b.shape[-2:])))
    factors = _factored(g, a)
    found = g.call("getrs", (*factors, b), (b.shape, b.dtype), transposed=transposed)
    return g.swapped(found)


def _untransposed(a: Node) -> tuple[Node, bool]:
    """The matrices that a is the transpose of: both systems need one factorisation."""
    n = a.ndim
    if a.op == "axes" and a.params["where"] == (*range(n - 2), n - 1, n - 2):
        return a.args[0], True
    return a, False


@rule
def _inv(g: Graph, a: Node) -> Node:
    return g.call("getri", _factored(g, a), (a.shape, a.dtype))


def _determinant(g: Graph, a: Node, kind: str) -> Node:
    batch, _ = _stack(a)
    factors = _factored(g, a)
    return g.call("determinant", factors, (batch, a.dtype), kind=kind)


@rule
def _det(g: Graph, a: Node) -> Node:
    return _determinant(g, a, "det")


@rule
def _logabsdet(g: Graph, a: Node) -> Node:
    return _determinant(g, a, "log")


@rule
def _signdet(g: Graph, a: Node) -> Node:
    return _determinant(g, a, "sign")


@rule
def _cofactor(g: Graph, a: Node) -> Node:
    # a singular matrix has no native answer: the interpreter has
    number = g.reshape(_det(g, a), (*a.shape[:-2], 1, 1))
    return g.map("mul", number, g.swapped(_inv(g, a)))


@rule
def _cholesky(g: Graph, a: Node) -> Node:
    _stack(a)
    found = g.call("potrf", (a,), (a.shape, a.dtype))
    return g.add("tri", (found,), a.shape, a.dtype, k=0, lower=True)


@rule
def _solve_triangular(g: Graph, a: Node, b: Node, **which: bool) -> Node:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    _stack(a)
    _stack(b)
    a = g.broadcast(a, (*batch, *a.shape[-2:]))
    b = g.broadcast(b, (*batch, *b.shape[-2:]))
    return g.call("trsm", (a, b), (b.shape, b.dtype), **which)


@rule
def _eigh(g: Graph, a: Node) -> tuple[Node, ...]:
    _stack(a)
    avals = ((a.shape[:-1], a.dtype), (a.shape, a.dtype))
    w, v = g.calls("syevd", (g.swapped(a),), avals)
    return w, g.swapped(v)


@rule
def _svdvals(g: Graph, a: Node) -> Node:
    _stack(a)
    shape = (*a.shape[:-2], min(a.shape[-2:]))
    return g.call("gesdd", (a,), (shape, a.dtype))


@rule
def _lstsq(g: Graph, a: Node, b: Node) -> Node:
    _stack(a)
    _stack(b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n, (m, k) = a.shape[-1], b.shape[-2:]
    a = g.swapped(g.broadcast(a, (*batch, m, n)))
    b = g.swapped(g.broadcast(b, (*batch, m, k)))
    found = g.call("gels", (a, b), (b.shape, b.dtype))
    key = (*((0, size, 1) for size in (*batch, k)), (0, n, 1))
    cut = g.add("index", (found,), indexed(found.shape, key), found.dtype, key=key)
    return g.swapped(cut)
