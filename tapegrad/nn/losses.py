"""Losses: what a network is judged by. Floor 12, on public names only.

    squared        mean of (prediction - wanted)^2
    hinge          mean of max(0, 1 - sign * score), + penalty * sum of p^2
    cross-entropy  mean of log(sum of exp(score)) - score of the right class

Each takes array Values, or lists of scalar ones as a scalar network returns them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import Value
from tapegrad.errors import DomainError, ShapeError
from tapegrad.nn.module import Module, leaves


def squared_loss(predicted: Any, wanted: Any) -> Any:
    """Return the mean of the squared errors.

    Args:
        predicted: an array, or a list of Values.
        wanted: numbers of the same shape.

    Raises:
        ShapeError: when the shapes differ. (Broadcast, (n, 1) against (n,) would
            compare every point with every other.)

    >>> squared_loss([Value(1.0), Value(2.0)], [0.0, 4.0]).data
    2.5
    """
    predicted, wanted = _pair(predicted, wanted, "squared_loss")
    error = predicted - wanted
    return np.mean(error * error)


def hinge_loss(
    scores: Any, signs: Any, parameters: Any = (), penalty: float = 0.0
) -> Any:
    """Return the hinge loss with an L2 penalty: the support vector machine's.

    Args:
        scores: an array, or a list of Values; their sign is the class.
        signs: +1 or -1 for each score.
        parameters: a model, or Values, to keep small.
        penalty: what their summed squares are multiplied by, dimensionless.

    Raises:
        ShapeError: when scores and signs differ in shape.

    >>> hinge_loss(Value([0.5, -3.0]), [1.0, -1.0]).data
    0.25
    """
    scores, signs = _pair(scores, signs, "hinge_loss")
    loss = np.mean(tg.relu(1.0 - signs * scores))
    return loss + penalty * l2(parameters) if leaves(parameters, Value) else loss


def l2(parameters: Any) -> Any:
    """Return the sum of the squares of a model's parameters, or of Values.

    >>> l2([Value([1.0, 2.0]), Value(3.0)]).data
    14.0
    """
    if isinstance(parameters, Module):
        parameters = parameters.parameters()
    elif not isinstance(parameters, Iterable) or isinstance(parameters, Value):
        parameters = [parameters]
    total: Any = 0.0
    for p in parameters:
        total = total + (np.sum(p * p) if p.shape else p * p)
    return total


def cross_entropy(scores: Any, classes: Any) -> Any:
    """Return the mean of -log softmax(scores)[class], without overflow.

    Args:
        scores: an array of shape (points, classes), or (classes,) for one point; or
            lists of Values.
        classes: the right class of each point, ints from 0.

    Raises:
        ShapeError: when there is not one class a row.
        DomainError: when a class is not an int.

    >>> round(cross_entropy(Value([[1.0, 1.0], [1000.0, 0.0]]), [0, 0]).data, 6)
    0.346574
    """
    scores = _joined(scores)
    if not isinstance(classes, Value):
        classes = np.asarray(classes)
    if np.dtype(classes.dtype).kind not in "iu":
        msg = f"classes are ints, 0 for the first; got {np.dtype(classes.dtype)}"
        raise DomainError(msg)
    if scores.shape[:-1] != classes.shape or scores.ndim not in {1, 2}:
        msg = (
            f"cross_entropy: scores of shape {scores.shape} and classes of shape "
            f"{classes.shape}; pass (points, classes) and (points,)"
        )
        raise ShapeError(msg)
    if scores.ndim == 1:
        return tg.logsumexp(scores) - scores[classes]
    right = scores[np.arange(scores.shape[0]), classes]
    return np.mean(tg.logsumexp(scores, axis=1) - right)


def _pair(one: Any, other: Any, what: str) -> tuple[Any, Any]:
    """Two operands as arrays or Values, of one shape."""
    one, other = _joined(one), _joined(other)
    if one.shape != other.shape:
        msg = (
            f"{what}: shapes {one.shape} and {other.shape} differ; reshape one of them "
            "(x[:, 0] takes the only column)"
        )
        raise ShapeError(msg)
    return one, other


def _joined(x: Any) -> Any:
    """Lists of Values as one array Value; numbers as an array."""
    if isinstance(x, Value):
        return x
    if isinstance(x, list | tuple) and leaves(x, Value):
        return np.stack([_joined(part) for part in x])
    return np.asarray(x)
