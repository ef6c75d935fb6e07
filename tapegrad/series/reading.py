"""Power series as a reading: a tape run once gives Taylor coefficients. Floor 10.

    a(t) = a_0 + a_1 t + a_2 t^2 + ...      in place of a number or an array a_0

What a row does to series is told by its kind (see ``words``), but for the arithmetic
that rule text is made of (``vocabulary``). Conditions, places and truth values are a
matter of the point t = 0 alone, so a kink is followed along the piece, or the
subgradient, that a first derivative has there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tapegrad.errors import DomainError
from tapegrad.readings.base import Reading
from tapegrad.rules import Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.series.power import Family, Series, head
from tapegrad.series.vocabulary import OWN
from tapegrad.series.words import KINDS, by_push_of_nested

# Rows with sub-tapes that are run as they stand. The others have a derivative of their
# own, which a sub-tape does not know: a user's pullback, an implicit function.
RUN = frozenset({"scan", "while_loop", "checkpoint"})


class SeriesReading(Reading):
    """Series over the numbers and arrays of another reading.

    What does not move is a series with one term; truth values and ints stay what they
    are there.

    Args:
        base: the reading of the coefficients.
        order: the last term; each step is finished before the next. None leaves the
            series open, in `made`: what depends on later terms may ask for them.
    """

    def __init__(self, base: Any, order: int | None = None) -> None:
        self.base = base
        self.order = order
        self.name = base.name
        self.records = base.records
        self.made: list[Series] = []
        self.family: Family | None = None

    # -- numbers -------------------------------------------------------------------

    def lift(self, x: Any) -> Any:
        """A float or an array of floats as a series; equal numbers are one series."""
        if isinstance(x, Series):
            return x
        if isinstance(x, bool | np.bool_):
            return x
        if type(x) is int:
            x = self.base.number(x)
        if self.base.dtype(x) not in FLOATING:
            return x
        if self.family is None or type(x) is not float:
            return Series(self, x)
        key = ("number", repr(x))  # 0.0 and -0.0 are two, NaN is one
        known = self.family.known
        if key not in known:
            known[key] = Series(self, x)
        return known[key]

    def operand(self, x: Any) -> Series:
        """An operand of an elementwise row; truth values count as numbers."""
        found = self.lift(x)
        return found if isinstance(found, Series) else Series(self, found)

    def number(self, value: Any) -> Any:
        """A number or an array that does not move."""
        return self.lift(self.base.number(value))

    def const(self, name: str) -> Any:
        """A named constant."""
        return self.lift(self.base.const(name))

    def exact(self, constant: Any) -> Any:
        """A constant of a user's row."""
        return self.lift(self.base.exact(constant))

    def like(self, value: int, other: Any) -> Any:
        """An integer, spread over the shape of another value."""
        return self.lift(self.base.like(value, head(other)))

    def shape(self, x: Any) -> tuple[int, ...]:
        """The shape of every term."""
        return x.shape if isinstance(x, Series) else self.base.shape(x)

    def dtype(self, x: Any) -> str:
        """The dtype of every term."""
        return self.base.dtype(head(x))  # type: ignore[no-any-return]

    def count_up(self, shape: tuple[int, ...]) -> Any:
        """0, 1, 2, ... as floats."""
        return self.lift(self.base.count_up(shape))

    # -- rows ----------------------------------------------------------------------

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        """The function that applies a row to series."""
        own = OWN.get(row.name)
        if own is not None:
            word = functools.partial(own, self)
        elif row.kind in KINDS:
            word = functools.partial(KINDS[row.kind], self, row)
        else:  # predicates, places, cuts: a matter of the point alone
            word = functools.partial(self._at_point, row)

        def applied(*xs: Any, **params: Any) -> Any:
            if not any(isinstance(x, Series) for x in xs):
                return self._at_point(row, *xs, **params)
            return self._step(functools.partial(word, *xs, **params))

        return applied

    def _step(self, make: Callable[[], Any]) -> Any:
        """What a step gives is finished; what rule text makes grows on demand."""
        if self.family is not None:
            return make()
        family = Family()
        with self.inside(family):
            y = make()
        made = y if isinstance(y, tuple | list) else (y,)
        found = [series for series in made if isinstance(series, Series)]
        if self.order is None:
            self.made += found
            return y
        for series in found:
            self._finish(series, self.order)
        family.forget()
        return y

    def _finish(self, series: Series, order: int) -> None:
        """All terms up to the order: there will be no others.

        Raises:
            DomainError: a row needs another row for each order, too deep for Python.
        """
        try:
            series.reach(order)
        except RecursionError:
            msg = (
                f"order {order} is too high here: each order needs one more row, and "
                "those call each other too deep for Python; ask for a lower order, or "
                "raise sys.setrecursionlimit"
            )
            raise DomainError(msg) from None
        series.forget()

    def at_zero(self, row: Primitive) -> Callable[..., Any]:
        """A row in the reading of the coefficients."""
        return getattr(self.base, row.name)  # type: ignore[no-any-return]

    def _at_point(self, row: Primitive, *xs: Any, **params: Any) -> Any:
        found = self.at_zero(row)(*map(head, xs), **params)
        return tuple(map(self.lift, found)) if row.slots > 1 else self.lift(found)

    @contextmanager
    def inside(self, family: Family) -> Iterator[None]:
        """Rule text is read; its series belong to a step."""
        before, self.family = self.family, family
        try:
            yield
        finally:
            self.family = before

    def shared(
        self,
        row: Primitive,
        xs: Sequence[Any],
        params: Any,
        make: Callable[[], Any],
    ) -> Any:
        """The series of a row, one for equal operands: so systems of rules close."""
        known = self.family.known  # type: ignore[union-attr]
        key = (row.name, *map(id, xs), *sorted(params.items()))
        if key not in known:
            # the operands are kept with it, or another object may get their id
            known[key] = make(), xs
        return known[key][0]

    def nested(self, row: Primitive, xs: Any, params: Any) -> Any:
        """A step with sub-tapes: run in series, or by its own rule."""
        # on a tape a while loop cannot be written out: its tangents are loops again
        if row.name in RUN and not (self.records and row.name == "while_loop"):
            return row.run(self, xs, params)  # type: ignore[misc]
        return self._step(functools.partial(by_push_of_nested, self, row, xs, params))
