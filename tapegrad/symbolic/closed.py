"""Tapes as SymPy expressions: symbols, closed forms, kinks. Floor 9; loads SymPy.

A tape is replayed in SymPy's reading. Two kinds of rows need more than their closed
form, because SymPy's own derivative of it is another one than the table's:

* a kink: SymPy has Max(x, 0)' = Heaviside(x), 1/2 at 0, where the table says 0 for relu
  and 1/2 for max; and Heaviside' is a Dirac delta, where the table says 0;
* a cut (stop_gradient): the identity, but a constant to every derivative.

While derivatives are taken such a row stands as a function of its own, whose derivative
is the row's rule text, read by SymPy; afterwards its closed form is put in.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import sympy as sp

from tapegrad import sweeps
from tapegrad.errors import DomainError, ShapeError, TapegradError
from tapegrad.expanding import expanded
from tapegrad.readings import SCALAR
from tapegrad.readings.pieces import decided
from tapegrad.readings.sympy import SYMPY, SympyReading
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import FLOATING, Shape
from tapegrad.symbolic.budget import within
from tapegrad.symbolic.constants import meant
from tapegrad.symbolic.limits import MAX_ENTRIES, MAX_STEPS, limited, limited_entries
from tapegrad.tape.tape import Tape
from tapegrad.unrolling import written_out

# Calls of functions that SymPy may make for one formula: some ten seconds.
CALLS = 20_000_000

# Exact arithmetic on constants up to here; beyond it a power could fill the memory.
EXACT = 1_000
LARGE = 1e15

# A float that is written with so few characters is a decimal fraction.
PLAIN = 14

_UNSMOOTH = (sp.Heaviside, sp.sign, sp.DiracDelta, sp.Derivative, sp.Subs)


def _by_name(value: Any) -> Any:
    """The constant that a float stands for, or the value itself."""
    if type(value) is not float or len(repr(value)) <= PLAIN:
        return value
    known = meant(value)
    return value if known is None else known


class Formulas(SympyReading):
    """SymPy's reading, for formulas: pi by name, kinks held, constants kept small."""

    def number(self, value: Any) -> Any:
        """A number; the float nearest to pi, or to 1/3, is pi, or 1/3."""
        known = _by_name(value)
        return super().number(value) if known is value else known

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        """The closed form, guarded; or the stand-in of a kink or cut."""
        plain = super().atom(row)
        if plain is None or row.kind in {"predicate", "select"}:
            return plain

        def closed(*operands: Any, **params: Any) -> Any:
            known = {name: _by_name(value) for name, value in params.items()}
            return plain(*operands, **known)

        def guarded(*operands: Any, **params: Any) -> Any:
            if all(operand.is_number for operand in operands) and (
                row.kind == "elementwise"
            ):
                return self._of_constants(row, closed, operands, params)
            static = tuple(sorted(params.items()))
            stand_in = held(row.name, static)
            if stand_in is not None:
                return stand_in(*operands)
            return closed(*operands, **params)

        return guarded

    def _of_constants(
        self, row: Primitive, closed: Any, operands: Sequence[Any], params: Any
    ) -> Any:
        """Exact where the numbers stay small: 10**10**10 is a float, here inf."""
        exponents = [sp.nsimplify(x, rational=True) for x in params.values()]
        small = all(
            not x.is_Rational or max(abs(x.p), x.q) <= EXACT
            for x in [*operands, *exponents]
        )
        try:
            value = SCALAR.apply(row, *map(float, operands), **params)
        except TypeError:  # complex: log(-1) on the way; SymPy keeps it symbolic
            return closed(*operands, **params)
        if small and math.isfinite(value) and abs(value) <= LARGE:
            return closed(*operands, **params)
        return self.number(value) if not math.isnan(value) else sp.nan


FORMULAS = Formulas()


