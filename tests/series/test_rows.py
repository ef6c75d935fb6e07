"""Taylor coefficients of every elementwise row, to order 20, against mpmath.

mpmath differentiates the row's values at 50 digits and more by itself: no partial is
read. Helpers that are the n-th derivative of another row are read off its series.

At 50 digits the coefficients have to agree to 45, so the recurrences are right. In
floats each term is a sum of k products: it is allowed 4 ulp for each order and two more
for the numbers that it starts from. A coefficient that nearly vanishes between others
is a difference of them, and is judged by the geometric mean of its neighbours.
"""

from __future__ import annotations

import functools
import math

import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.readings.mpmath import Big, MpmathReading
from tapegrad.rules import INF, REAL, TABLE

ORDER = 20
DIGITS = MpmathReading(50)
CTX = DIGITS.ctx
EPS = 2.0**-52
SMOOTH = [row for row in TABLE if row.partials is not None and not row.whole]
ROWS = [row for row in SMOOTH if not row.digest]  # the table's own
CASES = [(row, dict(params)) for row in ROWS for params in row.params]
POINTS = {
    REAL: (-2.3, -0.7, 0.4, 1.9, 3.1),
    (0.0, INF): (0.3, 1.1, 7.0, 0.02, 2.0),
    (-1.0, 1.0): (-0.6, 0.1, 0.8, 0.3, -0.95),
    (1.0, INF): (1.2, 3.0, 1.01, 40.0, 2.0),
    (0.0, 1.0): (0.2, 0.7, 0.5, 0.01, 0.9),
    (-1.0, INF): (-0.6, 0.1, 0.8, 30.0, -0.95),
}
# A curved path, x + t d + t^2 e: each coefficient of an operand has its part.
DIRECTION = (1.0, -0.75, 0.5)
BEND = (-0.3125, 0.5, -0.375)
# The n-th derivative of another row: mpmath differentiates that one, along a line.
MOST_TIMES = 5
SLOPES = {
    "digamma": lambda params: ("lgamma", 1),
    "polygamma": lambda params: ("lgamma", params["n"] + 1),
    "sinc_slope": lambda params: ("sinc", params["n"]),
}
# Far from 0 the row's own algorithm for the 20th derivative has 11 digits.
ROUGH = {"sinc", "sinc_slope"}
# mpmath takes half a minute for the 25th derivative of lgamma at -2.3.
GAMMA = {"lgamma", "digamma", "polygamma"}


def points(row, params):
    """Points inside the domain, no two operands equal."""
    if row.name in GAMMA:
        return [[-0.7], [0.4], [3.1]]
    count = 5
    found = [
        [POINTS[interval][(k + 2 * i) % count] for i, interval in enumerate(row.domain)]
        for k in range(count)
    ]
    if row.domain == (REAL,) and len(row.pieces) == 1:
        found.append([0.0])
    if not float(params.get("exponent", 1)).is_integer():
        found = [[abs(x) for x in point] for point in found]
    if row.kind == "select":
        found = [[k % 2 == 0, *point[1:]] for k, point in enumerate(found)]
    return found


def reference(row, params, point, order):
    """Coefficients by mpmath's own differentiation of the values."""
    name, times = SLOPES.get(row.name, lambda params: (row.name, 0))(params)
    mine = () if times else tuple(params.items())
    shared = row.name in SLOPES and row.name in GAMMA
    longest = order + MOST_TIMES if shared else order + times
    bend = (0.0,) if row.name in SLOPES else BEND
    found = differentiated(name, mine, tuple(point), longest, bend)
    for _ in range(times):
        found = [k * c for k, c in enumerate(found)][1:]
    return found[: order + 1]


@functools.cache
def differentiated(name, params, point, order, bend):
    def along(t):
        xs = [
            x if isinstance(x, bool) else Big(CTX, CTX.mpf(x) + t * d + t * t * e)
            for x, d, e in zip(point, DIRECTION, bend, strict=False)
        ]
        return getattr(DIGITS, name)(*xs, **dict(params)).value

    return CTX.taylor(along, CTX.mpf(0), order, singular=False)


def sizes(wanted):
    """What each coefficient is judged by; the last is only there for its neighbour."""
    size = [abs(c) for c in wanted]
    return [
        max(size[k], CTX.sqrt(size[k - 1] * size[k + 1]) if k else size[k])
        for k in range(len(size) - 1)
    ]


def found(row, params, point, arithmetic):
    """The coefficients of a row, the operands that have a derivative moved."""
    fixed = [x for x in point if isinstance(x, bool)]
    free = tuple(x for x in point if not isinstance(x, bool))
    direction, bend = (d[len(fixed) : len(point)] for d in (DIRECTION, BEND))
    higher = [] if row.name in SLOPES else [bend]

    def f(*xs):
        return apply(row, *fixed, *xs, **params)

    return tg.taylor(f, free, direction, ORDER, higher=higher, arithmetic=arithmetic)


@pytest.mark.parametrize(
    ("row", "params"),
    CASES,
    ids=["-".join([row.name, *map(str, p.values())]) for row, p in CASES],
)
def test_a_row_has_the_series_of_its_values(row, params):
    for point in points(row, params):
        wanted = reference(row, params, point, ORDER + 1)
        size = sizes(wanted)
        many = found(row, params, point, "mpmath:50")
        floats = found(row, params, point, "float64")
        for k in range(ORDER + 1):
            at = f"{row.name} {params} at {point}, order {k}: {wanted[k]}"
            assert abs(many[k] - wanted[k]) <= CTX.mpf(10) ** -45 * size[k], at
            allowed = 1e-10 if row.name in ROUGH else (4 * k + 2) * EPS
            assert abs(CTX.mpf(float(floats[k])) - wanted[k]) <= allowed * size[k], at


def test_mpmath_and_the_known_series_agree():
    wanted = differentiated("exp", (), (0.0,), ORDER, (0.0,))
    for k, c in enumerate(wanted):
        assert abs(c - 1 / CTX.factorial(k)) < CTX.mpf(10) ** -45 / math.factorial(k)
