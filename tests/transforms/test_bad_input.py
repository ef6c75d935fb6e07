"""What transforms say to bad input: the leaf by its path, and what to do."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

V = np.array([1.0, 2.0, 3.0])
REVERSE = [tg.grad, tg.value_and_grad, tg.hessian]
EVERY = [*REVERSE, tg.jacobian]


def square(x):
    return x * x


def total(x):
    return np.sum(x * x)


# -- what is differentiated --------------------------------------------------------


@pytest.mark.parametrize("transform", EVERY)
@pytest.mark.parametrize("bad", [5, "f", None, 2.0, [square]])
def test_a_transform_needs_a_function(transform, bad):
    with pytest.raises(tg.RecordError, match=r"\(\) needs a function first"):
        transform(bad)


@pytest.mark.parametrize("transform", REVERSE)
def test_several_numbers_have_no_gradient(transform):
    with pytest.raises(tg.ShapeError, match=r"square\(\) returned an array of shape "):
        transform(square)(V)
    with pytest.raises(tg.ShapeError, match=r"\(1,\).*jacobian.*\.sum\(\)"):
        transform(square)(V[:1])
    with pytest.raises(tg.ShapeError, match=r"returned 2 outputs in a structure"):
        transform(lambda x: (x, x))(1.0)
    with pytest.raises(tg.ShapeError, match=r"returned 1 output in a structure"):
        transform(lambda x: {"loss": x})(1.0)
    with pytest.raises(tg.ShapeError, match="returned bool"):
        transform(lambda x: x > 0)(1.0)
    with pytest.raises(tg.ShapeError, match="returned int64"):
        transform(np.argmax)(V)


@pytest.mark.parametrize("bad", [None, "text", True, object(), {"a": None}])
@pytest.mark.parametrize("transform", EVERY)
def test_what_is_no_number_cannot_be_returned(transform, bad):
    with pytest.raises(tg.RecordError, match="returned .* a recorded function returns"):
        transform(lambda x: bad)(1.0)


def test_no_number_from_jvp_vjp_and_linearize():
    for call in (
        lambda f: tg.jvp(f, (1.0,), (1.0,)),
        lambda f: tg.vjp(f, 1.0),
        lambda f: tg.linearize(f, 1.0),
    ):
        for bad in (None, "text"):
            with pytest.raises(tg.RecordError, match="a recorded function returns"):
                call(lambda x, bad=bad: bad)
        with pytest.raises(tg.RecordError, match="complex number"):
            call(lambda x: 1j)


# -- arguments ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (2, r"args\[0\] is the int 2"),
        (True, r"args\[0\] is the bool True"),
        ("text", r"args\[0\] is the str 'text'"),
        (None, r"args\[0\] is None"),
        (np.arange(3), r"args\[0\] is an array of integers of shape \(3,\)"),
        (np.array([True]), r"args\[0\] is an array of truth values"),
        (np.int64(3), r"args\[0\] is the int64"),
        ({"w": 3}, r"args\[0\]\['w'\] is the int 3"),
        ([[1, 2]], r"args\[0\]\[0\]\[0\] is the int 1 \(and 1 more"),
        ([], r"args\[0\] is empty"),
    ],
)
@pytest.mark.parametrize("transform", EVERY)
def test_an_argument_without_floats_is_named(transform, bad, what):
    with pytest.raises(tg.ShapeError, match=what + ".*pass floats"):
        transform(lambda x: 1.0)(bad)


def test_the_place_of_the_argument_is_the_one_of_the_call():
    with pytest.raises(tg.ShapeError, match=r"args\[2\]\['n'\] is the int 1"):
        tg.grad(lambda a, b, c: a, argnums=(0, -1))(1.0, 2.0, {"n": 1})


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (1j, r"args\[0\] is the complex 1j"),
        (V * 1j, r"args\[0\] is an array of complex128"),
        ({"w": [1.0, 2j]}, r"args\[0\]\['w'\]\[1\] is the complex 2j"),
        ({"w": V * 1j}, r"args\[0\]\['w'\] is an array of complex128"),
    ],
)
def test_complex_numbers_are_named(bad, what):
    for call in (
        tg.grad(lambda x: 1.0),
        tg.jacobian(lambda x: 1.0),
        lambda x: tg.vjp(lambda x: 1.0, x),
        lambda x: tg.jvp(lambda x: 1.0, (x,), (x,)),
        lambda x: tg.linearize(lambda x: 1.0, x),
    ):
        with pytest.raises(tg.RecordError, match=what + ".*real and imaginary parts"):
            call(bad)


def test_arrays_of_something_else_are_named():
    with pytest.raises(tg.RecordError, match=r"args\[0\]\['d'\] is an array of dtype"):
        tg.grad(lambda x: x["w"])({"w": 1.0, "d": np.array(["a"])})


def test_argnums():
    f = lambda a, b: a * b  # noqa: E731
    for bad in ("a", 1.0, None, True, (0, "b"), (0, 1.5), {0}):
        with pytest.raises(tg.RecordError, match="argnums="):
            tg.grad(f, argnums=bad)(2.0, 3.0)
    for bad in (2, -3, (0, 2)):
        with pytest.raises(tg.ShapeError, match="2 positional arguments"):
            tg.grad(f, argnums=bad)(2.0, 3.0)
    with pytest.raises(tg.ShapeError, match="1 positional argument; .* keyword"):
        tg.grad(f, argnums=1)(2.0, b=3.0)
    assert tg.grad(f, argnums=np.int64(1))(2.0, 3.0) == 2.0
    assert tg.grad(f, argnums=[1, 0])(2.0, 3.0) == (2.0, 3.0)
    assert tg.grad(f, argnums=(-1, 0, 0))(2.0, 3.0) == (2.0, 3.0, 3.0)
    assert tg.grad(f, argnums=())(2.0, 3.0) == ()
    assert tg.hessian(f, argnums=(0, 0))(2.0, 3.0) == ((0.0, 0.0), (0.0, 0.0))


def test_leaves_without_a_derivative_are_none_beside_others():
    p = {"w": 2.0, "n": 3, "tag": "x", "at": np.array([1])}
    found = tg.grad(lambda p: p["w"] ** p["n"])(p)
    assert found == {"w": 12.0, "n": None, "tag": None, "at": None}
    assert tg.vjp(lambda x, n: x**n, 2.0, 3)[1](1.0) == (12.0, None)
    assert tg.hvp(lambda x, n: x**n, (2.0, 3), (1.0, None)) == (12.0, None)
    with pytest.raises(tg.ShapeError, match=r"hvp: args\[0\] is the int 3"):
        tg.hvp(lambda n: n, (3,), (1.0,))


# -- directions --------------------------------------------------------------------


def along(primals, tangents):
    """Both ways to push a direction forward."""
    f = lambda *xs: 1.0  # noqa: E731
    return (
        lambda: tg.jvp(f, primals, tangents),
        lambda: tg.linearize(f, *primals)[1](*tangents),
    )


@pytest.mark.parametrize(
    ("primals", "tangents", "kind", "what"),
    [
        ((1.0,), (1.0, 2.0), tg.ShapeError, "primals 1 and tangents 2"),
        ((V,), (V[:2],), tg.ShapeError, r"tangents\[0\] has shape \(2,\), and args"),
        ((V,), (1.0,), tg.ShapeError, r"tangents\[0\] has shape \(\)"),
        ((1.0,), (V,), tg.ShapeError, r"tangents\[0\] has shape \(3,\)"),
        ((1.0,), ("a",), tg.RecordError, r"tangents\[0\] is the str 'a'"),
        ((1.0,), (None,), tg.RecordError, r"tangents\[0\] is None"),
        ((V,), (V * 1j,), tg.RecordError, r"tangents\[0\] is an array of complex128"),
        (
            ({"w": V, "b": 1.0},),
            ({"w": V[:1], "b": 1.0},),
            tg.ShapeError,
            r"tangents\[0\]\['w'\] has shape \(1,\), and args\[0\]\['w'\] has shape",
        ),
        (
            ({"w": V, "b": 1.0},),
            ({"w": V, "c": 1.0},),
            tg.ShapeError,
            r"tangents\[0\]\['b'\] is missing, and tangents\[0\]\['c'\] is one too",
        ),
        ((1.0, [V]), (1.0, (V,)), tg.ShapeError, r"tangents\[1\] nests in another"),
    ],
)
def test_tangents_that_do_not_fit(primals, tangents, kind, what):
    for call in along(primals, tangents):
        with pytest.raises(kind, match=what):
            call()


def test_directions_stand_in_tuples():
    for call in (
        lambda: tg.jvp(square, V, (V,)),
        lambda: tg.jvp(square, (V,), V),
        lambda: tg.hvp(total, V, (V,)),
        lambda: tg.hvp(total, (V,), V),
        lambda: tg.jvp(square, 1.0, 1.0),
    ):
        with pytest.raises(tg.RecordError, match="is a tuple with one entry an arg"):
            call()
    with pytest.raises(tg.ShapeError, match=r"direction\[0\] has shape \(2,\)"):
        tg.hvp(total, (V,), (V[:2],))


def test_ints_count_as_the_floats_that_they_are_in_a_direction():
    assert tg.jvp(square, (3.0,), (1,)) == (9.0, 6.0)
    value, dot = tg.jvp(square, (V,), (np.arange(3),))
    assert np.array_equal(dot, 2 * V * np.arange(3))
    assert dot.dtype == value.dtype == float
    single = V.astype(np.float32)
    assert tg.jvp(square, (single,), (V,))[1].dtype == np.float32
    assert tg.vjp(square, single)[1](V)[0].dtype == np.float32


def test_what_has_no_derivative_has_no_direction():
    n = np.arange(3)
    f = lambda p, x: x ** p["n"] * p["s"]  # noqa: E731
    p = {"n": n, "s": 2.0, "tag": "t"}
    for still in (None, n, "whatever"):
        given = ({"n": still, "s": 0.5, "tag": still}, np.ones(3))
        exact = 2.0 * n * V ** (n - 1.0) + 0.5 * V**n
        assert tg.jvp(f, (p, V), given)[1].tolist() == exact.tolist()
        assert tg.linearize(f, p, V)[1](*given).tolist() == exact.tolist()


def test_cotangents_that_do_not_fit():
    _, pull = tg.vjp(lambda x: {"u": x * x, "v": x.sum()}, V)
    with pytest.raises(tg.ShapeError, match=r"cotangents\['u'\] has shape \(2,\)"):
        pull({"u": V[:2], "v": 1.0})
    with pytest.raises(tg.ShapeError, match=r"cotangents\['v'\] is missing"):
        pull({"u": V})
    with pytest.raises(tg.RecordError, match=r"cotangents\['v'\] is None"):
        pull({"u": V, "v": None})
    with pytest.raises(tg.RecordError, match=r"cotangents is the complex 1j"):
        tg.vjp(square, 2.0)[1](1j)


# -- aux ---------------------------------------------------------------------------


def test_aux_is_passed_on_by_every_transform():
    aux = lambda x: {"x": x, "first": x[0], "n": 3, "text": "t", "none": None}  # noqa: E731
    f = lambda x: ((x**3).sum(), aux(x))  # noqa: E731
    g = lambda x: (x**3, aux(x))  # noqa: E731
    found = [
        tg.grad(f, has_aux=True)(V),
        tg.value_and_grad(f, has_aux=True)(V)[0],
        tg.jacobian(g, has_aux=True)(V),
        tg.hessian(f, has_aux=True)(V),
        tg.jvp(g, (V,), (V,), has_aux=True),
        tg.vjp(g, V, has_aux=True),
        tg.linearize(g, V, has_aux=True),
    ]
    for *_, given in found:
        assert type(given["x"]) is np.ndarray
        assert np.array_equal(given["x"], V)
        assert type(given["first"]) is float
        assert (given["n"], given["text"], given["none"]) == (3, "t", None)
    assert np.array_equal(found[0][0], 3 * V**2)
    assert found[1][0] == (V**3).sum()
    assert np.array_equal(found[2][0], np.diag(3 * V**2))
    assert np.array_equal(found[3][0], np.diag(6 * V))
    assert np.array_equal(found[4][1], 3 * V**3)
    assert np.array_equal(found[5][1](V)[0], 3 * V**3)
    assert np.array_equal(found[6][1](V), 3 * V**3)


def test_aux_inside_a_recording_goes_on_being_differentiated():
    def f(x):
        slope, aux = tg.grad(lambda y: (y**3, [y * y, "kept"]), has_aux=True)(x)
        return slope * aux[0]  # 3x^4

    assert tg.grad(f)(2.0) == 96.0
    assert tg.record(f, 1.0).gradient(2.0) == 96.0
    v = tg.Value(2.0)
    slope, aux = tg.grad(lambda y: (y**3, y * y), has_aux=True)(v)
    (slope * aux).backward()
    assert v.grad == 96.0


def test_aux_has_no_derivative_of_its_own():
    f = lambda x: (x * x, 100.0 * x)  # noqa: E731
    assert tg.jvp(f, (3.0,), (1.0,), has_aux=True) == (9.0, 6.0, 300.0)
    assert tg.jacobian(f, has_aux=True)(3.0) == (6.0, 300.0)


def test_aux_asks_for_a_pair():
    for result in (lambda x: x, lambda x: (x,), lambda x: (x, x, x), lambda x: None):
        with pytest.raises(tg.RecordError, match=r"has_aux=True: .* returns a pair"):
            tg.grad(result, has_aux=True)(1.0)
    with pytest.raises(tg.ShapeError, match="has_aux=True if the others"):
        tg.grad(lambda x: (x, "text-less"[:0] or x))(1.0)


# -- constants, writes, and other functions ----------------------------------------


def test_constants_have_zeros_of_the_right_shape():
    single = V.astype(np.float32)
    assert tg.grad(lambda x: 2.0)(1.0) == 0.0
    assert tg.grad(lambda x: 2)(1.0) == 0.0
    found = tg.grad(lambda x: 2.0)(single)
    assert found.shape == (3,)
    assert found.dtype == np.float32
    assert not found.any()
    assert tg.hessian(lambda x: 2.0)(V).shape == (3, 3)
    assert not tg.hessian(lambda x: x.sum())(V).any()
    assert tg.jacobian(lambda x: (np.ones(2), 1.0))(V)[0].shape == (2, 3)
    assert tg.jvp(lambda x: np.ones(2), (V,), (V,))[1].tolist() == [0.0, 0.0]
    assert tg.vjp(lambda x: np.ones(2), V)[1](np.ones(2))[0].tolist() == [0.0] * 3
    assert tg.linearize(lambda x: np.ones(2), V)[1](V).tolist() == [0.0, 0.0]
    assert tg.hvp(lambda x: 1.0, (V,), (V,)).tolist() == [0.0] * 3
    # and of outputs that have no derivative
    assert tg.jvp(lambda x: (x > 0, np.argmax(x)), (V,), (V,))[1][1] == 0
    assert tg.jacobian(np.sign)(V).tolist() == [[0.0] * 3] * 3
    assert (
        tg.vjp(lambda x: (x.sum(), x > 0), V)[1]((1.0, None))[0].tolist() == [1.0] * 3
    )


def test_writes_into_an_argument_stay_inside():
    def f(x):
        x[0] = 5.0
        x[1:] *= 2.0
        return total(x)

    given = V.copy()
    assert tg.grad(f)(given).tolist() == [0.0, 16.0, 24.0]
    assert tg.jvp(f, (given,), (np.ones(3),)) == (77.0, 40.0)
    assert tg.linearize(f, given)[1](np.ones(3)) == 40.0
    assert given.tolist() == [1.0, 2.0, 3.0]

    def g(p):
        p["a"] = p["a"] * p["b"]
        p["new"] = 1.0
        return p["a"]

    tree = {"a": 2.0, "b": 3.0}
    assert tg.grad(g)(tree) == {"a": 3.0, "b": 2.0}
    assert tree == {"a": 2.0, "b": 3.0}


def test_a_caller_who_writes_later_changes_nothing():
    given = V.copy()
    _, pull = tg.vjp(square, given)
    _, push = tg.linearize(square, given)
    given[:] = 100.0
    assert pull(np.ones(3))[0].tolist() == [2.0, 4.0, 6.0]
    assert push(np.ones(3)).tolist() == [2.0, 4.0, 6.0]
    found = tg.grad(total)(V)
    found[:] = 0.0  # the caller's own
    assert tg.grad(total)(V).tolist() == [2.0, 4.0, 6.0]


def test_nan_is_passed_on():
    assert np.isnan(tg.grad(square)(np.nan))
    found = tg.jacobian(square)(np.array([1.0, np.nan]))
    assert found[0].tolist() == [2.0, 0.0]
    assert found[1, 0] == 0.0
    assert np.isnan(found[1, 1])


def test_object_arrays_are_arrays():
    found = tg.grad(total)(np.array([1.0, 2.0], dtype=object))
    assert found.tolist() == [2.0, 4.0]
    assert found.dtype == float


def test_an_argument_given_twice_counts_by_its_places():
    f = lambda a, b: (a * b * b).sum()  # noqa: E731
    first, second = tg.grad(f, (0, 1))(V, V)
    assert first.tolist() == (V**2).tolist()
    assert second.tolist() == (2 * V**2).tolist()
    assert tg.jacobian(lambda x: (x, x))(2.0) == (1.0, 1.0)
    assert tg.vjp(lambda x: (x, x), 2.0)[1]((1.0, 10.0)) == (11.0,)


@dataclass
class Point:
    x: Any
    y: Any


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x * x

    def method(self, x):
        return self.factor * x * x


def test_all_that_can_be_called():
    tape, scale = tg.record(square, 1.0), Scale(3.0)
    assert tg.grad(tape)(3.0) == 6.0
    assert tg.hessian(tape)(3.0) == 2.0
    assert tg.jvp(tape, (3.0,), (1.0,)) == (9.0, 6.0)
    assert tg.grad(tape.compile(level=0))(3.0) == 6.0
    assert tg.linearize(tape.compile(level=0), 3.0)[1](1.0) == 6.0
    assert tg.grad(scale)(2.0) == tg.grad(scale.method)(2.0) == 12.0
    assert tg.grad(functools.partial(lambda a, x: a * x, 4.0))(2.0) == 4.0
    assert tg.grad(functools.partial(lambda x, a: a * x, a=4.0))(2.0) == 4.0
    assert tg.grad(np.tanh)(0.0) == 1.0
    assert tg.grad(lambda x, *, n: x**n)(2.0, n=3) == 12.0
    assert tg.grad(scale).__name__ == "grad(Scale)"
    assert tg.hessian(functools.partial(total)).__name__ == "hessian(total)"
    assert tg.value_and_grad(tape).__name__ == "value_and_grad(tape)"
    assert tg.grad(total).__wrapped__ is total


def test_nested_arguments_of_every_kind():
    point = Point(2.0, [3.0, (V,)])
    found = tg.grad(lambda p: p.x * p.y[0] + total(p.y[1][0]))(point)
    assert type(found) is Point
    assert (found.x, found.y[0]) == (3.0, 2.0)
    assert found.y[1][0].tolist() == [2.0, 4.0, 6.0]
    model = nn.MLP(2, [3, 1], seed=0)
    slope = tg.grad(lambda m, x: m(x).sum())(model, np.array([0.5, -1.0]))
    pushed = tg.jvp(lambda m: m(np.array([0.5, -1.0])).sum(), (model,), (slope,))[1]
    norm = sum(np.sum(np.square(p.data)) for p in slope.parameters())
    assert pushed.data == pytest.approx(norm, rel=1e-12)


def test_a_branch_is_taken_anew_at_each_call():
    f = lambda x: x * x if x > 0 else -x  # noqa: E731
    slope = tg.grad(f)
    assert [slope(2.0), slope(-2.0), slope(3.0)] == [4.0, -1.0, 6.0]
    with pytest.raises(tg.BranchChanged):
        tg.grad(tg.record(f, 1.0))(-1.0)
