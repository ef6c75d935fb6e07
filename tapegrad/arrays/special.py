"""Functions that NumPy has not, or has under SciPy's roof: ``tg.relu(x)``. Floor 7.

Each takes a Value, an array, a number, or nested lists of them. Of plain numbers the
result is plain.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad import operations
from tapegrad.arrays.lift import operand, real, record, reduce, sub
from tapegrad.arrays.making import copied
from tapegrad.arrays.reductions import logsumexp, softmax
from tapegrad.errors import DomainError
from tapegrad.value import Value

# (n - 1)! is no float beyond 171; some orders are left for derivatives.
MOST_ORDERS = 160


def array(x: Any) -> Any:
    """One array of nested lists, or an array of objects, with Values in it.

    ``np.array([a, b])`` of Values is an array of objects, which NumPy goes through
    entry by entry, and which ``np.linalg`` refuses; this is an array Value.

    Args:
        x: nested lists or tuples of Values, numbers and arrays; an array.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> def f(a, b):
        ...     return np.linalg.det(tg.array([[a, b], [1.0, a]]))
        >>> tg.grad(f, (0, 1))(3.0, 2.0)
        (6.0, -1.0)
    """
    made = operand(x)
    return made if isinstance(made, Value) else copied(made)


def relu(x: Any) -> Any:
    """max(x, 0), entry by entry; the derivative at 0 is 0."""
    return record("relu", real(x))


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), entry by entry; neither end overflows."""
    return record("sigmoid", real(x))


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), entry by entry; neither end overflows."""
    return record("softplus", real(x))


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma, as in ``scipy.special``.

    Args:
        n: the order, 0 to 160; beyond, the factorials in it are no floats.
        x: where, dimensionless.

    Raises:
        DomainError: another order.
    """
    if not 0 <= int(n) <= MOST_ORDERS or int(n) != n:
        msg = f"polygamma is there for whole orders 0 to {MOST_ORDERS}, not {n!r}"
        raise DomainError(msg)
    return record("polygamma", real(x), n=int(n))


def where(condition: Any, a: Any, b: Any) -> Any:
    """Select: a where the condition holds, else b, entry by entry.

    The arm that is not selected contributes nothing to any derivative, whatever
    infinities it holds. For numbers without any Value the result is a plain float.

    Args:
        condition: a bool, a comparison of Values, an array of bools, or numbers
            (non-zero is true).
        a: a Value, real number, array, or nested lists of them: the result where the
            condition holds.
        b: the same, the result elsewhere.

    Example:
        >>> import tapegrad as tg
        >>> x = tg.Value(0.0)
        >>> y = tg.where(x > 0, x.log(), x)
        >>> y.backward()
        >>> x.grad
        1.0
    """
    return operations.where(*map(_joined, (condition, a, b)))


def _joined(x: Any) -> Any:
    nested = isinstance(x, list | tuple | np.ndarray)
    return operand(x) if nested else x


def maximum(a: Any, b: Any) -> Any:
    """The larger of two; at a tie each gets half of the derivative."""
    return operations.maximum(_joined(a), _joined(b))


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two; at a tie each gets half of the derivative."""
    return record("min", operand(a), operand(b))


def log_softmax(x: Any, axis: Any = None) -> Any:
    """x - logsumexp(x) along axes: the logarithm of softmax, without underflow."""
    x = real(x)
    return sub(x, reduce("logsumexp", x, axis, keepdims=True))


__all__ = [
    "array",
    "log_softmax",
    "logsumexp",
    "maximum",
    "minimum",
    "polygamma",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "where",
]
