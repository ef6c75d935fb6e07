"""The numbers in functions for loops: each is derived again, as its module says."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from tapegrad.native.vectormath import (
    error,
    exponential,
    hyperbolic,
    inverse,
    logarithm,
    power,
    trigonometric,
)

ONE = mpmath.mpf(1)


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(60):
        yield


def chebyshev(count, low=-1, high=1):
    """Chebyshev nodes of an interval."""
    turns = [mpmath.pi * (2 * k + 1) / (2 * count) for k in range(count)]
    half, middle = (high - low) / ONE / 2, (high + low) / ONE / 2
    return [middle + half * mpmath.cos(turn) for turn in turns]


def fitted(f, low, high, count, weight=None):
    """Interpolated, or least squares with weights at 80 nodes."""
    nodes = chebyshev(80 if weight else count, low, high)
    weight = weight or (lambda _: ONE)
    rows = [[weight(x) * x**j for j in range(count)] for x in nodes]
    right = mpmath.matrix([weight(x) * f(x) for x in nodes])
    return [*mpmath.lu_solve(mpmath.matrix(rows), right)]


def floats(numbers):
    return tuple(map(float, numbers))


def parts(x):
    """A number as the sum of two."""
    return float(x), float(x - float(x))


def remainder(r):
    if abs(r) < 1e-9:
        return ONE / 2 + r / 6 + r * r / 24
    return (mpmath.exp(r) - 1 - r) / r**2


def atanh_rest(z):
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s) / s - 2) / z


def root_of_two():
    """The largest square of s for 1 + f from sqrt(1/2) to sqrt(2)."""
    root = mpmath.sqrt(2)
    return ((root - 1) / (root + 1)) ** 2 * mpmath.mpf("1.002")


@pytest.mark.parametrize("known", [exponential.COEFFICIENTS, exponential.SHORT])
def test_exponentials(known):
    reach = mpmath.log(2) / 2 * mpmath.mpf("1.002")
    assert floats(fitted(remainder, -reach, reach, len(known))) == known


def test_logarithms():
    known = logarithm.COEFFICIENTS
    assert floats(fitted(atanh_rest, 0, root_of_two(), len(known))) == known
    high = mpmath.mpf(exponential.LN2_HIGH)
    assert float(mpmath.log(2) - high) == exponential.LN2_LOW
    assert (exponential.LN2_HIGH * 2.0**41).is_integer()
    assert float(1 / mpmath.log(2)) == exponential.LOG2_E
    assert parts(mpmath.log(2)) == (exponential.LN2, exponential.LN2_REST)
    assert parts(1 / mpmath.log(2)) == logarithm.PER_LN2
    assert parts(1 / mpmath.log(10)) == logarithm.PER_LN10
    first, second = logarithm.LOG10_2
    assert float(mpmath.log10(2) - first) == second
    assert (first * 2.0**41).is_integer()
    for number, bits in (
        (2.0**52, logarithm.WHOLE_BITS),
        (1.0, logarithm.ONE_BITS),
        (math.sqrt(0.5), logarithm.ROOT_BITS),
    ):
        assert np.float64(number).view(np.int64) == bits


@pytest.mark.parametrize("known", [power.SERIES, power.SHORT_SERIES])
def test_powers(known):
    def beyond(z):
        return (atanh_rest(z) - ONE * 2 / 3) / z

    assert floats(fitted(beyond, 0, root_of_two(), len(known))) == known
    assert abs(ONE * 2 / 3 - mpmath.fsum(power.TWO_THIRDS)) < 1e-32


def sine(z):
    return (mpmath.sin(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z


def cosine(z):
    return (mpmath.cos(mpmath.sqrt(z)) - 1 + z / 2) / z**2


@pytest.mark.parametrize(
    ("known", "f", "parts"),
    [
        (trigonometric.SINE, sine, 4),
        (trigonometric.COSINE, cosine, 4),
        (trigonometric.LONG_SINE, sine, 2),
    ],
)
def test_sines(known, f, parts):
    reach = (mpmath.pi / parts * mpmath.mpf("1.001")) ** 2
    assert floats(fitted(f, 0, reach, len(known))) == known


def test_inverse():
    def tangent(z):
        return (mpmath.atan(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z

    def sine_of(z):
        return (mpmath.asin(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z

    eighth = mpmath.sqrt(2) - 1
    reach = eighth**2 * mpmath.mpf("1.001")
    assert floats(fitted(tangent, 0, reach, len(inverse.ATAN))) == inverse.ATAN
    reach = mpmath.mpf("0.2501")
    assert floats(fitted(sine_of, 0, reach, len(inverse.ASIN))) == inverse.ASIN
    assert float(eighth) == inverse.TAN_EIGHTH
    assert parts(mpmath.pi / 2) == (inverse.HALF_PI, inverse.HALF_PI_LOW)


def test_hyperbolic_sine():
    def sine_of(z):
        return (mpmath.sinh(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z

    assert floats(fitted(sine_of, 0, 1, len(hyperbolic.SINH))) == hyperbolic.SINH


def test_parts_of_pi():
    upper, middle, lower = map(mpmath.mpf, trigonometric.HALF_PI)
    assert (upper * 2**36 % 1, middle * 2**73 % 1) == (0, 0)
    assert trigonometric.LIMIT / upper < 2**16
    assert float(mpmath.pi / 2 - upper - middle) == lower
    assert float(2 / mpmath.pi) == trigonometric.TWO_OVER_PI
    assert float(1 / mpmath.pi) == trigonometric.ONE_OVER_PI


def test_error_function_near_zero():
    def ratio(z):
        return mpmath.erf(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1

    assert floats(fitted(ratio, 0, 1, len(error.SMALL))) == error.SMALL
    assert float(2 / mpmath.sqrt(mpmath.pi)) == error.TWO_OVER_SQRT_PI


def mapped(x):
    return (x - mpmath.mpf(2.5)) / (x + mpmath.mpf(2.5))


def place(u):
    """The inverse of `mapped`."""
    return mpmath.mpf(2.5) * (1 + u) / (1 - u)


def scaled_erfc(u):
    return mpmath.exp(place(u) ** 2) * mpmath.erfc(place(u))


def test_complement():
    def tail(u):
        return (place(u) + ONE * 5 / 16) * scaled_erfc(u)

    low, high = mapped(mpmath.mpf(0.75)), mapped(mpmath.mpf(28))
    found = fitted(tail, low, high, len(error.TAIL))
    assert floats(found) == error.TAIL
    assert float(found[0] - error.TAIL[0]) == error.TAIL_REST


@pytest.mark.parametrize("known", [error.REST, error.SHORT_REST])
def test_rest_of_the_error_function(known):
    def weight(u):
        return mpmath.exp(-(place(u) ** 2))

    low, high = mapped(ONE), mapped(ONE * 6)
    assert floats(fitted(scaled_erfc, low, high, len(known), weight)) == known


def test_root_of_the_rest():
    def root(d):
        return mpmath.erfc(1 + d) ** (ONE / 16)

    def weight(d):
        return root(d) ** 15

    found = fitted(root, 0, 5, len(error.ROOT), weight)
    assert floats(found) == error.ROOT
    assert float(found[0] - error.ROOT[0]) == error.ROOT_REST
