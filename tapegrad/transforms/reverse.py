"""Reverse mode: `grad`, `value_and_grad`, `vjp`. Floor 11.

x_bar = y_bar * df/dx
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.binding import numbers
from tapegrad.calls import swept
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
from tapegrad.transforms.direct import is_scalar, takes
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
        if not (has_aux or kwargs) and takes(f, args) and is_scalar(f):
            value, slope = _direct(f, args, argnums, word)
            return (value, slope) if word == "value_and_grad" else slope
        call, outputs, (slope,) = differentiated(
            f, args, kwargs, argnums, word, has_aux=has_aux, scalar=True
        )
        if word != "value_and_grad":
            return (slope, call.aux(outputs)) if has_aux else slope
        value = call.value(outputs)
        return ((value, call.aux(outputs)) if has_aux else value), slope

    return found


def _direct(
    f: Any, args: Sequence[Any], argnums: Argnums, word: str
) -> tuple[float, Any]:
    """The value and gradient of compiled code, by itself."""
    wrt = numbers_of(argnums, len(args), word)
    value, slopes = f.value_and_gradient(*args)
    rows = (slopes,) if len(args) == 1 else slopes
    chosen = tuple(rows[place] for place in wrt)
    return value, chosen if isinstance(argnums, tuple | list) else chosen[0]


def differentiated(
    f: Function,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: Argnums,
    word: str,
    *,
    has_aux: bool,
    scalar: bool = False,
) -> tuple[Recorded, list[Any], list[Any]]:
    """A call recorded: its outputs, and each one's gradient nested like the arguments.

    Args:
        f: the function.
        args: what it is called with.
        kwargs: the same, by name.
        argnums: which arguments; an int gives bare gradients.
        word: the transform, for messages.
        has_aux: f returns more than what is differentiated.
        scalar: f must return one number.
    """
    wrt = numbers_of(argnums, len(args), word)
    check_differentiable(args, wrt, word)
    call = Recorded(f, args, kwargs, word, has_aux=has_aux)
    if scalar:
        call.check_scalar()
    outputs, rows = call.gradients(call.chosen(wrt))
    nested = [call.nest(wrt, row) for row in rows]
    many = isinstance(argnums, tuple | list)
    return call, outputs, nested if many else [row[0] for row in nested]


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(value, pullback): the pullback maps output adjoints to argument adjoints.

    Args:
        f: any function of numbers; a tape; compiled code.
        *primals: its arguments.
        has_aux: f returns ``(value, aux)``, and the result is ``(value, pullback,
            aux)``.

    Returns:
        The value, and a function of cotangents nested like the value, which gives a
        tuple with one entry an argument: None for one without floats. f runs once,
        however often the pullback is called.

    Example:
        >>> import tapegrad as tg
        >>> value, pullback = tg.vjp(lambda x, y: x * y, 2.0, 3.0)
        >>> pullback(1.0)
        (3.0, 2.0)
    """
    call = Recorded(f, primals, {}, "vjp", has_aux=has_aux)
    places = tuple(range(len(primals)))
    slots: list[Any] = []
    later: tuple[list[Any], Function] | None = None
    if call.plain:
        slots = call.slots()
        outputs = call.outputs(slots)
    else:
        later = _pullback(call)
        outputs = later[0]
    shapes = avals(outputs[: call.count])
    labels = paths(call.result, "cotangents") if shapes else []

    def pullback(cotangents: Any) -> tuple[Any, ...]:
        """Adjoints of the arguments, for cotangents nested like the value."""
        nonlocal later
        seeds = matched(call.result, cotangents, "cotangents", "the value")
        seeds = [
            check_direction(seed, aval, label, "that output")
            for seed, aval, label in zip(seeds, shapes, labels, strict=True)
        ]
        if call.plain and not any(isinstance(seed, Value) for seed in seeds):
            return call.nest(places, _swept(call, slots, seeds))
        later = later or _pullback(call)
        given = [
            np.zeros(*aval) if seed is None else seed
            for seed, aval in zip(seeds, shapes, strict=True)
        ]
        return call.nest(places, later[1](given))

    value = call.value(outputs)
    return (value, pullback, call.aux(outputs)) if has_aux else (value, pullback)


def _swept(call: Recorded, slots: Sequence[Any], seeds: Sequence[Any]) -> list[Any]:
    """Adjoints of the arguments' leaves at numbers."""
    base, m = call.base, call.arithmetic
    ends = base.outputs[: call.count]
    known = [
        (slot, seed) for slot, seed in zip(ends, seeds, strict=True) if seed is not None
    ]
    reached = [slot for slot, _ in known]
    found = numbers(base, m, [seed for _, seed in known], reached)
    chosen = [base.inputs[place] for place in call.chosen(range(len(call.args)))]
    with np.errstate(all="ignore"):
        bars = swept(base, m, slots, sweeps.summed(reached, found), chosen)
    return call.found(bars, chosen)


def _pullback(call: Recorded) -> tuple[list[Any], Function]:
    """All outputs, and the pullback as a tape of what is linear in the cotangents."""
    wrt = call.chosen(range(len(call.args)))
    grown = sweeps.flat(pullback_tape(call.tape, wrt, call.count))
    total = len(call.tape.outputs)
    parts = split(grown, len(call.given), total)
    early = call.run(parts.early)
    return early[:total], lambda seeds: run(parts.later, [*early[total:], *seeds])


def stop_gradient(value: Any) -> Any:
    """The same number or array, taken as a constant by every derivative."""
    return apply(TABLE["stop_gradient"], value) if isinstance(value, Value) else value
