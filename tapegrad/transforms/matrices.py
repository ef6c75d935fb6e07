"""Whole derivatives: `jacobian`, `hessian`. Floor 11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.transforms.arguments import Argnums
from tapegrad.transforms.naming import named
from tapegrad.transforms.reverse import differentiated, gradient

Function = Callable[..., Any]


def jacobian(f: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """A function that returns each output's gradient, nested like the outputs.

    Args:
        f: any function of numbers; a tape; compiled code.
        argnums: which positional arguments; an int gives bare derivatives, a tuple
            tuples.
        has_aux: f returns ``(outputs, aux)``, and what comes out is ``(jacobian,
            aux)``.

    Returns:
        A function. For an output and an argument that are arrays its entry has the
        output's shape, followed by the argument's.

    Raises:
        ShapeError: an argument holds no float.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tg.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """
    return _matrix(f, argnums, has_aux, "jacobian", "The Jacobian")


def hessian(f: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """A function that returns second derivatives: the Jacobian of the gradient.

    Args:
        f: a function that returns one number; a tape; compiled code.
        argnums: as for `jacobian`; a tuple gives a tuple of tuples.
        has_aux: f returns ``(value, aux)``, and what comes out is ``(hessian, aux)``.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tg.hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 2.0]))
        array([[0., 4.],
               [4., 2.]])
    """
    # messages speak of what the user called
    inner = gradient(f, argnums, has_aux, "hessian", "The gradient")
    made = _matrix(inner, argnums, has_aux, "hessian", "Second derivatives")
    return named(f, "hessian", "Second derivatives")(made)


def _matrix(
    f: Function, argnums: Argnums, has_aux: bool, word: str, text: str
) -> Function:
    """The derivative of every output."""

    @named(f, word, text)
    def found(*args: Any, **kwargs: Any) -> Any:
        call, outputs, rows = differentiated(
            f, args, kwargs, argnums, word, has_aux=has_aux
        )
        whole = call.value(rows)
        return (whole, call.aux(outputs)) if has_aux else whole

    return found
