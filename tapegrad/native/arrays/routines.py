"""Routines that take and give whole arrays, by name. Floor 9."""

from tapegrad.native.arrays import blas, factors, lapack, loops, orders
from tapegrad.native.arrays.calling import ROUTINES

# Registered by being imported.
REGISTERED = (blas, factors, lapack, loops, orders)

__all__ = ["REGISTERED", "ROUTINES"]
