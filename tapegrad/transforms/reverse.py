"""Reverse mode: `grad`, `value_and_grad`, `vjp`. Floor 11.

x_bar = y_bar * df/dx
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import pullback_tape
from tapegrad.rules import TABLE
from tapegrad.tape.structure import paths
from tapegrad.transforms.arguments import (
    Argnums,
    avals,
    check_differentiable,
    check_direction,
    matched,
    numbers_of,
)
from tapegrad.transforms.naming import named
from tapegrad.transforms.recorded import Recorded, run
from tapegrad.transforms.split import split
from tapegrad.value import Value

Function = Callable[..., Any]


def value_and_grad(
    f: Function, argnums: Argnums = 0, *, has_aux: bool = False
) -> Function:
    """A function that returns (value, gradient).

    Args:
        f: a function that returns one number; a tape; compiled code.
        argnums: which positional arguments; an int gives a bare gradient, a tuple a
            tuple. Arguments by keyword are not differentiated.
        has_aux: f returns ``(value, aux)``, and what comes out is ``((value, aux),
            gradient)``. The aux may be anything, in any nesting; Values in it come out
            as numbers and arrays.

    Raises:
        ShapeError: f returns several numbers, or an argument holds no float.
        RecordError: argnums is no int; f returns what is no number.

    Example:
        >>> import tapegrad as tg
        >>> tg.value_and_grad(lambda x: x * x)(3.0)
        (9.0, 6.0)
        >>> tg.value_and_grad(lambda x: (x * x, {"x": x}), has_aux=True)(3.0)
        ((9.0, {'x': 3.0}), 6.0)
    """
    return gradient(f, argnums, has_aux, "value_and_grad", "Value and gradient")


def grad(f: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """A function that returns the gradient; see `value_and_grad`.

    With ``has_aux`` it returns ``(gradient, aux)``.

    Example:
        >>> import tapegrad as tg
        >>> tg.grad(tg.grad(lambda x: x**3))(2.0)
        12.0
    """
    return gradient(f, argnums, has_aux, "grad", "The gradient")


def gradient(
    f: Function, argnums: Argnums, has_aux: bool, word: str, text: str
) -> Function:
    """`grad`, `value_and_grad`, and the inner half of `hessian`, by `word`."""

    @named(f, word, text)
    def found(*args: Any, **kwargs: Any) -> Any:
        numbers = numbers_of(argnums, len(args), word)
        check_differentiable(args, numbers, word)
        call = Recorded(f, args, kwargs, word, has_aux=has_aux)
        call.check_scalar()
        outputs, rows = call.gradients(call.chosen(numbers))
        nested = call.nest(numbers, rows[0])
        slope = nested if isinstance(argnums, tuple | list) else nested[0]
        if word != "value_and_grad":
            return (slope, call.aux(outputs)) if has_aux else slope
        value = call.value(outputs)
        return ((value, call.aux(outputs)) if has_aux else value), slope

    return found


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(value, pullback): the pullback maps output adjoints to argument adjoints.

    Args:
        f: any function of numbers; a tape; compiled code.
        *primals: its arguments.
        has_aux: f returns ``(value, aux)``, and the result is ``(value, pullback,
            aux)``.

    Returns:
        The value, and a function of cotangents nested like the value, which gives a
        tuple with one entry an argument: None for one without floats. What does not
        depend on the cotangents is computed once.

    Example:
        >>> import tapegrad as tg
        >>> value, pullback = tg.vjp(lambda x, y: x * y, 2.0, 3.0)
        >>> pullback(1.0)
        (3.0, 2.0)
    """
    call = Recorded(f, primals, {}, "vjp", has_aux=has_aux)
    numbers = tuple(range(len(primals)))
    grown = sweeps.flat(pullback_tape(call.tape, call.chosen(numbers), call.count))
    total = len(call.tape.outputs)
    parts = split(grown, len(call.given), total)
    early = call.run(parts.early)
    outputs, residuals = early[:total], early[total:]
    shapes = avals(outputs[: call.count])
    labels = paths(call.result, "cotangents")

    def pullback(cotangents: Any) -> tuple[Any, ...]:
        """Adjoints of the arguments, for cotangents nested like the value."""
        seeds = matched(call.result, cotangents, "cotangents", "the value")
        checked = [
            check_direction(seed, aval, label, "that output")
            for seed, aval, label in zip(seeds, shapes, labels, strict=True)
        ]
        given = [
            np.zeros(*aval) if seed is None else seed
            for seed, aval in zip(checked, shapes, strict=True)
        ]
        return call.nest(numbers, run(parts.later, [*residuals, *given]))

    value = call.value(outputs)
    return (value, pullback, call.aux(outputs)) if has_aux else (value, pullback)


def stop_gradient(value: Any) -> Any:
    """The same number or array, taken as a constant by every derivative."""
    return apply(TABLE["stop_gradient"], value) if isinstance(value, Value) else value
