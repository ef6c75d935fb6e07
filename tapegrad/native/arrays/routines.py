"""Routines that take and give whole arrays, by name. Floor 9."""

from tapegrad.native.arrays import blas, factors, lapack, loops, orders, scanning
from tapegrad.native.arrays.calling import ROUTINES

# Registered by being imported.
REGISTERED = (blas, factors, lapack, loops, orders, scanning)

__all__ = ["REGISTERED", "ROUTINES"]
