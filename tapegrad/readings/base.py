"""What a reading is: an interpretation of the vocabulary. Floor 3.

A reading supplies atoms by name. A word of the vocabulary (``m.exp``, ``m.where``) is,
in this order: a method of the reading of that name, the reading's own atom, or the
row's body, written in smaller vocabulary and read by the same reading. Readings of
floats also take a row's algorithm for floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.errors import DomainError
from tapegrad.rules import TABLE, Primitive


class Reading:
    """Base of all readings.

    Attributes:
        name: as it is given to ``arithmetic=``.
        symbolic: conditions may be undecided, so guards are assumptions.
        binary: numbers are IEEE's floats, so a row may have an algorithm for them.
    """

    name = "abstract"
    symbolic = False
    binary = False
    # What it computes becomes steps of a tape, so a derivative should be short.
    records = False
    # The recorder copies guards; plain floats have a quicker way to partials.
    guard: Callable[..., None] | None = None
    partials: Callable[..., Any] | None = None

    def nested(self, row: Primitive, xs: Any, params: Any) -> Any:
        """A step with sub-tapes: computed; the recorder records it as such."""
        return row.run(self, xs, params)  # type: ignore[misc]

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        """This reading's own function for a row, or None."""
        raise NotImplementedError(row.name)

    def number(self, value: Any) -> Any:
        """A Python number as a number of this reading."""
        raise NotImplementedError(value)

    def const(self, name: str) -> Any:
        """A named constant: nan, half, ..."""
        raise NotImplementedError(name)

    def exact(self, constant: Any) -> Any:
        """A constant of a user's row: the nearest float, weak as Python's numbers are.

        Args:
            constant: has a ``value``, a ``form`` and ``digits(n)``.
        """
        return constant.value

    def like(self, value: int, other: Any) -> Any:
        """An integer as a number of this reading, shaped like another value."""
        del other
        return self.number(value)

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        """The function that applies a row: ``f(*operands, **params)``."""
        own = getattr(type(self), row.name, None)
        if own is not None:
            return own.__get__(self)  # type: ignore[no-any-return]
        found = self.atom(row)
        body, m = row.body or (row.floats if self.binary else None), self
        if found is None and body is not None:

            def found(*operands: Any, **params: Any) -> Any:
                return body(m, *operands, **params)

        if found is None:
            msg = (
                f"{row.name} has no meaning in {self.name} arithmetic: the reading has "
                "no such atom and the row no body; give the row a body"
            )
            raise DomainError(msg)
        return found

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """``m.exp`` in rule text; looked up once, then an ordinary attribute."""
        if name.startswith("_") or name not in TABLE:
            msg = f"the {self.name} reading has no {name!r}"
            raise AttributeError(msg)
        found = self.evaluator(TABLE[name])
        setattr(self, name, found)
        return found
