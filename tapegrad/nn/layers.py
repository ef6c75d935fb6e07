"""Neurons, layers and perceptrons, of scalar Values or of arrays. Floor 12.

    neuron: y = activation(w_1 x_1 + ... + w_n x_n + b)

summed from the left with b first, as micrograd sums, so that the same weights give the
same bits. `Dense` is a layer whose weights are one matrix, for all rows of X at once:

    Y = activation(X W + b)

Imports the public surface of tapegrad only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tapegrad import Value, sum_of_products
from tapegrad.nn.checks import (
    check_count,
    check_last,
    check_name,
    refuse_text,
    row_of,
    widths_of,
)
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
        check_count(nin, "the number of inputs")
        check_name(activation, ACTIVATIONS, "activation")
        draw = _uniform(seed)
        self.w = [Value(draw()) for _ in range(nin)]
        self.b = Value(draw())
        self.activation = activation

    def __call__(self, x: Row) -> Value:
        """Return the neuron's output for one row of ``nin`` numbers or Values."""
        inputs = row_of(x, len(self.w), self)
        total: Any = sum_of_products(self.w, inputs, self.b)
        output: Value = ACTIVATIONS[self.activation](total)
        return output

    def __repr__(self) -> str:
        """Return ``TanhNeuron(3)``: activation and number of inputs."""
        return f"{_title(self.activation)}Neuron({len(self.w)})"


class Layer(Module):
    """``nout`` neurons side by side on the same ``nin`` inputs.

    Arguments and errors are those of Neuron. A call returns the list of outputs, or
    the bare Value when there is only one; of an array of shape (points, nin) it
    returns an array Value of shape (points, nout).

    >>> len(Layer(3, 4).parameters())
    16
    """

    def __init__(
        self, nin: int, nout: int, activation: str = "tanh", *, seed: Seed = None
    ) -> None:
        check_count(nin, "the number of inputs")
        check_count(nout, "the number of neurons in a layer")
        rng = _generator(seed)
        self.neurons = [Neuron(nin, activation, seed=rng) for _ in range(nout)]

    def __call__(self, x: Any) -> Any:
        """Return the outputs for a row of ``nin`` numbers or Values, or for many."""
        return _through([self], x, "a layer")

    def __repr__(self) -> str:
        """Return ``Layer of [TanhNeuron(3), ...]``."""
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class Dense(Module):
    """A layer on arrays: the weights of all its neurons are one matrix.

    A call takes an array of shape (points, nin), or (nin,) for a single point, and
    returns one of shape (points, nout), or (nout,).

    Args:
        nin: number of inputs, at least 1.
        nout: number of neurons, at least 1.
        activation: "tanh", "relu" or "linear".
        seed: see Neuron. The numbers are drawn neuron by neuron, so a seed gives the
            weights that a Layer would have.

    Raises:
        ShapeError: when a size is not a positive int; when a call has another number
            of inputs.
        DomainError: when there is no such activation.

    >>> layer = Dense(2, 3, activation="linear", seed=1)
    >>> layer.w.shape, layer.b.shape, layer([[1.0, 2.0], [3.0, 4.0]]).shape
    ((2, 3), (3,), (2, 3))
    """

    def __init__(
        self, nin: int, nout: int, activation: str = "tanh", *, seed: Seed = None
    ) -> None:
        check_count(nin, "the number of inputs")
        check_count(nout, "the number of neurons in a layer")
        check_name(activation, ACTIVATIONS, "activation")
        draw = _uniform(seed)
        drawn = np.array([[draw() for _ in range(nin + 1)] for _ in range(nout)])
        self.w = Value(drawn[:, :nin].T)
        self.b = Value(drawn[:, nin])
        self.activation = activation

    def __call__(self, x: Any) -> Value:
        """Return the outputs for one row of ``nin`` numbers, or for many."""
        nin = self.w.shape[0]
        refuse_text(x, nin, self)
        rows: Any = x if isinstance(x, Value) else np.asarray(x)
        check_last(rows.shape, nin, self)
        output: Value = ACTIVATIONS[self.activation](rows @ self.w + self.b)
        return output

    def __repr__(self) -> str:
        """Return ``TanhDense(3, 4)``: activation, numbers of inputs and neurons."""
        nin, nout = self.w.shape
        return f"{_title(self.activation)}Dense({nin}, {nout})"


