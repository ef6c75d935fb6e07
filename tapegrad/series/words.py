"""What rows do to power series, by their kind. Floor 10.

    y' = sum_i  partial_i(y, x) x_i'        k y_k = sum_i sum_j  j x_(i,j) p_(i,k-j)

The right side is a row's own rule, read in series that grow with y: term k of y needs
its partials up to term k - 1. So every smooth row has a recurrence, and none is written
down twice. A partial that needs other rows (sin needs cos) takes them as series of the
same kind; those of equal operands are shared, and where they lead back to a row that is
there already (cos to sin) the system is closed. Of matrices and reductions the tangent
rule is read in the same way (Griewank & Walther, section 13.2).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.passing import partials_of, pushed, scaled
from tapegrad.rules import Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.series.power import (
    Series,
    convolution,
    dots,
    head,
    moving,
    plus,
    product,
)


class Atom(Series):
    """An elementwise row of series, by its own partials."""

    __slots__ = ("family", "params", "partials", "row", "xs")

    def __init__(
        self, m: Any, row: Primitive, xs: Sequence[Series], params: Any
    ) -> None:
        first = m.at_zero(row)(*map(head, xs), **params)
        super().__init__(m, first, self._by_partials if moving(xs) else None)
        self.row, self.xs, self.params, self.family = row, xs, params, m.family
        self.partials: Any = None

    def _by_partials(self, k: int) -> Any:
        if self.partials is None:
            with self.m.inside(self.family):
                rule = partials_of(self.m, self.row, self, self.xs, self.params)
            self.partials = [p if type(p) is int else self.m.operand(p) for p in rule]
        total, plain = None, None
        for x, p in zip(self.xs, self.partials, strict=True):
            if x.constant or type(p) is int or p.constant:
                term = x.term(k)
                if term is not None:  # without a factor k / k, which rounds
                    slope = p if type(p) is int else p.head
                    plain = plus(plain, scaled(term, slope))
            else:
                total = plus(total, convolution(x.theta, p, k, low=1))
        return plus(plain, None if total is None else total / k)

    def forget(self) -> None:
        """Forget the rule, and where the terms came from."""
        super().forget()
        self.partials, self.family, self.xs = None, None, ()


def _elementwise(m: Any, row: Primitive, *xs: Any, **params: Any) -> Any:
    given = list(map(m.operand, xs))
    return m.shared(row, given, params, lambda: Atom(m, row, given, params))


def _linear(m: Any, row: Primitive, *xs: Any, **params: Any) -> Any:
    """Term by term."""
    function = m.at_zero(row)
    given = list(map(m.lift, xs))
    first = function(*map(head, given), **params)
    if m.base.dtype(first) not in FLOATING:
        return first

    def term(k: int) -> Any:
        found = [x.term(k) if isinstance(x, Series) else None for x in given]
        if all(part is None for part in found):
            return None
        full = [
            part
            if part is not None
            else m.base.like(0, x.head)
            if isinstance(x, Series)
            else x
            for part, x in zip(found, given, strict=True)
        ]
        return function(*full, **params)

    return Series(m, first, term if moving(given) else None)


def _multilinear(m: Any, row: Primitive, *xs: Any, **params: Any) -> Any:
    """A convolution; of more than two operands one after the other."""
    if len(xs) == 1:
        return _linear(m, row, *xs, **params)
    if len(xs) > 2:
        first, second = _paired(params["subscripts"])
        return m.einsum(m.einsum(*xs[:2], subscripts=first), *xs[2:], subscripts=second)
    times = functools.partial(m.at_zero(row), **params)
    return product(m, times, *map(m.operand, xs))


def _paired(subscripts: str) -> tuple[str, str]:
    """An einsum as one of the first two operands, and one of that and the others."""
    inputs, output = subscripts.split("->")
    one, two, *rest = inputs.split(",")
    later = set(output).union(*rest)
    kept = "".join(x for x in dict.fromkeys(one + two) if x in later)
    return f"{one},{two}->{kept}", ",".join([kept, *rest]) + "->" + output


def by_rule(m: Any, heads: Sequence[Any], push: Callable[..., Any]) -> list[Any]:
    """Results whose derivative by t a rule tells, as the integrals of that."""
    family, rates = m.family, list[Any]()

    def term(place: int, k: int) -> Any:
        if not rates:
            with m.inside(family):
                rates.extend(push(ys))
        rate = rates[place]
        above = None if rate is None else m.operand(rate).term(k - 1)
        return None if above is None else above / k

    ys = [
        Series(m, first, functools.partial(term, place))
        if m.base.dtype(first) in FLOATING
        else first
        for place, first in enumerate(heads)
    ]
    return ys


def _by_push(m: Any, row: Primitive, *xs: Any, **params: Any) -> Any:
    """A reduction, or a row of matrices: its tangent is what its rule pushes on."""
    given = list(map(m.lift, xs))
    several = row.slots > 1

    def make() -> Any:
        found = m.at_zero(row)(*map(head, given), **params)
        heads = found if several else (found,)
        if not moving(given):
            return tuple(map(m.lift, heads)) if several else m.lift(found)

        def push(ys: list[Any]) -> Any:
            y = tuple(ys) if several else ys[0]
            dot = pushed(m, row, y, given, dots(given), params)
            return dot if several else (dot,)

        ys = by_rule(m, heads, push)
        return tuple(ys) if several else ys[0]

    return m.shared(row, given, params, make)


def by_push_of_nested(m: Any, row: Primitive, xs: Sequence[Any], params: Any) -> Any:
    """A step with sub-tapes and a rule of its own for tangents."""
    given = list(map(m.lift, xs))
    heads = m.base.nested(row, list(map(head, given)), params)
    if not moving(given):
        return list(map(m.lift, heads))

    def push(ys: list[Any]) -> Any:
        rule: Any = row.push
        return rule(m, dots(given), ys, given, params)

    return by_rule(m, heads, push)


def _where(m: Any, row: Primitive, condition: Any, *arms: Any) -> Any:
    """The terms of the arm that is selected at the point."""
    condition, (a, b) = head(condition), map(m.operand, arms)
    first = m.at_zero(row)(condition, a.head, b.head)
    chosen = _decided(condition)
    if chosen is not None:
        arm = a if chosen else b
        if arm.shape == m.base.shape(first):
            return arm
        return Series(m, first, None if arm.constant else arm.term)

    def term(k: int) -> Any:
        left, right = a.term(k), b.term(k)
        if left is None and right is None:
            return None
        zero = m.base.number(0)
        return m.base.where(
            condition,
            zero if left is None else left,
            zero if right is None else right,
        )

    return Series(m, first, term if moving([a, b]) else None)


def _decided(condition: Any) -> bool | None:
    """A condition that is the same for all entries, None if it is not."""
    if isinstance(condition, bool | np.bool_):
        return bool(condition)
    if isinstance(condition, np.ndarray) and condition.dtype == np.bool_:
        if condition.all():
            return True
        return None if condition.any() else False
    return None


KINDS: dict[str, Callable[..., Any]] = {
    "elementwise": _elementwise,
    "select": _where,
    "linear": _linear,
    "multilinear": _multilinear,
    "reduction": _by_push,
    "matrix": _by_push,
}
