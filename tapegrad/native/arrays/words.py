"""The LLVM reading for entries of any dtype: rule text at one entry. Floor 9.

As in ``native.reading``, and with Python's numbers *weak*: they take the type of what
they meet, so that rule text read at a float32 stays a float32, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.native import vectormath
from tapegrad.native.engine import Outside
from tapegrad.native.reading import ABSOLUTE, LlvmReading, Name, literal
from tapegrad.rules import Primitive

DOUBLE, TRUTH = "double", "i1"
FLOAT, WHOLE, SMALL_WHOLE = "float", "i64", "i32"
WEAK = "weak"

# Types of registers, and of memory: a truth value is a byte there.
KINDS = {
    "float64": DOUBLE,
    "float32": FLOAT,
    "int64": WHOLE,
    "int32": SMALL_WHOLE,
    "bool": TRUTH,
}
BYTES = {DOUBLE: 8, FLOAT: 4, WHOLE: 8, SMALL_WHOLE: 4, TRUTH: 1}
FLOATS = frozenset({DOUBLE, FLOAT})


def stored(kind: str) -> str:
    """The type in memory."""
    return "i8" if kind == TRUTH else kind


def number(value: Any, kind: str) -> str:
    """A literal of a type."""
    if kind == TRUTH:
        return literal(bool(value))
    if kind == DOUBLE:
        return literal(float(value))
    if kind == FLOAT:  # written as the double that it is
        with np.errstate(over="ignore"):  # what is too large is infinite
            return literal(float(np.float32(value)))
    return str(int(value))


class EntryReading(LlvmReading):
    """Instructions at one entry of arrays.

    Args:
        fast: whether functions of vectors may be off by 4 ulps.

    Attributes:
        loops: whether they stand in a loop, where calls are to become vectors. (One
            number is computed as the interpreter does it, bit for bit.)
        inner: rows whose functions of vectors have been called.
    """

    def __init__(self, *, fast: bool = False) -> None:
        super().__init__()
        self.fast = fast
        self.loops = False
        self.inner: set[str] = set()

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        """As for numbers; in loops there are more."""
        if self.loops and row.name in vectormath.CALLS:
            return lambda *xs: self._vector(row.name, xs)
        return super().atom(row)

    def number(self, value: Any) -> Name:
        """A literal that has no type yet, but for truth values."""
        if isinstance(value, Name):
            return value
        if isinstance(value, bool):
            return Name(self, literal(value), TRUTH)
        return Name(self, repr(float(value)), WEAK)

    def _as(self, value: Any, kind: str) -> str:
        x = self.number(value)
        if x.kind == kind:
            return x.text
        if x.kind == WEAK:
            value = float(x.text)
            return number(value != 0 if kind == TRUTH else value, kind)
        text = converted(x.text, x.kind, kind)
        if "@llvm.fptosi" in text:
            name = text.split("@")[1].split("(")[0]
            self.called[name] = Outside(name, kind, (x.kind,))
        return self._emit(kind, text).text

    def convert(self, x: Name, kind: str) -> Name:
        """Another type, as NumPy's ``astype`` does it."""
        return Name(self, self._as(x, kind), kind)

    def _common(self, xs: Sequence[Any]) -> str:
        """The float type that operands meet in."""
        kinds = {self.number(x).kind for x in xs}
        return FLOAT if FLOAT in kinds and DOUBLE not in kinds else DOUBLE

    def _instruction(self, word: str, takes: str, gives: str, xs: Any) -> Name:
        if takes == DOUBLE:
            takes = self._common(xs)
            gives = takes if gives == DOUBLE else gives
        operands = ", ".join([self._as(x, takes) for x in xs])
        return self._emit(gives, f"{word} {takes} {operands}")

    def _select(self, word: str, condition: Any, arms: Sequence[Any]) -> Name:
        chosen = self._as(condition, TRUTH)
        kinds = {self.number(arm).kind for arm in arms}
        kind = kinds.pop() if len(kinds) == 1 and WEAK not in kinds else ""
        kind = kind or self._common(arms)
        one, other = (self._as(arm, kind) for arm in arms)
        return self._emit(kind, f"{word} i1 {chosen}, {kind} {one}, {kind} {other}")

    def _call(self, name: str, xs: Sequence[Any]) -> Name:
        kind = self._common(xs)
        if name == ABSOLUTE and kind == DOUBLE:
            return super()._call(name, xs)
        if name.startswith("llvm."):
            name = name.replace(".f64", ".f32") if kind == FLOAT else name
            operands = ", ".join([f"{kind} {self._as(x, kind)}" for x in xs])
            self.called[name] = Outside(name, kind, (kind,) * len(xs))
            return self._emit(kind, f"call {kind} @{name}({operands})")
        found = super()._call(name, xs)
        return found if kind == DOUBLE else self.convert(found, FLOAT)

    def _vector(self, name: str, xs: Sequence[Any]) -> Name:
        """A function that loops make vectors of; at single precision by way of it."""
        numbers = [self.number(x) for x in xs]
        known = [float(x.text) if x.kind == WEAK else None for x in numbers]
        name, takes = vectormath.chosen(name, known)
        self.inner.add(name)
        operands = ", ".join([f"double {self._as(x, DOUBLE)}" for x in xs[:takes]])
        found = self._emit(DOUBLE, f"call double @{vectormath.CALLS[name]}({operands})")
        return found if self._common(xs) == DOUBLE else self.convert(found, FLOAT)

    def vectors(self, parts: Sequence[str], mark: int) -> str:
        """The text of the functions of vectors; what it calls is called.

        Args:
            parts: the text that calls them.
            mark: the first number of metadata that is free.
        """
        calls = vectormath.called(parts)
        made = vectormath.functions(self.inner, fast=self.fast, calls=calls, mark=mark)
        self.called |= {call.name: call for call in made.needs}
        return made.text


def converted(text: str, have: str, want: str) -> str:
    """The instruction that converts a register."""
    if want == TRUTH:
        if have in FLOATS:
            return f"fcmp une {have} {text}, {number(0, have)}"
        return f"icmp ne {have} {text}, 0"
    if want in FLOATS and have in FLOATS:
        word = "fpext" if want == DOUBLE else "fptrunc"
        return f"{word} {have} {text} to {want}"
    if want in FLOATS and have == TRUTH:
        one, zero = number(1, want), number(0, want)
        return f"select i1 {text}, {want} {one}, {want} {zero}"
    if want in FLOATS:
        return f"sitofp {have} {text} to {want}"
    if have in FLOATS:
        return f"call {want} @llvm.fptosi.sat.{want}.{_suffix(have)}({have} {text})"
    word = "zext" if have == TRUTH else "sext" if BYTES[have] < BYTES[want] else "trunc"
    return f"{word} {have} {text} to {want}"


def _suffix(kind: str) -> str:
    return "f64" if kind == DOUBLE else "f32"
