"""Loops as steps: scan, fori_loop, while_loop; checkpoint; few snapshots."""

from __future__ import annotations

import functools
import pickle
import tracemalloc

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value, expanding
from tapegrad.loops import revolve

XS = np.array([0.5, -1.2, 2.0, 0.3])


def cell(carry, x):
    """A small recurrence with every kind of use of its arguments."""
    h, n = carry["h"], carry["n"]
    h = np.tanh(h * 1.5 + x) + 0.1 * n
    return {"h": h, "n": n + h * x}, (h * h, x - n)


def looped(h, xs):
    carry, (squares, rest) = tg.scan(cell, {"h": h, "n": 1.0}, xs)
    return carry["h"] * carry["n"] + np.sum(squares * rest)


def written(h, xs, order=range(4)):
    """The same with Python's loop."""
    carry, total = {"h": h, "n": 1.0}, 0.0
    for i in order:
        carry, (square, rest) = cell(carry, xs[i])
        total = total + square * rest
    return carry["h"] * carry["n"] + total


def close(one, two, rel=1e-12) -> bool:
    if isinstance(one, tuple):
        return all(close(a, b, rel) for a, b in zip(one, two, strict=True))
    return np.allclose(one, two, rtol=rel, atol=1e-14)


LOOP, WRITTEN = (tg.record(f, 0.3, XS) for f in (looped, written))
AT = (-0.4, XS[::-1].copy())
ALONG = (0.7, np.array([1.0, -2.0, 0.5, 3.0]))


# -- scan --------------------------------------------------------------------------


def test_a_scan_is_one_step() -> None:
    assert [step.primitive.name for step in LOOP].count("scan") == 1
    assert "scan cell" in str(LOOP)
    assert LOOP(*AT) == pytest.approx(WRITTEN(*AT), rel=1e-15)


def test_both_modes_and_orders() -> None:
    assert close(LOOP.gradient(*AT), WRITTEN.gradient(*AT))
    assert close(LOOP.jvp(AT, ALONG), WRITTEN.jvp(AT, ALONG))
    assert close(LOOP.hessian(*AT), WRITTEN.hessian(*AT))
    assert close(LOOP.hvp(AT, ALONG), WRITTEN.hvp(AT, ALONG))
    forward, other = LOOP.tangent_tape(), WRITTEN.tangent_tape()
    assert close(forward.gradient(*AT, *ALONG), other.gradient(*AT, *ALONG))
    twice = (*ALONG, 0.0, np.zeros(4))
    both = (*AT, *ALONG)
    assert close(forward.jvp(both, twice)[1], other.jvp(both, twice)[1])
    third = LOOP.adjoint_tape().tangent_tape().gradient if False else None
    del third


def test_third_derivatives() -> None:
    def cubed(f):
        return tg.grad(tg.grad(tg.grad(lambda h: f(h, XS))))(0.3)

    assert cubed(looped) == pytest.approx(cubed(written), rel=1e-11)


def test_derivatives_of_a_derivative_tape_are_scans() -> None:
    names = [step.primitive.name for step in LOOP.adjoint_tape()]
    assert names.count("scan") in {2, 3}
    assert len(names) < 60


@pytest.mark.parametrize("length", [0, 1, 3])
def test_lengths(length: int) -> None:
    xs = XS[:length]
    expected = tg.grad(lambda h: written(h, xs, range(length)))(0.3)
    assert tg.grad(lambda h: looped(h, xs))(0.3) == pytest.approx(expected, rel=1e-14)


def test_reverse() -> None:
    def backward(h, xs):
        carry, (squares, rest) = tg.scan(cell, {"h": h, "n": 1.0}, xs, reverse=True)
        return carry["h"] * carry["n"] + np.sum(squares * rest)

    tape = tg.record(backward, 0.3, XS)
    other = tg.record(lambda h, xs: written(h, xs, range(3, -1, -1)), 0.3, XS)
    assert close(tape.gradient(*AT), other.gradient(*AT))
    assert close(tape.hessian(*AT), other.hessian(*AT))
    assert close(tape.compile().gradient(*AT), other.gradient(*AT))


def test_carries_that_do_not_move_have_no_tangent() -> None:
    """The root of a time that starts at 0: its infinite slope is nobody's."""

    def loop(x):
        def step(c, _):
            return {
                "x": c["x"] * 1.5 + np.sqrt(c["t"]),
                "t": c["t"] + 1.0,
                "y": c["x"],
            }, 0.0

        return tg.scan(step, {"x": x, "t": 0.0, "y": 0.0}, None, 3)[0]["y"]

    tape = tg.record(loop, 2.0)
    assert tape.jvp((2.0,), (1.0,))[1] == 2.25
    assert tape.gradient(2.0) == 2.25
    assert tape.tangent_tape()(2.0, 1.0) == 2.25


