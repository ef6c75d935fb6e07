"""Places that loops compute from their counters, and Python's ints in a carry."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value

XS = np.array([0.5, -1.2, 2.0, 0.3])


def close(one, two, rel=1e-12) -> bool:
    return np.allclose(one, two, rtol=rel, atol=1e-14)


PLACES = {
    "x[i - 1]": lambda i, s, x: s * 0.9 + x[i - 1] ** 2,
    "x[2 * i % n]": lambda i, s, x: np.sin(s) + x[2 * i % len(x)],
    "x[(i + 1) // 2]": lambda i, s, x: s + x[(i + 1) // 2] * x[i],
    "bounds": lambda i, s, x: (
        s * x[np.minimum(i + 1, len(x) - 1)] + x[np.maximum(i - 1, 0)]
    ),
    "clip": lambda i, s, x: s + x[np.clip(i - 2, 0, 2)] * s,
    "where": lambda i, s, x: s + x[np.where(i > 2, i - 2, i)] * i,
    "choice": lambda i, s, x: s + np.where(i % 2 == 0, x[i] ** 2, x[-i - 1]),
    "power": lambda i, s, x: s + x[i**2 % len(x)] * i / 2,
    "arrays": lambda i, s, x: s + np.sum(x[np.array([0, 1]) + i % 4] ** 2) * s,
}


def by_fori(body, x, _):
    return tg.fori_loop(0, 5, lambda i, s: body(i, s, x), 0.3)


def by_scan(body, x, _):
    return tg.scan(lambda s, i: (body(i, s, x), None), 0.3, np.arange(5))[0]


def by_while(body, x, _):
    return tg.while_loop(
        lambda s: s[0] < 5, lambda s: (s[0] + 1, body(s[0], s[1], x)), (0, 0.3)
    )[1]


def by_value(body, x, n):
    return tg.fori_loop(0, n, lambda i, s: body(i, s, x), 0.3)


@pytest.mark.parametrize("loop", [by_fori, by_scan, by_while, by_value])
@pytest.mark.parametrize("name", PLACES)
def test_places_are_computed_from_a_counter(name: str, loop) -> None:
    """As the same loop of Python: values, both modes, order 2, every tier."""
    body = PLACES[name]

    def plainly(x):
        s = 0.3
        for i in range(5):
            s = body(i, s, x)
        return s

    x = np.array([0.5, -1.2, 2.0, 0.3, 0.9])
    at, along = x[::-1] * 1.1, np.array([1.0, -1.0, 0.5, 2.0, 0.3])
    plain = tg.record(plainly, x)
    value, slope, bent = plain(at), plain.gradient(at), plain.hvp(at, along)
    tape = tg.record(lambda x, n: loop(body, x, n), x, 4.0)
    tape.check()
    native = tape.compile()
    here, there = (at, 5.0), (along, 0.0)
    for tier in (tape, native):
        assert tier(*here) == pytest.approx(value, rel=1e-12)
        assert close(tier.gradient(*here)[0], slope)
        assert close(tier.hvp(here, there)[0], bent, rel=1e-10)
    assert tape.jvp(here, there)[1] == pytest.approx(slope @ along, rel=1e-11)
    exact = tape.gradient(*here, arithmetic="mpmath:30")[0]
    assert close(np.array(exact, float), slope)
    eager = Value(at)
    loop(body, eager, 5.0).backward()
    assert close(eager.grad, slope)


def test_python_ints_in_a_carry() -> None:
    """They stay ints, or turn out to be floats, as the body has it."""
    assert type(tg.fori_loop(0, 5, lambda i, y: y * 2, 1)) is np.int64
    assert type(tg.fori_loop(0, 5, lambda i, y: y * 2.5, 1)) is float
    found = tg.while_loop(lambda s: s["n"] < 3, lambda s: {"n": s["n"] + 1}, {"n": 0})
    assert found == {"n": 3}
    total, seen = tg.scan(lambda c, x: (c + x, c), 0, np.arange(4))
    assert total == 6
    assert seen.dtype == np.int64
    assert np.array_equal(seen, [0, 0, 1, 3])
    total, seen = tg.scan(lambda c, x: (c + x, c), 0, np.arange(4.0))
    assert seen.dtype == np.float64

    def both(c, x):
        return (c[0] + 1, c[1] + c[2] * x, c[2] + x), c[0]

    tape = tg.record(lambda xs: tg.scan(both, (0, 0, 2), xs)[0][1], XS)
    assert close(tape.gradient(XS), tg.grad(tape)(XS))
    assert tape(XS) == tape.compile()(XS)
    assert tg.fori_loop(0, 3, lambda i, y: y + i, 2**70) == 2.0**70
    # one whose shape changes is refused in words
    with pytest.raises(tg.ShapeError, match="carry starts with shape"):
        tg.fori_loop(0, 3, lambda i, y: y + np.arange(3), 0)


def test_random_numbers_by_integers() -> None:
    """A congruential generator: its products have more bits than a float."""

    def drawn(count):
        def draw(_, state):
            return (1103515245 * state + 12345) % 2**31

        return tg.fori_loop(0, count, draw, 42)

    state = 42
    for _ in range(50):
        state = (1103515245 * state + 12345) % 2**31
    assert drawn(50) == state

    def walk(x):
        def step(carry, _):
            state = (1103515245 * carry[0] + 12345) % 2**31
            return (state, carry[1] * x + state / 2**31), None

        return tg.scan(step, (42, 0.0), None, 30)[0][1]

    tape = tg.record(walk, 0.5)
    assert tape.compile()(0.7) == pytest.approx(tape(0.7), rel=1e-14)
    assert tape.compile().gradient(0.7) == pytest.approx(tape.gradient(0.7), rel=1e-13)


def test_a_plain_array_is_not_indexed_by_an_integer_of_a_loop() -> None:
    """Its answer would hold in one iteration. At plain numbers the loop just runs."""
    data, table = np.array([2.0, 3.0, 5.0]), [2.0, 3.0, 5.0]

    def by_index(x, data=data):
        return tg.fori_loop(0, 3, lambda i, s: s * x + data[i - 1], 1.0)

    def by_counter(x):
        def step(state):
            return {"n": state["n"] + 1, "s": state["s"] * x + table[state["n"]]}

        return tg.while_loop(lambda s: s["n"] < 3, step, {"n": 0, "s": 1.0})["s"]

    def by_carry(x):
        def step(carry, u):
            n, s = carry
            return (n + 1, s * x), {"seen": data[n] * u, "n": n}

        return tg.scan(step, (0, 1.0), np.arange(3.0), reverse=True)

    assert by_index(2.0) == 8.0 + 5.0 * 4.0 + 2.0 * 2.0 + 3.0
    assert by_counter(2.0) == 8.0 + 2.0 * 4.0 + 3.0 * 2.0 + 5.0
    (count, _), ys = by_carry(2.0)
    assert count == 3
    assert np.array_equal(ys["seen"], [0.0, 3.0, 4.0])
    assert np.array_equal(ys["n"], [2, 1, 0])
    here = rf"{__file__}:\d+ asks which number"
    for f in (by_index, by_counter, lambda x: by_carry(x)[0][1]):
        with pytest.raises(tg.RecordError, match=here):
            tg.grad(f)(2.0)
        with pytest.raises(tg.RecordError, match=r"tg.array\(data\)\[i\]"):
            f(Value(2.0))
    assert tg.grad(lambda x: by_index(x, tg.array(data)))(2.0) == 12.0 + 20.0 + 2.0


def test_an_integer_that_stays_the_same_may_be_a_plain_one() -> None:
    def f(x, k):
        def step(carry, u):
            y, power = carry
            return (y * x ** int(power) + u * XS[int(k)], power), None

        return tg.scan(step, (1.0, 2.0), np.ones(3))[0][0]

    tape = tg.record(f, 0.5, 1.0)
    assert tape.gradient(0.5, 1.0)[0] == pytest.approx(
        tg.grad(lambda x: ((x**2 + XS[1]) * x**2 + XS[1]) * x**2 + XS[1])(0.5)
    )
    with pytest.raises(tg.BranchChanged, match=__file__):
        tape(0.5, 2.0)


def test_a_place_that_a_loop_found_may_be_anywhere_while_a_derivative_is_recorded() -> (
    None
):
    """Nobody asks for its number there, and 0 - 7 would be out of bounds."""

    def f(x):
        last = tg.while_loop(lambda k: k < 9, lambda k: k + 1, 0)
        return x[last - 7] ** 3 * x[0]

    x = np.array([2.0, 3.0, 5.0])
    tape = tg.record(f, x)
    assert np.array_equal(tape.gradient(x), [125.0, 0.0, 150.0])
    assert np.array_equal(tape.adjoint_tape()(x), [125.0, 0.0, 150.0])
    assert np.array_equal(tape.compile().gradient(x), [125.0, 0.0, 150.0])
    assert tape.hessian(x)[2, 2] == tape.compile().hessian(x)[2, 2] == 60.0
    with pytest.raises(tg.IndexOutOfBounds):
        tg.grad(lambda x: f(x[:2]))(x)
