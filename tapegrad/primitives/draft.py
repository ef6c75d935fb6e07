"""A definition on its way into the table: an expression, or code. Floor 10."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from tapegrad.errors import ParseError, RecordError
from tapegrad.primitives import code as codes
from tapegrad.primitives.choice import joined
from tapegrad.primitives.forms import forms
from tapegrad.primitives.intervals import of_assumptions
from tapegrad.primitives.lower import (
    code_of,
    exactly,
    put_in,
    swept,
    symbols_of,
)
from tapegrad.primitives.oracle import Witness, of_code, of_expression
from tapegrad.primitives.text import Code, RuleText, argument_names, write
from tapegrad.readings.sympy import SYMPY
from tapegrad.rules import TABLE
from tapegrad.rules.primitive import REAL, Interval
from tapegrad.symbolic.heads import KINKED

Candidates = list[tuple[str, Code]]

# An expression is told in so many characters.
TOLD = 160


@dataclass(frozen=True)
class Draft:
    """What is known of a definition before it is checked.

    Args:
        names: of the arguments, as the user has them.
        values: codes of the value, equal to each other, the one as written first.
        partials: for an argument, candidates in the same way; None where ``rule``
            gives all of them.
        closed: the closed form at some operands.
        witness: of the definition.
        second: of a closed form that was given beside code.
        assumed: intervals that the arguments are said to be in.
        content: what the definition is, exactly, as text.
        told: what it is, for people.
        rule: partials in the words of a reading, as the user wrote them.
        written: partials that the user wrote, as code.
        slow: it takes long at many digits, constants counted.
    """

    names: Sequence[str]
    values: Iterable[tuple[str, Code]]
    partials: Callable[[int], Candidates] | None
    closed: Callable[..., Any]
    witness: Witness
    second: Witness | None
    assumed: Sequence[Interval]
    content: str
    told: str
    rule: Callable[..., Any] | None = None
    written: Code | None = None
    slow: bool = False


# -- from an expression ----------------------------------------------------------------


def of_sympy(expression: Any, symbols: Any) -> Draft:
    """A definition by a SymPy expression.

    Raises:
        ParseError: what it holds is not among the symbols, unknown, or not real.
    """
    if isinstance(expression, sp.Basic) and not isinstance(expression, sp.Expr):
        msg = f"{type(expression).__name__} is no expression of a number"
        raise ParseError(msg)
    expression = sp.sympify(expression, strict=True)
    given = _symbols(expression, symbols)
    missing = sorted(map(str, expression.free_symbols - set(given)))
    if missing or not given:
        what = (
            f"{', '.join(missing)} of the expression is not" if missing else "none is"
        )
        msg = f"{what} among the symbols ({', '.join(map(str, given)) or 'none'})"
        raise ParseError(msg)
    names = [str(symbol) for symbol in given]
    mine = symbols_of(len(given))
    form = exactly(put_in(expression, given, mine))
    if form.has(sp.I, sp.zoo, sp.nan):
        msg = f"{_short(expression)} is not real; a primitive is a function of reals"
        raise ParseError(msg)
    words = argument_names(names)
    kinked = form.has(*KINKED, sp.Heaviside, sp.Ne, sp.Eq)

    def partials(place: int) -> Candidates:
        # at a kink the rows of the table say what a derivative is, and SymPy does not
        swept_code = swept(form, mine, words)
        sweep = Code(
            swept_code.steps,
            swept_code.arguments,
            swept_code.constants,
            [swept_code.outputs[place]],
        )
        if kinked:
            return [("by a sweep", sweep)]
        return [*_codes(sp.diff(form, mine[place]), mine, words), ("by a sweep", sweep)]

    return Draft(
        names,
        _codes(form, mine, words, strict=True),
        partials,
        lambda *xs: put_in(form, mine, xs),
        Witness(of_expression(form, mine)),
        None,
        [of_assumptions(symbol) for symbol in given],
        f"sympy {len(mine)} {sp.srepr(form)}",
        _short(expression),
        slow=form.has(sp.gamma, sp.loggamma, sp.polygamma, sp.erf, sp.erfc),
    )


def _symbols(expression: Any, symbols: Any) -> list[Any]:
    if symbols is None:
        return sorted(expression.free_symbols, key=str)
    if isinstance(symbols, str):
        symbols = symbols.replace(",", " ").split()
    elif isinstance(symbols, sp.Basic) and not isinstance(symbols, sp.Tuple):
        symbols = [symbols]
    known = {str(symbol): symbol for symbol in expression.free_symbols}
    found = [known.get(s, sp.Symbol(s)) if isinstance(s, str) else s for s in symbols]
    for symbol in found:
        if not isinstance(symbol, sp.Symbol) or symbol.is_extended_real is False:
            msg = f"{symbol!r} is no real symbol, so it cannot be an argument"
            raise ParseError(msg)
    if len(set(map(str, found))) != len(found):
        msg = f"two of the symbols have one name: {', '.join(map(str, found))}"
        raise ParseError(msg)
    return found


def _codes(
    form: Any, symbols: Sequence[Any], names: Sequence[str], *, strict: bool = False
) -> Candidates:
    """A form in all its ways; those that no row can say are left out."""
    found = []
    for name, way in forms(form):
        try:
            found.append((name, code_of([way], symbols, names)))
        except ParseError:
            if strict and name == "as written":
                raise
    return found


def _short(expression: Any) -> str:
    text = str(expression)
    return text if len(text) <= TOLD else text[: TOLD - 3] + "..."


# -- from code -------------------------------------------------------------------------


def of_function(
    function: Callable[..., Any], symbols: Any, partials: Any, sympy: Any
) -> Draft:
    """A definition by a Python function.

    Raises:
        RecordError: what cannot be recorded as one rule for all arguments.
        ParseError: a closed form of other symbols than the arguments.
    """
    names = codes.parameters(function, "the function")
    tape, code = codes.value_code(function, names)
    text = write("value", code)
    written, rule = None, None
    if partials is not None:
        written, by_reading = codes.given(partials, names)
        rule = partials if by_reading else None
        rule_text = str(write("partials", written))
    else:
        # equal steps of the sweep are one
        written, rule_text = joined([codes.derived(tape, names)]), "derived"
    closed, second = _closed(sympy, symbols, names)

    def by_reading_of(*xs: Any) -> Any:
        return text(SYMPY, *map(sp.sympify, xs))

    return Draft(
        names,
        [("as written", code)],
        None,
        closed or by_reading_of,
        Witness(of_code(text.function)),
        second,
        [REAL] * len(names),
        f"code {text}\n{rule_text}\n{_used(code, written)}",
        _told(text, function, names),
        rule,
        written,
    )


def _used(*codes: Code) -> Any:
    """Other users' rows in some codes, which are part of what these mean."""
    names = {name for code in codes for _, name, _, _ in code.needed()}
    return TABLE.defined(sorted(names))


