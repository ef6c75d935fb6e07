"""Loops that are recorded twice: step by step, and as one ordered step."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import gradient_tape
from tapegrad.loops.rule import SCAN
from tapegrad.nested import apply_nested
from tapegrad.rules import TABLE
from tapegrad.tape.tape import Tape

# body(carries, xs, constants) gives the next carries, and ys
Body = Callable[[list[Any], list[Any], list[Any]], tuple[list[Any], list[Any]]]


class Stack:
    """Slots of all iterations: a list, or one array."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def __getitem__(self, place: int) -> Any:
        if isinstance(self.made, list):
            return self.made[place]
        return apply(TABLE["entry"], self.made, place=place)

    def window(self, start: int, stride: int, length: int) -> Stack:
        """Some of them, evenly spaced."""
        if isinstance(self.made, list):
            return Stack([self.made[start + k * stride] for k in range(length)])
        where = {"axes": 1, "start": start, "stride": stride, "length": length}
        return Stack(apply(TABLE["window"], self.made, slots=True, **where))


class Plain:
    """Loops as Python runs them."""

    rolled = False

    def read(self, x: Any, start: int, stride: int, length: int) -> Stack:
        """What the iterations read of an array; each reads it when it runs."""
        return Stack([(x, start + k * stride) for k in range(length)])

    def stack(self, slots: Sequence[Any]) -> Stack:
        """Slots of their own."""
        return Stack(list(slots))

    def loop(
        self, body: Body, first: Any, xs: Any, fixed: Any, length: int
    ) -> tuple[list[Any], list[Stack]]:
        """Carries at the end, and the ys."""
        now, rows = list(first), []
        for k in range(length):
            entries = [stack.made[k] for stack in xs]
            entries = [x[0][x[1]] if isinstance(x, tuple) else x for x in entries]
            now, ys = body(now, entries, list(fixed))
            rows.append(ys)
        return now, [Stack(list(column)) for column in zip(*rows, strict=True)]


class Rolled:
    """Loops as one step."""

    rolled = True

    def __init__(self, snapshots: int = 0) -> None:
        self.snapshots = snapshots

    def read(self, x: Any, start: int, stride: int, length: int) -> Stack:
        """What the iterations read of an array.

        Of several reads of one entry the later iteration's comes last here, so that its
        adjoint comes first: give those that start further on before the others.
        """
        where = {"axes": 1, "start": start, "stride": stride, "length": length}
        return Stack(lambda: apply(TABLE["window"], x, slots=False, **where))

    def stack(self, slots: Sequence[Any]) -> Stack:
        """Slots of their own."""
        slots = list(slots)
        return Stack(lambda: apply(TABLE["pack"], *slots[::-1]))

    def loop(
        self, body: Body, first: Any, xs: Any, fixed: Any, length: int
    ) -> tuple[list[Any], list[Stack]]:
        """Carries at the end, and the ys."""
        made = [s.made() if callable(s.made) else s.made for s in xs]
        tape = body_tape(body, first, made, fixed)
        params = {
            "tape": tape,
            "carry": len(first),
            "xs": len(xs),
            "length": length,
            "reverse": False,
            "snapshots": self.snapshots,
            "name": "loop",
            "ordered": True,
        }
        found = apply_nested(SCAN, [*first, *made, *fixed], params)
        return found[: len(first)], [Stack(y) for y in found[len(first) :]]


def body_tape(body: Body, first: Any, xs: Any, fixed: Any) -> Tape:
    """The steps of one iteration."""
    low, high = len(first), len(first) + len(xs)

    def flat(*given: Any) -> list[Any]:
        now, ys = body(list(given[:low]), list(given[low:high]), list(given[high:]))
        return [*now, *ys]

    shapes = [getattr(x, "shape", ()) for x in (*first, *xs, *fixed)]
    shapes[low:high] = [shape[1:] for shape in shapes[low:high]]
    example = [np.full(shape, 0.5) if shape else 0.5 for shape in shapes]
    return tg.record(flat, *example, roll=False)


