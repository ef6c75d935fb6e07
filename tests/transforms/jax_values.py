"""Write `jax_values.json`: what JAX gives for the cases. Run by hand, where JAX is.

python tests/transforms/jax_values.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import CASES, Case, mapped, wave, weighted

jax.config.update("jax_enable_x64", True)


def plain(tree: Any) -> Any:
    """Leaves as lists of numbers."""
    return mapped(lambda x: np.asarray(x, float).tolist(), tree)


def values_of(case: Case) -> dict[str, Any]:
    """Everything that is compared."""
    every = tuple(range(len(case.args)))
    args = mapped(jnp.asarray, case.args)
    f = lambda *xs: case.f(jnp, *xs)  # noqa: E731
    value = mapped(jnp.asarray, f(*args))
    direction = mapped(jnp.asarray, wave(case.args))
    cotangents = mapped(lambda c, y: jnp.asarray(c, y.dtype), wave(value, 2.0), value)
    f = lambda *xs: mapped(jnp.asarray, case.f(jnp, *xs))  # noqa: E731
    g = weighted(case, jnp, mapped(np.asarray, value))
    found = {
        "value": value,
        "jvp": jax.jvp(f, args, direction)[1],
        "vjp": jax.vjp(f, *args)[1](cotangents),
        "jacobian": jax.jacobian(f, every)(*args),
        "grad": jax.grad(g, every)(*args),
    }
    if case.order > 1:
        found["hessian"] = jax.hessian(g, every)(*args)
        found["hvp"] = jax.jvp(jax.grad(g, every), args, direction)[1]
    if case.order > 2:
        found["third"] = jax.jacobian(jax.hessian(g))(*args)
    return plain(found)


if __name__ == "__main__":
    found = {name: values_of(case) for name, case in CASES.items()}
    text = json.dumps({"jax": jax.__version__, "cases": found}, allow_nan=False)
    Path(__file__).with_name("jax_values.json").write_text(text + "\n")
