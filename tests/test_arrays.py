"""Arrays in the core: eager, recorded, swept both ways, differentiated again."""

from __future__ import annotations

import copy
import gc
import pickle
import resource
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad import Value
from tapegrad.apply import apply
from tapegrad.rules import TABLE


def do(name, *operands, **params):
    return apply(TABLE[name], *operands, **params)


def total(x):
    return do("sum", x, axes=tuple(range(x.ndim)))


def numeric(f, x, direction, step=1e-6):
    """A central difference of a function of one array."""
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


# Functions of one (3, 4) array, with a reference in plain NumPy.
RNG = np.random.default_rng(7)
C = RNG.normal(size=(4, 2))
ROW = RNG.normal(size=4)
CASES = {
    "broadcast row": lambda x: x * ROW + x**2 / (2.0 + ROW**2),
    "broadcast column": lambda x: x * np.arange(1.0, 4.0)[:, None] - 3.0,
    "power by an array": lambda x: (x * x + 1.0) ** np.arange(4.0),
    "matrix product": lambda x: do("matmul", x, C),
    "basic index": lambda x: do("index", x, key=((2, 3, -1), (1, 2, 2))) * 2.0,
    "one row": lambda x: do("index", x, key=(1, (0, 4, 1))),
    "reshape, transpose": lambda x: (
        do("transpose", do("reshape", x, shape=(2, 6)), axes=(1, 0))
        * np.arange(12.0).reshape(6, 2)
    ),
    "gather": lambda x: do("gather", x, np.array([0, 2, 2]), key=("a", (0, 4, 1))) ** 2,
    "a write": lambda x: do("index_set", x, ROW * 2.0, key=(0, (0, 4, 1))) * x,
    "softmax": lambda x: do("softmax", x, axes=(1,)) * ROW,
    "norm": lambda x: do("norm", x, axes=(1,)),
    "std": lambda x: do("std", x, axes=(0,), ddof=1),
    "prod": lambda x: do("prod", x, axes=(1,)),
    "logsumexp": lambda x: do("logsumexp", x, axes=(0, 1)) * 1.5,
    "largest": lambda x: do("amax", x, axes=(0,)),
    "running sums": lambda x: do("cumsum", x, axis=1) * x,
    "joined": lambda x: do("concatenate", x, x * 2.0, x * x, axis=0),
    "mean": lambda x: do("mean", x, axes=(0,)) * ROW,
    "einsum": lambda x: do("einsum", x, C, x, subscripts="ij,jk,il->kl"),
}


def square_total(f):
    def loss(x):
        y = f(x)
        return total(y * y) if y.ndim else y * y

    return loss


