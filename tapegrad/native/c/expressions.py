"""Expressions of C: numbers, operators, brackets where they are needed. Floor 9."""

from __future__ import annotations

import functools
import math
import struct
from dataclasses import dataclass
from fractions import Fraction

from tapegrad.errors import CompileError
from tapegrad.native.c.parse import Instruction

TYPES = {
    "double": "double",
    "float": "float",
    "i64": "int64_t",
    "i32": "int32_t",
    "i8": "unsigned char",
    "i1": "bool",
    "ptr": "void *",
}
BYTES = {"double": 8, "float": 4, "i64": 8, "i32": 4, "i8": 1, "ptr": 8}

# How tightly operators bind.
ATOM, UNARY, PRODUCT, SUM, SHIFT, ORDER, EQUAL, BITS, BOTH, EITHER, CHOICE = range(
    16, 5, -1
)
NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class Expr:
    """An expression.

    Args:
        text: as C writes it.
        level: how tightly its outermost operator binds.
        deps: variables in it that change.
        memory: whether it reads memory.
        wild: whether it is an integer of any size; else a count or place, which is
            far from the largest one.
        opposite: the text of its negation, if that is shorter than with a "!".
        bits: of the bits of a double, that expression; "abs" of it, where marked so.
        base, index, kind, fixed: of an address: a pointer, what is added to it, the
            type of the entries, and whether they are constant.
        entry: of an address: the variable that stands there, where it is known.
        free: whether it may be written twice.
    """

    text: str
    level: int = ATOM
    deps: frozenset[str] = NOTHING
    memory: bool = False
    wild: bool = False
    opposite: str = ""
    bits: Expr | None = None
    positive: bool = False
    base: str = ""
    index: Expr | None = None
    kind: str = ""
    fixed: bool = False
    entry: Expr | None = None
    free: bool = False

    def at(self, level: int) -> str:
        """The text as an operand of an operator that binds so tightly."""
        return self.text if self.level >= level else f"({self.text})"


def joined(*parts: Expr) -> tuple[frozenset[str], bool]:
    """What an expression of these depends on, and whether it reads memory."""
    deps = NOTHING
    for part in parts:
        if part.deps:
            deps |= part.deps
    return deps, any(part.memory for part in parts)


def made(text: str, level: int, *parts: Expr, wild: bool = False) -> Expr:
    """An expression of others."""
    deps, memory = joined(*parts)
    return Expr(text, level, deps, memory, wild or any(part.wild for part in parts))


def called(name: str, *parts: Expr, wild: bool = False) -> Expr:
    """A call."""
    return made(f"{name}({', '.join(x.text for x in parts)})", ATOM, *parts, wild=wild)


# -- numbers ---------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def literal(text: str, kind: str) -> Expr:
    """A number as LLVM writes it."""
    found = _literal(text, kind)
    found.free = True
    return found


def _literal(text: str, kind: str) -> Expr:
    if kind in {"double", "float"}:
        value = struct.unpack(">d", bytes.fromhex(text[2:].zfill(16)))[0]
        return real(value, "f" if kind == "float" else "")
    if kind == "i1":
        return Expr(text, opposite="false" if text == "true" else "true")
    if kind == "ptr":
        return Expr("NULL")
    return whole(int(text))


def whole(value: int) -> Expr:
    """An integer."""
    if value == -(2**63):
        return Expr("INT64_MIN", wild=True)
    text, large = str(value), abs(value) >= 2**31
    text = f"INT64_C({abs(value)})" if large else text
    if value < 0:
        return Expr(f"-{text}" if large else text, UNARY, wild=large)
    return Expr(text, wild=large)


def real(value: float, suffix: str = "") -> Expr:
    """A float, exactly; as a decimal number where that is exact and short."""
    if math.isnan(value):
        return Expr("NAN")
    level = UNARY if math.copysign(1.0, value) < 0 else ATOM
    if math.isinf(value):
        return Expr("-INFINITY" if value < 0 else "INFINITY", level)
    text = repr(value)
    if len(text) <= 12 and Fraction(text) == Fraction(value):
        text = text if "." in text or "e" in text else f"{text}.0"
        return Expr(text + suffix, level)
    digits, _, power = value.hex().partition("p")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return Expr(f"{digits}p{power}{suffix}", level)


