"""SymPy expressions and tapes as the code of a rule, constants exact. Floor 10.

    pi*x + 1/3   ->   c1*x + c0,      c0 = 1/3, c1 = pi

Loads SymPy. The steps are those of ``tg.from_sympy``, closed forms of rows made rows;
but constants stay what they are, since rules are read with more digits than a float
has, and proved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from tapegrad.derivatives import gradient_tape
from tapegrad.errors import ParseError
from tapegrad.primitives.text import EXACT, Code, Constant, number
from tapegrad.readings.sympy import SYMPY
from tapegrad.rules import TABLE
from tapegrad.symbolic.heads import by_name
from tapegrad.symbolic.lowering import Lowering
from tapegrad.symbolic.steps import Steps, as_float
from tapegrad.tape.structure import Structure, Tree
from tapegrad.tape.tape import Tape


def exactly(expression: Any) -> Any:
    """An expression with its floats read as the numbers they plainly mean.

    Functions of the table, given by name, are put in as their closed forms.

    Raises:
        ParseError: a function that nobody knows.
    """

    def closed(call: Any) -> Any:
        row = by_name(call.func.__name__, len(call.args))
        if row is None or row.sympy is None:
            msg = (
                f"unknown function {call.func.__name__!r} of {len(call.args)} "
                "arguments; define it first, as a primitive of its own"
            )
            raise ParseError(msg)
        return row.sympy(sp, *call.args)

    expression = expression.replace(lambda e: isinstance(e, AppliedUndef), closed)
    floats = expression.atoms(sp.Float)
    return expression.xreplace({x: SYMPY.number(float(x)) for x in floats})


# -- expressions to steps --------------------------------------------------------------


class RuleSteps(Steps):
    """Steps whose constants are known exactly: each is a slot of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.exact: dict[int, Constant] = {}
        self._slots: dict[Any, int] = {}

    def constant(self, form: Any) -> int:
        """The slot of a constant that is no float."""
        if form not in self._slots:
            slot = self._slots[form] = self.columns.input(math.nan)
            self.exact[slot] = number(as_float(form), form)
        return self._slots[form]

    def power(self, slot: int, exponent: Any) -> int:
        """A power; an exponent that is no float is a constant, x**(1/3) is pow."""
        if exponent.is_Rational and not _is_float(exponent):
            return self.push(TABLE["pow"], slot, self.constant(exponent))
        return super().power(slot, exponent)


def lowered(expressions: Sequence[Any], symbols: Sequence[Any]) -> tuple[Any, ...]:
    """Expressions as steps.

    Returns:
        The steps, the slots of the symbols, and those of the expressions.
    """
    steps = RuleSteps()
    inputs = [steps.columns.input(math.nan) for _ in symbols]
    given: dict[Any, Any] = dict(zip(symbols, inputs, strict=True))
    isolated = [_isolated(e, steps, given) for e in expressions]
    lowering = Lowering(steps, given)
    return steps, inputs, [lowering.slot(e) for e in isolated]


def code_of(
    expressions: Sequence[Any], symbols: Sequence[Any], names: Sequence[str]
) -> Code:
    """Expressions as the code of a rule."""
    steps, inputs, outputs = lowered(expressions, symbols)
    constants: dict[int, Any] = dict(steps.exact)
    made = []
    for slot in range(steps.columns.n):
        code = steps.made.get(slot)
        if code is not None:
            made.append((slot, code[0], code[1], dict(code[2])))
        elif slot not in inputs and slot not in constants:
            value = steps.columns.step_at(slot)[3]
            constants[slot] = value if isinstance(value, bool) else number(value)
    arguments = dict(zip(inputs, names, strict=True))
    return folded(Code(made, arguments, constants, outputs))


def _is_float(x: Any) -> bool:
    """Whether a fraction is a float without rounding."""
    return bool(abs(x.p) <= EXACT and x.q <= EXACT and x.q & (x.q - 1) == 0)


def _isolated(e: Any, steps: RuleSteps, given: dict[Any, Any]) -> Any:
    """An expression whose constants, but for fractions, are symbols of their own."""

    def symbol(form: Any) -> Any:
        found = sp.Dummy("c", real=True)
        given[found] = steps.constant(form)
        return found

    def inner(e: Any) -> Any:
        if isinstance(e, sp.logic.boolalg.BooleanAtom) or (
            not e.args and not (e.is_number)
        ):
            return e
        if not e.free_symbols and isinstance(e, sp.Expr):
            fine = e in {sp.oo, -sp.oo, sp.nan} or (e.is_Rational and _is_float(e))
            return e if fine else symbol(e)
        if e.is_Mul or e.is_Add:
            parts = [x for x in e.args if x.free_symbols]
            constant = e.func(*(x for x in e.args if not x.free_symbols))
            fraction = constant.is_Rational and max(abs(constant.p), constant.q) <= (
                EXACT
            )
            if not fraction or (e.is_Add and not _is_float(constant)):
                constant = symbol(constant)
            rest = [inner(x) for x in parts]
            identity = sp.Integer(0 if e.is_Add else 1)
            whole = rest if constant == identity else [constant, *rest]
            return e.func(*whole, evaluate=False) if len(whole) > 1 else whole[0]
        if e.is_Pow and (e.base is sp.E or e.exp.is_Rational):
            base = e.base if e.base is sp.E else inner(e.base)
            power = inner(e.exp) if e.base is sp.E else e.exp
            return sp.Pow(base, power, evaluate=False)
        if isinstance(e, sp.Piecewise):
            return sp.Piecewise(
                *((inner(arm), inner(condition)) for arm, condition in e.args),
                evaluate=False,
            )
        return e.func(*map(inner, e.args))

    return inner(e)


