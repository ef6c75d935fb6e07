"""Transforms of functions: `grad` and its kin, functions of functions. Floor 11.

Each records its function at the arguments of the call and sweeps the tape. Inside a
recording the derivative's tape becomes one step of the enclosing tape, and Values of
the enclosing recording that the function reads are its further inputs; so transforms
nest in any order and every level has slots of its own.
"""

from tapegrad.transforms.forward import hvp, jvp, linearize
from tapegrad.transforms.matrices import hessian, jacobian
from tapegrad.transforms.reverse import grad, stop_gradient, value_and_grad, vjp

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
