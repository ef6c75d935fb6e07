"""Which row stands for which SymPy function: read off the table. Floor 9; loads SymPy.

Each row's closed form is applied to dummy symbols. Where that gives a function of just
these, the function is the row's:

    sin(x)  ->  sin          polygamma(1, x)  ->  polygamma, n=1

So a row that is added, ours or a user's, is read without being named here. Functions
that no row stands for are rewritten by SymPy in terms of those: sec(x) as 1/cos(x).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from tapegrad.rules import TABLE, Primitive

# Steps of arithmetic are read by themselves: SymPy's have any number of operands.
ARITHMETIC = (sp.Add, sp.Mul, sp.Pow)
# These take any number of operands, and a row takes two.
FOLDED = (sp.Max, sp.Min, sp.And, sp.Or, sp.Xor)
# A closed form with one of these has kinks. There a row has a convention of its own,
# which the written-out form need not share.
KINKED = (sp.Max, sp.Min, sp.Abs, sp.sign, sp.Piecewise, sp.floor, sp.ceiling)

# A function of whole numbers is tried with these.
_WHOLE = 12


def dummies(count: int) -> list[Any]:
    """Real symbols that are nobody else's."""
    return [sp.Dummy(f"x{place}", real=True) for place in range(count)]


def closed_form(row: Primitive, xs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """A row's closed form, or None where it has none for these operands."""
    if row.sympy is None:
        return None
    try:
        return row.sympy(sp, *xs, **params)
    except (TypeError, ValueError, NotImplementedError):
        return None


def heads() -> Mapping[Any, Primitive]:
    """For each SymPy function the row that it is the closed form of."""
    return _heads(len(TABLE))


@functools.lru_cache(maxsize=2)
def _heads(rows: int) -> Mapping[Any, Primitive]:
    del rows  # a row more is another table
    found: dict[Any, Primitive] = {}
    behind: dict[Any, Primitive] = {}
    for row in TABLE:
        if row.kind not in {"elementwise", "predicate"} or row.params != ({},):
            continue
        xs = dummies(row.arity)
        form = closed_form(row, xs, {})
        if _applied(form, xs):
            found.setdefault(form.func, row)
            continue
        first = _first_arm(form)
        if row.arity == 1 and _applied(first, xs):
            behind.setdefault(first.func, row)
    for head, row in behind.items():  # log |gamma(x)| continues loggamma(x)
        found.setdefault(head, row)
    return found


def _applied(form: Any, xs: Sequence[Any]) -> bool:
    """Whether a form is one function of the symbols, and nothing else."""
    if not isinstance(form, sp.Basic) or isinstance(form, ARITHMETIC):
        return False
    args = tuple(form.args)
    return args == tuple(xs) or (isinstance(form, FOLDED) and set(args) == set(xs))


def _first_arm(form: Any) -> Any:
    """What a closed form by pieces is on the first one."""
    return form.args[0][0] if isinstance(form, sp.Piecewise) else None


@functools.lru_cache(maxsize=256)
def ordered(head: Any, order: int) -> tuple[Primitive, Mapping[str, Any]] | None:
    """The row of a function whose first argument is a whole number, and parameters."""
    if not 0 <= order <= _WHOLE:
        return None
    for row in TABLE:
        if row.arity != 1 or row.kind != "elementwise":
            continue
        names = list(row.params[0])
        if len(names) > 1:
            continue
        params = dict.fromkeys(names, order)
        if names and order < min(p[names[0]] for p in row.params):
            continue
        (x,) = dummies(1)
        form = closed_form(row, [x], params)
        wanted = head(order, x)
        if form is not None and wanted in {form, _first_arm(form)}:
            return row, params
    return None


def by_name(name: str, arity: int) -> Primitive | None:
    """The row of a function that SymPy knows only by name, such as a user's own."""
    if name not in TABLE:
        return None
    row = TABLE[name]
    fits = row.kind in {"elementwise", "predicate"} and row.params == ({},)
    return row if fits and row.arity == arity else None


def definition(head: Any, xs: Sequence[Any]) -> Any:
    """A function in terms of those of the table, as SymPy rewrites it; or None.

    Args:
        head: a SymPy function.
        xs: its arguments: dummies, and numbers.
    """
    made = head(*xs)
    if head is sp.sinc:  # with another unit; beside 0, sin(x)/x loses its derivative
        return sp.Function("sinc")(xs[0] / sp.pi)
    if head is sp.gamma:
        right = sp.exp(sp.loggamma(xs[0]))
        left = sp.pi / (sp.sin(sp.pi * xs[0]) * sp.exp(sp.loggamma(1 - xs[0])))
        return sp.Piecewise((right, xs[0] > 0), (left, True))
    targets = [h for h in heads() if isinstance(h, type) and issubclass(h, sp.Function)]
    forms = []
    for target in [*targets, sp.gamma, sp.Piecewise]:
        form = made.rewrite(target)
        if form != made and not form.has(sp.I, head) and _known(form):
            forms.append(form)
    return min(forms, key=lambda form: form.count_ops(), default=None)


def _known(form: Any) -> bool:
    """Whether every function in a form is a row's, or has a definition."""
    known = heads()
    return all(
        part.func in known or part.func in {sp.gamma, sp.Piecewise}
        for part in form.atoms(sp.Function)
    )
