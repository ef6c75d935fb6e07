"""Masks of adjoints: which entries of an operand a selected entry reads. Floor 3.

The arm of a ``where`` that is not selected is absent: what it receives carries the
arm's mask, and so does what is passed on from there. A mask goes with its adjoint, and
entry by entry where a row goes so; here is what becomes of it in other rows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import kept


def read(
    m: Any, row: Primitive, mask: Any, xs: Sequence[Any], params: Mapping[str, Any]
) -> list[Any]:
    """What of each operand is read by a selected entry, to be fitted to the operand.

    A row of a product reads a row of the first factor, a column one of the second; a
    column of solutions reads a column of the right side and the whole matrix. Matrices
    of a stack know nothing of each other, nor do lines along which a row does not work.
    What is not known here is read where any entry is selected.
    """
    if row.lanes == "axes":
        return [joined(m, mask, params["axes"])]
    ndim = len(m.shape(mask))
    if row.name == "matmul":
        return [joined(m, mask, (ndim - 1,)), joined(m, mask, (ndim - 2,))]
    if row.name == "einsum":
        return _letters(m, mask, params["subscripts"])
    if row.lanes == "stack" and len(xs) == 2:
        columns = joined(m, mask, (ndim - 2,))
        return [joined(m, columns, (ndim - 1,)), columns]
    if row.lanes == "stack" and len(xs) == 1:
        stack = m.shape(xs[0])[:-2]
        some = m.any(mask, axes=tuple(range(len(stack), ndim)))
        return [m.reshape(some, shape=(*stack, 1, 1))]
    return [some_of(m, mask)] * len(xs)


def _letters(m: Any, mask: Any, subscripts: str) -> list[Any]:
    """Of a product of named indices: what has the indices of a selected entry."""
    inputs, output = subscripts.split("->")
    found = []
    for mine in inputs.split(","):
        if len({*mine}) < len(mine):  # a diagonal
            found.append(some_of(m, mask))
            continue
        others = tuple(p for p, name in enumerate(output) if name not in mine)
        left = [name for name in output if name in mine]
        order = [left.index(name) for name in mine if name in left]
        under = m.any(mask, axes=others)
        under = m.transpose(under, axes=tuple(order)) if order else under
        sizes = iter(m.shape(under))
        shape = tuple(next(sizes) if name in left else 1 for name in mine)
        found.append(m.reshape(under, shape=shape))
    return found


def known(mask: Any) -> bool:
    """Whether it is known which entries are selected, and not only when it is run."""
    return isinstance(mask, np.ndarray | np.bool_ | bool)


def either(m: Any, one: Any, other: Any) -> Any:
    """What is in one of two masks; None where that is all."""
    if not (known(one) and known(other)):
        return m.logical_or(one, other)
    return settled(np.logical_or(one, other))


def settled(mask: Any) -> Any:
    """A mask that is known: None where it leaves nothing out, False where all."""
    if mask is None or np.all(mask):
        return None
    if np.ndim(mask) == 0:
        return False
    made = np.asarray(mask)
    made.flags.writeable = False
    return made


class _Arrays:
    """NumPy as a reading, of what moves entries."""

    shape = staticmethod(np.shape)
    number = staticmethod(np.asarray)

    def like(self, value: int, other: Any) -> Any:
        return np.full(np.shape(other), float(value))

    def dtype(self, x: Any) -> str:
        return np.asarray(x).dtype.name

    def __getattr__(self, name: str) -> Any:
        row = TABLE[name]
        whole: Any = row.numpy
        return functools.partial(whole, np) if row.whole else getattr(np, name)


def through(
    m: Any, row: Primitive, mask: Any, y: Any, xs: Sequence[Any], params: Any
) -> list[Any]:
    """The masks of what a linear row passes on, a known one or none given."""
    if row.marks is not None:
        shapes = [m.shape(x) for x in xs]
        return [settled(under) for under in row.marks(np, mask, *shapes, **params)]
    if mask is None:
        return [None] * len(xs)
    blank = [np.zeros(m.shape(x)) for x in xs]
    marks = np.where(mask, 1.0, 0.0)
    rule: Any = row.pull
    seen = rule(_Arrays(), marks, np.zeros(m.shape(y)), *blank, **params)
    return [mark if mark is None else settled(np.not_equal(mark, 0)) for mark in seen]


def joined(m: Any, mask: Any, axes: tuple[int, ...]) -> Any:
    """Whether any entry along some axes is selected; the axes stay, of size 1."""
    return m.reshape(m.any(mask, axes=axes), shape=kept(m.shape(mask), axes))


def masked(m: Any, part: Any, under: Any) -> tuple[Any, Any, Any]:
    """A part that is absent outside of a mask."""
    return None, None if part is None else m.where(under, part, m.number(0)), under


def some_of(m: Any, mask: Any) -> Any:
    """Whether any entry is selected."""
    return m.any(mask, axes=tuple(range(len(m.shape(mask)))))


def fit_mask(m: Any, mask: Any, shape: tuple[int, ...]) -> Any:
    """A mask in the shape of its slot: set where any entry that was joined is."""
    if mask is None or m.shape(mask) == shape:
        return mask
    have = m.shape(mask)
    joined = tuple(
        place
        for place, size in enumerate(have)
        if place < len(have) - len(shape)
        or (size != 1 and shape[place - len(have) + len(shape)] == 1)
    )
    if joined:
        mask = m.reshape(
            m.any(mask, axes=joined),
            shape=tuple(1 if p in joined else size for p, size in enumerate(have))[
                max(len(have) - len(shape), 0) :
            ],
        )
    return mask if m.shape(mask) == shape else m.broadcast_to(mask, shape=shape)
