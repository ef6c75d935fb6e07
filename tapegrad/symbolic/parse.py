"""Text to tape, without ever evaluating the text. Floor 9.

    "x*tanh(y) + exp(x)**2"   ->   a tape with the inputs x and y

The text is read by Python's own parser into a syntax tree, and the tree is walked with
an explicit list: numbers, names, ``+ - * / **``, calls of the table's functions, and
comparisons as the first argument of ``where``. Everything else is a `ParseError` that
names it and its column. Nothing is imported, looked up or called on the text's behalf;
length, nesting and size are limited before they cost time or stack.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tapegrad.passes import prune
from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE, Primitive
from tapegrad.symbolic.language import (
    BINARY,
    COMPARE,
    CONSTANTS,
    DEFINED,
    HINTS,
    LOGIC,
    MAX_DEPTH,
    SPOKEN,
    arities,
    expanded,
    fail,
    functions,
    place_in,
    powers,
    suggestion,
    syntax,
)
from tapegrad.tape.recorder import Columns
from tapegrad.tape.structure import Structure, Tree
from tapegrad.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class _Node:
    """A value on its way to the tape: its slot, and its number when it is constant."""

    slot: int
    constant: int | float | None = None


# What a visit leaves behind: how to build the result from the children's.
_Build = Callable[..., _Node]
_Child = tuple[ast.expr, bool, int]


def parse(
    text: str, symbols: Sequence[str] | None = None, *, free: Sequence[str] = ()
) -> Tape:
    """Read an expression as a tape with one output.

    Args:
        text: an expression in names, numbers, ``+ - * / ** ^``, the functions of
            the table, those that textbooks have beside them (``ln``, ``arctan``,
            ``sec``, ``log(x, base)``, ...), ``where(a < b, x, y)`` and the constants
            ``pi`` and ``e``. An exponent without names is a constant of its step, so
            negative bases work.
        symbols: the names that may occur, in the order of the tape's inputs; each is
            an input, whether it occurs or not. By default every name is free, and the
            inputs stand in order of first appearance.
        free: names that are variables even where they are also constants: with
            ``free=["e"]`` the text ``e*x`` has two inputs.

    Returns:
        A tape whose inputs carry the names as labels. It has no example.

    Raises:
        ParseError: the text is outside this language; says what, and the column.

    Example:
        >>> from tapegrad.symbolic.parse import parse
        >>> parse("x*y + 2").gradient(3.0, 4.0)
        (4.0, 3.0)
    """
    tree = syntax(text)
    names = _Reader(text, symbols, free, None).names(tree)
    out = Columns()
    slots = {}
    for name in names if symbols is None else symbols:
        slots[name] = out.input(math.nan)
        out.labels[slots[name]] = name
    result = _Reader(text, symbols, free, (out, slots)).tape_of(tree)
    tape = out.freeze(
        inputs=tuple(slots.values()),
        outputs=(result.slot,),
        structure=Structure(tuple(Tree() for _ in slots)),
    )
    return prune(tape)  # exponents, and the 2 of -2, have left constants behind


class _Reader:
    """One walk over a syntax tree: first to check and to find names, then to build.

    Both walks take the same path, so what the first accepts the second can build.
    """

    def __init__(
        self,
        text: str,
        symbols: Sequence[str] | None,
        free: Sequence[str],
        target: tuple[Columns, dict[str, int]] | None,
    ) -> None:
        self.text = text
        self.symbols = symbols
        self.free = free
        self.target = target
        self.found: dict[str, tuple[int, int]] = {}
        self.functions = functions()

    def names(self, tree: ast.expr) -> list[str]:
        """Check the whole tree; the names in it in order of appearance."""
        self._walk(tree)
        return sorted(self.found, key=lambda name: self.found[name])

    def tape_of(self, tree: ast.expr) -> _Node:
        """Append the steps of a checked tree."""
        values: list[_Node] = []
        for build, count in reversed(self._walk(tree, left_first=False)):
            first = len(values) - count
            arguments = values[first:]
            del values[first:]
            values.append(build(*arguments))
        return values[0]

    def _walk(
        self, tree: ast.expr, *, left_first: bool = True
    ) -> list[tuple[_Build, int]]:
        """Every node, parents first.

        From the left, so that the first mistake is the one reported; from the right,
        so that the reverse of the walk builds from the left.
        """
        order: list[tuple[_Build, int]] = []
        waiting: list[_Child] = [(tree, False, 0)]
        while waiting:
            node, truth, depth = waiting.pop()
            if depth > MAX_DEPTH:
                self._reject(node, f"nested more than {MAX_DEPTH} deep")
            build, children = self._visit(node, truth, depth)
            order.append((build, len(children)))
            waiting.extend(reversed(children) if left_first else children)
        return order

    # -- one node --------------------------------------------------------------

    def _visit(
        self, node: ast.expr, truth: bool, depth: int
    ) -> tuple[_Build, list[_Child]]:
        """What a node becomes, and the children that it needs first."""
        if truth:
            return self._condition(node, depth + 1)
        if isinstance(node, ast.Constant):
            return self._number(node), []
        if isinstance(node, ast.Name):
            return self._name(node), []
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            build = self._negative if isinstance(node.op, ast.USub) else _same
            return build, [(node.operand, False, depth + 1)]
        if isinstance(node, ast.BinOp):
            return self._binary(node, depth)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        kind = type(node.op if isinstance(node, ast.UnaryOp) else node).__name__
        return self._reject(
            node, f"{SPOKEN.get(kind, kind)} is not allowed", HINTS.get(kind)
        )

    def _number(self, node: ast.Constant) -> _Build:
        value = node.value
        if type(value) not in {int, float}:
            self._reject(node, f"{_shown(value)} is not a real number")
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            self._reject(node, "the number is too large for a float")
        exact = int(value) if type(value) is int and abs(number) < 2**53 else number
        return lambda: self._constant(exact)

    def _name(self, node: ast.Name) -> _Build:
        name = node.id
        if self.symbols is not None and name in self.symbols:
            return lambda: self._symbol(name)
        if name in CONSTANTS and name not in self.free:
            return lambda: self._constant(CONSTANTS[name])
        if name in self.functions or name in DEFINED:
            self._reject(node, f"{name} is a function", f"write {name}(...)")
        if self.symbols is not None:
            known = ", ".join([*self.symbols, *CONSTANTS])
            self._reject(node, f"unknown name {name!r}", f"the names are {known}")
        if name.startswith("_"):
            self._reject(node, f"the name {name!r} starts with an underscore")
        self.found.setdefault(name, (node.lineno, node.col_offset))
        return lambda: self._symbol(name)

    def _binary(self, node: ast.BinOp, depth: int) -> tuple[_Build, list[_Child]]:
        name = BINARY.get(type(node.op))
        if name is None:
            kind = type(node.op).__name__
            self._reject(
                node, f"{SPOKEN.get(kind, kind)} is not allowed", HINTS.get(kind)
            )
        # a + b + c leans to the left without being nested in any reader's eyes
        chain = isinstance(node.left, ast.BinOp)
        children = [
            (node.left, False, depth if chain and name != "pow" else depth + 1),
            (node.right, False, depth + 1),
        ]
        if name == "pow":
            if self._is_e(node.left):
                return lambda x: self._apply(TABLE["exp"], x), children[1:]
            return self._power, children
        return lambda *operands: self._apply(TABLE[name], *operands), children

    def _is_e(self, node: ast.expr) -> bool:
        """Whether it is the constant: its power is exp, more exactly than pow."""
        taken = [*self.free, *(self.symbols or ())]
        return isinstance(node, ast.Name) and node.id == "e" and "e" not in taken

    def _call(self, node: ast.Call, depth: int) -> tuple[_Build, list[_Child]]:
        if not isinstance(node.func, ast.Name):
            self._reject(node.func, "only functions of the table are called, by name")
        name = node.func.id
        row = self.functions.get(name)
        counts = arities(name, self.functions)
        if not counts:
            hint = suggestion(name, self.functions)
            self._reject(node.func, f"unknown function {name!r}", hint)
        if node.keywords:
            self._reject(node, f"{name} takes no keyword arguments")
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self._reject(argument, "a starred argument is not allowed")
        if len(node.args) not in counts:
            wanted = " or ".join(map(str, counts))
            noun = "argument" if counts == [1] else "arguments"
            self._reject(node, f"{name} takes {wanted} {noun}, got {len(node.args)}")
        if row is None or len(node.args) != row.arity:
            return self._visit(expanded(name, node), False, depth)
        select = row.kind == "select"
        children = [
            (argument, select and place == 0, depth + 1)
            for place, argument in enumerate(node.args)
        ]
        if name == "pow":
            return self._power, children
        return lambda *operands: self._apply(row, *operands), children

    def _condition(self, node: ast.expr, depth: int) -> tuple[_Build, list[_Child]]:
        if isinstance(node, ast.BoolOp):
            joined = TABLE[LOGIC[type(node.op)]]
            children = [(value, True, depth) for value in node.values]
            return lambda *parts: self._fold(joined, parts), children
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            negated = TABLE["logical_not"]
            child = [(node.operand, True, depth)]
            return lambda part: self._apply(negated, part), child
        if not isinstance(node, ast.Compare):
            self._reject(
                node, "the condition of where() is not a comparison", "write x > 0"
            )
        for operator in node.ops:
            if type(operator) not in COMPARE:
                self._reject(node, "only < <= > >= == != compare numbers")
        rows = [TABLE[COMPARE[type(operator)]] for operator in node.ops]
        children = [(part, False, depth) for part in (node.left, *node.comparators)]
        return lambda *parts: self._comparison(rows, parts), children

    def _reject(self, node: ast.expr, what: str, hint: str | None = None) -> NoReturn:
        """Python counts columns in bytes of the stripped text; people in characters."""
        text = self.text.strip()
        line = powers(text).splitlines()[node.lineno - 1].encode()
        column = len(line[: node.col_offset].decode(errors="replace"))
        offset = len(self.text) - len(self.text.lstrip())
        fail(offset + place_in(text, node.lineno, column), what, hint or "")

    # -- building --------------------------------------------------------------

    @property
    def _out(self) -> tuple[Columns, dict[str, int]]:
        assert self.target is not None, "only the second walk builds"  # noqa: S101
        return self.target

    def _symbol(self, name: str) -> _Node:
        return _Node(self._out[1][name])

    def _constant(self, value: float) -> _Node:
        return _Node(self._out[0].constant(float(value)), value)

    def _apply(self, row: Primitive, *operands: _Node) -> _Node:
        out, _ = self._out
        slot = out.push(row, [operand.slot for operand in operands], {}, math.nan)
        known = [operand.constant for operand in operands]
        if row.kind != "elementwise" or any(value is None for value in known):
            return _Node(slot)
        return _Node(slot, SCALAR.apply(row, *[float(x) for x in known]))  # type: ignore[arg-type]

    def _negative(self, operand: _Node) -> _Node:
        if isinstance(operand.constant, int) and operand.constant:
            return self._constant(-operand.constant)  # -2 is a number, not a step
        return self._apply(TABLE["neg"], operand)

    def _power(self, base: _Node, exponent: _Node) -> _Node:
        """A constant exponent is a parameter of the step, never an operand."""
        if exponent.constant is None or not math.isfinite(exponent.constant):
            return self._apply(TABLE["pow"], base, exponent)
        params = {"exponent": exponent.constant}
        row, (out, _) = TABLE["powc"], self._out
        slot = out.push(row, [base.slot], params, math.nan)
        if base.constant is None:
            return _Node(slot)
        return _Node(slot, SCALAR.apply(row, float(base.constant), **params))

    def _fold(self, row: Primitive, parts: Sequence[_Node]) -> _Node:
        total = parts[0]
        for part in parts[1:]:
            total = self._apply(row, total, part)
        return total

    def _comparison(self, rows: Sequence[Primitive], parts: Sequence[_Node]) -> _Node:
        """a < b < c compares neighbours and joins the results."""
        pairs = zip(rows, parts, parts[1:], strict=False)
        return self._fold(
            TABLE["logical_and"], [self._apply(row, a, b) for row, a, b in pairs]
        )


def _same(operand: _Node) -> _Node:
    return operand


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 20 else text[:17] + "..."
