# ruff: noqa: E731 - a body is one expression, read beside its loop
"""Ordered loops: what the steps of their iterations give, to the last bit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from orderedloops import RandomLoop, bits, compared, differing, leaves, pair, point

import tapegrad as tg
from tapegrad import passing
from tapegrad.derivatives import gradient_tape
from tapegrad.loops import adjoints, first, plan, rule
from tapegrad.loops.rule import SCAN
from tapegrad.tape.tape import Tape

XS = np.array([0.3, -1.2, 0.0, 2.5, -0.0, 0.7, -0.4, 1.1, 0.9, -2.0, 0.2, 1.6])
N = 9

# -- programs --------------------------------------------------------------------------


def rosenbrock(way: Any, x: Any) -> Any:
    """Windows that overlap: an entry is read in two iterations."""
    reads = [way.read(x, k, 1, N) for k in (1, 0, 0)]
    body = lambda now, v, c: (
        [now[0] + 100.0 * (v[0] - v[1] * v[1]) ** 2 + (1.0 - v[2]) ** 2],
        [],
    )
    (s,), _ = way.loop(body, [x[0] * 0.0], reads, [], N)
    return s


def constants(way: Any, a: Any, b: Any) -> Any:
    """Constants that are read several times, and before and after the loop."""
    before = a * b
    body = lambda now, v, c: ([now[0] * c[0] + c[1] * c[0] - c[1] * now[0]], [])
    (s,), _ = way.loop(body, [a * 0.3], [], [a, b], N)
    return s * a + b * before - a * 0.7


def start(way: Any, a: Any, b: Any) -> Any:
    """The first carry is a constant of the loop as well, and read elsewhere."""
    body = lambda now, v, c: ([now[0] - 0.1 * (now[0] - c[0]) * c[1] * now[0]], [])
    (s,), _ = way.loop(body, [a], [], [a, b], N)
    return s * a + a * b


def one_of_three(way: Any, a: Any, b: Any, c: Any) -> Any:
    """Several carries, and one of them is asked for."""
    body = lambda now, v, c: (
        [
            now[0] + 0.1 * c[0] * (now[1] - now[0]),
            now[1] + 0.1 * (now[0] * (c[1] - now[2]) - now[1]),
            now[2] + 0.1 * (now[0] * now[1] - c[2] * now[2]),
        ],
        [],
    )
    ends, _ = way.loop(body, [a, b, c], [], [c, a, b], N)
    return ends[0] * b


def arms(way: Any, x: Any, a: Any) -> Any:
    """Arms that are not selected, with a root of 0 in them."""
    body = lambda now, v, c: (
        [tg.where(v[0] > 0.0, now[0] * np.sqrt(abs(v[1])) + c[0], now[0] - v[0])],
        [],
    )
    reads = [way.read(x, 0, 1, N), way.read(x, 0, 1, N)]
    (s,), _ = way.loop(body, [a * 1.0], reads, [a], N)
    return s * a


def kinks(way: Any, x: Any, a: Any) -> Any:
    """A running maximum, and absolute values at 0."""
    body = lambda now, v, c: ([np.maximum(now[0], abs(v[0]) * c[0])], [now[0]])
    (s,), (y,) = way.loop(body, [a], [way.read(x, 1, 1, N)], [a], N)
    return s * y[3] + y[5] * a


def roots(way: Any, x: Any, a: Any) -> Any:
    """Of what each iteration gives one is asked for: a root of 0 is nobody's."""
    body = lambda now, v, c: ([now[0] + 1.0], [np.sqrt(abs(v[0])) * c[0]])
    _, (y,) = way.loop(body, [a], [way.read(x, 0, 1, N)], [a], N)
    return y[3] * a + y[5]


def recurrence(way: Any, a: Any, b: Any) -> Any:
    """Two iterations back; what is one start in two iterations."""
    body = lambda now, v, c: ([now[1], now[0] * c[0] + now[1] * now[1] * 0.1], [])
    ends, _ = way.loop(body, [a, b], [], [a], N)
    return ends[1] * a - b * a


def prefix(way: Any, x: Any, a: Any) -> Any:
    """Prefix sums, and a second loop over some of them."""
    body = lambda now, v, c: ([now[0] + v[0] * c[0]], [now[0]])
    (s,), (y,) = way.loop(body, [x[0] * a], [way.read(x, 1, 1, N)], [a], N)
    again = lambda now, v, c: ([now[0] + v[0] * v[1] * c[0]], [])
    windows = [y.window(2, 2, 3), y.window(1, 2, 3)]
    (t,), _ = way.loop(again, [s * 2.0], windows, [a], 3)
    return t + y[1] * s


