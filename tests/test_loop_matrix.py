"""Every construct with sub-tapes against the same program in plain Python.

Both modes and all pairs of them, in the interpreter, at 30 digits, in native code and
by transforms of the function; over shapes, none among them, and loops of no turns.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import tapegrad as tg


def cubic(y, x):
    """y**3 + y = x has one real root."""
    return y**3 + y - x


def root(x):
    """Cardano's formula, at numbers."""
    half = np.asarray(x) / 2.0
    wide = np.sqrt(half**2 + 1.0 / 27.0)
    y = np.cbrt(half + wide) + np.cbrt(half - wide)
    for _ in range(3):
        y = y - (y**3 + y - x) / (3.0 * y**2 + 1.0)
    return y if np.ndim(x) else float(y)


@tg.custom_gradient
def parts(x):
    """Two results, of which often one is read, with the true derivative."""
    s, c = np.sin(x), np.cos(x)
    return {
        "wave": s * x,
        "flat": c,
    }, lambda bar: bar["wave"] * (s + c * x) - bar["flat"] * s


def plain_scan(f, init, xs=None, length=None):
    """A scan by Python's loop; y are joined to one array."""
    carry, ys = init, []
    for i in range(len(xs) if xs is not None else length):
        carry, y = f(carry, None if xs is None else xs[i])
        ys.append(y)
    return carry, np.stack(ys) if ys else np.zeros((0,))


def plain_fori(lower, upper, body, init):
    for i in range(lower, upper):
        init = body(i, init)
    return init


def plain_while(cond, body, init):
    while cond(init):
        init = body(init)
    return init


def plain_parts(x):
    return {"wave": np.sin(x) * x, "flat": np.cos(x)}


LOOPS = SimpleNamespace(
    scan=tg.scan,
    fori=tg.fori_loop,
    repeat=tg.while_loop,
    forget=tg.checkpoint,
    parts=parts,
)
PLAIN = SimpleNamespace(
    scan=plain_scan,
    fori=plain_fori,
    repeat=plain_while,
    forget=lambda f: f,
    parts=plain_parts,
)


def by_scan(kit, x, n):
    us = np.linspace(0.5, 1.5, n)
    end, ys = kit.scan(lambda c, u: (np.sin(c * u) + 0.3 * x, np.sum(c * c) * u), x, us)
    return np.sum(end**2) + np.sum(ys)


def by_arrays(kit, x, n):
    def step(c, u):
        return {"a": c["a"] * u + c["b"], "b": np.tanh(c["a"])}, c["b"] * u

    us = x * np.linspace(0.5, 1.5, n).reshape(n, *(1,) * np.ndim(x)) if n else None
    if us is None:
        us = np.zeros((0, *np.shape(x)))
    end, ys = kit.scan(step, {"a": x, "b": 0.5 * x}, us)
    return np.sum(end["a"] * end["b"]) + (np.sum(ys) if n else 0.0)


def by_fori(kit, x, n):
    return np.sum(kit.fori(0, n, lambda i, c: c * np.cos(c) + 0.1 * i * x, x) ** 2)


def by_while(kit, x, n):
    def more(state):
        return {"c": np.tanh(state["c"] * x) + 0.5 * state["c"], "n": state["n"] + 1}

    return np.sum(kit.repeat(lambda s: s["n"] < n, more, {"c": x, "n": 0})["c"] ** 3)


def by_checkpoint(kit, x, n):
    piece = kit.forget(lambda c, x: np.sin(np.exp(-c * c)) * x)
    c = x
    for _ in range(n):
        c = piece(c, x)
    return np.sum(c**2)


def by_custom(kit, x, n):
    c = x
    for k in range(n):
        found = kit.parts(c)
        c = found["wave"] + (found["flat"] if k % 2 else 0.0)
    return np.sum(c * x)


def scan_in_scan(kit, x, n):
    us = np.linspace(0.5, 1.5, n)

    def row(c, u):
        d, ys = kit.scan(lambda d, v: (np.sin(d + u * v) * x, np.sum(d)), c, us[:2])
        return d, np.sum(ys) * u

    end, sums = kit.scan(row, x, us)
    return np.sum(end**2) + np.sum(sums)


def scan_in_while(kit, x, n):
    us = np.array([0.4, 0.8, -0.3])

    def more(state):
        c, ys = kit.scan(lambda c, u: (np.tanh(c + u * x), np.sum(c)), state[0], us)
        return c, state[1] + 1, state[2] + np.sum(ys)

    end = kit.repeat(lambda s: s[1] < n, more, (x, 0, 0.0 * np.sum(x)))
    return np.sum(end[0] ** 2) + end[2]


def while_in_scan(kit, x, n):
    def row(c, u):
        y = kit.repeat(lambda s: s[1] < 3, lambda s: (s[0] * c, s[1] + 1), (c, 0))[0]
        return np.sin(y * u), np.sum(y)

    end, sums = kit.scan(row, x, np.linspace(0.5, 1.5, n))
    return np.sum(end) + np.sum(sums)


