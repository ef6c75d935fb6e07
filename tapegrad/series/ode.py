"""`taylor_ode`: the Taylor series of the solution of y' = f(y). Floor 10.

    (k + 1) y_(k+1) = f(y)_k

Coefficient k of the right side needs coefficients up to k of y, so the tape of f is
read in series that stay open, and all of them grow by one term a turn. The whole series
costs what one run of `taylor` does (Griewank & Walther, section 13.4).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tapegrad import binding, sweeps
from tapegrad.calls import guarded
from tapegrad.derivatives import differentiable
from tapegrad.errors import RecordError, ShapeError
from tapegrad.recording import is_dynamic, record_inside
from tapegrad.series.power import Series
from tapegrad.series.reading import SeriesReading
from tapegrad.series.run import arithmetic_of, stacked, terms_of
from tapegrad.series.transform import checked_order
from tapegrad.tape.structure import flatten
from tapegrad.tape.tape import Tape
from tapegrad.value import Value


def taylor_ode(
    f: Callable[..., Any], y0: Any, order: int, *, arithmetic: str = "float64"
) -> Any:
    """Taylor coefficients of the solution of ``y' = f(y)``, ``y(0) = y0``.

    Args:
        f: the right side: a function of one argument, or its tape, whose result nests
            like y0. Time is a component of its own, with the derivative 1.
        y0: the point: a number, an array or a nesting of them.
        order: the last coefficient, 0 to 170.
        arithmetic: as for a replay, such as "mpmath:50".

    Returns:
        Nested like y0; each leaf has the coefficients along a new first axis,
        ``(order + 1, *shape)``. A step of length h is their sum times the powers of h.

    Raises:
        ShapeError: f does not return what y0 is.
        RecordError: y0 is a Value, or the order is no whole number from 0 to 170.
        DomainError: linear algebra has no answer at y0.

    Example:
        >>> import tapegrad as tg
        >>> tg.taylor_ode(lambda y: y, 1.0, 4)
        array([1.        , 1.        , 0.5       , 0.16666667, 0.04166667])
    """
    degree = checked_order(order)
    if isinstance(f, Tape):
        tape, given = f, binding.bind_for(f, (y0,), {}, arithmetic)
        captured: Sequence[Any] = ()
    else:
        tape, captured = record_inside(f, (y0,), {})
        given = flatten(y0, is_dynamic)[0]
    if captured or any(isinstance(x, Value) for x in given):
        msg = (
            "taylor_ode is for numbers, and y0 or what f reads is a Value; pass "
            "value.data, or differentiate with tg.taylor"
        )
        raise RecordError(msg)
    base = sweeps.flat(tape)
    _check(tape, base)
    terms = _solution(base, given, degree, arithmetic)
    return tape.structure.arguments[0].build(list(map(stacked, terms)))


def _check(tape: Tape, base: Tape) -> None:
    """Refuse a right side that does not nest as the unknowns do."""
    trees = tape.structure.arguments
    takes = [base.aval_of(slot) for slot in base.inputs]
    gives = [base.aval_of(slot) for slot in base.outputs]
    if len(trees) != 1:
        msg = f"y' = f(y) takes one argument, and f takes {len(trees)}"
        raise ShapeError(msg)
    if (
        takes != gives
        or trees[0].spec != tape.structure.result.spec
        or len(differentiable(base)) != len(takes)
    ):
        msg = (
            f"y0 has the leaves {takes}, and f(y0) has {gives}: a right side returns "
            "floats of the same nesting, shapes and dtypes (2.0, not 2)"
        )
        raise ShapeError(msg)


@guarded
def _solution(
    base: Tape, given: Sequence[Any], order: int, arithmetic: str
) -> list[list[Any]]:
    m = arithmetic_of(arithmetic)
    open_series = SeriesReading(m)
    slots: list[Any] = []

    def above(output: int, k: int) -> Any:
        below = slots[output].term(k - 1)
        return None if below is None else below / k

    inputs = [
        Series(open_series, point, functools.partial(above, output))
        for point, output in zip(
            binding.numbers(base, m, given), base.outputs, strict=True
        )
    ]
    slots += sweeps.replay(base, open_series, inputs)
    for k in range(1, order + 1):
        for y in inputs:
            y.reach(k)
        # in the order of the tape, so that no term waits for a long chain of others
        for series in open_series.made:
            series.reach(k)
    return [[binding.result(m, term) for term in terms_of(m, y, order)] for y in inputs]