def slots(way: Any, a: Any, b: Any) -> Any:
    """A list of numbers, of which some iterations read nothing that counts."""
    stack = way.stack([a * (k + 0.5) - b for k in range(N)])
    body = lambda now, v, c: ([v[0] * c[0], now[0] * c[0] - v[0]], [])
    ends, _ = way.loop(body, [a, b], [stack], [b], N)
    return ends[0] + ends[1] * 0.5


def vectors(way: Any, x: Any, a: Any) -> Any:
    """A carry, and a constant, that are arrays."""
    body = lambda now, v, c: (
        [now[0] * c[0] + c[1] * v[0]],
        [now[0][1] * c[1][2] + c[1][3]],
    )
    (s,), (y,) = way.loop(body, [x * 1.0], [way.read(x, 2, 1, N)], [a, x * 2.0], N)
    return np.sum(s) + y[4] * x[1]


def places(way: Any, x: Any, a: Any) -> Any:
    """Carries that change places: one has an adjoint in every other iteration."""
    body = lambda now, v, c: ([now[1], v[0] * c[0] - now[0]], [])
    ends, _ = way.loop(body, [a, a * 2.0], [way.read(x, 0, 1, N)], [a], N)
    return ends[0]


def late(way: Any, x: Any, a: Any) -> Any:
    """A carry that begins as a number, where its root has an infinite slope."""
    body = lambda now, v, c: ([np.sqrt(now[0]) * c[0] + v[0] * v[0]], [now[0]])
    (s,), (y,) = way.loop(body, [0.0], [way.read(x, 0, 1, N)], [a], N)
    return s + y[4]


def nested(way: Any, x: Any, a: Any) -> Any:
    """A loop in the body of a loop; constants go on adding through both."""

    def outer(now: Any, v: Any, c: Any) -> Any:
        inner = lambda now, v, c: ([now[0] * c[0] + c[1] * c[0]], [])
        (s,), _ = way.loop(inner, [now[0]], [], [c[0], v[0]], 3)
        return [s + c[0] * v[0]], []

    (s,), _ = way.loop(outer, [a * 0.5], [way.read(x, 0, 1, N)], [a], N)
    return s + a


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    f.__name__: (f, args)
    for f, args in (
        (rosenbrock, (XS,)),
        (constants, (0.9, -1.1)),
        (start, (0.9, -1.1)),
        (one_of_three, (0.9, -1.1, 0.4)),
        (arms, (XS, 0.8)),
        (kinks, (XS, 0.8)),
        (roots, (XS, 0.8)),
        (recurrence, (0.3, 0.8)),
        (prefix, (XS, 0.8)),
        (slots, (0.3, 0.8)),
        (vectors, (XS, 0.8)),
        (places, (XS, 0.4)),
        (late, (XS, 0.4)),
        (nested, (XS, 0.4)),
    )
}
EVERY = pytest.mark.parametrize("name", PROGRAMS)


def others(args: tuple[Any, ...]) -> list[Any]:
    """The same point, others, and some with zeros of both signs and worse."""
    rng = np.random.default_rng(7)
    odd = np.array([0.0, -0.0, np.nan, np.inf, 1.0])
    points = [args]
    for share in (0.0, 0.2, 0.5):
        moved = []
        for x in args:
            y = np.asarray(x) * (1.0 + 0.3 * rng.normal(size=np.shape(x)))
            y = np.where(rng.random(y.shape) < share, rng.choice(odd, y.shape), y)
            moved.append(y if y.shape else float(y))
        points.append(tuple(moved))
    return points


@EVERY
def test_values_and_gradients_have_the_same_bits(name: str) -> None:
    f, args = PROGRAMS[name]
    plain, rolled = pair(f, *args)
    for at in others(args):
        assert compared(plain, rolled, at) == "", at


# in 2132 masks come and go with the adjoints of y
@pytest.mark.parametrize("seed", [*range(120), 2132])
def test_random_loops(seed: int) -> None:
    rng = np.random.default_rng([seed, 1] if seed < 2000 else seed)
    at = point(rng, 0.0)
    plain, rolled = pair(RandomLoop(seed), *at)
    for args in (at, point(rng, 0.3)):
        assert compared(plain, rolled, args) == "", args


