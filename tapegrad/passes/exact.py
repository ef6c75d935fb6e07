"""Algebra that changes no bit: identities of IEEE arithmetic and of movement. Floor 4.

    x * 1 = x        x - 0 = x         -(-x) = x        where(c, where(c, x, y), z)
    x / 1 = x        x + (-0) = x      x + (-y) = x - y        = where(c, x, z)

hold for every x: NaN, infinities and both zeros among them (only a NaN's payload may
differ). What is not here fails somewhere: x + 0 turns -0 into 0, x * 0 is NaN at
infinity, -(x - y) is -0 where y - x is 0, and sums are never regrouped.

Each rule gets the walk (what is known of the operands) and the step's operands, and
answers with a slot that holds the same, with another step in place of it (name,
operands, parameters), or with None. A slot of another shape or dtype is never an
answer: the walk sees to that.
"""

# ruff: noqa: ARG001 - every rule takes the same arguments
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tapegrad.errors import ShapeError
from tapegrad.rules.shapes import broadcast

if TYPE_CHECKING:
    from tapegrad.passes.walk import Walk

# What a rule answers.
Other = tuple[str, tuple[int, ...], Mapping[str, Any]]
Answer = int | Other | None
Rule = Callable[["Walk", Sequence[int], Mapping[str, Any]], Answer]

# Rows whose result does not depend on whether an operand is broadcast beforehand or by
# the step: the others may take another path in a library for a number than for an array
SPREAD = frozenset(
    {
        "add",
        "sub",
        "mul",
        "div",
        "where",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
    }
)


def _is(value: float | None, number: float) -> bool:
    """Whether a uniform value is a number, the sign of zero included."""
    if value is None or value != number:
        return False
    return math.copysign(1, value) == math.copysign(1, number)


def _add(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    a, b = reads
    if _is(walk.uniform(b), -0.0):
        return a
    if _is(walk.uniform(a), -0.0):
        return b
    if (inner := walk.made(b, "neg")) is not None:
        return "sub", (a, *inner), {}
    if (inner := walk.made(a, "neg")) is not None:
        return "sub", (b, *inner), {}
    return None


def _sub(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    a, b = reads
    if _is(walk.uniform(b), 0.0):
        return a
    if _is(walk.uniform(a), -0.0):
        return "neg", (b,), {}
    if (inner := walk.made(b, "neg")) is not None:
        return "add", (a, *inner), {}
    return None


def _mul(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    for x, factor in (reads, reversed(reads)):
        value = walk.uniform(factor)
        if value == 1:
            return x
        if value == -1 and walk.alike(x, reads):
            return "neg", (x,), {}
    return _both_negative(walk, "mul", reads)


def _div(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    value = walk.uniform(reads[1])
    if value == 1:
        return reads[0]
    if value == -1 and walk.alike(reads[0], reads):
        return "neg", (reads[0],), {}
    return _both_negative(walk, "div", reads)


def _both_negative(walk: Walk, name: str, reads: Sequence[int]) -> Answer:
    inner = [walk.made(slot, "neg") for slot in reads]
    if inner[0] is None or inner[1] is None:
        return None
    return name, (*inner[0], *inner[1]), {}


def _inverse(name: str) -> Rule:
    """A row that undoes itself."""

    def undo(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
        inner = walk.made(reads[0], name)
        return None if inner is None else inner[0]

    return undo


def _abs(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    if walk.made(reads[0], "abs") is not None:
        return reads[0]
    inner = walk.made(reads[0], "neg")
    return None if inner is None else ("abs", inner, {})


def _powc(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    if params["exponent"] == 1:
        return reads[0]
    inner = walk.made(reads[0], "neg")
    if inner is None or params["exponent"] != 2:
        return None
    return "powc", inner, params


def _where(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    c, x, y = reads
    chosen = walk.uniform(c)
    if chosen is not None:
        return x if chosen else y
    if x == y:
        return x
    if (inner := walk.made(c, "logical_not")) is not None:
        return "where", (*inner, y, x), {}
    for place, arm in ((1, x), (2, y)):
        nested = walk.made(arm, "where")
        if nested is not None and nested[0] == c:
            # an arm of the same condition is never read where the other one is
            made = (c, nested[1], y) if place == 1 else (c, x, nested[2])
            return ("where", made, {}) if walk.alike_all(made, reads) else None
    return None


def _reshape(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    if walk.shape(reads[0]) == params["shape"]:
        return reads[0]
    inner = walk.made(reads[0], "reshape")
    return None if inner is None else ("reshape", inner, params)


def _transpose(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    axes = params["axes"]
    if axes == tuple(range(len(axes))):
        return reads[0]
    inner = walk.made(reads[0], "transpose")
    if inner is None:
        return None
    before = walk.params(reads[0])["axes"]
    return "transpose", inner, {"axes": tuple(before[axis] for axis in axes)}


def _broadcast(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    if walk.shape(reads[0]) == params["shape"]:
        return reads[0]
    inner = walk.made(reads[0], "broadcast_to")
    if inner is None:
        inner = walk.made(reads[0], "reshape")
        if inner is None:
            return None
        shape, wide = walk.shape(inner[0]), walk.shape(reads[0])
        if wide != (1,) * (len(wide) - len(shape)) + shape:  # only axes in front
            return None
    return "broadcast_to", inner, params


def _astype(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    return reads[0] if walk.aval(reads[0])[1] == params["dtype"] else None


def _index(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    key = params["key"]
    if key == tuple((0, size, 1) for size in walk.shape(reads[0])):
        return reads[0]
    inner = walk.made(reads[0], "scatter")
    if inner is None or walk.params(reads[0])["key"] != key:
        return None
    return inner[0]


def _scatter(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    whole = tuple((0, size, 1) for size in params["shape"])
    return reads[0] if params["key"] == whole else None


def _joined(walk: Walk, reads: Sequence[int], params: Mapping[str, Any]) -> Answer:
    return reads[0] if len(reads) == 1 else None


RULES: dict[str, Rule] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _inverse("neg"),
    "logical_not": _inverse("logical_not"),
    "abs": _abs,
    "powc": _powc,
    "where": _where,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast,
    "astype": _astype,
    "index": _index,
    "scatter": _scatter,
    "concatenate": _joined,
}


def spread(walk: Walk, reads: tuple[int, ...]) -> tuple[int, ...]:
    """Operands that need no broadcast of their own: the step's does it."""
    for place, slot in enumerate(reads):
        inner = walk.made(slot, "broadcast_to")
        if inner is not None:
            made = (*reads[:place], *inner, *reads[place + 1 :])
            if walk.alike_all(made, reads):
                reads = made
    return reads


def wide(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """What shapes broadcast to; None where they do not."""
    try:
        return broadcast(*shapes)
    except ShapeError:
        return None