def test_carries_that_nobody_reads_have_no_adjoint() -> None:
    def loop(x):
        def step(c, _):
            return {"x": c["x"] * 1.5, "note": np.sqrt(c["x"])}, np.log(c["x"])

        return tg.scan(step, {"x": x, "note": 0.0}, None, 3)[0]["x"]

    tape = tg.record(loop, 2.0)
    for x in (0.0, 2.0):
        assert tape.gradient(x) == 1.5**3
        assert tape.adjoint_tape()(x) == 1.5**3
        assert tape.hessian(x) == 0.0


def test_outputs_keep_their_places_in_reverse() -> None:
    _, ys = tg.scan(lambda c, x: (c + x, c), 0.0, np.arange(4.0), reverse=True)
    assert np.array_equal(ys, [6.0, 5.0, 3.0, 0.0])


def test_arrays_in_carry_and_xs() -> None:
    rng = np.random.default_rng(1)
    a, x0 = rng.normal(size=(3, 3)) / 2, rng.normal(size=3)
    drive = rng.normal(size=(5, 3))

    def loop(a, x0, drive):
        end, ys = tg.scan(lambda x, u: (np.tanh(a @ x) + u, x), x0, drive)
        return np.sum(end**2) + np.sum(ys[1:] * ys[:-1])

    def plain(a, x0, drive):
        rows, x = [], x0
        for i in range(5):
            rows.append(x)
            x = np.tanh(a @ x) + drive[i]
        ys = np.stack(rows)
        return np.sum(x**2) + np.sum(ys[1:] * ys[:-1])

    one, two = tg.record(loop, a, x0, drive), tg.record(plain, a, x0, drive)
    assert one(a, x0, drive) == pytest.approx(two(a, x0, drive), rel=1e-14)
    assert close(one.gradient(a, x0, drive), two.gradient(a, x0, drive))
    along = (a + 1, x0 * 2, drive)
    point = (a, x0, drive)
    assert close(one.hvp(point, along), two.hvp(point, along), rel=1e-11)
    assert close(one.compile().gradient(*point), two.gradient(*point))


def test_what_the_body_reads_becomes_an_input() -> None:
    def outer(w):
        inner = tg.grad(
            lambda v: tg.scan(lambda c, x: (c * w + v * x, None), 0.0, XS)[0]
        )
        return inner(2.0) * w

    def plain(w):
        def f(v):
            c = 0.0
            for x in XS:
                c = c * w + v * x
            return c

        return tg.grad(f)(2.0) * w

    assert tg.grad(outer)(0.7) == pytest.approx(tg.grad(plain)(0.7), rel=1e-14)


def test_eager_values_and_what_they_capture() -> None:
    w, x = Value(0.7), Value(2.0)
    end, ys = tg.scan(lambda c, u: (c * w + u, c), x, XS)
    (end + np.sum(ys)).backward()
    v, y = Value(0.7), Value(2.0)
    c, total = y, 0.0
    for u in XS:
        total = total + c
        c = c * v + u
    (c + total).backward()
    assert end.data == c.data
    assert w.grad == pytest.approx(v.grad, rel=1e-14)
    assert x.grad == pytest.approx(y.grad, rel=1e-14)


def test_scans_nest() -> None:
    grid = np.arange(6.0).reshape(2, 3) / 5

    def row(c, xs):
        c, ys = tg.scan(lambda d, x: (np.sin(d + x), d * x), c, xs)
        return c, np.sum(ys)

    def loop(c, grid):
        c, sums = tg.scan(row, c, grid)
        return c + np.sum(sums)

    def plain(c, grid):
        total = 0.0
        for i in range(2):
            for j in range(3):
                total = total + c * grid[i, j]
                c = np.sin(c + grid[i, j])
        return c + total

    one, two = tg.record(loop, 0.2, grid), tg.record(plain, 0.2, grid)
    assert close(one.gradient(0.2, grid), two.gradient(0.2, grid))
    assert close(one.hessian(0.2, grid), two.hessian(0.2, grid))
    assert close(one.compile().hessian(0.2, grid), two.hessian(0.2, grid))


@pytest.mark.parametrize("arithmetic", ["float32", "mpmath:30"])
def test_other_arithmetics(arithmetic: str) -> None:
    found = LOOP.gradient(*AT, arithmetic=arithmetic)
    expected = WRITTEN.gradient(*AT, arithmetic=arithmetic)
    rel = 1e-5 if arithmetic == "float32" else 1e-28
    assert abs(found[0] - expected[0]) <= rel * abs(expected[0])
    for one, two in zip(found[1], expected[1], strict=True):
        assert abs(one - two) <= rel * abs(two)


@pytest.fixture(params=["unrolled", "looped"])
def native_loops(request, monkeypatch) -> bool:
    """Whether short loops stay loops in native code, as long ones do."""
    if request.param == "looped":
        monkeypatch.setattr(expanding, "UNROLLED", 0)
    return request.param == "looped"