@EVERY
@pytest.mark.parametrize("snapshots", [1, 3])
def test_few_carries_kept(name: str, snapshots: int) -> None:
    """Computed again from a few, they are the same bits."""
    f, args = PROGRAMS[name]
    _, rolled = pair(f, *args)
    _, few = pair(f, *args, snapshots=snapshots)
    assert few != rolled
    for at in others(args):
        with np.errstate(all="ignore"):
            assert differing(rolled.gradient(*at), few.gradient(*at)) == ""


@EVERY
def test_tangents_have_the_same_bits(name: str) -> None:
    f, args = PROGRAMS[name]
    plain, rolled = pair(f, *args)
    rng = np.random.default_rng(3)
    for at in others(args):
        dots = tuple(rng.normal(size=np.shape(x)) if np.shape(x) else 0.7 for x in args)
        with np.errstate(all="ignore"):
            assert differing(plain.jvp(at, dots), rolled.jvp(at, dots)) == "", at


# at 0 the root of a number that is no variable has an infinite second slope, and the
# loop stores its tangent, 0, with the others
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "late"])
def test_other_modes(name: str) -> None:
    """Forward over reverse, reverse over reverse."""
    f, args = PROGRAMS[name]
    plain, rolled = pair(f, *args)
    rng = np.random.default_rng(3)
    at = tuple(np.abs(x) + 0.3 if np.shape(x) else x for x in args)
    dots = tuple(rng.normal(size=np.shape(x)) if np.shape(x) else 0.7 for x in args)
    at = tuple(x if np.shape(x) else abs(x) for x in at)
    for take in (
        lambda tape: tape.hvp(at, dots),
        lambda tape: tape.hessian(*at),
    ):
        for one, other in zip(leaves(take(plain)), leaves(take(rolled)), strict=True):
            assert np.allclose(one, other, rtol=1e-12, atol=1e-12)


@EVERY
def test_lanes(name: str) -> None:
    """vmap: every lane is the loop of its own."""
    f, args = PROGRAMS[name]
    _, rolled = pair(f, *args)
    wide = tuple(np.stack([np.asarray(x), np.asarray(x) * 0.5]) for x in args)
    value, slopes = tg.vmap(tg.value_and_grad(rolled, tuple(range(len(args)))))(*wide)
    for lane in range(2):
        mine = tuple(x[lane] if np.ndim(x) > 1 else float(x[lane]) for x in wide)
        assert np.allclose(value[lane], rolled(*mine), rtol=1e-12)
        for one, other in zip(
            leaves(slopes), leaves(rolled.gradient(*mine)), strict=True
        ):
            assert np.allclose(one[lane], other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["rosenbrock", "constants", "recurrence", "arms"])
def test_native_code_agrees(name: str) -> None:
    """Native code of a derivative that is recorded, bit for bit."""
    f, args = PROGRAMS[name]
    plain, rolled = pair(f, *args)
    one, other = plain.compile(), rolled.compile()
    for at in others(args)[:2]:
        assert differing(one.gradient(*at), other.gradient(*at)) == ""


def test_an_adjoint_that_comes_and_goes_stays_away() -> None:
    """In a loop too long to be done turn by turn: infinity times nothing."""
    length = 40

    def f(way: Any, x: Any, a: Any) -> Any:
        body = lambda now, v, c: ([now[1], v[0] * c[0] - now[0]], [])
        ends, _ = way.loop(body, [a, a * 2.0], [way.read(x, 0, 1, length)], [a], length)
        return ends[0]

    x = np.linspace(-1.0, 2.0, length)
    plain, rolled = pair(f, x, 0.3)
    for place in (6, 7, 20, 21):
        x[place] = np.inf
        assert compared(plain, rolled, (x, 0.3)) == ""


