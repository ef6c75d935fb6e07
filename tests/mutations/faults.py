"""Faults planted in source text: a small slip each, at one place of the syntax tree.

A fault replaces one span of the text, and keeps the number of lines. What cannot change
a result is left alone by rule: docstrings and messages, whatever a `raise` says,
annotations, decorators, `__repr__`, blocks for the type checker. Text counts only where
it is LLVM code: there an instruction is changed.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
# Operators whose operands do not commute.
ORDERED = (ast.Sub, ast.Div, ast.Pow, ast.MatMult, ast.FloorDiv, ast.Mod, ast.LShift)
SEQUENCES = (ast.List, ast.ListComp, ast.Tuple, ast.JoinedStr)
DROPPED = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr)

# Functions that are taken for each other.
FUNCTIONS = {
    "sin": "cos",
    "cos": "sin",
    "sinh": "cosh",
    "cosh": "sinh",
    "exp": "expm1",
    "log": "log1p",
    "sqrt": "abs",
    "minimum": "maximum",
    "maximum": "minimum",
    "min": "max",
    "max": "min",
    "floor": "ceil",
    "any": "all",
    "all": "any",
    "zeros": "ones",
    "ones": "zeros",
    "tril": "triu",
    "triu": "tril",
    "extend": "append",
    "flatnonzero": "atleast_1d",
}
# Functions whose first two arguments are often taken in the wrong order.
PAIRS = frozenset(
    {
        *("less", "greater", "matmul", "subtract", "divide", "power", "solve"),
        *("less_equal", "greater_equal", "atan2", "arctan2", "direction", "inversion"),
        *("outer", "fmod", "remainder", "where", "reshape", "moveaxis", "tensordot"),
    }
)
INSTRUCTIONS = (
    (r"\bfadd\b", "fsub"),
    (r"\bfsub\b", "fadd"),
    (r"\bfmul\b", "fdiv"),
    (r"\bfdiv\b", "fmul"),
    (r"\bolt\b", "ole"),
    (r"\bole\b", "olt"),
    (r"\boeq\b", "une"),
    (r"\bune\b", "oeq"),
    (r"\bogt\b", "oge"),
    (r"\boge\b", "ogt"),
    (r"\bslt\b", "sle"),
    (r"\bult\b", "ule"),
    (r"\bicmp eq\b", "icmp ne"),
    (r"\bicmp ne\b", "icmp eq"),
    (r"\badd (nsw |nuw )*(?=i64|i32)", "sub "),
    (r"\bsub (nsw |nuw )*(?=i64|i32)", "add "),
    (r"\bmul (nsw |nuw )*(?=i64|i32)", "add "),
    (r"\band i1\b", "or i1"),
    (r"\bor i1\b", "and i1"),
    (r"\bxor i1\b", "or i1"),
    (r"\bsext\b", "zext"),
    (r"\bsitofp\b", "uitofp"),
    (r"\bi64 0\b", "i64 1"),
    (r"\bi32 0\b", "i32 1"),
    (r"\bi64 1\b", "i64 2"),
    (r"\bi64 8\b", "i64 4"),
)
# Names that hold words for people, and keywords that change no result.
WORDS = frozenset({"msg", "message", "reason", "hint", "problem", "source", "symbol"})
QUIET = frozenset(
    {
        *("strict", "source", "symbol", "maxsize", "stacklevel", "codegen", "passes"),
        *("edges", "pieces", "samples"),  # what a row says for the tests of it
    }
)
TESTS = frozenset({"Edge", "Sample"})
MASKS = frozenset({"mask", "masks", "under"})
CONNECTIVES: dict[type[ast.boolop], type[ast.boolop]] = {
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One slip.

    Args:
        path: the file, from the root of the tree.
        where: the function or row it is in.
        kind: what sort of slip.
        before, after: the text that changes (shortened for people).
        number: which one of those that read the same.
        line: where the text stands.
        start, stop: its span in the source, in bytes.
        text: what is put there.
        lines: lines of the innermost statement or lambda around it.
    """

    path: str
    where: str
    kind: str
    before: str
    after: str
    number: int
    line: int
    start: int
    stop: int
    text: bytes
    lines: range

    @property
    def name(self) -> str:
        """The same for as long as the code around it is: no line number in it."""
        again = f" #{self.number}" if self.number else ""
        change = f"{self.before} -> {self.after}{again}"
        return f"{self.path}::{self.where} {self.kind}: {change}"

    def planted(self, source: bytes) -> bytes:
        """The source with the slip in it."""
        return source[: self.start] + self.text + source[self.stop :]