class MLP(Module):
    """A multi-layer perceptron: layers of neurons, each feeding the next.

    Of scalars, as in the lessons, each weight is a Value of its own, and a call takes
    one row; given an array of shape (points, nin) it takes all rows at once, with the
    same weights. Of arrays (``arrays=True``) the weights of a layer are one matrix:
    much quicker where a network is trained, and the same numbers for the same seed.

    Args:
        nin: number of inputs, at least 1.
        nouts: the width of each layer; the last one is the number of outputs.
        activation: of every layer: "tanh", "relu" or "linear".
        output: of the last layer; None means ``activation`` there too.
        seed: an int for starting weights that can be had again; see Neuron.
        arrays: whether the layers are of the kind `Dense`.

    Raises:
        ShapeError: when a width is not a positive int, or there is none; when a call
            has another number of inputs.
        DomainError: when there is no such activation.

    >>> model = MLP(3, [4, 4, 1], seed=0)
    >>> len(model.parameters())
    41
    >>> -1 < model([2.0, 3.0, -1.0]).data < 1
    True
    >>> batched = MLP(3, [4, 4, 1], seed=0, arrays=True)
    >>> [p.shape for p in batched.parameters()]
    [(3, 4), (4,), (4, 4), (4,), (4, 1), (1,)]
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str = "tanh",
        output: str | None = None,
        seed: Seed = None,
        *,
        arrays: bool = False,
    ) -> None:
        widths = widths_of(nin, nouts)
        last = activation if output is None else output
        kinds = [activation] * (len(widths) - 2) + [last]
        check_name(activation, ACTIVATIONS, "activation")
        rng = _generator(seed)
        make: Any = Dense if arrays else Layer
        self.layers = [
            make(before, after, kind, seed=rng)
            for before, after, kind in zip(widths, widths[1:], kinds, strict=False)
        ]

    def __call__(self, x: Any) -> Any:
        """Return the outputs for one row of numbers or Values, or for many.

        Of scalars: the list of outputs for a row, bare if only one. Otherwise an array
        Value, whose last axis is the outputs.
        """
        if isinstance(self.layers[0], Layer):
            return _through(self.layers, x, "a network")
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        """Return ``MLP of [Layer of [...], ...]``."""
        return f"MLP of [{', '.join(map(repr, self.layers))}]"


def _through(layers: Sequence[Layer], x: Any, who: str) -> Any:
    """Send one row, or the columns of many rows, through layers of scalar neurons."""
    nin = len(layers[0].neurons[0].w)
    many = isinstance(x, np.ndarray | Value) and x.ndim == 2
    if many:
        check_last(x.shape, nin, who)
        x = [x[:, column] for column in range(nin)]
    # An iterator gives its entries once, and every neuron needs them.
    outputs = row_of(x, nin, who)
    for layer in layers:
        outputs = [neuron(outputs) for neuron in layer.neurons]
    if many:
        return np.stack(outputs, axis=1)
    return outputs[0] if len(outputs) == 1 else outputs


def _title(activation: str | None) -> str:
    """An activation as a class name begins; a gradient of a model has none."""
    return (activation or "").capitalize()


def _generator(seed: Seed) -> random.Random | None:
    """Turn a seed into a generator that several neurons can share."""
    return random.Random(seed) if isinstance(seed, int) else seed


def _uniform(seed: Seed) -> Callable[[], float]:
    """Return a source of numbers uniform in [-1, 1]."""
    rng = _generator(seed)
    uniform = random.uniform if rng is None else rng.uniform
    return lambda: uniform(-1.0, 1.0)
