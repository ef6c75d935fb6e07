"""Where entries stand: views, and places as functions of loop counters. Floor 9.

A `Term` is the place along one axis, an affine function of one loop's counter:

    place = coefficient * counter + offset

Loops run over a *box*, a range for each counter. Selections (scatter, set, concat) are
decided once for a whole box; where a box lies on both sides of one's edge it is cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tapegrad.native.arrays.graph import Node
from tapegrad.rules.shapes import Shape


class Term(NamedTuple):
    """A place along an axis; the loop is -1 where it does not depend on any."""

    loop: int
    coefficient: int
    offset: int


FIRST = Term(-1, 0, 0)
Terms = tuple[Term, ...]
Box = tuple[tuple[int, int], ...]


class View(NamedTuple):
    """Entries of a stored array: where the first is, and steps along each axis."""

    base: Node
    offset: int
    strides: tuple[int, ...]


class Cut(Exception):
    """A box must be cut: along which loop, and before which counter."""

    def __init__(self, loop: int, at: int) -> None:
        super().__init__(loop, at)
        self.loop = loop
        self.at = at


class Stored(Exception):
    """Nodes cannot be computed where they are read and must be stored."""

    def __init__(self, *nodes: Node) -> None:
        super().__init__(*nodes)
        self.nodes = nodes


def identity(shape: Shape) -> Terms:
    """Loops that run over a shape, axis by axis."""
    return tuple(
        FIRST if size == 1 else Term(axis, 1, 0) for axis, size in enumerate(shape)
    )


def contiguous(shape: Shape) -> tuple[int, ...]:
    """Steps of an array in C order."""
    out, step = [], 1
    for size in reversed(shape):
        out.append(step)
        step *= size
    return tuple(reversed(out))


def is_contiguous(shape: Shape, strides: Sequence[int]) -> bool:
    """Whether steps are those of C order, axes of size 1 aside."""
    if 0 in shape:
        return True
    return all(
        have == want or size == 1
        for have, want, size in zip(strides, contiguous(shape), shape, strict=True)
    )


def viewed(node: Node, of: View) -> View | None:
    """A node that is a view, in a view of its operand; None when entries must move."""
    base, offset, strides = of
    if node.op == "axes":
        out = [0] * node.ndim
        for step, axis in zip(strides, node.params["where"], strict=True):
            if axis is not None:
                out[axis] += step
        return View(base, offset, tuple(out))
    if node.op == "index":
        found, axis = [], 0
        for entry in node.params["key"]:
            if entry is None:
                found.append(0)
                continue
            if isinstance(entry, tuple):
                start, _, step = entry
                found.append(strides[axis] * step)
            else:
                start = entry
            offset += start * strides[axis]
            axis += 1
        return View(base, offset, tuple(found))
    shape = node.args[0].shape
    if is_contiguous(shape, strides):
        return View(base, offset, contiguous(node.shape))
    if not any(step for step, size in zip(strides, shape, strict=True) if size != 1):
        return View(base, offset, (0,) * node.ndim)
    return None


def span(term: Term, box: Box) -> tuple[int, int]:
    """The least and the greatest place over a box."""
    if term.loop < 0:
        return term.offset, term.offset
    low, high = box[term.loop]
    ends = (
        term.coefficient * low + term.offset,
        term.coefficient * (high - 1) + term.offset,
    )
    return min(ends), max(ends)


def within(
    term: Term, entry: int | tuple[int, int, int], box: Box, node: Node
) -> Term | None:
    """The place in a slice, of a place in the whole; None outside the slice.

    Raises:
        Cut: the box lies on both sides of an end.
        Stored: some places of the box are in the slice, and there is no rule for which.
    """
    start, count, step = entry if isinstance(entry, tuple) else (entry, 1, 1)
    if not count:
        return None
    step = step if count > 1 else 1
    first, last = sorted((start, start + (count - 1) * step))
    low, high = span(term, box)
    if high < first or low > last:
        return None
    loop, c, offset = term
    if low < first:
        at = -((offset - first) // c) if c > 0 else (offset - first) // -c + 1
        raise Cut(loop, at)
    if high > last:
        at = (last - offset) // c + 1 if c > 0 else -((last - offset) // -c)
        raise Cut(loop, at)
    if step in {1, -1}:
        return Term(loop, c * step, (offset - start) * step)
    if c % step:
        raise Stored(node)
    if (offset - start) % step:
        return None
    return Term(loop, c // step, (offset - start) // step)


def count(box: Box) -> int:
    """Entries of a box."""
    return math.prod(high - low for low, high in box)