# -- comparing -------------------------------------------------------------------------


def bits(x: Any) -> bytes:
    """A number or an array; all NaN are one."""
    array = np.array(x, float)
    return np.where(np.isnan(array), np.nan, array).tobytes()


def pair(f: Callable[..., Any], *args: Any, snapshots: int = 0) -> tuple[Tape, Tape]:
    """A function's tape step by step, and with ordered loops."""
    with np.errstate(all="ignore"):
        plain = tg.record(lambda *xs: f(Plain(), *xs), *args, roll=False)
        rolled = tg.record(lambda *xs: f(Rolled(snapshots), *xs), *args, roll=False)
    rolled.check()
    assert "scan" in rolled.operations
    assert "scan" not in plain.operations
    return plain, rolled


def leaves(x: Any) -> list[Any]:
    """All numbers and arrays of a nesting."""
    if isinstance(x, tuple | list):
        return [leaf for part in x for leaf in leaves(part)]
    return [x]


def differing(one: Any, other: Any) -> str:
    """How two results differ, in words; empty where all bits agree."""
    a, b = leaves(one), leaves(other)
    assert len(a) == len(b)
    return "; ".join(
        f"{place}: {y!r} and not {x!r}"
        for place, (x, y) in enumerate(zip(a, b, strict=True))
        if bits(x) != bits(y)
    )


def compared(plain: Tape, rolled: Tape, args: Sequence[Any]) -> str:
    """Value and gradient, by sweeps over numbers and as a tape; how they differ."""
    words = []
    with np.errstate(all="ignore"):
        for name, take in (
            ("value", lambda tape: tape(*args)),
            ("gradient", lambda tape: swept(tape, args)),
            ("tape", lambda tape: gradient_tape(tape)(*args)),
        ):
            found = differing(take(plain), take(rolled))
            words += [f"{name} {found}"] if found else []
    return "\n".join(words)


def swept(tape: Tape, args: Sequence[Any]) -> list[Any]:
    """Adjoints of the inputs by the plain sweeps."""
    base = sweeps.flat(tape)
    m: Any = tg.readings.mixed.MIXED if base.arrays else tg.readings.SCALAR
    values = sweeps.replay(base, m, list(args))
    bars = sweeps.adjoint(base, m, values, {base.outputs[0]: 1.0})
    return [
        np.zeros(np.shape(values[slot])) if bars[slot] is None else bars[slot]
        for slot in base.inputs
    ]


# -- random bodies ---------------------------------------------------------------------

CHOICES: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "half": lambda a, b: a * 0.5,
    "square": lambda a, b: a * a,
    "root": lambda a, b: np.sqrt(abs(a)),
    "max": np.maximum,
    "where": lambda a, b: tg.where(a < b, a, b * 2.0),
    "other": lambda a, b: tg.where(b > 0.0, a * b, a),
}


