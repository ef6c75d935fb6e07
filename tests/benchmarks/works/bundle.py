"""Bundle adjustment: the block of the Jacobian that belongs to each observation."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import JIT, buffered, library, pointer, zeros

PARAMETERS, RESIDUALS = 15, 2


def residuals(xp: Any, p: Any, seen: Any) -> tuple[Any, Any]:
    """Where a camera sees a point, less where it was seen, times a weight.

    The camera (11): an axis times an angle, a centre, a focal length, a principal point
    and two numbers of radial distortion; the point (3); the weight (1).
    """
    r0, r1, r2, c0, c1, c2, focal, u0, v0, k1, k2, x0, x1, x2, weight = p
    a, b, c = x0 - c0, x1 - c1, x2 - c2
    angle = xp.sqrt(r0 * r0 + r1 * r1 + r2 * r2)
    n0, n1, n2 = r0 / angle, r1 / angle, r2 / angle
    cosine, sine = xp.cos(angle), xp.sin(angle)
    along = (n0 * a + n1 * b + n2 * c) * (1.0 - cosine)
    x = a * cosine + (n1 * c - n2 * b) * sine + n0 * along
    y = b * cosine + (n2 * a - n0 * c) * sine + n1 * along
    z = c * cosine + (n0 * b - n1 * a) * sine + n2 * along
    u, v = x / z, y / z
    square = u * u + v * v
    scale = focal * (1.0 + square * (k1 + k2 * square))
    return (
        weight * (scale * u + u0 - seen[0]),
        weight * (scale * v + v0 - seen[1]),
    )


def scene(n: int) -> tuple[Any, Any]:
    """Parameters (15, n) and what was seen (2, n)."""
    rng = np.random.default_rng(0)
    p = np.empty((PARAMETERS, n))
    p[:3] = rng.normal(scale=0.4, size=(3, n))
    p[3:6] = rng.normal(size=(3, n))
    p[6] = rng.uniform(400.0, 600.0, n)
    p[7:9] = rng.normal(scale=3.0, size=(2, n))
    p[9:11] = rng.normal(scale=0.01, size=(2, n))
    p[11:13] = rng.normal(size=(2, n))
    p[13] = rng.uniform(6.0, 9.0, n)
    p[14] = rng.uniform(0.5, 1.5, n)
    return p, rng.normal(scale=100.0, size=(2, n))


def reference(n: int) -> list[Any]:
    """The blocks by steps into the complex plane: (2, 15, n), exact to rounding."""
    p, seen = scene(n)
    out = np.empty((RESIDUALS, PARAMETERS, n))
    for j in range(PARAMETERS):
        moved = p.astype(complex)
        moved[j] += 1e-200j
        for i, residual in enumerate(residuals(np, moved, seen)):
            out[i, j] = residual.imag / 1e-200
    return [out]


WORK = Work(
    "bundle",
    "Bundle adjustment: Jacobian blocks",
    "Two residuals by the fifteen parameters of camera, point and weight, for each of "
    "31,843 observations.",
    (31_843,),
    "",
    reference,
    tolerance=1e-9,
    quick=5,
)


def last(found: Any) -> list[Any]:
    """Blocks of observations, (n, 2, 15), as the reference has them."""
    return [np.moveaxis(np.asarray(found), 0, -1)]


@WORK.by("tapegrad", "jacobian_ufunc", "tapegrad.native.compiled")
def tapegrad_blocks(n: int) -> Ready:
    """A block a point, of arrays."""
    import tapegrad as tg

    p, seen = scene(n)

    def block(p: Any, seen: Any) -> Any:
        return np.stack(residuals(np, [p[i] for i in range(PARAMETERS)], seen))

    rows, what = p.T.copy(), seen.T.copy()
    made = tg.compile(block, rows[0], what[0])
    f = made.jacobian_ufunc(argnums=(0,))
    return Ready("f(p, s)", {"f": f, "p": rows, "s": what}, last)


@WORK.by("tapegrad", "jacobian_ufunc, out=", "tapegrad.native.compiled")
def tapegrad_columns(n: int) -> Ready:
    """Of numbers, each derivative a column of its own."""
    import tapegrad as tg

    p, seen = scene(n)

    def both(*numbers: Any) -> Any:
        return residuals(np, numbers[:PARAMETERS], numbers[PARAMETERS:])

    made = tg.compile(both, *p[:, 0].tolist(), *seen[:, 0].tolist())
    f = made.jacobian_ufunc(argnums=range(PARAMETERS))
    out = np.empty((RESIDUALS, PARAMETERS, n))
    names = {"f": f, "x": (*p, *seen), "out": tuple(out.reshape(-1, n))}
    return Ready("f(*x, out=out)", names, lambda _: [out])


@WORK.by("tapegrad", "vmap of jacobian, compiled", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Compiled as one."""
    import tapegrad as tg

    p, seen = scene(n)

    def block(p: Any, seen: Any) -> Any:
        return np.stack(residuals(np, p, seen))

    rows, what = p.T.copy(), seen.T.copy()
    f = tg.compile(tg.vmap(tg.jacobian(block)), rows, what)
    return Ready("f(p, s)", {"f": f, "p": rows, "s": what}, last)