def _told(text: RuleText, function: Callable[..., Any], names: Sequence[str]) -> str:
    """Short code as its formula, other code by the function's name."""
    if text.source.count("\n") <= 2:
        symbols = [sp.Symbol(name, real=True) for name in names]
        return _short(text(SYMPY, *symbols))
    return f"the code of {getattr(function, '__name__', 'a function')}"


def _closed(
    sympy: Any, symbols: Any, names: Sequence[str]
) -> tuple[Callable[..., Any] | None, Witness | None]:
    """A closed form that was given: an expression, or a function of symbols."""
    if sympy is None:
        return None, None
    mine = symbols_of(len(names))
    if callable(sympy) and not isinstance(sympy, sp.Basic):
        table = "sp" in _names(sympy)[:1]  # as a row of the table has it
        form = sympy(*([sp] if table else []), *mine)
    else:
        form = sp.sympify(sympy, strict=True)
        given = _symbols(form, names if symbols is None else symbols)
        missing = sorted(map(str, form.free_symbols - set(given)))
        if missing or len(given) != len(names):
            msg = (
                f"sympy= is in {sorted(map(str, form.free_symbols))}, and the "
                f"arguments are {list(names)}; give symbols= in their order"
            )
            raise ParseError(msg)
        form = put_in(form, given, mine)
    if form.has(AppliedUndef):
        form = exactly(form)
    floats = {x: SYMPY.number(float(x)) for x in form.atoms(sp.Float)}
    form = form.xreplace(floats)
    return lambda *xs: put_in(form, mine, xs), Witness(of_expression(form, mine))


def _names(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except ValueError:  # some classes of SymPy's do not tell
        return []


def kind_of(definition: Any) -> str:
    """Which of "sympy" and "code" a definition is.

    Raises:
        RecordError: neither an expression nor a function.
    """
    if isinstance(definition, str):
        msg = (
            f"{definition[:40]!r} is text, and text is never evaluated here; give a "
            "SymPy expression, or a function"
        )
        raise RecordError(msg)
    if isinstance(definition, sp.Basic):
        return "sympy"
    if callable(definition):
        return "code"
    msg = f"a primitive is a SymPy expression or a function, not {definition!r}"
    raise RecordError(msg)