def test_many_stretches_at_numbers() -> None:
    """Of a long stack every other slot is asked for."""
    length = 60

    def f(way: Any, x: Any, a: Any) -> Any:
        body = lambda now, v, c: ([now[0] + v[0]], [v[0] * c[0] - np.sqrt(abs(v[0]))])
        _, (y,) = way.loop(body, [a], [way.read(x, 0, 1, length)], [a], length)
        again = lambda now, v, c: ([now[0] + v[0] * c[0]], [])
        half = y.window(1, 2, length // 2)
        (s,), _ = way.loop(again, [a * 1.0], [half], [a], length // 2)
        return s

    x = np.linspace(-1.0, 2.0, length)
    plain, rolled = pair(f, x, -0.3)
    x[[6, 7, 20, 21]] = [0.0, -0.0, 0.0, np.inf]
    for at in ((x, -0.3), (x, 0.0)):
        with np.errstate(all="ignore"):
            assert differing(plain.gradient(*at), rolled.gradient(*at)) == ""
            # a tape of it adds zeros; they are equal, if not in their signs
            one, other = (gradient_tape(tape)(*at) for tape in (plain, rolled))
        for a, b in zip(leaves(one), leaves(other), strict=True):
            assert np.array_equal(a, b, equal_nan=True)


@EVERY
@pytest.mark.parametrize("arithmetic", ["mpmath", "float32"])
def test_other_arithmetics(name: str, arithmetic: str) -> None:
    f, args = PROGRAMS[name]
    plain, rolled = pair(f, *args)
    at = tuple(np.abs(x) + 0.3 if np.shape(x) else abs(x) for x in args)
    one, other = (tape.gradient(*at, arithmetic=arithmetic) for tape in (plain, rolled))
    for a, b in zip(leaves(one), leaves(other), strict=True):
        assert np.array_equal(a, b)


@EVERY
def test_eager_values(name: str) -> None:
    """A tape that is applied to Values leaves one step behind."""
    f, args = PROGRAMS[name]
    _, rolled = pair(f, *args)
    at = tuple(np.abs(x) + 0.3 if np.shape(x) else abs(x) for x in args)
    values = [tg.array(x) if np.shape(x) else tg.Value(x) for x in at]
    rolled(*values).backward()
    for value, found in zip(values, leaves(rolled.gradient(*at)), strict=True):
        assert np.allclose(value.grad, found, rtol=1e-12)


# -- what a derivative's tape holds ----------------------------------------------------


def loops(tape: Tape) -> list[dict[str, Any]]:
    """The parameters of its loops."""
    return [step.params for step in tape if step.primitive is SCAN]


def test_carries_that_no_turn_reads_are_not_stored() -> None:
    _, rolled = pair(rosenbrock, XS)
    forth, back = loops(gradient_tape(rolled))
    assert len(forth["tape"].outputs) == 1
    assert back["reverse"]
    assert back["carry"] == 0  # the adjoint of a sum is the same in all turns


def test_a_loop_and_the_one_that_stores_its_carries_are_one() -> None:
    _, rolled = pair(constants, 0.9, -1.1)
    forth, back = loops(gradient_tape(rolled))
    assert len(forth["tape"].outputs) == 2
    assert back["length"] == N


def test_turns_that_differ_are_done_apart() -> None:
    """The first turn has the adjoint of one carry alone."""
    _, rolled = pair(one_of_three, 0.9, -1.1, 0.4)
    *_, back = loops(gradient_tape(rolled))
    assert N - 4 < back["length"] < N


def test_files_keep_them(tmp_path: Path) -> None:
    plain, rolled = pair(arms, XS, 0.8)
    rolled.save(tmp_path / "loop.tape")
    again = tg.load(tmp_path / "loop.tape")
    assert again == rolled
    assert compared(plain, again, (XS, 0.8)) == ""


# -- planted bugs ----------------------------------------------------------------------


def wrong(name: str) -> str:
    """How a program's derivatives differ from those of its steps, tapes made anew."""
    f, args = PROGRAMS[name]
    plain, rolled = pair(f, *args)
    return "".join(compared(plain, rolled, at) for at in others(args))


def no_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of constants begin anew."""

    def alone(loop: Any, bars: Any, ys: Any, masks: Any, before: Any) -> Any:
        nothing = [None] * len(before.slots)
        bare = before._replace(bars=nothing, masks=nothing)
        found = adjoints.pulled(loop, bars, ys, masks, bare)
        return [(part, mask, False) for part, mask, _ in found]

    monkeypatch.setattr(rule, "pulled", alone)


def no_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first carries are like any."""
    monkeypatch.setattr(first, "MOST", 0)


def zeros_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros stand where nothing is."""
    monkeypatch.setattr(plan, "_carries", lambda _: set())


def no_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stack all is there, whatever is read of it."""

    def through(*given: Any) -> Any:
        return [None] * len(given[4])

    monkeypatch.setattr(passing, "through", through)


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (no_before, "start"),
        (no_starts, "start"),
        (zeros_at_once, "places"),
        (no_marks, "roots"),
    ],
)
def test_planted_bugs_are_seen(
    plant: Callable[..., None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wrong(name) == ""
    plant(monkeypatch)
    assert wrong(name)


def test_bits_tell_zeros_apart() -> None:
    assert bits(0.0) != bits(-0.0)
    assert bits(np.nan) == bits(-np.nan)