def faults(path: str, source: bytes, *, llvm: bool = False) -> list[Fault]:
    """Every fault that can be planted in a file; LLVM text is looked at if asked."""
    found, seen = [], set()
    names: Counter[str] = Counter()
    for fault in _Walk(path, source, llvm).run():
        key = fault.start, fault.stop, fault.text
        if key not in seen:
            seen.add(key)
            number = names[fault.name]
            names[fault.name] += 1
            values = {slot: getattr(fault, slot) for slot in Fault.__slots__}
            found.append(Fault(**{**values, "number": number}))
    return found


def compiles(source: bytes) -> bool:
    """Whether the text is Python at all; what is not would be caught by anything."""
    try:
        compile(source, "planted", "exec")
    except SyntaxError:
        return False
    return True


class _Walk:
    """The tree from top to bottom, with the names of what encloses a node."""

    def __init__(self, path: str, source: bytes, llvm: bool) -> None:
        self.path, self.source, self.llvm = path, source, llvm
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def run(self) -> Iterator[Fault]:
        """All faults."""
        tree = ast.parse(self.source)
        yield from self._body(tree.body, ())

    # -- places ----------------------------------------------------------------

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _text(self, node: ast.AST) -> str:
        start, stop = self._span(node)
        return self.source[start:stop].decode()

    def _fault(
        self, kind: str, node: ast.AST, after: str, *, bare: bool = False
    ) -> Fault:
        start, stop = self._span(node)
        before = self.source[start:stop].decode()
        padding = "\n" * (before.count("\n") - after.count("\n"))
        text = after + padding if bare else f"({after}{padding})"
        return Fault(
            self.path,
            ".".join(self.names) or "module",
            kind,
            _short(before),
            _short(after),
            0,
            node.lineno,
            start,
            stop,
            text.encode(),
            self.lines,
        )

    # -- statements ------------------------------------------------------------

    def _body(self, body: list[ast.stmt], names: tuple[str, ...]) -> Iterator[Fault]:
        for statement in body:
            yield from self._statement(statement, names)

    def _statement(self, node: ast.stmt, names: tuple[str, ...]) -> Iterator[Fault]:
        self.names = names
        inner = getattr(node, "body", None)
        last = inner[0].lineno - 1 if inner else node.end_lineno
        self.lines = range(node.lineno, max(last, node.lineno) + 1)
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                if node.name in {"__repr__", "__str__"}:
                    return
                if isinstance(node, ast.FunctionDef):
                    self.names = (*names, node.name)
                    for default in [*node.args.defaults, *node.args.kw_defaults]:
                        if default is not None:
                            yield from self._expression(default)
                yield from self._body(node.body, (*names, node.name))
                return
            case ast.If() | ast.While():
                if "TYPE_CHECKING" in ast.unparse(node.test):
                    return
                test = self._text(node.test)
                yield self._fault("negated", node.test, f"not ({test})")
                yield from self._expression(node.test)
            case ast.For():
                yield from self._expression(node.iter)
            case ast.With():
                for item in node.items:
                    yield from self._expression(item.context_expr)
            case ast.Match():
                yield from self._expression(node.subject)
            case ast.Try():
                pass
            case _:
                yield from self._simple(node)
                return
        parts = [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]
        for each in [node, *parts]:
            for part in ("body", "orelse", "finalbody"):
                yield from self._body(getattr(each, part, []), names)

    def _simple(self, node: ast.stmt) -> Iterator[Fault]:
        """Statements without others inside."""
        match node:
            case ast.Continue() | ast.Break() | ast.AugAssign():
                yield self._fault("removed", node, "pass", bare=True)
            case ast.Expr(value=ast.Constant()):
                return
            case ast.Expr() if not isinstance(node.value, ast.Yield | ast.YieldFrom):
                yield self._fault("removed", node, "pass", bare=True)
            case ast.Assign(value=ast.BinOp(op=ast.BitOr())) if not self.names:
                return  # the name of a union of types
            case ast.Assign(targets=[ast.Name(id=name), *_]):
                if name in WORDS or name.startswith("__"):
                    return
                self.names = self.names or (name,)
            case ast.Assign(targets=[ast.Subscript(), *_]):
                yield self._fault("removed", node, "pass", bare=True)
            case ast.Raise() | ast.Assert() | ast.Import() | ast.ImportFrom():
                return
        value = getattr(node, "value", None)
        if value is not None:
            yield from self._expression(value)

    # -- expressions -----------------------------------------------------------

    def _expression(self, node: ast.expr) -> Iterator[Fault]:
        match node:
            case ast.JoinedStr() | ast.Constant(value=str()):
                if self.llvm:
                    yield from self._instructions(node)
                return
            case ast.Lambda():
                around = self.lines
                self.lines = range(node.body.lineno, node.body.end_lineno + 1)
                yield from self._expression(node.body)
                self.lines = around
                return
            case ast.Call():
                yield from self._call(node)
                return
            case ast.BinOp():
                yield from self._binary(node)
            case ast.UnaryOp(op=ast.USub() | ast.Not()):
                kind = "sign" if isinstance(node.op, ast.USub) else "negated"
                yield self._fault(kind, node, self._text(node.operand))
            case ast.BoolOp():
                swapped = CONNECTIVES[type(node.op)]()
                other = ast.unparse(ast.BoolOp(swapped, node.values))
                yield self._fault("and, or", node, other)
            case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
                other = ast.Compare(
                    node.left, [COMPARISONS[type(op)]()], node.comparators
                )
                yield self._fault("comparison", node, ast.unparse(other))
            case ast.IfExp():
                other = ast.IfExp(node.test, node.orelse, node.body)
                yield self._fault("arms swapped", node, ast.unparse(other))
            case ast.Constant(value=bool()):
                yield self._fault("truth", node, str(not node.value))
            case ast.Constant(value=int()):
                yield self._fault("number", node, str(node.value + 1))
            case ast.Constant(value=float()):
                other = "1.0" if node.value == 0 else repr(node.value * 1.01)
                yield self._fault("number", node, other)
            case ast.Attribute(attr=name) if name in FUNCTIONS:
                other = ast.Attribute(node.value, FUNCTIONS[name], node.ctx)
                yield self._fault("function", node, ast.unparse(other))
        for child in ast.iter_child_nodes(node):
            yield from self._child(child)

    def _child(self, child: ast.AST) -> Iterator[Fault]:
        if isinstance(child, ast.expr):
            yield from self._expression(child)
        elif isinstance(child, ast.comprehension):
            yield from self._expression(child.iter)
            for test in child.ifs:
                yield self._fault("negated", test, f"not ({self._text(test)})")
                yield from self._expression(test)
        elif isinstance(child, ast.keyword):
            yield from self._keyword(child)

    def _keyword(self, node: ast.keyword) -> Iterator[Fault]:
        if node.arg in QUIET:
            return
        if node.arg in MASKS and not isinstance(node.value, ast.Constant):
            yield self._fault("mask dropped", node.value, "None")
        yield from self._expression(node.value)

    def _binary(self, node: ast.BinOp) -> Iterator[Fault]:
        left, right, op = node.left, node.right, type(node.op)
        # for lists and text the other operators would not even be defined
        listed = any(isinstance(x, SEQUENCES) or _is_text(x) for x in (left, right))
        if op in SIGNS and not listed:
            other = ast.unparse(ast.BinOp(left, SIGNS[op](), right))
            yield self._fault("sign", node, other)
        if op in ORDERED:
            other = ast.unparse(ast.BinOp(right, node.op, left))
            yield self._fault("operands swapped", node, other)
        if op in DROPPED and (op is ast.Add or not listed):
            yield self._fault("term dropped", node, self._text(left))
            if op is not ast.Div:
                yield self._fault("term dropped", node, self._text(right))

    def _call(self, node: ast.Call) -> Iterator[Fault]:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(node.func, ast.Name):
            name = node.func.id
        if name in TESTS:
            return
        plain = not any(isinstance(arg, ast.Starred) for arg in node.args)
        if name == "where" and len(node.args) == 3 and plain:
            condition, one, other = node.args
            swapped = ast.Call(node.func, [condition, other, one], node.keywords)
            yield self._fault("arms swapped", node, ast.unparse(swapped))
        elif name in PAIRS and len(node.args) >= 2 and plain:
            one, other, *rest = node.args
            swapped = ast.Call(node.func, [other, one, *rest], node.keywords)
            yield self._fault("arguments swapped", node, ast.unparse(swapped))
        for arg in node.args:
            if isinstance(arg, ast.Name) and arg.id in MASKS:
                yield self._fault("mask dropped", arg, "None")
        if not isinstance(node.func, ast.Name):
            yield from self._expression(node.func)
        elif name in {"min", "max", "any", "all"}:
            yield self._fault("function", node.func, FUNCTIONS[name])
        for arg in node.args:
            yield from self._expression(arg)
        for keyword in node.keywords:
            yield from self._keyword(keyword)

    def _instructions(self, node: ast.expr) -> Iterator[Fault]:
        start, stop = self._span(node)
        text = self.source[start:stop].decode()
        for pattern, instead in INSTRUCTIONS:
            for found in re.finditer(pattern, text):
                low = start + len(text[: found.start()].encode())
                yield Fault(
                    self.path,
                    ".".join(self.names) or "module",
                    "instruction",
                    _short(text[max(found.start() - 12, 0) : found.end() + 12]),
                    instead.strip(),
                    0,
                    node.lineno + text[: found.start()].count("\n"),
                    low,
                    low + len(found.group().encode()),
                    instead.encode(),
                    self.lines,
                )


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _short(text: str, width: int = 72) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 1]}…"
