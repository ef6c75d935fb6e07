"""A program that does not repeat: every statement was drawn by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import Ready, Work

from works.hands import buffered, zeros
from works.rolls import recorded

INPUTS = 16

# All of them stay in [-1, 1], and so do most of their slopes.
FORMS: tuple[Callable[[Any, Any, Any], Any], ...] = (
    lambda a, b, xp: a * b,
    lambda a, b, xp: 0.5 * (a + b),
    lambda a, b, xp: 0.5 * (a - b),
    lambda a, b, xp: a / (1.0 + b * b),
    lambda a, b, xp: xp.sin(a + b),
    lambda a, b, xp: xp.cos(a * b),
    lambda a, b, xp: -a * xp.sqrt(0.5 + 0.25 * b),
)


def start() -> Any:
    """Where it is evaluated."""
    return np.random.default_rng(0).uniform(0.2, 0.9, INPUTS)


def program(n: int, xp: Any) -> Callable[[Any], Any]:
    """n statements, each of an earlier one that was not read yet and of any other."""

    def f(x: Any) -> Any:
        chance = random.Random(0)
        slots = [x[i] for i in range(INPUTS)]
        unread = list(range(INPUTS))
        for _ in range(n):
            place = chance.randrange(INPUTS)
            mine, other = slots[unread[place]], slots[chance.randrange(len(slots))]
            unread[place] = len(slots)
            slots.append(chance.choice(FORMS)(mine, other, xp))
        total = 0.0
        for place in unread:
            total = total + slots[place]
        return total

    return f


def reference(n: int) -> list[Any]:
    """By complex steps of NumPy, all directions at once."""
    found = program(n, np)(start()[:, None] + 1e-40j * np.eye(INPUTS))
    return [found.real[0], found.imag / 1e-40]


WORK = Work(
    "distinct",
    "A program that does not repeat",
    "n statements drawn by chance, each of an earlier result that was not read yet and "
    "of any other: 2.4 recorded steps a statement. There is no loop to be found, and "
    "looking for one (tapegrad's first line) is to cost nearly nothing.",
    (2_000, 20_000),
    "n = {:,}",
    reference,
    quick=30,
)


def pair(found: Any) -> list[Any]:
    """Value and gradient."""
    return [found[0], found[1]]


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Recorded and compiled."""
    import tapegrad as tg

    x = start()
    both = tg.compile(program(n, np), x).value_and_gradient
    return Ready("f(x)", {"f": both, "x": x}, pair)


@WORK.by("tapegrad", "roll=False", "tapegrad", "tapegrad.native.compiled")
def tapegrad_straight(n: int) -> Ready:
    """Without looking for loops."""
    x = start()
    both = recorded(program(n, np), x).compile().value_and_gradient
    return Ready("f(x)", {"f": both, "x": x}, pair)


@WORK.by("CasADi", "SX, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    import casadi

    v = casadi.SX.sym("x", INPUTS)
    value = program(n, casadi)(v)
    f = casadi.Function("f", [v], [value, casadi.gradient(value, v)])
    x, out, g = start(), *zeros(1, INPUTS)
    run, buffer = buffered(f, [x], [out, g])
    return Ready("f()", {"f": run, "kept": (buffer, x)}, lambda _: [out, g])


@WORK.by("heyoka", "cfunc, compact mode", "heyoka", most=2_000)
def heyoka(n: int) -> Ready:
    """Compiled by LLVM."""
    import heyoka as hy

    names = list(hy.make_vars(*(f"x{i}" for i in range(INPUTS))))
    value = program(n, hy)(names)
    slopes = hy.diff_tensors([value], diff_args=names).gradient
    f = hy.cfunc([value, *slopes], vars=names, compact_mode=True)
    x, out = start(), np.zeros(INPUTS + 1)
    space = {"f": f, "x": x, "out": out}
    return Ready("f(x, outputs=out)", space, lambda _: [out[0], out[1:]])
