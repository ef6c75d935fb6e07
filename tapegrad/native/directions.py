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
    differentiable,
    scalar_output,
    tangent_tape,
)
from tapegrad.errors import TapegradError
from tapegrad.native.arraycalls import Shaped
from tapegrad.native.nesting import Taker, all_taker, builder, taker
from tapegrad.native.outs import into
from tapegrad.native.scalars.woven import adjoint_tape, pullback_tape
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED
from tapegrad.tape.structure import match
from tapegrad.tape.tape import BOOLEAN, Aval, Tape

Run = Callable[..., Any]
# What compiles a tape and gives the function that runs it, named for the report.
Compiler = Callable[[str, Tape], Run]


class Along:
    """A function of arguments and directions, each a tuple, one entry an argument.

    Args:
        tape: with the structure of the arguments.
        run: the derived tape's code, on leaves of the arguments and directions.
        join: the leaves of both; None where they nest otherwise.
        bound: gives the leaves of directions with every check.
        shape: puts the outputs of the derived tape together; None if they are it.
    """

    __slots__ = ("bound", "join", "run", "shape", "tape")

    def __init__(
        self,
        tape: Tape,
        run: Run,
        join: Callable[[Any, Any], Sequence[Any] | None],
        bound: Callable[[Any], list[Any]],
        shape: Callable[[Sequence[Any]], Any] | None,
    ) -> None:
        self.tape = tape
        self.run = run
        self.join = join
        self.bound = bound
        self.shape = shape

    def __call__(self, args: Any, along: Any, out: Any = None) -> Any:
        """Both tuples; one argument, and its direction, may stand alone."""
        if out is not None:
            return into(self, (args, along), out)
        leaves = self.join(args, along)
        if leaves is not None:
            try:
                found = self.run(*leaves)
            except TapegradError:  # `calls` has the words, or knows better
                return self._checked(args, along)
            return found if self.shape is None else self.shape(found)
        return self._checked(args, along)

    def _checked(self, args: Any, along: Any) -> Any:
        base = sweeps.flat(self.tape)
        m = MIXED if base.arrays else SCALAR
        given = binding.bind(self.tape, calls.as_tuple(self.tape, args), {})
        numbers = binding.numbers(base, m, binding.plain(self.tape, given))
        found = self.run(*numbers, *self.bound(along))
        return found if self.shape is None else self.shape(found)


def jvp_of(tape: Tape, compiled: Compiler) -> Along:
    """(value, tangent) along a direction; see `calls.jvp`."""
    run = _outputs(compiled, "jvp", tangent_tape(tape, values=True))
    build, count = builder(tape.structure.result), len(tape.outputs)

    def shape(found: Sequence[Any]) -> Any:
        return build(found[:count]), build(found[count:])

    bare = tape.structure.result.bare
    return Along(tape, run, _tuples(tape), _tangents(tape), None if bare else shape)


def hvp_of(tape: Tape, compiled: Compiler) -> Along:
    """Hessian times a direction: the tangent of the gradient; see `calls.hvp`."""
    scalar_output(tape)
    slopes = adjoint_tape(tape)
    derived = tangent_tape(slopes, count=len(slopes.outputs))
    run = _outputs(compiled, "hvp", derived)

    def shape(found: Sequence[Any]) -> Any:
        return calls.nest_inputs(tape, found)

    return Along(tape, run, _tuples(tape), _tangents(tape), shape)


def vjp_of(tape: Tape, compiled: Compiler) -> Along:
    """(value, adjoints of the arguments) for adjoints of the outputs."""
    base, count = sweeps.flat(tape), len(tape.outputs)
    run = _outputs(compiled, "vjp", pullback_tape(base, differentiable(base)))
    result = tape.structure.result
    build, join = builder(result), _joined(tape, taker(result))
    m = MIXED if base.arrays else SCALAR

    def bound(cotangents: Any) -> list[Any]:
        leaves = match(result, cotangents, "cotangents")
        return binding.numbers(base, m, leaves, base.outputs)

    def shape(found: Sequence[Any]) -> Any:
        return build(found[:count]), calls.nest_inputs(tape, found[count:])

    return Along(tape, run, join, bound, shape)


def _outputs(compiled: Compiler, name: str, derived: Tape) -> Run:
    """The outputs of a derived tape as a sequence, without what nests them."""
    run = compiled(name, derived)
    if len(derived.outputs) == 1:
        return lambda *leaves: [run(*leaves)]
    truths = any(derived.aval_of(slot) == BOOLEAN for slot in derived.outputs)
    if isinstance(run, Shaped) and (derived.arrays or not truths):
        return run.run  # a builtin, and a tuple
    return lambda *leaves: tuple(run(*leaves))


def _tuples(tape: Tape) -> Callable[[Any, Any], Sequence[Any] | None]:
    """The leaves of two tuples, one entry an argument; a single one may stand alone."""
    take = all_taker(tape.structure.arguments)

    def from_tuple(given: Any, into: list[Any]) -> bool:
        return take(given if type(given) is tuple else (given,), into)

    slow = _joined(tape, from_tuple)
    if not all(tree.bare for tree in tape.structure.arguments):
        return slow
    count = len(tape.structure.arguments) if not tape.structure.keywords else -1

    def of_bare(args: Any, along: Any) -> Sequence[Any] | None:
        if type(args) is type(along) is tuple and len(args) == len(along) == count:
            return args + along
        return slow(args, along)

    return of_bare


def _joined(
    tape: Tape, directions: Taker
) -> Callable[[Any, Any], Sequence[Any] | None]:
    structure = tape.structure
    take = all_taker(structure.arguments)

    def joined(args: Any, along: Any) -> Sequence[Any] | None:
        leaves: list[Any] = []
        given = args if type(args) is tuple else (args,)
        fits = take(given, leaves) and directions(along, leaves)
        # arguments by keyword have no place here: an error, which `calls` words
        return leaves if fits and not structure.keywords else None

    return joined


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
