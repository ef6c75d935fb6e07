"""The language that texts are written in: its words, limits and syntax. Floor 9.

    ln(x)^2 + sec(x)   ->   log(x)**2 + 1/cos(x)

Python's own parser makes the tree; length and nesting are limited before it runs, and
whatever it raises becomes a `ParseError`. Beside the table's own names stand those that
a textbook prints.
"""

from __future__ import annotations

import ast
import difflib
import math
import warnings
from collections.abc import Mapping
from typing import NoReturn, cast

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

# What textbooks call rows of the table.
ALIASES = {
    "ln": "log",
    "lg": "log10",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arsinh": "asinh",
    "arcosh": "acosh",
    "artanh": "atanh",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "sgn": "sign",
}
# ... and what they write shorter than in rows: operands, and the formula of these.
DEFINED = {
    "sec": ("x", "1/cos(x)"),
    "csc": ("x", "1/sin(x)"),
    "cosec": ("x", "1/sin(x)"),
    "cot": ("x", "1/tan(x)"),
    "sech": ("x", "1/cosh(x)"),
    "csch": ("x", "1/sinh(x)"),
    "coth": ("x", "1/tanh(x)"),
    # between 0 and pi, and continuous: asin(1) is half of pi, however pi is used
    "acot": ("x", "asin(1) - atan(x)"),
    "asec": ("x", "acos(1/x)"),
    "acsc": ("x", "asin(1/x)"),
    "asech": ("x", "acosh(1/x)"),
    "acsch": ("x", "asinh(1/x)"),
    "acoth": ("x", "atanh(1/x)"),
    "log": ("xb", "log(x)/log(b)"),
}
for _name in ("cot", "sec", "csc"):
    DEFINED[f"arc{_name}"] = DEFINED[f"a{_name}"]
for _name in ("sech", "csch", "coth"):
    DEFINED[f"ar{_name}"] = DEFINED[f"arc{_name}"] = DEFINED[f"a{_name}"]

# What people write in its place.
HINTS = {
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
    found = {
        row.name: row
        for row in TABLE
        if row.kind in {"elementwise", "select"} and row.params == ({},)
    }
    aliases = {name: found[row] for name, row in ALIASES.items() if name not in found}
    return found | aliases


def arities(name: str, rows: Mapping[str, Primitive]) -> list[int]:
    """How many arguments a function may have; none where there is no such function."""
    found = [] if name not in rows else [rows[name].arity]
    if name in DEFINED and len(DEFINED[name][0]) not in found:
        found.append(len(DEFINED[name][0]))
    return found


def suggestion(name: str, rows: Mapping[str, Primitive]) -> str:
    """What may have been meant by an unknown name."""
    known = [*rows, *DEFINED]
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"the functions are {', '.join(sorted(known))}"


def expanded(name: str, call: ast.Call) -> ast.expr:
    """What a call of a function in `DEFINED` stands for.

    Args:
        name: of the function.
        call: with as many arguments as the definition has names.
    """
    names, text = DEFINED[name]
    given = dict(zip(names, call.args, strict=True))
    made = _Put(given, call).visit(ast.parse(text, mode="eval").body)
    return cast("ast.expr", made)


class _Put(ast.NodeTransformer):
    """Arguments in place of the names of a definition, which is a few nodes long.

    What it adds stands where the call stands, for messages.
    """

    def __init__(self, given: dict[str, ast.expr], call: ast.Call) -> None:
        self.given, self.call = given, call

    def visit(self, node: ast.AST) -> ast.AST:
        """A node of the definition; arguments are not looked into."""
        if isinstance(node, ast.Name) and node.id in self.given:
            return self.given[node.id]
        ast.copy_location(node, self.call)
        return self.generic_visit(node)


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
            return ast.parse(powers(text.strip()), mode="eval").body
    except SyntaxError as problem:
        column = max((problem.offset or 1) - 1, 0)
        place = place_in(text.strip(), problem.lineno or 1, column)
        fail(place + offset, f"not an expression: {problem.msg}")
    except (RecursionError, MemoryError):
        msg = "the expression is nested too deeply; write it in Python and record it"
        raise ParseError(msg) from None
    except ValueError as problem:
        msg = f"the expression cannot be read: {problem}"
        raise ParseError(msg) from None


def powers(text: str) -> str:
    """The text with ``**`` for ``^``, which binds otherwise in Python."""
    return text.replace("^", "**")


def place_in(text: str, line: int, column: int) -> int:
    """Where in a text Python's line and column are, both counted in characters.

    Args:
        text: as it was written, without leading blanks.
        line: from 1.
        column: from 0, in the line with ``**`` for ``^``.
    """
    lines = text.splitlines()
    before = sum(len(other) + 1 for other in lines[: line - 1])
    written = lines[line - 1] if line <= len(lines) else ""
    # as many characters as have that width
    width, place = 0, 0
    while width < column and place < len(written):
        width += len(powers(written[place]))
        place += 1
    return before + place + max(column - width, 0)


def fail(place: int, what: str, hint: str = "") -> NoReturn:
    """Raise `ParseError` for a place in the text, counted from 0; shown from 1."""
    msg = f"column {place + 1}: {what}" + (f"; {hint}" if hint else "")
    raise ParseError(msg)
