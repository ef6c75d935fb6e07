r"""Tapes as LaTeX: `tape.latex`, and what notebooks show. Floor 9; loads SymPy.

    f &= v_{1}^{2} + \sin{v_{1}} \\ \text{where}\quad v_{1} &= x y

A part that occurs several times gets a name where that makes the text shorter. Several
outputs, and second derivatives, are matrices. Guards are assumptions of the formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
from sympy.logic.boolalg import Boolean

from tapegrad import sweeps
from tapegrad.derivatives import differentiable
from tapegrad.errors import ShapeError
from tapegrad.expanding import expanded
from tapegrad.symbolic.closed import FORMULAS, careful, names_of, released, symbols_of
from tapegrad.symbolic.export import smooth_symbols, to_sympy
from tapegrad.symbolic.limits import MAX_STEPS, limited
from tapegrad.symbolic.shared import shared_formulas
from tapegrad.tape.tape import Tape
from tapegrad.unrolling import short, written_out

# What a notebook shows beside a tape: a line or two.
SHOWN_STEPS = 60
SHOWN_SIZE = 500
SHOWN_LATEX = 1_500

# What a name costs, beside its own letters: a line break, an equals sign.
LINE = 12


def latex(tape: Tape, *, derivative: bool | str = False) -> str:
    r"""The outputs of a tape, or their derivatives, as LaTeX without dollar signs.

    Args:
        tape: any tape whose formula is of reasonable length, when what is shared has
            a name.
        derivative: True gives an aligned list of partial derivatives for a tape with
            one output that is a number, and the Jacobian as a matrix for any other;
            "jacobian" and "hessian" give these matrices.

    Returns:
        The text. Parts that occur several times are named ``v_{1}``, ``v_{2}``, ...
        and listed below it where that is shorter.

    Raises:
        ShapeError: as for `to_sympy`.

    Example:
        >>> import tapegrad as tg
        >>> tg.record(lambda x: x**0.5, 2.0).latex()
        '\\sqrt{x}'
    """
    tape = short(tape, MAX_STEPS)
    scalar = tape.structure.result.bare and not tape.aval_of(tape.outputs[0])[0]
    if derivative is True and not scalar:
        derivative = "jacobian"
    try:
        found = to_sympy(tape, derivative=derivative)
    except ShapeError:
        long = _of_steps(tape, derivative) if scalar else None
        if long is None:
            raise
        return long
    if derivative is True:
        lefts = _partials(tape)
        text = named(lefts, list(found.values()))
        return (text or _aligned(lefts, map(_latex, found.values()))) + (
            _assumptions(tape)
        )
    left = _left(tape, derivative)
    text = named([left], [found])
    if text is None:
        text = _latex(found)
        text = f"{left} = {text}" if derivative else text
    return text + _assumptions(tape)


def _partials(tape: Tape) -> list[str]:
    """The sign of the derivative by each input."""
    names = names_of(tape)
    unders = [_latex(sp.Symbol(names[place])) for place in differentiable(tape)]
    return [rf"\frac{{\partial f}}{{\partial {under}}}" for under in unders]


def _of_steps(tape: Tape, derivative: bool | str) -> str | None:
    """A formula too long to be written out: shared steps by name."""
    if derivative not in {False, True}:
        return None
    names = _fresh({str(symbol) for symbol in symbols_of(tape)})
    found = shared_formulas(tape, names, derivative=bool(derivative))
    if found is None:
        return None
    shared, rest = found
    return _with_names(_partials(tape) if derivative else ["f"], rest, shared)


def _left(tape: Tape, derivative: bool | str) -> str:
    """What stands before the equals sign."""
    if not derivative:
        return "f"
    by = ", ".join(map(_latex, smooth_symbols(tape, symbols_of(tape))))
    if derivative == "hessian":
        return hessian_of(by)
    sizes = [int(np.prod(tape.aval_of(slot)[0], dtype=int)) for slot in tape.outputs]
    count = sum(sizes)
    over = "f"
    if count != 1:
        over = rf"\left(f_{{1}}, \ldots, f_{{{count}}}\right)"
        if count <= 3:
            over = ", ".join(f"f_{{{number}}}" for number in range(1, count + 1))
            over = rf"\left({over}\right)"
    return rf"\frac{{\partial {over}}}{{\partial \left({by}\right)}}"


def hessian_of(by: str) -> str:
    """The sign of second derivatives by a list of symbols."""
    return rf"\frac{{\partial^{{2}} f}}{{\partial \left({by}\right)^{{2}}}}"


def matrix_of_second(found: Mapping[tuple[str, ...], Any]) -> str:
    """Second derivatives by pairs of names, as one matrix."""
    names = list(dict.fromkeys(first for first, _ in found))
    matrix = sp.Matrix([[found[a, b] for b in names] for a in names])
    left = hessian_of(", ".join(_latex(sp.Symbol(name)) for name in names))
    return named([left], [matrix]) or f"{left} = {_latex(matrix)}"


def _aligned(lefts: Sequence[str], rights: Any) -> str:
    lines = [f"{left} &= {right}" for left, right in zip(lefts, rights, strict=True)]
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def named(lefts: Sequence[str], found: Sequence[Any]) -> str | None:
    """Formulas with names for what they share; None where that is not shorter.

    Args:
        lefts: what stands before each equals sign.
        found: expressions, or arrays, lists and dicts of them.
    """
    plain = _aligned(lefts, map(_latex, found))
    shared, rest = _named_parts(_leaves(found))
    if not shared:
        return None
    parts = iter(rest)
    text = _with_names(lefts, [_put_back(part, parts) for part in found], shared)
    return text if len(text) < len(plain) else None


def _with_names(lefts: Sequence[str], found: Sequence[Any], shared: Any) -> str:
    """Formulas, and below them what their names stand for."""
    where = [_latex(symbol) for symbol, _ in shared]
    where[0] = rf"\text{{where}}\quad {where[0]}"
    rights = [*map(_latex, found), *(_latex(part) for _, part in shared)]
    return _aligned([*lefts, *where], rights)


def _named_parts(entries: Sequence[Any]) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Names with what they stand for, in order, and the entries in them."""
    taken = {str(symbol) for entry in entries for symbol in entry.free_symbols}

    def task() -> Any:
        shared, rest = sp.cse(entries, symbols=_fresh(taken), order="none", list=True)
        kept, forms = _worth_it(shared, rest)
        new = dict(zip((name for name, _ in kept), _fresh(taken), strict=False))
        return (
            [(new[name], part.xreplace(new)) for name, part in kept],
            [form.xreplace(new) for form in forms],
        )

    found: tuple[list[tuple[Any, Any]], list[Any]] = careful(task, "the formula")
    return found


