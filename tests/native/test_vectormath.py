"""Functions for loops: accuracy against mpmath, and edges."""

from __future__ import annotations

import ctypes
import math

import mpmath
import numpy as np
import pytest

from tapegrad.native import vectormath
from tapegrad.native.engine import Engine
from tapegrad.native.vectormath import error, exponential

LOOP = """
define i32 @kernel(ptr noalias %x, ptr noalias %y, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr double, ptr %x, i64 %i
  %value = load double, ptr %from
  %found = call double @{name}(double %value)
  %to = getelementptr double, ptr %y, i64 %i
  store double %found, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %exit
exit:
  ret i32 0
}}
"""
# the largest error allowed, and that of nine in ten
ULPS = {
    "exp": (0.9, 0.51),
    "expm1": (1.8, 0.9),
    "log": (1.0, 0.55),
    "tanh": (2.0, 0.8),
    "erf": (1.3, 0.55),
    "erfc": (2.0, 0.9),
    "gaussian": (1.3, 0.6),
}
RANGES = {
    "exp": (-745.1, 709.7),
    "expm1": (-745.1, 709.7),
    "erf": (-6.5, 6.5),
    "erfc": (-7.0, 27.2),
    "gaussian": (-27.2, 27.2),
}


def exact_value(row, x):
    if row == "gaussian":
        return 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x)
    return getattr(mpmath, row)(x)


def compiled(row, level=2):
    loop = LOOP.format(name=vectormath.CALLS[row])
    engine = Engine(vectormath.text({row}) + loop, (), codegen=level, passes=level)
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
    )
    kernel = kind(engine.address("kernel"))

    def run(x):
        x = np.ascontiguousarray(x, float)
        y = np.empty_like(x)
        assert kernel(x.ctypes.data, y.ctypes.data, x.size) == 0
        return y

    run.engine = engine
    return run


def points(row, count):
    rng = np.random.default_rng(5)
    wide = RANGES.get(row, (-22.0, 22.0))
    if row == "log":
        near = 1.0 + rng.standard_normal(count) * 10.0 ** rng.integers(-15, 0, count)
        spread = 2.0 ** rng.uniform(-1074, 1023.9, count)
        return np.abs(np.concatenate([near, spread, rng.uniform(0.5, 2.0, count)]))
    return np.concatenate(
        [
            rng.uniform(*wide, count),
            rng.uniform(-1.0, 1.0, count),
            rng.standard_normal(count) * 10.0 ** rng.integers(-18, 1, count),
            rng.standard_normal(50) * 5e-324 * 2.0 ** rng.integers(0, 60, 50),
        ]
    )


@pytest.mark.parametrize("row", vectormath.CALLS)
@pytest.mark.parametrize("level", [0, 2])
def test_accuracy(row, level):
    xs = points(row, 700)
    errors = []
    with mpmath.workdps(50):
        for x, found in zip(
            xs.tolist(), compiled(row, level)(xs).tolist(), strict=True
        ):
            exact = exact_value(row, mpmath.mpf(x))
            ulp = math.ulp(float(exact))
            errors.append(float(abs(mpmath.mpf(found) - exact) / ulp))
    worst, most = ULPS[row]
    assert max(errors) < worst
    assert np.quantile(errors, 0.9) < most


