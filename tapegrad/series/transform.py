"""`taylor`: derivatives of high order along a direction, in one run. Floor 10."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from tapegrad import binding, sweeps
from tapegrad.calls import guarded, on_values
from tapegrad.derivatives import differentiable
from tapegrad.errors import RecordError, ShapeError
from tapegrad.recording import is_dynamic, record_inside
from tapegrad.series.run import arithmetic_of, read_in_series, stacked, taylor_tape
from tapegrad.tape.structure import flatten, match
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

# The leaves of a direction, and of the higher terms of a path, by their names.
Path = dict[str, list[Any]]
# 171! is no float.
LARGEST = 170


def taylor(
    f: Callable[..., Any],
    x0: Any,
    direction: Any,
    order: int,
    *,
    higher: Sequence[Any] = (),
    derivatives: bool = False,
    arithmetic: str = "float64",
) -> Any:
    """Taylor coefficients of ``t -> f(x0 + t * direction)`` at t = 0.

    The function is recorded at x0, and its tape is run once in power series: the cost
    grows with the square of the order, where nested derivatives grow as its powers of
    2 and more.

    Args:
        f: any function of numbers and arrays, or a tape.
        x0: the point: a number, an array or a nesting of them; a tuple has one entry an
            argument, as in `jvp`.
        direction: nested like x0.
        order: the last coefficient, 0 to 170.
        higher: coefficients of t**2, t**3, ... where the path is curved, each nested
            like x0: ``x0 + t * direction + t**2 * higher[0] + ...``.
        derivatives: give the derivatives, ``k! * c_k``, instead.
        arithmetic: as for a replay, such as "mpmath:50".

    Returns:
        Nested like the result; each leaf is an array with the coefficients along a new
        first axis, ``(order + 1, *shape)``: ``found[k] = f^(k) / k!``.

    Raises:
        ShapeError: the direction does not fit x0, or x0 holds no float.
        RecordError: the order is no whole number from 0 to 170.
        DomainError: linear algebra has no answer at x0.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tg.taylor(np.exp, 0.0, 1.0, 4)
        array([1.        , 1.        , 0.5       , 0.16666667, 0.04166667])
    """
    degree = checked_order(order)
    args = x0 if isinstance(x0, tuple) else (x0,)
    if isinstance(f, Tape):
        tape, given = f, binding.bind_for(f, args, {}, arithmetic)
    else:
        tape, captured = record_inside(f, args, {})
        given = [leaf for x in args for leaf in flatten(x, is_dynamic)[0]]
        given += captured
    if not differentiable(tape):
        msg = (
            f"x0 = {x0!r:.80} holds no float, and there is nothing to differentiate "
            "by; pass floats (2.0, not 2; x.astype(float))"
        )
        raise ShapeError(msg)
    given_steps = {"direction": direction}
    given_steps |= {f"higher[{k}]": step for k, step in enumerate(higher)}
    path = {
        name: _leaves(tape, step, len(args), name) for name, step in given_steps.items()
    }
    if any(isinstance(x, Value) for x in [*given, *chain(*path.values())]):
        if arithmetic != "float64":
            msg = (
                f"arithmetic={arithmetic!r} is for numbers, and an argument is a "
                "Value; pass value.data, or leave it out"
            )
            raise RecordError(msg)
        terms = _at_values(tape, given, path, degree)
    else:
        terms = _at_numbers(tape, given, path, degree, arithmetic)
    if derivatives:
        terms = [
            [term * math.factorial(k) for k, term in enumerate(mine)] for mine in terms
        ]
    return tape.structure.result.build(list(map(stacked, terms)))


def checked_order(order: Any) -> int:
    """The order of a series.

    Raises:
        RecordError: it is no whole number from 0 to the largest.
    """
    try:
        degree = operator.index(order)
    except TypeError:
        degree = -1
    if isinstance(order, bool) or not 0 <= degree <= LARGEST:
        msg = (
            f"order={order!r}, and the order of a Taylor series is a whole number from "
            f"0 to {LARGEST}: the factorial of the next one is no float"
        )
        raise RecordError(msg)
    return degree


def _leaves(tape: Tape, given: Any, count: int, name: str) -> list[Any]:
    """The leaves of a direction.

    Raises:
        ShapeError: another nesting than x0.
    """
    entries = given if isinstance(given, tuple) else (given,)
    trees = tape.structure.arguments
    if len(entries) != count or count != len(trees):
        msg = (
            f"{name} has {len(entries)} entries, and x0 has {count}: pass a tuple, one "
            "entry an argument, or the bare entry for one argument"
        )
        raise ShapeError(msg)
    found: list[Any] = []
    for number, (tree, entry) in enumerate(zip(trees, entries, strict=True)):
        place = name if count == 1 else f"{name}[{number}]"
        found += match(tree, entry, place, statics=False)
    for k in differentiable(tape):
        slot = tape.inputs[k]
        if k < len(found) and np.shape(found[k]) != (shape := tape.aval_of(slot)[0]):
            msg = (
                f"{name}, for {tape.label_of(slot)}: got shape {np.shape(found[k])}, "
                f"and x0 has shape {shape} there"
            )
            raise ShapeError(msg)
    return found


@guarded
def _at_numbers(
    tape: Tape,
    given: Sequence[Any],
    path: Path,
    order: int,
    arithmetic: str,
) -> list[list[Any]]:
    """The terms of each output, at numbers."""
    base = sweeps.flat(tape)
    m = arithmetic_of(arithmetic)
    inputs = binding.numbers(base, m, binding.plain(tape, given))
    steps = [
        [_number(base, m, place, name, leaves[place]) for name, leaves in path.items()]
        for place in _moving_inputs(base, path)
    ]
    found = read_in_series(base, m, inputs, steps, order)
    return [[binding.result(m, term) for term in mine] for mine in found]


def _number(base: Tape, m: Any, place: int, name: str, leaf: Any) -> Any:
    """A leaf of a direction in a reading; one that is no number is named."""
    try:
        return binding.numbers(base, m, [leaf], [base.inputs[place]])[0]
    except RecordError as problem:
        msg = f"{name}, {problem}"
        raise RecordError(msg) from None


def _moving_inputs(base: Tape, path: Path) -> list[int]:
    """Places of the inputs that a direction moves: floats, and nothing captured."""
    count = len(path["direction"])
    return [place for place in differentiable(base) if place < count]


def _at_values(
    tape: Tape, given: Sequence[Any], path: Path, order: int
) -> list[list[Any]]:
    """The terms of each output as Values: the tape of the terms, applied."""
    moved = _moving_inputs(sweeps.flat(tape), path)
    grown = taylor_tape(tape, order, len(moved), len(path))
    steps = [leaves[place] for place in moved for leaves in path.values()]
    found = on_values(grown, [*given, *steps])
    count = order + 1
    return [found[k : k + count] for k in range(0, len(found), count)]
