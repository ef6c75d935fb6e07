"""Rows of whole arrays as nodes: each row's function here writes it out. Floor 9.

An elementwise row needs nothing here: it is a map. The others become views, selections,
reductions and calls; the routines that are called are in ``routines``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native.arrays.graph import Graph, Node
from tapegrad.rules import TABLE
from tapegrad.rules.shapes import indexed, reduced
from tapegrad.tape.tape import Tape

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}

# A product of so many multiplications is a loop here; BLAS takes longer to begin.
SMALL = 4096


def rule(f: Rule) -> Rule:
    """Register the nodes of the row that the function is named after."""
    RULES[f.__name__.strip("_")] = f
    return f


def graph_of(tape: Tape) -> tuple[Graph, list[Node | None]]:
    """The graph of a flat tape, and the node of each slot.

    Raises:
        CompileError: a step has no native code.
    """
    g = Graph()
    slots: list[Node | None] = [None] * tape.slot_count
    places = {slot: place for place, slot in enumerate(tape.inputs)}
    for step in tape:
        row, params = step.primitive, dict(step.params)
        args: list[Any] = [slots[i] for i in step.operands]
        if row.name == "input":
            slot = step.slots.start
            aval = tape.aval_of(slot)
            slots[slot] = g.add("input", (), *aval, place=places[slot])
        elif row.name == "const":
            shape, dtype = tape.aval_of(step.slots.start)
            value = np.asarray(params["value"], dtype)
            slots[step.slots.start] = g.const(value.reshape(shape))
        elif row.name == "guard":
            outcome = params["guard"].outcome
            g.add("guard", args, (), "bool", step=step.number, outcome=outcome)
        elif row.name == "call":
            msg = "native code is for flat tapes; put sub-tapes in place first"
            raise CompileError(msg)
        elif not row.whole:
            slots[step.slots.start] = g.map(row.name, *args, **params)
        elif row.name in RULES:
            found = RULES[row.name](g, *args, **params)
            parts = found if isinstance(found, tuple) else (found,)
            for slot, part in zip(step.slots, parts, strict=True):
                slots[slot] = part
        else:
            msg = (
                f"step {step.number}, {row.name}, has no native code for arrays; sweep "
                "the tape itself, or give the row a rule in tapegrad.native.arrays"
            )
            raise CompileError(msg)
    return g, slots


# -- data movement ---------------------------------------------------------------------


@rule
def reshape(g: Graph, x: Node, shape: Any) -> Node:
    return g.reshape(x, shape)


@rule
def transpose(g: Graph, x: Node, axes: Any) -> Node:
    return g.transpose(x, axes)


@rule
def broadcast_to(g: Graph, x: Node, shape: Any) -> Node:
    return g.broadcast(x, shape)


@rule
def astype(g: Graph, x: Node, dtype: str) -> Node:
    return g.cast(x, dtype)


@rule
def index(g: Graph, x: Node, key: Any) -> Node:
    return g.add("index", (x,), indexed(x.shape, key), x.dtype, key=key)


@rule
def scatter(g: Graph, v: Node, key: Any, shape: Any) -> Node:
    return g.add("scatter", (v,), shape, v.dtype, key=key)


@rule
def index_set(g: Graph, x: Node, v: Node, key: Any) -> Node:
    v = g.cast(g.broadcast(v, indexed(x.shape, key)), x.dtype)
    return g.add("set", (x, v), x.shape, x.dtype, key=key)


def _wide(shape: Any, key: Any, at: Sequence[Node]) -> tuple[Any, int]:
    """The shape that index arrays broadcast to, and where its axes stand."""
    wide = np.broadcast_shapes(*(a.shape for a in at))
    places = [place for place, entry in enumerate(key) if entry == "a"]
    adjacent = places == list(range(places[0], places[0] + len(places)))
    before = sum(not isinstance(e, int) for e in key[: places[0]]) if adjacent else 0
    return wide, before


def _picked(shape: Any, key: Any, wide: Any, front: int) -> tuple[int, ...]:
    """The shape of what a key with integer arrays picks."""
    rest = [1 if e is None else e[1] for e in key if e is None or isinstance(e, tuple)]
    return (*rest[:front], *wide, *rest[front:])


def _checked(g: Graph, shape: Any, key: Any, at: Sequence[Node]) -> None:
    """Places from outside are looked at before they are used."""
    axes = [axis for axis, e in enumerate(e for e in key if e is not None) if e == "a"]
    for array, axis in zip(at, axes, strict=True):
        size, value = shape[axis], array.params.get("value")
        while value is None and array.op == "axes":
            array = array.args[0]
            value = array.params.get("value")
        if value is None:
            g.add("check", (array,), (), "bool", size=size)
        elif value.size and not (-size <= value.min() and value.max() < size):
            msg = f"index {value!r:.80} is out of bounds for an axis of size {size}"
            raise CompileError(msg)


@rule
def gather(g: Graph, x: Node, *at: Node, key: Any) -> Node:
    wide, front = _wide(x.shape, key, at)
    shape = _picked(x.shape, key, wide, front)
    _checked(g, x.shape, key, at)
    return g.add(
        "gather", (x, *at), shape, x.dtype, key=key, wide=len(wide), front=front
    )


@rule
def scatter_add(g: Graph, v: Node, *at: Node, key: Any, shape: Any) -> Node:
    wide, front = _wide(shape, key, at)
    _checked(g, shape, key, at)
    return g.add(
        "scatter_add", (v, *at), shape, v.dtype, key=key, wide=len(wide), front=front
    )


@rule
def gather_set(g: Graph, x: Node, v: Node, *at: Node, key: Any) -> Node:
    wide, front = _wide(x.shape, key, at)
    v = g.cast(g.broadcast(v, _picked(x.shape, key, wide, front)), x.dtype)
    _checked(g, x.shape, key, at)
    return g.add(
        "gather_set", (x, v, *at), x.shape, x.dtype, key=key, wide=len(wide), front=front
    )


@rule
def concatenate(g: Graph, *xs: Node, axis: int) -> Node:
    size = sum(x.shape[axis] for x in xs)
    shape = (*xs[0].shape[:axis], size, *xs[0].shape[axis + 1 :])
    starts = np.cumsum([0, *(x.shape[axis] for x in xs)]).tolist()
    return g.add("concat", xs, shape, xs[0].dtype, axis=axis, starts=starts)


@rule
def tril(g: Graph, x: Node, k: int) -> Node:
    return g.add("tri", (x,), x.shape, x.dtype, k=k, lower=True)


@rule
def triu(g: Graph, x: Node, k: int) -> Node:
    return g.add("tri", (x,), x.shape, x.dtype, k=k, lower=False)


@rule
def cumsum(g: Graph, x: Node, axis: int) -> Node:
    return g.call("cumsum", (x,), (x.shape, x.dtype), axis=axis)


@rule
def argsort(g: Graph, x: Node, axis: int) -> Node:
    last = x.ndim - 1
    order = [*(a for a in range(x.ndim) if a != axis), axis]
    moved = g.transpose(x, order)
    found = g.call("argsort", (moved,), (moved.shape, "int64"))
    return g.transpose(found, [order.index(a) for a in range(last + 1)])


def _extreme_place(g: Graph, x: Node, axis: int, *, most: bool) -> Node:
    order = [*(a for a in range(x.ndim) if a != axis), axis]
    moved = g.transpose(x, order)
    shape = reduced(x.shape, (axis,))
    return g.call("argmost", (moved,), (shape, "int64"), most=most)


@rule
def argmax(g: Graph, x: Node, axis: int) -> Node:
    return _extreme_place(g, x, axis, most=True)


@rule
def argmin(g: Graph, x: Node, axis: int) -> Node:
    return _extreme_place(g, x, axis, most=False)


# -- reductions ------------------------------------------------------------------------


def _sum(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("add", x, axes)


RULES["sum"] = _sum


@rule
def prod(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("mul", x, axes)


@rule
def amax(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("maximum", x, axes)


@rule
def amin(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("minimum", x, axes)


def _any(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("or", g.cast(x, "bool"), axes)


def _all(g: Graph, x: Node, axes: Any) -> Node:
    return g.reduce("and", g.cast(x, "bool"), axes)


RULES["any"], RULES["all"] = _any, _all


def _count(x: Node, axes: Sequence[int]) -> int:
    return math.prod(x.shape[axis] for axis in axes)


@rule
def mean(g: Graph, x: Node, axes: Any) -> Node:
    total = g.reduce("add", x, axes)
    return g.map("div", total, g.number(_count(x, axes), x))


@rule
def std(g: Graph, x: Node, axes: Any, ddof: int) -> Node:
    away = g.map("sub", x, g.spread(mean(g, x, axes), x.shape, axes))
    total = g.reduce("add", g.map("mul", away, away), axes)
    free = max(_count(x, axes) - ddof, 0)
    return g.map("sqrt", g.map("div", total, g.number(free, x)))


def _is_finite(g: Graph, x: Node) -> Node:
    return g.map("less", g.map("abs", x), g.number(math.inf, x))


@rule
def norm(g: Graph, x: Node, axes: Any) -> Node:
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
def logsumexp(g: Graph, x: Node, axes: Any) -> Node:
    if not _count(x, axes):
        return g.broadcast(g.number(-math.inf, x), reduced(x.shape, axes))
    top = g.reduce("maximum", x, axes)
    base = g.map("where", _is_finite(g, top), top, g.number(0.0, x))
    moved = g.map("sub", x, g.spread(base, x.shape, axes))
    total = g.reduce("add", g.map("exp", moved), axes)
    return g.map("add", g.map("log", total), base)


@rule
def softmax(g: Graph, x: Node, axes: Any) -> Node:
    if not _count(x, axes):
        return x
    top = g.spread(g.reduce("maximum", x, axes), x.shape, axes)
    e = g.map("exp", g.map("sub", x, top))
    return g.map("div", e, g.spread(g.reduce("add", e, axes), x.shape, axes))


# -- products --------------------------------------------------------------------------


@rule
def matmul(g: Graph, a: Node, b: Node) -> Node:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
    count = math.prod(batch)
    if not b.shape[:-2] and a.shape[:-2]:  # one matrix for the whole stack
        flat = g.reshape(a, (count * n, k))
        return g.reshape(matmul(g, flat, b), (*batch, n, m))
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
def einsum(g: Graph, *xs: Node, subscripts: str) -> Node:
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

    product = matmul(
        g, grouped(xs[0], one, (both, left, inner)), grouped(xs[1], two, (both, inner, right))
    )
    order = [*both, *left, *right]
    full = g.reshape(product, tuple(sizes[c] for c in order))
    return g.transpose(full, [order.index(c) for c in out])


# -- linear algebra --------------------------------------------------------------------


def _stack(g: Graph, a: Node) -> tuple[Any, int]:
    if 0 in a.shape:
        msg = f"linear algebra of empty arrays, here of shape {a.shape}, is not native"
        raise CompileError(msg)
    return a.shape[:-2], a.shape[-1]


def _factored(g: Graph, a: Node, *, strict: bool) -> tuple[Node, ...]:
    """LU factors of each matrix, transposed, and the rows that were exchanged."""
    batch, n = _stack(g, a)
    avals = ((a.shape, a.dtype), ((*batch, n), "int32"))
    return g.calls("getrf", (a,), avals, strict=strict)


@rule
def solve(g: Graph, a: Node, b: Node) -> Node:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    _stack(g, b)
    a = g.broadcast(a, (*batch, *a.shape[-2:]))
    b = g.swapped(g.broadcast(b, (*batch, *b.shape[-2:])))
    found = g.call("getrs", (*_factored(g, a, strict=True), b), (b.shape, b.dtype))
    return g.swapped(found)


@rule
def inv(g: Graph, a: Node) -> Node:
    return g.call("getri", _factored(g, a, strict=True), (a.shape, a.dtype))


def _determinant(g: Graph, a: Node, kind: str) -> Node:
    batch, _ = _stack(g, a)
    factors = _factored(g, a, strict=False)
    return g.call("determinant", factors, (batch, a.dtype), kind=kind)


@rule
def det(g: Graph, a: Node) -> Node:
    return _determinant(g, a, "det")


@rule
def logabsdet(g: Graph, a: Node) -> Node:
    return _determinant(g, a, "log")


@rule
def signdet(g: Graph, a: Node) -> Node:
    return _determinant(g, a, "sign")


@rule
def cofactor(g: Graph, a: Node) -> Node:
    # a singular matrix has no native answer: the interpreter has
    number = g.reshape(det(g, a), (*a.shape[:-2], 1, 1))
    return g.map("mul", number, g.swapped(inv(g, a)))


@rule
def cholesky(g: Graph, a: Node) -> Node:
    _stack(g, a)
    found = g.call("potrf", (a,), (a.shape, a.dtype))
    return tril(g, found, 0)


@rule
def solve_triangular(g: Graph, a: Node, b: Node, **which: bool) -> Node:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    _stack(g, a)
    _stack(g, b)
    a = g.broadcast(a, (*batch, *a.shape[-2:]))
    b = g.broadcast(b, (*batch, *b.shape[-2:]))
    return g.call("trsm", (a, b), (b.shape, b.dtype), **which)


@rule
def eigh(g: Graph, a: Node) -> tuple[Node, ...]:
    _stack(g, a)
    avals = ((a.shape[:-1], a.dtype), (a.shape, a.dtype))
    w, v = g.calls("syevd", (g.swapped(a),), avals)
    return w, g.swapped(v)


@rule
def svdvals(g: Graph, a: Node) -> Node:
    _stack(g, a)
    shape = (*a.shape[:-2], min(a.shape[-2:]))
    return g.call("gesdd", (a,), (shape, a.dtype))


@rule
def lstsq(g: Graph, a: Node, b: Node) -> Node:
    _stack(g, a)
    _stack(g, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n, (m, k) = a.shape[-1], b.shape[-2:]
    a = g.swapped(g.broadcast(a, (*batch, m, n)))
    b = g.swapped(g.broadcast(b, (*batch, m, k)))
    found = g.call("gels", (a, b), (b.shape, b.dtype))
    key = (*((0, size, 1) for size in (*batch, k)), (0, n, 1))
    return g.swapped(index(g, found, key))


def missing() -> list[str]:
    """Rows of whole arrays without a rule here; for tests."""
    return [row.name for row in TABLE if row.whole and row.name not in RULES]