def test_native_code(native_loops: bool) -> None:
    native = tg.record(looped, 0.3, XS).compile()
    assert native(*AT) == pytest.approx(WRITTEN(*AT), rel=1e-14)
    assert close(native.gradient(*AT), WRITTEN.gradient(*AT))
    assert close(native.hessian(*AT), WRITTEN.hessian(*AT))
    assert close(native.hvp(AT, ALONG), WRITTEN.hvp(AT, ALONG))
    assert ("@body" in native.tape.to_llvm()) is native_loops
    again = pickle.loads(pickle.dumps(native))
    assert close(again.gradient(*AT), WRITTEN.gradient(*AT))


def test_native_code_of_every_kind_of_body(native_loops: bool) -> None:
    del native_loops
    table = np.sin(np.arange(300.0))  # too long to be written into the code

    def row(c, x):
        c, ys = tg.scan(
            lambda d, u: (np.tanh(d @ u) + x, d), c, np.full((2, 3, 3), 0.3)
        )
        return c, np.sum(ys) * table[:3] + c

    def loop(c, n, xs):
        start = {"c": c, "n": n, "k": np.float32(0.5)}

        def step(now, x):
            c, y = row(now["c"], x)
            k = now["k"] * np.float32(1.5)
            n = tg.where(now["n"] > 1.0, now["n"] - x, now["n"] * 2)
            return {"c": c, "n": n, "k": k}, (y, n, now["n"] > 1.0)

        now, (ys, ns, truths) = tg.scan(step, start, xs, reverse=True)
        kept = np.sum(tg.where(truths, ns, 0.0))
        return (
            np.sum(now["c"]) * now["n"] + np.sum(ys**2) + kept + now["k"].astype(float)
        )

    c, xs = np.array([0.1, -0.2, 0.3]), np.array([0.4, 0.8, -0.6, 0.9, 0.2])
    tape = tg.record(loop, c, 0.7, xs)
    native = tape.compile()
    assert native(c, 0.7, xs) == pytest.approx(tape(c, 0.7, xs), rel=1e-13)
    assert close(native.gradient(c, 0.7, xs), tape.gradient(c, 0.7, xs))
    point, along = (c, 0.7, xs), (c * 2, 0.3, xs - 1)
    assert close(native.hvp(point, along), tape.hvp(point, along), rel=1e-11)


def test_native_code_of_a_long_loop() -> None:
    tape = tg.record(lambda x: tg.fori_loop(0, 10**5, lambda i, y: np.sin(y), x), 1.0)
    native = tape.compile()
    value, slope = tape.value_and_gradient(1.3)
    assert native.value_and_gradient(1.3) == pytest.approx((value, slope), rel=1e-10)
    assert native.report.parts["gradient"].code_bytes < 10_000
    with pytest.raises(tg.DomainError, match=r"100,000 iterations of 3 steps"):
        tape.to_sympy()


def test_native_code_does_not_keep_more_than_there_is(monkeypatch) -> None:
    from tapegrad.native.arrays import loops

    def swing(x):
        return np.sum(tg.scan(lambda c, _: (np.sin(c), None), x, None, 2000)[0])

    x = np.linspace(0.0, 1.0, 100)
    tape = tg.record(swing, x)
    monkeypatch.setattr(loops, "memory", lambda: 3_200_000)
    assert close(tape.compile().gradient(x), tape.gradient(x))
    monkeypatch.setattr(loops, "memory", lambda: 3_190_000)
    assert tape.compile()(x) == pytest.approx(tape(x))  # the value keeps nothing
    with pytest.raises(tg.CompileError, match=r"2,000 iterations would keep 0.0 GB"):
        tape.compile().gradient(x)


def test_guards_in_native_loops(native_loops: bool) -> None:
    del native_loops

    def body(c, x):
        return (c + x if x > 0 else c - x), None

    tape = tg.record(lambda xs: tg.scan(body, 0.0, xs)[0], np.array([1.0, 2.0, 3.0]))
    native = tape.compile()
    assert native(np.array([1.0, 5.0, 3.0])) == 9.0
    with pytest.raises(tg.BranchChanged, match=r"test_loops.py:\d+"):
        native(np.array([1.0, 2.0, -3.0]))


def test_files_pickles_formulas_and_pictures() -> None:
    again = tg.from_bytes(LOOP.to_bytes())
    assert again == LOOP
    assert close(again.hessian(*AT), LOOP.hessian(*AT))
    assert pickle.loads(pickle.dumps(LOOP)) == LOOP
    short = tg.record(lambda x: tg.scan(lambda c, x: (c * x, None), 1.0, x)[0], XS[:2])
    assert str(short.to_sympy()) == "x_0*x_1"
    assert "pull_scan" in str(LOOP.trace())
    assert LOOP.draw().source
    assert "scan cell" in LOOP.to_json()


