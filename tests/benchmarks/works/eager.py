"""Recording and sweeping at once: a long chain of numbers, nothing compiled."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from harness.work import Ready, Work

FACTOR = 0.9999


def chain(x: Any, n: int) -> Any:
    """n operations, each on the one before."""
    y = x
    for _ in range(n // 2):
        y = y * FACTOR + x
    return y


def reference(n: int) -> list[Any]:
    """Value at 1, and slope: they are the same number."""
    y = chain(1.0, n)
    return [y, y]


WORK = Work(
    "eager",
    "Recording and sweeping eagerly: a chain of numbers",
    "`y = y * 0.9999 + x`, 200,000 operations, then backward; Python's garbage "
    "collector is on. Times are those of one operation.",
    (200_000,),
    "",
    reference,
    per=lambda n: n,
    quick=20,
)


def _swept(make: Callable[[float], Any], n: int, **names: Any) -> Ready:
    def run() -> list[float]:
        x = make(1.0)
        y = chain(x, n)
        y.backward()
        return [float(y.data), float(x.grad)]

    return Ready("f()", {"f": run, **names})


@WORK.by("tapegrad", "Values", "tapegrad", ahead=True)
def tapegrad(n: int) -> Ready:
    """Eager."""
    import tapegrad as tg

    return _swept(tg.Value, n)


@WORK.by("micrograd", "", "micrograd.engine", ahead=True)
def micrograd(n: int) -> Ready:
    """The original, whose recursion a long chain needs a large stack for."""
    import resource
    import sys
    import threading

    sys.setrecursionlimit(10 * n + 10_000)
    threading.stack_size(
        min(1 << 30, resource.getrlimit(resource.RLIMIT_AS)[1] >> 2)
        if resource.getrlimit(resource.RLIMIT_AS)[1] > 0
        else 1 << 30
    )
    value = importlib.import_module("micrograd.engine").Value
    plain = _swept(value, n).names["f"]

    def run() -> Any:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(plain()))
        thread.start()
        thread.join()
        return found[0]

    return Ready("f()", {"f": run}, note="in a thread with a stack of a gigabyte")


@WORK.by("torch", "eager", "torch", ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd."""
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    return _swept(lambda x: torch.tensor(x, requires_grad=True), n)


@WORK.by("autograd", "", "autograd.numpy", ahead=True)
def autograd(n: int) -> Ready:
    """HIPS autograd."""
    from autograd import value_and_grad

    f = value_and_grad(lambda x: chain(x, n))
    return Ready("f(1.0)", {"f": f}, list)


@WORK.by("CasADi", "SX, made and evaluated", "casadi", ahead=True)
def casadi(n: int) -> Ready:
    """An expression is made, differentiated and evaluated each time."""
    import casadi

    def run() -> list[float]:
        x = casadi.SX.sym("x")
        y = chain(x, n)
        f = casadi.Function("f", [x], [y, casadi.gradient(y, x)])
        return [float(part) for part in f(1.0)]

    return Ready("f()", {"f": run})


@WORK.by("xad", "adjoint mode", "xad.adj_1st", ahead=True)
def xad(n: int) -> Ready:
    """Recorded and swept in C++."""
    import xad.adj_1st as adj

    def run() -> list[float]:
        with adj.Tape() as tape:
            x = adj.Real(1.0)
            tape.registerInput(x)
            tape.newRecording()
            y = chain(x, n)
            tape.registerOutput(y)
            y.derivative = 1.0
            tape.computeAdjoints()
            return [y.value, x.derivative]

    return Ready("f()", {"f": run})
