"""Neurons, layers and multi-layer perceptrons of scalar Values.

    neuron: y = activation(w_1 x_1 + ... + w_n x_n + b)

summed from the left with b first, as micrograd sums, so that the same weights give the
same bits. Imports the public surface of tapegrad only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from tapegrad import Value
from tapegrad.errors import DomainError, RecordError, ShapeError
from tapegrad.nn.module import Module

# What a network takes: numbers, Values, or one row of an array.
Row: TypeAlias = "Iterable[Value | float] | Value | float"
Seed: TypeAlias = "int | random.Random | None"

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda v: v.tanh(),
    "relu": lambda v: v.relu(),
    "linear": lambda v: v,
}


class Neuron(Module):
    """One neuron: a weight for each input, an offset and an activation.

    Args:
        nin: number of inputs, at least 1.
        activation: "tanh", "relu" or "linear".
        seed: where the starting weights come from, uniform in [-1, 1]: an int, a
            ``random.Random``, or None for the generator of the module ``random``
            (so that ``random.seed`` fixes it, as in micrograd).

    Raises:
        ShapeError: when ``nin`` is not a positive int; when a call has another
            number of inputs.
        DomainError: when there is no such activation.

    >>> neuron = Neuron(2, activation="linear", seed=1)
    >>> neuron.w[0].data, neuron.w[1].data, neuron.b.data = 2.0, -1.0, 0.5
    >>> neuron([3.0, 4.0]).data
    2.5
    """

    def __init__(
        self, nin: int, activation: str = "tanh", *, seed: Seed = None
    ) -> None:
        _check_count(nin, "the number of inputs")
        _check_activation(activation)
        draw = _uniform(seed)
        self.w = [Value(draw()) for _ in range(nin)]
        self.b = Value(draw())
        self.activation = activation

    def __call__(self, x: Row) -> Value:
        """Return the neuron's output for one row of ``nin`` numbers or Values."""
        inputs = _inputs(x, len(self.w), repr(self))
        total: Any = self.b
        for weight, value in zip(self.w, inputs, strict=True):
            total = total + weight * value
        output: Value = ACTIVATIONS[self.activation](total)
        return output

    def __repr__(self) -> str:
        """Return ``TanhNeuron(3)``: activation and number of inputs."""
        return f"{self.activation.capitalize()}Neuron({len(self.w)})"


class Layer(Module):
    """``nout`` neurons side by side on the same ``nin`` inputs.

    Arguments and errors are those of Neuron. A call returns the list of outputs, or
    the bare Value when there is only one.

    >>> len(Layer(3, 4).parameters())
    16
    """

    def __init__(
        self, nin: int, nout: int, activation: str = "tanh", *, seed: Seed = None
    ) -> None:
        _check_count(nin, "the number of inputs")
        _check_count(nout, "the number of neurons in a layer")
        rng = _generator(seed)
        self.neurons = [Neuron(nin, activation, seed=rng) for _ in range(nout)]

    def __call__(self, x: Row) -> Value | list[Value]:
        """Return the outputs for one row of ``nin`` numbers or Values."""
        # An iterator gives its entries once, and every neuron needs them.
        row = _inputs(x, len(self.neurons[0].w), "a layer")
        outputs = [neuron(row) for neuron in self.neurons]
        return outputs[0] if len(outputs) == 1 else outputs

    def __repr__(self) -> str:
        """Return ``Layer of [TanhNeuron(3), ...]``."""
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class MLP(Module):
    """A multi-layer perceptron: layers of neurons, each feeding the next.

    Args:
        nin: number of inputs, at least 1.
        nouts: the width of each layer; the last one is the number of outputs.
        activation: of every layer: "tanh", "relu" or "linear".
        output: of the last layer; None means ``activation`` there too.
        seed: an int for starting weights that can be had again; see Neuron.

    Raises:
        ShapeError: when a width is not a positive int, or there is none; when a call
            has another number of inputs.
        DomainError: when there is no such activation.

    >>> model = MLP(3, [4, 4, 1], seed=0)
    >>> len(model.parameters())
    41
    >>> -1 < model([2.0, 3.0, -1.0]).data < 1
    True
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str = "tanh",
        output: str | None = None,
        seed: Seed = None,
    ) -> None:
        widths = _widths(nin, nouts)
        last = activation if output is None else output
        kinds = [activation] * (len(widths) - 2) + [last]
        _check_activation(activation)
        rng = _generator(seed)
        self.layers = [
            Layer(before, after, kind, seed=rng)
            for before, after, kind in zip(widths, widths[1:], kinds, strict=False)
        ]

    def __call__(self, x: Row) -> Value | list[Value]:
        """Return the outputs for one row of numbers or Values, bare if only one."""
        result = _inputs(x, len(self.layers[0].neurons[0].w), "a network")
        for layer in self.layers:
            result = [neuron(result) for neuron in layer.neurons]
        outputs: list[Value] = result
        return outputs[0] if len(outputs) == 1 else outputs

    def __repr__(self) -> str:
        """Return ``MLP of [Layer of [...], ...]``."""
        return f"MLP of [{', '.join(map(repr, self.layers))}]"


def _inputs(x: Row, nin: int, who: str) -> list[Any]:
    """List the entries of a row; a bare number stands for a row of one."""
    if isinstance(x, str | bytes):
        msg = f"{who} takes a row of {nin} numbers, not the text {x!r}"
        raise RecordError(msg)
    try:
        row: list[Any] = list(x)  # type: ignore[arg-type]
    except TypeError:
        if x is None:
            msg = f"{who} takes a row of {nin} numbers, not None"
            raise RecordError(msg) from None
        row = [x]
    if len(row) != nin:
        msg = (
            f"{who} takes {nin} inputs and was given {len(row)}; "
            f"pass one row of {nin} numbers or Values"
        )
        raise ShapeError(msg)
    return row


def _widths(nin: int, nouts: Sequence[int]) -> list[int]:
    """Check the widths of a network and return them with the inputs in front."""
    _check_count(nin, "the number of inputs")
    try:
        widths = list(nouts)
    except TypeError:
        msg = f"nouts is a list with the width of each layer, not {nouts!r}: [4, 4, 1]"
        raise ShapeError(msg) from None
    if not widths:
        msg = "nouts is empty; a network has at least one layer, as in MLP(3, [1])"
        raise ShapeError(msg)
    for width in widths:
        _check_count(width, "the number of neurons in a layer")
    return [nin, *widths]


def _check_count(count: int, what: str) -> None:
    """Refuse anything but a positive int (True is an int to Python, not to us)."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        msg = f"{what} must be a positive int, not {count!r}"
        raise ShapeError(msg)


def _check_activation(name: str) -> None:
    """Refuse a name that stands for no activation."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        msg = f"there is no activation {name!r}; choose one of: {known}"
        raise DomainError(msg)


def _generator(seed: Seed) -> random.Random | None:
    """Turn a seed into a generator that several neurons can share."""
    return random.Random(seed) if isinstance(seed, int) else seed


def _uniform(seed: Seed) -> Callable[[], float]:
    """Return a source of numbers uniform in [-1, 1]."""
    rng = _generator(seed)
    uniform = random.uniform if rng is None else rng.uniform
    return lambda: uniform(-1.0, 1.0)