def gradient_in_scan(kit, x, n):
    def step(c, u):
        slope = tg.grad(lambda v: np.sum(np.sin(v * x) * v * c))(c)
        return c - 0.1 * u * slope, None

    end, _ = kit.scan(step, x, np.linspace(0.5, 1.5, n)) if n else (x, None)
    return np.sum(end**2)


def rules_in_scan(kit, x, n):
    piece = kit.forget(lambda c: np.exp(-c * c) * x)

    def step(c, u):
        return kit.parts(piece(c) * u)["wave"] + c, np.sum(c)

    end, ys = kit.scan(step, x, np.linspace(0.5, 1.5, n))
    return np.sum(end**2) + np.sum(ys)


def scan_in_checkpoint(kit, x, n):
    def inner(x):
        us = np.linspace(0.5, 1.5, n)
        return kit.scan(lambda c, u: (np.sin(c * u) + x, None), x, us)[0] if n else x

    return np.sum(kit.forget(inner)(x) ** 2)


PROGRAMS = (
    by_scan,
    by_arrays,
    by_fori,
    by_while,
    by_checkpoint,
    by_custom,
    scan_in_scan,
    scan_in_while,
    while_in_scan,
    gradient_in_scan,
    rules_in_scan,
    scan_in_checkpoint,
)
SHAPES = ((), (3,), (2, 3), (0,))


def point(shape):
    """A point and a direction."""
    rng = np.random.default_rng(7)
    x, along = rng.uniform(0.2, 1.2, shape), rng.normal(size=shape)
    return (x, along) if shape else (float(x), float(along))


def same(one, two, rel=1e-11) -> None:
    np.testing.assert_allclose(
        np.asarray(one, float), np.asarray(two, float), rtol=rel, atol=1e-13
    )


def derivatives(tape, native, x, along):
    """What all tiers and pairs of modes give for value, slope and bend."""
    forward = tape.tangent_tape()
    zero = 0.0 * x
    yield "value", [tape(x), native(x), tape(x, arithmetic="mpmath:30")]
    exact = tape.gradient(x, arithmetic="mpmath:30")
    yield "reverse", [tape.gradient(x), native.gradient(x), exact]
    yield "forward", [tape.jvp((x,), (along,))[1], forward(x, along)]
    yield (
        "bend",
        [
            tape.hvp((x,), (along,)),
            native.hvp((x,), (along,)),
            forward.gradient(x, along)[0],
        ],
    )
    twice = forward.jvp((x, along), (along, zero))[1]
    yield "twice", [twice, np.sum(along * tape.hvp((x,), (along,)))]


@pytest.mark.parametrize("n", [0, 1, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_as_the_same_program_in_plain_python(program, shape, n: int) -> None:
    x, along = point(shape)
    tape = tg.record(lambda x: program(LOOPS, x, n), x)
    tape.check()
    plain = tg.record(lambda x: program(PLAIN, x, n), x)
    bend = plain.hvp((x,), (along,))
    wanted = {
        "value": plain(x),
        "reverse": plain.gradient(x),
        "forward": np.sum(plain.gradient(x) * along),
        "bend": bend,
        "twice": np.sum(bend * along),
    }
    # native code takes long to make: where something is to be seen
    native = tape.compile() if n == 4 or shape == (3,) else tape
    for what, found in derivatives(tape, native, x, along):
        for each in found:
            same(each, wanted[what], rel=1e-9 if what in {"bend", "twice"} else 1e-11)
    same(tg.grad(lambda x: program(LOOPS, x, n))(x), wanted["reverse"])
    same(
        tg.hvp(lambda x: program(LOOPS, x, n), (x,), (along,)), wanted["bend"], rel=1e-9
    )
    eager = tg.Value(x)
    program(LOOPS, eager, n).backward()
    same(eager.grad, wanted["reverse"])


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
def test_an_implicit_solution_in_every_construct(shape) -> None:
    """It has no native code; inside of a loop or a checkpoint it stays a rule."""
    x, along = point(shape)
    solution = tg.implicit(cubic, root)

    def program(solve, kit, x):
        end, _ = kit.scan(lambda c, u: (solve(c * u + x), None), x, np.ones(3) * 0.7)
        once = kit.forget(lambda c: solve(c) * x)(end)
        last = kit.repeat(
            lambda s: s[1] < 2, lambda s: (solve(s[0]) + x, s[1] + 1), (once, 0)
        )
        return np.sum(last[0] ** 2)

    tape = tg.record(lambda x: program(solution, LOOPS, x), x)
    plain = tg.record(lambda x: program(solution, PLAIN, x), x)
    same(tape(x), plain(x))
    same(tape.gradient(x), plain.gradient(x))
    same(tape.jvp((x,), (along,))[1], plain.jvp((x,), (along,))[1])
    same(tape.hvp((x,), (along,)), plain.hvp((x,), (along,)), rel=1e-9)
    same(tg.grad(lambda x: program(solution, LOOPS, x))(x), plain.gradient(x))
    step = 1e-6
    numeric = (plain(x + step * along) - plain(x - step * along)) / (2 * step)
    same(np.sum(tape.gradient(x) * along), numeric, rel=1e-7)
    with pytest.raises(tg.CompileError, match="which is Python code"):
        tape.compile()(x)
