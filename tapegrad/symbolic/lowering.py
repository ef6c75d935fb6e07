"""SymPy expressions to steps of a tape, without recursion. Floor 9; loads SymPy.

    x*sin(y)/2   ->   v2 = sin(y);  v3 = x*v2;  v4 = v3/2

The expression is walked with an explicit list, children before parents, and each of
its objects is visited once. Constants stay SymPy's until a step needs them, so
``sqrt(2)*pi`` is rounded once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom, BooleanFunction, to_nnf

from tapegrad.errors import ParseError
from tapegrad.rules import TABLE, Primitive
from tapegrad.symbolic.arithmetic import Build, Node
from tapegrad.symbolic.heads import FOLDED, by_name, definition, heads, ordered
from tapegrad.symbolic.matrices import MatrixLowering
from tapegrad.symbolic.ranges import terms
from tapegrad.symbolic.steps import Steps


class Lowering(MatrixLowering):
    """One walk over expressions that share their parts.

    Args:
        steps: where the steps go.
        given: for each symbol its slot; or what makes the slot.
    """

    def __init__(self, steps: Steps, given: Mapping[Any, Any]) -> None:
        super().__init__(steps)
        self.given = given
        self.kinds = {type(symbol) for symbol in given}
        self.heads = heads()
        # by identity, with the object, lest another one gets its address
        self._memo: dict[int, tuple[Any, Node]] = {}
        self._definitions: dict[Any, tuple[list[Any], Any]] = {}

    def slot(self, expression: Any) -> int:
        """The slot of an expression."""
        return self.slot_of(self._walk(expression, self._memo))

    def _walk(self, root: Any, memo: dict[int, tuple[Any, Node]]) -> Node:
        waiting: list[tuple[Any, Any, Any]] = [(root, None, None)]
        while waiting:
            expression, children, build = waiting.pop()
            if id(expression) in memo:
                continue
            if build is None:
                children, build = self._visit(expression)
                if children:
                    waiting.append((expression, children, build))
                    waiting.extend((child, None, None) for child in reversed(children))
                    continue
            nodes = [memo[id(child)][1] for child in children]
            constant = not expression.is_Matrix and bool(nodes)
            for node in nodes:
                if not isinstance(node, sp.Basic):
                    constant = False
                    break
            node = expression if constant else build(*nodes)
            memo[id(expression)] = expression, node
        return memo[id(root)][1]

    # -- one expression --------------------------------------------------------

    def _visit(self, e: Any) -> tuple[Sequence[Any], Build]:
        """The parts that an expression needs first, and what it is made of them."""
        if type(e) in self.kinds and e in self.given:
            return (), functools.partial(self._symbol, e)
        if isinstance(e, BooleanAtom | sp.CRootOf) or (not e.args and e.is_number):
            if e is sp.zoo:
                msg = "the expression holds a complex infinity, such as 1/0"
                raise ParseError(msg)
            return (), lambda: e
        if e.is_Matrix:
            return self._matrix(e)
        if e.is_Add:
            return e.args, self.sum_of_nodes
        if e.is_Mul:
            return self.product_of(e)
        if e.is_Pow:
            return self.power_of(e)
        if isinstance(e, Boolean) and not e.is_Symbol:
            return self._condition(e)
        if isinstance(e, sp.Piecewise):
            return self._pieces(e)
        found = self._special(e)
        return found if found is not None else self._function(e)

    def _symbol(self, symbol: Any) -> int:
        found = self.given[symbol]
        return found if isinstance(found, int) else found()

    def _special(self, e: Any) -> tuple[Sequence[Any], Build] | None:
        """What is neither arithmetic nor a function; None for functions."""
        found = self.matrix_of(e)
        if found is not None:
            return found
        if e.is_Symbol or isinstance(e, sp.IndexedBase):
            raise ParseError(self._missing(e))
        if isinstance(e, sp.UnevaluatedExpr | sp.re | sp.conjugate):
            return e.args[:1], _same  # inputs are real
        if isinstance(e, sp.im):
            return (), lambda: self.steps.number(0.0)  # what holds it is no constant
        if isinstance(e, sp.Sum | sp.Product):
            parts = terms(e)
            name = "add" if isinstance(e, sp.Sum) else "mul"
            if not parts:
                return (), lambda: sp.Integer(name == "mul")
            return parts, functools.partial(self.fold, TABLE[name])
        if isinstance(e, sp.Derivative | sp.Subs | sp.Integral | sp.Limit):
            done = e.doit()
            if isinstance(done, type(e)):
                msg = (
                    f"{e.func.__name__} stands unevaluated in the expression; evaluate "
                    "it first, or list it among the symbols"
                )
                raise ParseError(msg)
            return [done], _same
        return None

    def _matrix(self, e: Any) -> tuple[Sequence[Any], Build]:
        found = self.matrix_of(e)
        if found is None:
            raise ParseError(self._missing(e) if e.is_symbol else _unknown(e))
        return found

    def lowered_by(self, given: Mapping[Any, Any], form: Any) -> int:
        """The slot of a form in symbols that have slots already."""
        return Lowering(self.steps, {**self.given, **given}).slot(form)

    def _missing(self, e: Any) -> str:
        name = str(e)
        others = [symbol for symbol in self.given if str(symbol) == name]
        if others:
            return (
                f"the symbol {name} of the expression is not the {name} among the "
                "symbols: their assumptions differ (real=True); use one of them"
            )
        known = ", ".join(map(str, self.given)) or "none"
        return f"no value for {name}: it is not among the symbols ({known})"

    # -- conditions ------------------------------------------------------------

    def _condition(self, e: Any) -> tuple[Sequence[Any], Build]:
        if isinstance(e, sp.Contains):
            return [e.args[1].as_relational(e.args[0])], _same
        row = self.heads.get(e.func)
        if row is None and isinstance(e, BooleanFunction):
            plain = to_nnf(e, simplify=False)
            if plain.func in self.heads:
                return [plain], _same
        if row is None:
            raise ParseError(_unknown(e))
        if isinstance(e, Relational):
            return e.args, functools.partial(self.fold, row)
        return e.args, lambda *nodes: self._logic(row, nodes)

    def _logic(self, row: Primitive, nodes: Sequence[Node]) -> int:
        truths = [self._truth(node) for node in nodes]
        if row.arity == 1:
            return self.steps.push(row, *truths)
        return functools.reduce(functools.partial(self.steps.push, row), truths)

    def _truth(self, node: Node) -> int:
        """A condition; of a number whether it is not 0."""
        slot = self.slot_of(node)
        if self.steps.columns.aval_at(slot)[1] == "bool":
            return slot
        return self.steps.push(TABLE["not_equal"], slot, self.steps.number(0.0))

    def _pieces(self, e: Any) -> tuple[Sequence[Any], Build]:
        return [part for arm in e.args for part in arm.args], self._choice

    def _choice(self, *nodes: Node) -> int:
        """The first arm whose condition holds; NaN where none does."""
        arms = list(zip(nodes[::2], nodes[1::2], strict=True))
        if arms[-1][1] is sp.true:
            total = self.slot_of(arms.pop()[0])
        else:
            total = self.steps.number(float("nan"))
        for value, condition in reversed(arms):
            chosen = self._truth(condition), self.slot_of(value), total
            total = self.steps.push(TABLE["where"], *chosen)
        return total

    # -- functions -------------------------------------------------------------

    def _function(self, e: Any) -> tuple[Sequence[Any], Build]:
        row = self.heads.get(e.func)
        if row is not None and isinstance(e, FOLDED):
            return e.args, functools.partial(self.fold, row)
        if row is not None and len(e.args) == row.arity:
            return e.args, functools.partial(self._apply, row, {})
        if isinstance(e, sp.Function):
            found = self._by_name(e)
            if found is not None:
                return found
            if len(e.args) == 2 and e.args[0].is_Integer:
                known = ordered(e.func, int(e.args[0]))
                if known is not None:
                    return e.args[1:], functools.partial(self._apply, *known)
            if not isinstance(e, AppliedUndef):
                return self._rewritten(e)
        raise ParseError(_unknown(e))

    def _by_name(self, e: Any) -> tuple[Sequence[Any], Build] | None:
        name, place = e.func.__name__, type(e).__module__ or ""
        if place.startswith("sympy.codegen."):  # those of C: exp2, hypot, Sqrt
            name = name.lower()
        elif place.startswith("sympy.") and not isinstance(e, AppliedUndef):
            return None  # SymPy's own of a row's name may be another function
        row = by_name(name, len(e.args))
        if row is None:
            return None
        return e.args, functools.partial(self._apply, row, {})

    def _apply(self, row: Primitive, params: Any, *nodes: Node) -> int:
        return self.steps.push(row, *map(self.slot_of, nodes), **params)

    def _rewritten(self, e: Any) -> tuple[Sequence[Any], Build]:
        """A function that has no row, by way of those that have."""
        key = e.func, tuple(x if x.is_Number else None for x in e.args)
        if key not in self._definitions:
            xs = [x if x.is_Number else sp.Dummy("x", real=True) for x in e.args]
            self._definitions[key] = xs, definition(e.func, xs)
        xs, form = self._definitions[key]
        if form is None:
            raise ParseError(_unknown(e))

        def build(*nodes: Node) -> Node:
            given = {
                x: self.slot_of(node)
                for x, node in zip(xs, nodes, strict=True)
                if isinstance(x, sp.Dummy)
            }
            return Lowering(self.steps, given).slot(form)

        return e.args, build


def _same(node: Node) -> Node:
    return node


def _unknown(e: Any) -> str:
    name = e.func.__name__
    if isinstance(e, AppliedUndef):
        count = f"{len(e.args)} argument{'s' if len(e.args) > 1 else ''}"
        return (
            f"unknown function {name!r} of {count}: no row of the "
            f"table has this name; define it with tg.primitive({name!r}, ...), or list "
            f"{name}(...) among the symbols"
        )
    return (
        f"no row of the table stands for SymPy's {name}; evaluate or rewrite it first "
        "(.doit(), .rewrite())"
    )
