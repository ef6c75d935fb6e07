"""Rows that move entries: reshape, transpose, index, write, gather, join. Floor 1.

All are linear; each gives its transpose. Keys are written out (see ``shapes``).
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules import shapes
from tapegrad.rules.primitive import Primitive, Sample, row


def spread(m: Any, x: Any, shape: Any, axes: Any) -> Any:
    """A reduced array against the axes that it lost."""
    return m.broadcast_to(m.reshape(x, shape=shapes.kept(shape, axes)), shape=shape)


def unbroadcast(m: Any, x: Any, shape: Any) -> Any:
    """The transpose of a broadcast: sums over the axes that were stretched."""
    have = m.shape(x)
    if have == shape:
        return x
    lead = len(have) - len(shape)
    axes = tuple(
        place
        for place, size in enumerate(have)
        if place < lead or (shape[place - lead] == 1 and size != 1)
    )
    summed = m.sum(x, axes=axes) if axes else x
    return summed if m.shape(summed) == shape else m.reshape(summed, shape=shape)


def to_slices(key: shapes.Key) -> tuple[Any, ...]:
    """A key as NumPy takes it; the letter "a" stays."""
    return tuple(
        slice(
            entry[0],
            None
            if entry[0] + entry[1] * entry[2] < 0
            else entry[0] + entry[1] * entry[2],
            entry[2],
        )
        if isinstance(entry, tuple)
        else entry
        for entry in key
    )


def with_arrays(key: shapes.Key, arrays: Any) -> tuple[Any, ...]:
    """A key as NumPy takes it, its integer arrays put in."""
    left = iter(arrays)
    return tuple(next(left) if entry == "a" else entry for entry in to_slices(key))


def flipped(m: Any, x: Any, axis: int) -> Any:
    """The entries in reverse order along an axis."""
    key = tuple(
        (size - 1, size, -1) if place == axis else (0, size, 1)
        for place, size in enumerate(m.shape(x))
    )
    return m.index(x, key=key)


def _put(np: Any, base: Any, places: Any, value: Any) -> Any:
    made = np.array(base)
    made[places] = value
    return made


def _scattered(np: Any, value: Any, shape: Any, places: Any) -> Any:
    made = np.zeros(shape, np.asarray(value).dtype)
    made[places] = value
    return made


def _added(np: Any, value: Any, shape: Any, places: Any) -> Any:
    made = np.zeros(shape, np.asarray(value).dtype)
    np.add.at(made, places, value)
    return made


RESHAPE = row(
    Primitive(
        "reshape",
        1,
        kind="linear",
        source="data movement",
        numpy=lambda np, x, shape: np.reshape(x, shape),
        shape=shapes.reshaped,
        pull=lambda m, bar, y, x, shape: (m.reshape(bar, shape=m.shape(x)),),
        samples=(
            Sample(((2, 3),), {"shape": (3, 2)}),
            Sample(((),), {"shape": (1, 1)}),
            Sample(((0, 3),), {"shape": (3, 0)}),
        ),
    )
)
TRANSPOSE = row(
    Primitive(
        "transpose",
        1,
        kind="linear",
        source="data movement",
        numpy=lambda np, x, axes: np.transpose(x, axes),
        shape=shapes.permuted,
        pull=lambda m, bar, y, x, axes: (
            m.transpose(bar, axes=tuple(axes.index(i) for i in range(len(axes)))),
        ),
        samples=(
            Sample(((2, 3),), {"axes": (1, 0)}),
            Sample(((2, 3, 4),), {"axes": (2, 0, 1)}),
        ),
    )
)
BROADCAST = row(
    Primitive(
        "broadcast_to",
        1,
        kind="linear",
        source="data movement",
        numpy=lambda np, x, shape: np.broadcast_to(x, shape),
        shape=shapes.stretched,
        pull=lambda m, bar, y, x, shape: (unbroadcast(m, bar, m.shape(x)),),
        samples=(
            Sample(((3,),), {"shape": (2, 3)}),
            Sample(((2, 1),), {"shape": (4, 2, 3)}),
            Sample(((),), {"shape": (0,)}),
        ),
    )
)
ASTYPE = row(
    Primitive(
        "astype",
        1,
        kind="linear",
        source="a conversion between dtypes; the identity on the reals",
        numpy=lambda np, x, dtype: np.asarray(x).astype(dtype)[()],
        shape=lambda x, dtype: (x[0], dtype),
        pull=lambda m, bar, y, x, dtype: (
            m.astype(bar, dtype=m.dtype(x)) if m.dtype(x) in shapes.FLOATING else None,
        ),
        samples=(Sample(((3,),), {"dtype": "float64"}),),
    )
)
INDEX = row(
    Primitive(
        "index",
        1,
        kind="linear",
        symbol="[]",
        source="data movement; a basic index",
        numpy=lambda np, x, key: x[to_slices(key)],
        shape=lambda x, key: (shapes.indexed(x[0], key), x[1]),
        pull=lambda m, bar, y, x, key: (m.scatter(bar, key=key, shape=m.shape(x)),),
        samples=(
            Sample(((4, 3),), {"key": (1, (2, 3, -1))}),
            Sample(((5,),), {"key": ((0, 2, 3), None)}),
            Sample(((5,),), {"key": ((0, 0, 1),)}),
        ),
    )
)
SCATTER = row(
    Primitive(
        "scatter",
        1,
        kind="linear",
        source="the transpose of index: entries put into zeros",
        numpy=lambda np, v, key, shape: _scattered(np, v, shape, to_slices(key)),
        shape=lambda v, key, shape: (
            shapes.put(shapes.indexed(shape, key), shape, v[0]),
            v[1],
        ),
        pull=lambda m, bar, y, v, key, shape: (m.index(bar, key=key),),
        samples=(Sample(((2, 1),), {"key": ((0, 2, 3), None), "shape": (5,)}),),
    )
)
INDEX_SET = row(
    Primitive(
        "index_set",
        2,
        kind="linear",
        symbol="[]=",
        source="a new version of an array, with entries replaced",
        numpy=lambda np, x, v, key: _put(np, x, to_slices(key), v),
        shape=lambda x, v, key: (
            shapes.written(x[0], shapes.indexed(x[0], key), v[0]),
            x[1],
        ),
        pull=lambda m, bar, y, x, v, key: (
            m.index_set(bar, m.like(0, v), key=key),
            m.index(bar, key=key),
        ),
        samples=(Sample(((4, 3), (3,)), {"key": (1, (2, 3, -1))}),),
    )
)
GATHER = row(
    Primitive(
        "gather",
        -1,
        kind="linear",
        indices=1,
        symbol="[[]]",
        source="an index with integer arrays",
        numpy=lambda np, x, *at, key: x[with_arrays(key, at)],
        shape=lambda x, *at, key: (
            shapes.gathered(x[0], key, [a[0] for a in at]),
            x[1],
        ),
        pull=lambda m, bar, y, x, *at, key: (
            m.scatter_add(bar, *at, key=key, shape=m.shape(x)),
            *(None for _ in at),
        ),
        samples=(
            Sample(((4, 3), (2, 2)), {"key": ("a", (0, 3, 1))}, ("real", "index:4")),
            Sample(
                ((4, 3), (5,), (5,)),
                {"key": ("a", "a")},
                ("real", "index:4", "index:3"),
            ),
        ),
    )
)
SCATTER_ADD = row(
    Primitive(
        "scatter_add",
        -1,
        kind="linear",
        indices=1,
        source="the transpose of gather: entries added into zeros",
        numpy=lambda np, v, *at, key, shape: _added(np, v, shape, with_arrays(key, at)),
        shape=lambda v, *at, key, shape: (
            shapes.put(shapes.gathered(shape, key, [a[0] for a in at]), shape, v[0]),
            v[1],
        ),
        pull=lambda m, bar, y, v, *at, key, shape: (
            m.gather(bar, *at, key=key),
            *(None for _ in at),
        ),
        samples=(
            Sample(((5,), (5,)), {"key": ("a",), "shape": (3,)}, ("real", "index:3")),
        ),
    )
)


def _winners(m: Any, bar: Any, v: Any, at: Any, key: Any) -> Any:
    """The adjoint of values that were written and not overwritten by a later one.

    Each value's number is written as the values were; those found again have stayed.
    """
    number = m.count_up(m.shape(v))
    written = m.gather_set(m.like(0, bar), number, *at, key=key)
    stayed = m.equal(m.gather(written, *at, key=key), number)
    return m.where(stayed, m.gather(bar, *at, key=key), 0)


GATHER_SET = row(
    Primitive(
        "gather_set",
        -1,
        kind="linear",
        indices=2,
        symbol="[[]]=",
        source="a new version, written at integer arrays; the last one wins",
        numpy=lambda np, x, v, *at, key: _put(np, x, with_arrays(key, at), v),
        shape=lambda x, v, *at, key: (
            shapes.written(x[0], shapes.gathered(x[0], key, [a[0] for a in at]), v[0]),
            x[1],
        ),
        pull=lambda m, bar, y, x, v, *at, key: (
            m.gather_set(bar, m.like(0, v), *at, key=key),
            _winners(m, bar, v, at, key),
            *(None for _ in at),
        ),
        samples=(
            Sample(((4,), (5,), (5,)), {"key": ("a",)}, ("real", "real", "index:4")),
        ),
    )
)


def _cuts(m: Any, bar: Any, parts: Any, axis: int) -> Any:
    out, start = [], 0
    for part in parts:
        shape = m.shape(part)
        key = tuple(
            (start, size, 1) if place == axis else (0, size, 1)
            for place, size in enumerate(shape)
        )
        out.append(m.index(bar, key=key))
        start += shape[axis]
    return tuple(out)


CONCATENATE = row(
    Primitive(
        "concatenate",
        -1,
        kind="linear",
        source="data movement",
        numpy=lambda np, *xs, axis: np.concatenate(xs, axis),
        shape=shapes.joined,
        pull=lambda m, bar, y, *xs, axis: _cuts(m, bar, xs, axis),
        samples=(
            Sample(((2, 3), (2, 1)), {"axis": 1}),
            Sample(((2,), (0,), (3,)), {"axis": 0}),
        ),
    )
)
TRIL = row(
    Primitive(
        "tril",
        1,
        kind="linear",
        lanes="stack",
        source="entries on and below diagonal k; zeros above",
        numpy=lambda np, x, k: np.tril(x, k),
        shape=shapes.same,
        pull=lambda m, bar, y, x, k: (m.tril(bar, k=k),),
        samples=(Sample(((3, 3),), {"k": 0}), Sample(((2, 3, 4),), {"k": -1})),
    )
)
TRIU = row(
    Primitive(
        "triu",
        1,
        kind="linear",
        lanes="stack",
        source="entries on and above diagonal k; zeros below",
        numpy=lambda np, x, k: np.triu(x, k),
        shape=shapes.same,
        pull=lambda m, bar, y, x, k: (m.triu(bar, k=k),),
        samples=(Sample(((3, 3),), {"k": 0}), Sample(((4, 2),), {"k": 1})),
    )
)

# Rows each of whose entries is one entry of an operand, or 0: nothing is computed.
MOVING = frozenset(
    made.name
    for made in (
        *(RESHAPE, TRANSPOSE, BROADCAST, INDEX, SCATTER, INDEX_SET),
        *(GATHER, GATHER_SET, CONCATENATE, TRIL, TRIU),
    )
)

CUMSUM = row(
    Primitive(
        "cumsum",
        1,
        kind="linear",
        lanes="axes",
        source="running sums; the transpose runs the other way",
        numpy=lambda np, x, axis: np.cumsum(x, axis),
        shape=shapes.same,
        pull=lambda m, bar, y, x, axis: (
            flipped(m, m.cumsum(flipped(m, bar, axis), axis=axis), axis),
        ),
        samples=(Sample(((4,),), {"axis": 0}), Sample(((2, 3),), {"axis": 1})),
    )
)
ARGSORT = row(
    Primitive(
        "argsort",
        1,
        kind="discrete",
        lanes="axes",
        source="places in rising order along an axis, equal ones in their order",
        numpy=lambda np, x, axis: np.argsort(x, axis, kind="stable"),
        shape=lambda x, axis: (x[0], "int64"),
        samples=(Sample(((5,),), {"axis": 0}), Sample(((2, 3),), {"axis": 1})),
    )
)
FLOOR_DIVIDE = row(
    Primitive(
        "floor_divide",
        2,
        kind="discrete",
        lanes="entries",
        source="the floor of a quotient of ints; 0 of a division by 0, as in NumPy",
        symbol="//",
        integers=True,
        numpy=lambda np, a, b: np.floor_divide(a, b),
        shape=lambda a, b: (shapes.broadcast(a[0], b[0]), "int64"),
        samples=(
            Sample(((5,), (5,)), {}, ("index:9", "index:4")),
            Sample(((2, 3), ()), {}, ("index:9", "index:4")),
        ),
    )
)
ARGMAX = row(
    Primitive(
        "argmax",
        1,
        kind="discrete",
        lanes="axes",
        source="the first place of the largest entry along an axis",
        numpy=lambda np, x, axis: np.argmax(x, axis),
        shape=lambda x, axis: (shapes.reduced(x[0], (axis,)), "int64"),
        samples=(Sample(((5,),), {"axis": 0}), Sample(((2, 3),), {"axis": 1})),
    )
)
ARGMIN = row(
    Primitive(
        "argmin",
        1,
        kind="discrete",
        lanes="axes",
        source="the first place of the smallest entry along an axis",
        numpy=lambda np, x, axis: np.argmin(x, axis),
        shape=lambda x, axis: (shapes.reduced(x[0], (axis,)), "int64"),
        samples=(Sample(((5,),), {"axis": 0}), Sample(((2, 3),), {"axis": 1})),
    )
)
