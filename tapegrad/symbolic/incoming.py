"""SymPy expressions as tapes. Floor 9; loads SymPy.

    from_sympy(x*sin(y), [x, y])   ->   a tape with the inputs x and y

The tape is what is differentiated, so derivatives do not swell as expressions do, and
take a small multiple of the value's work, however many inputs there are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.matrices.expressions.matexpr import MatrixElement, MatrixSymbol

from tapegrad.errors import ParseError
from tapegrad.passes import prune
from tapegrad.rules import TABLE
from tapegrad.symbolic.lowering import Lowering
from tapegrad.symbolic.steps import Steps
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.tape.tape import Tape

Matrices = (sp.MatrixBase, sp.NDimArray)
_Wholes = (sp.IndexedBase, MatrixSymbol)


def from_sympy(expression: Any, symbols: Any = None) -> Tape:
    """Read a SymPy expression as a tape.

    Args:
        expression: an expression, a ``Matrix`` or ``Array``, an expression in
            ``MatrixSymbol`` terms, or a nesting of these in lists, tuples and dicts. A
            matrix becomes an array output of its shape.
        symbols: what the inputs are, in the order of the tape's arguments, as for
            SymPy's ``lambdify``: symbols, or functions such as ``theta(t)``, or names
            of symbols. A list or tuple among them is an argument that nests so. A
            ``Matrix`` of symbols, a ``MatrixSymbol`` or an ``IndexedBase`` with a
            shape is an array; a ``DeferredVector`` one as long as its last entry that
            occurs. By default, all symbols by name.

    Returns:
        A tape; its inputs are real float64 numbers. It has no example. Equal parts are
        computed once. Where steps make up the closed form of a row of the table, as
        ``log(exp(x) + 1)`` does, that row stands in their place.

    Raises:
        ParseError: a function that no row stands for (by its name), a symbol that is
            not among those given, or a number that is complex.

    Example:
        >>> import sympy as sp, tapegrad as tg
        >>> x, y = sp.symbols("x y")
        >>> tg.from_sympy(x**2 * sp.sin(y), [x, y]).gradient(3.0, 0.0)
        (0.0, 9.0)
    """
    leaves, result = flatten(_plain(expression), _is_leaf)
    forms = [_sympified(leaf) for leaf in [*leaves, *dict(result.statics).values()]]
    symbols = _found(forms) if symbols is None else symbols
    if isinstance(symbols, str):
        symbols = symbols.replace(",", " ").split()
    elif not isinstance(symbols, list | tuple | sp.Tuple):
        symbols = [symbols]
    steps = Steps()
    inputs = _Inputs(steps, forms)
    trees = tuple(inputs.argument(symbol) for symbol in symbols)
    lowering = Lowering(steps, inputs.given)
    outputs = tuple(_output(lowering, form) for form in forms)
    tape = steps.columns.freeze(
        inputs=tuple(inputs.slots),
        outputs=outputs,
        structure=Structure(trees, (), result),
    )
    return prune(tape)


def _is_leaf(value: Any) -> bool:
    return isinstance(value, (sp.Basic, *Matrices, str)) or np.isscalar(value)


def _plain(expression: Any) -> Any:
    """SymPy's own tuples as Python's."""
    if isinstance(expression, sp.Tuple):
        return tuple(map(_plain, expression))
    return expression


def _sympified(leaf: Any) -> Any:
    if isinstance(leaf, str):
        msg = (
            f"{leaf[:40]!r} is text, and text is never evaluated here; use "
            "tg.derive, or build the expression with SymPy"
        )
        raise ParseError(msg)
    try:
        return sp.sympify(leaf, strict=True)
    except sp.SympifyError:
        msg = f"{type(leaf).__name__} is no SymPy expression"
        raise ParseError(msg) from None


def _entries(form: Any) -> list[Any]:
    """The entries of an array in order, or the expression itself."""
    if isinstance(form, Matrices):
        return list(np.array(form.tolist(), dtype=object).ravel())
    return [form]


def _output(lowering: Lowering, form: Any) -> int:
    if not isinstance(form, Matrices):
        return lowering.slot(form)
    slots = [lowering.slot(entry) for entry in _entries(form)]
    return lowering.steps.matrix(slots, tuple(int(size) for size in form.shape))


def _found(forms: Sequence[Any]) -> list[Any]:
    """All symbols of some expressions by name; no recursion, as SymPy has."""
    found: set[Any] = set()
    bound: set[Any] = set()
    seen: set[int] = set()
    waiting = [entry for form in forms for entry in _entries(form)]
    while waiting:
        e = waiting.pop()
        if id(e) in seen:
            continue
        seen.add(id(e))
        if isinstance(e, sp.Sum | sp.Product):
            bound.update(limit[0] for limit in e.limits)
        if isinstance(e, sp.Indexed):
            found.add(e.base)
            waiting.extend(e.indices)
        elif isinstance(e, sp.Symbol | MatrixSymbol):
            found.add(e)
        else:
            waiting.extend(e.args)
    return sorted(found - bound, key=str)


class _Inputs:
    """The inputs of a tape, and what each symbol stands for."""

    def __init__(self, steps: Steps, forms: Sequence[Any]) -> None:
        self.steps = steps
        self.forms = forms
        self.slots: list[int] = []
        self.given: dict[Any, Any] = {}
        self._names: dict[str, list[Any]] | None = None

    def argument(self, symbol: Any) -> Tree:
        """One argument, however it nests."""
        leaves, tree = flatten(_plain(symbol), _is_leaf)
        for leaf in leaves:
            if isinstance(leaf, Matrices):
                self._matrix(leaf)
            elif isinstance(leaf, _Wholes):
                self._whole(leaf)
            elif isinstance(leaf, sp.DeferredVector):
                self._deferred(leaf)
            else:
                self._number(self._named(leaf) if isinstance(leaf, str) else leaf)
        return tree

    def _input(self, label: str, shape: tuple[int, ...] = ()) -> int:
        aval = (shape, "float64")
        slot = self.steps.columns.input(math.nan, aval)
        self.steps.columns.labels[slot] = label
        self.slots.append(slot)
        return slot

    def _named(self, name: str) -> Any:
        """The symbol of a name, with the assumptions that the expression has."""
        if self._names is None:
            self._names = {}
            for symbol in _found(self.forms):
                self._names.setdefault(str(symbol), []).append(symbol)
        found = self._names.get(name, [])
        if len(found) > 1:
            msg = f"there are {len(found)} symbols {name}; give the symbols themselves"
            raise ParseError(msg)
        return found[0] if found else sp.Symbol(name)

    def _know(self, symbol: Any, what: Any) -> None:
        if symbol in self.given:
            msg = f"{symbol} is given twice among the symbols"
            raise ParseError(msg)
        self.given[symbol] = what

    def _number(self, symbol: Any) -> None:
        kinds = (sp.Symbol, AppliedUndef, sp.Indexed, MatrixElement, sp.Derivative)
        if not isinstance(symbol, kinds):
            msg = f"{symbol} is no symbol, so it cannot be an input"
            raise ParseError(msg)
        if symbol.is_Symbol and symbol.is_extended_real is False:
            msg = f"{symbol} is assumed not to be real, and inputs are real numbers"
            raise ParseError(msg)
        self._know(symbol, self._input(str(symbol)))

    def _whole(self, symbol: Any) -> None:
        """A symbol of an array; its entries are read when they occur."""
        shape = symbol.shape
        if shape is None or not all(sp.sympify(size).is_Integer for size in shape):
            msg = (
                f"the shape of {symbol} is not known; write "
                f"{type(symbol).__name__}({str(symbol)!r}, ...) with numbers for it"
            )
            raise ParseError(msg)
        self._know(symbol, self._input(str(symbol), tuple(map(int, shape))))

    def _deferred(self, symbol: Any) -> None:
        """A vector of any length: its entries are the symbols ``X[0]``, ``X[1]``, ...

        It is as long as the last entry that occurs.
        """
        name = re.compile(rf"{re.escape(str(symbol))}\[(\d+)\]")
        found = [(name.fullmatch(str(part)), part) for part in _found(self.forms)]
        entries = {int(match[1]): part for match, part in found if match}
        slot = self._input(str(symbol), (max(entries, default=-1) + 1,))
        for place, entry in entries.items():
            self._know(entry, self._entry(slot, (place,)))

    def _matrix(self, matrix: Any) -> None:
        entries = _entries(matrix)
        if not entries:
            msg = "an empty matrix cannot be an input"
            raise ParseError(msg)
        sizes = tuple(int(size) for size in matrix.shape)
        slot = self._input(f"x{len(self.slots)}", sizes)
        for symbol, place in zip(entries, np.ndindex(sizes), strict=True):
            self._know(symbol, self._entry(slot, place))

    def _entry(self, slot: int, place: tuple[int, ...]) -> Any:
        return lambda: self.steps.push(TABLE["index"], slot, key=place)
