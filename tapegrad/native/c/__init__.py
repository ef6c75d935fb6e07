"""Tapes as C: the LLVM text of native code, in the words of C99. Floor 9.

The text is taken apart (``parse``), its loops and choices are found again (``shape``,
``variables``, ``pointers``), and each instruction becomes an expression or a line
(``expressions``, ``function``, ``scopes``). A file has functions, constants, helpers
that C has not (``file``, ``helpers``, ``linalg``), and parameters that are those of the
recorded function (``signature``, ``names``, ``export``).
"""

from tapegrad.native.c.export import to_c

__all__ = ["to_c"]
