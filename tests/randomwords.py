"""Words of random programs: pieces of code as people write them in NumPy.

Each runs on plain numbers and arrays and on recorded ones alike. `choose` gives the
operands and parameters of a word, out of what a program has so far.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tapegrad as tg


def names(text: str) -> tuple[str, ...]:
    """Several names in a row."""
    return tuple(text.split())


# -- words of arrays -------------------------------------------------------------------


def _slice(x: Any, *, key: Any) -> Any:
    return x[key]


def _set(x: Any, v: Any, *, key: Any) -> Any:
    y = x * 1.0
    y[key] = v
    return y


def _add_at(x: Any, v: Any, *, key: Any) -> Any:
    y = x + 0.5
    y[key] += v
    y[key] *= 0.5
    return y


def _fancy(x: Any, *, at: Any) -> Any:
    return x[np.array(at)]


def _fancy_set(x: Any, v: Any, *, at: Any) -> Any:
    y = -x
    y[np.array(at)] = v
    return y


def _reshape(x: Any, *, shape: Any) -> Any:
    return np.reshape(x, shape)


def _transpose(x: Any) -> Any:
    return x.T


def _flip(x: Any) -> Any:
    return np.flip(x, 0)


def _stack(x: Any) -> Any:
    return np.stack([x, x * 2.0], axis=-1)


def _concatenate(x: Any) -> Any:
    return np.concatenate([x, -x], axis=0)


def _sort(x: Any) -> Any:
    return np.sort(x, axis=-1)


def _repeat(x: Any, *, n: int) -> Any:
    return np.repeat(x, n, axis=0)


def _roll(x: Any, *, n: int) -> Any:
    return np.roll(x, n)


def _diff(x: Any) -> Any:
    return np.diff(x, axis=-1, append=1.5)


def _cumulate(x: Any) -> Any:
    return np.cumsum(x, axis=0) + np.cumprod(x, axis=0)


def _reduce(x: Any, *, name: str, axis: Any, keepdims: bool) -> Any:
    return getattr(np, name)(x, axis=axis, keepdims=keepdims)


def _square_product(x: Any) -> Any:
    return np.matmul(x, np.swapaxes(x, -1, -2))


def _product(x: Any, y: Any) -> Any:
    return x @ y


def _einsum(x: Any, y: Any, *, subscripts: str) -> Any:
    return np.einsum(subscripts, x, y)


def _outer(x: Any) -> Any:
    return np.outer(x, x)


def _pick(x: Any, y: Any) -> Any:
    return np.where(x > 0.25, x, y)


def _masked_sqrt(x: Any) -> Any:
    """The usual trap: the arm that is not selected has no number."""
    return np.where(x > 0.0, np.sqrt(x), x * x)


def _solve(x: Any) -> Any:
    a = np.matmul(np.swapaxes(x, -1, -2), x) + np.eye(x.shape[-1])
    return np.linalg.solve(a, x.T)


# -- words of numbers and arrays -------------------------------------------------------


def _operators(x: Any, y: Any) -> Any:
    z = -x * 2 + y / 3.0 - 1
    z -= 0.5 * x
    return z * abs(y) + (+x) - 1.0 / (2.0 + y * y)


def _powers(x: Any) -> Any:
    return x**2 - 0.5 * x**3 + 2.0**x + 1.0 / (1 + x**2) ** 0.5


def _remainder(x: Any) -> Any:
    return x % 1.5 + (x + 10.25) // 2.0


def _branch(x: Any) -> Any:
    if x > 0.5:
        return x * x
    if x < -0.5 or x == 0.0:
        return x - 1.0
    return 2.0 * x


def _halve(x: Any) -> Any:
    steps = 0
    while x > 0.75 and steps < 20:
        x = x * 0.5
        steps += 1
    return x + steps


def _stop(x: Any) -> Any:
    return tg.stop_gradient(x) * x


def _slope(x: Any) -> Any:
    """A derivative inside the program."""
    return tg.grad(lambda t: np.sum(np.sin(t) * t))(x)


def _slope_around(x: Any) -> Any:
    """One that reads a value of the enclosing recording."""
    return tg.grad(lambda t: np.sum(np.exp(0.1 * t) * x * t))(x * 0.5)


def _curve(x: Any) -> Any:
    """A derivative of a derivative."""
    inner = tg.grad(lambda t: np.sum(np.tanh(t) * t))
    return tg.grad(lambda t: np.sum(inner(t) * t))(x)


def _along(x: Any) -> Any:
    return tg.jvp(lambda t: np.cos(t) * t, (x,), (x * 0.0 + 1.0,))[1]


def _call(x: Any) -> Any:
    """A tape inside the program: a call step."""
    return _TAPE(np.sum(x), 0.5)


def _single(x: Any) -> Any:
    """Through single precision and back."""
    y = x.astype(np.float32) if np.ndim(x) else x
    return (y * y).astype(np.float64) if np.ndim(x) else y


_TAPE = tg.record(lambda a, b: np.sin(a) * b + a / (1.0 + a * a), 0.3, 0.7)

WORDS = {
    "slice": _slice,
    "set": _set,
    "add_at": _add_at,
    "fancy": _fancy,
    "fancy_set": _fancy_set,
    "reshape": _reshape,
    "transpose": _transpose,
    "flip": _flip,
    "stack": _stack,
    "concatenate": _concatenate,
    "sort": _sort,
    "repeat": _repeat,
    "roll": _roll,
    "diff": _diff,
    "cumulate": _cumulate,
    "reduce": _reduce,
    "square_product": _square_product,
    "product": _product,
    "einsum": _einsum,
    "outer": _outer,
    "pick": _pick,
    "masked_sqrt": _masked_sqrt,
    "solve": _solve,
    "operators": _operators,
    "powers": _powers,
    "remainder": _remainder,
    "branch": _branch,
    "halve": _halve,
    "stop": _stop,
    "slope": _slope,
    "slope_around": _slope_around,
    "curve": _curve,
    "along": _along,
    "call": _call,
    "single": _single,
}
WORDS_OF_NUMBERS = names(
    "operators powers remainder branch halve stop slope slope_around curve along "
    "call masked_sqrt pick"
)
_OF_NUMBERS_ALONE = {"branch", "halve"}
_MATRICES = {"square_product", "solve"}
_REDUCTIONS = ("sum", "mean", "max", "min", "prod", "std", "var")
_EINSUMS = {"ij,jk->ik": 2, "ij,ij->i": 2, "i,i->": 1, "ij,ij->ji": 2, "i,j->ij": 1}


def choose(name: str, grower: Any) -> tuple[Any, Any] | None:
    """Operands and parameters for a word; None where the program has none yet."""
    rng = grower.rng
    many = name not in WORDS_OF_NUMBERS or (not grower.scalars and rng.random() < 0.6)

    def fits(x: Any) -> bool:
        if name in _OF_NUMBERS_ALONE or not many:
            return np.shape(x) == ()
        if name in _MATRICES:
            return np.ndim(x) == 2 and bool(np.size(x))
        return bool(np.ndim(x)) and bool(np.size(x))

    if name == "einsum":
        subscripts = list(_EINSUMS)[int(rng.integers(len(_EINSUMS)))]
        x = grower.pick(lambda x: np.ndim(x) == _EINSUMS[subscripts])
        if x is None:
            return None
        shape = np.shape(grower.data[x])
        wanted = shape[::-1] if subscripts == "ij,jk->ik" else shape
        y = grower.pick(lambda y: np.shape(y) == wanted)
        y = y or grower.given(grower.array(wanted, -math.inf, math.inf))
        return (x, y), {"subscripts": subscripts}
    x = grower.pick(fits)
    if x is None:
        return None
    data = grower.data[x]
    shape = np.shape(data)
    if name in {"slice", "set", "add_at"}:
        params = {"key": key(rng, shape)}
        if name == "slice":
            return (x,), params
        region = np.shape(np.zeros(shape)[params["key"]])
        v = grower.pick(lambda v: np.shape(v) in {(), region})
        return (x, grower.number() if v is None else v), params
    if name in {"fancy", "fancy_set"}:
        count = int(rng.integers(1, 4))
        at = rng.integers(-shape[0], shape[0], count).tolist()
        if rng.random() < 0.3:
            at = (rng.random(shape) < 0.5).tolist()
        if name == "fancy":
            return (x,), {"at": at}
        v = grower.pick(lambda v: np.shape(v) == ())
        return (x, grower.number() if v is None else v), {"at": at}
    if name == "reshape":
        size = math.prod(shape)
        shapes = [(size,), (size, 1), (1, size), (-1,)]
        shapes += [(d, size // d) for d in (2, 3) if size % d == 0]
        return (x,), {"shape": shapes[int(rng.integers(len(shapes)))]}
    if name == "reduce":
        axis = (
            None if rng.random() < 0.3 else int(rng.integers(-len(shape), len(shape)))
        )
        which = _REDUCTIONS[int(rng.integers(len(_REDUCTIONS)))]
        return (x,), {"name": which, "axis": axis, "keepdims": bool(rng.random() < 0.4)}
    if name in {"repeat", "roll"}:
        return (x,), {"n": int(rng.integers(1, 3))}
    if name == "product":
        wanted = (shape[-1], 2) if rng.random() < 0.5 else (shape[-1],)
        y = grower.pick(lambda y: np.shape(y) == wanted)
        return (x, y or grower.given(grower.array(wanted, -math.inf, math.inf))), {}
    if name in {"operators", "pick"}:
        return (x, grower.value(-math.inf, math.inf, shape)), {}
    return (x,), {}


def key(rng: Any, shape: tuple[int, ...]) -> Any:
    """A basic index that leaves something over."""
    parts: list[Any] = []
    for size in shape:
        turn = rng.random()
        if turn < 0.3:
            parts.append(int(rng.integers(-size, size)))
        elif turn < 0.5:
            parts.append(slice(None, None, -1))
        elif turn < 0.8:
            parts.append(slice(int(rng.integers(0, size)), None))
        else:
            parts.append(slice(None, None, 2))
    turn = rng.random()
    if turn < 0.15:
        parts = [Ellipsis, *parts[-1:]]
    elif turn < 0.3:
        parts.insert(int(rng.integers(len(parts) + 1)), None)
    return tuple(parts)
