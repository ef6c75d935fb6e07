"""What networks are made of and called with, checked. Floor 12.

Imports the errors alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tapegrad.errors import DomainError, RecordError, ShapeError


def row_of(x: Any, nin: int, who: object) -> list[Any]:
    """List the entries of a row; a bare number stands for a row of one."""
    if type(x) is not list:
        refuse_text(x, nin, who)
        try:
            x = list(x)
        except TypeError:
            x = [x]
    row: list[Any] = x
    if len(row) != nin:
        msg = (
            f"{who} takes {nin} inputs and was given {len(row)}; "
            f"pass one row of {nin} numbers or Values"
        )
        raise ShapeError(msg)
    return row


def refuse_text(x: Any, nin: int, who: object) -> None:
    """Refuse what looks like a row and is none."""
    if isinstance(x, str | bytes):
        msg = f"{who} takes a row of {nin} numbers, not the text {x!r}"
        raise RecordError(msg)
    if x is None:
        msg = f"{who} takes a row of {nin} numbers, not None"
        raise RecordError(msg)


def check_last(shape: Sequence[int], nin: int, who: object) -> None:
    """Refuse an array whose rows are not ``nin`` long."""
    if not shape or shape[-1] != nin:
        msg = (
            f"{who} takes {nin} inputs and was given an array of shape "
            f"{tuple(shape)}; its last axis must be {nin} long, one row a point"
        )
        raise ShapeError(msg)


def widths_of(nin: int, nouts: Iterable[int]) -> list[int]:
    """Check the widths of a network and return them with the inputs in front."""
    check_count(nin, "the number of inputs")
    try:
        widths = list(nouts)
    except TypeError:
        msg = f"nouts is a list with the width of each layer, not {nouts!r}: [4, 4, 1]"
        raise ShapeError(msg) from None
    if not widths:
        msg = "nouts is empty; a network has at least one layer, as in MLP(3, [1])"
        raise ShapeError(msg)
    for width in widths:
        check_count(width, "the number of neurons in a layer")
    return [nin, *widths]


def check_count(count: int, what: str) -> None:
    """Refuse anything but a positive int (True is an int to Python, not to us)."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        msg = f"{what} must be a positive int, not {count!r}"
        raise ShapeError(msg)


def check_name(name: str, known: Iterable[str], what: str) -> None:
    """Refuse a name that stands for nothing."""
    known = list(known)
    if not isinstance(name, str) or name not in known:
        msg = f"there is no {what} {name!r}; choose one of: {', '.join(known)}"
        raise DomainError(msg)
