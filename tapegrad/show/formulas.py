"""Steps as formulas: the vocabulary read as text. Floor 9.

The text of a rule, read by this reading, is the formula that a trace shows:

    pull of  v2 = v0 @ v1      gives      v2_bar @ v1.T   and   v0.T @ v2_bar

Shapes are known, so that sums over broadcast axes are written where they happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.readings.base import Reading
from tapegrad.rules import TABLE, Primitive, shapes
from tapegrad.rules.shapes import Shape
from tapegrad.show.text import (
    KEYED,
    PLACED,
    SCATTERED,
    key_text,
    keywords,
    number_text,
    place_text,
)

# How tightly a text binds: a comparison, a sum, a product, a sign, a power, a name.
WORD, SUM, PRODUCT, SIGN, POWER, NAME = range(6)
_INFIX = {
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "@", "%"), PRODUCT),
    "**": POWER,
}
# A formula that is longer says less than the name of its rule.
LONGEST = 200


class Formula:
    """The text of an expression with its shape and dtype.

    Args:
        text: the expression; "" for one that has grown too long.
        level: how tightly it binds.
        shape: of its value.
        dtype: of its value.

    Attributes:
        bare: what broadcasting makes this of, where nothing else is done.
        onto: for entries put into zeros, the index and what is put there.
    """

    __slots__ = ("bare", "dtype", "level", "onto", "shape", "text")

    def __init__(
        self, text: str, shape: Shape = (), dtype: str = "float64", level: int = NAME
    ) -> None:
        self.text = text if len(text) <= LONGEST else ""
        self.shape, self.dtype, self.level = shape, dtype, level
        self.bare: Formula | None = None
        self.onto: tuple[str, str] | None = None

    def at(self, level: int) -> str:
        """The text as an operand, in parentheses where it binds less tightly."""
        return self.text if self.level >= level else f"({self.text})"

    def __add__(self, other: Any) -> Any:
        return written(TABLE["add"], [self, other])

    def __radd__(self, other: Any) -> Any:
        return written(TABLE["add"], [other, self])

    def __sub__(self, other: Any) -> Any:
        return written(TABLE["sub"], [self, other])

    def __rsub__(self, other: Any) -> Any:
        return written(TABLE["sub"], [other, self])

    def __mul__(self, other: Any) -> Any:
        return written(TABLE["mul"], [self, other])

    def __rmul__(self, other: Any) -> Any:
        return written(TABLE["mul"], [other, self])

    def __truediv__(self, other: Any) -> Any:
        return written(TABLE["div"], [self, other])

    def __rtruediv__(self, other: Any) -> Any:
        return written(TABLE["div"], [other, self])

    def __neg__(self) -> Any:
        return written(TABLE["neg"], [self])


def as_formula(x: Any) -> Formula:
    """A number of rule text as its text."""
    if isinstance(x, Formula):
        return x
    text = number_text(x)
    return Formula(text, np.shape(x), level=SIGN if text[0] == "-" else NAME)


def written(
    row: Primitive, operands: Sequence[Any], params: Mapping[str, Any] | None = None
) -> Any:
    """A step as text: a Formula, or a tuple for a step of several slots."""
    params = params or {}
    xs = [as_formula(x) for x in operands]
    avals = [(x.shape, x.dtype) for x in xs]
    if row.nested:
        text = f"{row.sign(params)}({', '.join(x.text for x in xs)})"
        given: Any = row.shape
        owned = given(avals, params)
        parts = [f"{text}[{k}]" for k in range(len(owned))] if owned[1:] else [text]
        return tuple(
            Formula(part, *aval) for part, aval in zip(parts, owned, strict=True)
        )
    if row.whole:
        made: Any = row.shape(*avals, **params)  # type: ignore[misc]
    else:
        shape = shapes.broadcast(*(x.shape for x in xs))
        floats = [x.dtype for x in operands if isinstance(x, Formula)]
        made = shape, "bool" if row.kind == "predicate" else floats[-1]
        xs = _unspread(xs, shape)
    text, level = "", NAME
    if all(x.text for x in xs):
        target = made[0] if row.slots == 1 else ()
        text, level = _text(row, xs, params, target)
    if row.slots == 1:
        found = Formula(text, made[0], made[1], level)
        if row.name == "broadcast_to" or (
            row.name == "reshape" and _leading(xs[0].shape, found.shape)
        ):
            found.bare = xs[0].bare or xs[0]
        if row.name in SCATTERED and text:
            key = key_text(params["key"], found.shape, [x.text for x in xs[1:]])
            found.onto = key, xs[0].text
        return found
    parts = [f"{text}[{place}]" if text else "" for place in range(row.slots)]
    return tuple(Formula(part, *aval) for part, aval in zip(parts, made, strict=True))


def _leading(shape: Shape, wider: Shape) -> bool:
    """Whether a reshape only puts axes of one entry before the others."""
    more = len(wider) - len(shape)
    return more >= 0 and wider == (1,) * more + shape


def _unspread(xs: Sequence[Formula], shape: Shape) -> list[Formula]:
    """Operands without a broadcast that the operation makes by itself."""
    found = list(xs)
    for place, x in enumerate(xs):
        if x.bare is not None:
            others = [y.shape for i, y in enumerate(found) if i != place]
            if shapes.broadcast(x.bare.shape, *others) == shape:
                found[place] = x.bare
    return found


def _text(
    row: Primitive, xs: Sequence[Formula], params: Mapping[str, Any], shape: Shape
) -> tuple[str, int]:
    """A step as it would be written, and how tightly that binds."""
    sign = row.sign(params)
    if row.name in PLACED:
        return f"{xs[0].at(NAME)}{place_text(row, params, xs[0].shape)}", NAME
    if row.name in KEYED or row.name in SCATTERED:
        return _indexed(row, xs, params, shape)
    if row.name in _MOVED:
        return _MOVED[row.name](xs[0], params, shape)
    if row.name == "neg":
        return f"-{xs[0].at(PRODUCT)}", min(SIGN, max(xs[0].level, PRODUCT))
    if row.name == "einsum":
        listed = ", ".join(x.text for x in xs)
        return f'einsum("{params["subscripts"]}", {listed})', NAME
    if params and not row.whole and sign.startswith("*"):
        return f"{xs[0].at(NAME)}{sign}", POWER  # **2 follows its operand
    if len(xs) == 2 and (not sign.isidentifier() or sign in {"and", "or"}):
        level = _INFIX.get(sign, WORD)
        # the same sign again, as in a + b + c, needs no parentheses on the left
        left, right = xs[0].at(level + (level in {WORD, POWER})), xs[1].at(level + 1)
        return f"{left} {sign} {right}", level
    names = [x.text for x in xs]
    if row.name == "pack":  # its operands stand back to front
        return f"stack([{', '.join(names[::-1])}])", NAME
    if row.name == "concatenate":
        names = [f"[{', '.join(names)}]"]
    words = keywords(row, params, len(xs[0].shape))
    return f"{sign}({', '.join([*names, *words])})", NAME


def _indexed(
    row: Primitive, xs: Sequence[Formula], params: Mapping[str, Any], shape: Shape
) -> tuple[str, int]:
    arrays = [x.text for x in xs[row.indices :]] if row.indices else []
    if row.name in {"index", "gather"}:
        key = key_text(params["key"], xs[0].shape, arrays)
        return f"{xs[0].at(NAME)}{key}", NAME
    if row.name in SCATTERED:
        key = key_text(params["key"], shape, arrays)
        sign = "+=" if row.name == "scatter_add" else "="
        return f"zeros({shape}) with {key} {sign} {xs[0].text}", WORD
    key = key_text(params["key"], shape, arrays)
    base = f"zeros({shape})" if xs[0].text == "0" else xs[0].at(WORD + 1)
    return f"{base} with {key} = {xs[1].at(WORD + 1)}", WORD


def _reshaped(x: Formula, params: Any, shape: Shape) -> tuple[str, int]:
    """``x[:, None]`` where it only makes axes of one entry."""
    del params
    parts: list[str] = []
    left = list(x.shape)
    for size in shape:
        if left and left[0] == size and (size != 1 or len(left) > 0):
            parts.append(":")
            left.pop(0)
        elif size == 1:
            parts.append("None")
        else:
            break
    if left or len(parts) != len(shape) or "None" not in parts or not x.shape:
        return f"reshape({x.text}, {shape})", NAME
    while parts[-1] == ":":
        parts.pop()
    return f"{x.at(NAME)}[{', '.join(parts)}]", NAME


def _transposed(x: Formula, params: Any, shape: Shape) -> tuple[str, int]:
    del shape
    axes, ndim = tuple(params["axes"]), len(x.shape)
    turned = (*range(ndim - 2), ndim - 1, ndim - 2)
    if axes == turned and ndim >= 2:
        return f"{x.at(NAME)}.{'T' if ndim == 2 else 'mT'}", NAME
    words = keywords(TABLE["transpose"], params, ndim)
    return f"transpose({', '.join([x.text, *words])})", NAME


def _stretched(x: Formula, params: Any, shape: Shape) -> tuple[str, int]:
    del params
    return f"broadcast_to({(x.bare or x).text}, {shape})", NAME


def _converted(x: Formula, params: Any, shape: Shape) -> tuple[str, int]:
    del shape
    return f"astype({x.text}, {params['dtype']})", NAME


_MOVED: Mapping[str, Callable[[Formula, Any, Shape], tuple[str, int]]] = {
    "reshape": _reshaped,
    "transpose": _transposed,
    "broadcast_to": _stretched,
    "astype": _converted,
}


class Formulas(Reading):
    """The vocabulary as text."""

    name = "text"
    symbolic = True

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        """The function that writes a row."""
        own = getattr(type(self), row.name, None)
        if own is not None:
            return own.__get__(self)  # type: ignore[no-any-return]
        return lambda *xs, **params: written(row, xs, params)

    def number(self, value: Any) -> Formula:
        """A number as text."""
        return as_formula(value)

    def const(self, name: str) -> Formula:
        """A named constant by its name."""
        named = {"half": "0.5", "two_over_sqrt_pi": "(2/sqrt(pi))"}
        return Formula(named.get(name, name))

    def like(self, value: int, other: Any) -> Formula:
        """A number that broadcasts to a shape need not be spread."""
        return Formula(str(value), other.shape, other.dtype)

    def logical_or(self, a: Any, b: Any) -> Any:
        """Both arms of one condition are every entry."""
        if f"not({a.text})" == b.text or f"not({b.text})" == a.text:
            return Formula("True", a.shape, "bool")
        return written(TABLE["logical_or"], [a, b])

    def shape(self, x: Any) -> Shape:
        """The shape."""
        return x.shape if isinstance(x, Formula) else ()

    def dtype(self, x: Any) -> str:
        """The dtype."""
        return x.dtype if isinstance(x, Formula) else "float64"

    def count_up(self, shape: Shape) -> Formula:
        """0, 1, 2, ... as an array."""
        size = int(np.prod(shape))
        text = f"arange({size})" if len(shape) == 1 else f"arange({size}, {shape})"
        return Formula(text, shape)


TEXT = Formulas()
