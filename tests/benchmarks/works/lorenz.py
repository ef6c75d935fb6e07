"""Lorenz' equations as a plain Python loop, and as loops that libraries know."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import JIT, buffered, library, pointer, zeros
from works.straight import START, STEP, hand_c, loop, pair, reference, stepped

WORK = Work(
    "lorenz",
    "A loop kept as a loop: Lorenz' equations",
    "n steps of Runge and Kutta; the sum of the last state, and its slopes by the "
    "first. tapegrad takes the plain Python loop; then each library's own loop: "
    "`tg.scan`, `jax.lax.scan`, CasADi's `fold`.",
    (1_000, 10_000),
    "n = {:,}",
    reference,
    tolerance=1e-8,
    quick=7,
)


@WORK.by("tapegrad", "plain Python loop", "tapegrad", "tapegrad.native.compiled")
def tapegrad_loop(n: int) -> Ready:
    """Recorded and compiled."""
    import tapegrad as tg

    call = tg.compile(loop(n), *START).value_and_gradient
    return Ready("f(1.0, 1.0, 1.0)", {"f": call}, pair)


@WORK.by("tapegrad", "tg.scan", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Compiled."""
    import tapegrad as tg

    def f(*start: Any) -> Any:
        s, _ = tg.scan(lambda s, _: (stepped(s), None), start, None, length=n)
        return s[0] + s[1] + s[2]

    call = tg.compile(f, *START).value_and_gradient
    return Ready("f(1.0, 1.0, 1.0)", {"f": call}, pair)


WORK.by(HAND_C, "adjoint by hand", ahead=True)(hand_c)


@WORK.by(HAND_C, "value alone", ahead=True, value=True)
def hand_c_value(n: int) -> Ready:
    """C through ctypes, without slopes."""
    f, x = library().lorenz, np.array(START)
    f.restype = ctypes.c_double
    args = ctypes.c_long(n), pointer(x), ctypes.c_double(STEP), None
    names = {"f": f, "args": args, "kept": x}
    return Ready("f(*args)", names, lambda value: [value])


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    s = casadi.SX.sym("s", 3)
    step = casadi.Function(
        "step", [s], [casadi.vertcat(*stepped(tuple(casadi.vertsplit(s))))]
    )
    v = casadi.MX.sym("x", 3)
    value = casadi.sum1(step.fold(n)(v))
    f = casadi.Function("f", [v], [value, casadi.gradient(value, v)], options)
    x, out, g = np.array(START), *zeros(1, 3)
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


@WORK.by("JAX", "jit, lax.scan", "jax", "jax.numpy")
def jax(n: int) -> Ready:
    """Compiled by XLA."""
    import jax

    def f(*start: Any) -> Any:
        s, _ = jax.lax.scan(lambda s, _: (stepped(s), None), start, None, length=n)
        return s[0] + s[1] + s[2]

    both = jax.jit(jax.value_and_grad(f, (0, 1, 2)))
    names = {"f": both, "block": jax.block_until_ready}
    return Ready("block(f(1.0, 1.0, 1.0))", names, pair)


@WORK.by("torch", "eager loop", "torch", most=1_000, ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd, a vector for the state."""
    import torch

    torch.set_num_threads(1)
    start = torch.tensor(START, dtype=torch.float64, requires_grad=True)

    def run() -> list[Any]:
        s = tuple(start.unbind())
        for _ in range(n):
            s = stepped(s)
        value = s[0] + s[1] + s[2]
        return [value, torch.autograd.grad(value, start)[0]]

    return Ready("f()", {"f": run})