class RandomLoop:
    """A loop with a random body, between random steps.

    Args:
        seed: which one.
    """

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.carries, self.xs = rng.randint(1, 4), rng.randint(0, 2)
        self.fixed = rng.randint(1, 3)
        self.length = rng.choice([1, 2, 3, 5, 8, 11])
        given = self.carries + self.xs + self.fixed
        words = [*CHOICES][: rng.choice([7, 8, 10])]
        self.steps = [
            (rng.choice(words), rng.randrange(given + k), rng.randrange(given + k))
            for k in range(rng.randint(2, 7))
        ]
        own = [*range(given, given + len(self.steps))]
        # a constant that is carried on is two slots, whose readers take turns
        free = [*own, *own, *range(self.carries + self.xs)]
        self.next: list[int] = []
        while len(self.next) < self.carries:
            place = rng.choice(free)
            if place not in self.next and place != len(self.next):
                self.next.append(place)
                free = [slot for slot in free if slot != place] or own
            elif len(set(free)) <= 1 or rng.random() < 0.05:
                self.next.append(len(self.next))  # it stays as it is
        kept = [slot for slot in own if slot not in self.next]
        kept += [c for c in range(self.carries) if self.lag(c) < self.length]
        self.ys = rng.sample(kept, min(len(kept), rng.randint(0, 2)))
        self.after = [rng.random() for _ in range(16)]

    def lag(self, carry: int) -> int:
        """Iterations until a slot that was made is the input of a carry.

        A slot that is asked for afterwards is taken of the last carry that it is: there
        its adjoint from outside comes first. Before so many iterations that carry is a
        slot from outside, which others may read, too.
        """
        if carry in self.next:
            return self.length
        lag, source = 1, self.next[carry]
        while source < self.carries:
            if lag > self.carries:
                return self.length
            lag, source = lag + 1, self.next[source]
        return lag

    def body(self, now: Any, xs: Any, fixed: Any) -> tuple[list[Any], list[Any]]:
        """One iteration."""
        values = [*now, *xs, *fixed]
        for word, a, b in self.steps:
            values.append(CHOICES[word](values[a], values[b]))
        return [values[k] for k in self.next], [values[k] for k in self.ys]

    def __call__(self, way: Any, *given: Any) -> Any:
        """The whole program, of 6 numbers and an array of 24."""
        *numbers, array = given
        rng = random.Random(repr(self.after))
        first = [rng.choice([0.0, 1.0, *numbers]) for _ in range(self.carries)]
        first = [x if rng.random() < 0.6 else x * 1.5 for x in first]
        first = [x if isinstance(x, tg.Value) else numbers[0] * 0.0 + x for x in first]
        fixed = [
            x if rng.random() < 0.7 else x * x for x in rng.sample(numbers, self.fixed)
        ]
        xs = [self._x(way, rng, numbers, array) for _ in range(self.xs)]
        ends, ys = way.loop(self.body, first, xs, fixed, self.length)
        total = numbers[1] * fixed[0]
        for carry, end in enumerate(ends):
            # what only changes places is a slot from outside at the end, too
            if rng.random() < 0.5 and self.lag(carry) < max(2, self.length):
                total = total + end * rng.choice(fixed)
        for y, slot in zip(ys, self.ys, strict=True):
            low = self.lag(slot) if slot < self.carries else 0
            for _ in range(rng.randint(0, 3)):
                total = total + y[rng.randrange(low, self.length)] * numbers[2]
            if rng.random() < 0.5:
                total = self._again(way, rng, y, low, numbers, total)
        return total + numbers[3] * rng.choice(first)

    def _x(self, way: Any, rng: Any, numbers: Any, array: Any) -> Any:
        if rng.random() < 0.3:
            return way.stack([numbers[4] * (k + 1.0) for k in range(self.length)])
        return way.read(array, rng.randrange(4), rng.choice([1, 2]), self.length)

    def _again(
        self, way: Any, rng: Any, y: Any, low: int, numbers: Any, total: Any
    ) -> Any:
        """A second loop over what the first one gave."""
        stride = rng.choice([1, 1, 2])
        start = rng.randrange(low, min(low + 2, self.length))
        length = (self.length - start + stride - 1) // stride
        window = y.window(start, stride, length)
        weights = numbers[5]
        (found,), _ = way.loop(
            lambda now, xs, fixed: ([now[0] + xs[0] * fixed[0]], []),
            [total],
            [window],
            [weights],
            length,
        )
        return found


def point(rng: Any, odd: float) -> list[Any]:
    """Arguments of such a program; some of them numbers where care is needed."""
    numbers = rng.normal(size=30)
    care = rng.choice([0.0, -0.0, 1.0, -1.0, np.inf, np.nan], 30)
    numbers = np.where(rng.random(30) < odd, care, numbers)
    return [*map(float, numbers[:6]), numbers[6:]]
