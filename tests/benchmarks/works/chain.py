"""The sparse Hessian of Rosenbrock's function of a chain."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import buffered, library, pointer, zeros
from works.rosenbrock import start


def sliced(x: Any) -> Any:
    """The function, in slices."""
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def by_hand(n: int) -> list[Any]:
    """The diagonal, and what stands beside it."""
    x = start(n)
    main = np.zeros(n)
    main[1:] += 200.0
    main[:-1] += 1200.0 * x[:-1] ** 2 - 400.0 * x[1:] + 2.0
    return [main, -400.0 * x[:-1]]


WORK = Work(
    "chain",
    "A sparse Hessian, found automatically: a chain",
    "Rosenbrock's function of n numbers; a later evaluation of its Hessian as a sparse "
    "matrix. Building has the pattern and the colours in it, and the first evaluation.",
    (10_000, 100_000),
    "n = {:,}",
    by_hand,
    quick=11,
)


def diagonals(matrix: Any) -> list[Any]:
    """Of a SciPy matrix."""
    assert abs(matrix - matrix.T).max() == 0.0
    return [matrix.diagonal(), matrix.diagonal(1)]


@WORK.by("tapegrad", "tg.sparse_hessian", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """As it is."""
    import tapegrad as tg

    x = start(n)
    f = tg.sparse_hessian(sliced, x)
    f(x)  # the next call makes native code, and is part of what building takes
    return Ready("f(x)", {"f": f, "x": x}, diagonals)


@WORK.by("tapegrad", "tg.sparse_hessian, compiled", "tapegrad.native.compiled")
def tapegrad_compiled(n: int) -> Ready:
    """Compiled."""
    import tapegrad as tg

    x, f = start(n), tg.sparse_hessian(sliced, start(n)).compile()
    return Ready("f(x)", {"f": f, "x": x}, diagonals)


@WORK.by(HAND_C, "two diagonals", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes."""
    x, main, off = start(n), np.empty(n), np.empty(n - 1)
    args = ctypes.c_long(n), pointer(x), pointer(main), pointer(off)
    names = {"f": library().rosenbrock_hessian, "args": args, "kept": x}
    return Ready("f(*args)", names, lambda _: [main, off])


@WORK.by("CasADi", "MX, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Pattern and colours by CasADi; the lower half's values."""
    import casadi

    v = casadi.MX.sym("x", n)
    value = casadi.sum1(100.0 * (v[1:] - v[:-1] ** 2) ** 2 + (1.0 - v[:-1]) ** 2)
    hessian = casadi.hessian(value, v)[0]
    f = casadi.Function("f", [v], [hessian])
    x, (out,) = start(n), zeros(hessian.nnz())
    run, buffer = buffered(f, [x], [out])
    pattern = hessian.sparsity()
    import scipy.sparse as sp

    def answer(_: Any) -> list[Any]:
        rows, columns = pattern.row(), pattern.get_col()
        return diagonals(sp.csr_array((out, (rows, columns)), shape=(n, n)))

    return Ready("f()", {"f": run, "kept": (buffer, x)}, answer)


@WORK.by("JAX", "jit, three colours by hand", "jax", "jax.numpy")
def jax(n: int) -> Ready:
    """Three products with the Hessian, the colours given by hand."""
    import jax
    import jax.numpy as jnp

    def f(x: Any) -> Any:
        t = x[1:] - x[:-1] ** 2
        return jnp.sum(100.0 * t**2 + (1.0 - x[:-1]) ** 2)

    place = jnp.arange(n)
    seeds = jnp.stack([(place % 3 == k) * 1.0 for k in range(3)])

    @jax.jit
    def hessian(x: Any) -> Any:
        slope = jax.grad(f)
        rows = jax.vmap(lambda d: jax.jvp(slope, (x,), (d,))[1])(seeds)
        return rows[place % 3, place], rows[(place[:-1] + 1) % 3, place[:-1]]

    names = {"f": hessian, "x": jnp.asarray(start(n)), "block": jax.block_until_ready}
    return Ready("block(f(x))", names, list)
