"""Transforms of functions: orders, nesting, perturbations."""

import numpy as np
import pytest

import tapegrad as tg


def test_every_order_of_a_power():
    f, factor = (lambda x: x**5), 1.0
    expected = [80.0, 160.0, 240.0, 240.0, 120.0, 0.0]
    for value in expected:
        f = tg.grad(f)
        assert f(2.0) == value
    assert factor == 1.0


def test_tanh_at_zero_to_order_five():
    f = np.tanh
    found = []
    for _ in range(5):
        f = tg.grad(f)
        found.append(f(0.0))
    assert found == [1.0, 0.0, -2.0, 0.0, 16.0]


@pytest.mark.parametrize("x", [0.5, 3.0, -7.0])
def test_no_perturbation_confusion(x):
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(x))(x) == 1.0
    # the curried case
    assert tg.grad(lambda x: x * tg.grad(lambda y: x * y)(2.0))(x) == 2 * x


def test_three_levels_with_captures():
    def f(x):
        def g(y):
            return tg.grad(lambda z: x * y * z * z)(y)

        return tg.grad(g)(x)

    # d/dz x y z^2 = 2 x y z at z = y: 2 x y^2; d/dy = 4 x y at y = x: 4 x^2
    assert f(3.0) == 36.0
    assert tg.grad(f)(3.0) == 24.0


def test_argnums_follow_jax():
    f = lambda x, y: x * y * y  # noqa: E731
    assert tg.grad(f)(2.0, 3.0) == 9.0
    assert tg.grad(f, argnums=1)(2.0, 3.0) == 12.0
    assert tg.grad(f, argnums=(0, 1))(2.0, 3.0) == (9.0, 12.0)
    assert tg.grad(f, argnums=-1)(2.0, 3.0) == 12.0
    assert tg.value_and_grad(f, argnums=(1,))(2.0, 3.0) == (18.0, (12.0,))
    with pytest.raises(tg.ShapeError, match="argnums=2"):
        tg.grad(f, argnums=2)(2.0, 3.0)


def test_nested_arguments():
    f = lambda p: p["a"] * p["b"][0] ** 2  # noqa: E731
    at = {"a": 2.0, "b": [3.0]}
    assert tg.grad(f)(at) == {"a": 9.0, "b": [12.0]}
    assert tg.hessian(f)(at) == {
        "a": {"a": 0.0, "b": [6.0]},
        "b": [{"a": 6.0, "b": [4.0]}],
    }


def test_jacobian_hessian_and_products():
    f = lambda x, y: (x * y, x / y)  # noqa: E731
    assert tg.jacobian(f, (0, 1))(6.0, 3.0) == ((3.0, 6.0), (1 / 3, -6.0 / 9))
    assert tg.jvp(f, (6.0, 3.0), (1.0, 0.0)) == ((18.0, 2.0), (3.0, 1 / 3))
    value, pull = tg.vjp(f, 6.0, 3.0)
    assert value == (18.0, 2.0)
    assert pull((1.0, 0.0)) == (3.0, 6.0)
    g = lambda x, y: x * x * y  # noqa: E731
    assert tg.hessian(g, (0, 1))(2.0, 3.0) == ((6.0, 4.0), (4.0, 0.0))
    assert tg.hvp(g, (2.0, 3.0), (1.0, 0.0)) == (6.0, 4.0)
    assert tg.hvp(lambda x: x**3, (2.0,), (1.0,)) == 12.0


def test_forward_and_reverse_in_all_four_orders():
    f = lambda x: np.sin(x) * np.exp(x)  # noqa: E731
    x, expected = 0.7, 2 * np.cos(0.7) * np.exp(0.7)
    forward = lambda g: lambda x: tg.jvp(g, (x,), (1.0,))[1]  # noqa: E731
    for outer in (forward, tg.grad):
        for inner in (forward, tg.grad):
            assert outer(inner(f))(x) == pytest.approx(expected, rel=1e-14)


def test_second_derivative_is_not_lost_at_a_zero_value():
    f = lambda x: (np.exp(x) - 1) ** 2  # noqa: E731
    assert tg.grad(tg.grad(f))(0.0) == 2.0
    assert tg.record(f, 0.0).hessian(0.0) == 2.0


@pytest.mark.parametrize(
    "bad", [np.log, lambda x: 1 / x, np.sqrt, lambda x: x * np.inf]
)
def test_an_unselected_arm_is_absent_at_every_order(bad):
    f = lambda x: tg.where(x > 0, bad(x), x * x)  # noqa: E731
    assert tg.grad(f)(0.0) == 0.0
    assert tg.hessian(f)(0.0) == 2.0
    assert tg.grad(tg.grad(tg.grad(f)))(0.0) == 0.0
    tape = tg.record(f, 1.0)
    assert tape.hessian(0.0) == 2.0
    assert tape.jvp((0.0,), (1.0,))[1] == 0.0


def test_gradient_of_an_eager_value_goes_on():
    v = tg.Value(2.0)
    slope = tg.grad(lambda x: x**3)(v)
    slope.backward()
    assert slope.data == 12.0
    assert v.grad == 12.0


def test_stop_gradient():
    f = lambda x: x * tg.stop_gradient(x * x)  # noqa: E731
    assert tg.grad(f)(3.0) == 9.0
    assert tg.jvp(f, (3.0,), (1.0,)) == (27.0, 9.0)


def test_bad_calls():
    with pytest.raises(tg.ShapeError, match="2 outputs"):
        tg.grad(lambda x: (x, x))(1.0)
    with pytest.raises(tg.ShapeError, match=r"args\[0\] is the int 2"):
        tg.grad(lambda x: x * x)(2)
    with pytest.raises(tg.ShapeError, match="tangents 2"):
        tg.jvp(lambda x: x, (1.0,), (1.0, 2.0))


def test_names_and_docstrings_tell_what_they_are():
    def energy(x):
        return x * x

    assert tg.grad(energy).__name__ == "grad(energy)"


def test_tangents_and_cotangents_nest_as_recorded():
    def f(d, n):
        return {"sum": d["a"] + d["b"] * n, "a": d["a"]}

    point = {"a": 2.0, "b": 3.0}
    got = tg.jvp(f, (point, 2), ({"b": 1.0, "a": 0.0}, 0.0))
    assert got == ({"sum": 8.0, "a": 2.0}, {"sum": 2.0, "a": 0.0})
    with pytest.raises(tg.ShapeError, match=r"tangents\[0\] nests"):
        tg.jvp(f, (point, 2), ({"a": 1.0, "c": 0.0}, 0))
    with pytest.raises(tg.ShapeError, match=r"tangents\[0\] nests"):
        tg.jvp(lambda d: d["a"], (point,), ([1.0, 0.0],))
    value, pullback = tg.vjp(lambda d: f(d, 2), point)
    assert value == {"sum": 8.0, "a": 2.0}
    assert pullback({"a": 0.0, "sum": 1.0}) == ({"a": 1.0, "b": 2.0},)
    with pytest.raises(tg.ShapeError, match="cotangents nests"):
        pullback({"a": 0.0, "total": 1.0})
    with pytest.raises(tg.ShapeError, match="cotangents nests"):
        pullback([0.0, 1.0])