@functools.cache
def held(name: str, static: tuple[tuple[str, Any], ...]) -> Any:
    """The function that stands in for a kinked or cut row; None for a smooth one."""
    row, params = TABLE[name], dict(static)
    cut = row.kind == "cut"
    if not cut and (len(row.pieces) < 2 or row.partials is None):
        return None
    xs = [sp.Dummy(f"x{i}", real=True) for i in range(row.arity)]
    form = row.sympy(sp, *xs, **params)  # type: ignore[misc]
    if not cut and not any(sp.diff(form, x).has(*_UNSMOOTH) for x in xs):
        return None

    @functools.cache
    def partials() -> list[Any]:
        if cut:
            return [sp.Integer(0)]
        found = row.partials(SYMPY, form, *xs, **params)  # type: ignore[misc]
        return [decided(sp.sympify(partial)) for partial in found]

    def fdiff(self: Any, argindex: int = 1) -> Any:
        given = dict(zip(xs, self.args, strict=True))
        return partials()[argindex - 1].xreplace(given)

    return type(
        name,
        (sp.Function,),
        {
            "fdiff": fdiff,
            "closed": lambda self: row.sympy(sp, *self.args, **params),  # type: ignore[misc]
            "_eval_is_extended_real": lambda self: True,
            "is_held": True,
        },
    )


def released(expression: Any) -> Any:
    """The expression with the closed forms of held rows put in."""
    return expression.replace(
        lambda part: getattr(part, "is_held", False), lambda part: part.closed()
    )


def signed(expression: Any) -> Any:
    """The expression with ``sign`` in place of 1, -1 and 0 on the sides of 0.

    For the last derivative only: SymPy's own derivative of sign is a Dirac delta.
    """
    return expression.replace(sp.Piecewise, _as_sign)


def _as_sign(*arms: Any) -> Any:
    made = sp.Piecewise(*arms)
    if isinstance(made, sp.Piecewise) and made.args[0][0] == 1:
        above = made.args[0][1]
        if isinstance(above, sp.Gt):
            below = sp.Lt(above.lhs, above.rhs)
            sign = sp.Piecewise((1, above), (-1, below), (0, True))
            return sp.sign(above.lhs - above.rhs) if made == sign else made
    return made


def names_of(tape: Tape) -> list[str]:
    """A name for each input that SymPy can print: ``b[0]`` becomes ``b_0``.

    A label that no other input has keeps its name, whatever the others are called.
    """
    labels = tape.input_labels()
    found = [""] * len(labels)
    taken: set[str] = set()
    alone = [labels.count(label) == 1 for label in labels]
    for place in sorted(range(len(labels)), key=lambda place: not alone[place]):
        slot = tape.inputs[place]
        shape = tape.aval_of(slot)[0]
        name = re.sub(r"\W+", "_", labels[place]).strip("_") or f"v{slot}"
        while not taken.isdisjoint([name, *entry_names(name, shape)]):
            name = f"{name}_v{slot}"
        taken.update([name, *entry_names(name, shape)])
        found[place] = name
    return found


def entry_names(name: str, shape: Shape) -> list[str]:
    """``x`` for a number; ``x_0_0``, ``x_0_1``, ... for the entries of an array."""
    if not shape:
        return [name]
    if math.prod(shape) > MAX_ENTRIES:  # `limited` will say so
        return []
    return ["_".join([name, *map(str, place)]) for place in np.ndindex(shape)]


def symbols_of(tape: Tape) -> list[Any]:
    """A real symbol for each input, named by its label; arrays of them for arrays.

    Inputs of ints and truth values, which are indices and masks, have no symbols: they
    keep the numbers of the recording.

    Raises:
        DomainError: such an input, and the tape does not know its recording.
        ShapeError: an array too large to have symbols.
    """
    found: list[Any] = []
    for place, (name, slot) in enumerate(zip(names_of(tape), tape.inputs, strict=True)):
        shape, dtype = tape.aval_of(slot)
        if dtype not in FLOATING:
            if tape.example is None:
                msg = (
                    f"input {tape.label_of(slot)} holds {dtype}, which has no symbol, "
                    "and the tape does not know the inputs of its recording; record it "
                    "again"
                )
                raise DomainError(msg)
            found.append(FORMULAS.number(tape.example[place]))
            continue
        symbols = [sp.Symbol(text, real=True) for text in entry_names(name, shape)]
        if not shape:
            found += symbols
            continue
        limited_entries(tape)
        found.append(np.array(symbols, dtype=object).reshape(shape))
    return found


