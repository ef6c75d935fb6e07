"""Transforms of functions: grad, jacobian, hessian, jvp, vjp, hvp. Floor 9.

Each records its function at the arguments of the call and sweeps the tape. Inside a
recording the derivative's tape becomes one step of the enclosing tape, and Values of
the enclosing recording that the function reads are its further inputs; so transforms
nest in any order and every level has slots of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import binding, calls, jacobians, sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import (
    differentiable,
    gradient_tape,
    pullback_tape,
    scalar_output,
    tangent_tape,
)
from tapegrad.errors import ShapeError
from tapegrad.readings.mixed import MIXED
from tapegrad.recording import is_dynamic, record_inside
from tapegrad.rules import TABLE
from tapegrad.tape.structure import Tree, flatten, match
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

Function = Callable[..., Any]
Argnums = int | tuple[int, ...]


class _Call:
    """A function recorded at the arguments of one call.

    Attributes:
        tape: its tape; the inputs are the leaves, then what it captured.
        given: what the inputs stand for: numbers, or Values outside.
    """

    def __init__(
        self, f: Function, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        self.args = args
        self.tape, captured = record_inside(f, args, kwargs)
        leaves: list[Any] = []
        self.places: list[list[int]] = []
        for argument in [*args, *kwargs.values()]:
            mine, _ = flatten(argument, is_dynamic)
            self.places.append(list(range(len(leaves), len(leaves) + len(mine))))
            leaves += mine
        self.given = [*leaves, *captured]
        self.smooth = set(differentiable(self.tape))
        self.plain = not any(isinstance(x, Value) for x in self.given)

    def run(self, tape: Tape, extra: Sequence[Any] = ()) -> list[Any]:
        """Outputs of a tape derived from this one, as numbers or Values."""
        given = [*self.given, *extra]
        if any(isinstance(x, Value) for x in given):
            return list(calls.on_values(tape, given))
        m = binding.arithmetic_of(tape, "float64")
        with np.errstate(all="ignore"):
            slots = sweeps.replay(tape, m, binding.numbers(tape, m, given))
        return [binding.result(m, slots[slot]) for slot in tape.outputs]

    def gradients(self, wrt: Sequence[int]) -> tuple[list[Any], list[list[Any]]]:
        """Outputs, and for each output its derivative by the chosen inputs."""
        if self.plain:
            return self._numeric(wrt)
        found = self.run(gradient_tape(self.tape, wrt=wrt))
        count = len(self.tape.outputs)
        values, rest = found[:count], found[count:]
        width = len(wrt)
        return values, [rest[k * width : (k + 1) * width] for k in range(count)]

    def _numeric(self, wrt: Sequence[int]) -> tuple[list[Any], list[list[Any]]]:
        base = sweeps.flat(self.tape)
        m = binding.arithmetic_of(base, "float64")
        places = differentiable(base)
        with np.errstate(all="ignore"):
            inputs = binding.numbers(base, m, self.given)
            slots, rows = jacobians.derivatives(base, m, inputs)
        picked = [[row[places.index(i)] for i in wrt] for row in rows]
        return [binding.result(m, slots[slot]) for slot in base.outputs], picked

    def chosen(self, argnums: Argnums) -> list[int]:
        """Places of the inputs of the chosen arguments.

        Raises:
            ShapeError: there is no such argument, or it holds no float.
        """
        found = []
        for number in (argnums,) if isinstance(argnums, int) else argnums:
            if not -len(self.args) <= number < len(self.args):
                msg = (
                    f"argnums={argnums}, but the function was called with "
                    f"{len(self.args)} positional arguments"
                )
                raise ShapeError(msg)
            mine = self.places[number % len(self.args)]
            places = [place for place in mine if place in self.smooth]
            if not places:
                what = "is an array of integers" if mine else "holds no float"
                msg = (
                    f"args[{number}] = {self.args[number]!r} {what}, and there is "
                    "nothing to differentiate by; pass floats (2.0, not 2; "
                    "x.astype(float))"
                )
                raise ShapeError(msg)
            found += places
        return found

    def nest(self, argnums: Argnums, leaves: Sequence[Any]) -> Any:
        """Leaves of the chosen arguments, nested like them."""
        trees = self.tape.structure.arguments
        start, built = 0, []
        for number in (argnums,) if isinstance(argnums, int) else argnums:
            whole = trees[number % len(self.args)]
            kept = tuple(
                place
                for place, i in zip(
                    whole.dynamic, self.places[number % len(self.args)], strict=True
                )
                if i in self.smooth
            )
            tree = Tree(whole.spec, kept)
            built.append(tree.build(leaves[start : start + len(kept)], statics=False))
            start += len(kept)
        return built[0] if isinstance(argnums, int) else tuple(built)


def _transform(
    wrapped: Function, word: str, text: str
) -> Callable[[Function], Function]:
    def name(made: Function) -> Function:
        functools.update_wrapper(made, wrapped)
        made.__name__ = f"{word}({getattr(wrapped, '__name__', 'function')})"
        made.__doc__ = text
        return made

    return name


def value_and_grad(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns (value, gradient).

    Args:
        f: a function that returns one number.
        argnums: which positional arguments; an int gives a bare gradient, a tuple a
            tuple.

    Raises:
        ShapeError: f returns several numbers, or an argument holds no float.

    Example:
        >>> import tapegrad as tg
        >>> tg.value_and_grad(lambda x: x * x)(3.0)
        (9.0, 6.0)
    """

    @_transform(f, "value_and_grad", "Value and gradient; see tapegrad.value_and_grad.")
    def found(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = _Call(f, args, kwargs)
        scalar_output(call.tape)
        values, rows = call.gradients(call.chosen(argnums))
        return values[0], call.nest(argnums, rows[0])

    return found


def grad(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns the gradient; see `value_and_grad`.

    Example:
        >>> import tapegrad as tg
        >>> tg.grad(tg.grad(lambda x: x**3))(2.0)
        12.0
    """
    both = value_and_grad(f, argnums)

    @_transform(f, "grad", "The gradient; see tapegrad.grad.")
    def found(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return found


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns each output's gradient, nested like the outputs."""

    @_transform(f, "jacobian", "The Jacobian; see tapegrad.jacobian.")
    def found(*args: Any, **kwargs: Any) -> Any:
        call = _Call(f, args, kwargs)
        _, rows = call.gradients(call.chosen(argnums))
        nested = [call.nest(argnums, row) for row in rows]
        return call.tape.structure.result.build(nested)

    return found


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """A function that returns second derivatives: the Jacobian of the gradient."""
    return jacobian(grad(f, argnums), argnums)


def jvp(
    f: Function, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """(value, tangent): the derivative along a direction, in forward mode.

    Args:
        f: any function of numbers.
        primals: a tuple, one entry an argument.
        tangents: the direction, nested like the primals.

    Example:
        >>> import tapegrad as tg
        >>> tg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
        (6.0, 3.0)
    """
    call = _Call(f, tuple(primals), {})
    directions = tuple(tangents)
    if len(directions) != len(call.args):
        msg = (
            f"jvp needs a tangent for each primal, got primals {len(call.args)} and "
            f"tangents {len(directions)}"
        )
        raise ShapeError(msg)
    dots: list[Any] = []
    for number, tree in enumerate(call.tape.structure.arguments):
        name = f"tangents[{number}]"
        dots += match(tree, directions[number], name, statics=False)
    moving = len(dots)
    # ints and what is captured do not move
    still = [MIXED.like(0, getattr(x, "_data", x)) for x in call.given]
    dots = [
        dot if place in call.smooth else still[place] for place, dot in enumerate(dots)
    ]
    still = still[moving:]
    count = len(call.tape.outputs)
    found = call.run(tangent_tape(call.tape, values=True), [*dots, *still])
    build = call.tape.structure.result.build
    return build(found[:count]), build(found[count:])


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """(value, pullback): the pullback maps output adjoints to argument adjoints.

    Example:
        >>> import tapegrad as tg
        >>> value, pullback = tg.vjp(lambda x, y: x * y, 2.0, 3.0)
        >>> pullback(1.0)
        (3.0, 2.0)
    """
    call = _Call(f, primals, {})
    everything = tuple(
        number
        for number, places in enumerate(call.places)
        if call.smooth.intersection(places)
    )
    wrt = call.chosen(everything)
    grown = pullback_tape(call.tape, wrt)
    result, outputs = call.tape.structure.result, call.tape.outputs
    values = call.run(sweeps.flat(call.tape))

    def pullback(cotangents: Any) -> tuple[Any, ...]:
        seeds = match(result, cotangents, "cotangents")
        found = call.run(grown, seeds)
        return call.nest(everything, found[len(outputs) :])  # type: ignore[no-any-return]

    return result.build(values), pullback


def hvp(f: Function, primals: Sequence[Any], direction: Sequence[Any]) -> Any:
    """Hessian times a direction: forward over reverse.

    Returns:
        Nested like the primals: bare for one argument, a tuple for several.
    """
    numbers = tuple(range(len(primals)))
    chosen: Argnums = 0 if len(primals) == 1 else numbers
    return jvp(grad(f, chosen), primals, direction)[1]


def stop_gradient(value: Any) -> Any:
    """The same number or array, taken as a constant by every derivative."""
    return apply(TABLE["stop_gradient"], value) if isinstance(value, Value) else value
