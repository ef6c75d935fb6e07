"""Rosenbrock's function, written as a plain Python loop over an array's entries."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import JIT, buffered, library, pointer, zeros


def start(n: int) -> Any:
    """Where it is evaluated."""
    return 1.0 + 0.1 * np.sin(np.arange(float(n)))


def loop(x: Any) -> Any:
    """The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2, entry by entry."""
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
    return total


def by_hand(n: int) -> list[Any]:
    """Value and gradient in NumPy."""
    x = start(n)
    t, u = x[1:] - x[:-1] ** 2, 1.0 - x[:-1]
    slopes = np.zeros_like(x)
    slopes[:-1] = -400.0 * x[:-1] * t - 2.0 * u
    slopes[1:] += 200.0 * t
    return [100.0 * (t @ t) + u @ u, slopes]


WORK = Work(
    "rosenbrock",
    "A Python loop over an array: Rosenbrock's function",
    "`for i in range(len(x) - 1): total += 100 * (x[i + 1] - x[i] * x[i]) ** 2 + "
    "(1 - x[i]) ** 2`, the very loop handed to each library that takes Python. C by "
    "hand adds the two terms of an entry first and fuses products with sums; *the "
    "loop's own arithmetic* does neither, and gives tapegrad's value bit for bit.",
    (100, 1_000, 10_000, 100_000),
    "n = {:,}",
    by_hand,
    quick=10,
)


def pair(found: Any) -> list[Any]:
    """Value and gradient."""
    return [found[0], found[1]]


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Recorded and compiled."""
    import tapegrad as tg

    x = start(n)
    return Ready("f(x)", {"f": tg.compile(loop, x).value_and_gradient, "x": x}, pair)


def _hand(n: int, f: Any) -> Ready:
    x = start(n)
    f.restype = ctypes.c_double
    g = np.empty(n)
    args = ctypes.c_long(n), pointer(x), pointer(g)
    names = {"f": f, "args": args, "g": g, "x": x}
    return Ready("f(*args), g", names, pair)


