"""Rule text held against the witness, number by number. Floor 10.

A rule that is wrong in sign, factor, term or argument, everywhere or on one side of
zero, differs from the numerical derivative at some point; the message says which.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.errors import DomainError, GradientMismatch
from tapegrad.primitives.oracle import FAILS, RUNGS, Witness, context, plain
from tapegrad.readings import reading

# How near a rule has to be: a float constant in code is good to 16 digits, and a rule
# may have another one than the value.
TOLERANCE = 1e-12
# Below what a float can hold, zero and not zero are alike.
TINY = "1e-340"
# At a kink, of the derivatives to its sides.
ROOM = 1e-6


@dataclass(frozen=True)
class Rules:
    """What is checked.

    Args:
        name: of the primitive.
        names: of its arguments.
        value, partials: rule text.
        witness: of the definition.
        closed: of a closed form that is said to be the value.
    """

    name: str
    names: Sequence[str]
    value: Callable[..., Any]
    partials: Callable[..., Any]
    witness: Witness
    closed: Witness | None = None

    def value_at(self, m: Any, point: Sequence[float]) -> Any:
        """The value in an mpmath reading; None where it is too large even for that."""
        try:
            return plain(m, self.value(m, *map(m.number, point)))
        except FAILS:
            return None

    def partial_at(self, m: Any, point: Sequence[float], place: int) -> Any:
        """A partial in an mpmath reading, in the same way."""
        xs = [m.number(x) for x in point]
        try:
            return plain(m, self.partials(m, self.value(m, *xs), *xs)[place])
        except FAILS:
            return None

    def where(self, point: Sequence[float]) -> str:
        """A point in words."""
        pairs = zip(self.names, point, strict=True)
        return ", ".join(f"{name} = {x!r}" for name, x in pairs)


def check(
    rules: Rules,
    points: Sequence[Sequence[float]],
    kinks: Sequence[Sequence[float]] = (),
) -> int:
    """Hold rule text against the witness.

    Args:
        rules: value and partials, and the witness.
        points: where to compare.
        kinks: where one-sided derivatives bound the partials.

    Returns:
        How many numbers were compared.

    Raises:
        GradientMismatch: a number differs; says where, both numbers, which argument.
        DomainError: the definition has a real value at none of the points.
    """
    for point in kinks:
        _at_kink(rules, point)
    # plain numbers first: they are what a message should name
    plain_first = sorted(points, key=_extent)
    compared = sum(_at_point(rules, point) for point in plain_first)
    if not compared:
        msg = (
            f"{rules.name}: no point was found where it has a real, finite value and a "
            "derivative, so nothing can be checked; give domain=[(low, high), ...], "
            "an interval an argument"
        )
        raise DomainError(msg)
    return compared


def _extent(point: Sequence[float]) -> float:
    return max(abs(math.log2(abs(x))) if x else 0.0 for x in point)


def _at_point(rules: Rules, point: Sequence[float]) -> int:
    exact = rules.witness.value(point)
    if rules.closed is not None:
        _same_value(rules, point, rules.closed)
    if exact is None:
        _outside(rules, point)
        return 0
    at_value = functools.partial(rules.value_at, point=point)
    found, exact = _confirmed(exact, at_value, lambda: rules.witness.surely(point))
    if found is not None:
        msg = (
            f"{rules.name}: the value at {rules.where(point)} is {_short(found)} by "
            f"the rule, and {_short(exact)} by the definition at many digits"
        )
        raise GradientMismatch(msg)
    compared = 0
    for place, label in enumerate(rules.names):
        slope = rules.witness.derivative(point, place)
        if slope is None:
            continue
        compared += 1
        ask = functools.partial(rules.partial_at, point=point, place=place)
        again = functools.partial(rules.witness.surely, point, place)
        found, slope = _confirmed(slope, ask, again)
        if found is not None:
            msg = (
                f"{rules.name}: d/d{label} at {rules.where(point)} is {_short(found)} "
                f"by the rule, and {_short(slope)} by numerical differentiation of the "
                f"value at many digits; the partial by {label} is wrong there"
            )
            raise GradientMismatch(msg)
    return compared


def _confirmed(
    exact: Any, ask: Callable[[Any], Any], again: Callable[[], Any]
) -> tuple[Any, Any]:
    """What rule text gives where it differs, and the exact number, looked at twice."""
    found = _differing(exact, ask)
    if found is not None:
        exact = again()
        found = None if exact is None else _differing(exact, ask)
    return found, exact


def _differing(exact: Any, ask: Callable[[Any], Any]) -> Any:
    """None where rule text gives the exact number at some precision; else its last."""
    found = None
    for rung in RUNGS:
        m: Any = reading(f"mpmath:{rung}")
        found = ask(m)
        if found is None:
            return None
        near = abs(exact) * TOLERANCE + m.ctx.mpf(TINY)
        if m.ctx.isfinite(found) and abs(found - exact) <= near:
            return None
    return found


def _outside(rules: Rules, point: Sequence[float]) -> None:
    """Where there is no real value, a partial that is a number is a leak."""
    m: Any = reading(f"mpmath:{RUNGS[0]}")
    value = rules.value_at(m, point)
    if value is None or not m.ctx.isnan(value):
        return  # a pole, or too large
    for place, label in enumerate(rules.names):
        found = rules.partial_at(m, point, place)
        if found is not None and m.ctx.isfinite(found) and found != 0:
            msg = (
                f"{rules.name}: d/d{label} at {rules.where(point)} is {_short(found)} "
                "by the rule, and the function has no real value there; give domain=, "
                "which makes the partials NaN outside"
            )
            raise GradientMismatch(msg)


def _same_value(rules: Rules, point: Sequence[float], closed: Witness) -> None:
    """The closed form that was given is the value, as far as float constants allow."""
    one, other = rules.witness.value(point), closed.value(point)
    if one is None or other is None:
        return
    slack = abs(other)
    for place, x in enumerate(point):
        slope = closed.derivative(point, place)
        slack += 0 if slope is None else abs(slope * x)
    if abs(one - other) > slack * TOLERANCE:
        one, other = rules.witness.surely(point), closed.surely(point)
    if None not in (one, other) and abs(one - other) > slack * TOLERANCE:
        msg = (
            f"{rules.name}: the value at {rules.where(point)} is {_short(one)} by the "
            f"code, and {_short(other)} by sympy="
        )
        raise GradientMismatch(msg)


def _at_kink(rules: Rules, point: Sequence[float]) -> None:
    """At a kink a partial is between the derivatives of the two sides."""
    m = reading(f"mpmath:{RUNGS[0]}")
    for place, label in enumerate(rules.names):
        sides = rules.witness.sides(point, place)
        if sides is None:
            continue
        found = rules.partial_at(m, point, place)
        if found is None:
            continue
        low, high = min(sides), max(sides)
        room = (abs(low) + abs(high)) * ROOM
        if not low - room <= found <= high + room:
            msg = (
                f"{rules.name}: d/d{label} at the kink {rules.where(point)} is "
                f"{_short(found)} by the rule, and not between {_short(low)} and "
                f"{_short(high)}, the derivatives to its sides"
            )
            raise GradientMismatch(msg)


def _short(x: Any) -> str:
    return str(context(15).nstr(x, 15))
