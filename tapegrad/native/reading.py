"""The LLVM reading: rule text becomes instructions. Floor 5.

Its numbers are names of the static single assignment form; an operator on them emits an
instruction. A row with ``llvm`` is that instruction or call, one without is its body in
this reading; nothing about a primitive stands here. A step is read once for each kind
of step on the tape and gives a *form*, a template in which ``{0}`` is the slot's number
and ``{1}``, ``{2}``, ... are its operands.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad.errors import CompileError, DomainError
from tapegrad.native.engine import Outside, callable_outside
from tapegrad.readings import Reading
from tapegrad.readings.numeric import CONSTANTS
from tapegrad.rules import TABLE, Primitive

DOUBLE, TRUTH = "double", "i1"

# LLVM's quick code generator does not know this one (nor uitofp on x86) and hands it to
# the slow one, at 250 us a call. Clearing the sign bit is the same function, and the
# optimiser puts the intrinsic back where that is better.
ABSOLUTE = "llvm.fabs.f64"


def literal(value: float | bool) -> str:
    """A number in LLVM's language, by its bits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "0x" + struct.pack(">d", value).hex().upper()


class Name:
    """An operand: a name or a literal, its type, and the reading it emits to."""

    __slots__ = ("kind", "m", "text")

    def __init__(self, m: LlvmReading, text: str, kind: str) -> None:
        self.m = m
        self.text = text
        self.kind = kind

    def __pos__(self) -> Name:
        return self


def _install_operators() -> None:
    """Python's operators on names, as the table says which row each one is."""

    def forward(name: str) -> Callable[..., Any]:
        return lambda self, *others: getattr(self.m, name)(self, *others)

    def reflected(name: str) -> Callable[..., Any]:
        return lambda self, other: getattr(self.m, name)(other, self)

    for row in TABLE:
        if row.operator and row.kind == "elementwise":
            setattr(Name, f"__{row.operator}__", forward(row.name))
            if row.arity == 2:
                setattr(Name, f"__r{row.operator}__", reflected(row.name))


_install_operators()


class LlvmReading(Reading):
    """Instructions of LLVM.

    Attributes:
        lines: what has been emitted since the last `form`.
        called: functions that have been called, to be declared.
    """

    name = "llvm"
    binary = True

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.called: dict[str, Outside] = {}

    # -- the vocabulary --------------------------------------------------------

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        """The row's instruction or call."""
        word = row.llvm
        if not word or (word[0] == "@" and not callable_outside(word[1:])):
            return None
        if word[0] == "@":
            return lambda *xs: self._call(word[1:], xs)
        if row.kind == "select":
            return lambda c, *arms: self._select(word, c, arms)
        if word.startswith("fcmp"):
            return lambda *xs: self._instruction(word, DOUBLE, TRUTH, xs)
        if row.kind == "predicate":
            return lambda *xs: self._logic(word, xs)
        return lambda *xs: self._instruction(word, DOUBLE, DOUBLE, xs)

    def number(self, value: Any) -> Name:
        """A literal."""
        if isinstance(value, Name):
            return value
        if isinstance(value, bool):
            return Name(self, literal(value), TRUTH)
        return Name(self, literal(float(value)), DOUBLE)

    def const(self, name: str) -> Name:
        """A named constant as a literal."""
        return self.number(CONSTANTS[name])

    # -- emitting --------------------------------------------------------------

    def _emit(self, kind: str, text: str) -> Name:
        # the trailing letter keeps .1 from being the beginning of .12
        name = f"%v{{0}}.{len(self.lines)}t"
        self.lines.append(f"{name} = {text}")
        return Name(self, name, kind)

    def _as(self, value: Any, kind: str) -> str:
        """An operand's text, converted as Python would: True is 1.0, 2.0 is true."""
        x = self.number(value)
        if x.kind == kind:
            return x.text
        if kind == DOUBLE:
            # not uitofp: see ABSOLUTE
            one, zero = literal(1.0), literal(0.0)
            choice = f"select i1 {x.text}, double {one}, double {zero}"
            return self._emit(DOUBLE, choice).text
        return self._emit(TRUTH, f"fcmp une double {x.text}, {literal(0.0)}").text

    def _instruction(self, word: str, takes: str, gives: str, xs: Any) -> Name:
        operands = ", ".join([self._as(x, takes) for x in xs])
        return self._emit(gives, f"{word} {takes} {operands}")

    def _logic(self, word: str, xs: Sequence[Any]) -> Name:
        if word == "not":  # which LLVM writes as an exclusive or
            return self._instruction("xor", TRUTH, TRUTH, (*xs, True))
        return self._instruction(word, TRUTH, TRUTH, xs)

    def _select(self, word: str, condition: Any, arms: Sequence[Any]) -> Name:
        chosen = self._as(condition, TRUTH)
        kinds = {self.number(arm).kind for arm in arms}
        kind = TRUTH if kinds == {TRUTH} else DOUBLE
        one, other = (self._as(arm, kind) for arm in arms)
        return self._emit(kind, f"{word} i1 {chosen}, {kind} {one}, {kind} {other}")

    def _call(self, name: str, xs: Sequence[Any]) -> Name:
        if name == ABSOLUTE:
            number = self._as(xs[0], DOUBLE)
            bits = self._emit("i64", f"bitcast double {number} to i64")
            positive = self._emit("i64", f"and i64 {bits.text}, {2**63 - 1}")
            return self._emit(DOUBLE, f"bitcast i64 {positive.text} to double")
        operands = ", ".join([f"double {self._as(x, DOUBLE)}" for x in xs])
        self.called[name] = Outside(name, takes=(DOUBLE,) * len(xs))
        return self._emit(DOUBLE, f"call double @{name}({operands})")

    # -- forms -----------------------------------------------------------------

    def form(
        self,
        row: Primitive,
        kinds: Sequence[str],
        params: Mapping[str, Any],
        gives: str,
    ) -> str:
        """The template of a step.

        Args:
            row: its primitive.
            kinds: types of its operands.
            params: its static parameters.
            gives: the type of its slot.

        Raises:
            CompileError: neither an atom nor a body, all the way down.
        """
        self.lines = []
        operands = [
            Name(self, f"{{{place}}}", kind) for place, kind in enumerate(kinds, 1)
        ]
        try:
            result = self.evaluator(row)(*operands, **params)
        except DomainError as problem:
            msg = f"a step {row.sign(params)!r} has no native code: {problem}"
            raise CompileError(msg) from problem
        text = self._as(result, gives)
        if not text.startswith("%"):  # an operand or a literal: a name for it
            text = self._emit(gives, f"bitcast {gives} {text} to {gives}").text
        return "".join(f"{line}\n" for line in self.lines).replace(text, "%v{0}")