def keys_of(tape: Tape) -> list[str]:
    """A name for each input: its label, or its symbol's where two labels are alike."""
    labels = tape.input_labels()
    return [
        label if labels.count(label) == 1 else name
        for label, name in zip(labels, names_of(tape), strict=True)
    ]


def expressions(
    tape: Tape, symbols: Sequence[Any], *, derivative: bool = False
) -> list[Any]:
    """The outputs of a tape as expressions, or arrays of them; kinked rows held.

    Args:
        tape: any tape.
        symbols: for each input a symbol, or an array of symbols.
        derivative: they are to be differentiated.

    Raises:
        ShapeError: the formula would be too long to be of use.
        DomainError: SymPy cannot write it.
    """
    base = expanded(written_out(tape, MAX_STEPS))
    limited(base, derivative=derivative)
    slots = careful(lambda: sweeps.replay(base, FORMULAS, symbols), "the formula")
    return [each(sp.sympify, slots[slot]) for slot in base.outputs]


def each(function: Callable[[Any], Any], found: Any) -> Any:
    """A function of every entry of an array, or of a single expression."""
    if not isinstance(found, np.ndarray):
        return function(found)
    made = np.empty(found.shape, object)
    for place in np.ndindex(found.shape):
        made[place] = function(found[place])
    return made


def careful(task: Callable[[], Any], what: str) -> Any:
    """Run a task of SymPy's, which recurses over its expressions.

    Raises:
        ShapeError: they are nested too deeply, or SymPy takes too many calls.
        DomainError: SymPy cannot write it, such as a comparison with 1/0.
    """

    def give_up() -> NoReturn:
        msg = (
            f"SymPy finds no end with {what}; tape.trace(symbolic=True) gives a "
            "formula for each step"
        )
        raise ShapeError(msg)

    try:
        return within(CALLS, task, give_up)
    except (TypeError, ValueError, ZeroDivisionError, NotImplementedError) as problem:
        if isinstance(problem, TapegradError):
            raise
        msg = f"SymPy cannot write {what}: {problem}"
        raise DomainError(msg) from None
    except RecursionError:
        msg = (
            f"{what} is nested too deeply for SymPy; tape.trace(symbolic=True) gives a "
            "formula for each step"
        )
        raise ShapeError(msg) from None


def value_at(expression: Any, point: Mapping[Any, float], digits: int = 30) -> float:
    """A formula at a point, as a float; NaN where it is no real number.

    The point is put in with many digits but not exactly: x**1000000 at a rational
    number would be a rational number of millions of digits.

    Raises:
        DomainError: a symbol is left without a value.
    """
    missing = sorted(s.name for s in expression.free_symbols - set(point))
    if missing:
        msg = f"the formula also holds {', '.join(missing)}; give a value for each"
        raise DomainError(msg)
    exact = {symbol: _float(value, 2 * digits) for symbol, value in point.items()}
    try:
        found = careful(lambda: expression.xreplace(exact).evalf(digits), "the formula")
    except DomainError:  # a comparison of what is no real number there
        return math.nan
    if found in {sp.oo, -sp.oo}:
        return math.inf if found == sp.oo else -math.inf
    return float(found) if found.is_Float or found.is_Rational else math.nan


def _float(value: float, digits: int) -> Any:
    return sp.Float(value, digits) if math.isfinite(value) else FORMULAS.number(value)
