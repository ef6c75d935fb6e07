"""Domains as users give them, and the gates that keep a rule inside. Floor 10."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad.errors import RecordError
from tapegrad.rules.primitive import REAL, Interval


def given_domain(domain: Any, names: Sequence[str]) -> list[Interval]:
    """The intervals that a user gave: one pair, one an argument, or some by name.

    Raises:
        RecordError: no intervals, or not one for each argument.
    """
    if domain is None:
        return [REAL] * len(names)
    if isinstance(domain, Mapping):
        if odd := sorted(set(domain) - set(names)):
            msg = f"domain names {odd}, and the arguments are {list(names)}"
            raise RecordError(msg)
        return [_interval(domain.get(name, REAL), name) for name in names]
    if len(names) == 1 and len(domain) == 2 and not hasattr(domain[0], "__len__"):
        domain = [domain]
    if len(domain) != len(names):
        msg = (
            f"domain has {len(domain)} intervals for {len(names)} arguments; give one "
            "pair (low, high) for each, or a dict by name"
        )
        raise RecordError(msg)
    return [_interval(pair, name) for pair, name in zip(domain, names, strict=True)]


def _interval(pair: Any, name: str) -> Interval:
    try:
        low, high = map(float, pair)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        msg = (
            f"the domain of {name} is a pair (low, high) with low < high, not {pair!r}"
        )
        raise RecordError(msg)
    return low, high


def of_assumptions(symbol: Any) -> Interval:
    """What the assumptions of a SymPy symbol say of its values."""
    if symbol.is_nonnegative:
        return 0.0, math.inf
    if symbol.is_nonpositive:
        return -math.inf, 0.0
    return REAL


def narrowed(
    one: Sequence[Interval], other: Sequence[Interval], names: Sequence[str]
) -> list[Interval]:
    """What two domains have in common.

    Raises:
        RecordError: nothing.
    """
    found = []
    for (a, b), (c, d), name in zip(one, other, names, strict=True):
        low, high = max(a, c), min(b, d)
        if not low < high:
            msg = (
                f"the domain of {name} is empty: the function is defined on "
                f"[{a:g}, {b:g}], and [{c:g}, {d:g}] is asked for"
            )
            raise RecordError(msg)
        found.append((low, high))
    return found


def gate_lines(
    names: Sequence[str], natural: Sequence[Interval], wanted: Sequence[Interval]
) -> list[str]:
    """Lines that say in ``inside`` whether arguments are where they are wanted.

    Ends that the function has by itself need no gate. Nor has a symbolic reading one:
    its symbols are those of the domain, and the closed form has none either.
    """
    tests = []
    for name, free, bound in zip(names, natural, wanted, strict=True):
        if bound[0] > free[0]:
            tests.append(f"m.less_equal({_end(bound[0])}, {name})")
        if bound[1] < free[1]:
            tests.append(f"m.less_equal({name}, {_end(bound[1])})")
    if not tests:
        return []
    inside = tests[0]
    for test in tests[1:]:
        inside = f"m.logical_and({inside}, {test})"
    return [f"inside = {inside}"]


def _end(x: float) -> str:
    return repr(int(x)) if x == int(x) and abs(x) < 2**53 else repr(x)


def told(names: Sequence[str], domain: Sequence[Interval]) -> str:
    """A domain in words: ``x >= 0, 0 <= y <= 1``."""
    parts = []
    for name, (low, high) in zip(names, domain, strict=True):
        if low > -math.inf and high < math.inf:
            parts.append(f"{low:g} <= {name} <= {high:g}")
        elif low > -math.inf:
            parts.append(f"{name} >= {low:g}")
        elif high < math.inf:
            parts.append(f"{name} <= {high:g}")
    return ", ".join(parts)
