"""A process that decides whether expressions are zero. Floor 10.

Imports SymPy alone.

Started as a script by `prover`: SymPy's simplification may take for ever, or sit in one
long multiplication of integers that no signal interrupts; a process can be ended.
It reads pickled expressions from standard input and answers each with one pickled pair
(verdict, detail):

    proved    the strategy that made it 0
    refuted   a point, and the value there, not 0 to 30 digits
    unproved  the strategies that were tried
"""

from __future__ import annotations

import itertools
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

# Exact points: small, near 1, and large enough to tell growth apart.
POSITIVE = [sp.Rational(n) for n in ("1/3", "2", "1", "7/5", "1/50", "31/4")]
DIGITS = 40
ZERO = sp.Float("1e-30", DIGITS)
# Comparisons whose outcomes are gone through: two to this many cases.
MOST_CASES = 4


def decide(expression: Any) -> tuple[str, str]:
    """Whether an expression is identically zero where its symbols may be."""
    if expression == 0:
        return "proved", "identical"
    # plain algebra is sure and quick; many digits at many points are neither quick
    for name, strategy in QUICK.items():
        if _vanishes(strategy, expression):
            return "proved", name
    against = counterexample(expression)
    if against:
        return "refuted", against
    for name in _order(expression):
        if _vanishes(STRATEGIES[name], expression):
            return "proved", name
    return "unproved", "none of " + ", ".join(STRATEGIES)


def _order(expression: Any) -> list[str]:
    """Names of the strategies; what splits a case comes first where there are cases."""
    cases = {"sign by sign": sp.Abs, "arm by arm": sp.Piecewise}
    first = [name for name, kind in cases.items() if expression.has(kind)]
    return [*first, *(name for name in STRATEGIES if name not in first)]


def counterexample(expression: Any) -> str:
    """A point where the expression is plainly not zero, or ""."""
    symbols = sorted(expression.free_symbols, key=str)
    for point in _points(symbols):
        found = expression.subs(point, simultaneous=True)
        if found == 0 or not found.is_number or found.has(sp.nan, sp.zoo):
            continue
        value = found.evalf(DIGITS)
        # infinities and what does not evaluate tell nothing either way
        if not value.is_Number or not value.is_finite or abs(value) <= ZERO:
            continue
        where = ", ".join(f"{symbol} = {at}" for symbol, at in point.items())
        return f"at {where or 'every point'} the difference is {value.evalf(12)}"
    return ""


def _points(symbols: list[Any]) -> Iterator[dict[Any, Any]]:
    choices = [_values(symbol) for symbol in symbols]
    diagonal = zip(*choices, strict=False) if choices else [()]
    for values in itertools.chain(diagonal, itertools.product(*choices)):
        yield dict(zip(symbols, values, strict=True))


def _values(symbol: Any) -> list[Any]:
    if symbol.is_positive:
        return POSITIVE
    negative = [-value for value in POSITIVE]
    if symbol.is_negative:
        return negative
    return [*POSITIVE[:3], sp.Integer(0), *negative[:3]]


def _vanishes(strategy: Callable[[Any], Any], expression: Any) -> bool:
    try:
        return bool(strategy(expression) == 0)
    except (TypeError, ValueError, NotImplementedError, RecursionError):
        return False  # a strategy that fails has not answered


def _arms(expression: Any, strategies: Any = None) -> Any:
    """Each arm of a Piecewise on its own: all zero, or the first that is not."""
    folded = sp.piecewise_fold(expression)
    if not isinstance(folded, sp.Piecewise):
        return expression
    for arm, _ in folded.args:
        each = SIMPLE if strategies is None else strategies
        if not any(_vanishes(strategy, arm) for strategy in each.values()):
            return arm
    return sp.Integer(0)


def _cases(expression: Any) -> Any:
    """Each outcome of the comparisons on its own, as if they had nothing in common.

    More is asked than is needed, since some outcomes exclude each other; but nothing
    has to be folded.
    """
    known = [r for r in expression.atoms(Relational) if expression.has(sp.Piecewise)]
    free: list[Any] = []
    for relation in sorted(known, key=str):
        if relation.negated not in free:
            free.append(relation)
    if not free or len(free) > MOST_CASES:
        return expression
    for outcomes in itertools.product((sp.true, sp.false), repeat=len(free)):
        chosen = dict(zip(free, outcomes, strict=True))
        chosen |= {r.negated: sp.Not(outcome) for r, outcome in chosen.items()}
        case = expression.xreplace(chosen)
        if not any(_vanishes(strategy, case) for strategy in ALGEBRA.values()):
            return case
    return sp.Integer(0)


def _signs(expression: Any) -> Any:
    """Each sign of each real symbol on its own: |x| is x, -x and 0."""
    cases = [expression]
    for symbol in sorted(expression.free_symbols, key=str):
        if symbol.is_positive is None:
            p = sp.Symbol(f"{symbol}_p", positive=True)
            cases = [case.subs(symbol, v) for case in cases for v in (p, -p, 0)]
    strategies = [_cases, *SIMPLE.values()]
    for case in cases:
        if not any(_vanishes(strategy, case) for strategy in strategies):
            return case
    return sp.Integer(0)


def _without_logarithms(expression: Any) -> Any:
    """exp(e) - 1, zero just where a real e is; logarithms in a sum become factors."""
    if not expression.has(sp.log):
        return expression
    power = sp.exp(sp.expand(expression)) - 1
    return sp.expand(sp.numer(sp.together(power)))


ALGEBRA: dict[str, Callable[[Any], Any]] = {
    "expand": sp.expand,
    "cancel": lambda e: sp.expand(sp.numer(sp.together(e))),
    "together": lambda e: sp.expand(sp.numer(sp.together(e.rewrite(sp.exp)))),
    "without logarithms": _without_logarithms,
}
QUICK = {
    **ALGEBRA,
    "case by case": _cases,
    "arms by algebra": lambda e: _arms(e, ALGEBRA),
}
SIMPLE: dict[str, Callable[[Any], Any]] = {
    **ALGEBRA,
    "powsimp": lambda e: sp.powsimp(sp.expand(e)),
    "simplify": sp.simplify,
    "rewrite(exp)": lambda e: sp.simplify(sp.expand(e.rewrite(sp.exp))),
    "trigsimp": sp.trigsimp,
}
STRATEGIES = {**SIMPLE, "arm by arm": _arms, "sign by sign": _signs}


def main() -> None:
    """Answer until the input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing that prints may get among the answers
    while True:
        try:
            expression = pickle.load(source)  # noqa: S301 - from our own parent
        except EOFError:
            return
        pickle.dump(decide(expression), sink)
        sink.flush()


if __name__ == "__main__":
    main()
