"""The figures of the demonstration: derivatives by three ways, and times. Floor 12.

Imports the public surface of tapegrad and the reference problems; SymPy is loaded when
a check needs it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.demo.nist import WANTED_DIGITS, Fit, Model, Problem, read_problem
from tapegrad.errors import DomainError

# Two float evaluations of one derivative in different order of operations.
AGREEMENT = 1e-12

# What the small tape can be written as.
PICTURES = (".svg", ".png", ".pdf", ".dot")


@dataclass(frozen=True, slots=True)
class Check:
    """One partial derivative by three ways.

    Attributes:
        name: the parameter.
        tape: by the reverse sweep in float64.
        mpmath: by the same sweep at 50 digits, rounded.
        sympy: by SymPy's formula at 50 digits, rounded.
    """

    name: str
    tape: float
    mpmath: float
    sympy: float

    @property
    def apart(self) -> tuple[float, float]:
        """Relative difference of the tape to mpmath, and to SymPy."""
        scale = max(abs(self.sympy), math.ulp(0.0))
        to_mpmath, to_sympy = self.tape - self.mpmath, self.tape - self.sympy
        return abs(to_mpmath) / scale, abs(to_sympy) / scale

    @property
    def ok(self) -> bool:
        """Whether all three agree; a NaN agrees with nothing."""
        return all(part <= AGREEMENT for part in self.apart)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for one value and gradient, and whether both tiers give the same.

    Attributes:
        what: what was swept.
        interpreter: seconds, by the reference interpreter.
        native: seconds, by compiled code.
        apart: largest relative difference of the two gradients.
    """

    what: str
    interpreter: float
    native: float
    apart: float


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of the demonstration."""

    derivatives: dict[str, str]
    checks: tuple[Check, ...]
    fits: tuple[Fit, ...]
    timings: tuple[Timing, ...]
    picture: Path
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the derivatives agree and every parameter is reproduced."""
        agree = all(check.ok for check in self.checks)
        agree = agree and all(one.apart <= AGREEMENT for one in self.timings)
        return agree and all(min(fit.digits) >= WANTED_DIGITS for fit in self.fits)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a dict of plain Python values."""
        return {
            "ok": self.ok,
            "derivatives": self.derivatives,
            "checks": [
                {
                    "parameter": check.name,
                    "tape": check.tape,
                    "mpmath": check.mpmath,
                    "sympy": check.sympy,
                    "relative_difference": list(check.apart),
                }
                for check in self.checks
            ],
            "fits": [
                {
                    "problem": fit.problem.name,
                    "start": fit.start + 1,
                    "found": list(fit.found),
                    "certified": list(fit.problem.certified),
                    "digits": list(fit.digits),
                    "residual_sum": fit.residual_sum,
                    "evaluations": fit.evaluations,
                }
                for fit in self.fits
            ],
            "seconds_per_gradient": [
                {
                    "of": one.what,
                    "interpreter": one.interpreter,
                    "native": one.native,
                    "relative_difference": one.apart,
                }
                for one in self.timings
            ],
            "picture": str(self.picture),
            "seconds": self.seconds,
        }


def thurber(
    x: Any, b1: Any, b2: Any, b3: Any, b4: Any, b5: Any, b6: Any, b7: Any
) -> Any:
    """Electron mobility in a semiconductor by log density (Thurber, NIST)."""
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


def misra1a(x: Any, b1: Any, b2: Any) -> Any:
    """Volume adsorbed by pressure (Misra, NIST)."""
    return b1 * (1 - np.exp(-b2 * x))


def cross_check(model: Model, arguments: dict[str, float]) -> tuple[Check, ...]:
    """Differentiate a model at a point by the tape, by mpmath and by SymPy."""
    import sympy

    tape = tg.record(model, *arguments.values())
    point = tuple(arguments.values())
    swept = tape.gradient(*point)
    precise = tape.gradient(*point, arithmetic="mpmath:50")
    formulas = tape.to_sympy(derivative=True)
    # A float is a rational number: nothing is rounded on the way into SymPy.
    exact = {
        symbol: sympy.Rational(arguments[symbol.name])
        for symbol in set().union(*(f.free_symbols for f in formulas.values()))
    }
    return tuple(
        Check(name, float(one), float(two), float(formulas[name].subs(exact).n(50)))
        for name, one, two in zip(arguments, swept, precise, strict=True)
    )


def seconds_per_call(function: Callable[..., Any], *args: Any) -> float:
    """Shortest mean time of a call over a few short runs, in seconds."""
    calls, best = 1, math.inf
    while True:
        began = time.perf_counter()
        for _ in range(calls):
            function(*args)
        spent = time.perf_counter() - began
        best = min(best, spent / calls)
        if spent > 0.05:
            return best
        calls *= 4


def timings(problem: Problem) -> tuple[Timing, ...]:
    """Time one value and gradient, interpreted and native: one row, and all rows."""

    def total(*b: Any) -> Any:
        pairs = zip(problem.x, problem.y, strict=True)
        return sum((thurber(x, *b) - y) ** 2 for x, y in pairs)

    # Not at the solution, where the gradient of the sum is all rounding.
    point = problem.starts[1]
    rows = []
    for what, function, args in (
        ("one observation", thurber, (problem.x[0], *point)),
        (f"sum of {len(problem.x)} squares", total, point),
    ):
        tape = tg.record(function, *args)
        native = tape.compile()
        slow = np.array(tape.gradient(*args))
        quick = np.array(native.gradient(*args))
        rows.append(
            Timing(
                f"{what} ({len(tape)} steps)",
                seconds_per_call(tape.value_and_gradient, *args),
                seconds_per_call(native.value_and_gradient, *args),
                float(np.max(np.abs(quick - slow) / np.abs(slow))),
            )
        )
    return tuple(rows)


def draw_small_tape(target: Path) -> Path:
    """Draw one row of Misra1a, b1 (1 - exp(-b2 x)), with its data and gradients.

    Args:
        target: where to; its suffix says how, see `PICTURES`.

    Returns:
        The picture's path, which ends in ``.dot`` instead, and holds the picture's
        source, where Graphviz is missing.

    Raises:
        DomainError: when there is no such kind of picture.
    """
    problem = read_problem("Misra1a")
    b1, b2 = (tg.Value(b, label=f"b{i}") for i, b in enumerate(problem.certified, 1))
    y = misra1a(problem.x[0], b1, b2)
    y.label = "y"
    y.backward()
    picture = tg.draw(y)
    check_picture(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix != ".dot" and which("dot"):
        target.write_bytes(picture.pipe(format=target.suffix.removeprefix(".")))
        return target
    target = target.with_suffix(".dot")
    target.write_text(picture.source, encoding="utf-8")
    return target


def check_picture(target: Path) -> None:
    """Refuse a file name that says no kind of picture."""
    if target.suffix not in PICTURES:
        known = ", ".join(PICTURES)
        msg = (
            f"the picture's name must end in one of {known}, not as in {str(target)!r}"
        )
        raise DomainError(msg)