def test_gradients_pass_their_check() -> None:
    assert tg.check_gradient(looped, 0.3, XS).ok


# -- what is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "init", "words"),
    [
        (
            lambda c, x: ([{"w": c[0]["w"] + XS}], x),
            [{"w": 0.0}],
            r"carry\[0\]\['w'\] st",
        ),
        (lambda c, x: ((c[0], c[1], x), x), (0.0, 1.0), "the carry starts as"),
        (lambda c, x: (None, x), 0.0, "starts as one number or array, and .* None"),
        (lambda c, x: c, 0.0, r"it returns \(carry, y\)"),
    ],
)
def test_a_carry_that_changes(body, init, words) -> None:
    with pytest.raises((tg.ShapeError, tg.RecordError), match=words):
        tg.scan(body, init, XS)


@pytest.mark.parametrize(
    ("xs", "length", "words"),
    [
        ((XS, XS[:2]), None, r"xs\[0\] 4, xs\[1\] 2"),
        (XS, 3, "length= 3"),
        (None, None, "needs length="),
        (2.0, None, "single number"),
        (None, -1, "length= is -1"),
    ],
)
def test_lengths_that_do_not_fit(xs, length, words) -> None:
    with pytest.raises(tg.ShapeError, match=words):
        tg.scan(lambda c, x: (c, None), 0.0, xs, length)


def test_branches_in_a_body_are_guarded_in_every_iteration() -> None:
    def body(c, x):
        return (c + x if x > 0 else c - x), None

    assert tg.scan(body, 0.0, np.array([1.0, 2.0]))[0] == 3.0
    with pytest.raises(tg.BranchChanged, match=r"test_loops.py:\d+"):
        tg.scan(body, 0.0, np.array([1.0, -2.0]))
    tape = tg.record(lambda xs: tg.scan(body, 0.0, xs)[0], np.array([1.0, 2.0]))
    with pytest.raises(tg.BranchChanged, match="test_loops.py"):
        tape.gradient(np.array([1.0, -2.0]))
    with pytest.raises(tg.BranchChanged, match="test_loops.py"):
        tape.compile()(np.array([1.0, -2.0]))


# -- fori_loop and while_loop ------------------------------------------------------


