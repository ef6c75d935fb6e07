"""Primitives that users define: from SymPy expressions, or from code. Floor 10.

They become rows of the table like any other, after an independent check.
"""

from tapegrad.primitives.define import primitive
from tapegrad.primitives.handle import Defined

__all__ = ["Defined", "primitive"]
