"""`tg.taylor`: what it takes and gives, and how it stands beside other transforms."""

from __future__ import annotations

import gc
import math
import threading

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.errors import BranchChanged, DomainError, RecordError, ShapeError
from tapegrad.series.power import Series

A, B = sp.symbols("a b", real=True)
WAVE = tg.primitive("taylor_wave", sp.sin(A) * sp.exp(B) / (1 + A**2), [A, B])


def nested(f, x0, direction, order):
    """The coefficients by forward mode, one jvp in another."""
    xs = x0 if isinstance(x0, tuple) else (x0,)
    ds = direction if isinstance(direction, tuple) else (direction,)

    def along(t):
        return f(*(x + t * d for x, d in zip(xs, ds, strict=True)))

    def slope(g):
        return lambda t: tg.jvp(g, (t,), (1.0,))[1]

    found = []
    for k in range(order + 1):
        found.append(np.asarray(along(0.0), float) / math.factorial(k))
        along = slope(along)
    return np.array(found)


# -- what it gives ---------------------------------------------------------------------


def test_the_coefficients_of_exp():
    found = tg.taylor(np.exp, 0.0, 1.0, 20)
    assert type(found) is np.ndarray
    assert found.dtype == np.float64
    assert found.shape == (21,)
    assert found == pytest.approx([1 / math.factorial(k) for k in range(21)], rel=1e-15)


def test_derivatives_are_coefficients_times_factorials():
    found = tg.taylor(np.sin, 0.0, 2.0, 5, derivatives=True)
    assert found == pytest.approx([0.0, 2.0, 0.0, -8.0, 0.0, 32.0], rel=1e-15)


def test_a_polynomial_ends():
    assert tg.taylor(lambda x: x**3, 2.0, 1.0, 6).tolist() == [8, 12, 6, 1, 0, 0, 0]


def test_order_0_is_the_value():
    assert tg.taylor(np.cos, 0.3, 1.0, 0).tolist() == [math.cos(0.3)]
    assert tg.taylor(np.cos, np.ones(3), np.ones(3), 0).shape == (1, 3)


def test_the_value_is_that_of_a_replay():
    def f(x):
        return np.tanh(x) ** 1.7 + np.log1p(x) / np.cbrt(x), x**7, x**-11

    x = np.linspace(0.1, 3, 70)
    found = tg.taylor(f, x, np.ones(70), 3)
    for mine, value in zip(found, tg.record(f, x)(x), strict=True):
        assert np.array_equal(mine[0], value)


def test_an_array_is_what_its_entries_are():
    def f(x):
        return np.exp(np.sin(x)) * np.log(1 + x * x) / np.sqrt(2 + np.cos(x))

    x = np.linspace(-2, 2, 12).reshape(3, 4)
    d = np.linspace(1, -1, 12).reshape(3, 4)
    found = tg.taylor(f, x, d, 12)
    assert found.shape == (13, 3, 4)
    for place in np.ndindex(3, 4):
        alone = tg.taylor(f, float(x[place]), float(d[place]), 12)
        np.testing.assert_allclose(found[(slice(None), *place)], alone, rtol=1e-12)


def test_float32_stays_float32():
    x = np.array([0.5, 1.5], np.float32)
    found = tg.taylor(lambda x: np.sin(x) / x + 2.0, x, np.ones(2, np.float32), 4)
    assert found.dtype == np.float32
    wide = tg.taylor(lambda x: np.sin(x) / x + 2.0, x.astype(float), np.ones(2), 4)
    np.testing.assert_allclose(found, wide, rtol=1e-6, atol=2e-6)  # 2^4 ulp


def test_an_empty_array_has_empty_coefficients():
    assert tg.taylor(np.sin, np.zeros((0, 2)), np.zeros((0, 2)), 3).shape == (4, 0, 2)


def test_arguments_and_results_nest():
    def f(w, scale):
        return {"all": w["a"] * scale, "part": [np.sum(w["b"] ** 2)]}

    x0 = ({"a": 2.0, "b": np.array([1.0, 3.0])}, 0.5)
    direction = ({"a": 1.0, "b": np.array([1.0, -1.0])}, 2.0)
    found = tg.taylor(f, x0, direction, 3)
    assert found["all"].tolist() == [1.0, 4.5, 2.0, 0.0]
    assert found["part"][0].tolist() == [10.0, -4.0, 2.0, 0.0]


