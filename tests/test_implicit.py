"""Solutions of equations, differentiated by the implicit function theorem."""

from __future__ import annotations

import pickle

import mpmath
import numpy as np
import pytest
import scipy.optimize

import tapegrad as tg
from tapegrad import Value


def cube(x, a):
    return x**3 + x - a


def find_cube(a):
    """The real root, by bisection: nothing to differentiate."""
    return scipy.optimize.brentq(lambda x: x**3 + x - a, -10, 10, xtol=1e-14)


root = tg.implicit(cube, find_cube)
linear = tg.implicit(lambda x, a, b: a @ x - b, np.linalg.solve)


def slopes(a: float) -> tuple[float, float]:
    """dx/da = 1 / (3 x^2 + 1), and once more."""
    x = find_cube(a)
    down = 3 * x * x + 1
    return 1 / down, -6 * x / down**3


@pytest.mark.parametrize("a", [-3.0, 0.0, 0.7, 10.0])
def test_derivatives_of_a_scalar_root(a: float) -> None:
    first, second = slopes(a)
    assert root(a) == find_cube(a)
    assert tg.grad(root)(a) == pytest.approx(first, rel=1e-12)
    assert tg.jvp(root, (a,), (2.0,))[1] == pytest.approx(2 * first, rel=1e-12)
    assert tg.grad(tg.grad(root))(a) == pytest.approx(second, rel=1e-12, abs=1e-13)
    assert tg.hvp(root, (a,), (1.0,)) == pytest.approx(second, rel=1e-12, abs=1e-13)
    tape = tg.record(root, 1.0)
    forward = tape.tangent_tape()
    assert forward.gradient(a, 1.0)[0] == pytest.approx(second, rel=1e-12, abs=1e-13)
    assert forward.jvp((a, 1.0), (1.0, 0.0))[1] == pytest.approx(
        second, rel=1e-12, abs=1e-13
    )


def test_third_derivatives() -> None:
    square = tg.implicit(lambda x, a: x * x - a, lambda a: a**0.5)
    third = tg.grad(tg.grad(tg.grad(square)))
    assert third(4.0) == pytest.approx(3 / 8 * 4**-2.5, rel=1e-14)


def test_a_replay_solves_again() -> None:
    tape = tg.record(lambda a: root(a) * a, 1.0)
    assert tape(10.0) == 20.0
    assert tape.gradient(10.0) == pytest.approx(2 + 10 / 13, rel=1e-13)


def test_linear_systems_are_those_of_solve() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 4)), rng.normal(size=4)
    mine = tg.record(lambda a, b: np.sum(np.sin(linear(a, b))), a, b)
    theirs = tg.record(lambda a, b: np.sum(np.sin(np.linalg.solve(a, b))), a, b)
    for one, two in zip(mine.gradient(a, b), theirs.gradient(a, b), strict=True):
        assert np.allclose(one, two, rtol=1e-12)
    along = (rng.normal(size=(4, 4)), rng.normal(size=4))
    assert mine.jvp((a, b), along)[1] == pytest.approx(
        theirs.jvp((a, b), along)[1], rel=1e-11
    )
    for one, two in zip(
        mine.hvp((a, b), along), theirs.hvp((a, b), along), strict=True
    ):
        assert np.allclose(one, two, rtol=1e-10)
    assert np.allclose(tg.jacobian(linear, argnums=1)(a, b), np.linalg.inv(a))


def test_unknowns_and_equations_nest() -> None:
    def equations(u, p):
        circle = u["x"] ** 2 + np.sum(u["y"] ** 2) - p["r"] ** 2
        return [circle, u["y"] - p["k"] * u["x"]]

    def solve(p):
        x = p["r"] / np.sqrt(1 + np.sum(p["k"] ** 2))
        return {"x": x, "y": p["k"] * x}

    point = tg.implicit(equations, solve)
    p = {"r": 3.0, "k": np.array([2.0, 2.0])}
    assert point(p)["x"] == 1.0

    def plain(p):
        return p["r"] / np.sqrt(1 + np.sum(p["k"] ** 2))

    found = tg.grad(lambda p: point(p)["x"])(p)
    expected = tg.grad(plain)(p)
    assert found["r"] == pytest.approx(expected["r"], rel=1e-14)
    assert np.allclose(found["k"], expected["k"], rtol=1e-14)

    def mixed(f):
        inner = tg.grad(lambda k, r: f({"r": r, "k": k}))
        return tg.grad(lambda r: inner(p["k"], r)[0])(3.0)

    assert mixed(lambda p: point(p)["x"]) == pytest.approx(mixed(plain), rel=1e-13)


