"""Small neural networks, of scalar Values as in micrograd, or of arrays. Floor 12.

    from tapegrad.nn import MLP, SGD

    model = MLP(3, [4, 4, 1])
    optimiser = SGD(model.parameters(), lr=0.01)

Everything here stands on the public surface of tapegrad alone, so it can be read as an
example of how to build on it.
"""

from tapegrad.nn.layers import ACTIVATIONS, MLP, Dense, Layer, Neuron
from tapegrad.nn.losses import cross_entropy, hinge_loss, l2, squared_loss
from tapegrad.nn.module import Module
from tapegrad.nn.optim import SGD, Adam, Optimiser

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "SGD",
    "Adam",
    "Dense",
    "Layer",
    "Module",
    "Neuron",
    "Optimiser",
    "cross_entropy",
    "hinge_loss",
    "l2",
    "squared_loss",
]
