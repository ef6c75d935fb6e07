"""`scan` and `fori_loop`: loops of a fixed length as one step. Floor 9."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import RecordError, ShapeError
from tapegrad.loops import plainly
from tapegrad.loops.body import (
    Body,
    Leaves,
    bad_body,
    check_carry,
    name_of,
    performed,
    recorded,
    same_nesting,
    settled,
    taken,
    unrecorded,
)
from tapegrad.loops.rule import SCAN
from tapegrad.readings.mixed import plain
from tapegrad.value import Value, leaf

Function = Callable[..., Any]


def scan(
    f: Function,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    snapshots: int | None = None,
) -> tuple[Any, Any]:
    """A loop over the first axis of arrays, as one step with a sub-tape.

    Args:
        f: the body, ``f(carry, x) -> (carry, y)``. It is recorded once. Values that it
            reads and that are no arguments become further inputs.
        init: the first carry, in any nesting; it keeps its nesting, shapes and dtypes.
            A Python int is a float if the body makes one of it (which takes a second
            recording), and else stays an int.
        xs: arrays of equal length, in any nesting; None for none.
        length: number of iterations, where xs does not say it.
        reverse: from the last entry to the first.
        snapshots: most carries kept in a reverse sweep at numbers, the first among
            them; the others are computed again (binomial checkpointing). Unless it is
            given, all are kept where they take at most 256 MiB, and else so many.

    Returns:
        The last carry, and every y along a new first axis.

    Raises:
        ShapeError: the carry changes, or xs have no common length; names the leaf.
        RecordError: the body returns no pair; or, in a recording, it indexes a plain
            array, or a list, by an integer of the loop.
        BranchChanged: a branch of Python in the body goes another way in some
            iteration; names its line.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> def step(total, x):
        ...     return total + x, total * x
        >>> total, ys = tg.scan(step, 0.0, np.array([1.0, 2.0, 3.0]))
        >>> total, ys
        (6.0, array([0., 2., 9.]))
        >>> tg.grad(lambda xs: np.sum(tg.scan(step, 0.0, xs)[1]))(np.array([1.0, 2.0]))
        array([2., 1.])
    """
    start, entries = taken(init, "carry"), _stacked(xs)
    count = _length(entries, length)
    most = _snapshots(snapshots)

    def body(carry: Any, x: Any) -> Any:
        found = f(carry, x)
        if not isinstance(found, tuple) or len(found) != 2:
            raise bad_body("scan", found, "(carry, y)")
        return [same_nesting(start, found[0], "scan"), found[1]]

    examples = [_entry(x, count) for x in entries.primals]
    own = len(start.values) + len(entries.values)
    start, made = settled(
        start,
        lambda start: recorded(
            body,
            [
                (start.tree, start.primals, start.labels),
                (entries.tree, examples, entries.labels),
            ],
            name_of(f) or "scan",
        ),
    )
    check_carry(start, made.tape, "scan")
    if count > 1:
        try:
            places = plainly.moving(made.tape, len(start.values), own)
            plainly.check_places(made.tape, places, "scan")
        except plainly.TakenForANumber:
            if not unrecorded([*start.values, *entries.values, *made.captured]):
                raise
            return plainly.scan(f, init, xs, count, reverse=reverse)  # type: ignore[no-any-return]
    params = {
        "tape": made.tape,
        "carry": len(start.values),
        "xs": len(entries.values),
        "length": count,
        "reverse": bool(reverse),
        "snapshots": most,
        "name": f"scan {name_of(f)}".strip(),
    }
    if not count:  # nothing is done: what the body reads has no derivative
        return _results(start, made, _nothing(start, made, entries))
    found = performed(SCAN, [*start.values, *entries.values, *made.captured], params)
    return _results(start, made, found)


def _nothing(start: Leaves, made: Body, entries: Leaves) -> list[Any]:
    """What no iterations give: the carry, and y without entries."""
    outputs = made.tape.outputs[len(start.values) :]
    avals = [made.tape.aval_of(slot) for slot in outputs]
    found = [*start.values, *(np.empty((0, *shape), kind) for shape, kind in avals)]
    if unrecorded([*start.values, *entries.values, *made.captured]):
        return [np.array(y) if isinstance(y, np.ndarray) else y for y in found]
    return [y if isinstance(y, Value) else leaf(y) for y in found]


def _results(start: Leaves, made: Body, found: Sequence[Any]) -> tuple[Any, Any]:
    """Carry and ys, nested as the body returned them."""
    count = len(start.values)
    carry = start.tree.build(found[:count])
    # the body gave a list of the carry's leaves, and y
    both = made.tree.build(found)
    return carry, both[1]


def _stacked(xs: Any) -> Leaves:
    found = taken(xs, "xs")
    for label, x in zip(found.labels, found.primals, strict=True):
        if not np.ndim(x):
            msg = (
                f"scan: {label} is a single number, and a loop goes along the first "
                "axis of arrays; pass an array, or put the number into the carry"
            )
            raise ShapeError(msg)
    return found


def _length(entries: Leaves, length: int | None) -> int:
    """The number of iterations."""
    found = {
        label: len(x) for label, x in zip(entries.labels, entries.primals, strict=True)
    }
    if length is not None:
        found["length="] = operator.index(length)
    if not found:
        msg = "scan without xs needs length="
        raise ShapeError(msg)
    if len(set(found.values())) > 1:
        told = ", ".join(f"{label} {size}" for label, size in found.items())
        msg = f"scan: xs must be of one length along the first axis, got {told}"
        raise ShapeError(msg)
    (count,) = set(found.values())
    if count < 0:
        msg = f"scan: length= is {count}; a loop runs 0 times or more"
        raise ShapeError(msg)
    return count


def _snapshots(snapshots: int | None) -> int:
    if snapshots is None:
        return 0
    if operator.index(snapshots) < 1:
        msg = f"scan: snapshots={snapshots}; at least the first carry is kept"
        raise ShapeError(msg)
    return operator.index(snapshots)


def _entry(x: Any, count: int) -> Any:
    """What the body is recorded at: the first entry, zeros where there is none."""
    if count:
        return plain(x[0])
    return plain(np.zeros(x.shape[1:], x.dtype))


def fori_loop(lower: Any, upper: Any, body: Function, init: Any) -> Any:
    """``for i in range(lower, upper): carry = body(i, carry)``, as one step.

    Args:
        lower: the first i, an int.
        upper: where i ends, an int. Of a Value, or a float, the loop is a `while_loop`;
            where lower is one, i is a float.
        body: ``body(i, carry) -> carry``; i is an integer Value. With ``+ - * // %``
            it makes integers, which may be used as an index: ``x[i - 1]``.
        init: the first carry.

    Returns:
        The last carry.

    Example:
        >>> import tapegrad as tg
        >>> tg.fori_loop(0, 5, lambda i, x: x * 2.0, 1.0)
        32.0
        >>> tg.grad(lambda x: tg.fori_loop(0, 5, lambda i, y: y * x, 1.0))(2.0)
        80.0
    """
    if any(isinstance(x, Value | float) for x in (lower, upper)):
        from tapegrad.loops.whiles import while_loop

        def more(state: Any) -> Any:
            return state[0] < upper

        def once(state: Any) -> Any:
            return state[0] + 1, body(state[0], state[1])

        return while_loop(more, once, (lower, init))[1]
    try:
        places = np.arange(operator.index(lower), operator.index(upper))
    except TypeError:
        msg = (
            f"fori_loop from {lower!r} to {upper!r}: the bounds are ints; a Value may "
            "be one, too"
        )
        raise RecordError(msg) from None

    def step(carry: Any, i: Any) -> Any:
        return body(i, carry), None

    step.__name__ = name_of(body) or "body"
    return scan(step, init, places)[0]
