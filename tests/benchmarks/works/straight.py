"""Straight-line code: a recorded loop of Lorenz' equations."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import JIT, buffered, library, pointer, zeros
from works.rolls import recorded

STEP = 0.001
START = (1.0, 1.0, 1.0)


def slopes(x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
    """Lorenz' equations."""
    return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z


def stepped(s: Any) -> Any:
    """One step of Runge and Kutta."""
    h = STEP
    k1 = slopes(*s)
    k2 = slopes(*(a + 0.5 * h * b for a, b in zip(s, k1, strict=True)))
    k3 = slopes(*(a + 0.5 * h * b for a, b in zip(s, k2, strict=True)))
    k4 = slopes(*(a + h * b for a, b in zip(s, k3, strict=True)))
    return tuple(
        a + h / 6.0 * (b + 2.0 * c + 2.0 * d + e)
        for a, b, c, d, e in zip(s, k1, k2, k3, k4, strict=True)
    )


def loop(n: int) -> Any:
    """The sum of the last state, of the first."""

    def f(x: Any, y: Any, z: Any) -> Any:
        s = (x, y, z)
        for _ in range(n):
            s = stepped(s)
        return s[0] + s[1] + s[2]

    return f


def reference(n: int) -> list[Any]:
    """By tangents, in plain Python with arrays: value and three slopes."""
    s = np.array(START)
    jacobian = np.eye(3)
    for _ in range(n):
        s, jacobian = _both(s, jacobian)
    return [s.sum(), jacobian.sum(0)]


def _both(s: Any, tangents: Any) -> tuple[Any, Any]:
    """A step, and what it does to tangents."""

    def linear(at: Any) -> Any:
        x, y, z = at
        return np.array([[-10.0, 10.0, 0.0], [28.0 - z, -1.0, -x], [y, x, -8.0 / 3.0]])

    total, moved = np.zeros(3), np.zeros((3, 3))
    k, turned = np.zeros(3), np.zeros((3, 3))
    for part, weight in ((0.0, 1.0), (0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
        at = s + part * STEP * k
        turned = linear(at) @ (tangents + part * STEP * turned)
        k = np.array(slopes(*at))
        total, moved = total + weight * k, moved + weight * turned
    return s + STEP / 6.0 * total, tangents + STEP / 6.0 * moved


WORK = Work(
    "straight",
    "A plain Python loop over three floats: Lorenz' equations",
    "n steps of Runge and Kutta, the very loop handed to each library: 71 operations "
    "a step, 170 with the gradient. With `roll=False` tapegrad compiles it as the "
    "straight-line code that was recorded, as the others do. Times are those of a "
    "whole call.",
    (10, 100, 1_000),
    "n = {:,}",
    reference,
    tolerance=1e-8,
    quick=3,
)


def pair(found: Any) -> list[Any]:
    """Value, and the slopes as one array."""
    return [found[0], np.array([float(x) for x in found[1]])]


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Recorded and compiled."""
    import tapegrad as tg

    native = tg.compile(loop(n), *START)
    call = native.value_and_gradient
    call(*START)
    steps = native.report.lowered_steps
    note = f"{steps:,} operations as code"
    return Ready("f(1.0, 1.0, 1.0)", {"f": call}, pair, note)


@WORK.by("tapegrad", "roll=False", "tapegrad", "tapegrad.native.compiled")
def tapegrad_straight(n: int) -> Ready:
    """Every recorded step by itself."""
    call = recorded(loop(n), *START).compile().value_and_gradient
    return Ready("f(1.0, 1.0, 1.0)", {"f": call}, pair)


@WORK.by(HAND_C, "a loop, kept states", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes; a loop, not straight-line code."""
    f = library().lorenz_gradient
    f.restype = ctypes.c_double
    x, g, kept = np.array(START), *zeros(3, 3 * n)
    args = ctypes.c_long(n), pointer(x), ctypes.c_double(STEP), pointer(kept)
    names = {"f": f, "args": (*args, pointer(g)), "g": g, "kept": (x, kept)}
    return Ready("f(*args), g", names, lambda y: [y[0], y[1]])


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    v = casadi.SX.sym("x", 3)
    value = loop(n)(v[0], v[1], v[2])
    f = casadi.Function("f", [v], [value, casadi.gradient(value, v)], options)
    x, out, g = np.array(START), *zeros(1, 3)
    run, buffer = buffered(f, [x], [out, g])
    return Ready("f()", {"f": run, "kept": (buffer, x)}, lambda _: [out, g])


@WORK.by("CasADi", "SX, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    return _casadi(n)


@WORK.by("CasADi", "SX, compiled by C, raw buffer", "casadi", most=100)
def casadi_c(n: int) -> Ready:
    """Compiled by the C compiler."""
    return _casadi(n, **JIT)


def _heyoka(n: int, **options: Any) -> Ready:
    import heyoka as hy

    names = hy.make_vars("x", "y", "z")
    value = loop(n)(*names)
    gradient = hy.diff_tensors([value], diff_args=names).gradient
    f = hy.cfunc([value, *gradient], vars=names, **options)
    x, out = np.array(START), np.zeros(4)
    space = {"f": f, "x": x, "out": out}
    return Ready("f(x, outputs=out)", space, lambda _: [out[0], out[1:]])


@WORK.by("heyoka", "cfunc, compact mode", "heyoka")
def heyoka(n: int) -> Ready:
    """Compiled by LLVM."""
    return _heyoka(n, compact_mode=True)


@WORK.by("JAX", "jit of the loop", "jax", "jax.numpy", most=100)
def jax(n: int) -> Ready:
    """The loop, unrolled by tracing."""
    import jax

    f = jax.jit(jax.value_and_grad(loop(n), (0, 1, 2)))
    names = {"f": f, "block": jax.block_until_ready}
    return Ready("block(f(1.0, 1.0, 1.0))", names, pair)


@WORK.by("torch", "eager", "torch", most=100, ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd."""
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    xs = [torch.tensor(x, requires_grad=True) for x in START]

    def run() -> tuple[Any, Any]:
        value = loop(n)(*xs)
        return value, torch.autograd.grad(value, xs)

    return Ready("f()", {"f": run}, pair)


@WORK.by("xad", "adjoint mode", "xad.adj_1st", ahead=True)
def xad(n: int) -> Ready:
    """Recorded and swept in C++."""
    import xad.adj_1st as adj

    def run() -> tuple[Any, Any]:
        with adj.Tape() as tape:
            xs = [adj.Real(x) for x in START]
            for x in xs:
                tape.registerInput(x)
            tape.newRecording()
            value = loop(n)(*xs)
            tape.registerOutput(value)
            value.derivative = 1.0
            tape.computeAdjoints()
            return value.value, [x.derivative for x in xs]

    return Ready("f()", {"f": run}, pair)