@pytest.mark.parametrize("name", CASES)
def test_every_way_to_a_gradient_agrees(name):
    f = square_total(CASES[name])
    x = RNG.normal(size=(3, 4))
    tape = tg.record(f, np.full((3, 4), 0.5) + np.arange(12.0).reshape(3, 4) / 7)
    tape.check()
    value, gradient = tape.value_and_gradient(x)
    assert gradient.shape == x.shape
    leaf = Value(x)
    loss = f(leaf)
    loss.backward()
    np.testing.assert_allclose(float(loss), value, rtol=1e-13)
    np.testing.assert_allclose(leaf.grad, gradient, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(tg.grad(f)(x), gradient, rtol=1e-11, atol=1e-12)
    grown = tape.adjoint_tape()
    grown.check()
    np.testing.assert_allclose(grown(x), gradient, rtol=1e-11, atol=1e-12)
    direction = RNG.normal(size=(3, 4))
    _, dot = tape.jvp((x,), (direction,))
    np.testing.assert_allclose(dot, np.vdot(gradient, direction), rtol=1e-10)
    estimate = numeric(tape, x, direction)
    np.testing.assert_allclose(dot, estimate, rtol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name):
    f = square_total(CASES[name])
    x = RNG.normal(size=(3, 4))
    tape = tg.record(f, x)
    hessian = tape.hessian(x)
    assert hessian.shape == (3, 4, 3, 4)
    flat = hessian.reshape(12, 12)
    np.testing.assert_allclose(flat, flat.T, rtol=1e-8, atol=1e-8)
    direction = RNG.normal(size=(3, 4))
    along = tape.hvp((x,), (direction,))
    np.testing.assert_allclose(
        along, np.tensordot(hessian, direction, 2), rtol=1e-8, atol=1e-8
    )
    estimate = numeric(tape.gradient, x, direction)
    np.testing.assert_allclose(along, estimate, rtol=3e-4, atol=3e-4)
    np.testing.assert_allclose(tg.hessian(f)(x), hessian, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_jacobians_forward_and_reverse(name):
    f = CASES[name]
    x = RNG.normal(size=(3, 4))
    tape = tg.record(f, x)
    jacobian = tape.jacobian(x)
    y = tape(x)
    assert jacobian.shape == np.shape(y) + x.shape
    value, adjoint = tape.vjp((x,), np.ones(np.shape(y)))
    np.testing.assert_array_equal(value, y)
    lead = tuple(range(np.ndim(y)))
    np.testing.assert_allclose(adjoint, jacobian.sum(lead), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(tg.jacobian(f)(x), jacobian, rtol=1e-9, atol=1e-10)
    _, pullback = tg.vjp(f, x)
    np.testing.assert_allclose(
        pullback(np.ones(np.shape(y)))[0], adjoint, rtol=1e-9, atol=1e-10
    )


OPERATORS = ("add", "sub", "mul", "div", "max")
SHAPES = ((), (3,), (2, 1), (2, 3), (1, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATORS), st.integers(0, 9)), max_size=8))
def test_random_programs_with_broadcasting(steps):
    start = [np.asarray(RNG.normal(size=shape) + 3.0) for shape in SHAPES]

    def f(*args):
        known = list(args)
        for name, place in steps:
            known.append(do(name, known[-1], known[place % len(known)]))
        return [total(y) if y.ndim else y for y in known][-1]

    args = [a if a.ndim else float(a) for a in start]
    tape = tg.record(f, *args)
    gradient = tape.gradient(*args)
    directions = [np.asarray(RNG.normal(size=np.shape(a))) for a in args]
    _, dot = tape.jvp(tuple(args), tuple(directions))
    along = sum(np.vdot(g, d) for g, d in zip(gradient, directions, strict=True))
    np.testing.assert_allclose(along, dot, rtol=1e-9, atol=1e-9)
    for g, a in zip(gradient, args, strict=True):
        assert np.shape(g) == np.shape(a)
    leaves = [Value(a) for a in args]
    f(*leaves).backward()
    for leaf, g in zip(leaves, gradient, strict=True):
        np.testing.assert_allclose(leaf.grad, g, rtol=1e-12, atol=1e-12)


# -- the arm of a where ------------------------------------------------------------


@pytest.mark.parametrize("through", ["plain", "index", "sum", "matmul"])
def test_an_unselected_arm_is_absent(through):
    x = np.array([0.0, 2.0, -1.0, 4.0])

    def f(x):
        bad = do("log", x)
        if through == "index":
            bad = do("index", do("index", bad, key=((3, 4, -1),)), key=((3, 4, -1),))
        if through in {"sum", "matmul"}:
            if through == "sum":
                bad = do("sum", bad, axes=(0,))
            else:
                row = do("reshape", bad, shape=(1, 4))
                column = do("reshape", x, shape=(4, 1))
                bad = do("reshape", do("matmul", row, column), shape=())
            return tg.where(do("index", x, key=(0,)) > 0.0, bad, total(x * x))
        return total(tg.where(x > 0.0, bad, x * x))

    expected = {
        "sum": 2 * x,
        "matmul": 2 * x,
    }.get(through, np.array([0.0, 0.5, -2.0, 0.25]))
    with np.errstate(all="ignore"):
        tape = tg.record(f, np.ones(4))
        np.testing.assert_array_equal(tape.gradient(x), expected)
        np.testing.assert_array_equal(tape.adjoint_tape()(x), expected)
        np.testing.assert_array_equal(tg.grad(f)(x), expected)
        leaf = Value(x)
        f(leaf).backward()
        np.testing.assert_array_equal(leaf.grad, expected)
        assert np.isfinite(tape.hessian(x)).all()


# -- dtypes ------------------------------------------------------------------------


def test_float32_stays_and_python_numbers_are_weak():
    x = np.arange(1, 4, dtype=np.float32)
    f = lambda x: total(2.0 * x**2 + np.float32(1) / x)  # noqa: E731
    tape = tg.record(f, x)
    value, gradient = tape.value_and_gradient(x)
    assert value.dtype == np.float32
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, 4 * x - 1 / x**2, rtol=1e-6)
    assert tape.adjoint_tape()(x).dtype == np.float32
    leaf = Value(x)
    assert (leaf * 2.0).dtype == np.float32
    f(leaf).backward()
    assert leaf.grad.dtype == np.float32


