"""One call of a transformed function: its tape, and what the inputs are. Floor 11.

At numbers the tape is swept right away. Where a Value is among the arguments, or the
function reads one of an enclosing recording, the derivative is a tape, and that tape is
a step of what goes on outside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import binding, calls, sweeps
from tapegrad.ambient import current
from tapegrad.derivatives import differentiable
from tapegrad.errors import RecordError, ShapeError
from tapegrad.jacobians import zero_of
from tapegrad.programs import program
from tapegrad.readings.mixed import MIXED
from tapegrad.recording import is_dynamic, is_output, record_inside
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import Tree, flatten
from tapegrad.tape.tape import Tape
from tapegrad.transforms.arguments import check_leaves, function_of, name_of
from tapegrad.transforms.dense import derivatives
from tapegrad.transforms.jacobiantape import jacobian_tape
from tapegrad.value import Value

Function = Callable[..., Any]


class Recorded:
    """A function recorded at the arguments of one call.

    Args:
        f: what was passed to the transform.
        args: positional arguments.
        kwargs: arguments by keyword.
        word: the transform, for messages.
        has_aux: f returns ``(result, aux)``.

    Attributes:
        tape: inputs are the leaves of the arguments, then what f captured; outputs
            those of the result, then the Values in aux.
        given: what the inputs stand for: numbers, or Values outside.
        places: for each argument its places among the inputs.
        smooth: places of the inputs that have a derivative.
        count: how many outputs belong to the result.
        result: how they nest.
        plain: there are numbers only, and nothing to record.
    """

    def __init__(
        self,
        f: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        word: str,
        *,
        has_aux: bool = False,
    ) -> None:
        self.args = args
        self.word = word
        self.name = name_of(f)
        check_leaves(args, kwargs)
        self._aux: tuple[Tree, Tree] | None = None
        called = function_of(f, word)
        if has_aux:
            called = self._beside(called)
        self.tape, captured = record_inside(called, args, kwargs)
        leaves: list[Any] = []
        self.places: list[list[int]] = []
        for argument in [*args, *kwargs.values()]:
            mine, _ = flatten(argument, is_dynamic)
            self.places.append(list(range(len(leaves), len(leaves) + len(mine))))
            leaves += mine
        # frozen copies: who writes to an array later changes no derivative
        examples = self.tape.example or ()
        self.given = [
            x if isinstance(x, Value) else copy
            for x, copy in zip([*leaves, *captured], examples, strict=True)
        ]
        self.smooth = set(differentiable(self.tape))
        self.plain = not any(isinstance(x, Value) for x in self.given)
        self.count, self.result = len(self.tape.outputs), self.tape.structure.result
        if self._aux is not None:
            self.result = self._aux[0]
            self.count -= len(self._aux[1].dynamic)

    # -- what is passed beside the result ------------------------------------------

    def _beside(self, f: Function) -> Function:
        """The function with the Values of aux as further outputs."""

        @functools.wraps(f)
        def both(*args: Any, **kwargs: Any) -> Any:
            found = f(*args, **kwargs)
            if not isinstance(found, tuple | list) or len(found) != 2:
                msg = (
                    f"{self.word} with has_aux=True: {self.name}() returned "
                    f"{found!r:.80}; it returns a pair, (result, aux)"
                )
                raise RecordError(msg)
            result, aux = found
            outputs, tree = flatten(result, is_output)
            if not outputs or tree.statics:
                return result  # which cannot be an output, and is refused as such
            recorder = current()
            leaves, nested = flatten(aux, lambda leaf: _recorded(leaf, recorder))
            self._aux = tree, nested
            return outputs, leaves

        if not hasattr(f, "__name__"):
            both.__name__ = self.name
        return both

    def aux(self, outputs: Sequence[Any]) -> Any:
        """What f returned beside its result, from all outputs."""
        assert self._aux is not None  # noqa: S101 - only asked for with has_aux
        return self._aux[1].build(outputs[self.count :])

    def value(self, outputs: Sequence[Any]) -> Any:
        """The result, nested, from outputs or what stands for them."""
        return self.result.build(outputs[: self.count])

    def check_scalar(self) -> None:
        """Raise unless the result is one float.

        Raises:
            ShapeError: says what it is, and what to do.
        """
        name = f"{self.word}: {self.name}()"
        if self.count != 1 or not self.result.bare:
            word = "output" if self.count == 1 else "outputs"
            msg = (
                f"{name} returned {self.count} {word} in a structure, and a gradient "
                "is of one number; use tg.jacobian, return one number, or say "
                "has_aux=True if the others are only to be passed on"
            )
            raise ShapeError(msg)
        shape, dtype = self.tape.aval_of(self.tape.outputs[0])
        if shape or dtype not in FLOATING:
            what = f"an array of shape {shape} and dtype {dtype}" if shape else dtype
            msg = (
                f"{name} returned {what}, and a gradient is of one float; use "
                "tg.jacobian or tg.vjp, or return .sum()"
            )
            raise ShapeError(msg)

    # -- sweeps ----------------------------------------------------------------

    def run(self, tape: Tape, extra: Sequence[Any] = ()) -> list[Any]:
        """Outputs of a tape derived from this one, as numbers or Values."""
        return run(tape, [*self.given, *extra])

    def gradients(self, wrt: Sequence[int]) -> tuple[list[Any], list[list[Any]]]:
        """All outputs, and for each of the result its derivative by chosen inputs."""
        if self.plain:
            return self._numeric(wrt)
        found = self.run(jacobian_tape(self.tape, wrt, self.count))
        total, width = len(self.tape.outputs), len(wrt)
        values, rest = found[:total], found[total:]
        starts = [width * row for row in range(self.count)]
        return values, [rest[start : start + width] for start in starts]

    def _numeric(self, wrt: Sequence[int]) -> tuple[list[Any], list[list[Any]]]:
        base, m = self.base, self.arithmetic
        with np.errstate(all="ignore"):
            inputs = binding.numbers(base, m, self.given)
            slots, rows = derivatives(base, m, inputs, wrt, self.count)
        return [binding.result(m, slots[slot]) for slot in base.outputs], rows

    @property
    def base(self) -> Tape:
        """The tape without calls of sub-tapes, as sweeps want it."""
        return sweeps.flat(self.tape)

    @property
    def arithmetic(self) -> Any:
        """The reading of floats that suits the tape."""
        return binding.arithmetic_of(self.base, "float64")

    def slots(self) -> list[Any]:
        """Values of all slots of `base`, at numbers."""
        base, m = self.base, self.arithmetic
        with np.errstate(all="ignore"):
            return sweeps.replay(base, m, binding.numbers(base, m, self.given))

    def outputs(self, slots: Sequence[Any]) -> list[Any]:
        """All outputs, at numbers."""
        m = self.arithmetic
        return [binding.result(m, slots[slot]) for slot in self.base.outputs]

    def found(self, slots: Sequence[Any], places: Sequence[int]) -> list[Any]:
        """Derivatives of some slots as numbers; structural zeros become zeros."""
        base, m = self.base, self.arithmetic
        return [
            binding.result(m, zero_of(base, m, i) if slots[i] is None else slots[i])
            for i in places
        ]

    # -- nesting ---------------------------------------------------------------

    def chosen(self, numbers: Sequence[int]) -> list[int]:
        """Places of the inputs of the chosen arguments that have a derivative."""
        return [
            place
            for number in numbers
            for place in self.places[number]
            if place in self.smooth
        ]

    def nest(self, numbers: Sequence[int], leaves: Sequence[Any]) -> tuple[Any, ...]:
        """Leaves of the chosen arguments, nested like them.

        None stands where a leaf, or an argument, has no derivative.
        """
        trees = self.tape.structure.arguments
        start = 0
        built: list[Any] = []
        for number in numbers:
            whole = trees[number]
            kept = tuple(
                place
                for place, i in zip(whole.dynamic, self.places[number], strict=True)
                if i in self.smooth
            )
            mine = leaves[start : start + len(kept)]
            start += len(kept)
            if not mine and whole.bare:
                built.append(None)
            else:
                built.append(Tree(whole.spec, kept).build(mine, statics=False))
        return tuple(built)


def run(tape: Tape, given: Sequence[Any], *, often: bool = False) -> list[Any]:
    """Outputs of a tape at numbers, or at Values.

    Args:
        tape: a flat tape.
        given: numbers or Values.
        often: it is run again and again, and worth being written out as Python.
    """
    if any(isinstance(x, Value) for x in given):
        return list(calls.on_values(tape, given))
    m = binding.arithmetic_of(tape, "float64")
    with np.errstate(all="ignore"):
        inputs = binding.numbers(tape, m, given)
        if often:
            found = program(tape, MIXED)(*inputs)
        else:
            found = sweeps.outputs(tape, m, inputs)
    return [binding.result(m, y) for y in found]


def _recorded(leaf: Any, recorder: Any) -> bool:
    """Whether a leaf belongs to a recording that is about to end."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O":
        return any(isinstance(entry, Value) for entry in leaf.ravel().tolist())
    return isinstance(leaf, Value) and leaf._rec is recorder
