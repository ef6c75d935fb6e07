"""``tg.primitive``: a row of the table from an expression or from code. Floor 10.

    definition -> code of the value and the partials -> checked -> registered

Nothing is registered before an independent witness (see ``oracle``) agrees with every
partial. From then on the row is like any other: read, proved, compiled and saved.
"""

from __future__ import annotations

import dataclasses
import hashlib
import keyword
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import RecordError
from tapegrad.primitives import draft as drafts
from tapegrad.primitives.check import Rules, check
from tapegrad.primitives.choice import Form, best, joined
from tapegrad.primitives.draft import Draft
from tapegrad.primitives.handle import DEFINED, Defined
from tapegrad.primitives.intervals import gate_lines, given_domain, narrowed
from tapegrad.primitives.oracle import LESS_PATIENCE, SLOW
from tapegrad.primitives.pieces import pieces
from tapegrad.primitives.points import (
    beside,
    domain_of,
    kinks,
    moderate,
    spread,
    switches,
)
from tapegrad.primitives.text import Code, RuleText, argument_names, restricted, write
from tapegrad.readings import NUMPY, Reading
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.primitive import Interval

# Points that a definition is checked at, by the number of arguments.
POINTS = {1: 60, 2: 45}
FEWER = 32
# Attributes that readings get when they are made.
_OWN = frozenset(
    (
        "called",
        "ctx",
        "digits",
        "fast",
        "float",
        "form",
        "inner",
        "lines",
        "loops",
        "np",
    )
)
_LOCK = threading.RLock()


def primitive(
    name: str,
    definition: Any,
    symbols: Any = None,
    *,
    partials: Callable[..., Any] | None = None,
    sympy: Any = None,
    domain: Any = None,
    ulps: float = 4.0,
    doc: str = "",
) -> Defined:
    """Define a primitive: one more row of the table, with its derivatives.

    Args:
        name: an identifier that no row has; the name on tapes and in files.
        definition: a SymPy expression; or a function of numbers in plain operators and
            NumPy's functions, without branches on its arguments.
        symbols: the arguments of an expression in order; all its symbols by name where
            none are given. A symbol that is positive has the domain from 0 on.
        partials: of a function, ``partials(y, x, ...)``: the derivative by each
            argument, from the value and the arguments; or ``partials(m, y, x, ...)``
            in the words of a reading, as the table's rows have them. By default they
            are derived from the function.
        sympy: of a function, its closed form: an expression in symbols of the names of
            its arguments (or in ``symbols``), or a function of symbols.
        domain: an interval (low, high) for each argument, or a dict of them by name;
            outside it value and partials are NaN. What follows from the definition
            (log, sqrt) need not be said.
        ulps: what ``tg.verify`` holds value and first partials to.
        doc: the docstring of the result.

    Returns:
        A function of numbers, arrays and Values, eager and in recordings. The same
        definition again gives the same one.

    Raises:
        GradientMismatch: a partial, or the value against ``sympy=``, is wrong: names
            the point, both numbers and the argument.
        RecordError: a name that cannot be used, or is defined otherwise; a function
            that cannot be recorded.
        ParseError: an expression of other symbols, or of unknown functions.
        DomainError: it has no real value anywhere that was looked.

    Example:
        >>> import sympy as sp, tapegrad as tg
        >>> x = sp.Symbol("x")
        >>> hill = tg.primitive("hill_of_docs", sp.exp(-x**2), [x])
        >>> tg.hessian(hill)(0.0)
        -2.0
    """
    _usable(name)
    if drafts.kind_of(definition) == "sympy":
        if partials is not None or sympy is not None:
            msg = (
                f"{name}: an expression has its partials, and is its own closed form; "
                "partials= and sympy= go with a function"
            )
            raise RecordError(msg)
        draft = drafts.of_sympy(definition, symbols)
    else:
        draft = drafts.of_function(definition, symbols, partials, sympy)
    wanted = given_domain(domain, draft.names)
    content = f"{draft.content}\n{narrowed(draft.assumed, wanted, draft.names)}"
    digest = hashlib.sha256(content.encode()).hexdigest()
    with _LOCK:
        known = _known(name, digest)
        if known is None:
            known = _made(name, draft, wanted, digest, ulps, doc)
            TABLE.add(known.row)
            DEFINED[name] = known
        return known


