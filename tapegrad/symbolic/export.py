"""Tapes as SymPy expressions: `to_sympy`. Floor 9; loads SymPy.

    to_sympy(tape)                         f(x, y) in the input labels
    to_sympy(tape, derivative=True)        {"x": df/dx, "y": df/dy}
    to_sympy(tape, derivative="hessian")   a Matrix, by every pair of entries

An array is written entry by entry: ``x`` of shape (2,) is the symbols x_0 and x_1, and
what comes out is a ``Matrix`` where it has two axes, and an ``Array`` else.

The derivatives are SymPy's own, of the closed form: a second opinion on the sweeps
rather than their echo.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import sympy as sp

from tapegrad import sweeps
from tapegrad.derivatives import differentiable, gradient_tape, scalar_output
from tapegrad.errors import ShapeError
from tapegrad.symbolic.budget import within
from tapegrad.symbolic.closed import (
    careful,
    each,
    expressions,
    keys_of,
    released,
    signed,
    symbols_of,
)
from tapegrad.symbolic.limits import MAX_STEPS
from tapegrad.symbolic.sums import summed
from tapegrad.tape.rolls import rolled
from tapegrad.tape.tape import Tape
from tapegrad.unrolling import short

# simplify() takes its time beyond this many operations, and seldom finds anything. Of
# the many derivatives of an array each gets less.
SIMPLIFIED, SIMPLIFIED_ENTRY = 30, 6
# ... and of the others some take minutes: a second or two is what it gets.
SIMPLIFY_CALLS = 3_000_000
# In a power or product of powers beyond this, simplify() may multiply out.
TAME = 16

KINDS = (False, True, "jacobian", "hessian")


def to_sympy(tape: Tape, *, derivative: bool | str = False) -> Any:
    """The outputs of a tape as SymPy expressions, or their derivatives.

    Args:
        tape: any tape whose written-out formula is of reasonable length.
        derivative: give derivatives instead: True for those by each input,
            "jacobian" or "hessian" for one ``Matrix`` of all.

    Returns:
        Without `derivative`, the expressions, nested as the function returned its
        results. With True, for one output a dict from input label to expression; for
        several, a list of such dicts. The symbols are real and carry the input labels
        (the label ``b[0]`` becomes the symbol ``b_0``); the entries of an array ``x``
        are ``x_0_0``, ``x_0_1``, ... An array of two axes is a ``sympy.Matrix``, any
        other a ``sympy.Array``; the derivative of an array by an array has the axes of
        both. Arrays of ints and truth values keep the numbers of the recording, and
        have no derivative. A Jacobian has a row for each entry of the outputs, in
        order, and a column for each entry of the inputs.

    Raises:
        ShapeError: the formula would be too long or too deeply nested, or the arrays
            are too large; a Hessian of several numbers.
        DomainError: there is no formula, as of eigenvalues or of sorted symbols.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tape = tg.record(lambda x, y: x * np.tanh(y), 1.0, 2.0)
        >>> tape.to_sympy()
        x*tanh(y)
        >>> tape.to_sympy(derivative=True)
        {'x': tanh(y), 'y': x/cosh(y)**2}
        >>> tape.to_sympy(derivative="jacobian")
        Matrix([[tanh(y), x/cosh(y)**2]])
    """
    if derivative not in KINDS:
        msg = (
            f"derivative={derivative!r} is not known; write True for the derivatives "
            'by each input, "jacobian" or "hessian" for a matrix of all'
        )
        raise ShapeError(msg)
    tape = short(tape, MAX_STEPS)
    if rolled(tape) and not derivative:
        return summed(tape)
    symbols = symbols_of(tape)
    if derivative == "hessian":
        return _hessian(tape, symbols)
    if derivative == "jacobian":
        return _jacobian(tape, symbols)
    if derivative and sweeps.ruled(tape):
        return _by_rules(tape, symbols)
    outputs = expressions(tape, symbols, derivative=bool(derivative))
    if not derivative:
        return tape.structure.result.build(
            careful(
                lambda: [_shown(each(released, output)) for output in outputs],
                "the formula",
            )
        )
    keys = keys_of(tape)
    places = differentiable(tape)
    found = [
        {keys[place]: _by_entry(output, symbols[place]) for place in places}
        for output in outputs
    ]
    return found[0] if tape.structure.result.bare else found


def _by_rules(tape: Tape, symbols: Sequence[Any]) -> Any:
    """Derivatives of a tape whose steps have rules that SymPy would not follow."""
    grown = expressions(gradient_tape(tape, values=False), symbols)
    found = careful(
        lambda: [_shown(each(released, part)) for part in grown], "the derivative"
    )
    keys = keys_of(tape)
    places = differentiable(tape)
    count = len(places)
    dicts = [
        {keys[place]: part for place, part in zip(places, row, strict=True)}
        for row in (found[k : k + count] for k in range(0, len(found), count))
    ]
    return dicts[0] if tape.structure.result.bare else dicts


def entries_of(found: Iterable[Any]) -> list[Any]:
    """The entries of arrays or expressions, one after the other."""
    return [entry for part in found for entry in np.ravel(np.array(part, dtype=object))]


def smooth_symbols(tape: Tape, symbols: Sequence[Any]) -> list[Any]:
    """The symbols of all entries that there is a derivative by."""
    return entries_of(symbols[place] for place in differentiable(tape))


def _jacobian(tape: Tape, symbols: Sequence[Any]) -> Any:
    """A row for each entry of the outputs, a column for each of the inputs."""
    by = smooth_symbols(tape, symbols)
    if sweeps.ruled(tape):
        count = len(differentiable(tape))
        found = expressions(gradient_tape(tape, values=False), symbols)
        blocks = [
            np.concatenate(
                [
                    np.array(part, dtype=object).reshape(-1, np.size(symbols[place]))
                    for part, place in zip(row, differentiable(tape), strict=True)
                ],
                axis=1,
            )
            for row in (found[k : k + count] for k in range(0, len(found), count))
        ]
        rows = careful(
            lambda: [[released(entry) for entry in row] for b in blocks for row in b],
            "the derivative",
        )
        return sp.ImmutableMatrix(len(rows), len(by), entries_of(rows))
    outputs = entries_of(expressions(tape, symbols, derivative=True))
    entry = len(outputs) * len(by) > 1
    return sp.ImmutableMatrix(
        len(outputs),
        len(by),
        lambda i, j: differentiated(outputs[i], by[j], entry=entry),
    )


def _hessian(tape: Tape, symbols: Sequence[Any]) -> Any:
    """By every pair of entries of the inputs; each pair is differentiated once."""
    scalar_output(tape)
    if sweeps.ruled(tape):
        return _jacobian(gradient_tape(tape, values=False), symbols)
    (output,) = expressions(tape, symbols, derivative=True)
    by = smooth_symbols(tape, symbols)
    known: dict[tuple[int, int], Any] = {}
    for i, j in combinations_with_replacement(range(len(by)), 2):
        known[i, j] = known[j, i] = differentiated(output, by[i], by[j], entry=True)
    return sp.ImmutableMatrix(len(by), len(by), lambda i, j: known[int(i), int(j)])


def _by_entry(output: Any, by: Any) -> Any:
    """Derivatives of one expression or all, by one symbol or all."""
    made = np.empty((*np.shape(output), *np.shape(by)), object)
    lead = np.ndim(output)
    # an object array of shape () gives its entry for the index ()
    outputs, symbols = (np.array(part, dtype=object) for part in (output, by))
    for place in np.ndindex(made.shape):
        pair = outputs[place[:lead]], symbols[place[lead:]]
        made[place] = differentiated(*pair, entry=made.size > 1)
    return _shown(made if made.ndim else made[()])


def _shown(found: Any) -> Any:
    """An array of expressions as SymPy's own."""
    if not isinstance(found, np.ndarray):
        return found
    if found.ndim == 2 and found.size:
        return sp.ImmutableMatrix(found.tolist())
    return sp.Array(found.ravel().tolist(), found.shape)


