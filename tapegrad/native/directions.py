"""Derivatives along a direction, forward and reverse, by native code. Floor 9.

The tape of tangents, or of pullbacks, takes the inputs and then the directions, and is
compiled like any other tape. Here arguments and directions are taken apart and put one
after the other, and the results are nested as `calls` does. What does not fit at first
sight is looked at again in the ways of `calls`, which find the words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import binding, calls, sweeps
from tapegrad.derivatives import (
    adjoint_tape,
    differentiable,
    pullback_tape,
    scalar_output,
    tangent_tape,
)
from tapegrad.errors import TapegradError
from tapegrad.native.nesting import Taker, all_taker, taker
from tapegrad.native.outs import into
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED
from tapegrad.tape.structure import match
from tapegrad.tape.tape import Aval, Tape

Run = Callable[..., Any]
# What compiles a tape and gives the function that runs it, named for the report.
Compiler = Callable[[str, Tape], Run]


class Along:
    """A function of arguments and directions, each a tuple, one entry an argument.

    Args:
        tape: with the structure of the arguments.
        run: the derived tape's code, on leaves of the arguments and directions.
        directions: takes directions apart quickly; false where they nest otherwise.
        bound: gives the leaves of directions with every check.
        shape: puts the outputs of the derived tape together.
    """

    __slots__ = ("bound", "directions", "run", "shape", "take", "tape")

    def __init__(
        self,
        tape: Tape,
        run: Run,
        directions: Taker,
        bound: Callable[[Any], list[Any]],
        shape: Callable[[Sequence[Any]], Any],
    ) -> None:
        self.tape = tape
        self.run = run
        self.take = _tuples(tape)
        self.directions = directions
        self.bound = bound
        self.shape = shape

    def __call__(self, args: Any, along: Any, out: Any = None) -> Any:
        """Both tuples; one argument, and its direction, may stand alone."""
        if out is not None:
            return into(self, (args, along), out)
        leaves: list[Any] = []
        if self.take(args, leaves) and self.directions(along, leaves):
            try:
                return self.shape(self.run(*leaves))
            except TapegradError:
                pass
        return self._checked(args, along)

    def _checked(self, args: Any, along: Any) -> Any:
        base = sweeps.flat(self.tape)
        m = MIXED if base.arrays else SCALAR
        given = binding.bind(self.tape, calls.as_tuple(self.tape, args), {})
        numbers = binding.numbers(base, m, binding.plain(self.tape, given))
        return self.shape(self.run(*numbers, *self.bound(along)))


def jvp_of(tape: Tape, compiled: Compiler) -> Along:
    """(value, tangent) along a direction; see `calls.jvp`."""
    count = len(tape.outputs)
    run = _listed(compiled("jvp", tangent_tape(tape, values=True)), 2 * count)
    build = tape.structure.result.build

    def shape(found: Sequence[Any]) -> Any:
        return build(found[:count]), build(found[count:])

    return Along(tape, run, _tuples(tape), _tangents(tape), shape)


def hvp_of(tape: Tape, compiled: Compiler) -> Along:
    """Hessian times a direction: the tangent of the gradient; see `calls.hvp`."""
    scalar_output(tape)
    slopes = adjoint_tape(tape)
    derived = tangent_tape(slopes, count=len(slopes.outputs))
    run = _listed(compiled("hvp", derived), len(derived.outputs))

    def shape(found: Sequence[Any]) -> Any:
        return calls.nest_inputs(tape, found)

    return Along(tape, run, _tuples(tape), _tangents(tape), shape)


def vjp_of(tape: Tape, compiled: Compiler) -> Along:
    """(value, adjoints of the arguments) for adjoints of the outputs."""
    base, count = sweeps.flat(tape), len(tape.outputs)
    grown = pullback_tape(base, differentiable(base))
    run = _listed(compiled("vjp", grown), len(grown.outputs))
    result = tape.structure.result
    m = MIXED if base.arrays else SCALAR

    def bound(cotangents: Any) -> list[Any]:
        leaves = match(result, cotangents, "cotangents")
        return binding.numbers(base, m, leaves, base.outputs)

    def shape(found: Sequence[Any]) -> Any:
        return result.build(found[:count]), calls.nest_inputs(tape, found[count:])

    return Along(tape, run, taker(result), bound, shape)


def _listed(run: Run, count: int) -> Run:
    """The outputs in a sequence, also where there is only one."""
    if count != 1:
        return run
    return lambda *leaves: [run(*leaves)]


def _tuples(tape: Tape) -> Taker:
    """Takes a tuple apart, one entry an argument; a single one may stand alone."""
    structure = tape.structure
    take = all_taker(structure.arguments)
    if structure.keywords:  # by position alone: an error, which `calls` words
        return lambda given, into: False

    def from_tuple(given: Any, into: list[Any]) -> bool:
        return take(given if type(given) is tuple else (given,), into)

    return from_tuple


def _tangents(tape: Tape) -> Callable[[Any], list[Any]]:
    """Tangents of the inputs, checked; ints have none, whatever stands there."""
    base = sweeps.flat(tape)
    m = MIXED if base.arrays else SCALAR
    avals = [base.aval_of(slot) for slot in base.inputs]

    def bound(tangents: Any) -> list[Any]:
        leaves = binding.bind(tape, calls.as_tuple(tape, tangents), {})
        dots = calls.tangents_of(base, m, leaves)
        pairs = zip(dots, avals, strict=True)
        return [_nothing(aval) if dot is None else dot for dot, aval in pairs]

    return bound


def _nothing(aval: Aval) -> Any:
    shape, dtype = aval
    return np.zeros(shape, dtype)[()]