def _usable(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        msg = f"{name!r} is no name for a primitive: it has to be an identifier"
        raise RecordError(msg)
    if name in _reserved() or name.startswith("_"):
        msg = f"the name {name!r} is a word of readings; choose another"
        raise RecordError(msg)
    if name in TABLE and not TABLE[name].digest:
        msg = f"there is a primitive {name!r} in the table already; choose another name"
        raise RecordError(msg)


def _reserved() -> set[str]:
    """Words of readings, which a row must not answer for."""
    found, kinds = {*_OWN, "recorder"}, [Reading]
    while kinds:
        kind = kinds.pop()
        found.update(dir(kind))
        kinds += kind.__subclasses__()
    return found


def _known(name: str, digest: str) -> Defined | None:
    found = DEFINED.get(name)
    if found is not None and found.digest != digest:
        msg = (
            f"the primitive {name!r} is defined already, as {found.row.told}; tapes "
            "may hold it, so it cannot become another: choose another name"
        )
        raise RecordError(msg)
    return found


# -- making the row --------------------------------------------------------------------


def _made(
    name: str,
    draft: Draft,
    wanted: Sequence[Interval],
    digest: str,
    ulps: float,
    doc: str,
) -> Defined:
    words = argument_names(draft.names)
    candidates = list(draft.values)
    first = candidates[0][1]
    if draft.slow or SLOW & {name for _, name, _, _ in first.needed()}:
        draft.witness.patience = LESS_PATIENCE
    natural = domain_of(first)
    inside = narrowed(
        natural, narrowed(draft.assumed, wanted, draft.names), draft.names
    )
    points = spread(inside, POINTS.get(len(words), FEWER), name)
    corners = [
        point
        for point in kinks(_gaps(first), points)
        if all(a < x < b for x, (a, b) in zip(point, inside, strict=True))
    ]
    points += [near for corner in corners[:6] for near in beside(corner, inside)]
    for known in [first, *([draft.written] if draft.written else [])]:
        points = moderate(known, points)
    form, code = _value(candidates, draft, points)
    gates = gate_lines(words, natural, inside)
    value = _gated_value(code, gates)
    found, rule, partials, last = _partials(
        draft, code, words, points, gated=bool(gates)
    )
    rules = Rules(name, draft.names, value.function, rule, draft.witness, draft.second)
    compared = check(rules, moderate(last, points), corners)
    row = Primitive(
        name,
        len(words),
        rule,
        sympy=lambda sp, *xs: draft.closed(*xs),
        source=f"defined by the user: {draft.told}",
        body=value.function,
        cancels=True,
        domain=tuple(inside),
        pieces=pieces(first, inside),
        digest=digest,
        told=draft.told,
        ulps=float(ulps),
    )
    chosen = [_in_words(each, draft.names) for each in (*form, *found)]
    shown = {"value": str(value), "partials": partials}
    return Defined(row, draft.names, shown, chosen, compared, doc)


def _in_words(form: Form, names: Sequence[str]) -> Form:
    """A form's name with the user's symbols, not those that it was worked out in."""
    name = re.sub(r"\bx(\d+)\b", lambda found: names[int(found[1])], form.name)
    return dataclasses.replace(form, name=name)


def _gaps(code: Code) -> list[Callable[..., Any]]:
    """For each switch in the code what changes its sign there."""
    top = 1 + max([0, *(step[0] for step in code.steps), *code.constants])
    found = []
    for left, right in switches(code):
        steps, out = list(code.steps), left
        if right is not None:
            steps.append((top, "sub", (left, right), {}))
            out = top
        gap = Code(steps, code.arguments, code.constants, [out])
        found.append(write("gap", gap, end="({0},)").function)
    return found


def _value(
    candidates: drafts.Candidates, draft: Draft, points: Sequence[Sequence[float]]
) -> tuple[list[Form], Code]:
    if draft.partials is None:
        return [], candidates[0][1]
    exact = [draft.witness.value(point) for point in points]
    form, code = best("value", candidates, points, exact)
    return [form], code


def _gated_value(code: Code, gates: Sequence[str]) -> RuleText:
    if not gates:
        return write("value", code)
    # see `gate_lines` for the symbolic readings
    end = '{0} if m.symbolic else m.where(inside, {0}, m.const("nan"))'
    return write("value", code, gates, end)


def _partials(
    draft: Draft,
    value: Code,
    words: Sequence[str],
    points: Sequence[Sequence[float]],
    *,
    gated: bool,
) -> tuple[list[Form], Callable[..., Any], Any, Code]:
    """Forms that were chosen, the rule, what is shown of it, and its code."""
    gated = gated or bool(restricted(value))
    found: list[Form] = []
    code = draft.written
    if draft.rule is not None and code is not None:
        return [], _gated_rule(draft.rule, gated=gated), draft.rule, code
    if draft.partials is not None:
        columns = list(np.array(points, dtype=np.float64).T)
        with np.errstate(all="ignore"):
            primals = write("value", value)(NUMPY, *columns)
        chosen = []
        for place, name in enumerate(draft.names):
            exact = [draft.witness.derivative(point, place) for point in points]
            form, mine = best(
                f"d/d{name}", draft.partials(place), points, exact, primals
            )
            found.append(form)
            chosen.append(mine)
        code = _with_value(value, chosen)
    if code is None:
        msg = "a draft has candidates, a rule, or partials as code"
        raise RecordError(msg)
    slots = {name: slot for slot, name in code.arguments.items()}
    arguments = {slots.get(word, -9 - i): word for i, word in enumerate(["y", *words])}
    code = Code(code.steps, arguments, code.constants, code.outputs)
    text = write("partials", code, end=_ends(code, gated=gated))
    return found, text.function, str(text), code


def _with_value(value: Code, partials: Sequence[Code]) -> Code:
    """Codes of partials as one, in which y stands where the value is computed again."""
    whole = joined([value, *partials])
    slot, *outputs = whole.outputs
    arguments = dict(whole.arguments)
    if slot not in arguments and slot not in whole.constants:
        before = {old for old, name in arguments.items() if name == "y"}
        put = dict.fromkeys(before, slot)
        steps = [
            (made, name, tuple(put.get(x, x) for x in operands), params)
            for made, name, operands, params in whole.steps
        ]
        arguments = {s: name for s, name in arguments.items() if s not in before}
        outputs = [put.get(x, x) for x in outputs]
        return Code(steps, {slot: "y", **arguments}, whole.constants, outputs)
    return Code(whole.steps, arguments, whole.constants, outputs)


def _ends(code: Code, *, gated: bool) -> str:
    """The tuple of partials, each NaN where the value is: a formula may leak there."""
    gates = {
        slot
        for slot, name, operands, _ in code.steps
        if name == "where" and code.arguments.get(operands[2]) == "y"
    }
    parts = []
    for place, slot in enumerate(code.outputs):
        known = slot in gates or code.constants.get(slot) == 0
        plain = f"{{{place}}}"
        parts.append(
            f"m.where(m.equal(y, y), {plain}, y)" if gated and not known else plain
        )
    return f"({', '.join(parts)},)"


def _gated_rule(rule: Callable[..., Any], *, gated: bool) -> Callable[..., Any]:
    """A rule that was given, as a tuple, and NaN where the value is."""

    def partials(m: Any, y: Any, *xs: Any) -> Any:
        found = rule(m, y, *xs)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if not gated:
            return found
        fine = m.equal(y, y)
        return tuple(
            p if type(p) is int and p == 0 else m.where(fine, p, y) for p in found
        )

    return partials


__all__ = ["Defined", "primitive"]