def differentiated(expression: Any, *symbols: Any, entry: bool = False) -> Any:
    """A derivative by SymPy, made readable, held kinks released.

    Args:
        expression: kinked rows held.
        symbols: by what, one after the other.
        entry: it is one of the many derivatives of an array.
    """
    # SymPy would take these for constants: infinity has swallowed what was added
    if expression.has(sp.nan, sp.zoo) or expression in {sp.oo, -sp.oo}:
        return sp.nan

    def task() -> Any:
        found = expression
        for symbol in symbols:
            found = sp.diff(found, symbol)
        return released(readable(signed(found), entry=entry))

    return careful(task, "the derivative")


def readable(expression: Any, *, entry: bool = False) -> Any:
    """The simplified form where it is shorter, and found quickly.

    Of a Piecewise the arms: SymPy's way with whole ones takes seconds.
    """
    if expression.has(sp.Piecewise):
        return expression.replace(
            lambda part: isinstance(part, sp.Piecewise),
            lambda part: sp.Piecewise(
                *((readable(arm, entry=entry), c) for arm, c in part.args)
            ),
        )
    operations = expression.count_ops()
    most = SIMPLIFIED_ENTRY if entry else SIMPLIFIED
    if operations > most or not _tame(expression):
        return expression
    _warm()
    simplified = within(
        SIMPLIFY_CALLS, lambda: sp.simplify(expression), lambda: expression
    )
    return simplified if simplified.count_ops() < operations else expression


@functools.cache
def _warm() -> None:
    """What simplify() imports on its first use must not count against a formula."""
    sp.simplify(1 - sp.tanh(sp.Symbol("x")) ** 2)


def _tame(expression: Any) -> bool:
    """Whether no power in it is so high that multiplying out would take for ever."""
    return all(
        max(abs(power.exp.p), power.exp.q) <= TAME
        for power in expression.atoms(sp.Pow)
        if power.exp.is_Rational and not power.base.is_Symbol
    ) and all(max(abs(n.p), n.q) < 10**6 for n in expression.atoms(sp.Rational))
