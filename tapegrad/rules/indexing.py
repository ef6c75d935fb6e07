"""Rows of indices: entries read, written, put into zeros, gathered, added. Floor 1.

All are linear; each gives its transpose. Keys are written out (see ``shapes``): a slice
is its first place, its length and its step; the letter "a" stands for an integer array,
which is an operand.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules import shapes
from tapegrad.rules.primitive import Primitive, Sample, row


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


def _winners(m: Any, bar: Any, at: Any, key: Any) -> Any:
    """The adjoint of values that were written and not overwritten by a later one.

    Each place's number is written as the values were; those found again have stayed.
    """
    read = m.gather(bar, *at, key=key)
    number = m.count_up(m.shape(read))
    written = m.gather_set(m.like(0, bar), number, *at, key=key)
    stayed = m.equal(m.gather(written, *at, key=key), number)
    return m.where(stayed, read, 0)


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
            _winners(m, bar, at, key),
            *(None for _ in at),
        ),
        samples=(
            Sample(((4,), (5,), (5,)), {"key": ("a",)}, ("real", "real", "index:4")),
        ),
    )
)
