"""Steps of a loop's body as steps of all its turns at once. Floor 7.

Turns are one more axis, in front, of what is not the same in all of them. Rows that go
entry by entry broadcast along it; rows that move entries have a text each, since shapes
and keys are their parameters. A row that is not here stays in the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad.rules import Primitive
from tapegrad.rules.shapes import Shape
from tapegrad.rules.stacks import flat_key, row_key
from tapegrad.rules.structure import GUARD
from tapegrad.tape.tape import Tape

# Kinds of rows that go entry by entry.
ENTRYWISE = frozenset({"elementwise", "select", "predicate", "cut"})

Params = Mapping[str, Any]
# Of the reading, the turns, and operands: pairs of value and shape in one turn, all of
# them with turns; then parameters, and the shape of the result in one turn.
Rule = Callable[[Any, int, Sequence[tuple[Any, Shape]], Params, Shape], Any]


def lifts(step: Any) -> bool:
    """Whether there is one step for all turns."""
    row = step.primitive
    if row is GUARD:
        return isinstance(step.params["guard"].outcome, bool)
    return row.kind in ENTRYWISE or row.name in RULES or _goes_along(row)


def _goes_along(row: Primitive) -> bool:
    """Whether a row works along axes that its parameters name, and has one result."""
    return row.lanes == "axes" and row.slots == 1


def lifted(
    m: Any, body: Tape, step: Any, xs: Sequence[Any], turns: int, marks: Sequence[bool]
) -> Any:
    """A step of all turns.

    Args:
        m: the recorder's reading.
        body: the tape that the step is on.
        step: see `lifts`.
        xs: its operands.
        turns: how many there are.
        marks: which operands have turns as their first axis.
    """
    row = step.primitive
    shape, _ = body.aval_of(step.slots.start)
    shapes = [body.aval_of(slot)[0] for slot in step.operands]
    if row.kind in ENTRYWISE:
        wide = [
            _aligned(m, x, turns, mine, len(shape)) if mark else x
            for x, mine, mark in zip(xs, shapes, marks, strict=True)
        ]
        return getattr(m, row.name)(*wide, **step.params)
    wide = [
        x if mark else m.broadcast_to(x, shape=(turns, *mine))
        for x, mine, mark in zip(xs, shapes, marks, strict=True)
    ]
    if _goes_along(row):
        further = dict(step.params)
        if "axes" in further:
            further["axes"] = tuple(axis + 1 for axis in further["axes"])
        if "axis" in further:
            further["axis"] += 1
        return getattr(m, row.name)(*wide, **further)
    pairs = list(zip(wide, shapes, strict=True))
    return RULES[row.name](m, turns, pairs, step.params, shape)


def _aligned(m: Any, x: Any, turns: int, mine: Shape, ndim: int) -> Any:
    """A value whose axes stand against those of a result with more of them."""
    short = ndim - len(mine)
    return m.reshape(x, shape=(turns, *(1,) * short, *mine)) if short else x


def _index(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    del shape
    return m.index(xs[0][0], key=((0, turns, 1), *params["key"]))


def _entry(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    ((_, mine),) = xs
    return _index(m, turns, xs, {"key": row_key(mine, params["place"])}, shape)


def _window(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    ((x, mine),) = xs
    where = {name: value for name, value in params.items() if name != "slots"}
    flat, key = flat_key(mine, **where)
    x = x if flat == mine else m.reshape(x, shape=(turns, *flat))
    return _index(m, turns, [(x, flat)], {"key": key}, shape)


def _scatter(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    ((x, mine),) = xs
    part = sum(entry is None or isinstance(entry, tuple) for entry in params["key"])
    x = _aligned(m, x, turns, mine, part)
    return m.scatter(x, key=((0, turns, 1), *params["key"]), shape=(turns, *shape))


def _reshape(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    del params
    return m.reshape(xs[0][0], shape=(turns, *shape))


def _broadcast(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    del params
    ((x, mine),) = xs
    wide = _aligned(m, x, turns, mine, len(shape))
    return m.broadcast_to(wide, shape=(turns, *shape))


def _concatenate(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    del turns, shape
    return m.concatenate(*(x for x, _ in xs), axis=params["axis"] + 1)


def _pack(m: Any, turns: int, xs: Any, params: Params, shape: Shape) -> Any:
    del params, shape
    parts = [m.reshape(x, shape=(turns, 1, *mine)) for x, mine in reversed(xs)]
    return m.concatenate(*parts, axis=1)


RULES: dict[str, Rule] = {
    "index": _index,
    "entry": _entry,
    "window": _window,
    "scatter": _scatter,
    "reshape": _reshape,
    "broadcast_to": _broadcast,
    "concatenate": _concatenate,
    "pack": _pack,
}
