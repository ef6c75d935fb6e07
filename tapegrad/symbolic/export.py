"""Tapes as formulas: `to_sympy` and `latex`. Floor 9; loads SymPy.

    to_sympy(tape)                    f(x, y) in the input labels
    to_sympy(tape, derivative=True)   {"x": df/dx, "y": df/dy}

An array is written entry by entry: ``x`` of shape (2,) is the symbols x_0 and x_1, and
what comes out is a ``sympy.Array``.

The derivatives are SymPy's own, of the closed form: a second opinion on the sweeps
rather than their echo. Guards are assumptions of the formula; `latex` prints them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp
from sympy.logic.boolalg import Boolean

from tapegrad import sweeps
from tapegrad.derivatives import differentiable, gradient_tape
from tapegrad.expanding import expanded
from tapegrad.symbolic.budget import within
from tapegrad.symbolic.closed import (
    FORMULAS,
    careful,
    each,
    expressions,
    keys_of,
    names_of,
    released,
    signed,
    symbols_of,
)
from tapegrad.symbolic.limits import limited
from tapegrad.tape.tape import Tape

# simplify() takes its time beyond this many operations, and seldom finds anything. Of
# the many derivatives of an array each gets less.
SIMPLIFIED, SIMPLIFIED_ENTRY = 30, 6
# ... and of the others some take minutes: a second or two is what it gets.
SIMPLIFY_CALLS = 3_000_000
# In a power or product of powers beyond this, simplify() may multiply out.
TAME = 16

# What a notebook shows beside a tape: a line or two.
SHOWN_STEPS = 60
SHOWN_SIZE = 500
SHOWN_LATEX = 1_500


def to_sympy(tape: Tape, *, derivative: bool = False) -> Any:
    """The outputs of a tape as SymPy expressions, or their derivatives.

    Args:
        tape: any tape whose written-out formula is of reasonable length.
        derivative: give derivatives instead.

    Returns:
        Without `derivative`, the expressions, nested as the function returned its
        results. With it, for one output a dict from input label to expression; for
        several, a list of such dicts. The symbols are real and carry the input labels
        (the label ``b[0]`` becomes the symbol ``b_0``); the entries of an array ``x``
        are ``x_0_0``, ``x_0_1``, ... An array is a ``sympy.Array``, the derivative of
        an array by an array one with the axes of both. Arrays of ints and truth values
        keep the numbers of the recording, and have no derivative.

    Raises:
        ShapeError: the formula would be too long or too deeply nested, or the arrays
            are too large.
        DomainError: there is no formula, as of eigenvalues or of sorted symbols.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tape = tg.record(lambda x, y: x * np.tanh(y), 1.0, 2.0)
        >>> tape.to_sympy()
        x*tanh(y)
        >>> tape.to_sympy(derivative=True)
        {'x': tanh(y), 'y': x/cosh(y)**2}
    """
    symbols = symbols_of(tape)
    if derivative and sweeps.ruled(tape):
        return _by_rules(tape, symbols)
    outputs = expressions(tape, symbols, derivative=derivative)
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


def latex(tape: Tape, *, derivative: bool = False) -> str:
    r"""The outputs of a tape, or their derivatives, as LaTeX without dollar signs.

    Args:
        tape: any tape whose written-out formula is of reasonable length.
        derivative: an aligned list of partial derivatives instead.

    Example:
        >>> import tapegrad as tg
        >>> tg.record(lambda x: x**0.5, 2.0).latex()
        '\\sqrt{x}'
    """
    if not derivative:
        found = to_sympy(tape)
        return _latex(found) + _assumptions(tape)
    found = to_sympy(tape, derivative=True)
    several = isinstance(found, list)
    names = names_of(tape)
    unders = [_latex(sp.Symbol(names[place])) for place in differentiable(tape)]
    lines = []
    for number, row in enumerate(found if several else [found], 1):
        name = f"f_{{{number}}}" if several else "f"
        for under, formula in zip(unders, row.values(), strict=True):
            lines.append(
                rf"\frac{{\partial {name}}}{{\partial {under}}} &= {_latex(formula)}"
            )
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}" + _assumptions(tape)


def latex_or_none(tape: Tape) -> str | None:
    """What a notebook shows: the formula between dollar signs, or None when long."""
    if len(tape) > SHOWN_STEPS:
        return None
    try:
        if limited(expanded(tape)) > SHOWN_SIZE:
            return None
        text = latex(tape)
    except Exception:  # noqa: BLE001 - a picture of a tape must not fail
        return None
    return f"$\\displaystyle {text}$" if len(text) <= SHOWN_LATEX else None


def _latex(found: Any) -> str:
    """LaTeX of an expression, or of expressions in lists, tuples and dicts."""
    return careful(lambda: sp.latex(_symbolic(found)), "the formula")  # type: ignore[no-any-return]


def _symbolic(found: Any) -> Any:
    """Keys of dicts as symbols: SymPy would print a text as bare TeX."""
    if isinstance(found, dict):
        return {sp.Symbol(str(k)): _symbolic(value) for k, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(map(_symbolic, found))
    if isinstance(found, sp.NDimArray) and not len(found):
        return sp.Symbol(r"\left[\ \right]")  # SymPy's printer trips over none
    return found


def _assumptions(tape: Tape) -> str:
    """The guards of a tape: where the formula is the function."""
    if not tape.guards:
        return ""
    base = expanded(tape)
    slots = sweeps.replay(base, FORMULAS, symbols_of(tape))
    found: list[Any] = []
    for step in base:
        if step.primitive.name == "guard":
            (condition,) = np.ravel(np.array(slots[step.operands[0]], dtype=object))
            condition = released(sp.sympify(condition))
            found.append(_assumption(condition, step.params["guard"].outcome))
    shown = dict.fromkeys(_latex(part) for part in found if part not in _TRUTHS)
    return rf" \quad \text{{for }} {', '.join(shown)}" if shown else ""


_TRUTHS: Sequence[Any] = (sp.true, sp.false)


def _assumption(condition: Any, outcome: bool | int) -> Any:
    """A guard as a relation."""
    if not isinstance(outcome, bool):
        return sp.Eq(sp.Function("int")(condition), outcome)
    if not isinstance(condition, Boolean):
        condition = sp.Ne(condition, 0)
    return condition if outcome else sp.Not(condition)
