"""Functions whose derivatives are compared with JAX's, in one text for both.

Each takes the namespace that it computes in first: NumPy, or `jax.numpy`. A direction
and cotangents are made from the shapes, the same for both; `weighted` makes a number of
whatever a function returns, for gradients and Hessians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

V = np.array([0.3, -1.2, 2.1])
W = np.array([1.5, 0.4, 0.9])
M = np.array([[0.2, -0.7, 1.1], [0.5, 1.3, -0.4]])
S = np.array([[2.0, 0.3, -0.1], [0.3, 1.7, 0.4], [-0.1, 0.4, 2.5]])
COLUMN, ROW = np.array([[0.6], [-1.4]]), np.array([[0.8, -0.2, 1.9]])
TREE = {"w": M, "b": np.array([0.1, -0.3])}
AT = np.array([2, 0, 2])


def relative(xp: Any, x: Any) -> Any:
    e = xp.exp(x - 1.0)
    return e / xp.sum(e)


def layer(xp: Any, p: Any, x: Any) -> Any:
    return xp.tanh(p["w"] @ x + p["b"])


def several(xp: Any, x: Any, s: Any) -> Any:
    return {"sine": xp.sin(x) * s, "rest": [xp.sum(x * x), s * x[0]]}


def descent(xp: Any, x: Any, rate: Any) -> Any:
    """Three steps of gradient descent on a quartic, by hand."""
    for _ in range(3):
        x = x - rate * (4.0 * x**3 - 2.0 * x)
    return xp.sum(x * x)


@dataclass(frozen=True)
class Case:
    """A function, and where it is differentiated.

    Args:
        f: of the namespace and the arguments.
        args: the arguments.
        order: Hessians are compared up to 2, third derivatives at 3.
    """

    f: Callable[..., Any]
    args: tuple[Any, ...]
    order: int = 3


CASES = {
    "scalar": Case(lambda xp, x: xp.sin(x) * xp.exp(x) / (1.0 + x * x), (0.7,)),
    "power": Case(lambda xp, x, y: x**y + xp.log(x * y), (1.3, 0.8)),
    "vector": Case(lambda xp, x: xp.tanh(x) * x[::-1], (V,)),
    "matrix": Case(lambda xp, a: xp.sqrt(1.0 + a * a) * xp.cos(a), (M,), 2),
    "number by vector": Case(lambda xp, x, s: x * s + xp.exp(-s * x), (V, 0.6)),
    "matrix by vector": Case(lambda xp, a, b: a * b + xp.sin(a) / (2.0 + b), (M, W), 2),
    "column by row": Case(lambda xp, a, b: a * b + a / (3.0 + b), (COLUMN, ROW)),
    "stretched": Case(lambda xp, x: xp.broadcast_to(x * x, (2, 3)) * M, (V,)),
    "product": Case(lambda xp, a, x: a @ (x * x), (M, V), 2),
    "gram": Case(lambda xp, a: (a.T @ a) * 0.5, (M,), 2),
    "rows": Case(lambda xp, a: xp.sum(a * a, axis=1) * xp.mean(a, axis=1), (M,)),
    "largest": Case(lambda xp, x: xp.max(x) * x + xp.min(x), (V,)),
    "norm": Case(lambda xp, x: xp.sqrt(xp.sum(x * x)), (V,)),
    "shares": Case(relative, (V,)),
    "chosen": Case(lambda xp, x: xp.where(x > 0.0, x**3, x * x), (V,)),
    "moved": Case(lambda xp, a: xp.reshape(a.T, (6,))[1:5] ** 2, (M,), 2),
    "gathered": Case(lambda xp, x: x[AT] * xp.arctan(x), (V,)),
    "joined": Case(lambda xp, x, y: xp.concatenate([x * y, x, y**2]), (V, W)),
    "running": Case(lambda xp, x: xp.cumsum(x * x) / (1.0 + x[0] ** 2), (V,)),
    "sorted": Case(lambda xp, x: xp.sort(x) ** 2 * W, (V,)),
    "solved": Case(lambda xp, a, x: xp.linalg.solve(a, x), (S, V), 2),
    "determinant": Case(lambda xp, a: xp.linalg.det(a), (S,), 2),
    "inverse": Case(lambda xp, a: xp.linalg.inv(a), (S,), 2),
    "factor": Case(lambda xp, a: xp.linalg.cholesky(a @ a.T), (S,), 1),
    "nested": Case(layer, (TREE, V), 2),
    "several": Case(several, (V, 1.7)),
    "descent": Case(descent, (V, 0.05)),
    "constant": Case(lambda xp, x: (3.0, 0.0 * x), (V,)),
    "unread": Case(lambda xp, x, y: x * x, (V, 2.0)),
    "empty": Case(lambda xp, x: xp.exp(x) * x, (np.zeros(0),)),
    "empty rows": Case(lambda xp, a: xp.sum(a * a, axis=0), (np.zeros((0, 3)),)),
    "empty inside": Case(lambda xp, x: x[3:] * xp.sum(x), (V,)),
}


def mapped(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """A nesting of dicts, lists and tuples, leaf by leaf, with others like it."""
    if isinstance(tree, dict):
        return {k: mapped(f, tree[k], *(o[k] for o in others)) for k in sorted(tree)}
    if isinstance(tree, list | tuple):
        return type(tree)(
            mapped(f, *parts) for parts in zip(tree, *others, strict=True)
        )
    return f(tree, *others)


def leaves(tree: Any) -> list[Any]:
    """The leaves, in order."""
    found: list[Any] = []
    mapped(found.append, tree)
    return found


def wave(like: Any, start: float = 1.0) -> Any:
    """Numbers between -1 and 1 in the shapes of a nesting."""

    def one(leaf: Any) -> Any:
        shape = np.shape(leaf)
        x = np.sin(start + np.arange(np.prod(shape, dtype=int))).reshape(shape)
        return x if shape else float(x)

    return mapped(one, like)


def weighted(case: Case, xp: Any, like: Any) -> Callable[..., Any]:
    """The case as a function that gives one number."""
    weights = wave(like, 0.5)

    def number(*args: Any) -> Any:
        parts = mapped(
            lambda y, w: xp.sum(y * w + 0.5 * y * y), case.f(xp, *args), weights
        )
        return sum(leaves(parts))

    return number
