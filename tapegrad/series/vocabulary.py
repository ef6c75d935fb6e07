"""What rule text is made of, on power series: its arithmetic is convolutions. Floor 10.

    y = a / b:    b_0 y_k = a_k - sum_j  b_j y_(k-j)

The same with matrices is `solve`. (Knuth, The Art of Computer Programming, vol. 2,
section 4.7.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tapegrad.rules.products import swapped
from tapegrad.series.power import Series, convolution, minus, moving, plus, product

# Whole exponents up to this are products, which are right at 0 as well.
PRODUCTS = 64


def _sum(m: Any, combine: Callable[..., Any], row: str, a: Any, b: Any) -> Any:
    a, b = m.operand(a), m.operand(b)
    first = getattr(m.base, row)(a.head, b.head)
    return Series(
        m,
        first,
        (lambda k: combine(a.term(k), b.term(k))) if moving([a, b]) else None,
    )


def _add(m: Any, a: Any, b: Any) -> Any:
    return _sum(m, plus, "add", a, b)


def _sub(m: Any, a: Any, b: Any) -> Any:
    return _sum(m, minus, "sub", a, b)


def _neg(m: Any, a: Any) -> Any:
    a = m.operand(a)
    first = m.base.neg(a.head)
    return Series(m, first, None if a.constant else lambda k: minus(None, a.term(k)))


def _mul(m: Any, a: Any, b: Any) -> Any:
    return product(m, m.base.mul, m.operand(a), m.operand(b))


def _div(m: Any, a: Any, b: Any) -> Any:
    """y = a / b: from y b = a, term by term."""
    a, b = m.operand(a), m.operand(b)
    y = Series(m, m.base.div(a.head, b.head))

    def term(k: int) -> Any:
        rest = minus(a.term(k), convolution(b, y, k, low=1))
        return None if rest is None else m.base.div(rest, b.head)

    y.following = term if moving([a, b]) else None
    return y


def _powc(m: Any, x: Any, exponent: Any) -> Any:
    """Whole powers as products; others by the row of general powers.

    As a family of constant exponents, x^n to x^(n-1), it would not close.
    """
    x = m.operand(x)
    first = m.base.powc(x.head, exponent=exponent)
    whole = float(exponent).is_integer() and abs(exponent) <= PRODUCTS
    if x.constant or exponent == 0:
        return Series(m, first)
    y = _whole_power(x, int(exponent)) if whole else m.pow(x, exponent)
    return Series(m, first, y.term)


def _whole_power(x: Any, n: int) -> Any:
    """By squaring: two products for each bit at most."""
    factor = x if n > 0 else 1 / x
    found = None
    n = abs(n)
    while n:
        if n % 2:
            found = factor if found is None else found * factor
        n //= 2
        factor = factor * factor if n else factor
    return found


def _divided(
    m: Any, left: Any, right: Any, first: Any, solve: Callable[..., Any]
) -> Any:
    """y with left @ y = right, term by term; `solve` divides by term 0 of left."""
    y = Series(m, first)

    def term(k: int) -> Any:
        rest = minus(right.term(k), convolution(left, y, k, 1, m.base.matmul))
        return None if rest is None else solve(rest)

    y.following = term if moving([left, right]) else None
    return y


def _solve(m: Any, a: Any, b: Any) -> Any:
    a, b = m.operand(a), m.operand(b)
    solve = functools.partial(m.base.solve, a.head)
    return _divided(m, a, b, solve(b.head), solve)


def _solve_triangular(
    m: Any, a: Any, b: Any, *, lower: bool, unit_diagonal: bool, transposed: bool
) -> Any:
    a, b = m.operand(a), m.operand(b)

    def solve(right: Any) -> Any:
        return m.base.solve_triangular(
            a.head,
            right,
            lower=lower,
            unit_diagonal=unit_diagonal,
            transposed=transposed,
        )

    # the entries that are read
    beside = int(unit_diagonal)
    left = m.tril(a, k=-beside) if lower else m.triu(a, k=beside)
    left = swapped(m, left) if transposed else left
    return _divided(m, left, b, solve(b.head), solve)


OWN: dict[str, Callable[..., Any]] = {
    "add": _add,
    "sub": _sub,
    "neg": _neg,
    "mul": _mul,
    "div": _div,
    "powc": _powc,
    "solve": _solve,
    "solve_triangular": _solve_triangular,
}
