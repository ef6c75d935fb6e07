"""SymPy expressions to steps of a tape, without recursion. Floor 9; loads SymPy.

    x*sin(y)/2   ->   v2 = sin(y);  v3 = x*v2;  v4 = v3/2

The expression is walked with an explicit list, children before parents, and each of
its objects is visited once. Constants stay SymPy's until a step needs them, so
``sqrt(2)*pi`` is rounded once.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom, BooleanFunction, to_nnf

from tapegrad.errors import ParseError
from tapegrad.rules import TABLE, Primitive
from tapegrad.symbolic.heads import FOLDED, by_name, definition, heads, ordered
from tapegrad.symbolic.steps import EXACT, Steps, as_float

# Terms of a sum over a range, written out.
MAX_TERMS = 1_000_000


@dataclass(frozen=True, slots=True)
class Product:
    """A product with a negative number in front: subtracted, it needs no sign.

    Attributes:
        positive: makes the product without its sign.
        itself: makes the product.
    """

    positive: Callable[[], int]
    itself: Callable[[], int]


# What a part of an expression has become: a slot, or a constant expression as it was.
_Node = int | Product | Any
_Build = Callable[..., _Node]


class Lowering:
    """One walk over expressions that share their parts.

    Args:
        steps: where the steps go.
        given: for each symbol its slot; or what makes the slot.
    """

    def __init__(self, steps: Steps, given: Mapping[Any, Any]) -> None:
        self.steps = steps
        self.given = given
        self.kinds = {type(symbol) for symbol in given}
        self.heads = heads()
        # by identity, with the object, lest another one gets its address
        self._memo: dict[int, tuple[Any, _Node]] = {}
        self._definitions: dict[Any, tuple[list[Any], Any]] = {}

    def slot(self, expression: Any) -> int:
        """The slot of an expression."""
        return self._slot(self._walk(expression, self._memo))

    def _walk(self, root: Any, memo: dict[int, tuple[Any, _Node]]) -> _Node:
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
            constant = bool(nodes) and all(isinstance(node, sp.Basic) for node in nodes)
            node = expression if constant else build(*nodes)
            memo[id(expression)] = expression, node
        return memo[id(root)][1]

    def _slot(self, node: _Node) -> int:
        """The slot of a node, made now if it is not there yet."""
        if isinstance(node, int):
            return node
        if isinstance(node, Product):
            return node.itself()
        if isinstance(node, BooleanAtom):
            return self.steps.number(bool(node))
        return self.steps.number(as_float(node))

    # -- one expression --------------------------------------------------------

    def _visit(self, e: Any) -> tuple[Sequence[Any], _Build]:
        """The parts that an expression needs first, and what it is made of them."""
        if type(e) in self.kinds and e in self.given:
            return (), functools.partial(self._symbol, e)
        if isinstance(e, BooleanAtom | sp.CRootOf) or (not e.args and e.is_number):
            if e is sp.zoo:
                msg = "the expression holds a complex infinity, such as 1/0"
                raise ParseError(msg)
            return (), lambda: e
        if e.is_Add:
            return e.args, self._sum
        if e.is_Mul:
            return self._product_of(e)
        if e.is_Pow:
            return self._power_of(e)
        if isinstance(e, Boolean) and not e.is_Symbol:
            return self._condition(e)
        if isinstance(e, sp.Piecewise):
            return self._pieces(e)
        found = self._special(e)
        return found if found is not None else self._function(e)

    def _symbol(self, symbol: Any) -> int:
        found = self.given[symbol]
        return found if isinstance(found, int) else found()

    def _special(self, e: Any) -> tuple[Sequence[Any], _Build] | None:
        """What is neither arithmetic nor a function; None for functions."""
        if e.is_Symbol or isinstance(e, sp.Indexed) or type(e).__name__ in _ENTRIES:
            raise ParseError(self._missing(e))
        if isinstance(e, sp.UnevaluatedExpr | sp.re | sp.conjugate):
            return e.args[:1], _same  # inputs are real
        if isinstance(e, sp.im):
            return (), lambda: sp.Integer(0)
        if isinstance(e, sp.Sum | sp.Product):
            terms = _terms(e)
            name = "add" if isinstance(e, sp.Sum) else "mul"
            if not terms:
                return (), lambda: sp.Integer(name == "mul")
            return terms, functools.partial(self._fold, TABLE[name])
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

    # -- arithmetic ------------------------------------------------------------

    def _sum(self, *nodes: _Node) -> int:
        """Positive terms, a constant, then what is subtracted."""
        constants = [node for node in nodes if isinstance(node, sp.Basic)]
        plus = [node for node in nodes if isinstance(node, int)]
        minus = [node for node in nodes if isinstance(node, Product)]
        constant = sp.Add(*constants) if constants else sp.Integer(0)
        value = 0.0 if constant == 0 else as_float(constant)
        add, sub = TABLE["add"], TABLE["sub"]
        push = self.steps.push
        if plus:
            total = functools.reduce(functools.partial(push, add), plus)
            if value > 0 or value != value:  # noqa: PLR0124 - NaN
                total = push(add, total, self.steps.number(value))
        elif value > 0:
            total = self.steps.number(value)
        else:
            total, minus = minus[0].itself(), minus[1:]
        for term in minus:
            total = push(sub, total, term.positive())
        return push(sub, total, self.steps.number(-value)) if value < 0 else total

    def _product_of(self, e: Any) -> tuple[Sequence[Any], _Build]:
        """Powers with a negative exponent go below the line."""
        children: list[Any] = []
        exponents: list[Any] = []
        for factor in e.args:
            below = factor.is_Pow and factor.exp.is_Rational and factor.exp < 0
            if below and factor.base is not sp.E:
                children.append(factor.base)
                exponents.append(-factor.exp)
            else:
                children.append(factor)
                exponents.append(None)
        return children, lambda *nodes: self._product(nodes, exponents)

    def _product(self, nodes: Sequence[_Node], exponents: Sequence[Any]) -> _Node:
        constants: list[Any] = []
        above: list[int] = []
        below: list[int] = []
        for node, exponent in zip(nodes, exponents, strict=True):
            if isinstance(node, sp.Basic):
                constants.append(node if exponent is None else node**-exponent)
            elif exponent is None:
                above.append(self._slot(node))
            else:
                below.append(self.steps.power(self._slot(node), exponent))
        constant = functools.reduce(operator.mul, constants, sp.Integer(1))
        if not constant.is_Rational or max(abs(constant.p), constant.q) > EXACT:
            constant = as_float(constant)
        negative = bool(constant < 0)
        if not negative:
            return self._quotient(constant, above, below)

        def itself() -> int:
            if constant.__class__ is not float and constant.p == -1:
                return self.steps.push(TABLE["neg"], positive())
            return self._quotient(constant, above, below)

        def positive() -> int:
            return self._quotient(-constant, above, below)

        return Product(positive, itself)

    def _quotient(
        self, constant: Any, above: Sequence[int], below: Sequence[int]
    ) -> int:
        """A number times factors, over others."""
        top, bottom = list(above), list(below)
        over, under = (
            (constant, 1) if isinstance(constant, float) else (constant.p, constant.q)
        )
        mul = functools.partial(self.steps.push, TABLE["mul"])
        if under != 1:
            bottom.insert(0, self.steps.number(float(under)))
        if over != 1 or not (top or bottom):
            top.insert(0, self.steps.number(float(over)))
        if not bottom:
            return functools.reduce(mul, top)
        divisor = functools.reduce(mul, bottom)
        if not top:
            return self.steps.push(TABLE["reciprocal"], divisor)
        return self.steps.push(TABLE["div"], functools.reduce(mul, top), divisor)

    def _power_of(self, e: Any) -> tuple[Sequence[Any], _Build]:
        if e.base is sp.E:
            return [e.exp], lambda x: self.steps.push(TABLE["exp"], self._slot(x))
        return [e.base, e.exp], self._power

    def _power(self, base: _Node, exponent: _Node) -> int:
        if isinstance(exponent, sp.Basic):
            return self.steps.power(self._slot(base), exponent)
        return self.steps.push(TABLE["pow"], self._slot(base), self._slot(exponent))

    def _fold(self, row: Primitive, *nodes: _Node) -> int:
        slots = [self._slot(node) for node in nodes]
        return functools.reduce(functools.partial(self.steps.push, row), slots)

    # -- conditions ------------------------------------------------------------

    def _condition(self, e: Any) -> tuple[Sequence[Any], _Build]:
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
            return e.args, functools.partial(self._fold, row)
        return e.args, lambda *nodes: self._logic(row, nodes)

    def _logic(self, row: Primitive, nodes: Sequence[_Node]) -> int:
        truths = [self._truth(node) for node in nodes]
        if row.arity == 1:
            return self.steps.push(row, *truths)
        return functools.reduce(functools.partial(self.steps.push, row), truths)

    def _truth(self, node: _Node) -> int:
        """A condition; of a number whether it is not 0."""
        slot = self._slot(node)
        if self.steps.columns.aval_at(slot)[1] == "bool":
            return slot
        return self.steps.push(TABLE["not_equal"], slot, self.steps.number(0.0))

    def _pieces(self, e: Any) -> tuple[Sequence[Any], _Build]:
        return [part for arm in e.args for part in arm.args], self._choice

    def _choice(self, *nodes: _Node) -> int:
        """The first arm whose condition holds; NaN where none does."""
        arms = list(zip(nodes[::2], nodes[1::2], strict=True))
        if arms[-1][1] is sp.true:
            total = self._slot(arms.pop()[0])
        else:
            total = self.steps.number(float("nan"))
        for value, condition in reversed(arms):
            chosen = self._truth(condition), self._slot(value), total
            total = self.steps.push(TABLE["where"], *chosen)
        return total

    # -- functions -------------------------------------------------------------

    def _function(self, e: Any) -> tuple[Sequence[Any], _Build]:
        row = self.heads.get(e.func)
        if row is not None and isinstance(e, FOLDED):
            return e.args, functools.partial(self._fold, row)
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

    def _by_name(self, e: Any) -> tuple[Sequence[Any], _Build] | None:
        own = (type(e).__module__ or "").startswith("sympy.")
        if own and not isinstance(e, AppliedUndef):
            return None  # SymPy's own of a row's name may be another function
        row = by_name(e.func.__name__, len(e.args))
        if row is None:
            return None
        return e.args, functools.partial(self._apply, row, {})

    def _apply(self, row: Primitive, params: Any, *nodes: _Node) -> int:
        return self.steps.push(row, *map(self._slot, nodes), **params)

    def _rewritten(self, e: Any) -> tuple[Sequence[Any], _Build]:
        """A function that has no row, by way of those that have."""
        key = e.func, tuple(x if x.is_Number else None for x in e.args)
        if key not in self._definitions:
            xs = [x if x.is_Number else sp.Dummy("x", real=True) for x in e.args]
            self._definitions[key] = xs, definition(e.func, xs)
        xs, form = self._definitions[key]
        if form is None:
            raise ParseError(_unknown(e))

        def build(*nodes: _Node) -> _Node:
            inner = Lowering(
                self.steps,
                {
                    x: self._slot(node)
                    for x, node in zip(xs, nodes, strict=True)
                    if isinstance(x, sp.Dummy)
                },
            )
            return inner.slot(form)

        return e.args, build


_ENTRIES = frozenset({"MatrixElement", "IndexedBase", "MatrixSymbol"})


def _same(node: _Node) -> _Node:
    return node


def _terms(e: Any) -> list[Any]:
    """The terms of a sum, or the factors of a product, over a range of numbers."""
    *inner, (index, low, high) = e.limits
    if not (low.is_Integer and high.is_Integer):
        msg = (
            f"{e.func.__name__} over {index} from {low} to {high}: the bounds must be "
            "whole numbers; put numbers in, or evaluate it with .doit()"
        )
        raise ParseError(msg)
    if high < low - 1:
        msg = f"{e.func.__name__} over {index} from {low} to {high} runs backwards"
        raise ParseError(msg)
    if high - low >= MAX_TERMS:
        msg = f"{e.func.__name__} over {index} has more than {MAX_TERMS:,} terms"
        raise ParseError(msg)
    terms = []
    for value in range(int(low), int(high) + 1):
        here = {index: sp.Integer(value)}
        body = e.function.xreplace(here)
        limits = [limit.xreplace(here) for limit in inner]
        terms.append(e.func(body, *limits) if limits else body)
    return terms


def _unknown(e: Any) -> str:
    name = e.func.__name__
    if isinstance(e, AppliedUndef):
        return (
            f"unknown function {name!r} of {len(e.args)} arguments: no row of the "
            f"table has this name; define it, or list {name}(...) among the symbols"
        )
    return (
        f"no row of the table stands for SymPy's {name}; evaluate or rewrite it first "
        "(.doit(), .rewrite())"
    )