def test_edges():
    inf, nan = math.inf, math.nan
    exp = [
        (0.0, 1.0),
        (-0.0, 1.0),
        (5e-324, 1.0),
        (inf, inf),
        (-inf, 0.0),
        (nan, nan),
        (709.782712893384, math.exp(709.782712893384)),
        (709.782712893385, inf),
        (1e300, inf),
        (-745.13, 5e-324),
        (-745.14, 0.0),
        (-1e300, 0.0),
        (-740.0, math.exp(-740.0)),
    ]
    tanh = [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (nan, nan)]
    tanh += [(1e300, 1.0), (-30.0, -1.0), (5e-324, 5e-324), (-1e-310, -1e-310)]
    expm1 = [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0), (nan, nan)]
    expm1 += [(709.79, inf), (1e300, inf), (-1e300, -1.0), (-60.0, -1.0)]
    expm1 += [(709.78, math.expm1(709.78)), (5e-324, 5e-324), (-1e-310, -1e-310)]
    log = [(0.0, -inf), (-0.0, -inf), (inf, inf), (-inf, nan), (nan, nan)]
    log += [(1.0, 0.0), (-1.0, nan), (-5e-324, nan), (5e-324, math.log(5e-324))]
    log += [(1e308, math.log(1e308)), (2.0, math.log(2.0)), (1e-310, math.log(1e-310))]
    erf = [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (nan, nan)]
    erf += [(1.0, math.erf(1.0)), (-7.0, -1.0), (1e300, 1.0), (5e-324, 5e-324)]
    erfc = [(0.0, 1.0), (-0.0, 1.0), (inf, 0.0), (-inf, 2.0), (nan, nan)]
    erfc += [(0.75, math.erfc(0.75)), (-0.75, math.erfc(-0.75)), (-30.0, 2.0)]
    erfc += [(27.0, math.erfc(27.0)), (30.0, 0.0), (1e300, 0.0), (5e-324, 1.0)]
    top = 2 / math.sqrt(math.pi)
    gaussian = [(0.0, top), (-0.0, top), (inf, 0.0), (-inf, 0.0), (nan, nan)]
    gaussian += [(1e300, 0.0), (-30.0, 0.0), (5e-324, top), (-1.0, top / math.e)]
    tables = {"exp": exp, "expm1": expm1, "log": log, "tanh": tanh}
    tables |= {"erf": erf, "erfc": erfc, "gaussian": gaussian}
    for row, cases in tables.items():
        xs, wanted = np.transpose(cases)
        found = compiled(row)(xs)
        np.testing.assert_allclose(found, wanted, rtol=4e-16, atol=0)
        exact = ~np.isnan(wanted)
        np.testing.assert_array_equal(
            np.signbit(found[exact]), np.signbit(wanted[exact])
        )


def test_numbers_in_the_text():
    def whole(f, nodes):
        powers = [[node**j for j in range(len(nodes))] for node in nodes]
        return mpmath.lu_solve(mpmath.matrix(powers), mpmath.matrix([*map(f, nodes)]))

    def interpolated(f, nodes):
        return tuple(map(float, whole(f, nodes)))

    def chebyshev(count):
        return [mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)]

    with mpmath.workdps(60):
        reach = mpmath.log(2) / 2 * mpmath.mpf("1.002")

        def remainder(r):
            if abs(r) < 1e-9:
                return mpmath.mpf(1) / 2 + r / 6 + r * r / 24
            return (mpmath.exp(r) - 1 - r) / r**2

        nodes = [reach * x for x in chebyshev(len(exponential.COEFFICIENTS))]
        assert interpolated(remainder, nodes) == exponential.COEFFICIENTS
        root = mpmath.sqrt(2)
        reach = ((root - 1) / (root + 1)) ** 2 * mpmath.mpf("1.002")
        count = len(exponential.LOG_COEFFICIENTS)
        nodes = [reach / 2 * (1 + x) for x in chebyshev(count)]

        def logarithm(z):
            s = mpmath.sqrt(z)
            return (2 * mpmath.atanh(s) / s - 2) / z

        assert interpolated(logarithm, nodes) == exponential.LOG_COEFFICIENTS

        def ratio(z):
            x = mpmath.sqrt(z)
            return mpmath.erf(x) / x - 1

        nodes = [(1 + x) / 2 for x in chebyshev(len(error.SMALL))]
        assert interpolated(ratio, nodes) == error.SMALL

        def tail(u):
            x = mpmath.mpf(5) / 2 * (1 + u) / (1 - u)
            return (x + mpmath.mpf(5) / 16) * mpmath.exp(x * x) * mpmath.erfc(x)

        low, high = ((x - 2.5) / (x + 2.5) for x in (mpmath.mpf(0.75), mpmath.mpf(28)))
        half, middle = (high - low) / 2, (high + low) / 2
        nodes = [middle + half * x for x in chebyshev(len(error.TAIL))]
        first, *rest = whole(tail, nodes)
        assert (float(first), *map(float, rest)) == error.TAIL
        assert float(first - mpmath.mpf(error.TAIL[0])) == error.TAIL_REST
        assert float(2 / mpmath.sqrt(mpmath.pi)) == error.TWO_OVER_SQRT_PI
        high = mpmath.mpf(exponential.LN2_HIGH)
        assert float(mpmath.log(2) - high) == exponential.LN2_LOW
        assert (exponential.LN2_HIGH * 2.0**41).is_integer()
        assert float(1 / mpmath.log(2)) == exponential.LOG2_E
    for number, bits in (
        (exponential.ROUNDER, exponential.ROUNDER_BITS),
        (math.sqrt(0.5), exponential.ROOT_BITS),
    ):
        assert int.from_bytes(np.float64(number).tobytes(), "little") == bits


@pytest.mark.parametrize("row", vectormath.CALLS)
def test_no_call_is_left(row):
    text = vectormath.text([row])
    assert "call" not in text
    assert "br " not in text
    assert vectormath.text(["sin"]) == ""
