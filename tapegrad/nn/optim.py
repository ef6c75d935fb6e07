"""Gradient descent. Imports the public surface of tapegrad only.

    velocity <- momentum * velocity + p.grad
    p.data   <- p.data - lr * velocity

(Polyak 1964, as written by Sutskever et al. 2013, without dampening.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tapegrad import Value
from tapegrad.errors import DomainError, RecordError


class SGD:
    """Stochastic gradient descent on a list of parameters.

    Args:
        parameters: the Values to move, usually ``model.parameters()``.
        lr: learning rate, a finite number >= 0, in units of data per gradient. It is
            an attribute and may be changed between steps.
        momentum: share of the last step that is kept, in [0, 1).

    Raises:
        RecordError: when ``parameters`` holds something that is not a Value.
        DomainError: when it is empty, or a number is out of range.

    >>> from tapegrad import Value
    >>> x = Value(3.0)
    >>> optimiser = SGD([x], lr=0.25)
    >>> for _ in range(3):
    ...     optimiser.zero_grad()
    ...     (x * x).backward()
    ...     optimiser.step()
    >>> x.data
    0.375
    """

    def __init__(
        self, parameters: Iterable[Value], lr: float = 0.01, momentum: float = 0.0
    ) -> None:
        self.parameters = _listed(parameters)
        if not (_is_number(lr) and math.isfinite(lr) and lr >= 0):
            msg = f"the learning rate must be a finite number >= 0, not {lr!r}"
            raise DomainError(msg)
        if not (_is_number(momentum) and 0 <= momentum < 1):
            msg = f"momentum must be in [0, 1), not {momentum!r}"
            raise DomainError(msg)
        self.lr = float(lr)
        self.momentum = float(momentum)
        self._velocity = [0.0] * len(self.parameters)

    def step(self) -> None:
        """Move every parameter against its gradient."""
        for index, parameter in enumerate(self.parameters):
            move = parameter.grad
            if self.momentum:
                move = self.momentum * self._velocity[index] + move
                self._velocity[index] = move
            parameter.data = parameter.data - self.lr * move

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for parameter in self.parameters:
            parameter.grad = 0.0


def _listed(parameters: Iterable[Value]) -> list[Value]:
    """List the parameters, each once, or say what is wrong with them."""
    if isinstance(parameters, Value):
        msg = "parameters is a list of Values; write SGD([v]) for a single one"
        raise RecordError(msg)
    try:
        # By identity: Values compare by value.
        unique = {id(p): p for p in parameters}
    except TypeError:
        msg = f"pass a list of Values, as model.parameters() is, not {parameters!r}"
        raise RecordError(msg) from None
    if not unique:
        msg = "there are no parameters to move; pass model.parameters()"
        raise DomainError(msg)
    for parameter in unique.values():
        if not isinstance(parameter, Value):
            msg = f"parameters holds {parameter!r}, which is not a Value"
            raise RecordError(msg)
    return list(unique.values())


def _is_number(x: object) -> bool:
    """Say whether x is a real number that Python can order."""
    return isinstance(x, int | float) and not isinstance(x, bool)
