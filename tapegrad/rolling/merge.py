"""Reads of an inner loop, all iterations of the outer one at once. Floor 10.

The body of a loop reads ``A[i, 0], A[i, 1], ...`` as so many moving reads. Where a loop
inside of it makes one array of them (`pack`), the outer loop reads the rows of A:

    y[i, j] = A[i, j]           one array of (trips, length) in place of `length` reads
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tapegrad.passes.slim import copied
from tapegrad.rolling.order import SLOTS, Access
from tapegrad.rolling.work import Column
from tapegrad.rules import TABLE
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Aval, Tape


@dataclass(frozen=True)
class Group:
    """Moving reads that a step of the body makes one array of.

    Args:
        step: that step.
        members: places among the body's moving reads and tables, in order.
    """

    step: int
    members: tuple[int, ...]


def groups(body: Tape, first: int, count: int) -> list[Group]:
    """The packs of a body whose operands are moving reads, read by nothing else.

    Args:
        body: one iteration, with its own loops found.
        first: place of the first moving read among its inputs.
        count: number of moving reads and tables.
    """
    if "pack" not in body.operations:
        return []
    uses = np.bincount(body.operands, minlength=body.slot_count)
    uses[list(body.outputs)] += 1
    place = {slot: k for k, slot in enumerate(body.inputs[first : first + count])}
    code = body.operations.index("pack")
    found = []
    for step in np.flatnonzero(body.opcode == code).tolist():
        reads = body.operands[body.offsets[step] : body.offsets[step + 1]].tolist()
        if all(slot in place and uses[slot] == 1 for slot in reads):
            found.append(Group(step, tuple(place[slot] for slot in reads[::-1])))
    return found


def without(body: Tape, first: int, count: int, made: Sequence[Group]) -> Tape:
    """The body that takes each group as one array, behind the reads that stay."""
    out = Columns()
    gone = {place for group in made for place in group.members}
    moved: dict[int, int] = {}
    inputs: list[int] = []

    def take(old: int, aval: Aval) -> None:
        moved[old] = out.input(math.nan, aval)
        inputs.append(moved[old])

    for place, slot in enumerate(body.inputs[: first + count]):
        if place - first not in gone:
            take(slot, body.aval_of(slot))
    for group in made:
        slot = int(body.first[group.step])
        take(slot, body.aval_of(slot))
    for slot in body.inputs[first + count :]:
        take(slot, body.aval_of(slot))
    packs = {group.step for group in made}
    for number, step in enumerate(body):
        if step.primitive.name == "input" or number in packs:
            continue
        copied(body, step, out, moved)
    return out.freeze(tuple(inputs), tuple(moved[slot] for slot in body.outputs))


# -- in which order, and from where ------------------------------------------------


def agreeing(reads: Sequence[Access], made: Sequence[Group]) -> list[Group]:
    """The groups of one source each that may be read at once.

    Entry by entry the reads must stand in the order of the iterations (see `order`).
    """
    owner = {place: group for group in made for place in group.members}
    kept: list[Group] = []
    for source in {reads[place].source for place in owner} - {SLOTS}:
        mine = [g for g in made if {reads[k].source for k in g.members} == {source}]
        if mine and _in_order(reads, source, owner):
            kept += mine
    return sorted(kept, key=lambda group: group.members)


def _in_order(reads: Sequence[Access], source: int, owner: dict[int, Group]) -> bool:
    parts = []
    for place, access in enumerate(reads):
        if access.source == source:
            rank = min(owner[place].members) if place in owner else place
            rows = np.arange(len(access.elements))
            turns = (rows * (1 << 20) + access.step) * 64 - access.operand
            parts.append((access.elements, np.full(len(rows), rank), turns))
    element, ranks, word = (np.concatenate(part) for part in zip(*parts, strict=True))
    by = np.lexsort((word, ranks, element))
    same = element[by][1:] == element[by][:-1]
    return bool((np.diff(word[by])[same] > 0).all())


@dataclass(frozen=True)
class Grid:
    """Entries of an array along straight lines of its axes.

    Args:
        key: for each axis that is named the first index, the number and the stride.
        order: the axes that iterations move along, the loop's own first.
        shape: numbers of iterations, in that order.
    """

    key: tuple[tuple[int, int, int], ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]


def grid(places: Column, shape: Sequence[int]) -> Grid | None:
    """How entries by (iteration, inner iteration) lie in an array; None for no lines.

    Args:
        places: counted along all axes of `shape`.
        shape: of the axes that the reads name.
    """
    trips = len(places)
    for inner in _factors(places[0]):
        box = (trips, *inner)
        key, order = [], {}
        for axis, index in enumerate(np.unravel_index(places, tuple(shape))):
            line = _line(index.reshape(box))
            if line is None or line[0] in order:
                break
            along, first, stride = line
            if along is not None:
                order[along] = axis
            key.append((first, 1 if along is None else box[along], stride))
        else:
            if all(k in order or size == 1 for k, size in enumerate(box)):
                axes = tuple(order[k] for k in range(len(box)) if k in order)
                return Grid(tuple(key), axes, box)
    return None


def _factors(row: Column) -> Iterator[tuple[int, ...]]:
    """Ways to see an iteration's entries as a box: a line, or lines of one length."""
    yield (len(row),)
    steps = np.diff(row)
    turns = np.flatnonzero(steps != steps[0])
    if len(turns) and len(row) % (turns[0] + 1) == 0:
        length = int(turns[0]) + 1
        yield (len(row) // length, length)


def _line(index: Column) -> tuple[int | None, int, int] | None:
    """The one direction in which an index goes on, its start and its stride."""
    first = int(index.flat[0])
    if (index == first).all():
        return None, first, 1
    for along in range(index.ndim):
        ahead = np.moveaxis(index, along, -1)
        line = ahead.reshape(-1, index.shape[along])[0]
        if len(line) < 2:
            continue
        stride = int(line[1] - line[0])
        if stride and (ahead == first + stride * np.arange(len(line))).all():
            return along, first, stride
    return None


def dealt(columns: Columns, source: int, found: Grid, rank: int) -> int:
    """The entries of a grid as an array (trips, count, ...) on growing columns."""
    shape, dtype = columns.aval_at(source)
    rest = shape[rank:]
    key = tuple((a, n, s) for a, n, s in found.key)
    whole = tuple((0, size, 1) for size in rest)
    sizes = (*(n for _, n, _ in key), *rest)
    index = {"key": (*key, *whole)}
    at = columns.append(TABLE["index"], [source], index, [(sizes, dtype)])[0]
    still = [axis for axis in range(rank) if axis not in found.order]
    turned = (*found.order, *still, *range(rank, len(sizes)))
    if turned != tuple(range(len(sizes))):
        sizes = tuple(sizes[axis] for axis in turned)
        params = {"axes": turned}
        at = columns.append(TABLE["transpose"], [at], params, [(sizes, dtype)])[0]
    wanted = (found.shape[0], math.prod(found.shape[1:]), *rest)
    if wanted != sizes:
        params = {"shape": wanted}
        at = columns.append(TABLE["reshape"], [at], params, [(wanted, dtype)])[0]
    return at
