"""Native code for tapes with arrays. Floor 9; loads llvmlite.

A tape becomes a graph of few kinds of nodes (``graph``, ``rows``), a plan says what is
stored and in what order (``plan``, ``memory``), loops are written entry by entry
(``places``, ``entries``, ``nest``), routines are called (``routines``), and all of it
is one module of LLVM (``lower``).
"""

from tapegrad.native.arrays.lower import LoweredArrays, lower_arrays

__all__ = ["LoweredArrays", "lower_arrays"]
