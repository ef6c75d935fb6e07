"""What SymPy's lambdify computes among our rows, `from_sympy` reads: a table.

The list is lambdify's own: the functions that its printers of NumPy and SciPy know. So
one that SymPy learns is asked for here, and is either read or named as outside.
"""

from __future__ import annotations

import math
import warnings

import mpmath
import numpy as np
import pytest
import sympy as sp
from sympy.codegen import cfunctions
from sympy.printing.numpy import _known_functions_numpy, _known_functions_scipy_special

import tapegrad as tg
from tapegrad.errors import ParseError
from tapegrad.symbolic.heads import heads

X, Y, Z = sp.symbols("x y z", real=True)
T = sp.Symbol("t")
POINTS = [(0.37, 0.61, 0.83), (0.12, 0.95, 0.44)]
FAR = [(1.37, 1.61, 1.83), (2.12, 1.95, 2.44)]

# No rows stand for these: integrals, orthogonal polynomials of a real degree, Bessel's
# and Lambert's functions; isnan asks for a number that is none.
OUTSIDE = {
    *("Ei", "LambertW", "assoc_laguerre", "besseli", "besselj", "besselk", "bessely"),
    *("chebyshevt", "chebyshevu", "gegenbauer", "hermite", "isnan", "jacobi"),
    *("laguerre", "legendre", "polygamma"),
}


def known():
    """Applied to symbols, each function that lambdify has a word for."""
    found = []
    for name in sorted({*_known_functions_numpy, *_known_functions_scipy_special}):
        function = getattr(sp, name, None) or getattr(cfunctions, name, None)
        for count in (1, 2, 3) if function is not None else ():
            try:
                form = function(*(X, Y, Z)[:count])
            except (TypeError, ValueError, AttributeError):
                continue
            if isinstance(form, sp.Expr):
                found.append(pytest.param(name, form, id=f"{name}-{count}"))
    return found


@pytest.mark.parametrize(("name", "form"), known())
def test_every_function_of_lambdify(name, form):
    symbols = [s for s in (X, Y, Z) if form.has(s)]
    if name in OUTSIDE:
        if form.func in heads():
            pytest.skip(f"another test of this process gave {name} a row")
        with pytest.raises(ParseError, match="no row of the table"):
            tg.from_sympy(form, symbols)
        return
    tape = tg.from_sympy(form, symbols)
    plain = sp.lambdify(symbols, form, ["scipy", "numpy"])
    exact = sp.lambdify(symbols, form, "mpmath")
    for point in FAR if form.has(sp.acosh) else POINTS:
        at = point[: len(symbols)]
        assert tape(*at) == pytest.approx(float(plain(*at)), rel=1e-13)
        with mpmath.workdps(30):
            judged = (
                exact(*map(mpmath.mpf, at)) if name not in _NO_MPMATH else tape(*at)
            )
        assert tape(*at) == pytest.approx(float(judged), rel=1e-13)


_NO_MPMATH = {"Sqrt", "Cbrt", "exp2", "hypot", "Heaviside"}


# -- what is no function -------------------------------------------------------------

