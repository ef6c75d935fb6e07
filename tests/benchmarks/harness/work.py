"""What is timed: works, and the ways in which libraries do them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TAPEGRAD, HAND_C = "tapegrad", "C by hand"


@dataclass(slots=True)
class Ready:
    """Something that is ready to be called.

    Args:
        statement: Python that is timed, in `names`.
        names: what the statement may use.
        answer: makes numbers and arrays of what the statement gives; they are compared
            with the reference's.
        note: said on the page.
    """

    statement: str
    names: dict[str, Any]
    answer: Callable[[Any], Any] = field(default=lambda found: found)
    note: str = ""


Make = Callable[[int], Ready]


@dataclass(frozen=True, slots=True)
class Way:
    """How one library does a work.

    Args:
        peer: the library.
        form: in which of its ways.
        make: makes it ready; from a Python function to code, all of it.
        needs: modules, imported before the clock starts.
        most: the largest size that it is tried at, or None.
        ahead: whether it was made ahead, by hand: then there is no time of building.
        value: whether it computes the first of the results alone, the value.
    """

    peer: str
    form: str
    make: Make
    needs: tuple[str, ...] = ()
    most: int | None = None
    ahead: bool = False
    value: bool = False

    @property
    def name(self) -> str:
        """Library and way."""
        return f"{self.peer}: {self.form}" if self.form else self.peer


@dataclass(slots=True)
class Work:
    """A computation that several libraries do.

    Args:
        name: of its module.
        title: of its table.
        says: what is computed, a sentence or two.
        sizes: at which it is done, largest last.
        label: how a size is written on the page.
        reference: numbers and arrays, by hand or by NumPy, of a size.
        tolerance: of the largest entry of each array.
        per: divides the time, for a time a step; of a size.
        quick: the size at which tests do it.
        limit: seconds for building, checking and timing one figure.
    """

    name: str
    title: str
    says: str
    sizes: Sequence[int]
    label: str
    reference: Callable[[int], Any]
    tolerance: float = 1e-9
    per: Callable[[int], int] | None = None
    quick: int | None = None
    limit: float = 60.0
    ways: dict[str, Way] = field(default_factory=dict)

    def by(
        self,
        peer: str,
        form: str = "",
        *needs: str,
        most: int | None = None,
        ahead: bool = False,
        value: bool = False,
    ) -> Callable[[Make], Make]:
        """Register a way of doing it."""

        def register(make: Make) -> Make:
            way = Way(peer, form, make, needs, most, ahead, value)
            if way.name in self.ways:
                msg = f"{self.name} has two ways named {way.name!r}"
                raise ValueError(msg)
            self.ways[way.name] = way
            return make

        return register

    def check(self, found: Any, size: int, *, value: bool = False) -> None:
        """Stop where a way computes something else; ``value``: something but slopes."""
        reference = flat(self.reference(size))
        pairs = zip(flat(found), reference[:1] if value else reference, strict=True)
        for number, (one, other) in enumerate(pairs):
            scale = np.max(np.abs(other), initial=1e-300)
            off = np.max(np.abs(one - other), initial=0.0) / scale
            if not off <= self.tolerance:
                msg = f"result {number} is off by {off:.1e} of the largest entry"
                raise ArithmeticError(msg)


def flat(result: Any) -> list[Any]:
    """Numbers and arrays of a result, in order, as vectors."""
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in flat(part)]
    if hasattr(result, "detach"):
        result = result.detach()
    return [np.asarray(result, dtype=float).ravel()]
