"""Small neural networks out of scalar Values, with micrograd's names.

    from tapegrad.nn import MLP, SGD

    model = MLP(3, [4, 4, 1])
    optimiser = SGD(model.parameters(), lr=0.01)

Everything here stands on the public surface of tapegrad alone, so it can be read as an
example of how to build on it.
"""

from tapegrad.nn.layers import ACTIVATIONS, MLP, Layer, Neuron
from tapegrad.nn.module import Module
from tapegrad.nn.optim import SGD

__all__ = ["ACTIVATIONS", "MLP", "SGD", "Layer", "Module", "Neuron"]
