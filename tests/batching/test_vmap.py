"""`tg.vmap`: axes, nestings, other transforms, edges lane by lane, and bad input."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 3))
NAN, INF = np.nan, np.inf


def close(found, expected, rtol=1e-12):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-13)
    assert np.shape(found) == np.shape(expected)


# -- axes ------------------------------------------------------------------------------


def test_an_axis_of_one_argument():
    close(tg.vmap(np.sum)(X), X.sum(1))
    close(tg.vmap(np.sum, 1)(X), X.sum(0))
    close(tg.vmap(np.sum, -2)(X), X.sum(1))
    close(tg.vmap(np.sum, (1,))(X), X.sum(0))


def test_none_is_the_same_for_every_call():
    found = tg.vmap(lambda x, y: x * y, (None, 0))(2.0, X[:, 0])
    close(found, 2 * X[:, 0])
    close(tg.vmap(lambda x, y: np.sum(x) * y, (None, 1))(X, X), (X.sum() * X).T)


def test_keyword_arguments_are_mapped_over_axis_0():
    close(tg.vmap(lambda x, y: x * y, None)(2.0, y=X[:, 0]), 2 * X[:, 0])


@dataclass
class Model:
    w: object
    b: object
    name: str = "m"
    count: int = 3


def test_models_of_a_batch():
    """What is no number to differentiate by is part of the recording."""
    found = tg.vmap(lambda m, x: m.w * x**m.count + m.b)(Model(A, A), A)
    close(found, A**4 + A)


def test_nested_axes():
    model = {"w": X.T, "more": [np.ones(4), 3.0]}
    axes = ({"w": 1, "more": [0, None]}, None)

    def f(p, x):
        return p["w"] @ x + p["more"][0] * p["more"][1]

    x = np.array([1.0, 2.0, 3.0])
    close(tg.vmap(f, axes)(model, x), X @ x + 3)
    close(
        tg.vmap(lambda p, x: p["w"] @ x, ({"w": 1, "more": None}, None))(model, x),
        X @ x,
    )
    whole = tg.vmap(lambda m: m.w @ x + m.b, (Model(0, None, None),))(Model(X, 2.0))
    close(whole, X @ x + 2)


def test_out_axes():
    def f(x):
        return x, {"a": x * 2, "b": [np.sum(x), 1.0]}

    first, rest = tg.vmap(f, out_axes=(1, {"a": -1, "b": [0, None]}))(X)
    close(first, X.T)
    close(rest["a"], 2 * X.T)
    close(rest["b"][0], X.sum(1))
    assert rest["b"][1] == 1.0
    close(tg.vmap(lambda x, y: y * 2.0, (0, None))(X, 3.0), np.full(4, 6.0))


def test_what_is_no_number_in_a_result_stays():
    found = tg.vmap(lambda x: {"x": x, "none": None, "word": "tanh"})(X)
    close(found["x"], X)
    assert found["none"] is None
    assert found["word"] == "tanh"


def test_axis_size():
    close(tg.vmap(lambda x: x, None, axis_size=3)(2.0), np.full(3, 2.0))
    close(tg.vmap(np.sum, axis_size=4)(X), X.sum(1))


def test_no_lanes():
    empty = np.ones((0, 3, 3))

    def f(a):
        return np.linalg.solve(a, np.log(a)) @ a, np.linalg.norm(a)

    matrices, numbers = tg.vmap(f)(empty)
    assert matrices.shape == (0, 3, 3)
    assert numbers.shape == (0,)
    assert tg.vmap(tg.grad(np.sum))(empty).shape == (0, 3, 3)
    assert tg.vmap(lambda i: i, axis_size=0)(np.zeros((0, 2), int)).dtype == np.int64
    total = tg.grad(lambda w: np.sum(tg.vmap(lambda a: np.sum(w * a))(empty)))(2.0)
    assert total == 0.0


def test_other_dtypes():
    single = tg.vmap(lambda x: np.exp(x) * 2)(X.astype(np.float32))
    assert single.dtype == np.float32
    i, c = np.array([2, 0, 1, 2]), np.array([True, False, True, True])
    close(tg.vmap(lambda x, i: x[i])(X, i), X[np.arange(4), i])
    close(
        tg.vmap(lambda c, x: tg.where(c, x, -x))(c, X[:, 0]),
        np.where(c, 1, -1) * X[:, 0],
    )
    slopes = tg.vmap(tg.grad(lambda x, i: x[i] ** 2))(X, i)
    close(slopes, 2 * X * np.eye(3)[i])


def test_an_array_that_was_given_is_not_the_result():
    y = tg.vmap(lambda x: x)(X)
    y[0] = 7.0
    assert X[0, 0] != 7.0


# -- what lanes share ------------------------------------------------------------------


def test_what_is_the_same_in_every_lane_is_computed_once():
    def f(x, a):
        return x * np.sum(np.exp(a))

    tape = tg.record(tg.vmap(f, (0, None)), X[:, 0], X)
    shapes = {step.primitive.name: tape.aval_of(step.slots[0])[0] for step in tape}
    assert shapes["exp"] == (4, 3)
    assert shapes["sum"] == ()
    assert shapes["mul"] == (4,)


def test_one_matrix_and_many_vectors_are_one_product():
    a = RNG.normal(size=(3, 3))

    def names(f, *args):
        return [step.primitive.name for step in tg.record(f, *args)]

    for f, exact in (
        (lambda a, x: a @ x, X @ a.T),
        (lambda a, x: x @ a, X @ a),
        (np.linalg.solve, np.linalg.solve(a, X.T).T),
    ):
        mapped = tg.vmap(f, (None, 0))
        close(mapped(a, X), exact)
        tape = tg.record(mapped, a, X)
        (shape,) = [
            tape.aval_of(step.slots[0])[0]
            for step in tape
            if step.primitive.name in {"matmul", "solve"}
        ]
        assert len(shape) == 2, "no stack of products, and one factorisation"


# -- with other transforms -------------------------------------------------------------


def f(x, a):
    return np.sum(np.sin(a * x) * x) + a**2


def each(g, *lanes):
    found = [g(*lane) for lane in zip(*lanes, strict=True)]
    return np.stack([np.asarray(y) for y in found])


A = RNG.normal(size=4)


def test_gradients_hessians_and_jacobians_of_each_lane():
    for make in (tg.grad, tg.jacobian, tg.hessian):
        g = make(f)
        close(tg.vmap(g)(X, A), each(g, X, A))
    g = tg.grad(lambda x, a: np.sum(tg.grad(f)(x, a) ** 2), 1)
    close(tg.vmap(g)(X, A), each(g, X, A))


def test_directions_of_each_lane():
    close(
        tg.vmap(lambda x, d: tg.jvp(lambda x: f(x, 2.0), (x,), (d,))[1])(X, X[::-1]),
        each(lambda x, d: tg.jvp(lambda x: f(x, 2.0), (x,), (d,))[1], X, X[::-1]),
    )
    pull = each(lambda x, a: tg.vjp(f, x, a)[1](a)[0], X, A)
    close(tg.vmap(lambda x, a: tg.vjp(f, x, a)[1](a)[0])(X, A), pull)
    hvp = each(lambda x, d: tg.hvp(lambda x: f(x, 2.0), (x,), (d,)), X, X[::-1])
    close(
        tg.vmap(lambda x, d: tg.hvp(lambda x: f(x, 2.0), (x,), (d,)))(X, X[::-1]), hvp
    )


def test_derivatives_of_all_lanes():
    mapped = tg.vmap(f)
    close(tg.grad(lambda x, a: np.sum(mapped(x, a)))(X, A), each(tg.grad(f), X, A))
    jacobian = tg.jacobian(mapped)(X, A)
    for k in range(4):
        close(jacobian[k, k], tg.grad(f)(X[k], A[k]))
        assert not np.delete(jacobian[k], k, 0).any()
    hessian = tg.hessian(lambda a: np.sum(tg.vmap(f)(X, a)))(A)
    close(hessian, np.diag(each(tg.hessian(f, 1), X, A)))
    _, dots = tg.jvp(mapped, (X, A), (X[::-1], A[::-1]))
    close(dots, each(lambda *z: tg.jvp(f, z[:2], z[2:])[1], X, A, X[::-1], A[::-1]))


def test_what_the_function_reads_of_a_recording_around():
    def total(w):
        return np.sum(tg.vmap(lambda x: np.sum(np.tanh(w * x)))(X))

    close(tg.grad(total)(1.5), np.sum(X / np.cosh(1.5 * X) ** 2))
    close(tg.hessian(total)(1.5), tg.hessian(lambda w: np.sum(np.tanh(w * X)))(1.5))


def test_no_perturbation_is_confused():
    # d/dx [x * d/dy (x + y)] is 1 in every lane
    inner = tg.grad(lambda x: x * tg.grad(lambda y: x + y)(2.0))
    assert tg.vmap(inner)(A).tolist() == [1.0] * 4
    both = tg.grad(lambda x: x * np.sum(tg.vmap(tg.grad(lambda y: x + y))(A)))
    assert both(3.0) == 4.0


def test_vmap_in_vmap():
    outer = tg.vmap(tg.vmap(lambda a, b: a * b, (None, 0)), (0, None))
    close(outer(A, X[0]), np.outer(A, X[0]))
    deep = tg.vmap(tg.vmap(tg.vmap(lambda a, b: a @ b, (0, None)), (None, 0)))
    left, right = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 5, 4))
    close(deep(left, right), np.einsum("bik,bjk->bji", left, right))
    g = tg.vmap(tg.vmap(tg.grad(lambda x, i: x[i] ** 3), (None, 0)), (0, None))
    i = np.array([0, 2])
    close(g(X, i), 3 * X[:, None] ** 2 * np.eye(3)[i])


def put(x, v, key):
    y = 1.0 * x
    y[key] = v
    return y


INDICES = {
    "apart": lambda c, i, j: c[i, :, j],
    "together": lambda c, i, j: c[:, i, j],
    "in turn": lambda c, i, j: c[i][:, 1:3, None],
    "a new axis": lambda c, i, j: c[None, i, :, j],
    "along": lambda c, i, j: np.take_along_axis(c, np.reshape(j, (1, 1, 1)), axis=2),
    "written apart": lambda c, i, j: put(c, np.sum(c) * c[i, :, j], np.s_[i, :, j]),
    "written together": lambda c, i, j: put(c, 2.0 * c[0, i, j], np.s_[:, i, j]),
    "a slice": lambda c, i, j: put(c, 3.0 * c[0, 0, 0], np.s_[1:, ::2]),
    "a row": lambda c, i, j: put(c, 2.0 * c[0, 0, :4], np.s_[:, 1, 1:]),
    "written wide": lambda c, i, j: put(c, np.sum(c), np.s_[i, :, j]),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_of_every_kind(name):
    g = INDICES[name]
    cube = RNG.normal(size=(2, 3, 4, 5))
    i, j = np.array([[0, 2], [1, 1]]), np.array([3, 0])

    def weighted(c, i, j):
        y = g(c, i, j)
        return np.sum(y * np.cos(np.arange(y.size)).reshape(y.shape))

    for axes in itertools.product((0, None), repeat=3):
        if axes == (None,) * 3:
            continue
        args = [x if a == 0 else x[0] for x, a in zip((cube, i, j), axes, strict=True)]
        lanes = [
            [np.asarray(x[k] if a == 0 else x) for x, a in zip(args, axes, strict=True)]
            for k in range(2)
        ]
        close(tg.vmap(g, axes)(*args), np.stack([g(*lane) for lane in lanes]))
        slopes = tg.grad(weighted)
        expected = np.stack([slopes(*lane) for lane in lanes])
        close(tg.vmap(slopes, axes)(*args), expected)
        through = tg.grad(lambda *xs, axes=axes: np.sum(tg.vmap(weighted, axes)(*xs)))
        close(through(*args), expected if axes[0] == 0 else expected.sum(0))


def test_writes():
    def g(x, i, v):
        y = 1.0 * x
        y[i] = v * y[0]
        y[np.array([0, 0])] += v
        return y

    i, v = np.array([0, 2, 1, 2]), A
    for axes in [(0, 0, 0), (None, 0, None), (None, None, 0), (0, None, None)]:
        args = [x if a == 0 else x[0] for x, a in zip((X, i, v), axes, strict=True)]
        lanes = [
            [np.array(x[k] if a == 0 else x) for x, a in zip(args, axes, strict=True)]
            for k in range(4)
        ]
        close(tg.vmap(g, axes)(*args), np.stack([tg.record(g, *z)(*z) for z in lanes]))
        slope = tg.grad(lambda x, i, v: np.sum(g(x, i, v) ** 2), (0, 2))
        found = tg.vmap(slope, axes)(*args)
        for y, parts in zip(
            found, zip(*[slope(*z) for z in lanes], strict=True), strict=True
        ):
            close(y, np.stack(parts))


def test_native_code():
    compiled = tg.compile(lambda x, a: np.sum(tg.vmap(f)(x, a)), X, A)
    value, (dx, da) = compiled.value_and_gradient(X, A)
    close(value, np.sum(each(f, X, A)))
    close(dx, each(tg.grad(f), X, A))
    close(da, each(tg.grad(f, 1), X, A))
    slopes = tg.compile(tg.vmap(tg.grad(f)), X, A)
    close(slopes(X, A), each(tg.grad(f), X, A))


def test_a_tape_and_a_saved_tape():
    tape = tg.record(f, X[0], A[0])
    close(tg.vmap(tape)(X, A), each(f, X, A))
    mapped = tg.record(tg.vmap(f), X, A)
    again = tg.from_bytes(mapped.to_bytes())
    close(again(2 * X, A), each(f, 2 * X, A))


def test_eager_values():
    w, x = tg.Value(1.5), tg.Value(A)
    y = tg.vmap(lambda x: np.sin(w * x))(x)
    close(y.data, np.sin(1.5 * A))
    y.sum().backward()
    close(w.grad, np.sum(A * np.cos(1.5 * A)))
    close(x.grad, 1.5 * np.cos(1.5 * A))


def test_gradients_of_a_model_by_example():
    model, targets = nn.MLP(3, [4, 1], seed=0), A

    def loss(model, x, t):
        return (model(x) - t) ** 2

    found = tg.vmap(tg.grad(loss), (None, 0, 0))(model, X, targets)
    for k in range(4):
        one = tg.grad(loss)(model, X[k], targets[k])
        for mine, other in zip(found.parameters(), one.parameters(), strict=True):
            close(mine.data[k], other.data)


def total(x):
    """The sum of one vmap, to be used in all kinds of places."""
    return np.sum(tg.vmap(lambda a, b: np.sin(a) * b, (0, None))(x, np.sum(x)))


def plainly(x):
    return np.sum(np.sin(x) * np.sum(x))


@pytest.mark.parametrize(
    "use",
    [
        tg.checkpoint,
        tg.function,
        lambda f: lambda x: tg.scan(lambda c, e: (c * f(e), None), 1.0, x)[0],
        lambda f: lambda x: tg.while_loop(
            lambda c: f(c * x[0]) < 50.0, lambda c: c * (2 + 0.01 * f(x[0])), 1.0
        ),
        lambda f: tg.custom_gradient(lambda x: (f(x[0]), lambda b: b * x * f(x[1]))),
        lambda f: tg.implicit(lambda y, x: y - f(x[0]), lambda x: float(plainly(x[0]))),
        lambda f: lambda x: tg.linearize(lambda x: f(x[0]), x)[1](np.cos(x)),
        lambda f: lambda x: tg.vmap(f)(x)[1] * f(x[0]),
    ],
    ids=["checkpoint", "function", "scan", "while", "custom", "implicit", "linearize",
         "vmap"],
)  # fmt: skip
def test_vmap_inside_of_other_things(use):
    f, g = use(total), use(plainly)
    x = 0.3 + np.abs(X)
    close(tg.record(f, x)(x), tg.record(g, x)(x))
    close(tg.grad(f)(x), tg.grad(g)(x))
    lanes = np.stack([x, 2 * x])
    close(tg.vmap(tg.grad(f))(lanes), np.stack([tg.grad(g)(y) for y in lanes]))


def test_other_callers():
    x = 0.3 + np.abs(X[0])
    assert tg.check_gradient(total, x, order=2).ok
    pattern = tg.sparse_jacobian(tg.vmap(lambda a: a**3), x)(x)
    assert pattern.nnz == 3
    close(pattern.toarray(), np.diag(3 * x**2))
    series = tg.taylor(tg.vmap(np.exp), (x,), (np.ones(3),), 4)
    close(series, np.exp(x) / np.array([1, 1, 2, 6, 24.0])[:, None])


def test_all_letters_of_an_einsum_are_taken():
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    first, second = letters[:26], letters[26:]

    def g(x, y):
        x, y = np.reshape(x, (2,) + (1,) * 25), np.reshape(y, (2,) + (1,) * 25)
        return np.einsum(f"{first},{second}->{letters[0]}{letters[26]}", x, y)

    close(tg.vmap(g)(X[:, :2], X[:, 1:]), np.einsum("ka,kb->kab", X[:, :2], X[:, 1:]))


# -- edges: each lane as the function alone --------------------------------------------

POINTS = np.array([-1.0, 0.0, -0.0, 2.0, INF, -INF, NAN])
MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]])


@tg.custom_gradient
def logarithm(x):
    return np.log(x), lambda bar: bar / x


EDGES = {
    "log": lambda x: tg.where(x > 0, np.log(x), x),
    "sqrt": lambda x: tg.where(x > 0, np.sqrt(x) * x, 0 * x),
    "sinc": lambda x: tg.where(x != 0, np.sin(x) / x, 1.0),
    "entries": lambda x: np.sum(tg.where(x * MATRIX > 3, np.log(x * MATRIX), 0.0)),
    "product": lambda x: tg.where(x > 0, np.sum(MATRIX / x @ MATRIX[0]), x * x),
    "solve": lambda x: tg.where(x > 0, np.linalg.solve(MATRIX, MATRIX / x)[0, 1], x),
    "inverse": lambda x: tg.where(
        x > 0, np.linalg.inv(MATRIX + np.sqrt(x) * MATRIX.T)[0, 1], x
    ),
    "det": lambda x: tg.where(x != 0, np.linalg.det(MATRIX / x), x),
    "softmax": lambda x: tg.where(x > 0, tg.softmax(np.log(x) * MATRIX)[1, 0], x),
    "einsum": lambda x: tg.where(
        x > 0, np.einsum("ij,jk->ki", MATRIX / x, MATRIX)[0, 1], x
    ),
    "kinks": lambda x: abs(x) + np.maximum(x, 0.0) * tg.relu(x),
    "power": lambda x: x**0.0 + x**2,
    "norm": lambda x: np.linalg.norm(x * MATRIX),
    "scan": lambda x: tg.where(
        x > 0, tg.scan(lambda c, e: (c * np.log(e * x), c), 1.0, np.ones(3))[0], 3 * x
    ),
    "checkpoint": lambda x: tg.where(x > 0, tg.checkpoint(np.log)(x) * x, 3 * x),
    "custom": lambda x: tg.where(x > 0, logarithm(x), 3 * x),
}


@pytest.mark.parametrize("name", EDGES)
def test_an_arm_that_a_lane_does_not_select_is_absent(name):
    f = EDGES[name]
    # the derivative of det asks for singular values, and they for numbers
    points = POINTS[:4] if name == "det" else POINTS
    for g in (f, tg.grad(f), tg.grad(tg.grad(f))):
        alone = [tg.record(g, float(x))(float(x)) for x in points]
        np.testing.assert_allclose(tg.vmap(g)(points), alone, rtol=1e-13)
    if name not in {"scan", "custom"}:  # steps that a selection passes as a whole
        slopes = [tg.grad(f)(float(x)) for x in points]
        found = tg.grad(lambda x: np.sum(tg.vmap(f)(x)))(points)
        np.testing.assert_allclose(found, slopes, rtol=1e-13)
    _, dots = tg.jvp(tg.vmap(f), (points,), (np.ones(len(points)),))
    alone = [tg.jvp(f, (float(x),), (1.0,))[1] for x in points]
    np.testing.assert_allclose(dots, alone, rtol=1e-13)


# -- bad input -------------------------------------------------------------------------


def fails(error, *words):
    """An error whose message has all of some words."""
    text = "(?s)" + "".join(f"(?=.*{word})" for word in words)
    return pytest.raises(error, match=text)


def test_sizes_that_do_not_agree():
    with fails(tg.ShapeError, r"args\[0\]\['w'\] has size 3", r"args\[1\] has size 4"):
        tg.vmap(lambda p, x: p["w"] * x)({"w": np.ones(3)}, np.ones(4))
    with fails(tg.ShapeError, r"axis_size= has size 3", r"kwargs\['x'\] has size 4"):
        tg.vmap(lambda x: x, axis_size=3)(x=np.ones(4))


@pytest.mark.parametrize(
    "number", [1.0, 1, np.float32(1), np.array(1.0), tg.Value(1.0)]
)
def test_a_number_has_no_axis(number):
    with fails(
        tg.ShapeError, r"args\[0\]\['w'\] is the single number 1", "in_axes=None"
    ):
        tg.vmap(lambda p, x: p["w"] * x)({"w": number}, np.ones(4))


def test_nothing_to_map_over():
    with fails(tg.ShapeError, "axis_size="):
        tg.vmap(lambda x: x, None)(A)
    with fails(tg.ShapeError, "axis_size="):
        tg.vmap(lambda: 1.0)()


def test_axes_that_do_not_fit():
    def g(p, x):
        return p["w"] * x

    p = {"w": A, "b": A}
    with fails(tg.ShapeError, r"args\[1\] has shape \(4,\) and no axis 1"):
        tg.vmap(g, (0, 1))(p, A)
    with fails(tg.ShapeError, r"no axis -2"):
        tg.vmap(g, (0, -2))(p, A)
    with fails(tg.ShapeError, "1 entries", "2 positional"):
        tg.vmap(g, (0,))(p, A)
    with fails(tg.ShapeError, r"in_axes of args\[0\]", "key"):
        tg.vmap(g, ({"w": 0}, 0))(p, A)
    with fails(tg.ShapeError, "in_axes='a'"):
        tg.vmap(g, "a")(p, A)
    with fails(tg.ShapeError, r"in_axes of args\[1\] is \[0\]", "does not nest"):
        tg.vmap(g, (0, [0]))(p, A)
    with fails(tg.ShapeError, "holds True"):
        tg.vmap(g, ({"w": True, "b": 0}, 0))(p, A)
    with fails(tg.ShapeError, r"out_axes=2 for result\['y'\]", "2 axes"):
        tg.vmap(lambda x: {"y": x}, out_axes=2)(X)
    with fails(tg.ShapeError, r"result\[1\] differs", "out_axes"):
        tg.vmap(lambda x: (x, x), out_axes=(0, None))(X)
    with fails(tg.RecordError, "needs a function"):
        tg.vmap(3.0)


def test_a_branch_on_a_batched_value():
    def g(x, a):
        if a > 0:
            x = x + a
        return x

    def here(word, f, *args):
        place = f"{Path(__file__).name}:{f.__code__.co_firstlineno + 1}"
        with fails(tg.RecordError, word, place, "None"):
            tg.vmap(f)(*args)

    close(tg.vmap(g, (0, None))(A, 2.0), A + 2)
    here("tg.where", g, A, A)

    def loop(x):
        while x < 10:
            x = 2 * x
        return x

    def index(x, i):
        return x[int(i)]

    def branch(c, x):
        return x if c else -x

    here("tg.where", loop, abs(A))
    here("array of ints", index, X, np.array([0, 1, 2, 0]))
    here("tg.where", branch, A > 0, A)


def test_a_guard_on_what_all_lanes_share_is_kept():
    def g(x, a):
        return x * a if a > 0 else x

    tape = tg.record(tg.vmap(g, (0, None)), A, 2.0)
    assert len(tape.guards) == 1
    close(tape(A, 3.0), 3 * A)
    with pytest.raises(tg.BranchChanged):
        tape(A, -1.0)


def test_a_lane_without_an_answer_is_named():
    matrices = np.stack([np.eye(2), np.zeros((2, 2)), np.eye(2)])
    with fails(tg.DomainError, r"inv of shape \(2, 2\)", "Singular matrix, in lane 1"):
        tg.vmap(np.linalg.inv)(matrices)
    with fails(tg.DomainError, "in lane 2"):
        tg.vmap(np.linalg.cholesky)(np.stack([np.eye(2), np.eye(2), -np.eye(2)]))
    with fails(tg.IndexOutOfBounds, "index 5"):
        tg.vmap(lambda x, i: x[i])(X, np.array([0, 5, 1, 1]))


def test_a_result_that_is_none():
    with fails(tg.RecordError, "returned None"):
        tg.vmap(lambda x: None)(A)
    with fails(tg.RecordError, "complex"):
        tg.vmap(lambda x: (x, 1j))(A)


def test_an_eager_value_under_a_recording():
    w = tg.Value(2.0)
    with fails(tg.RecordError, "captured"):
        tg.record(lambda x: np.sum(tg.vmap(lambda x: w * x)(x)), A)
