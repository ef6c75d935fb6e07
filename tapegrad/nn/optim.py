"""Gradient descent on scalars and arrays. Floor 12, on public names.

    SGD     velocity <- momentum * velocity + g
            p        <- p - lr * velocity

(Polyak 1964, as written by Sutskever et al. 2013, without dampening.)

    Adam    m <- beta1 * m + (1 - beta1) * g          mean of the gradients
            v <- beta2 * v + (1 - beta2) * g^2        mean of their squares
            p <- p - lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)

(Kingma & Ba 2015, algorithm 1.) Either is used in one of two ways: `step` moves the
parameters it was made with; `update` is the same formulas as a pure function, to be
recorded and compiled together with the loss, and `load` takes its result over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import optree

from tapegrad import Value
from tapegrad.errors import DomainError, RecordError, ShapeError
from tapegrad.nn.module import NAMESPACE, leaves

# What a parameter, or its gradient, may be outside of a model.
NUMBERS = (Value, float, np.ndarray, np.float32, np.float64)


class Optimiser:
    """Base class: a list of parameters, and what is remembered from step to step.

    An optimiser is a tree of its numbers (learning rate and the like, and the state),
    without the parameters; so it can be an argument of `record` and `compile`.

    Attributes:
        parameters: the Values it moves.
        lr: learning rate, in units of data per gradient; may be changed between steps.
        state: what it remembers, for each parameter.
    """

    # Names of the attributes that hold numbers, in the order of the tree.
    numbers: tuple[str, ...] = ("lr",)
    parameters: list[Value]
    lr: float
    state: list[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Tell optree the branches of each kind of optimiser."""
        super().__init_subclass__(**kwargs)
        names = (*cls.numbers, "state")

        def take_apart(mine: Any) -> tuple[list[Any], None, tuple[str, ...]]:
            return [getattr(mine, name) for name in names], None, names

        def put_together(_: object, branches: Iterable[Any]) -> Any:
            mine = object.__new__(cls)
            vars(mine).update(zip(names, branches, strict=True))
            mine.parameters = []
            return mine

        # optree's types ask for a Collection, which a tree of attributes need not be.
        kind: Any = cls
        optree.register_pytree_node(
            kind,
            take_apart,
            put_together,
            path_entry_type=optree.GetAttrEntry,
            namespace=NAMESPACE,
        )

    def step(self) -> None:
        """Move every parameter against its gradient."""
        parameters = self.parameters
        gradients = [p.grad for p in parameters]
        moved, self.state = self._moved([p.data for p in parameters], gradients)
        for parameter, data in zip(parameters, moved, strict=True):
            parameter.data = data

    def update(self, model: Any, gradients: Any) -> tuple[list[Any], list[Any]]:
        """Return the moved parameters and the next state; change nothing.

        Args:
            model: a model, or any nesting of Values, numbers and arrays.
            gradients: nested alike, as `tg.grad` gives them.

        Raises:
            ShapeError: when the two, or the optimiser's state, do not belong together.
        """
        parameters, slopes = leaves(model, NUMBERS), leaves(gradients, NUMBERS)
        if len(parameters) != len(slopes):
            msg = (
                f"{len(parameters)} parameters and {len(slopes)} gradients; pass the "
                "gradients of this model"
            )
            raise ShapeError(msg)
        return self._moved(parameters, slopes)

    def load(self, updated: tuple[Sequence[Any], Sequence[Any]]) -> None:
        """Take over what `update` returned, or a tape that was recorded with it.

        Raises:
            ShapeError: when there is not one number or array for each parameter.
        """
        moved, state = updated
        if len(moved) != len(self.parameters):
            msg = (
                f"{len(moved)} new values for {len(self.parameters)} parameters; a "
                "parameter that stands in two places, or a float among the model's "
                "attributes, is moved by step() only"
            )
            raise ShapeError(msg)
        for parameter, data in zip(self.parameters, moved, strict=True):
            parameter.data = data.data if isinstance(data, Value) else data
        self.state = [x.data if isinstance(x, Value) else x for x in state]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for parameter in self.parameters:
            parameter.grad = 0.0

    def _moved(
        self, parameters: Sequence[Any], gradients: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """The formulas, on numbers, arrays and Values alike."""
        raise NotImplementedError


class SGD(Optimiser):
    """Stochastic gradient descent on a list of parameters.

    Args:
        parameters: the Values to move, usually ``model.parameters()``.
        lr: learning rate, a finite number >= 0, in units of data per gradient. It is
            an attribute and may be changed between steps.
        momentum: share of the last step that is kept, in [0, 1). The state is the
            velocities, and empty without momentum.

    Raises:
        RecordError: when ``parameters`` holds something that is not a Value.
        DomainError: when it is empty, or a number is out of range.

    >>> x = Value(3.0)
    >>> optimiser = SGD([x], lr=0.25)
    >>> for _ in range(3):
    ...     optimiser.zero_grad()
    ...     (x * x).backward()
    ...     optimiser.step()
    >>> x.data
    0.375
    """

    numbers = ("lr", "momentum")

    def __init__(
        self, parameters: Iterable[Value], lr: float = 0.01, momentum: float = 0.0
    ) -> None:
        self.parameters = _listed(parameters)
        self.lr = _number(lr, "the learning rate", "a finite number >= 0", _rate)
        self.momentum = _number(momentum, "momentum", "in [0, 1)", _share)
        self.state = _zeros(self.parameters) if self.momentum else []

    def step(self) -> None:
        """Move every parameter against its gradient."""
        if self.momentum and not self.state:  # it was 0 so far
            self.state = _zeros(self.parameters)
        super().step()

    def _moved(
        self, parameters: Sequence[Any], gradients: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        if not self.state:
            pairs = zip(parameters, gradients, strict=True)
            return [p - self.lr * g for p, g in pairs], []
        state = [
            self.momentum * velocity + g
            for velocity, g in zip(self.state, gradients, strict=True)
        ]
        pairs = zip(parameters, state, strict=True)
        return [p - self.lr * velocity for p, velocity in pairs], state


class Adam(Optimiser):
    """Adam: each entry moves by the mean of its gradients over their usual size.

    Args:
        parameters: the Values to move, usually ``model.parameters()``.
        lr: learning rate, a finite number >= 0: about how far a step goes.
        betas: how much of the two running means is kept, each in [0, 1).
        epsilon: a finite number >= 0, against division by zero.

    Raises:
        RecordError: when ``parameters`` holds something that is not a Value.
        DomainError: when it is empty, or a number is out of range.

    >>> x = Value([3.0, -4.0])
    >>> optimiser = Adam([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimiser.step()
    >>> x.data
    array([ 2.5, -3.5])
    """

    numbers = ("lr", "beta1", "beta2", "epsilon")

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.parameters = _listed(parameters)
        self.lr = _number(lr, "the learning rate", "a finite number >= 0", _rate)
        try:
            first, second = betas
        except (TypeError, ValueError):
            msg = f"betas are two numbers in [0, 1), not {betas!r}"
            raise DomainError(msg) from None
        self.beta1 = _number(first, "each of betas", "in [0, 1)", _share)
        self.beta2 = _number(second, "each of betas", "in [0, 1)", _share)
        self.epsilon = _number(epsilon, "epsilon", "a finite number >= 0", _rate)
        zeros = _zeros(self.parameters)
        # The number of steps is a float, so that on a tape it is an input.
        self.state = [0.0, *zeros, *zeros]

    def _moved(
        self, parameters: Sequence[Any], gradients: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        count = len(parameters)
        if len(self.state) != 1 + 2 * count:
            msg = f"Adam's state is not that of {count} parameters"
            raise ShapeError(msg)
        steps, means, squares = self.state[0] + 1.0, [], []
        moved = []
        rate = self.lr / (1.0 - self.beta1**steps)
        scale = 1.0 - self.beta2**steps
        for place, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
            m, v = self.state[1 + place], self.state[1 + count + place]
            m = self.beta1 * m + (1.0 - self.beta1) * g
            v = self.beta2 * v + (1.0 - self.beta2) * (g * g)
            moved.append(p - rate * m / ((v / scale) ** 0.5 + self.epsilon))
            means.append(m)
            squares.append(v)
        return moved, [steps, *means, *squares]


def _zeros(parameters: Iterable[Value]) -> list[Any]:
    """A zero of the shape and dtype of each parameter."""
    found = []
    for parameter in parameters:
        data = parameter.data
        found.append(np.zeros_like(data) if np.ndim(data) else type(data)(0.0))
    return found


def _listed(parameters: Iterable[Value]) -> list[Value]:
    """List the parameters, each once, or say what is wrong with them."""
    if isinstance(parameters, Value):
        msg = "parameters is a list of Values; write SGD([v]) for a single one"
        raise RecordError(msg)
    try:
        # By identity: Values compare by value.
        unique = {id(parameter): parameter for parameter in parameters}
    except TypeError:
        msg = f"parameters is a list of Values, not {parameters!r}"
        raise RecordError(msg) from None
    if not unique:
        msg = "there are no parameters to move; pass model.parameters()"
        raise DomainError(msg)
    for parameter in unique.values():
        if not isinstance(parameter, Value):
            msg = f"parameters holds {parameter!r}, which is not a Value"
            raise RecordError(msg)
    return list(unique.values())


def _number(x: Any, what: str, range_: str, fits: Callable[[float], bool]) -> float:
    """A real number in a range, as a float."""
    if not isinstance(x, int | float) or isinstance(x, bool) or not fits(x):
        msg = f"{what} must be {range_}, not {x!r}"
        raise DomainError(msg)
    return float(x)


def _rate(x: float) -> bool:
    return math.isfinite(x) and x >= 0


def _share(x: float) -> bool:
    return 0 <= x < 1