def test_a_minimum_by_its_first_order_condition() -> None:
    """The derivative of an argmin: F is itself a gradient."""

    def energy(x, a):
        return np.sum((x - a) ** 4) + np.sum(x**2)

    minimum = tg.implicit(
        tg.grad(energy),
        lambda a: (
            scipy.optimize.minimize(
                energy, a, args=(a,), tol=1e-14, method="BFGS", options={"gtol": 1e-12}
            ).x
        ),
        tolerance=1e-5,
    )
    a = np.array([1.0, -0.5])
    x = minimum(a)
    down = 12 * (x - a) ** 2
    expected = np.diag(down / (down + 2))
    assert np.allclose(tg.jacobian(minimum)(a), expected, atol=1e-6)


def test_eager_values() -> None:
    a = Value(10.0)
    x = root(a)
    x.backward()
    assert x.data == pytest.approx(2.0)
    assert a.grad == pytest.approx(1 / 13)
    assert x._op == "cube"


def test_many_digits_by_newton_steps() -> None:
    tape = tg.record(root, 1.0)
    with mpmath.workdps(50):
        x = mpmath.findroot(lambda x: x**3 + x - mpmath.mpf("0.75"), 0.5)
        slope = 1 / (3 * x * x + 1)
        value = tape(0.75, arithmetic="mpmath:50")
        assert abs(value - x) < mpmath.mpf(10) ** -48
        assert abs(tape.gradient(0.75, arithmetic="mpmath:50") - slope) < 1e-48
    assert float(tape.gradient(0.75, arithmetic="float32")) == pytest.approx(
        float(slope), rel=1e-6
    )


def test_gradients_pass_their_check() -> None:
    assert tg.check_gradient(root, 0.7, order=2).ok


def test_the_solver_is_not_run_while_a_derivative_is_recorded() -> None:
    calls = []

    def counted(a):
        calls.append(a)
        return find_cube(a)

    tape = tg.record(tg.implicit(cube, counted), 10.0)
    calls.clear()
    grown = tape.adjoint_tape().adjoint_tape()
    assert not calls
    assert grown(0.7) == pytest.approx(slopes(0.7)[1], rel=1e-12)
    assert set(calls) == {0.7}


def test_the_same_solver_with_other_nestings() -> None:
    def both(p, q=None):
        a, b = p if q is None else (p, q)
        return a * b

    product = tg.implicit(
        lambda x, p, q=None: x - (p[0] * p[1] if q is None else p * q), both
    )
    tape = tg.record(lambda a, b: product(a, b) + product((a, b)), 2.0, 3.0)
    assert tape.gradient(2.0, 5.0) == (10.0, 4.0)


def test_nan_goes_through() -> None:
    square = tg.implicit(lambda x, a: x * x - a, lambda a: a**0.5)
    tape = tg.record(square, 4.0)
    assert np.isnan(tape(np.nan))
    assert np.isnan(tape.gradient(np.nan))


def test_lists_and_traces() -> None:
    tape = tg.record(lambda a: root(a) * a, 10.0)
    assert "cube       v0" in str(tape)
    assert "v0_bar += pull_cube(v1_bar)" in str(tape.trace())
    assert tape.draw().source


def test_a_solver_may_use_values_of_its_own() -> None:
    def newton(a):
        x = 1.0
        for _ in range(60):
            v = Value(x)
            y = cube(v, a)
            y.backward()
            x -= y.data / v.grad
        return x

    inner = tg.implicit(cube, newton)
    assert tg.grad(inner)(10.0) == pytest.approx(1 / 13, rel=1e-13)


