"""One call of a small function of numbers: micrograd's README expression."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import Ready, Work

from works.hands import JIT, buffered, zeros

A, B = -4.0, 2.0


def expression(a: Any, b: Any, relu: Callable[[Any], Any]) -> Any:
    """The expression of micrograd's README."""
    c = a + b
    d = a * b + b**3
    c = c + (c + 1)
    c = c + (1 + c + (-a))
    d = d + (d * 2 + relu(b + a))
    d = d + (3 * d + relu(b - a))
    e = c - d
    f = e**2
    g = f / 2.0
    return g + 10.0 / f


def by_hand(a: float, b: float) -> tuple[float, float, float]:
    """Value and both derivatives in plain Python."""
    p, q = b + a > 0, b - a > 0
    d = a * b + b**3
    first = d + (d * 2 + (b + a) * p)
    e = 4 * (a + b) + 3 - a - (first + 3 * first + (b - a) * q)
    slope = e - 20.0 / e**3
    da = 3 - 4 * (3 * b + p) + q
    db = 4 - 4 * (3 * (a + 3 * b * b) + p) - q
    return e * e / 2 + 10 / (e * e), slope * da, slope * db


WORK = Work(
    "call",
    "One call of a small function",
    "The expression of micrograd's README, two numbers in; value and both derivatives "
    "out. *Floats* are Python's; *array* is one array of two numbers in, a float and "
    "an array out.",
    (1,),
    "",
    lambda _: list(by_hand(A, B)),
    quick=1,
)


def pair(found: Any) -> list[Any]:
    """(value, (by a, by b)) as a list of three."""
    return [found[0], *found[1]]


def lines(found: Any) -> list[Any]:
    """An array of three as a list."""
    return list(np.ravel(found))


def tuples(f: Any, **names: Any) -> Ready:
    """A call on two floats."""
    return Ready("f(-4.0, 2.0)", {"f": f, **names}, pair)


@WORK.by("tapegrad", "floats", "tapegrad", "tapegrad.native.compiled")
def floats(_: int) -> Ready:
    """A compiled tape of two numbers."""
    import tapegrad as tg

    return tuples(tg.compile(_ours, A, B).value_and_gradient)


def _ours(a: Any, b: Any) -> Any:
    import tapegrad as tg

    return expression(a, b, lambda x: tg.where(x > 0, x, 0.0))


@WORK.by("tapegrad", "array", "tapegrad", "tapegrad.native.compiled")
def array(_: int) -> Ready:
    """A compiled tape of an array."""
    import tapegrad as tg

    x = np.array([A, B])
    f = tg.compile(lambda x: _ours(x[0], x[1]), x).value_and_gradient
    return Ready("f(x)", {"f": f, "x": x}, pair)


@WORK.by("tapegrad", "interpreter", "tapegrad")
def interpreter(_: int) -> Ready:
    """A recorded tape, not compiled."""
    import tapegrad as tg

    return tuples(tg.record(_ours, A, B).value_and_gradient)


@WORK.by("Python", "gradient by hand", ahead=True)
def plain(_: int) -> Ready:
    """The gradient written out."""
    return Ready("f(-4.0, 2.0)", {"f": by_hand}, list)


@WORK.by("numba", "gradient by hand", "numba")
def numba(_: int) -> Ready:
    """The gradient written out, compiled."""
    from numba import njit

    return Ready("f(-4.0, 2.0)", {"f": njit(by_hand)}, list)


def _symbols(library: Any) -> tuple[Any, Any, Any]:
    a, b = library.symbols("a b")
    return a, b, expression(a, b, lambda x: library.Max(x, 0))


@WORK.by("SymPy", "lambdify, cse", "sympy")
def sympy(_: int) -> Ready:
    """Differentiated by SymPy, printed as Python."""
    import sympy

    a, b, g = _symbols(sympy)
    heaviside = {"Heaviside": lambda x, at_0=0.5: float(x > 0)}
    outputs = [g, g.diff(a), g.diff(b)]
    f = sympy.lambdify((a, b), outputs, [heaviside, "math"], cse=True)
    return Ready("f(-4.0, 2.0)", {"f": f})


@WORK.by("SymEngine", "LLVM", "symengine")
def symengine(_: int) -> Ready:
    """Compiled by SymEngine; the branches as they are taken here."""
    import symengine

    a, b = symengine.symbols("a b")
    kinks = iter([0.0, 1.0])
    g = expression(a, b, lambda x: x * next(kinks))
    outputs = [g, g.diff(a), g.diff(b)]
    f = symengine.Lambdify([a, b], outputs, backend="llvm", cse=True)
    x, out = np.array([A, B]), np.zeros(3)
    names = {"f": f.unsafe_real, "x": x, "out": out}
    return Ready("f(x, out)", names, lambda _: lines(out), "its kinks are left out")