def test_a_tape_is_read_at_other_points():
    tape = tg.record(lambda x, y: np.sin(x) * y, 1.0, 2.0)
    found = tg.taylor(tape, (0.3, 0.5), (1.0, -1.0), 4)
    again = tg.taylor(lambda x, y: np.sin(x) * y, (0.3, 0.5), (1.0, -1.0), 4)
    assert np.array_equal(found, again)


def test_a_curved_path():
    path = [0.3, 1.0, 2.0, -1.0]

    def curve(t):
        return sum(c * t**k for k, c in enumerate(path))

    found = tg.taylor(np.sin, path[0], path[1], 5, higher=path[2:])
    wanted = tg.taylor(lambda t: np.sin(curve(t)), 0.0, 1.0, 5)
    assert found == pytest.approx(wanted, rel=1e-13)
    # terms beyond the order do not matter
    short = tg.taylor(np.sin, path[0], path[1], 2, higher=path[2:])
    assert short == pytest.approx(wanted[:3], rel=1e-13)


def test_a_piece_of_a_kink_gives_the_path_to_the_last_bit():
    path = [math.sqrt(k) / 7 for k in range(1, 40)]
    x0, direction, *higher = path
    for f in (tg.relu, abs, lambda x: np.maximum(x, -1.0), lambda x: x % 10.0):
        assert tg.taylor(f, x0, direction, 38, higher=higher).tolist() == path


def test_constants_and_ints_do_not_move():
    assert tg.taylor(lambda x: 3.0, 0.3, 1.0, 2).tolist() == [3.0, 0.0, 0.0]
    places = tg.taylor(np.argsort, np.array([3.0, 1.0]), np.ones(2), 1)
    assert places.tolist() == [[1, 0], [0, 0]]
    table = np.array([0, 2, 1])
    found = tg.taylor(
        lambda x, at: x[at] ** 2, (np.arange(3.0), table), (np.ones(3), table), 2
    )
    assert found.tolist() == [[0, 4, 1], [0, 4, 2], [1, 1, 1]]


def test_many_digits():
    found = tg.taylor(np.exp, 0.0, 1.0, 30, arithmetic="mpmath:60")
    assert found.shape == (31,)
    assert str(1 / found[30]).rstrip("0").rstrip(".") == str(math.factorial(30))


def test_order_100():
    found = tg.taylor(lambda x: 1 / (1 - x), 0.0, 1.0, 100)
    assert np.all(found == 1.0)
    found = tg.taylor(tg.sigmoid, 0.0, 1.0, 100)
    assert found[99] / found[97] == pytest.approx(-1 / math.pi**2, rel=1e-12)


def test_a_tower_of_rows_is_as_deep_as_the_order():
    found = tg.taylor(lambda x: tg.polygamma(0, x), 2.0, 1.0, 100)
    # the pole at 0 decides: c_(k+1) / c_k -> -1/2
    assert found[100] / found[99] == pytest.approx(-0.5, rel=1e-12)
    # x^200.5 -> x^199.5 -> ...
    found = tg.taylor(lambda x: x**200.5, 1.0, 1.0, 100)
    wanted = [math.prod((200.5 - j) / (j + 1) for j in range(k)) for k in range(101)]
    np.testing.assert_allclose(found, wanted, rtol=1e-11)


def test_a_tower_too_deep_for_python():
    with pytest.raises(DomainError, match="order 170 is too high here"):
        tg.taylor(lambda x: x**200.5, 1.0, 1.0, 170)


def test_exact_coefficients_in_symbols():
    x = sp.Symbol("x", real=True)
    tape = tg.record(lambda x: np.log1p(np.exp(x)), 1.0)
    found = tg.taylor(tape, x, 1.0, 4, arithmetic="sympy")
    form = sp.log(1 + sp.exp(x))
    for k in range(5):
        wanted = sp.diff(form, x, k) / sp.factorial(k)
        assert sp.simplify((found[k] - wanted).rewrite(sp.exp)) == 0
    at_zero = tg.taylor(tape, sp.Integer(0), 1.0, 4, arithmetic="sympy")
    assert list(at_zero) == [
        sp.log(2),
        *map(sp.Rational, ("1/2", "1/8", "0", "-1/192")),
    ]


# -- beside other transforms -----------------------------------------------------------