CHOICES = [
    sp.Piecewise((X, X > Y), (Y, True)),
    sp.Piecewise((X, (X > 0) & (Y < 1)), (Y, True)),
    sp.Piecewise((X, (X > 1) | (Y < 0)), (Y**2, X > 0.1), (0, True)),
    sp.Piecewise((X, sp.Not(X >= Y)), (Y, True)),
    sp.Piecewise((1, sp.Xor(X > 0.2, Y > 0.8)), (2, True)),
    sp.Piecewise((1, sp.Nand(X > 0.2, Y > 0.8)), (2, sp.Nor(X > 9, Y > 9)), (3, True)),
    sp.Piecewise((1, sp.Implies(X > 0.2, Y > 0.8)), (2, True)),
    sp.Piecewise((1, sp.Equivalent(X > 0.2, Y > 0.8)), (2, True)),
    sp.Piecewise((X, sp.ITE(X > 0.2, Y > 0.8, Z > 0.5)), (Y, True)),
    sp.Piecewise((X, sp.Eq(X, 0.37)), (Y, sp.Ne(Z, 0.83)), (Z, True)),
    sp.Piecewise((X, sp.Interval(0, 0.2).contains(X)), (Y, True)),
    sp.Piecewise((X, X > 5)),
    sp.Max(X, Y),
    sp.Min(X, Y, Z, sp.Rational(1, 2)),
    sp.Max(X, sp.Min(Y, Z)) * sp.Abs(X - Y),
    sp.Heaviside(X - sp.Rational(1, 4)),
    sp.sign(X - Y) + sp.Abs(X - Y),
    sp.Mod(X, Y) + sp.Mod(-X, Y) + sp.Mod(X, -Y),
    sp.frac(3 * X) + sp.floor(3 * Y) - sp.ceiling(5 * Z),
    sp.sinc(X) + sp.sinc(3 * Y),
    sp.Sum(sp.sin(X * Z) / Z, (Z, 1, 5)),
    sp.Product(X + Z, (Z, 1, 4)),
    sp.Sum(X**Z, (Z, 3, 2)),
    sp.KroneckerDelta(1, 1) * X,
    sp.factorial(X) + sp.binomial(Y, X) + sp.gamma(X) + sp.beta(X, Y),
    sp.erf(X) * sp.erfc(Y) - sp.erf(X * Y),
    sp.polygamma(0, X) + sp.polygamma(1, Y) + sp.polygamma(3, X) + sp.trigamma(Z),
    sp.uppergamma(1, X) + sp.lowergamma(1, Y),
    sp.atan2(X, -Y) + sp.atan2(-X, -Y),
    sp.legendre(3, X) + sp.chebyshevu(4, Y) + sp.hermite(2, Z) + sp.laguerre(2, X),
    sp.UnevaluatedExpr(X + Y) * sp.re(X) + sp.im(Y) + sp.conjugate(Z),
    sp.Derivative(sp.sin(X) * Y, X) + sp.Integral(Z, (Z, 0, X)),
    sp.Matrix([[X, Y], [Y, Z]]).det() + sp.Matrix([X, Y]).norm(),
    sp.exp(sp.I * X) * sp.exp(-sp.I * X) * Y,
    sp.zeta(2) * X + sp.EulerGamma + sp.Catalan * sp.GoldenRatio,
    sp.CRootOf(T**5 - T + 3, 0) * X,
]


@pytest.mark.parametrize("form", CHOICES, ids=str)
def test_choices_sums_and_the_rest(form):
    tape = tg.from_sympy(form, [X, Y, Z])
    for point in POINTS:
        with mpmath.workdps(30), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = dict(zip((X, Y, Z), map(sp.Float, point, [30] * 3), strict=True))
            found = form.doit().xreplace(values).evalf(20)
        wanted = float(found) if found.is_real else math.nan
        assert tape(*point) == pytest.approx(wanted, rel=1e-13, abs=1e-15, nan_ok=True)


def test_a_table_of_values_agrees_with_lambdify_in_one_go():
    """Random formulas of everything above, on arrays of points."""
    rng = np.random.default_rng(11)
    parts = [sp.sin, sp.exp, sp.tanh, sp.atan, sp.erf, sp.Abs, sp.cosh, sp.asinh]
    for _ in range(25):
        form = sp.S.Zero
        for _ in range(4):
            inner = rng.choice(np.array([X, Y, Z], dtype=object)) * int(
                rng.integers(1, 4)
            )
            term = parts[rng.integers(len(parts))](inner - int(rng.integers(3)))
            form = form * term if rng.random() < 0.4 else form + term
        tape = tg.from_sympy(form, [X, Y, Z])
        plain = sp.lambdify([X, Y, Z], form, ["scipy", "numpy"])
        for point in rng.normal(size=(5, 3)).tolist():
            assert tape(*point) == pytest.approx(plain(*point), rel=1e-12, abs=1e-14)