def test_mixed_dtypes_promote_as_in_numpy():
    x, y = np.ones(3, np.float32), np.ones(3)
    tape = tg.record(lambda x, y: total(x * y * np.float64(2)), x, y)
    tape.check()
    assert type(tape(x, y)) is float
    dx, dy = tape.gradient(x, y)
    assert (dx.dtype, dy.dtype) == (np.float32, np.float64)
    mask = np.array([True, False, True])
    np.testing.assert_array_equal((Value(y) * mask).data, [1.0, 0.0, 1.0])
    whole = np.array([1, 2, 3])
    np.testing.assert_array_equal((Value(y) + whole).data, [2.0, 3.0, 4.0])


def test_arrays_of_ints_are_inputs_without_a_derivative():
    at = np.array([2, 0, 1])
    f = lambda x, at: total(do("gather", x, at, key=("a",)) * ROW[:3])  # noqa: E731
    x = np.arange(3.0)
    tape = tg.record(f, x, at)
    np.testing.assert_array_equal(tape.gradient(x, at), ROW[:3][[1, 2, 0]])
    other = np.array([0, 0, 0])
    np.testing.assert_allclose(tape.gradient(x, other), [ROW[:3].sum(), 0.0, 0.0])
    np.testing.assert_array_equal(tg.grad(f)(x, at), tape.gradient(x, at))
    with pytest.raises(tg.ShapeError, match="array of integers"):
        tg.grad(f, argnums=1)(x, at)
    with pytest.raises(tg.RecordError, match="floats"):
        tape(x, at.astype(float))


# -- what arrays may look like -------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [np.zeros((0, 3)), np.array(2.0), np.arange(6.0)[::-2], np.ones((2, 3)).T],
    ids=["empty", "0-d", "negative strides", "not contiguous"],
)
def test_odd_arrays(x):
    f = lambda x: total(x * x)  # noqa: E731
    tape = tg.record(f, x)
    value, gradient = tape.value_and_gradient(x)
    assert value == pytest.approx((x * x).sum())
    np.testing.assert_array_equal(gradient, 2 * x)
    leaf = Value(x)
    f(leaf).backward()
    np.testing.assert_array_equal(leaf.grad, 2 * x)


def test_read_only_arrays_are_taken_and_nothing_of_the_caller_is_frozen():
    x = np.arange(3.0)
    fixed = x.copy()
    fixed.flags.writeable = False
    tape = tg.record(lambda x: x * 1.0, x)
    same = tg.record(lambda x: x, x)
    for given_ in (x, fixed):
        result = tape(given_)
        assert result.flags.writeable
        assert same(given_).flags.writeable
        assert not np.shares_memory(same(given_), given_)
    assert x.flags.writeable
    (Value(x) * 2.0).backward()
    assert x.flags.writeable