@WORK.by(HAND_C, "libm", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes."""
    p, seen = scene(n)
    out = np.empty((RESIDUALS, PARAMETERS, n))
    args = ctypes.c_long(n), pointer(p), pointer(seen), pointer(out)
    names = {"f": library().bundle, "args": args, "kept": (p, seen)}
    return Ready("f(*args)", names, lambda _: [out])


class _HeyokaWords:
    """heyoka's functions under NumPy's names."""

    def __init__(self) -> None:
        import heyoka as hy

        self.sqrt, self.sin, self.cos = hy.sqrt, hy.sin, hy.cos


@WORK.by("heyoka", "cfunc", "heyoka")
def heyoka(n: int) -> Ready:
    """Compiled by LLVM, in vectors."""
    import heyoka as hy

    names = list(hy.make_vars(*(f"p{i}" for i in range(PARAMETERS))))
    seen = list(hy.make_vars("u", "v"))
    both = residuals(_HeyokaWords(), names, seen)
    slopes = [hy.diff(r, x) for r in both for x in names]
    f = hy.cfunc(slopes, vars=[*names, *seen])
    x, out = np.concatenate(scene(n)), np.zeros((30, n))
    space = {"f": f, "x": x, "out": out}
    answer = out.reshape(RESIDUALS, PARAMETERS, n)
    return Ready("f(x, outputs=out)", space, lambda _: [answer])


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    p, seen = casadi.SX.sym("p", PARAMETERS), casadi.SX.sym("s", 2)
    both = casadi.vertcat(
        *residuals(casadi, casadi.vertsplit(p), casadi.vertsplit(seen))
    )
    slopes = casadi.densify(casadi.jacobian(both, p)).T  # its matrices go by columns
    f = casadi.Function("f", [p, seen], [slopes], options).map(n)
    x, s = (a.T.copy() for a in scene(n))
    (out,) = zeros((n, RESIDUALS, PARAMETERS))
    run, buffer = buffered(f, [x.ravel(), s.ravel()], [out.ravel()])
    return Ready("f()", {"f": run, "kept": (buffer, x, s, f)}, lambda _: last(out))


@WORK.by("CasADi", "SX, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    return _casadi(n)


@WORK.by("CasADi", "SX, compiled by C, raw buffer", "casadi")
def casadi_c(n: int) -> Ready:
    """Compiled by the C compiler."""
    return _casadi(n, **JIT)


@WORK.by("SymEngine", "LLVM", "symengine")
def symengine(n: int) -> Ready:
    """Compiled by SymEngine, one observation after the other."""
    import symengine

    names = symengine.symbols(f"p0:{PARAMETERS}")
    seen = symengine.symbols("u v")
    both = residuals(symengine, names, seen)
    slopes = [r.diff(x) for r in both for x in names]
    f = symengine.Lambdify([*names, *seen], slopes, backend="llvm", cse=True)
    x = np.concatenate(scene(n)).T.copy()
    shape = (n, RESIDUALS, PARAMETERS)
    return Ready("f(x)", {"f": f, "x": x}, lambda y: last(np.reshape(y, shape)))


@WORK.by("JAX", "jit, vmap of jacrev", "jax", "jax.numpy")
def jax(n: int) -> Ready:
    """Compiled by XLA."""
    import jax
    import jax.numpy as jnp

    def block(p: Any, seen: Any) -> Any:
        return jnp.stack(residuals(jnp, p, seen))

    f = jax.jit(jax.vmap(jax.jacrev(block)))
    x, s = (jnp.asarray(a.T) for a in scene(n))
    names = {"f": f, "x": x, "s": s, "block": jax.block_until_ready}
    return Ready("block(f(x, s))", names, last)


def _torch(n: int, wrap: Callable[[Any], Any]) -> Ready:
    import torch

    torch.set_num_threads(1)

    def both(p: Any, seen: Any) -> Any:
        return torch.stack(residuals(torch, p, seen))

    p, seen = (torch.tensor(a, requires_grad=True) for a in scene(n))

    def run() -> Any:
        found = both(p, seen)
        ones = torch.ones_like(found[0])
        return torch.stack(
            [torch.autograd.grad(r, p, ones, retain_graph=True)[0] for r in found]
        )

    return Ready("f()", {"f": wrap(run)}, lambda y: [y])


@WORK.by("torch", "eager, batched by hand", "torch", ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd, all observations at once, one residual after the other."""
    return _torch(n, lambda f: f)


@WORK.by("torch", "torch.compile, vmap of jacrev", "torch", "torch._dynamo")
def torch_compiled(n: int) -> Ready:
    """PyTorch's compiler."""
    import torch

    torch.set_num_threads(1)

    def block(p: Any, seen: Any) -> Any:
        return torch.stack(residuals(torch, p.unbind(), seen.unbind()))

    f = torch.compile(torch.func.vmap(torch.func.jacrev(block)))
    p, seen = (torch.tensor(a.T.copy()) for a in scene(n))
    return Ready("f(p, s)", {"f": f, "p": p, "s": seen}, last)