@WORK.by(HAND_C, "", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes; the two terms of an entry are added first."""
    return _hand(n, library().rosenbrock)


@WORK.by(HAND_C, "the loop's own arithmetic", ahead=True)
def hand_c_ordered(n: int) -> Ready:
    """Two additions an entry that wait for each other, as recorded."""
    return _hand(n, library().rosenbrock_ordered)


@WORK.by("numba", "gradient by hand", "numba")
def numba(n: int) -> Ready:
    """Loop and gradient written out, compiled."""
    from numba import njit

    @njit
    def f(x: Any) -> Any:
        value, g = 0.0, np.zeros_like(x)
        for i in range(len(x) - 1):
            t, u = x[i + 1] - x[i] * x[i], 1.0 - x[i]
            value += 100.0 * t * t + u * u
            g[i] += -400.0 * x[i] * t - 2.0 * u
            g[i + 1] += 200.0 * t
        return value, g

    return Ready("f(x)", {"f": f, "x": start(n)}, pair)


def _heyoka(n: int, **options: Any) -> Ready:
    import heyoka as hy

    names = [hy.make_vars(f"x{i}") for i in range(n)]
    total = hy.sum(
        [
            100.0 * (names[i + 1] - names[i] * names[i]) ** 2 + (1.0 - names[i]) ** 2
            for i in range(n - 1)
        ]
    )
    slopes = hy.diff_tensors([total], diff_args=names).gradient
    f = hy.cfunc([total, *slopes], vars=names, **options)
    x, out = start(n), np.zeros(n + 1)
    space = {"f": f, "x": x, "out": out}
    return Ready("f(x, outputs=out)", space, lambda _: [out[0], out[1:]])


@WORK.by("heyoka", "cfunc", "heyoka", most=1_000)
def heyoka(n: int) -> Ready:
    """One function, all in a row."""
    return _heyoka(n)


@WORK.by("heyoka", "cfunc, compact mode", "heyoka")
def heyoka_compact(n: int) -> Ready:
    """Loops found by heyoka."""
    return _heyoka(n, compact_mode=True)


@WORK.by("SymEngine", "LLVM", "symengine", most=1_000)
def symengine(n: int) -> Ready:
    """Compiled by SymEngine."""
    import symengine

    names = symengine.symbols(f"x0:{n}")
    total = loop(names)
    outputs = [total, *(total.diff(x) for x in names)]
    f = symengine.Lambdify(names, outputs, backend="llvm", cse=True)
    x, out = start(n), np.zeros(n + 1)
    space = {"f": f.unsafe_real, "x": x, "out": out}
    return Ready("f(x, out)", space, lambda _: [out[0], out[1:]])


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    v = casadi.SX.sym("x", n)
    total = 0.0
    for i in range(n - 1):
        total = total + 100.0 * (v[i + 1] - v[i] * v[i]) ** 2 + (1.0 - v[i]) ** 2
    f = casadi.Function("f", [v], [total, casadi.gradient(total, v)], options)
    x, value, g = start(n), *zeros(1, n)
    run, buffer = buffered(f, [x], [value, g])
    return Ready("f()", {"f": run, "kept": (buffer, x)}, lambda _: [value, g])


@WORK.by("CasADi", "SX, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    return _casadi(n)


@WORK.by("CasADi", "SX, compiled by C, raw buffer", "casadi", most=1_000)
def casadi_c(n: int) -> Ready:
    """Compiled by the C compiler."""
    return _casadi(n, **JIT)


@WORK.by("JAX", "jit of the loop", "jax", "jax.numpy", most=1_000)
def jax(n: int) -> Ready:
    """The loop, unrolled by tracing."""
    import jax

    x = jax.numpy.asarray(start(n))
    names = {"f": jax.jit(jax.value_and_grad(loop)), "x": x}
    return Ready("block(f(x))", {**names, "block": jax.block_until_ready}, pair)


@WORK.by("autograd", "", "autograd.numpy", most=1_000, ahead=True)
def autograd(n: int) -> Ready:
    """HIPS autograd."""
    from autograd import value_and_grad

    return Ready("f(x)", {"f": value_and_grad(loop), "x": start(n)}, pair)


@WORK.by("torch", "eager", "torch", most=1_000, ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd."""
    import torch

    torch.set_num_threads(1)
    x = torch.tensor(start(n), requires_grad=True)

    def run() -> tuple[Any, Any]:
        value = loop(x)
        return value, torch.autograd.grad(value, x)[0]

    return Ready("f()", {"f": run})


@WORK.by("micrograd", "", "micrograd.engine", most=1_000, ahead=True)
def micrograd(n: int) -> Ready:
    """The original; its sweep's order is found by recursion."""
    import sys

    sys.setrecursionlimit(100_000)
    value = importlib.import_module("micrograd.engine").Value

    def run() -> list[Any]:
        xs = [value(x) for x in start(n).tolist()]
        total = loop(xs)
        total.backward()
        return [total.data, [x.grad for x in xs]]

    return Ready("f()", {"f": run}, lambda y: [y[0], np.array(y[1])])


@WORK.by("xad", "adjoint mode", "xad.adj_1st", ahead=True)
def xad(n: int) -> Ready:
    """Recorded and swept in C++."""
    import xad.adj_1st as adj

    def run() -> list[Any]:
        with adj.Tape() as tape:
            xs = [adj.Real(x) for x in start(n).tolist()]
            for x in xs:
                tape.registerInput(x)
            tape.newRecording()
            total = loop(xs)
            tape.registerOutput(total)
            total.derivative = 1.0
            tape.computeAdjoints()
            return [total.value, [x.derivative for x in xs]]

    return Ready("f()", {"f": run}, lambda y: [y[0], np.array(y[1])])