# -- operators -------------------------------------------------------------------------

ARITHMETIC = {
    "fadd": ("+", SUM),
    "fsub": ("-", SUM),
    "fmul": ("*", PRODUCT),
    "fdiv": ("/", PRODUCT),
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "sdiv": ("/", PRODUCT),
    "srem": ("%", PRODUCT),
}
# Integers that may be of any size go round, which C leaves open for signed ones.
ROUND = {"add": "wrapping_add", "sub": "wrapping_sub", "mul": "wrapping_mul"}
LOGIC = {"and": ("&&", BOTH), "or": ("||", EITHER), "xor": ("!=", EQUAL)}
MASKS = {"and": "&", "or": "|", "xor": "^"}
SIGNED = {
    "eq": ("==", "!="),
    "ne": ("!=", "=="),
    "slt": ("<", ">="),
    "sle": ("<=", ">"),
    "sgt": (">", "<="),
    "sge": (">=", "<"),
}
UNSIGNED = {"ult": "<", "ule": "<=", "ugt": ">", "uge": ">="}
FLOATS = {"oeq": "==", "une": "!=", "olt": "<", "ole": "<=", "ogt": ">", "oge": ">="}
# The opposite of what C has; it holds for NaN, too.
OPPOSITES = {"ult": ">=", "ule": ">", "ugt": "<=", "uge": "<"}
MOST = str(2**63 - 1)


def infix(word: str, level: int, a: Expr, b: Expr) -> Expr:
    """An operator between two expressions; equal ones run from the left."""
    return made(f"{a.at(level)} {word} {b.at(level + 1)}", level, a, b)


def binary(ins: Instruction, a: Expr, b: Expr) -> Expr:
    """An operation of two numbers."""
    op, kind = ins.op, ins.kind
    if op == "frem":
        return called("fmod" if kind == "double" else "fmodf", a, b)
    if kind == "i1":
        return _logic(op, a, b)
    if op in MASKS:
        if op == "and" and b.text == f"INT64_C({MOST})" and a.bits is not None:
            found = Expr("", bits=a.bits, positive=True)
            found.text, found.deps, found.memory = (
                f"{a.text} & {b.text}",
                a.deps,
                a.memory,
            )
            found.level, found.wild = BITS, True
            return found
        return made(f"{a.at(UNARY)} {MASKS[op]} {b.at(UNARY)}", BITS, a, b)
    if op in ROUND and (a.wild or b.wild):
        return called(ROUND[op], a, b, wild=True)
    if op in {"shl", "lshr"}:
        word = "shift_left" if op == "shl" else "shift_right"
        return called(word, a, b, wild=True)
    if op == "ashr":
        return made(f"{a.at(UNARY)} >> {b.at(UNARY)}", SHIFT, a, b)
    if op not in ARITHMETIC:
        msg = f"there are no words in C for {op} of {kind}"
        raise CompileError(msg)
    word, level = ARITHMETIC[op]
    if op == "sub" and a.text == "0":
        return made(f"-{b.at(ATOM)}", UNARY, b)
    return infix(word, level, a, b)


def _logic(op: str, a: Expr, b: Expr) -> Expr:
    if op == "xor" and b.text in {"true", "false"}:
        return negated(a) if b.text == "true" else a
    word, level = LOGIC[op]
    # compilers warn where "and" stands in "or" without brackets
    least = level if op == "and" or level == EQUAL else EQUAL
    least = EQUAL if op == "or" else least
    if op == "xor":
        least = UNARY
    return made(f"{a.at(least)} {word} {b.at(max(least, level + 1))}", level, a, b)


