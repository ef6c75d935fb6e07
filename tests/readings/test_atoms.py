"""Functions that a reading brings itself: C's for NumPy, and mpmath's at its edges."""

from __future__ import annotations

import ctypes
import math

import mpmath
import numpy as np
import pytest

from tapegrad.readings import FLOAT32, NUMPY, SCALAR, libm, reading
from tapegrad.rules import TABLE

INF, NAN = math.inf, math.nan
BIG = reading("mpmath:50")


def same(found, expected):
    return math.isnan(found) if math.isnan(expected) else found == expected


# -- C's maths library as ufuncs ---------------------------------------------------


def test_a_c_function_is_a_real_ufunc():
    erf = libm.ufunc("erf")
    assert isinstance(erf, np.ufunc)
    assert erf is libm.ufunc("erf")
    assert erf.__name__ == "erf"
    x = np.linspace(-4, 4, 101).reshape(1, 101)
    assert erf(x).shape == (1, 101)
    assert erf(x).ravel().tolist() == [math.erf(t) for t in x.ravel()]
    assert erf(x[:, ::-2]).ravel().tolist() == [math.erf(t) for t in x[0, ::-2]]
    out = np.empty(3)
    assert erf([0.0, 1.0, 2.0], out=out) is out


def test_float32_is_computed_in_double_and_stays_float32():
    found = libm.ufunc("lgamma")(np.float32(3.5))
    assert found.dtype == np.float32
    assert found == np.float32(math.lgamma(3.5))
    assert FLOAT32.lgamma(FLOAT32.number(3.5)).dtype == np.float32


def test_a_symbol_that_is_not_there_is_none():
    assert libm.ufunc("no_such_function_of_c") is None


def test_lgamma_is_the_librarys_and_not_pythons():
    x = 2 + 2.0**-40
    exact = float(mpmath.loggamma(mpmath.mpf(x)))
    for m in (SCALAR, NUMPY):
        assert abs(float(m.lgamma(m.number(x))) - exact) <= 4 * math.ulp(exact)
    # Python's own has no digit there; if it had, this module could go
    assert abs(math.lgamma(x) - exact) > 1e6 * math.ulp(exact)


def test_native_code_calls_the_same_function():
    from tapegrad.native.engine import symbol

    for name in ("erf", "erfc", "lgamma", "cbrt", "hypot"):
        place = symbol(name)
        assert place is not None
        one = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(place)
        if libm.ufunc(name) is not None and name != "hypot":
            assert one(0.75) == libm.ufunc(name)(0.75)


# -- integers -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round", "sign"])
def test_whole_numbers_are_floats_and_keep_the_sign_of_zero(name):
    for x in (-0.0, 0.0, -0.25, 1e300, -INF):
        found = SCALAR.apply(TABLE[name], x)
        assert type(found) is float
        assert found == NUMPY.evaluator(TABLE[name])(np.float64(x))
        if name in {"ceil", "trunc", "round"} and x <= 0 and x > -1:
            assert math.copysign(1, found) == math.copysign(1, x)


# -- mpmath ---------------------------------------------------------------------------

# name, operands, value
LIMITS = [
    ("log1p", (-1.0,), -INF),
    ("log2", (0.0,), -INF),
    ("log2", (8.0,), 3.0),
    ("log10", (-1.0,), NAN),
    ("exp2", (-2.0,), 0.25),
    ("cbrt", (-27.0,), -3.0),
    ("asinh", (-INF,), -INF),
    ("atanh", (-1.0,), -INF),
    ("atanh", (2.0,), NAN),
    ("asin", (2.0,), NAN),
    ("acosh", (0.5,), NAN),
    ("atan2", (1.0, INF), 0.0),
    ("atan2", (INF, INF), math.pi / 4),
    ("hypot", (-INF, 1.0), INF),
    ("round", (2.5,), 2.0),
    ("round", (3.5,), 4.0),
    ("trunc", (-2.5,), -2.0),
    ("mod", (-7.0, 3.0), 2.0),
    ("mod", (7.0, -3.0), -2.0),
    ("mod", (1.0, 0.0), NAN),
    ("mod", (1.0, INF), 1.0),
    ("mod", (-1.0, INF), INF),
    ("fmod", (-7.0, 3.0), -1.0),
    ("fmod", (1e300, 7.0), math.fmod(1e300, 7.0)),
    ("fmod", (-1.0, INF), -1.0),
    ("copysign", (3.0, -2.0), -3.0),
    ("erfc", (1e300,), 0.0),
    ("erfc", (-1e300,), 2.0),
    ("lgamma", (0.0,), INF),
    ("lgamma", (-3.0,), INF),
    ("lgamma", (INF,), INF),
    ("digamma", (0.0,), -INF),
    ("digamma", (-3.0,), NAN),
    ("sinc", (0.0,), 1.0),
    ("sinc", (INF,), 0.0),
    ("sinc", (3.0,), 0.0),
]


@pytest.mark.parametrize(("name", "operands", "expected"), LIMITS)
def test_edges_of_values_in_every_arithmetic(name, operands, expected):
    row = TABLE[name]
    found = float(BIG.evaluator(row)(*map(BIG.number, operands)))
    assert same(found, expected), found
    with np.errstate(all="ignore"):
        floats = SCALAR.apply(row, *operands)
        wide = float(NUMPY.evaluator(row)(*map(np.float64, operands)))
    assert same(wide, floats)
    np.testing.assert_allclose(floats, expected, rtol=1e-15, atol=1e-16)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("x", [0.25, 1.0, 1.4616321449683623, 7.5, 40.0, -0.3, -2.6])
def test_polygamma_of_any_order(n, x):
    with mpmath.workdps(40):
        exact = mpmath.polygamma(n, mpmath.mpf(x))
    scale = max(abs(float(exact)), 1.0 if x < 0 else 0.0)
    assert abs(SCALAR.polygamma(x, n=n) - float(exact)) <= 1e-14 * scale
    assert abs(float(BIG.polygamma(BIG.number(x), n=n)) - float(exact)) <= 1e-14 * scale


def test_digamma_beside_its_zero_keeps_its_digits():
    with mpmath.workdps(40):
        for x in (1.4616321449683623, 1.4616321449683625, 1.46, 1.5):
            exact = mpmath.digamma(mpmath.mpf(x))
            assert abs(SCALAR.digamma(x) - exact) <= 4 * math.ulp(float(exact))


@pytest.mark.parametrize("n", range(6))
@pytest.mark.parametrize("x", [0.0, 1e-9, 0.125, 0.49, 0.51, -2.75, 1e6 + 0.25])
def test_derivatives_of_sinc(n, x):
    found = SCALAR.sinc_slope(x, n=n) if n else SCALAR.sinc(x)
    big = BIG.sinc_slope(BIG.number(x), n=n) if n else BIG.sinc(BIG.number(x))
    with mpmath.workdps(60):
        t = mpmath.mpf(x)
        exact = mpmath.mpf(0)
        # the mean of cos(pi s x) over s from 0 to 1, differentiated under the integral
        turn = mpmath.pi * n / 2
        if abs(x) < 10:
            exact = mpmath.quad(
                lambda s: (mpmath.pi * s) ** n * mpmath.cos(mpmath.pi * s * t + turn),
                [0, 1],
            )
            assert abs(big.value - exact) < 1e-40
    assert abs(found - float(big)) <= 1e-13 * max(math.pi**n / (n + 1), 1e-9)
