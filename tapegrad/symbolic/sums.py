"""Loops that were found in steps as sums and products. Floor 9; loads SymPy.

    s = s + f(x[i + 1], x[i])  for i = 0 .. n-1    ->    s + Sum(f(x[i+1], x[i]), ...)

An array is an ``IndexedBase`` here: its entries are ``x[3]`` and ``x[i + 1]``. A loop
is a sum where each of its carries gets a term, or a factor, that hangs on no carry;
another recurrence has no closed form, and is written out only where that is short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from tapegrad.symbolic.closed import FORMULAS, careful, names_of, released
from tapegrad.symbolic.limits import MAX_STEPS
from tapegrad.tape.tape import Step, Tape
from tapegrad.unrolling import found, written_out

# Letters of the numbers of iterations, by depth; one that is a name of an input is out.
NUMBERS = "ijklmnop"
KINDS = frozenset({"elementwise", "select", "predicate", "cut"})


class NoSumError(Exception):
    """A loop, or a step, that there is no sum for."""


class Entries:
    """An array as the function of its places.

    Args:
        shape: of the array.
        at: the entry at places, which may be symbols.
    """

    def __init__(self, shape: Sequence[int], at: Callable[..., Any]) -> None:
        self.shape, self.at = tuple(shape), at

    def window(self, axes: int, start: int, stride: int, length: int) -> Entries:
        """What the iterations of a loop read."""
        lead, rest = self.shape[:axes], self.shape[axes:]
        lines = []
        for index in np.unravel_index(start + stride * np.arange(length), lead):
            steps = np.diff(index)
            if steps.size and (steps != steps[0]).any():
                raise NoSumError
            lines.append((int(index[0]), int(steps[0]) if steps.size else 0))

        def at(k: Any, *more: Any) -> Any:
            return self.at(*(first + step * k for first, step in lines), *more)

        return Entries((length, *rest), at)

    def index(self, key: Sequence[Any]) -> Any:
        """What a basic key picks."""
        if None in key:
            raise NoSumError
        kept = [part for part in key if isinstance(part, tuple)]

        def at(*places: Any) -> Any:
            moving = iter(places)
            return self.at(
                *(
                    part if isinstance(part, int) else part[0] + part[2] * next(moving)
                    for part in key
                )
            )

        return Entries([part[1] for part in kept], at) if kept else at()


def summed(tape: Tape) -> Any:
    """The outputs of a tape with loops, nested as the function returned them.

    Args:
        tape: one whose loops are too long to be written out.

    Raises:
        ShapeError: a loop is no sum and no product; says what to do.
    """
    names = names_of(tape)
    numbers = [letter for letter in NUMBERS if letter not in names]
    given = [
        sp.Symbol(name, real=True) if not shape else _array(name, shape)
        for name, (shape, _) in zip(names, map(tape.aval_of, tape.inputs), strict=True)
    ]
    try:
        outputs = careful(lambda: _numbers(tape, given, numbers), "the formula")
    except NoSumError:
        written_out(tape, MAX_STEPS)  # which says how long it is
        raise
    return tape.structure.result.build(
        careful(lambda: [released(sp.sympify(y)) for y in outputs], "the formula")
    )


def _numbers(tape: Tape, given: Sequence[Any], numbers: Sequence[str]) -> list[Any]:
    """The outputs, which are numbers."""
    outputs = _run(tape, given, numbers)
    if any(isinstance(y, Entries) for y in outputs):
        raise NoSumError
    return outputs


def _array(name: str, shape: tuple[int, ...]) -> Entries:
    base = sp.IndexedBase(name, shape=shape, real=True)
    return Entries(shape, lambda *places: base[places])


def _table(values: Any) -> Entries:
    """A constant array: a line, where its entries are one."""
    if values.ndim == 1 and values.dtype == np.float64 and len(values) > 1:
        first, step = values[0].item(), (values[1] - values[0]).item()
        line = first + step * np.arange(len(values))
        if np.allclose(line, values, rtol=1e-12, atol=0):
            start, by = map(FORMULAS.number, (first, step))
            return Entries(values.shape, lambda k: start + by * k)

    def at(*places: Any) -> Any:
        if all(isinstance(place, int) for place in places):
            return FORMULAS.number(values[places].item())
        raise NoSumError

    return Entries(values.shape, at)


def _run(tape: Tape, given: Sequence[Any], numbers: Sequence[str]) -> list[Any]:
    """The outputs of a tape at expressions and arrays."""
    values: list[Any] = [None] * tape.slot_count
    for slot, value in zip(tape.inputs, given, strict=True):
        values[slot] = value
    for step in tape:
        if step.primitive.name == "input":
            continue
        reads = [values[slot] for slot in step.operands]
        made = _step(step, reads, numbers)
        for slot, value in zip(step.slots, made, strict=True):
            values[slot] = value
    return [values[slot] for slot in tape.outputs]


def _step(step: Step, reads: Sequence[Any], numbers: Sequence[str]) -> list[Any]:
    row, params = step.primitive, step.params
    name = row.name
    if name == "const":
        value = params["value"]
        if isinstance(value, np.ndarray) and value.ndim:
            return [_table(value)]
        return [FORMULAS.number(value)]
    if found(step):
        return _loop(params, reads, numbers)
    if name == "window":
        where = {k: v for k, v in params.items() if k != "slots"}
        return [reads[0].window(**where)]
    if name == "index":
        return [reads[0].index(params["key"])]
    if name == "entry":
        x = reads[0]
        rest = ((0, size, 1) for size in x.shape[1:])
        return [x.index((params["place"], *rest))]
    if row.kind not in KINDS or any(isinstance(x, Entries) for x in reads):
        raise NoSumError
    return [getattr(FORMULAS, name)(*reads, **params)]


# -- loops -------------------------------------------------------------------------


def _loop(
    params: Mapping[str, Any], reads: Sequence[Any], numbers: Sequence[str]
) -> list[Any]:
    """A loop: its carries as sums, and what it stacks as functions of the iteration."""
    if not numbers:
        raise NoSumError
    body, carry, length = params["tape"], params["carry"], params["length"]
    number = sp.Symbol(numbers[0], integer=True, nonnegative=True)
    behind = carry + params["xs"]
    marks = [sp.Dummy(f"carry{k}", real=True) for k in range(carry)]
    moving = [_at(x, number) for x in reads[carry:behind]]
    if any(isinstance(x, Entries) for x in reads[:carry]):
        raise NoSumError
    outputs = _run(body, [*marks, *moving, *reads[behind:]], numbers[1:])
    ends = [
        _end(y, mark, marks, start, number, params)
        for y, mark, start in zip(outputs, marks, reads, strict=False)
    ]
    return ends + [_stack(y, marks, number, length) for y in outputs[carry:]]


def _at(x: Entries, number: Any) -> Any:
    """Entry, or row, of an array."""
    if len(x.shape) == 1:
        return x.at(number)
    return Entries(x.shape[1:], lambda *places: x.at(number, *places))


def _end(
    y: Any, mark: Any, marks: Sequence[Any], start: Any, number: Any, params: Any
) -> Any:
    """A carry behind the last iteration.

    Raises:
        NoSumError: it hangs on carries in another way.
    """
    if isinstance(y, Entries):
        raise NoSumError
    y, length = sp.sympify(y), params["length"]
    along = (number, 0, length - 1)
    if y == mark:
        return start
    if not y.has(*marks):
        return y.subs(number, 0 if params["reverse"] else length - 1)
    term, rest = y.as_independent(mark, as_Add=True)
    if rest == mark and not term.has(*marks):
        return start + sp.Sum(term, along)
    factor, rest = y.as_independent(mark, as_Add=False)
    if rest == mark and not factor.has(*marks):
        return start * sp.Product(factor, along)
    raise NoSumError


def _stack(y: Any, marks: Sequence[Any], number: Any, length: int) -> Entries:
    """What a loop gives in each iteration."""
    y = sp.sympify(y)
    if y.has(*marks):
        raise NoSumError
    return Entries((length,), lambda k: y.subs(number, k))
