"""The vocabulary as NumPy source: a reading that writes. Floor 9.

A row says in Python how NumPy computes it: ``np.sum(x, axes)``. Handed a ``np`` whose
functions return their own call as text, the same words write the source:

    row.numpy(Numpy(lines), Text("x"), axes=(0,))   ->   "np.sum(x, (0,))"

So no row is spelled a second time for printing.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.readings.base import Reading
from tapegrad.readings.numeric import CONSTANTS
from tapegrad.rules import TABLE, Primitive
from tapegrad.symbolic.text import Lines, Numpy, Text, called, number, spelled

# In a row's body, which may use its parts several times, names come early.
SHORT = 16


class SourceReading(Reading):
    """The vocabulary as NumPy source."""

    name = "source"
    binary = True

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.np = Numpy(lines)

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        """The function that writes a row."""
        own = getattr(type(self), row.name, None)
        if own is not None:
            return own.__get__(self)  # type: ignore[no-any-return]
        return lambda *xs, **params: self._row(row, xs, params)

    def _row(self, row: Primitive, xs: Sequence[Any], params: Any) -> Any:
        texts = [x if isinstance(x, Text) else number(x, self.lines) for x in xs]
        if row.numpy is not None:
            return row.numpy(self.np, *texts, **params)
        if row.kind == "select":
            return self.np.where(*texts)
        if row.operator and row.kind == "elementwise" and row.arity == 2:
            signs = {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}
            return texts[0]._with(signs[row.operator], *texts)  # noqa: SLF001
        if row.name == "neg":
            return -texts[0]
        if row.kind == "predicate" and not row.symbol.isidentifier():
            return texts[0]._with(row.symbol, *texts)  # noqa: SLF001
        body = row.body or row.floats
        word = row.ufunc or row.name
        if body is None and isinstance(getattr(np, word, None), np.ufunc):
            return getattr(self.np, word)(*texts)
        if body is None:
            self._borrowed(row)
        elif params:
            made = body(self, *texts, **params)
            return made if isinstance(made, Text) else number(made, self.lines)
        elif row.name not in self.lines.helpers:
            self._defined(row, body)
        return Text(f"{row.name}{called(texts, {})}", self.lines)

    def _borrowed(self, row: Primitive) -> None:
        """A function that Python has for single numbers."""
        if not hasattr(math, row.name):
            msg = f"{row.name} has no spelling in NumPy, and no body"
            raise NotImplementedError(msg)
        self.lines.helpers.setdefault(
            row.name, f"{row.name} = np.vectorize(math.{row.name}, otypes=[float])"
        )

    def _defined(self, row: Primitive, body: Callable[..., Any]) -> None:
        """A row in smaller vocabulary, as a function before those that call it."""
        few = ["x", "y", "z"]
        names = (
            few[: row.arity]
            if row.arity <= 3
            else list(map("x{}".format, range(row.arity)))
        )
        lines = Lines(self.lines.helpers, set(names), SHORT)
        m = SourceReading(lines)
        found = body(m, *(Text(name, lines) for name in names))
        lines.add(f"return {spelled(found)}")
        head = f"def {row.name}({', '.join(names)}):"
        self.lines.helpers[row.name] = "\n    ".join([head, *lines.found])

    def solve_triangular(self, a: Any, b: Any, **which: Any) -> Any:
        """By a general solver: the other triangle is not read, nor a unit diagonal."""
        part = self.np.tril if which["lower"] else self.np.triu
        half = part(a)
        if which["unit_diagonal"]:
            half = part(a, -1 if which["lower"] else 1)
            half = half + self.np.eye(a.shape[-1])
        if which["transposed"]:
            half = self.np.swapaxes(half, -1, -2)
        return self.np.linalg.solve(half, b)

    def cofactor(self, a: Any) -> Any:
        """Of a matrix that can be inverted."""
        turned = self.np.swapaxes(self.np.linalg.inv(a), -1, -2)
        return self.np.linalg.det(a)[..., None, None] * turned

    def number(self, value: Any) -> Text:
        """A literal."""
        return number(value, self.lines)

    def const(self, name: str) -> Text:
        """A named constant."""
        return (
            Text("np.pi", self.lines) if name == "pi" else self.number(CONSTANTS[name])
        )

    def like(self, value: int, other: Any) -> Any:
        """A filled array."""
        return self.np.full_like(other, value)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """A selection."""
        return self._row(TABLE["where"], (condition, a, b), {})


def usable(name: str) -> bool:
    """Whether a label is a name that a function may use."""
    taken = name in {"np", "math", "value", "given", *TABLE.by_name}
    return name.isidentifier() and not keyword.iskeyword(name) and not taken