# -- what is refused ---------------------------------------------------------------


def test_a_solution_that_is_none() -> None:
    wrong = tg.implicit(cube, lambda a: a)
    with pytest.raises(tg.DomainError, match=r"cube: .* residual 1e\+03"):
        wrong(10.0)
    with pytest.raises(tg.DomainError, match="leaves the residual"):
        tg.grad(wrong)(10.0)
    crude = tg.implicit(cube, lambda a: find_cube(a) + 1e-4)
    with pytest.raises(tg.DomainError, match="larger tolerance="):
        crude(10.0)
    assert tg.implicit(cube, lambda a: find_cube(a) + 1e-4, tolerance=1e-3)(
        10.0
    ) == pytest.approx(2.0001)


def test_the_scale_of_the_equations_does_not_matter() -> None:
    large = tg.implicit(lambda x, a: 1e12 * (x * x - a), lambda a: a**0.5)
    assert tg.grad(large)(2.0) == pytest.approx(0.5 * 2**-0.5, rel=1e-12)


@pytest.mark.parametrize("arithmetic", ["float64", "float32", "mpmath:30"])
def test_a_single_equation_that_is_singular(arithmetic: str) -> None:
    """A double root is no division by zero."""
    root = tg.implicit(lambda x, a: x * x - a, np.sqrt)
    tape = tg.record(root, 4.0)
    assert float(tape.gradient(4.0, arithmetic=arithmetic)) == 0.25
    assert float(tape(0.0, arithmetic=arithmetic)) == 0.0
    with pytest.raises(tg.DomainError, match=r"dF/dx, of shape \(1, 1\), is singular"):
        tape.gradient(0.0, arithmetic=arithmetic)


def test_a_singular_matrix() -> None:
    tied = tg.implicit(
        lambda x, a: np.stack([x[0] + x[1] - a, 2 * (x[0] + x[1] - a)]),
        lambda a: np.array([a, 0.0]),
    )
    with pytest.raises(tg.DomainError, match=r"dF/dx, of shape \(2, 2\), is singular"):
        tg.jacobian(tied)(1.0)


def test_the_wrong_number_of_equations() -> None:
    few = tg.implicit(lambda x, a: np.sum(x) - a, lambda a: np.array([a, 0.0]))
    with pytest.raises(tg.ShapeError, match=r"1 equations .* for the 2 unknowns"):
        few(1.0)


def test_another_shape_than_recorded() -> None:
    grows = tg.implicit(lambda x, a: x - x, lambda a: np.ones(int(a)))
    tape = tg.record(grows, 2.0)
    with pytest.raises(tg.ShapeError, match=r"shape \(3,\), and of shape \(2,\)"):
        tape(3.0)


def test_captured_values_are_refused() -> None:
    def outer(a):
        return tg.implicit(lambda x: x * x - a, lambda: 2.0)()

    with pytest.raises(tg.RecordError, match="reads a of the recording around it"):
        tg.grad(outer)(4.0)


def test_native_code_and_formulas_are_refused_in_words() -> None:
    tape = tg.record(root, 10.0)
    for call in (lambda: tape.compile()(10.0), lambda: tape.compile().gradient):
        with pytest.raises(tg.CompileError, match=r"solved by find_cube.*Python code"):
            call()
    with pytest.raises(tg.DomainError, match="no formula"):
        tape.to_sympy()


def test_files_and_pickles() -> None:
    tape = tg.record(root, 10.0)
    with pytest.raises(tg.TapeFormatError, match="the Python code find_cube"):
        tape.to_bytes()
    again = pickle.loads(pickle.dumps(tape))  # its solver has a name
    assert again == tape
    assert again.gradient(10.0) == tape.gradient(10.0)
    nameless = tg.implicit(cube, lambda a: find_cube(a))  # noqa: PLW0108 - no name
    with pytest.raises(tg.TapeFormatError, match="cannot be pickled"):
        pickle.dumps(tg.record(nameless, 10.0))
