"""A truncated power series whose terms are found one after the other. Floor 10.

    a(t) = a_0 + a_1 t + a_2 t^2 + ...

Term k of a product, a quotient or an integral needs terms up to k of its operands, and
of a result that stands in its own derivative terms below k alone. So terms are asked
for, kept, and never computed twice (Knuth, The Art of Computer Programming, vol. 2,
4.7; Griewank & Walther, section 13.2). A term that is None is a *structural* zero, as a
derivative is in the sweeps: 0 times an infinite term would be NaN.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

Next = Callable[[int], Any]


class Series:
    """A power series over the numbers or arrays of a reading.

    Args:
        m: the reading of series, whose words the operators are.
        head: term 0; all terms have its shape.
        following: gives term k > 0, or None for a structural zero; None where all of
            them are.

    Attributes:
        last: place of the last term known that is no structural zero.
    """

    __slots__ = ("_dot", "_theta", "following", "last", "m", "shape", "terms")
    # an array on the left hands over to the operators below
    __array_ufunc__ = None

    def __init__(self, m: Any, head: Any, following: Next | None = None) -> None:
        self.m = m
        self.terms: list[Any] = [head]
        self.following = following
        self.shape: tuple[int, ...] = m.base.shape(head)
        self.last = 0
        self._dot: Series | None = None
        self._theta: Series | None = None
        if m.family is not None:
            m.family.parts.append(self)

    @property
    def head(self) -> Any:
        """Term 0."""
        return self.terms[0]

    @property
    def constant(self) -> bool:
        """Whether all terms but the first are structural zeros."""
        return self.following is None and self.last == 0

    def term(self, k: int) -> Any:
        """Term k, None for a structural zero."""
        if k >= len(self.terms):
            if self.following is None:
                return None
            self.reach(k)
        return self.terms[k]

    def reach(self, k: int) -> None:
        """Find the terms up to k."""
        while len(self.terms) <= k and self.following is not None:
            self._append(self.following(len(self.terms)))

    def _append(self, value: Any) -> None:
        if value is None:
            self.terms.append(None)
            return
        if self.shape and self.m.base.shape(value) != self.shape:
            value = self.m.base.broadcast_to(value, shape=self.shape)
        self.last = len(self.terms)
        self.terms.append(value)

    def forget(self) -> None:
        """Forget where the terms came from."""
        self.following = self._dot = self._theta = None

    @property
    def dot(self) -> Series | None:
        """The derivative by t, None for a constant."""
        if self.constant:
            return None
        if self._dot is None:
            first = self.term(1)
            zero = self.m.base.like(0, self.head)
            self._dot = self._beside(zero if first is None else first, self._slope)
        return self._dot

    def _slope(self, k: int) -> Any:
        above = self.term(k + 1)
        return None if above is None else above * (k + 1)

    @property
    def theta(self) -> Series:
        """t times the derivative: the terms k a_k; its head stands for none."""
        if self._theta is None:
            self._theta = self._beside(self.head, self._times_place)
        return self._theta

    def _times_place(self, k: int) -> Any:
        mine = self.term(k)
        return None if mine is None else mine * k

    def _beside(self, first: Any, following: Next) -> Series:
        """A series that lives as long as this one, not as the step that asks for it."""
        family, self.m.family = self.m.family, None
        made = Series(self.m, first, following)
        self.m.family = family
        return made

    # -- rule text: operators are words of the reading -----------------------------

    def __add__(self, other: Any) -> Any:
        return self.m.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return self.m.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return self.m.sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.m.sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return self.m.mul(self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.m.mul(other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.m.div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.m.div(other, self)

    def __neg__(self) -> Any:
        return self.m.neg(self)

    def __pos__(self) -> Series:
        return self

    def __abs__(self) -> Any:
        return self.m.abs(self)

    # -- what guards and solvers ask for: the point itself -------------------------

    def __bool__(self) -> bool:
        return bool(self.head)

    def __int__(self) -> int:
        return int(self.head)

    def __float__(self) -> float:
        return float(self.head)

    def __repr__(self) -> str:
        return repr(self.head)


class Family:
    """The series of one step and of its rule.

    Attributes:
        known: series of rows, by row, operands and parameters; and of numbers.
        parts: all of them.
    """

    __slots__ = ("known", "parts")

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}
        self.parts: list[Series] = []

    def forget(self) -> None:
        """The step is finished. Its parts know each other, in circles."""
        for part in self.parts:
            part.forget()
        self.parts.clear()
        self.known.clear()


def convolution(
    a: Series, b: Series, k: int, low: int = 0, times: Callable[..., Any] = operator.mul
) -> Any:
    """The sum of a_j b_(k-j) for j from `low` to k, None where nothing is there.

    Args:
        a: the first factor.
        b: the second.
        k: the order.
        low: the first term of a that is taken.
        times: how two terms are multiplied.
    """
    a.reach(k)
    b.reach(k - low)
    start, stop = max(low, k - b.last), min(k, a.last)
    if start > stop:
        return None
    left = a.terms[start : stop + 1]
    right = b.terms[k - stop : k - start + 1]
    right.reverse()
    return functools.reduce(operator.add, map(times, left, right))


def product(m: Any, times: Callable[..., Any], a: Series, b: Series) -> Series:
    """The product of two series, of whatever kind their terms have."""
    first = times(a.head, b.head)
    return Series(
        m,
        first,
        (lambda k: convolution(a, b, k, times=times)) if moving([a, b]) else None,
    )


def plus(a: Any, b: Any) -> Any:
    """The sum of two terms."""
    return b if a is None else a if b is None else a + b


def minus(a: Any, b: Any) -> Any:
    """The difference of two terms."""
    return a if b is None else -b if a is None else a - b


def head(x: Any) -> Any:
    """The value at the point."""
    return x.terms[0] if isinstance(x, Series) else x


def dots(xs: Sequence[Any]) -> list[Any]:
    """The derivatives by t, None where nothing moves."""
    return [x.dot if isinstance(x, Series) else None for x in xs]


def moving(xs: Sequence[Any]) -> bool:
    """Whether any operand is more than its first term."""
    return any(isinstance(x, Series) and not x.constant for x in xs)
