"""Sums, products and powers as steps. Floor 9; loads SymPy.

    x - 2*y/z   ->   v3 = 2*y;  v4 = v3/z;  v5 = x - v4

SymPy has neither differences nor quotients: a term with a minus in front is subtracted,
and a factor with a negative exponent goes below the line. Constants stay SymPy's until
a step needs them, so ``sqrt(2)*pi`` is rounded once.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.logic.boolalg import BooleanAtom

from tapegrad.rules import TABLE, Primitive
from tapegrad.symbolic.steps import EXACT, Steps, as_float


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
Node = int | Product | Any
Build = Callable[..., Node]


class Arithmetic:
    """The arithmetic of a `Lowering`.

    Args:
        steps: where the steps go.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def slot_of(self, node: Node) -> int:
        """The slot of a node, made now if it is not there yet."""
        if isinstance(node, int):
            return node
        if isinstance(node, Product):
            return node.itself()
        if isinstance(node, BooleanAtom):
            return self.steps.number(bool(node))
        return self.steps.number(as_float(node))

    def sum_of_nodes(self, *nodes: Node) -> int:
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

    def product_of(self, e: Any) -> tuple[Sequence[Any], Build]:
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

    def _product(self, nodes: Sequence[Node], exponents: Sequence[Any]) -> Node:
        constants: list[Any] = []
        above: list[int] = []
        below: list[int] = []
        for node, exponent in zip(nodes, exponents, strict=True):
            if isinstance(node, sp.Basic):
                constants.append(node if exponent is None else node**-exponent)
            elif exponent is None:
                above.append(self.slot_of(node))
            else:
                below.append(self.steps.power(self.slot_of(node), exponent))
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

    def power_of(self, e: Any) -> tuple[Sequence[Any], Build]:
        """A power; of e it is exp."""
        if e.base is sp.E:
            return [e.exp], lambda x: self.steps.push(TABLE["exp"], self.slot_of(x))
        return [e.base, e.exp], self.power_of_nodes

    def power_of_nodes(self, base: Node, exponent: Node) -> int:
        """A constant exponent is a parameter of the step, never an operand."""
        if isinstance(exponent, sp.Basic):
            return self.steps.power(self.slot_of(base), exponent)
        return self.steps.push(TABLE["pow"], self.slot_of(base), self.slot_of(exponent))

    def fold(self, row: Primitive, *nodes: Node) -> int:
        """A row of two operands, over any number of them."""
        slots = [self.slot_of(node) for node in nodes]
        return functools.reduce(functools.partial(self.steps.push, row), slots)
