"""Bodies that attract each other: nested Python loops over lists of floats."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import JIT, buffered, library, pointer, zeros

STEP = 0.01
MASSES = (39.47841760435743, 0.037693674, 0.011286326, 0.0017237, 0.0020336)
BODIES, SIZE = len(MASSES), 3 * len(MASSES)


def start() -> Any:
    """Five places and five speeds: a sun at rest, and planets on ellipses."""
    places, speeds = np.zeros((BODIES, 3)), np.zeros((BODIES, 3))
    for i in range(1, BODIES):
        r, turn = 1.0 + 1.7 * i, 0.9 * i
        v = 0.95 * math.sqrt(MASSES[0] / r)
        places[i] = r * math.cos(turn), r * math.sin(turn), 0.1 * i
        speeds[i] = -v * math.sin(turn), v * math.cos(turn), 0.02 * i
    return np.concatenate([places.ravel(), speeds.ravel()])


def step(x: list[Any], v: list[Any], sqrt: Callable[[Any], Any]) -> None:
    """A leapfrog step of lists, in place: speeds first, then places."""
    for i in range(BODIES):
        for j in range(i):
            d = [x[3 * i + c] - x[3 * j + c] for c in range(3)]
            square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
            pull = STEP / (square * sqrt(square))
            for c in range(3):
                v[3 * i + c] = v[3 * i + c] - d[c] * (pull * MASSES[j])
                v[3 * j + c] = v[3 * j + c] + d[c] * (pull * MASSES[i])
    for c in range(SIZE):
        x[c] = x[c] + STEP * v[c]


def energy(x: list[Any], v: list[Any], sqrt: Callable[[Any], Any]) -> Any:
    """Of the motion and of the attraction."""
    total = 0.0
    for i in range(BODIES):
        s = v[3 * i : 3 * i + 3]
        total = total + 0.5 * MASSES[i] * (s[0] * s[0] + s[1] * s[1] + s[2] * s[2])
        for j in range(i):
            d = [x[3 * i + c] - x[3 * j + c] for c in range(3)]
            r = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
            total = total - MASSES[i] * MASSES[j] / r
    return total


def motion(n: int, sqrt: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The energy after n steps, of the thirty start values."""

    def f(s: Any) -> Any:
        x = [s[c] for c in range(SIZE)]
        v = [s[SIZE + c] for c in range(SIZE)]
        for _ in range(n):
            step(x, v, sqrt)
        return energy(x, v, sqrt)

    return f


def reference(n: int) -> list[Any]:
    """By complex steps of NumPy, all thirty directions at once."""
    found = motion(n, np.sqrt)(start()[:, None] + 1e-40j * np.eye(2 * SIZE))
    return [found.real[0], found.imag / 1e-40]


WORK = Work(
    "nbody",
    "Nested Python loops over lists: five bodies",
    "n leapfrog steps of five bodies, every pair once in a step: 320 recorded steps "
    "each. The energy at the end, and its slopes by the thirty numbers of the start. "
    "tapegrad takes the plain loops; JAX and CasADi have their own for the steps.",
    (1_000,),
    "n = {:,}",
    reference,
    tolerance=1e-8,
    quick=3,
)


def pair(found: Any) -> list[Any]:
    """Value and gradient."""
    return [found[0], found[1]]


@WORK.by("tapegrad", "plain Python loops", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Recorded and compiled."""
    import tapegrad as tg

    s = start()
    both = tg.compile(motion(n, np.sqrt), s).value_and_gradient
    return Ready("f(s)", {"f": both, "s": s}, pair)


def _hand(n: int, name: str, *outputs: Any) -> Ready:
    f, s, masses = getattr(library("hand_loops.c"), name), start(), np.array(MASSES)
    f.restype = ctypes.c_double
    given = ctypes.c_long(n), pointer(s), pointer(masses), ctypes.c_double(STEP)
    names = {"f": f, "args": (*given, *outputs), "kept": (s, masses)}
    return Ready("f(*args)", names)


@WORK.by(HAND_C, "adjoint by hand", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes: places are kept, steps swept back."""
    kept, last, g = zeros(SIZE * n, 2 * SIZE, 2 * SIZE)
    ready = _hand(n, "bodies_gradient", *map(pointer, (kept, last, g)))
    ready.names["room"] = kept, last
    ready.answer = lambda value: [value, g]
    return ready


@WORK.by(HAND_C, "value alone", ahead=True, value=True)
def hand_c_value(n: int) -> Ready:
    """C through ctypes, without slopes."""
    (last,) = zeros(2 * SIZE)
    ready = _hand(n, "bodies", None, pointer(last))
    ready.names["room"] = last
    ready.answer = lambda value: [value]
    return ready


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    def stepped(s: Any) -> Any:
        entries = casadi.vertsplit(s)
        x, v = entries[:SIZE], entries[SIZE:]
        step(x, v, casadi.sqrt)
        return casadi.vertcat(*x, *v)

    s = casadi.SX.sym("s", 2 * SIZE)
    once = casadi.Function("step", [s], [stepped(s)])
    last = motion(0, casadi.sqrt)(s)
    end = casadi.Function("end", [s], [last])
    v = casadi.MX.sym("x", 2 * SIZE)
    value = end(once.fold(n)(v))
    f = casadi.Function("f", [v], [value, casadi.gradient(value, v)], options)
    x, out, g = start(), *zeros(1, 2 * SIZE)
    run, buffer = buffered(f, [x], [out, g])
    return Ready("f()", {"f": run, "kept": (buffer, x)}, lambda _: [out, g])


@WORK.by("CasADi", "fold, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    return _casadi(n)


@WORK.by("CasADi", "fold, compiled by C, raw buffer", "casadi")
def casadi_c(n: int) -> Ready:
    """Compiled by the C compiler."""
    return _casadi(n, **JIT)


def _jax(n: int, stepped: Callable[[Any], Any]) -> Ready:
    import jax
    import jax.numpy as jnp

    def f(s: Any) -> Any:
        last, _ = jax.lax.scan(lambda s, _: (stepped(s), None), s, None, length=n)
        return motion(0, jnp.sqrt)(last)

    both = jax.jit(jax.value_and_grad(f))
    names = {"f": both, "s": jnp.asarray(start()), "block": jax.block_until_ready}
    return Ready("block(f(s))", names, pair)


@WORK.by("JAX", "jit, lax.scan of the loops over bodies", "jax", "jax.numpy")
def jax(n: int) -> Ready:
    """The steps are a scan, the bodies unrolled by tracing."""
    import jax.numpy as jnp

    def stepped(s: Any) -> Any:
        x, v = [s[c] for c in range(SIZE)], [s[SIZE + c] for c in range(SIZE)]
        step(x, v, jnp.sqrt)
        return jnp.stack([*x, *v])

    return _jax(n, stepped)


@WORK.by("JAX", "jit, lax.scan of arrays", "jax", "jax.numpy")
def jax_arrays(n: int) -> Ready:
    """The steps are a scan, the pairs of bodies an array."""
    import jax.numpy as jnp

    masses, near = jnp.array(MASSES), jnp.eye(BODIES)

    def stepped(s: Any) -> Any:
        x, v = s[:SIZE].reshape(BODIES, 3), s[SIZE:].reshape(BODIES, 3)
        d = x[:, None] - x[None]
        square = jnp.sum(d * d, 2) + near  # a body does not attract itself: d is 0
        pull = STEP * masses / (square * jnp.sqrt(square))
        v = v - jnp.sum(d * pull[:, :, None], 1)
        return jnp.concatenate([(x + STEP * v).ravel(), v.ravel()])

    return _jax(n, stepped)
