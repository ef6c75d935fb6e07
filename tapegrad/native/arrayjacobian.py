"""Jacobians of arrays by native code. Floor 9.

A Jacobian runs a kernel of an output's pullback, or of the tangent where one input is
smaller than the outputs, once an entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import calls
from tapegrad.derivatives import differentiable
from tapegrad.native.arraycalls import on_exact
from tapegrad.native.arrayentry import ArrayKernel
from tapegrad.native.bound import Bound, Converted, Found, exact
from tapegrad.native.outs import by_keyword, takes_out
from tapegrad.readings.mixed import plain
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Aval, Tape

# So many numbers at most have their gradients on one tape, for a Jacobian.
FEW = 8


def few_numbers(base: Tape) -> bool:
    """Whether a Jacobian is best computed with all gradients on one tape."""
    shapes = [base.aval_of(slot)[0] for slot in base.outputs]
    return len(shapes) <= FEW and not any(shapes)


class Jacobian:
    """Derivatives of every output by every input, an entry after the other.

    Each output has a pullback of its own, and the tangent is taken for a single input
    alone: an adjoint of 0 for the others would be NaN where a partial is infinite.

    Args:
        tape: with the structure of arguments and result.
        base: the same tape, flat.
        kernel: gives the kernel of a part.
    """

    def __init__(
        self, tape: Tape, base: Tape, kernel: Callable[[str], ArrayKernel]
    ) -> None:
        self.tape = tape
        self.base = base
        self.result = tape.structure.result
        self.inputs = [base.inputs[place] for place in differentiable(base)]
        sizes = [_size(base, slots) for slots in (self.inputs, base.outputs)]
        self.forward = len(self.inputs) == 1 and sizes[0] < sizes[1]
        parts = {
            place: f"pullback {place}"
            for place, slot in enumerate(base.outputs)
            if base.aval_of(slot)[1] in FLOATING
        }
        if self.forward:
            parts = {differentiable(base)[0]: "tangent"}
        self.runs: dict[int, Callable[..., Found]] = {}
        self.seeds: dict[int, list[Aval]] = {}
        for place, part in parts.items():
            code = kernel(part)
            self.runs[place] = on_exact(base, part, code)
            self.seeds[place] = list(code.inputs[len(base.inputs) :])
        self.bound = Bound(tape, Converted(tape, self._rows))
        self.out = takes_out(tape)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Nested like the outputs, then like the arguments.

        The zeros of a seed are structural, and only the interpreter carries masks: it
        tells a NaN of the function from one of 0 * inf.
        """
        if kwargs and "out" in kwargs and self.out:
            return by_keyword(self, args, kwargs)
        rows = self.bound(*args, **kwargs)
        if any(np.isnan(part).any() for row in rows for part in row):
            return self.tape.jacobian(*args, **kwargs)
        return self.result.build([calls.nest_inputs(self.base, row) for row in rows])

    def _rows(self, *given: Any) -> Found:
        """A row an output: its derivative by each input, shapes joined."""
        found = [
            [self._zeros(output, slot) for slot in self.inputs]
            for output in self.base.outputs
        ]
        for place, run in self.runs.items():
            avals = self.seeds[place]
            seeds = [np.zeros(*aval) for aval in avals]
            unit = seeds[place if self.forward else 0]
            for entry in range(unit.size):
                unit.flat[entry] = 1
                parts = run(*given, *map(exact, seeds, avals))
                unit.flat[entry] = 0
                if self.forward:
                    for row, part in zip(found, parts, strict=True):
                        row[0].reshape(-1, unit.size)[:, entry] = np.ravel(part)
                else:
                    for target, part in zip(found[place], parts, strict=True):
                        target.reshape(unit.size, -1)[entry] = np.ravel(part)
        return tuple([list(map(plain_number, row)) for row in found])

    def _zeros(self, output: int, slot: int) -> Any:
        (rows, _), (columns, dtype) = map(self.base.aval_of, (output, slot))
        return np.zeros(rows + columns, dtype)


def _size(base: Tape, slots: Sequence[int]) -> int:
    return sum(math.prod(base.aval_of(slot)[0]) for slot in slots)


def plain_number(value: Any) -> Any:
    """An array of shape () as a number; others stay writeable."""
    return value if value.ndim else plain(value)
