"""What each entry of a step reads, by the kind of its row. Floor 9.

The reach of a step follows from those of its operands and from the kind of its row. An
elementwise row or a reduction that is added needs no word here; another row of whole
arrays that is not named here counts as one of the rest:

    elementwise     the union over the operands, broadcast
    movement        the row itself, applied to the numbers of the entries
    reduction       the union over the axes
    product         the union over the shared indices
    linear algebra  everything of the same matrix in a stack
    the rest        everything; or nothing, where no derivative passes

A factor that is known and 0 cuts what it multiplies; a known condition chooses its arm.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.movement import MOVING
from tapegrad.rules.shapes import broadcast, kept, reduced
from tapegrad.sparse import reaches
from tapegrad.sparse.reaches import Reach

Shape = tuple[int, ...]

# Rows that keep the entries and their order.
SAME = frozenset({"reshape", "astype"})
# Rows over stacks of matrices.
STACKED = frozenset(
    {
        "inv",
        "cofactor",
        "det",
        "logabsdet",
        "cholesky",
        "svdvals",
        "eigh",
    }
)
# Rows that solve for each column of their second operand.
SYSTEMS = frozenset({"solve", "solve_triangular", "lstsq"})


class Operand(NamedTuple):
    """What is known of a slot that a step reads.

    Args:
        shape: its shape.
        reach: which variables its entries depend on; None for none.
        value: its value, where no variable decides it.
    """

    shape: Shape
    reach: Reach | None
    value: Any = None

    @property
    def size(self) -> int:
        """The number of its entries."""
        return math.prod(self.shape)


def through(
    row: Primitive,
    params: Mapping[str, Any],
    operands: Sequence[Operand],
    shape: Shape,
) -> Reach | None:
    """The reach of one result of a step, of a given shape."""
    if all(operand.reach is None for operand in operands):
        return None
    if row.kind == "elementwise":
        return _elementwise(row, params, operands, shape)
    if row.kind == "select":
        return _select(operands, shape)
    name = row.name
    if name in SAME:
        return operands[0].reach
    if name in MOVING:
        return _moved(row, params, operands, shape)
    if name == "scatter_add":
        return _added(params, operands, shape)
    if name in {"sum", "mean"} or row.kind == "reduction":
        return _reduced(operands[0], params["axes"])
    if name == "softmax":
        groups = _reduced(operands[0], params["axes"])
        return reaches.stretched(groups, kept(shape, params["axes"]), shape)
    if name == "cumsum":
        return _running(operands[0], params["axis"])
    if name == "matmul":
        return _product(operands, shape, *_matrix_letters(operands))
    if name == "einsum":
        given, output = params["subscripts"].split("->")
        return _product(operands, shape, given.split(","), output)
    if name in SYSTEMS and len(operands) == 2:
        return _solved(operands, shape)
    if name in STACKED and all(len(operand.shape) >= 2 for operand in operands):
        return _stacked(operands, shape)
    return everything(operands, shape)


def everything(operands: Sequence[Operand], shape: Shape) -> Reach:
    """Every entry depends on whatever any operand depends on."""
    found = [reaches.overall(x.reach) for x in operands if x.reach is not None]
    return reaches.repeated(reaches.union(found), math.prod(shape))


@functools.cache
def _passes(name: str, count: int, frozen: tuple[Any, ...]) -> tuple[bool, ...]:
    """Which operands of an elementwise row a derivative reaches: not by a plain 0."""
    row = TABLE[name]
    found = SCALAR.partials(row, 0.5, *[0.5] * count, **dict(frozen))
    return tuple(type(partial) is not int or partial != 0 for partial in found)


def passes(row: Primitive, count: int, params: Mapping[str, Any]) -> tuple[bool, ...]:
    """Which operands a derivative by them exists for; see `_passes`."""
    if row.partials is None:
        return (False,) * count
    return _passes(row.name, count, tuple(params.items()))


def _elementwise(
    row: Primitive, params: Mapping[str, Any], operands: Sequence[Operand], shape: Shape
) -> Reach | None:
    parts = []
    marks = passes(row, len(operands), params)
    for place, (operand, passed) in enumerate(zip(operands, marks, strict=True)):
        if operand.reach is None or not passed:
            continue
        part = reaches.stretched(operand.reach, operand.shape, shape)
        if row.name == "mul" and (factor := operands[1 - place].value) is not None:
            part = reaches.kept(part, _spread(factor, shape) != 0)
        parts.append(part)
    return reaches.union(parts)


def _spread(value: Any, shape: Shape) -> Any:
    return np.broadcast_to(np.asarray(value), shape).ravel()


def _select(operands: Sequence[Operand], shape: Shape) -> Reach | None:
    condition = operands[0].value
    parts = []
    for arm, taken in zip(operands[1:], (True, False), strict=True):
        if arm.reach is not None:
            part = reaches.stretched(arm.reach, arm.shape, shape)
            if condition is not None:
                part = reaches.kept(part, (_spread(condition, shape) != 0) == taken)
            parts.append(part)
    return reaches.union(parts)


def _moved(
    row: Primitive, params: Mapping[str, Any], operands: Sequence[Operand], shape: Shape
) -> Reach:
    """The row applied to the numbers of entries; 0 stands for a zero of its own."""
    numbered, mine, start = [], [], 1
    for place, operand in enumerate(operands):
        if row.indices and place >= row.indices:
            if operand.value is None:  # indices that a variable decides
                return everything(operands, shape)
            numbered.append(np.asarray(operand.value))
            continue
        numbers = np.arange(start, start + operand.size)
        numbered.append(numbers.reshape(operand.shape))
        mine.append(operand)
        start += operand.size
    source = np.asarray(row.numpy(np, *numbered, **params)).ravel()  # type: ignore[misc]
    (variables,) = {x.reach.shape[1] for x in mine if x.reach is not None}
    every = reaches.joined([x.reach for x in mine], [x.size for x in mine], variables)
    return reaches.taken(every, source)


def _added(
    params: Mapping[str, Any], operands: Sequence[Operand], shape: Shape
) -> Reach:
    """Entries added into zeros: several may reach one place."""
    value, *at = operands
    if any(index.value is None for index in at):
        return everything(operands, shape)
    places = np.arange(math.prod(shape)).reshape(shape)
    found = TABLE["gather"].numpy(  # type: ignore[misc]
        np, places, *(np.asarray(index.value) for index in at), key=params["key"]
    )
    rows = np.asarray(found).ravel()
    return reaches.related(rows, np.arange(value.size), math.prod(shape), value.reach)


def _reduced(operand: Operand, axes: Sequence[int]) -> Reach:
    out = reduced(operand.shape, axes)
    if math.prod(out) == 1:
        return reaches.overall(operand.reach)
    rows = np.arange(math.prod(out)).reshape(kept(operand.shape, axes))
    rows = np.broadcast_to(rows, operand.shape).ravel()
    columns = np.arange(operand.size)
    return reaches.related(rows, columns, math.prod(out), operand.reach)


def _running(operand: Operand, axis: int) -> Reach:
    """A running sum reads what stands before, too."""
    places = np.arange(operand.size).reshape(operand.shape)
    lines = np.moveaxis(places, axis, -1)
    reaches.guard_size(operand.size * lines.shape[-1] // 2)
    rows, columns = np.tril_indices(lines.shape[-1])
    return reaches.related(
        lines[..., rows].ravel(), lines[..., columns].ravel(), operand.size,
        operand.reach,
    )  # fmt: skip


def _matrix_letters(operands: Sequence[Operand]) -> tuple[list[str], str]:
    """A product of stacks of matrices as an einsum."""
    lead = [len(operand.shape) - 2 for operand in operands]
    stack = [chr(0x100 + place) for place in range(max(lead))]
    first, second = ("".join(stack[len(stack) - count :]) for count in lead)
    return [first + "ik", second + "kj"], "".join(stack) + "ij"


def _product(
    operands: Sequence[Operand], shape: Shape, names: Sequence[str], output: str
) -> Reach | None:
    parts = []
    for operand, mine in zip(operands, names, strict=True):
        if operand.reach is None:
            continue
        if len(set(mine)) < len(mine):
            return everything(operands, shape)
        letters = output + "".join(name for name in mine if name not in output)
        out = _numbers(shape, output, letters)
        own = _numbers(operand.shape, mine, letters)
        wide = broadcast(out.shape, own.shape)
        reaches.guard_size(math.prod(wide))
        marks = np.ones(wide, bool)
        for other, theirs in zip(operands, names, strict=True):
            if other is not operand and other.value is not None:
                marks &= _nonzero(other.value, theirs, letters)
        if marks.all():
            rows, columns = (np.broadcast_to(x, wide).ravel() for x in (out, own))
        else:
            rows, columns = (np.broadcast_to(x, wide)[marks] for x in (out, own))
        parts.append(reaches.related(rows, columns, math.prod(shape), operand.reach))
    return reaches.union(parts)


def _numbers(shape: Shape, names: str, letters: str) -> Any:
    """The numbers of an array's entries, its axes in the order of letters."""
    return _ordered(np.arange(math.prod(shape)).reshape(shape), names, letters)


