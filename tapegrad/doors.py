"""The methods of a Value that belong to upper floors: one-line doors. Floor 5.

An int of a Value (``math.floor``) is made by its row, then by int(): a recording notes
the number.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import graphviz

    from tapegrad.tape.tape import Tape


@functools.cache
def _eager() -> Any:
    """The module, asked for once: an import takes as long as a sweep of some steps."""
    from tapegrad import eager

    return eager


class ValueDoors:
    """Sweeps, the tape, whole numbers and pictures of a Value."""

    __slots__ = ()

    def backward(self: Any, seed: float | None = None) -> None:
        """Reverse sweep from here: adds its adjoints to every ``.grad``."""
        _eager().backward(self, seed)

    def _backward(self: Any) -> None:
        """This step's share of the sweep alone, as in micrograd."""
        from tapegrad.eager import backward_step

        backward_step(self)

    @property
    def tape(self: Any) -> Tape:
        """The frozen tape that leads here; its inputs are the leaves."""
        from tapegrad.eager import tape_of

        return tape_of(self)

    def __trunc__(self: Any) -> int:
        return int(self)

    def __floor__(self: Any) -> int:
        return int(np.floor(self))

    def __ceil__(self: Any) -> int:
        return int(np.ceil(self))

    def draw(self: Any) -> graphviz.Digraph:
        """The picture of what leads here."""
        from tapegrad.show.draw import draw

        return draw(self)

    def _repr_svg_(self: Any) -> str | None:
        from tapegrad.show.draw import svg

        return svg(self)