def _casadi(**options: Any) -> Any:
    import casadi

    x = casadi.SX.sym("x", 2)
    g = expression(x[0], x[1], lambda v: casadi.fmax(v, 0))
    return casadi.Function("f", [x], [g, casadi.gradient(g, x)], options)


def _through_buffer(f: Any) -> Ready:
    x, value, slopes = np.array([A, B]), *zeros(1, 2)
    run, buffer = buffered(f, [x], [value, slopes])
    kept = (buffer, x)
    return Ready("f()", {"f": run, "kept": kept}, lambda _: [*value, *slopes])


@WORK.by("CasADi", "called", "casadi")
def casadi(_: int) -> Ready:
    """As people call it."""
    f = _casadi()
    return Ready("f(x)", {"f": f, "x": [A, B]}, lambda y: [float(y[0]), *lines(y[1])])


@WORK.by("CasADi", "interpreter, raw buffer, no arguments passed", "casadi")
def casadi_buffer(_: int) -> Ready:
    """Its virtual machine."""
    return _through_buffer(_casadi())


@WORK.by("CasADi", "compiled by C, raw buffer, no arguments passed", "casadi")
def casadi_c(_: int) -> Ready:
    """Compiled by the C compiler."""
    return _through_buffer(_casadi(**JIT))


@WORK.by("heyoka", "cfunc", "heyoka")
def heyoka(_: int) -> Ready:
    """Compiled by LLVM."""
    import heyoka as hy

    a, b = hy.make_vars("a", "b")
    g = expression(a, b, hy.relu)
    outputs = [g, hy.diff(g, a), hy.diff(g, b)]
    f = hy.cfunc(outputs, vars=[a, b])
    x, out = np.array([A, B]), np.zeros(3)
    names = {"f": f, "x": x, "out": out}
    return Ready("f(x, outputs=out)", names, lambda _: lines(out))


@WORK.by("JAX", "jit", "jax", "jax.numpy")
def jax(_: int) -> Ready:
    """Compiled by XLA; arguments and results as JAX has them."""
    import jax
    import jax.numpy as jnp

    f = jax.jit(
        jax.value_and_grad(
            lambda a, b: expression(a, b, lambda x: jnp.where(x > 0, x, 0.0)), (0, 1)
        )
    )
    return Ready("block(f(-4.0, 2.0))", {"f": f, "block": jax.block_until_ready}, pair)


def _swept(make: Callable[[float], Any], grad: str = "grad") -> Ready:
    def run() -> list[float]:
        a, b = make(A), make(B)
        g = expression(a, b, lambda x: x.relu())
        g.backward()
        value = g.data if hasattr(g, "data") else g
        return [float(value), float(getattr(a, grad)), float(getattr(b, grad))]

    return Ready("f()", {"f": run})


@WORK.by("tapegrad", "eager Values", "tapegrad", ahead=True)
def values(_: int) -> Ready:
    """micrograd's habits."""
    import tapegrad as tg

    return _swept(tg.Value)


@WORK.by("micrograd", "", "micrograd.engine", ahead=True)
def micrograd(_: int) -> Ready:
    """The original."""
    return _swept(importlib.import_module("micrograd.engine").Value)


@WORK.by("torch", "eager", "torch", ahead=True)
def torch(_: int) -> Ready:
    """PyTorch's autograd."""
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    return _swept(lambda x: torch.tensor(x, requires_grad=True))


@WORK.by("torch", "torch.compile", "torch", "torch._dynamo")
def torch_compiled(_: int) -> Ready:
    """PyTorch's compiler, C++ behind it."""
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    g = torch.compile(lambda a, b: expression(a, b, torch.relu), fullgraph=True)
    a, b = (torch.tensor(x, requires_grad=True) for x in (A, B))

    def run() -> tuple[Any, Any]:
        value = g(a, b)
        return value, torch.autograd.grad(value, (a, b))

    return Ready("f()", {"f": run}, lambda y: [y[0].item(), *(g.item() for g in y[1])])


@WORK.by("autograd", "", "autograd.numpy", ahead=True)
def autograd(_: int) -> Ready:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    f = value_and_grad(lambda x: expression(x[0], x[1], lambda v: anp.maximum(v, 0.0)))
    return Ready("f(x)", {"f": f, "x": np.array([A, B])}, pair)


@WORK.by("xad", "adjoint mode", "xad.adj_1st", ahead=True)
def xad(_: int) -> Ready:
    """Recorded and swept in C++."""
    import xad.adj_1st as adj
    from xad import math

    def run() -> list[float]:
        with adj.Tape() as tape:
            a, b = adj.Real(A), adj.Real(B)
            tape.registerInput(a)
            tape.registerInput(b)
            tape.newRecording()
            g = expression(a, b, lambda x: math.max(x, 0.0))
            tape.registerOutput(g)
            g.derivative = 1.0
            tape.computeAdjoints()
            return [g.value, a.derivative, b.derivative]

    return Ready("f()", {"f": run})