# -- derivatives -----------------------------------------------------------------------


def swept(expression: Any, symbols: Sequence[Any], names: Sequence[str]) -> Code:
    """The partials of an expression by a sweep over its steps; y is its value."""
    steps, inputs, outputs = lowered([expression], symbols)
    others = list(steps.exact)
    tape = steps.columns.freeze(
        inputs=(*inputs, *others),
        outputs=(outputs[0],),
        structure=Structure(tuple(Tree() for _ in [*inputs, *others])),
    )
    return swept_tape(tape, names, list(steps.exact.values()))


def swept_tape(tape: Tape, names: Sequence[str], constants: Sequence[Any]) -> Code:
    """The partials of a tape, as code of y and its first inputs.

    Args:
        tape: the value.
        names: of the first inputs.
        constants: what the other inputs stand for.
    """
    count = len(names)
    grown = gradient_tape(tape, wrt=range(count))
    code = tape_code(grown, names, constants)
    value, *partials = code.outputs
    if value in code.arguments or value in code.constants:
        value = -1
    arguments = {value: "y", **code.arguments}
    return Code(code.steps, arguments, code.constants, partials)


def tape_code(tape: Tape, names: Sequence[str], constants: Sequence[Any] = ()) -> Code:
    """A flat tape of elementwise steps as code; see `swept_tape`."""
    arguments = dict(zip(tape.inputs, names, strict=False))
    found: dict[int, Any] = dict(zip(tape.inputs[len(names) :], constants, strict=True))
    steps = []
    for step in tape:
        slot = step.slots[0] if step.slots else -1
        if step.primitive.name == "const":
            value = step.params["value"]
            found[slot] = value if isinstance(value, bool) else number(float(value))
        elif step.primitive.name != "input":
            steps.append((slot, step.primitive.name, step.operands, step.params))
    return folded(Code(steps, arguments, found, tape.outputs))


def folded(code: Code) -> Code:
    """Code whose steps of constants alone are done, exactly."""
    constants = dict(code.constants)
    same: dict[int, int] = {}
    steps = []
    for slot, name, operands, params in code.steps:
        reads = tuple(same.get(x, x) for x in operands)
        values = [constants.get(x) for x in reads]
        if name == "where" and isinstance(values[0], bool):
            same[slot] = reads[1 if values[0] else 2]
        elif reads and all(value is not None for value in values):
            made = _exact(TABLE[name], values, params)
            if made is None:
                steps.append((slot, name, reads, params))
            else:
                constants[slot] = made
        elif name in _NEUTRAL and _NEUTRAL[name] in values[:2]:
            same[slot] = reads[1 if values[0] is _NEUTRAL[name] else 0]
        elif name == "mul" and 1 in [v for v in values if type(v) is int]:
            same[slot] = reads[1 if type(values[0]) is int and values[0] == 1 else 0]
        else:
            steps.append((slot, name, reads, params))
    outputs = [same.get(x, x) for x in code.outputs]
    return Code(steps, code.arguments, constants, outputs)


_NEUTRAL = {"logical_and": True, "logical_or": False}


def _exact(row: Any, values: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """A row of constants, as SymPy has it; None where that is no real number."""
    xs = [v.form if isinstance(v, Constant) else sp.sympify(v) for v in values]
    try:
        form = SYMPY.evaluator(row)(*xs, **params)
        if form in {sp.true, sp.false}:
            return bool(form)
        return number(as_float(form), form)
    except (ParseError, TypeError, ValueError, AttributeError):
        return None


def symbols_of(count: int) -> list[Any]:
    """Symbols that definitions are written in, whatever the user's are called."""
    return [sp.Symbol(f"x{place}", real=True) for place in range(count)]


def put_in(form: Any, symbols: Sequence[Any], operands: Sequence[Any]) -> Any:
    """A form at some operands."""
    put: Mapping[Any, Any] = dict(zip(symbols, map(sp.sympify, operands), strict=True))
    return form.xreplace(put)
