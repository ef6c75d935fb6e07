"""Reductions and products as nodes. Floor 9.

A small product is a loop here, with what is around it; a large one is left to BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native.arrays.graph import Graph, Node
from tapegrad.native.arrays.rules import RULES, rule
from tapegrad.rules.shapes import reduced

# A product of so many multiplications is a loop here; BLAS takes longer to begin.
SMALL = 4096


def _sum(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("add", x, axes)


RULES["sum"] = _sum


@rule
def _prod(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("mul", x, axes)


@rule
def _amax(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("maximum", x, axes)


@rule
def _amin(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("minimum", x, axes)


def _any(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("or", g.cast(x, "bool"), axes)


def _all(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("and", g.cast(x, "bool"), axes)


RULES["any"], RULES["all"] = _any, _all


def _count(x: Node, axes: Sequence[int]) -> int:
    return math.prod(x.shape[axis] for axis in axes)


@rule
def _mean(g: Graph, x: Node, axes: Any) -> Node:
    total = g.reduce("add", x, axes)
    return g.map("div", total, g.number(_count(x, axes), x))


@rule
def _std(g: Graph, x: Node, axes: Any, ddof: int) -> Node:
    away = g.map("sub", x, g.spread(_mean(g, x, axes), x.shape, axes))
    total = g.reduce("add", g.map("mul", away, away), axes)
    free = max(_count(x, axes) - ddof, 0)
    return g.map("sqrt", g.map("div", total, g.number(free, x)))


def _is_finite(g: Graph, x: Node) -> Node:
    return g.map("less", g.map("abs", x), g.number(math.inf, x))


@rule
def _norm(g: Graph, x: Node, axes: Any) -> Node:
    """Scaled by the largest entry, so that squares neither overflow nor underflow."""
    if not _count(x, axes):
        return g.broadcast(g.number(0.0, x), reduced(x.shape, axes))
    top = g.reduce("maximum", g.map("abs", x), axes)
    zero, one = g.number(0.0, x), g.number(1.0, x)
    usable = g.map("logical_and", _is_finite(g, top), g.map("less", zero, top))
    scale = g.map("where", usable, top, one)
    part = g.map("div", x, g.spread(scale, x.shape, axes))
    squares = g.reduce("add", g.map("mul", part, part), axes)
    return g.map("mul", g.map("sqrt", squares), scale)


@rule
def _logsumexp(g: Graph, x: Node, axes: Any) -> Node:
    if not _count(x, axes):
        return g.broadcast(g.number(-math.inf, x), reduced(x.shape, axes))
    top = g.reduce("maximum", x, axes)
    total = g.reduce("add", _powers(g, x, top, axes), axes)
    # of an infinity or NaN among the entries there is no more to say
    found = g.map("add", g.map("log", total), top)
    return g.map("where", _is_finite(g, top), found, top)


def _powers(g: Graph, x: Node, top: Node, axes: Any) -> Node:
    """Exponentials of entries, less the largest; a value and its slope share them."""
    return g.map("exp", g.map("sub", x, g.spread(top, x.shape, axes)))


@rule
def _softmax(g: Graph, x: Node, axes: Any) -> Node:
    if not _count(x, axes):
        return x
    e = _powers(g, x, g.reduce("maximum", x, axes), axes)
    return g.map("div", e, g.spread(g.reduce("add", e, axes), x.shape, axes))


@rule
def _matmul(g: Graph, a: Node, b: Node) -> Node:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
    count = math.prod(batch)
    if not b.shape[:-2] and a.shape[:-2]:  # one matrix for the whole stack
        flat = g.reshape(a, (count * n, k))
        return g.reshape(_matmul(g, flat, b), (*batch, n, m))
    if count * n * k * m == 0 or n * k * m <= SMALL or k == 1:
        return _looped(g, a, b, batch)
    if batch:
        a, b = g.broadcast(a, (*batch, n, k)), g.broadcast(b, (*batch, k, m))
    return g.call("gemm", (a, b), ((*batch, n, m), a.dtype))


def _looped(g: Graph, a: Node, b: Node, batch: Any) -> Node:
    """A loop over rows, inner index and columns, in this order."""
    n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
    domain = (*batch, n, k, m)
    d = len(domain)
    left = _along(g, a, domain, [*range(d - 3), d - 3, d - 2])
    right = _along(g, b, domain, [*range(d - 3), d - 2, d - 1])
    return g.reduce("add", g.map("mul", left, right), (d - 2,))


def _along(g: Graph, x: Node, domain: Any, axes: Sequence[int]) -> Node:
    """x with its last axes along given axes of a domain; axes of size 1 stand."""
    mine = axes[len(axes) - x.ndim :]
    where = [
        a if n != 1 or domain[a] == 1 else None
        for a, n in zip(mine, x.shape, strict=True)
    ]
    return g.axes(x, domain, where)


@rule
def _einsum(g: Graph, *xs: Node, subscripts: str) -> Node:
    inputs, out = subscripts.split("->")
    names = inputs.split(",")
    sizes = {
        letter: size
        for name, x in zip(names, xs, strict=True)
        for letter, size in zip(name, x.shape, strict=True)
    }
    if len(xs) == 2 and all(len(set(name)) == len(name) for name in names):
        found = _as_matmul(g, xs, names, out, sizes)
        if found is not None:
            return found
    inner = [letter for letter in sizes if letter not in out]
    # the last index of the result runs innermost, where it is long enough
    cut = len(out) - 1 if out and sizes[out[-1]] >= 4 else len(out)
    order = [*out[:cut], *inner, *out[cut:]]
    domain = tuple(sizes[letter] for letter in order)
    found = None
    for name, x in zip(names, xs, strict=True):
        wide = g.axes(x, domain, [order.index(letter) for letter in name])
        found = wide if found is None else g.map("mul", found, wide)
    if found is None:
        msg = f"einsum {subscripts!r} has no operand"
        raise CompileError(msg)
    return g.reduce("add", found, range(cut, cut + len(inner)))


def _as_matmul(
    g: Graph, xs: Sequence[Node], names: Sequence[str], out: str, sizes: Any
) -> Node | None:
    """A sum of products of two operands, as a matrix product when it is a large one."""
    one, two = names
    both = [c for c in one if c in two and c in out]
    inner = [c for c in one if c in two and c not in out]
    left = [c for c in one if c not in two]
    right = [c for c in two if c not in one]
    size = [math.prod(sizes[c] for c in part) for part in (both, left, inner, right)]
    if not inner or any(c not in out for c in left + right) or 0 in size:
        return None
    if math.prod(size[1:]) <= SMALL:
        return None

    def grouped(x: Node, name: str, parts: Sequence[Sequence[str]]) -> Node:
        moved = g.transpose(x, [name.index(c) for part in parts for c in part])
        lead = tuple(sizes[c] for c in both)
        return g.reshape(
            moved, (*lead, *(math.prod(sizes[c] for c in p) for p in parts[1:]))
        )

    product = _matmul(
        g,
        grouped(xs[0], one, (both, left, inner)),
        grouped(xs[1], two, (both, inner, right)),
    )
    order = [*both, *left, *right]
    full = g.reshape(product, tuple(sizes[c] for c in order))
    return g.transpose(full, [order.index(c) for c in out])
