"""Native code for tapes with arrays. Floor 9; loads llvmlite.

A tape becomes a graph of few kinds of nodes (``graph``; ``rows`` has the steps, and
``movement``, ``folds`` and ``algebra`` the rules of rows of whole arrays). Parts of the
graph are joined (``scans``, ``writes``). A plan says what is stored (``plan``,
``costs``), in what order (``sequence``), which loops run in strips (``strips``), and
where it stands (``heirs``, ``memory``). Loops are written entry by entry (``places``,
``entries``, ``registers``, ``nest``, ``sums``; ``words`` is the reading), routines are
called (``routines``, ``calling``), scans and while loops are loops around the kernels
of their bodies (``loops``), and all of it is one module of LLVM (``function``,
``items``, ``striploops``, ``lower``).
"""

from tapegrad.native.arrays.lower import LoweredArrays, lower_arrays

__all__ = ["LoweredArrays", "lower_arrays"]