def _ordered(array: Any, names: str, letters: str) -> Any:
    found = np.transpose(array, [names.index(x) for x in letters if x in names])
    return found[tuple(slice(None) if x in names else None for x in letters)]


def _nonzero(value: Any, names: str, letters: str) -> Any:
    """Where a known factor is not 0, for each place of the letters."""
    marks = np.asarray(value) != 0
    for place in range(len(names) - 1, -1, -1):
        if names[place] not in letters:
            marks = marks.any(axis=place)
            names = names[:place] + names[place + 1 :]
    if len(set(names)) < len(names):
        return np.True_
    return _ordered(marks, names, letters)


def _solved(operands: Sequence[Operand], shape: Shape) -> Reach | None:
    """A column of solutions reads the whole matrix, and its own right side."""
    matrix, right = operands
    parts = []
    if matrix.reach is not None:
        parts.append(_stacked([matrix], shape, shape[:-2]))
    if right.reach is not None:
        names, output = _matrix_letters(operands)
        still = Operand(matrix.shape, None)
        parts.append(_product([still, right], shape, names, output))
    return reaches.union(parts)


def _stacked(
    operands: Sequence[Operand], shape: Shape, stack: Shape | None = None
) -> Reach:
    """Linear algebra: everything of the same matrix in a stack."""
    if stack is None:
        stack = broadcast(*(operand.shape[:-2] for operand in operands))
    count = math.prod(stack)
    if shape[: len(stack)] != stack or not count:
        return everything(operands, shape)
    parts = []
    for operand in operands:
        if operand.reach is None:
            continue
        columns = np.arange(operand.size).reshape(operand.shape)
        columns = np.broadcast_to(columns, (*stack, *operand.shape[-2:])).ravel()
        rows = np.repeat(np.arange(count), len(columns) // count)
        parts.append(reaches.related(rows, columns, count, operand.reach))
    each = math.prod(shape) // count
    return reaches.taken(reaches.union(parts), np.repeat(np.arange(count), each))