def negated(a: Expr) -> Expr:
    """Not a."""
    if a.opposite:
        found = made(a.opposite, EQUAL if a.level < ATOM else ATOM, a)
        found.opposite = a.text
        return found
    found = made(f"!{a.at(UNARY)}", UNARY, a)
    found.opposite = a.text
    found.level = UNARY
    return found


def compared(op: str, kind: str, a: Expr, b: Expr) -> Expr:
    """A comparison."""
    family, predicate = op.split()
    if family == "icmp":
        if predicate in UNSIGNED:
            if a.wild or b.wild:
                texts = [f"(uint64_t){x.at(UNARY)}" for x in (a, b)]
                return made(f"{texts[0]} {UNSIGNED[predicate]} {texts[1]}", ORDER, a, b)
            word = UNSIGNED[predicate]
            return made(f"{a.at(SUM)} {word} {b.at(SUM)}", ORDER, a, b)
        word, other = SIGNED[predicate]
        if kind == "i8" and b.text == "0":  # a truth value, read from memory
            found = made(f"{a.at(SUM)} {word} 0", EQUAL, a)
            found.opposite = f"{a.at(SUM)} {other} 0"
            return found
        level = EQUAL if predicate in {"eq", "ne"} else ORDER
        found = made(f"{a.at(SUM)} {word} {b.at(SUM)}", level, a, b)
        found.opposite = f"{a.at(SUM)} {other} {b.at(SUM)}"
        found.wild = False
        return found
    if predicate in FLOATS:
        word = FLOATS[predicate]
        level = EQUAL if word in {"==", "!="} else ORDER
        found = made(f"{a.at(SUM)} {word} {b.at(SUM)}", level, a, b)
        if word in {"==", "!="}:
            other = "!=" if word == "==" else "=="
            found.opposite = f"{a.at(SUM)} {other} {b.at(SUM)}"
        return found
    if predicate in OPPOSITES:
        return made(f"!({a.at(SUM)} {OPPOSITES[predicate]} {b.at(SUM)})", UNARY, a, b)
    if predicate in {"uno", "ord"}:
        found = called("isunordered", a, b)
        return found if predicate == "uno" else negated(found)
    if predicate in {"one", "ueq"}:
        found = called("islessgreater", a, b)
        return found if predicate == "one" else negated(found)
    msg = f"there are no words in C for the comparison {op}"
    raise CompileError(msg)


def chosen(c: Expr, a: Expr, b: Expr) -> Expr:
    """One of two."""
    return made(
        f"{c.at(CHOICE + 1)} ? {a.at(CHOICE + 1)} : {b.at(CHOICE + 1)}", CHOICE, c, a, b
    )


def cast(ins: Instruction, a: Expr) -> Expr:
    """A conversion."""
    have, want, op = ins.operands[0][0], ins.kind, ins.op
    if op == "bitcast":
        return _bits(have, want, a)
    if have == "i1":
        text = f"({TYPES[want]}){a.at(UNARY)}"
        if op == "sext":
            return made(f"-{text}", UNARY, a)
        return a if want == "i8" else made(text, UNARY, a)
    if want == "i1":  # the last bit of a byte that is 0 or 1
        found = made(f"{a.at(SUM)} != 0", EQUAL, a)
        found.opposite = f"{a.at(SUM)} == 0"
        return found
    if op == "fptosi":
        return called(
            "to_int64" if have == "double" else "to_int64_float", a, wild=True
        )
    found = made(f"({TYPES[want]}){a.at(UNARY)}", UNARY, a)
    found.wild = op in {"sext", "trunc", "zext"} and a.wild
    return found


def _bits(have: str, want: str, a: Expr) -> Expr:
    if have == want:
        return a
    if (have, want) == ("double", "i64"):
        found = called("bits_of", a, wild=True)
        found.bits = a
        return found
    if (have, want) == ("i64", "double"):
        if a.bits is not None and a.positive:
            return called("fabs", a.bits)
        return called("double_of", a)
    msg = f"there are no words in C for bits of {have} as {want}"
    raise CompileError(msg)
