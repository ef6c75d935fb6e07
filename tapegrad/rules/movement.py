"""Rows that move whole arrays: reshape, transpose, join; orders along an axis. Floor 1.

The linear ones give their transposes. Rows of indices are in `indexing`.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules import shapes
from tapegrad.rules.indexing import (
    GATHER,
    GATHER_SET,
    INDEX,
    INDEX_SET,
    SCATTER,
)
from tapegrad.rules.primitive import Primitive, Sample, row
from tapegrad.rules.stacks import ENTRY, PACK, WINDOW


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


def flipped(m: Any, x: Any, axis: int) -> Any:
    """The entries in reverse order along an axis."""
    key = tuple(
        (size - 1, size, -1) if place == axis else (0, size, 1)
        for place, size in enumerate(m.shape(x))
    )
    return m.index(x, key=key)


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
        *(WINDOW, ENTRY, PACK),
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
