"""The language that texts are written in: its words, limits and syntax. Floor 9.

Python's own parser makes the tree; length and nesting are limited before it runs, and
whatever it raises becomes a `ParseError`.
"""

from __future__ import annotations

import ast
import math
import warnings
from typing import NoReturn

from tapegrad.errors import ParseError
from tapegrad.rules import TABLE, Primitive

# Far above any formula that a person writes, far below what hurts.
MAX_LENGTH = 10_000
MAX_DEPTH = 100

CONSTANTS = {"pi": math.pi, "e": math.e}

BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
}
COMPARE = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
LOGIC = {ast.And: "logical_and", ast.Or: "logical_or"}

# What people write in its place.
HINTS = {
    "BitXor": "write ** for a power",
    "FloorDiv": "write / for a quotient",
    "IfExp": "write where(condition, a, b)",
    "Compare": "a comparison stands only in where(condition, a, b)",
    "BoolOp": "and, or, not stand only in the condition of where(condition, a, b)",
    "Not": "and, or, not stand only in the condition of where(condition, a, b)",
    "Attribute": "there are no objects here, only numbers",
    "Subscript": "give each entry a name of its own, such as b_0",
}
SPOKEN = {
    "Attribute": "attribute access",
    "BitXor": "the operator ^",
    "FloorDiv": "the operator //",
    "Invert": "the operator ~",
    "MatMult": "the operator @",
    "Mod": "the operator %",
    "Not": "not",
    "Dict": "a dictionary",
    "List": "a list",
    "Set": "a set",
    "Tuple": "a tuple",
    "Await": "await",
    "Subscript": "indexing",
    "IfExp": "if-else",
    "Lambda": "lambda",
    "NamedExpr": "an assignment",
    "Starred": "a starred argument",
    "BoolOp": "and/or",
    "Compare": "a comparison",
    "JoinedStr": "a formatted string",
}


def functions() -> dict[str, Primitive]:
    """The functions that a text may call: those of the table without parameters."""
    return {
        row.name: row
        for row in TABLE
        if row.kind in {"elementwise", "select"} and row.params == ({},)
    }


def syntax(text: str) -> ast.expr:
    """Python's syntax tree of a text that is known to be small."""
    if not isinstance(text, str):
        msg = f"an expression is a text, got {type(text).__name__}"
        raise ParseError(msg)
    if len(text) > MAX_LENGTH:
        msg = (
            f"the expression has {len(text)} characters, and {MAX_LENGTH} are the "
            "limit; write longer functions in Python and record them"
        )
        raise ParseError(msg)
    if not text.strip():
        msg = "the expression is empty"
        raise ParseError(msg)
    if "\0" in text:
        fail(text.index("\0"), "a null byte")
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_DEPTH:
            fail(place, f"brackets nested more than {MAX_DEPTH} deep")
    # Python's columns count the text as it is parsed: without leading blanks
    offset = len(text) - len(text.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "2if", "(1)(2)": rejected below anyway
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as problem:
        place = max((problem.offset or 1) - 1, 0) + offset
        fail(place, f"not an expression: {problem.msg}")
    except (RecursionError, MemoryError):
        msg = "the expression is nested too deeply; write it in Python and record it"
        raise ParseError(msg) from None
    except ValueError as problem:
        msg = f"the expression cannot be read: {problem}"
        raise ParseError(msg) from None


def fail(place: int, what: str, hint: str = "") -> NoReturn:
    """Raise `ParseError` for a place in the text, counted from 0; shown from 1."""
    msg = f"column {place + 1}: {what}" + (f"; {hint}" if hint else "")
    raise ParseError(msg)
