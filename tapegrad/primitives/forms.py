"""Forms that an expression may take, all equal on the reals. Floor 10; loads SymPy.

    exp(x)/(exp(x) - 1)**2     overflows beyond 355 and cancels near 0
    exp(-x)/expm1(-x)**2       does neither, where x > 0

An expression is written in several ways that are equal in exact arithmetic; which of
them floats bear best is measured, not guessed (see ``choice``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import sympy as sp
from sympy.codegen.cfunctions import expm1
from sympy.codegen.rewriting import expm1_opt, log1p_opt, logaddexp_opt, optimize

from tapegrad.symbolic.heads import KINKED

# Larger expressions are taken as they are: rewriting them takes SymPy too long.
LARGE = 60
# Of these `factor` and the like still answer at once; and of these, `simplify`.
MEDIUM = 40
SMALL = 20


def forms(expression: Any) -> Iterator[tuple[str, Any]]:
    """Names and forms of an expression, as written first; all equal on the reals."""
    yield "as written", expression
    size = expression.count_ops()
    if size > LARGE:
        return
    yield "rewritten", stable(expression)
    if expression.has(*KINKED, sp.Heaviside, sp.DiracDelta):
        return
    for name, rewrite in (
        ("factored", sp.factor if size <= MEDIUM else None),
        ("together", sp.together if size <= MEDIUM else None),
        ("simplified", sp.simplify if size <= SMALL else None),
    ):
        form = _tried(rewrite, expression)
        if form is not None:
            yield name, stable(form)
    if size <= MEDIUM:
        yield from balanced(expression)


def _tried(rewrite: Any, expression: Any) -> Any:
    """What SymPy makes of an expression, None where it gives up or turns complex."""
    if rewrite is None:
        return None
    try:
        form = rewrite(expression)
    except (sp.PolynomialError, NotImplementedError, TypeError, ValueError):
        return None
    return None if form.has(sp.I, sp.zoo, sp.nan) else form


def stable(expression: Any) -> Any:
    """Differences that cancel as functions that do not: expm1, log1p, sin(x/2)**2."""
    form = _tried(
        lambda e: optimize(e, (expm1_opt, log1p_opt, logaddexp_opt)), expression
    )
    form = expression if form is None else form
    return differences(form)


def differences(form: Any) -> Any:
    """c*exp(u) - c as c*expm1(u), and c*cos(u) - c as -2*c*sin(u/2)**2."""
    return form.replace(lambda e: isinstance(e, sp.Add), _difference)


def _difference(e: Any) -> Any:
    for term in e.args:
        factor, rest = term.as_coeff_Mul()
        if not isinstance(rest, sp.cos | sp.exp) or -factor not in e.args:
            continue
        others = [x for x in e.args if x not in {term, -factor}]
        u = rest.args[0]
        small = expm1(u) if isinstance(rest, sp.exp) else -2 * sp.sin(u / 2) ** 2
        return sp.Add(factor * small, *others)
    return e


def balanced(expression: Any) -> Iterator[tuple[str, Any]]:
    """Fractions of exp(u) in powers of exp(-u) where u > 0, so that none overflows."""
    calls = {e.args[0] for e in expression.atoms(sp.exp)}
    if not calls:
        return
    unit = min(calls, key=lambda u: (u.count_ops(), sp.default_sort_key(u)))
    ratios = {u: sp.simplify(u / unit) for u in calls}
    if not all(r.is_Rational for r in ratios.values()):
        return
    unit = unit / math.lcm(*(int(r.q) for r in ratios.values()))
    if unit.could_extract_minus_sign():
        unit = -unit
    power = sp.Dummy("E", positive=True)
    put = {sp.exp(u): power ** sp.simplify(u / unit) for u in calls}
    plain = expression.xreplace(put)
    if plain.has(sp.exp):
        return
    kinds = [("", plain)]
    if plain.is_Add:  # a common denominator may cancel where the terms do not
        kinds.append((", term by term", plain.args))
    for what, parts in kinds:
        arms = []
        for replaced, back in ((1 / power, sp.exp(-unit)), (power, sp.exp(unit))):
            whole = parts if isinstance(parts, tuple) else (parts,)
            found = [
                _tried(sp.factor, sp.together(part.xreplace({power: replaced})))
                for part in whole
            ]
            if None in found:
                return
            # not `stable`, which goes back to exp(u)
            arms.append(
                sp.Add(*(differences(form.xreplace({power: back})) for form in found))
            )
        if arms[0] != arms[1]:
            chosen = sp.Piecewise(
                (arms[0], unit > 0), (arms[1], sp.true), evaluate=False
            )
            yield f"by exp(-|{unit}|){what}", chosen