def test_a_captured_array_is_frozen_in_the_recording():
    weights = np.arange(3.0)
    tape = tg.record(lambda x: total(x * weights), np.ones(3))
    weights[:] = 100.0
    assert tape(np.ones(3)) == 3.0
    np.testing.assert_array_equal(tape.gradient(np.ones(3)), [0.0, 1.0, 2.0])
    x = np.ones(3)
    again = tg.record(lambda x: total(x * x), x)
    x[:] = 7.0
    assert again.example[0].tolist() == [1.0, 1.0, 1.0]


def test_equal_captured_arrays_are_one_constant():
    tape = tg.record(lambda x: total(x * np.ones(3) + np.ones(3)), np.ones(3))
    assert sum(step.primitive.name == "const" for step in tape) == 1


# -- eager ---------------------------------------------------------------------------


def test_data_of_a_used_leaf_is_a_fresh_copy():
    p = Value(np.ones(3))
    y = p * p
    p.data += 1.0
    np.testing.assert_array_equal(p.data, [2.0, 2.0, 2.0])
    y.backward()
    np.testing.assert_array_equal(p.grad, [2.0, 2.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 5.0
    p.grad = 0.0
    (p * p).backward()
    np.testing.assert_array_equal(p.grad, [4.0, 4.0, 4.0])


def test_backward_twice_doubles_and_takes_a_seed():
    p = Value(np.arange(3.0))
    y = p * p
    y.backward()
    y.backward()
    np.testing.assert_array_equal(p.grad, 4 * np.arange(3.0))
    np.testing.assert_array_equal(y.grad, [2.0, 2.0, 2.0])
    p.grad = 0.0
    y.backward(np.array([1.0, 0.0, 0.5]))
    np.testing.assert_array_equal(p.grad, [0.0, 0.0, 2.0])
    with pytest.raises(tg.ShapeError, match=r"\(2,\)"):
        y.backward(np.ones(2))


def test_inside_names_and_copies():
    a, b = Value(np.ones(2), "a"), Value(2.0, "b")
    c = a * b
    assert c._prev == {a, b}
    assert c._op == "*"
    assert repr(c).startswith("Value(data=[2. 2.])")
    c.grad = np.array([1.0, 3.0])
    c._backward()
    np.testing.assert_array_equal(a.grad, [2.0, 6.0])
    assert b.grad == 4.0
    for copied in (copy.copy(c), copy.deepcopy(c), pickle.loads(pickle.dumps(c))):
        np.testing.assert_array_equal(copied.data, c.data)
        assert not copied._prev
    tape = c.tape
    np.testing.assert_array_equal(tape(np.ones(2), 3.0), [3.0, 3.0])


def test_training_with_arrays_runs_in_bounded_memory():
    p = Value(np.ones(20_000))
    for _ in range(30):
        (p * p + p).backward()
        p.data -= 1e-3 * p.grad
        p.grad = 0.0
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(400):  # 400 steps of half a megabyte each
        (p * p + p).backward()
        p.data -= 1e-3 * p.grad
        p.grad = 0.0
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 60_000  # kilobytes


def test_arrays_that_nobody_sweeps_are_freed():
    x = Value(np.ones(100_000))
    for _ in range(300):  # 240 MB of results, dropped at once
        x * 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000


# -- bad input -------------------------------------------------------------------------


def test_shape_mismatch_names_both_shapes_the_operation_and_the_line():
    pattern = r"mul: .*\(3,\) and \(4,\).*test_arrays\.py:\d+"
    with pytest.raises(tg.ShapeError, match=pattern):
        Value(np.ones(3)) * np.ones(4)
    with pytest.raises(tg.ShapeError, match=pattern):
        tg.record(lambda x, y: x * y, np.ones(3), np.ones(4))
    with pytest.raises(tg.ShapeError, match=r"matmul.*\(2, 3\) and \(2, 3\)"):
        do("matmul", Value(np.ones((2, 3))), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("junk", "match"),
    [
        (np.array([1j, 2.0]), "complex"),
        (np.array(["a", "b"]), "dtype"),
        (np.array([object(), 1.0], dtype=object), "real number"),
        (np.array([None, 1.0], dtype=object), "real number"),
        ([[1.0], [1.0, 2.0]], "no array"),
    ],
)
def test_junk_arrays(junk, match):
    with pytest.raises((tg.RecordError, tg.ShapeError), match=match):
        Value(junk)
    if not isinstance(junk, list):
        with pytest.raises(tg.RecordError, match=f"argument x: .*{match}"):
            tg.record(lambda x: x, junk)


def test_a_call_with_another_shape_names_the_argument():
    tape = tg.record(lambda x, w: total(x * w), np.ones((2, 3)), {"a": np.ones(3)}["a"])
    with pytest.raises(tg.ShapeError, match=r"argument w: .*\(4,\).*\(3,\)"):
        tape(np.ones((2, 3)), np.ones(4))
    with pytest.raises(tg.ShapeError, match="argument x"):
        tape.gradient(1.0, np.ones(3))


def test_a_gradient_of_an_array_is_refused_with_the_way_out():
    tape = tg.record(lambda x: x * 2.0, np.ones(3))
    with pytest.raises(tg.ShapeError, match=r"\(3,\).*jacobian"):
        tape.gradient(np.ones(3))
    with pytest.raises(tg.ShapeError, match="jacobian"):
        tg.grad(lambda x: x * 2.0)(np.ones(3))


def test_nested_arguments_of_arrays():
    model = {"w": [np.ones((2, 2)), np.zeros(2)], "scale": 2.0, "name": "m"}
    f = lambda m, x: total(  # noqa: E731
        (do("matmul", x, m["w"][0]) + m["w"][1]) ** 2 * m["scale"]
    )
    x = np.array([[1.0, 2.0]])
    tape = tg.record(f, model, x)
    dm, dx = tape.gradient(model, x)
    assert dm["name"] is None
    assert dm["w"][0].shape == (2, 2)
    assert isinstance(dm["scale"], float)
    np.testing.assert_allclose(dx, tg.grad(f, argnums=1)(model, x))


def test_a_guard_on_an_array():
    def f(x):
        return x * 2.0 if total(x) > 0.0 else x * 3.0

    tape = tg.record(f, np.ones(2))
    np.testing.assert_array_equal(tape(np.ones(2)), [2.0, 2.0])
    with pytest.raises(tg.BranchChanged):
        tape(-np.ones(2))
    with pytest.raises(tg.ShapeError, match="truth value"):
        tg.record(lambda x: x if x > 0.0 else -x, np.ones(2))


def test_transforms_nest_over_arrays():
    inner = lambda y, x: total(y * y * x)  # noqa: E731

    def f(x):
        return total(tg.grad(inner)(x, x * x))  # 2 y x^2 at y = x: 2 x^3

    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(tg.grad(f)(x), 6 * x**2)
    # x * d/dy (x + y) summed: one for every entry, never two
    confused = lambda x: total(x * tg.grad(lambda y: total(x + y))(x))  # noqa: E731
    np.testing.assert_array_equal(tg.grad(confused)(x), [1.0, 1.0])


def test_a_write_into_an_argument_leaves_the_input_where_it_was():
    def f(x, y):
        x[0] = y * x[1]
        x[[1, 2]] *= 2.0
        return np.sum(x**2)

    tape = tg.record(f, np.array([1.0, 2.0, 3.0]), 1.0)
    dx, dy = tape.gradient(np.array([1.0, 2.0, 3.0]), 5.0)
    np.testing.assert_array_equal(dx, [0.0, 116.0, 24.0 * 1.0])
    assert dy == 40.0
    with tg.Tape.recording() as rec:
        u = rec.input(np.ones(2), label="u")
        u[0] = 3.0
        rec.output(np.sum(u * u))
    assert rec.tape(np.array([7.0, 2.0])) == 13.0


def test_a_derivative_without_an_answer_is_named():
    f = lambda a: np.linalg.slogdet(a)[1]  # noqa: E731
    singular = np.ones((2, 2))
    tape = tg.record(f, np.eye(2))
    assert tape(singular) == -np.inf
    for ask in (tape.gradient, tg.grad(f), lambda a: f(Value(a)).backward()):
        with pytest.raises(tg.DomainError, match=r"derivative of logabsdet.*\(2, 2\)"):
            ask(singular)
    # recorded where there is no answer, the gradient is there for other points
    here = tg.record(f, singular)
    for grown in (here.adjoint_tape(), here.compile().gradient):
        np.testing.assert_allclose(grown(2 * np.eye(2)), np.eye(2) / 2)


def test_adjoints_of_arrays():
    x = np.array([1.0, 2.0, 3.0])

    def f(x):
        return np.outer(x, x) @ x, np.argsort(x), x.astype(np.float32).sum()

    tape = tg.record(f, x)
    found = tape.adjoints(x)
    shapes = [tape.aval_of(slot)[0] for slot in range(tape.slot_count)]
    assert [np.shape(bar) for bar in found] == shapes
    want = np.array(tg.grad(lambda x: f(x)[0].sum() + f(x)[2])(x))
    np.testing.assert_allclose(found[0], want, 1e-15)
    for slot in tape.outputs:
        wanted = 1 if tape.aval_of(slot)[1] != "int64" else 0
        np.testing.assert_array_equal(
            found[slot], np.full(np.shape(found[slot]), wanted)
        )


def test_masked_arrays_are_refused():
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    tape = tg.record(lambda x: (x * x).sum(), np.array([1.0, 2.0]))
    for run in (
        lambda: Value(masked),
        lambda: Value(np.ones(2)) * masked,
        lambda: tg.record(lambda x: x.sum(), masked),
        lambda: tg.record(lambda x: x * masked, np.ones(2)),
        lambda: tape(masked),
        lambda: tape.compile().gradient(masked),
    ):
        with pytest.raises(tg.RecordError, match=r"mask would be lost.*filled"):
            run()


def test_unsigned_integers_beyond_int64_are_refused():
    big = np.array([2**63 + 5, 1], np.uint64)
    small = np.array([2**63 - 1, 1], np.uint64)
    tape = tg.record(lambda x, i: x + i, np.zeros(2), small)
    np.testing.assert_array_equal(tape(np.zeros(2), small), small.astype(float))
    for run in (
        lambda: tg.record(lambda x, i: x + i, np.zeros(2), big),
        lambda: tape(np.zeros(2), big),
        lambda: tape.compile()(np.zeros(2), big),
        lambda: tg.record(lambda x: x + big, np.zeros(2)),
    ):
        with pytest.raises(tg.RecordError, match=r"9223372036854775813.*astype"):
            run()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_reductions_of_no_entries_are_silent(shape, axis):
    x = np.zeros(shape)
    for f in (
        lambda v: np.mean(v, axis=axis),
        lambda v: np.var(v, axis=axis),
        lambda v: np.std(v, axis=axis),
        lambda v: np.std(v + np.ones((2, *shape)), axis=0, ddof=2),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = f(x)
        tape = tg.record(f, x)
        for got in (f(Value(x)).data, tape(x), tape.compile()(x)):
            np.testing.assert_array_equal(got, want)


@pytest.mark.filterwarnings("error")
def test_deviations_without_freedom():
    x = np.array([[1.0, 2.0], [1.0, 1.0]])
    tape = tg.record(lambda v: np.std(v, axis=1, ddof=2), x)
    for got in (tape(x), tape.compile()(x), np.std(Value(x), axis=1, ddof=3).data):
        np.testing.assert_array_equal(got, [np.inf, np.nan])


@pytest.mark.filterwarnings("error")
def test_rows_of_nan_alone():
    x = np.array([[np.nan, np.nan], [1.0, np.nan], [1.0, 3.0]])
    nan = np.nan
    for f, want in (
        (lambda v: np.nanmax(v, axis=1), [nan, 1.0, 3.0]),
        (lambda v: np.nanmin(v, axis=1), [nan, 1.0, 1.0]),
        (lambda v: np.nanvar(v, axis=1, ddof=1), [nan, nan, 2.0]),
        (lambda v: np.nanvar(v, axis=1, ddof=2), [nan, nan, nan]),
        (lambda v: np.nanmax(v, axis=1, keepdims=True)[:, 0], [nan, 1.0, 3.0]),
    ):
        tape = tg.record(f, x)
        for got in (f(Value(x)).data, tape(x), tape.compile()(x)):
            np.testing.assert_array_equal(got, want)


def test_a_jacobian_keeps_entries_apart():
    x = np.array([0.0, 4.0])
    expected = np.array([[np.inf, 0.0], [0.0, 0.25]])
    for f in (np.sqrt, lambda x: np.sqrt(x)[::-1][::-1], lambda x: np.sqrt(x * 1.0)):
        np.testing.assert_array_equal(tg.record(f, np.ones(2)).jacobian(x), expected)
        np.testing.assert_array_equal(tg.jacobian(f)(x), expected)


def test_a_grad_has_the_shape_of_its_value():
    x = Value(np.ones(3))
    for wrong in (np.ones(4), np.ones((2, 1)), np.ones((1, 3))):
        with pytest.raises(tg.ShapeError, match=r"shape \(3,\)"):
            x.grad = wrong
    with pytest.raises(tg.ShapeError, match=r"\(2,\).*\(\)"):
        Value(1.0).grad = np.ones(2)
    x.grad = 1.0
    (x * 2).backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0, 3.0])
    with pytest.raises(tg.ShapeError, match=r"\(5,\).*\(3,\).*grad = 0.0"):
        x.data = np.ones(5)
    with pytest.raises(tg.ShapeError, match=r"grad = 0.0"):
        x.data = 1.0
    x.data = np.zeros(3)
    x.grad = 0.0
    x.data = np.ones(5)
    np.sum(x * 3).backward()
    np.testing.assert_array_equal(x.grad, np.full(5, 3.0))


def test_one_step_backwards_of_a_step_with_several_results():
    a = Value(np.array([[2.0, 1.0], [1.0, 3.0]]))
    w, v = np.linalg.eigh(a)
    for root in (w, v):
        a.grad = 0.0
        root.backward()
        want = a.grad
        a.grad, root.grad = 0.0, np.ones(root.shape)
        root._backward()
        np.testing.assert_array_equal(a.grad, want)


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_float32_are_infinite_in_silence():
    x = np.array([1e-30, 1.0], np.float32)
    tape = tg.record(lambda v: v * 1e300, x)
    # constants of a rule, too
    tg.record(lambda v: np.sum(np.hypot(v, v) + np.arcsinh(v)), x).compile().gradient(x)
    for got in ((Value(x) * 1e300).data, tape(x), tape.compile()(x)):
        np.testing.assert_array_equal(got, np.float32([np.inf, np.inf]))


def test_angles_of_float32_at_every_size():
    x = (np.float32(10.0) ** np.arange(-37, 38, dtype=np.float32)).astype(np.float32)
    y = x * np.float32(2)
    tape = tg.record(lambda y, x: np.sum(np.arctan2(y, x)), y, x)
    wide = y.astype(float), x.astype(float)
    squares = wide[0] ** 2 + wide[1] ** 2
    for bars in (tape.gradient(y, x), tape.compile().gradient(y, x)):
        np.testing.assert_allclose(bars[0], wide[1] / squares, 1e-6, 1e-45)
        np.testing.assert_allclose(bars[1], -wide[0] / squares, 1e-6, 1e-45)
