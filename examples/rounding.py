"""Five results that rounding spoils, and the lines that do it.

The classic hard cases: the quadratic formula where b*b is much larger than 4ac, the
logarithm of a sum of exponentials without a shift, Rump's example, the variance in one
pass, a long alternating sum. `tg.rounding_error` estimates the error of each, line by
line, from adjoints and local errors; a replay with 50 digits gives the error that is
really there. The stable forms of two of them are beside.
"""

from __future__ import annotations

import numpy as np

import tapegrad as tg


def quadratic(a, b, c):
    d = b * b - 4.0 * a * c
    r = np.sqrt(d)
    return (-b + r) / (2.0 * a)


def quadratic_stable(a, b, c):
    d = b * b - 4.0 * a * c
    r = np.sqrt(d)
    return 2.0 * c / (-b - r)


def log_sum_exp(x):
    e = np.exp(x)
    s = np.sum(e)
    return np.log(s)


def rump(a, b):
    p = (333.75 - a * a) * b**6
    q = a * a * (11 * a * a * b * b - 121 * b**4 - 2)
    r = 5.5 * b**8
    return p + q + r + a / (2 * b)


def variance(x):
    n = float(len(x))
    mean = np.sum(x) / n
    squares = np.sum(x * x) / n
    return squares - mean * mean


def variance_two_pass(x):
    n = float(len(x))
    mean = np.sum(x) / n
    away = x - mean
    return np.sum(away * away) / n


def alternating(x):
    total = 0.0 * x
    for k in range(1, 2001):
        term = x**k / k
        total = total - term if k % 2 == 0 else total + term
    return total


def main():
    rng = np.random.default_rng(1)
    sample = rng.normal(1e6, 1.0, 200)
    cases = {
        "quadratic formula": (quadratic, (1.0, 1e8, 1.0), "np.sqrt"),
        "log of a sum of exponentials": (
            log_sum_exp,
            (np.array([-40.0, 1e-17, -50.0]),),
            "np.exp",
        ),
        "the same, too large": (log_sum_exp, (np.array([1000.0, 1000.5]),), "np.exp"),
        "Rump's example": (rump, (77617.0, 33096.0), "b"),
        "variance in one pass": (variance, (sample,), "np.sum"),
        "alternating sum": (alternating, (0.999,), "total"),
    }
    for name, (f, at, code) in cases.items():
        report = tg.rounding_error(f, *at)
        worst = report.lines[0]
        print(f"{name}: {report.value!r}, exact {report.exact}")
        print(f"    {report.verdict}")
        print(f"    line {worst.line}: {worst.code}")
        assert report.ok
        assert code in worst.code

    # Rump's example has no right digit, not even the sign; the bound without signs
    # would not have said more than that everything is possible.
    rumps = tg.rounding_error(rump, 77617.0, 33096.0)
    assert rumps.value > 1.0 > -0.8 > float(rumps.exact)
    assert rumps.bound > 1e20

    # A better formula: the error goes where the report said that it comes from.
    for bad, good, at in (
        (quadratic, quadratic_stable, (1.0, 1e8, 1.0)),
        (variance, variance_two_pass, (sample,)),
    ):
        before = tg.rounding_error(bad, *at)
        after = tg.rounding_error(good, *at)
        print(
            f"{bad.__name__}: relative error {before.relative_error:.1e}, "
            f"{good.__name__}: {after.relative_error:.1e}"
        )
        assert after.relative_error < 1e-4 * before.relative_error
        assert after.relative_error < 1e-12

    # What first order cannot see is a jump: floor has the derivative 0.
    jump = tg.rounding_error(lambda x: np.floor(x - 1e-17), 1.0)
    print(jump.verdict)
    assert not jump.ok
    assert jump.true_error == 1.0


if __name__ == "__main__":
    main()