def test_fori_loop() -> None:
    def power(x):
        return tg.fori_loop(0, 5, lambda i, y: y * x, 1.0)

    assert power(2.0) == 32.0
    assert tg.grad(power)(2.0) == 80.0
    assert tg.grad(tg.grad(power))(2.0) == 160.0
    assert tg.record(power, 1.0).compile().value_and_gradient(2.0) == (32.0, 80.0)
    # i is a place
    dot = tg.record(lambda x: tg.fori_loop(1, 4, lambda i, s: s + x[i] * i, 0.0), XS)
    expected = sum(i * XS[i] for i in range(1, 4))
    assert dot(XS) == pytest.approx(expected, rel=1e-15)
    assert dot.compile()(XS) == pytest.approx(expected, rel=1e-15)
    assert np.array_equal(dot.gradient(XS), [0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("arithmetic", ["float32", "mpmath:30", "mpmath:50"])
def test_a_counter_times_a_float_in_other_arithmetics(arithmetic: str) -> None:
    tape = tg.record(
        lambda x: tg.fori_loop(0, 7, lambda i, c: np.cos(c) * x + 0.1 * i, x), 0.6
    )
    found = float(tape.gradient(0.66, arithmetic=arithmetic))
    assert found == pytest.approx(tape.gradient(0.66), rel=1e-5)


def test_fori_loop_to_a_value() -> None:
    def power(x, n):
        return tg.fori_loop(0, n, lambda i, y: y * x, 1.0)

    tape = tg.record(power, 2.0, 3.0)
    assert tape(2.0, 5.0) == 32.0
    assert tape.gradient(2.0, 5.0) == (80.0, 0.0)


def newton(a):
    """A square root; the number of laps depends on a."""
    return tg.while_loop(
        lambda x: abs(x * x - a) > 1e-13 * a, lambda x: 0.5 * (x + a / x), a
    )


def test_while_loop() -> None:
    tape = tg.record(newton, 4.0)
    assert [step.primitive.name for step in tape] == ["input", "while_loop"]
    for a in (0.01, 2.0, 900.0):
        assert tape(a) == pytest.approx(a**0.5, rel=1e-13)
        first, second = 0.5 * a**-0.5, -0.25 * a**-1.5
        assert tape.gradient(a) == pytest.approx(first, rel=1e-9)
        assert tape.jvp((a,), (1.0,))[1] == pytest.approx(first, rel=1e-9)
        assert tape.hessian(a) == pytest.approx(second, rel=1e-6)
        assert tape.hvp(a, 1.0) == pytest.approx(second, rel=1e-6)
        assert tg.grad(tg.grad(newton))(a) == pytest.approx(second, rel=1e-6)
        forward = tape.tangent_tape()
        assert forward.gradient(a, 1.0)[0] == pytest.approx(second, rel=1e-6)


def test_while_loop_is_the_loop_that_was_run() -> None:
    def doubled(x):
        return tg.while_loop(lambda y: y < 10.0, lambda y: y * x, 1.0)

    tape = tg.record(doubled, 2.0)
    # 2^4 = 16, 3^3 = 27, 9^2
    assert [tape(x) for x in (2.0, 3.0, 9.0)] == [16.0, 27.0, 81.0]
    assert [tape.gradient(x) for x in (2.0, 3.0, 9.0)] == [32.0, 27.0, 18.0]
    assert [tape.hessian(x) for x in (2.0, 3.0, 9.0)] == [48.0, 18.0, 2.0]
    third = tape.adjoint_tape().adjoint_tape()
    assert [third.gradient(x) for x in (2.0, 3.0, 9.0)] == [48.0, 6.0, 0.0]
    assert tape.gradient(11.0) == 1.0
    assert float(tape.gradient(3.0, arithmetic="mpmath:30")) == 27.0
    again = tg.from_bytes(tape.to_bytes())
    assert again == tape
    assert again.hessian(3.0) == 18.0


def test_while_loop_of_eager_values() -> None:
    x = Value(3.0)
    y = tg.while_loop(lambda y: y < 10.0, lambda y: y * x, 1.0)
    y.backward()
    assert x.grad == 27.0


def test_while_loop_in_native_code() -> None:
    tape = tg.record(newton, 4.0)
    native = tape.compile()
    assert [native(a) for a in (0.01, 2.0, 900.0)] == [
        tape(a) for a in (0.01, 2.0, 900.0)
    ]

    def walk(x, m):
        def step(state):
            return {"x": np.tanh(m @ state["x"]), "n": state["n"] + 1.0}

        start = {"x": x, "n": 0.0}
        return tg.while_loop(lambda s: np.sum(s["x"] ** 2) > 0.1 * s["n"], step, start)

    x, m = np.array([0.5, -0.3, 0.8]), np.diag([1.1, 0.9, 1.2])
    tape = tg.record(walk, x, m)
    one, two = tape.compile()(x, m), tape(x, m)
    assert one["n"] == two["n"] > 3
    assert np.allclose(one["x"], two["x"], rtol=1e-13)
    with pytest.raises(tg.DomainError, match="no formula"):
        tg.record(newton, 4.0).to_sympy()


def walked(x, m, most):
    """Arrays in the carry, and a number of laps that is asked for."""

    def step(state):
        x = np.tanh(m @ state["x"]) + 0.1 * state["x"]
        return {"x": x, "n": state["n"] + 1.0, "sum": state["sum"] + np.sum(x**2)}

    start = {"x": x, "n": 0.0, "sum": 0.0}
    end = tg.while_loop(lambda s: s["n"] < most, step, start)
    return end["sum"] + np.sum(end["x"] ** 3)


@pytest.mark.parametrize("laps", [0.0, 1.0, 7.0, 64.0, 65.0, 300.0])
def test_native_derivatives_of_a_while_loop(laps: float) -> None:
    """64 laps have room at first; of more the kernel is made anew, with more room."""
    x, m = np.array([0.5, -0.3, 0.8]), np.diag([1.1, 0.9, 1.2]) + 0.1
    tape = tg.record(walked, x, m, 3.0)
    native = tape.compile()
    at, along = (x, m, laps), (x + 1.0, m * 2.0, 0.0)
    for _ in range(2):  # of the second call the answer is native again
        assert close(native.gradient(*at), tape.gradient(*at), rel=1e-11)
        assert close(native.hvp(at, along), tape.hvp(at, along), rel=1e-9)
    forward = tape.tangent_tape()
    assert close(forward.compile()(*at, *along), tape.jvp(at, along)[1], rel=1e-11)


@pytest.fixture
def asked(monkeypatch) -> list:
    """The inputs that the interpreter is asked for in the place of native code."""
    from tapegrad.native import arraycalls

    found, asked = arraycalls.Replay._found, []
    monkeypatch.setattr(
        arraycalls.Replay,
        "_found",
        lambda self, inputs: asked.append(inputs) or found(self, inputs),
    )
    return asked


def test_native_derivatives_of_a_while_loop_are_native(asked) -> None:
    """Also where there was no room at first: the interpreter is asked once."""
    tape = tg.record(lambda x, n: tg.fori_loop(0, n, lambda i, y: y * x, 1.0), 2.0, 3.0)
    native = tape.compile()
    for laps, times in ((64.0, 0), (65.0, 1), (66.0, 1), (100.0, 1), (2000.0, 2)):
        for x in (0.99, 1.01):
            assert native.gradient(x, laps)[0] == pytest.approx(
                laps * x ** (laps - 1), rel=1e-11
            )
        assert len(asked) == times


def test_what_native_code_is_made_of_gives_the_same_numbers() -> None:
    """The tape with room for 64 laps, read by the interpreter."""
    x, m = np.array([0.5, -0.3, 0.8]), np.diag([1.1, 0.9, 1.2]) + 0.1
    tape = tg.record(walked, x, m, 3.0)
    derived = tape.adjoint_tape()
    flat = expanding.expanded(derived, native=True)
    flat.check()
    assert expanding.bounded(flat)
    assert not expanding.bounded(expanding.expanded(tape, native=True))
    for laps in (0.0, 5.0, 64.0):
        assert close(tuple(flat(x, m, laps)), derived(x, m, laps), rel=1e-13)


def test_a_while_loop_that_needs_much_memory_is_left_to_the_interpreter(
    asked, monkeypatch
) -> None:
    from tapegrad.native import arraycalls

    monkeypatch.setattr(arraycalls, "MOST", 1000)
    tape = tg.record(lambda x, n: tg.fori_loop(0, n, lambda i, y: y * x, 1.0), 2.0, 3.0)
    native = tape.compile()
    assert native.gradient(1.0, 500.0) == (500.0, 0.0)
    assert native.gradient(1.0, 600.0) == (600.0, 0.0)
    assert len(asked) == 2
    assert native.gradient(1.0, 60.0) == (60.0, 0.0)
    assert len(asked) == 2


def test_native_loops_in_loops_that_end_by_a_condition() -> None:
    """A scan whose body has a while loop, and a while loop around a scan."""

    def inner(c, x):
        root = tg.while_loop(
            lambda y: abs(y * y - x) > 1e-12, lambda y: 0.5 * (y + x / y), x
        )
        return np.sin(c) + root, c * root

    def outer(c, xs):
        def more(state):
            end, ys = tg.scan(inner, state["c"], xs)
            return {"c": end / 2.0, "sum": state["sum"] + np.sum(ys)}

        found = tg.while_loop(lambda s: s["sum"] < 30.0, more, {"c": c, "sum": c * 0.0})
        return found["c"] * found["sum"]

    xs = np.array([2.0, 5.0, 0.3])
    tape = tg.record(outer, 0.7, xs)
    native = tape.compile()
    for at in ((0.7, xs), (1.3, xs * 2.0)):
        assert native(*at) == pytest.approx(tape(*at), rel=1e-13)
        assert close(native.gradient(*at), tape.gradient(*at), rel=1e-10)
        along = (0.3, np.array([1.0, -1.0, 2.0]))
        assert close(native.hvp(at, along), tape.hvp(at, along), rel=1e-8)

    def plainly(c, xs):
        total = c * 0.0
        while total < 30.0:
            for i in range(3):
                y = xs[i]
                while abs(y * y - xs[i]) > 1e-12:
                    y = 0.5 * (y + xs[i] / y)
                c, total = np.sin(c) + y, total + c * y
            c = c / 2.0
        return c * total

    assert close(tape.gradient(0.7, xs), tg.grad(plainly, (0, 1))(0.7, xs), rel=1e-11)


@pytest.mark.parametrize("laps", [0.0, 4.0])
def test_a_constant_that_no_result_of_a_while_loop_reads(laps: float) -> None:
    """Its infinite slope is nobody's; nor is that of any where there is no lap."""

    def f(a, b, n):
        root = np.sqrt(a)

        def step(state):
            return {
                "x": state["x"] * b,
                "note": state["note"] + root,
                "n": state["n"] + 1.0,
            }

        start = {"x": b, "note": 0.0, "n": 0.0}
        return tg.while_loop(lambda s: s["n"] < n, step, start)["x"]

    at, along = (0.0, 1.5, laps), (0.0, 1.0, 0.0)
    tape = tg.record(f, *at)
    expected = (0.0, (laps + 1) * 1.5**laps, 0.0)
    second = laps * (laps + 1) * 1.5 ** (laps - 1)
    assert tape.gradient(*at) == expected
    assert tape.adjoint_tape()(*at) == expected
    assert tape.compile().gradient(*at) == expected
    assert tg.grad(f, (0, 1, 2))(*at) == expected
    assert tape.hvp(at, along) == (0.0, second, 0.0)
    assert tape.compile().hvp(at, along) == (0.0, second, 0.0)

    def read(a, b, n):
        root = np.sqrt(a)
        return tg.while_loop(
            lambda s: s[1] < n, lambda s: (s[0] * root, s[1] + 1.0), (b, 0.0)
        )[0]

    tape = tg.record(read, *at)
    native = tape.compile()
    if not laps:
        for found in (tape.gradient, tape.adjoint_tape(), native.gradient):
            assert found(*at) == (0.0, 1.0, 0.0)
    else:
        assert np.isnan(native.gradient(*at)[0]) == np.isnan(tape.gradient(*at)[0])
    assert close(native.gradient(4.0, 1.5, laps), tape.gradient(4.0, 1.5, laps))
    assert close(native.hessian(4.0, 1.5, laps), tape.hessian(4.0, 1.5, laps))


def test_a_tangent_of_a_checkpoint_leaves_structural_zeros() -> None:
    """0 times the infinite slope of the root would be NaN."""
    piece = tg.checkpoint(lambda a, b: np.sqrt(a) * b)
    forward = tg.record(lambda b: piece(0.0, b), 1.5).tangent_tape()
    assert forward(1.5, 1.0) == 0.0
    assert forward.compile()(1.5, 1.0) == 0.0
    assert forward.jvp((1.5, 1.0), (1.0, 1.0))[1] == 0.0


def test_scans_of_no_iterations_do_nothing() -> None:
    """Not even an infinite slope of what the body reads is there."""

    def f(a, x, xs):
        root = np.sqrt(a)
        c, ys = tg.scan(lambda c, x: (c * root + x, c), x, xs)
        return c * c + np.sum(ys)

    none = np.zeros(0)
    tape = tg.record(f, 0.0, 2.0, none)
    for found in (tape.gradient, tape.adjoint_tape(), tape.compile().gradient):
        one, two, three = found(0.0, 2.0, none)
        assert (one, two, three.shape) == (0.0, 4.0, (0,))
    carry, ys = tg.scan(lambda c, x: (c + x, c), np.ones(2), np.zeros((0, 2)))
    carry[0] = 5.0  # the caller's own
    assert ys.shape == (0, 2)
    assert isinstance(tg.scan(lambda c, x: (c + x, c), Value(1.0), none)[1], Value)


def test_while_loop_needs_a_condition() -> None:
    with pytest.raises(tg.RecordError, match=r"gives float64 of shape \(\); it"):
        tg.while_loop(lambda x: x, lambda x: x, 1.0)
    with pytest.raises(tg.RecordError, match=r"bool of shape \(6,\); .* one"):
        tg.while_loop(lambda x: x < 1.0, lambda x: x + 1.0, np.zeros(6))
    with pytest.raises(tg.ShapeError, match="carry starts with shape"):
        tg.while_loop(lambda x: x < 1.0, lambda x: x + XS, 0.0)


# -- checkpoint --------------------------------------------------------------------


def block(x, w):
    return {"a": np.sin(np.exp(x) * w), "b": x * w}


def test_checkpoint_changes_no_number() -> None:
    def model(block, x, w):
        for _ in range(3):
            out = block(x, w)
            x = out["a"] + out["b"]
        return x

    one = tg.record(lambda x, w: model(tg.checkpoint(block), x, w), 0.3, 0.7)
    two = tg.record(lambda x, w: model(block, x, w), 0.3, 0.7)
    assert [step.primitive.name for step in one].count("checkpoint") == 3
    assert one.gradient(0.5, 0.9) == two.gradient(0.5, 0.9)
    assert close(one.hessian(0.5, 0.9), two.hessian(0.5, 0.9))
    assert close(one.hvp((0.5, 0.9), (1.0, 2.0)), two.hvp((0.5, 0.9), (1.0, 2.0)))
    assert close(one.jvp((0.5, 0.9), (1.0, 2.0)), two.jvp((0.5, 0.9), (1.0, 2.0)))
    assert close(one.compile().hessian(0.5, 0.9), two.hessian(0.5, 0.9))
    assert tg.checkpoint(block)(0.3, 0.7) == block(0.3, 0.7)


def test_checkpoint_keeps_absent_arms_absent() -> None:
    """An entry that is not selected stays absent inside, too: no 0 * inf."""

    def root(x):
        return {"r": np.sqrt(x), "l": np.log(x)}

    def f(piece, x):
        found = piece(x)
        return np.sum(tg.where(x > 0, found["r"], 0.0) ** 2 * x)

    x = np.array([0.0, 4.0])
    one = tg.record(lambda x: f(tg.checkpoint(root), x), x)
    two = tg.record(lambda x: f(root, x), x)
    assert np.array_equal(one.gradient(x), [0.0, 8.0])
    assert np.array_equal(one.gradient(x), two.gradient(x))
    assert np.array_equal(one.adjoint_tape()(x), two.gradient(x))
    assert np.array_equal(one.hessian(x), two.hessian(x), equal_nan=True)
    assert np.array_equal(one.compile().gradient(x), two.gradient(x))
    v = Value(x)
    f(tg.checkpoint(root), v).backward()
    assert np.array_equal(v.grad, [0.0, 8.0])


def test_checkpoint_captures() -> None:
    def outer(w):
        inner = tg.checkpoint(lambda x: np.sin(x * w))
        return inner(2.0) * w

    assert tg.grad(outer)(0.7) == pytest.approx(
        np.sin(1.4) + 0.7 * 2 * np.cos(1.4), rel=1e-15
    )


def peak(work) -> int:
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_checkpoint_saves_memory() -> None:
    def stretch(x):
        for _ in range(20):
            x = np.sin(x)
        return x

    def model(piece, x):
        for _ in range(5):
            x = piece(x)
        return np.sum(x)

    x = np.linspace(0.0, 1.0, 20_000)
    kept = tg.record(lambda x: model(stretch, x), x)
    forgot = tg.record(lambda x: model(tg.checkpoint(stretch), x), x)
    first = kept.gradient(x)
    assert np.array_equal(forgot.gradient(x), first)
    assert peak(lambda: forgot.gradient(x)) < 0.4 * peak(lambda: kept.gradient(x))


# -- few snapshots -----------------------------------------------------------------


@functools.cache
def fewest(length: int, snapshots: int) -> int:
    """Iterations that must be run again, by trying every place of a snapshot."""
    if length == 1:
        return 0
    if snapshots == 1:
        return length * (length - 1) // 2
    return min(
        k + fewest(length - k, snapshots - 1) + fewest(k, snapshots)
        for k in range(1, length)
    )


@pytest.mark.parametrize("snapshots", [1, 2, 3, 5, 8])
def test_recomputations_are_the_fewest_there_are(snapshots: int) -> None:
    for length in (1, 2, 7, 20, 45):
        counted: list[int] = []

        def advance(state: int, low: int, high: int, counted=counted) -> int:
            assert state == low < high
            counted.append(high - low)
            return high

        found = list(revolve.states(length, snapshots, 0, advance))
        assert found == [(i, i) for i in range(length - 1, -1, -1)]
        assert sum(counted) == fewest(length, snapshots)
        assert sum(counted) == revolve.advances(length, snapshots)


def test_a_million_iterations_need_four_passes_with_100_snapshots() -> None:
    assert revolve.repeats(10**6, 100) == 4
    assert revolve.advances(10**6, 100) == 4 * 10**6 - revolve.beta(101, 3)


@pytest.mark.parametrize("snapshots", [1, 2, 5])
def test_few_snapshots_change_no_number(snapshots: int) -> None:
    xs = np.sin(np.arange(60.0))

    def loop(h, xs, **kept):
        carry, ys = tg.scan(cell, {"h": h, "n": 1.0}, xs, **kept)
        return carry["h"] * carry["n"] + np.sum(ys[0] * ys[1])

    few = tg.record(lambda h, xs: loop(h, xs, snapshots=snapshots), 0.3, xs)
    all_ = tg.record(loop, 0.3, xs)
    one, two = few.gradient(0.3, xs), all_.gradient(0.3, xs)
    assert one[0] == two[0]
    assert np.array_equal(one[1], two[1])
    assert close(few.hessian(0.3, xs[:60]), all_.hessian(0.3, xs))
    assert close(
        few.gradient(0.3, xs, arithmetic="float32"),
        all_.gradient(0.3, xs, arithmetic="float32"),
    )


def test_few_snapshots_bound_the_memory() -> None:
    def loop(x, **kept):
        end, _ = tg.scan(lambda c, _: (np.sin(c), None), x, None, 3000, **kept)
        return np.sum(end)

    x = np.linspace(0.0, 1.0, 1000)  # 8 kB a carry
    few = tg.record(lambda x: loop(x, snapshots=20), x)
    all_ = tg.record(loop, x)
    assert np.array_equal(few.gradient(x), all_.gradient(x))
    assert peak(lambda: all_.gradient(x)) > 3000 * 8000
    assert peak(lambda: few.gradient(x)) < 40 * 8000 + 200_000


@pytest.mark.parametrize("snapshots", [None, 2])
def test_a_constant_that_no_result_reads_has_no_adjoint(snapshots: int | None) -> None:
    """An adjoint of 0 would be NaN further up, where the root's slope is infinite."""

    def f(a, b):
        root = np.sqrt(a)
        start = (b, 1.0)
        (u, _), _ = tg.scan(
            lambda s, _: ((s[0] * b, s[1] + root), None),
            start,
            length=3,
            snapshots=snapshots,
        )
        return u

    tape = tg.record(f, 0.0, 1.5)
    assert tape.gradient(0.0, 1.5) == (0.0, 4 * 1.5**3)
    assert tape.adjoint_tape()(0.0, 1.5) == (0.0, 4 * 1.5**3)
    assert tape.compile().value_and_gradient(0.0, 1.5)[1] == (0.0, 4 * 1.5**3)
