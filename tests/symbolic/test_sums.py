"""Loops that were found in steps, as sums and products of SymPy."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.errors import ShapeError

N = 900


def rosenbrock(x):
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
    return total


def lines(x, a):
    total = a
    for i in range(len(x)):
        total = total - 0.5 * i * x[len(x) - 1 - i]
    return np.sin(total)


def factors(x):
    made, total = 1.0, 0.0
    for i in range(len(x)):
        made, total = made * x[i], total + x[i] / 2.0
    return made, total


def two(x):
    """The second loop reads what the first has given."""
    squares = [x[i] * x[i] for i in range(len(x))]
    total = 0.0
    for square in squares:
        total = total + np.exp(square) * square
    return total


def at(found, x, **numbers):
    """A formula at an array."""
    base = next(iter(found.atoms(sp.IndexedBase)))
    done = found.doit().subs({sp.Symbol(k, real=True): v for k, v in numbers.items()})
    return float(done.subs({base[k]: sp.Float(v) for k, v in enumerate(x.tolist())}))


def test_a_sum_is_a_sum():
    tape = tg.record(rosenbrock, np.ones(N))
    assert str(tape.to_sympy()) == (
        "Sum((1 - x[i])**2 + 100*(x[i + 1] - x[i]**2)**2, (i, 0, 898))"
    )
    assert r"\sum_{i=0}^{898}" in tape.latex()


@pytest.mark.parametrize(("f", "more"), [(rosenbrock, ()), (lines, (0.25,)), (two, ())])
def test_the_sum_is_the_function(f, more):
    """Seen at short arrays: the formula of a loop of n is that of one of 6."""
    from tapegrad.symbolic.sums import summed

    x = np.linspace(0.1, 0.7, 6)
    tape = tg.record(f, x, *more, roll=False).rolled(trips=2, steps=4)
    found = summed(tape)
    assert found.has(sp.Sum)
    assert at(found, x, a=0.25) == pytest.approx(tape(x, *more), rel=1e-12)


def test_products_and_several_outputs():
    tape = tg.record(factors, np.ones(2 * N))
    made, total = tape.to_sympy()
    assert str(made) == "Product(x[i], (i, 0, 1799))"
    assert str(total) == "Sum(x[i]/2, (i, 0, 1799))"


def test_what_is_no_sum_is_too_long():
    def recurrence(a):
        for _ in range(2_500):
            a = a * a * 0.5
        return a

    tape = tg.record(recurrence, 1.0)
    for ask in (tape.to_sympy, tape.latex):
        with pytest.raises(ShapeError, match="too long"):
            ask()
    with pytest.raises(ShapeError, match="too long"):
        tg.record(rosenbrock, np.ones(N)).to_sympy(derivative=True)


def test_short_loops_are_written_out():
    x = np.linspace(0.1, 0.7, 6)
    raw = tg.record(rosenbrock, x, roll=False)
    tape = raw.rolled(trips=2, steps=4)
    assert tape.to_sympy() == raw.to_sympy()
    assert tape.to_sympy(derivative=True) == raw.to_sympy(derivative=True)
    assert tape.latex() == raw.latex()
    assert tape.to_python() == raw.to_python()


def test_letters_of_inputs_are_no_numbers_of_iterations():
    def f(i, x):
        total = i
        for k in range(len(x)):
            total = total + x[k]
        return total

    found = tg.record(f, 1.0, np.ones(3 * N)).to_sympy()
    assert str(found) == "i + Sum(x[j], (j, 0, 2699))"