FUNCTIONS = {
    "composite": lambda x: np.sin(x) * x**2.5 / (1 + np.tanh(x)),
    "powers": lambda x: x**x + x**-3 + 2.0**x,
    "scan": lambda x: tg.scan(
        lambda c, u: (np.sin(c) + u * x, c * u), x, np.array([1.0, 2.0, 3.0])
    )[1],
    "carry": lambda x: tg.scan(
        lambda c, u: (np.sin(c) * u + x, None), x, np.array([1.0, 2.0, 3.0])
    )[0],
    "fori_loop": lambda x: tg.fori_loop(0, 4, lambda i, c: np.sin(c) + x * c, x),
    "while_loop": lambda x: tg.while_loop(
        lambda c: c < 5.0, lambda c: c * c + 0.9 * x, x + 1
    ),
    "checkpoint": lambda x: tg.checkpoint(lambda y: np.exp(np.sin(y)))(x * x),
    "primitive": lambda x: WAVE(x, x * x),
    "where": lambda x: tg.where(x > 0.5, np.log(x), x * x),
    "branch": lambda x: np.log(x) if x > 0.5 else x * x,
    "grad": lambda x: tg.grad(lambda y: np.sin(y) * np.exp(x * y))(x * x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_low_orders_are_nested_jvps(name):
    for x in (0.45, 0.8):
        found = tg.taylor(FUNCTIONS[name], x, 1.5, 4)
        wanted = nested(FUNCTIONS[name], x, 1.5, 4)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


def written(x):
    y = np.exp(x)
    y[1:] *= x[:-1]
    y[0] = x.sum() ** 2
    return y[[2, 0, 1, 0]]


ARRAYS = {
    "sorted": lambda x: np.cumsum(np.sort(x * np.sin(x)))[::-1],
    "norm": lambda x: np.linalg.norm(np.outer(x, x) @ np.diag(np.exp(x))),
    "std": lambda x: (x[:, None] * np.exp(x)[None, :]).std(axis=0),
    "where": lambda x: np.where(x > 0.5, tg.where(x > 0.5, x, 1.0) ** 0.5, x * x),
    "joined": lambda x: np.concatenate([x[1:] * x[:-1], np.prod(x, keepdims=True)]),
    "written": written,
    "softmax": lambda x: tg.logsumexp(tg.softmax(3 * x) * x),
    "eigenvalues": lambda x: np.linalg.eigvalsh(np.outer(x, x) + np.diag(x)),
    "least squares": lambda x: np.linalg.lstsq(
        np.stack([x, x * x], axis=1), np.exp(x), rcond=None
    )[0],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_low_orders_of_arrays_are_nested_jvps(name):
    x, d = np.array([0.2, 0.9, 0.7]), np.array([1.0, 2.0, -0.5])
    found = tg.taylor(ARRAYS[name], x, d, 4)
    wanted = nested(ARRAYS[name], x, d, 4)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-11)


def test_a_gradient_of_a_coefficient():
    f = FUNCTIONS["composite"]
    direct = tg.taylor(f, 0.7, 1.0, 4)
    assert tg.grad(lambda x: tg.taylor(f, x, 1.0, 3)[3])(0.7) == pytest.approx(
        4 * direct[4], rel=1e-13
    )


def test_a_series_of_a_series():
    f = FUNCTIONS["composite"]
    direct = tg.taylor(f, 0.7, 1.0, 4)
    found = tg.taylor(lambda x: tg.taylor(f, x, 1.0, 2)[2], 0.7, 1.0, 2)
    assert found == pytest.approx(
        [math.comb(2 + k, 2) * direct[2 + k] for k in range(3)], rel=1e-12
    )


def test_the_direction_has_a_derivative_too():
    def f(d):
        return tg.taylor(np.exp, 0.5, d, 3)[3]

    assert tg.grad(f)(2.0) == pytest.approx(math.exp(0.5) * 2.0, rel=1e-14)


def test_values_outside_that_a_function_reads():
    def f(a):
        return tg.taylor(lambda x: np.sin(a * x), 0.3, 1.0, 2)[2]

    a = 1.4
    wanted = -a * math.sin(0.3 * a) - 0.15 * a * a * math.cos(0.3 * a)
    assert tg.grad(f)(a) == pytest.approx(wanted, rel=1e-13)


def test_ints_among_what_is_differentiated():
    table = np.array([1, 0, 2])

    def f(x):
        return tg.taylor(lambda at, x: x[at] ** 3, (table, x), (table, x), 2)[2].sum()

    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(tg.grad(f)(x), 9 * x**2)


def test_a_loop_of_high_order():
    def step(c, u):
        return np.sin(c) + u * c

    def loop(x):
        xs = np.array([0.5, 0.25, -0.5])
        return tg.scan(lambda c, u: (step(c, u), None), x, xs)[0]

    def plain(x):
        return step(step(step(x, 0.5), 0.25), -0.5)

    found = tg.taylor(loop, 0.7, 1.0, 40)
    assert np.array_equal(found, tg.taylor(plain, 0.7, 1.0, 40))


def test_a_gradient_through_a_while_loop():
    f = FUNCTIONS["while_loop"]
    found = tg.grad(lambda x: tg.taylor(f, x, 1.0, 2)[2])(0.45)
    assert found == pytest.approx(3 * tg.taylor(f, 0.45, 1.0, 3)[3], rel=1e-12)


def test_under_vmap_and_under_it():
    x = np.array([0.1, 0.2, 0.7])
    found = tg.vmap(lambda x: tg.taylor(np.tanh, x, 1.0, 3))(x)
    wanted = tg.taylor(np.tanh, x, np.ones(3), 3)
    np.testing.assert_allclose(found, wanted.T, rtol=1e-14)
    inner = tg.taylor(
        lambda x: tg.vmap(lambda y: np.sin(y * x))(np.arange(3.0)), 0.3, 1.0, 4
    )
    plain = tg.taylor(lambda x: np.sin(np.arange(3.0) * x), 0.3, 1.0, 4)
    np.testing.assert_allclose(inner, plain, rtol=1e-14)


def test_a_function_of_many_paths():
    @tg.function
    def f(x):
        return np.sin(x) if x > 0 else x * x

    assert tg.taylor(f, -3.0, 1.0, 3).tolist() == [9, -6, 1, 0]
    assert np.array_equal(tg.taylor(f, 0.3, 1.0, 3), tg.taylor(np.sin, 0.3, 1.0, 3))


def test_nothing_is_left_for_the_garbage_collector():
    x = np.array([0.3, 0.7])
    a = np.eye(2) * 3

    def f(x):
        y = tg.sigmoid(np.tanh(x)) / (1 + x**2.5) + tg.logsumexp(x)
        return np.linalg.cholesky(a + np.outer(y, y)) @ np.sqrt(y)

    tape = tg.record(f, x)
    tg.taylor(tape, x, np.ones(2), 5)  # what is made once
    gc.collect()
    gc.disable()
    try:
        tg.taylor(tape, x, np.ones(2), 5)
        left = [found for found in gc.get_objects() if isinstance(found, Series)]
        assert left == []
    finally:
        gc.enable()


def test_eager_values():
    x = tg.Value(0.7)
    found = tg.taylor(FUNCTIONS["composite"], x, 1.0, 3)
    assert isinstance(found, tg.Value)
    found[3].backward()
    direct = tg.taylor(FUNCTIONS["composite"], 0.7, 1.0, 4)
    assert x.grad == pytest.approx(4 * direct[4], rel=1e-13)


def test_it_compiles():
    tape = tg.record(lambda x: tg.taylor(FUNCTIONS["composite"], x, 1.0, 8), 0.7)
    wanted = tg.taylor(FUNCTIONS["composite"], 0.3, 1.0, 8)
    np.testing.assert_allclose(tape.compile()(0.3), wanted, rtol=1e-12)


def test_a_pullback_of_ones_own_counts():
    @tg.custom_gradient
    def strange(x):
        return np.sin(x), lambda bar: bar * np.exp(x)

    found = tg.taylor(lambda x: strange(x * x), 0.9, 1.0, 4)
    wanted = nested(lambda x: strange(x * x), 0.9, 1.0, 4)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)
    assert found[1] == pytest.approx(1.8 * math.exp(0.81), rel=1e-15)


def test_what_a_rule_asks_of_an_operand_is_not_all_that_is_asked():
    @tg.custom_gradient
    def first(x, y):
        return np.sum(x) * y[0], lambda bar: (bar * np.ones(2) * y[0], None)

    def both(x):
        y = np.exp(x)
        return first(x, y) + tg.logsumexp(y)

    def last(x):
        return tg.logsumexp(np.exp(x))

    x, d = np.array([0.3, 0.9]), np.array([1.0, -2.0])
    alone = tg.taylor(lambda x: first(x, np.exp(x)), x, d, 6) + tg.taylor(last, x, d, 6)
    np.testing.assert_allclose(tg.taylor(both, x, d, 6), alone, rtol=1e-13)


def test_a_solution_of_equations():
    def solve(a):
        x = 1.0
        for _ in range(60):
            x -= (x**3 + x - a) / (3 * x * x + 1)
        return x

    root = tg.implicit(lambda x, a: x**3 + x - a, solve)
    found = tg.taylor(root, 2.0, 1.0, 6)
    # x^3 + x = 2 + t, order by order
    back = tg.taylor(lambda x: x**3 + x, found[0], found[1], 6, higher=found[2:])
    np.testing.assert_allclose(back, [2, 1, 0, 0, 0, 0, 0], atol=1e-14)


def test_several_threads():
    wanted = tg.taylor(FUNCTIONS["composite"], 0.7, 1.0, 12)
    tape = tg.record(FUNCTIONS["composite"], 0.7)
    found = []

    def work():
        found.extend(tg.taylor(tape, 0.7, 1.0, 12) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(np.array_equal(mine, wanted) for mine in found)


# -- edges -----------------------------------------------------------------------------

INF, NAN = math.inf, math.nan
EDGES = [
    ("a kink has slope 0", np.abs, 0.0, [0, 0, 0, 0]),
    ("beside it the piece", np.abs, -2.0, [2, -1, 0, 0]),
    ("relu", tg.relu, 0.0, [0, 0, 0, 0]),
    ("a tie is shared", lambda x: np.maximum(x, 0.0), 0.0, [0, 0.5, 0, 0]),
    ("a jump", np.floor, 1.0, [1, 0, 0, 0]),
    ("a remainder", lambda x: x % 1.0, 2.5, [0.5, 1, 0, 0]),
    ("a branch point", np.sqrt, 0.0, [0, INF, -INF, INF]),
    ("a power with a branch point", lambda x: x**2.5, 0.0, [0, 0, 0, INF]),
    ("whole powers have none", lambda x: x**2, 0.0, [0, 0, 1, 0]),
    ("a float exponent", lambda x: x**3.0, 0.0, [0, 0, 0, 1]),
    ("an exponent of an array", lambda x: x ** np.array(2.0), 0.0, [0, 0, 1, 0]),
    ("a pole", lambda x: 1 / x, 0.0, [INF, -INF, INF, -INF]),
    ("a pole of a power", lambda x: x**-2, 0.0, [INF, -INF, INF, -INF]),
    ("outside the domain", np.log, -1.0, [NAN, NAN, NAN, NAN]),
    ("no point", np.sin, NAN, [NAN, NAN, NAN, NAN]),
    ("sinc", np.sinc, 0.0, [1, 0, -(math.pi**2) / 6, 0]),
    ("logarithm of the gamma function", lambda x: tg.polygamma(1, x), 1.0, None),
    ("an absent arm", lambda x: tg.where(x > 1, np.sqrt(x - 1), x), 0.0, [0, 1, 0, 0]),
    ("a norm", lambda x: np.linalg.norm(x * np.ones(3)), 0.0, [0, 0, 0, 0]),
    ("a product", lambda x: np.prod(x * np.array([1.0, 2.0, 3.0])), 0.0, [0, 0, 0, 6]),
    ("tanh", np.tanh, 0.0, [0, 1, 0, -1 / 3]),
    ("cut", lambda x: tg.stop_gradient(x) * x, 2.0, [4, 2, 0, 0]),
]


@pytest.mark.parametrize(
    ("f", "x", "wanted"), [edge[1:] for edge in EDGES], ids=[edge[0] for edge in EDGES]
)
def test_an_edge(f, x, wanted):
    found = tg.taylor(f, x, 1.0, 3)
    if wanted is None:
        zeta = [math.pi**2 / 6, 1.2020569031595942, math.pi**4 / 90, 1.03692775514337]
        wanted = [(-1) ** k * (k + 1) * z for k, z in enumerate(zeta)]
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-300)


def test_edges_entry_by_entry():
    x = np.array([-1.0, 0.0, 4.0])
    found = tg.taylor(np.sqrt, x, np.ones(3), 2)
    np.testing.assert_array_equal(found[:, 0], [NAN] * 3)
    np.testing.assert_array_equal(found[:, 1], [0, INF, -INF])
    np.testing.assert_allclose(found[:, 2], [2, 0.25, -1 / 64], rtol=1e-15)
    found = tg.taylor(lambda x: x**0.5 + np.abs(x), np.array([0.0, 4.0]), np.ones(2), 2)
    np.testing.assert_array_equal(found[:, 0], [0, INF, -INF])
    np.testing.assert_allclose(found[:, 1], [6, 1.25, -1 / 64], rtol=1e-15)


def test_terms_are_as_wide_as_the_value():
    found = tg.taylor(lambda x: tg.where(np.ones(2) > 0, x, 0.0), 0.5, 1.0, 2)
    assert found.tolist() == [[0.5, 0.5], [1, 1], [0, 0]]
    found = tg.taylor(
        lambda x: np.maximum(x, np.zeros((2, 1))) + x, np.ones(1), np.ones(1), 1
    )
    assert found.tolist() == [[[2], [2]], [[2], [2]]]
    found = tg.taylor(lambda x: np.ones((2, 1)) + x, np.ones(1), np.ones(1), 1)
    assert found.tolist() == [[[2], [2]], [[1], [1]]]


def test_what_does_not_move_is_a_structural_zero():
    def f(x, y):
        return x + np.sqrt(y)

    # the infinite slope of the root: a constant has none, a direction of 0 is a number
    assert tg.taylor(lambda x: f(x, 0.0), 1.0, 1.0, 2).tolist() == [1, 1, 0]
    assert np.isnan(tg.taylor(f, (1.0, 0.0), (1.0, 0.0), 1)[1])


# -- guards ----------------------------------------------------------------------------


def test_a_branch_is_the_one_of_the_point():
    def f(x):
        return x * x if x > 1 else np.exp(x)

    assert tg.taylor(f, 3.0, 1.0, 3).tolist() == [9, 6, 1, 0]
    assert tg.taylor(f, 0.0, 1.0, 3) == pytest.approx([1, 1, 1 / 2, 1 / 6])


def test_a_tape_whose_branch_flips():
    tape = tg.record(lambda x: x * x if x > 1 else np.exp(x), 3.0)
    assert tg.taylor(tape, 2.0, 1.0, 2).tolist() == [4, 4, 1]
    with pytest.raises(BranchChanged, match=r"test_taylor\.py:\d+.*\(0\.5, "):
        tg.taylor(tape, 0.5, 1.0, 2)


def test_an_integer_of_a_number():
    tape = tg.record(lambda x: np.arange(4.0)[int(x)] * x, 2.5)
    assert tg.taylor(tape, 2.25, 1.0, 2).tolist() == [4.5, 2, 0]
    with pytest.raises(BranchChanged):
        tg.taylor(tape, 3.5, 1.0, 2)


# -- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize("order", [-1, 171, 2.0, 2.5, "3", True, None, 10**30])
def test_an_order_that_is_none(order):
    with pytest.raises(RecordError, match="whole number from 0 to 170"):
        tg.taylor(np.sin, 0.3, 1.0, order)


def test_the_order_of_numpy_is_a_number():
    assert len(tg.taylor(np.sin, 0.3, 1.0, np.int64(3))) == 4


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tg.taylor(np.sin, 2, 1.0, 2), ShapeError, "holds no float"),
        (lambda: tg.taylor(np.sin, 0.3, np.ones(2), 2), ShapeError, "direction"),
        (lambda: tg.taylor(np.sin, np.ones(2), 1.0, 2), ShapeError, "direction"),
        (
            lambda: tg.taylor(lambda a, b: a * b, (1.0, 2.0), 1.0, 2),
            ShapeError,
            "direction has 1 entries, and x0 has 2",
        ),
        (
            lambda: tg.taylor(lambda w: w["a"], {"a": 1.0}, {"b": 1.0}, 2),
            ShapeError,
            "direction",
        ),
        (lambda: tg.taylor(np.sin, 0.3, None, 2), RecordError, "direction"),
        (lambda: tg.taylor(np.sin, 0.3, "a", 2), RecordError, "direction"),
        (
            lambda: tg.taylor(np.sin, 0.3, 1.0, 3, higher=[1.0, np.ones(2)]),
            ShapeError,
            r"higher\[1\]",
        ),
        (lambda: tg.taylor(3, 0.3, 1.0, 2), RecordError, "needs a function"),
        (
            lambda: tg.taylor(np.sin, tg.Value(0.3), 1.0, 2, arithmetic="mpmath:50"),
            RecordError,
            "pass value.data",
        ),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
