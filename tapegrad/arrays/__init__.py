"""NumPy as it is written, on Values: functions, ufuncs, methods, indices. Floor 7.

Importing this package completes the class: ``install`` gives Value the methods of
ndarray and the two protocols by which NumPy hands its functions over. What is recorded
how stands in the dispatch tables, from which the page ``docs/numpy.md`` is made.
"""

from tapegrad.arrays import linalg
from tapegrad.arrays.methods import install
from tapegrad.arrays.special import (
    array,
    log_softmax,
    logsumexp,
    maximum,
    minimum,
    polygamma,
    relu,
    sigmoid,
    softmax,
    softplus,
    where,
)

__all__ = [
    "array",
    "install",
    "linalg",
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

install()
