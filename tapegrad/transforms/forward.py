"""Forward mode: `jvp`, `linearize`, and `hvp`, forward over reverse. Floor 11.

y_dot = df/dx * x_dot
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.binding import numbers
from tapegrad.derivatives import tangent_tape
from tapegrad.errors import ShapeError
from tapegrad.tape.structure import paths
from tapegrad.transforms.arguments import (
    as_tuple,
    check_differentiable,
    check_direction,
    holds_floats,
    matched,
)
from tapegrad.transforms.direct import takes
from tapegrad.transforms.recorded import Recorded, run
from tapegrad.transforms.reverse import gradient
from tapegrad.transforms.split import split
from tapegrad.value import Value

Function = Callable[..., Any]


def jvp(
    f: Function,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """(value, tangent): the derivative along a direction, in forward mode.

    Args:
        f: any function of numbers; a tape; compiled code.
        primals: a tuple, one entry an argument.
        tangents: the direction, nested like the primals. What stands in the place of
            ints and other leaves without a derivative does not count.
        has_aux: f returns ``(value, aux)``, and the result is ``(value, tangent,
            aux)``.

    Raises:
        ShapeError: a tangent nests in another way or has another shape; names it.
        RecordError: a tangent is no real number.

    Example:
        >>> import tapegrad as tg
        >>> tg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
        (6.0, 3.0)
    """
    args = as_tuple(primals, "primals", "jvp")
    directions = as_tuple(tangents, "tangents", "jvp")
    if not has_aux and takes(f, args, directions):
        found: tuple[Any, ...] = f.jvp(args, directions)  # type: ignore[attr-defined]
        return found
    return along(f, args, directions, "jvp", "tangents", has_aux=has_aux)


def along(
    f: Function,
    args: tuple[Any, ...],
    directions: tuple[Any, ...],
    word: str,
    name: str,
    *,
    has_aux: bool,
) -> tuple[Any, ...]:
    """`jvp` and the outer half of `hvp`; messages call the direction by `name`."""
    call = Recorded(f, args, {}, word, has_aux=has_aux)
    wrt = _moving(call)
    dots = _dots(call, directions, wrt, word, name)
    if call.plain and not any(isinstance(dot, Value) for dot in dots):
        outputs, tangents = _swept(call, wrt, dots)
    else:
        grown = tangent_tape(call.tape, values=True, wrt=wrt, count=call.count)
        found, total = call.run(grown, dots), len(call.tape.outputs)
        outputs, tangents = found[:total], found[total:]
    value, tangent = call.value(outputs), call.value(tangents)
    return (value, tangent, call.aux(outputs)) if has_aux else (value, tangent)


def _swept(
    call: Recorded, wrt: Sequence[int], dots: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """All outputs, and the tangents of the result, at numbers."""
    base, m = call.base, call.arithmetic
    moving = [base.inputs[place] for place in wrt]
    seeds = dict(zip(moving, numbers(base, m, dots, moving), strict=True))
    slots = call.slots()
    with np.errstate(all="ignore"):
        found = sweeps.tangent(base, m, slots, seeds)
    return call.outputs(slots), call.found(found, base.outputs[: call.count])


def linearize(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(value, pushforward): the derivative as a linear function of the direction.

    The value and all partials are computed once; the function replays only what
    depends on the direction. It takes one tangent an argument and gives the tangent of
    the value, so ``pushforward(*tangents)`` is ``jvp(f, primals, tangents)[1]``.

    Args:
        f: any function of numbers; a tape; compiled code.
        *primals: where to linearize it.
        has_aux: f returns ``(value, aux)``, and the result is ``(value, pushforward,
            aux)``.

    Raises:
        ShapeError: a tangent nests in another way or has another shape; names it.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> value, pushforward = tg.linearize(np.sin, 0.0)
        >>> value, pushforward(1.0), pushforward(2.0)
        (0.0, 1.0, 2.0)
    """
    call = Recorded(f, primals, {}, "linearize", has_aux=has_aux)
    wrt = _moving(call)
    grown = tangent_tape(call.tape, values=True, wrt=wrt, count=call.count)
    total = len(call.tape.outputs)
    parts = split(sweeps.flat(grown), len(call.given), total)
    early = call.run(parts.early)
    outputs, residuals = early[:total], early[total:]

    def pushforward(*tangents: Any) -> Any:
        """The tangent of the value, for a tangent of each argument."""
        dots = _dots(call, tangents, wrt, "linearize", "tangents")
        return call.value(run(parts.later, [*residuals, *dots], often=True))

    value = call.value(outputs)
    return (value, pushforward, call.aux(outputs)) if has_aux else (value, pushforward)


def _moving(call: Recorded) -> list[int]:
    """Places of the inputs that a direction can move: leaves of the arguments."""
    return call.chosen(range(len(call.args)))


def _dots(
    call: Recorded,
    directions: Sequence[Any],
    wrt: Sequence[int],
    word: str,
    given: str,
) -> list[Any]:
    """The tangents of the moving inputs.

    Raises:
        ShapeError: too few or too many, or one does not fit.
    """
    if len(directions) != len(call.args):
        msg = (
            f"{word} needs a tangent for each primal, got primals {len(call.args)} and "
            f"{given} {len(directions)}"
        )
        raise ShapeError(msg)
    found: list[Any] = []
    trees = call.tape.structure.arguments
    for number, (tree, direction) in enumerate(zip(trees, directions, strict=True)):
        name, like = f"{given}[{number}]", f"args[{number}]"
        leaves = matched(tree, direction, name, like)
        if not leaves:
            continue
        labels = zip(paths(tree, name), paths(tree, like), strict=True)
        for place, leaf, (label, mine) in zip(
            call.places[number], leaves, labels, strict=True
        ):
            aval = call.tape.aval_of(call.tape.inputs[place])
            found.append(check_direction(leaf, aval, label, mine))
    return [found[place] for place in wrt]


def hvp(f: Function, primals: Sequence[Any], direction: Sequence[Any]) -> Any:
    """Hessian times a direction: forward over reverse.

    Args:
        f: a function that returns one number; a tape; compiled code.
        primals: a tuple, one entry an argument.
        direction: nested like the primals.

    Returns:
        Nested like the primals: bare for one argument, a tuple for several.

    Example:
        >>> import tapegrad as tg
        >>> tg.hvp(lambda x, y: x * x * y, (2.0, 3.0), (1.0, 0.0))
        (6.0, 4.0)
    """
    args = as_tuple(primals, "primals", "hvp")
    directions = as_tuple(direction, "direction", "hvp")
    if takes(f, args, directions):
        return f.hvp(args, directions)  # type: ignore[attr-defined]
    chosen = tuple(place for place, x in enumerate(args) if holds_floats(x))
    if not chosen:
        check_differentiable(args, range(len(args)), "hvp")
    slope = gradient(f, chosen, has_aux=False, word="hvp", text="The gradient")
    found = iter(along(slope, args, directions, "hvp", "direction", has_aux=False)[1])
    nested = tuple(next(found) if i in chosen else None for i in range(len(args)))
    return nested[0] if len(args) == 1 else nested