def _fresh(taken: set[str]) -> Iterator[Any]:
    """The symbols v_1, v_2, ... that are not taken."""
    numbered = sp.numbered_symbols("v_", start=1, real=True)
    return (symbol for symbol in numbered if str(symbol) not in taken)


def _worth_it(shared: Sequence[Any], rest: Sequence[Any]) -> tuple[list[Any], Any]:
    """Names put back where they save nothing, and where they are conditions."""
    kept: list[tuple[Any, Any]] = []
    left, forms = list(shared), list(rest)
    while left:
        symbol, form = left.pop()
        others = [*forms, *(part for _, part in kept)]
        uses = sum(other.count(symbol) for other in others)
        length, short = len(_latex(form)), len(_latex(symbol))
        saved = (uses - 1) * length - (uses + 1) * short - LINE
        if saved > 0 and not isinstance(form, Boolean):
            kept.insert(0, (symbol, form))
            continue
        back = {symbol: form}
        forms = [other.xreplace(back) for other in forms]
        kept = [(name, part.xreplace(back)) for name, part in kept]
    return kept, forms


def _leaves(found: Any) -> list[Any]:
    """The expressions in a nesting, in order."""
    if isinstance(found, dict):
        return [leaf for part in found.values() for leaf in _leaves(part)]
    if isinstance(found, list | tuple):
        return [leaf for part in found for leaf in _leaves(part)]
    if isinstance(found, sp.NDimArray | sp.MatrixBase):
        if not len(found):  # SymPy cannot list what has no entries
            return []
        return list(np.ravel(np.array(found.tolist(), dtype=object)))
    return [sp.sympify(found)]


def _put_back(found: Any, parts: Any) -> Any:
    """A nesting with other expressions."""
    if isinstance(found, dict):
        return {key: _put_back(part, parts) for key, part in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_put_back(part, parts) for part in found)
    if isinstance(found, sp.NDimArray | sp.MatrixBase):
        count = len(_leaves(found))
        if not count:
            return found
        flat = [next(parts) for _ in range(count)]
        if isinstance(found, sp.MatrixBase):
            return sp.ImmutableMatrix(*found.shape, flat)
        return sp.Array(flat, found.shape)
    return next(parts)


def latex_or_none(tape: Tape) -> str | None:
    """What a notebook shows: the formula between dollar signs, or None when long."""
    if len(tape) > SHOWN_STEPS:
        return None
    try:
        tape = short(tape, SHOWN_STEPS)
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
    base = expanded(written_out(tape, MAX_STEPS))
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
