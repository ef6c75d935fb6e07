"""A determinant by minors: recursion, and no loop to find again."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import JIT, buffered, library, pointer, zeros
from works.rolls import recorded


def matrix(n: int) -> Any:
    """Where it is evaluated."""
    return np.random.default_rng(0).normal(size=(n, n))


def determinant(a: Any, row: int, columns: tuple[int, ...]) -> Any:
    """By minors of the rows from ``row`` on, and of some columns."""
    if len(columns) == 1:
        return a[row, columns[0]]
    total = 0.0
    for place, column in enumerate(columns):
        rest = columns[:place] + columns[place + 1 :]
        term = a[row, column] * determinant(a, row + 1, rest)
        total = total - term if place % 2 else total + term
    return total


def whole(a: Any) -> Any:
    """Of all of a matrix."""
    return determinant(a, 0, tuple(range(len(a))))


def reference(n: int) -> list[Any]:
    """By LU factors."""
    a = matrix(n)
    det = np.linalg.det(a)
    return [det, det * np.linalg.inv(a).T]


WORK = Work(
    "minors",
    "Straight-line code without a loop in it: a determinant by minors",
    "A plain recursive function of a matrix: 146 recorded steps at n = 4, 31,019 at "
    "n = 7, 2,233,469 at n = 9. Value, and slopes by all entries.",
    (4, 6, 7, 9),
    "n = {}",
    reference,
    quick=3,
    limit=300.0,
)


def pair(found: Any) -> list[Any]:
    """Value and slopes."""
    return [found[0], found[1]]


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Recorded and compiled."""
    import tapegrad as tg

    native, a = tg.compile(whole, matrix(n)), matrix(n)
    call = native.value_and_gradient
    call(a)
    note = f"{native.report.lowered_steps:,} operations as code"
    return Ready("f(a)", {"f": call, "a": a}, pair, note)


@WORK.by("tapegrad", "roll=False", "tapegrad", "tapegrad.native.compiled")
def tapegrad_straight(n: int) -> Ready:
    """Without looking for loops."""
    a = matrix(n)
    call = recorded(whole, a).compile().value_and_gradient
    return Ready("f(a)", {"f": call, "a": a}, pair)


@WORK.by(HAND_C, "recursive, slopes by minors", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes: the determinant and all its minors, by recursion."""
    f, a, g = library().minors, matrix(n), np.empty((n, n))
    f.restype = ctypes.c_double
    args = ctypes.c_int(n), pointer(a), pointer(g)
    return Ready("f(*args), g", {"f": f, "args": args, "g": g, "kept": a}, pair)


class _Entries:
    """A list of lists that is read as a matrix."""

    def __init__(self, rows: list[list[Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        return self.rows[key[0]][key[1]]


def _entries(names: list[Any], n: int) -> _Entries:
    return _Entries([names[n * i : n * i + n] for i in range(n)])


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    v = casadi.SX.sym("a", n * n)
    value = whole(_entries(casadi.vertsplit(v), n))
    f = casadi.Function("f", [v], [value, casadi.gradient(value, v)], options)
    a, out, g = matrix(n).ravel(), *zeros(1, n * n)
    run, buffer = buffered(f, [a], [out, g])
    return Ready("f()", {"f": run, "kept": (buffer, a)}, lambda _: [out, g])


@WORK.by("CasADi", "SX, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    return _casadi(n)


@WORK.by("CasADi", "SX, compiled by C, raw buffer", "casadi", most=6)
def casadi_c(n: int) -> Ready:
    """Compiled by the C compiler."""
    return _casadi(n, **JIT)


@WORK.by("heyoka", "cfunc, compact mode", "heyoka", most=6)
def heyoka(n: int) -> Ready:
    """Compiled by LLVM."""
    import heyoka as hy

    names = list(hy.make_vars(*(f"a{i}" for i in range(n * n))))
    value = whole(_entries(names, n))
    slopes = hy.diff_tensors([value], diff_args=names).gradient
    f = hy.cfunc([value, *slopes], vars=names, compact_mode=True)
    a, out = matrix(n).ravel(), np.zeros(n * n + 1)
    space = {"f": f, "a": a, "out": out}
    return Ready("f(a, outputs=out)", space, lambda _: [out[0], out[1:]])


@WORK.by("SymEngine", "LLVM", "symengine", most=6)
def symengine(n: int) -> Ready:
    """Compiled by SymEngine."""
    import symengine

    names = list(symengine.symbols(f"a0:{n * n}"))
    value = whole(_entries(names, n))
    outputs = [value, *(value.diff(x) for x in names)]
    f = symengine.Lambdify(names, outputs, backend="llvm", cse=True)
    a, out = matrix(n).ravel(), np.zeros(n * n + 1)
    space = {"f": f.unsafe_real, "a": a, "out": out}
    return Ready("f(a, out)", space, lambda _: [out[0], out[1:]])


@WORK.by("JAX", "jit", "jax", "jax.numpy", most=6)
def jax(n: int) -> Ready:
    """The recursion, unrolled by tracing."""
    import jax

    a = jax.numpy.asarray(matrix(n))
    names = {"f": jax.jit(jax.value_and_grad(whole)), "a": a}
    return Ready("block(f(a))", {**names, "block": jax.block_until_ready}, pair)


@WORK.by("xad", "adjoint mode", "xad.adj_1st", ahead=True)
def xad(n: int) -> Ready:
    """Recorded and swept in C++."""
    import xad.adj_1st as adj

    def run() -> tuple[Any, Any]:
        with adj.Tape() as tape:
            names = [adj.Real(x) for x in matrix(n).ravel().tolist()]
            for x in names:
                tape.registerInput(x)
            tape.newRecording()
            value = whole(_entries(names, n))
            tape.registerOutput(value)
            value.derivative = 1.0
            tape.computeAdjoints()
            return value.value, [x.derivative for x in names]

    return Ready("f()", {"f": run}, lambda y: [y[0], np.array(y[1])])
