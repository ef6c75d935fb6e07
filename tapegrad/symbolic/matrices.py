"""SymPy's matrix expressions as steps of whole arrays. Floor 9; loads SymPy.

    A*x + b   ->   v3 = matmul(A, x);  v4 = v3 + b          with MatrixSymbols A, x, b

A matrix stays whole: a product is one matmul, an inverse with something to its right is
a solve, a function that is applied to every entry is one elementwise step. Shapes are
SymPy's, so a vector is a matrix with one column, as for ``lambdify``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from tapegrad.errors import ParseError
from tapegrad.rules import TABLE
from tapegrad.symbolic.arithmetic import Arithmetic, Build

# How many parts an expression needs first, and what is made of their slots.
_Visit = tuple[Sequence[Any], Build]


class MatrixLowering(Arithmetic):
    """The matrix expressions of a `Lowering`."""

    def lowered_by(self, given: Mapping[Any, Any], form: Any) -> int:
        """The slot of a form in symbols that have slots already."""
        raise NotImplementedError

    def matrix_of(self, e: Any) -> _Visit | None:
        """What a matrix expression is made of; None where it is none."""
        if isinstance(e, sp.MatrixBase | sp.NDimArray):
            return self._literal(e)
        name = type(e).__name__
        if name in _VISITS:
            found: _Visit = getattr(self, _VISITS[name])(e)
            return found
        if name in _PLAIN:
            word = _PLAIN[name]
            row = (
                functools.partial(self.steps.push, TABLE[word])
                if (word in TABLE)
                else getattr(self, word)
            )
            return _matrices(e), self._of_slots(row)
        if isinstance(e, sp.MatrixExpr) and not e.is_symbol:
            return self._explicit(e)
        return None

    def _of_slots(self, build: Callable[..., int]) -> Build:
        return lambda *nodes: build(*map(self.slot_of, nodes))

    def _constant(self, array: Any) -> _Visit:
        made = np.array(array, dtype=np.float64)
        made.flags.writeable = False
        return (), lambda: self.steps.columns.constant(made)

    def _filled(self, e: Any) -> _Visit:
        """A matrix of ones, of zeros, or with ones on the diagonal."""
        shape, name = _sizes(e), type(e).__name__
        if name == "Identity":
            return self._constant(np.eye(shape[0]))
        return self._constant(np.full(shape, name == "OneMatrix"))

    def _literal(self, e: Any) -> _Visit:
        """A matrix of entries."""
        entries = list(np.array(e.tolist(), dtype=object).ravel())
        shape = _sizes(e)
        if not entries:
            return self._constant(np.zeros(shape))
        return entries, self._of_slots(
            lambda *slots: self.steps.matrix(slots, shape)  # one for each entry
        )

    def _explicit(self, e: Any) -> _Visit:
        """A matrix that SymPy writes out entry by entry."""
        try:
            return self._literal(e.as_explicit())
        except (ValueError, NotImplementedError, AttributeError, TypeError):
            msg = (
                f"no row of the table stands for SymPy's {type(e).__name__}, and its "
                "entries are not known; write it with matrices of known shape"
            )
            raise ParseError(msg) from None

    # -- arithmetic ------------------------------------------------------------

    def _times(self, e: Any) -> _Visit:
        """Numbers times matrices, an inverse as a solve."""
        number, factors = e.as_coeff_matrices()
        extra = [] if number == 1 else [number]
        solved = [isinstance(factor, sp.Inverse) for factor in factors]
        solved[-1] = False
        children = [
            factor.arg if solve else factor
            for factor, solve in zip(factors, solved, strict=True)
        ]
        shapes = [_sizes(factor) for factor in factors]
        forward = not any(solved) and shapes[0][0] < shapes[-1][1]

        def build(*slots: int) -> int:
            push = self.steps.push
            scale, matrices = slots[: len(extra)], slots[len(extra) :]
            if forward:  # a row at the left: it stays one
                total = functools.reduce(
                    functools.partial(push, TABLE["matmul"]), matrices
                )
            else:
                total = matrices[-1]
                for slot, solve in zip(matrices[-2::-1], solved[-2::-1], strict=True):
                    total = push(TABLE["solve" if solve else "matmul"], slot, total)
            return push(TABLE["mul"], *scale, total) if scale else total

        return [*extra, *children], self._of_slots(build)

    def _plus(self, *slots: int) -> int:
        return functools.reduce(functools.partial(self.steps.push, TABLE["add"]), slots)

    def _entrywise(self, *slots: int) -> int:
        return functools.reduce(functools.partial(self.steps.push, TABLE["mul"]), slots)

    def _power_of_matrix(self, e: Any) -> _Visit:
        base, exponent = e.args
        if not exponent.is_Integer:
            msg = f"the power {e} of a matrix has no whole number as exponent"
            raise ParseError(msg)
        count, size = int(exponent), _sizes(e)[0]
        if count == 0:
            return self._constant(np.eye(size))

        def build(slot: int) -> int:
            push = self.steps.push
            square = push(TABLE["inv"], slot) if count < 0 else slot
            total = square
            for digit in f"{abs(count):b}"[1:]:  # by squares, the highest digit first
                total = push(TABLE["matmul"], total, total)
                if digit == "1":
                    total = push(TABLE["matmul"], total, square)
            return total

        return [base], self._of_slots(build)

    def _entrywise_power(self, e: Any) -> _Visit:
        base, exponent = e.args
        return [base, exponent], self.power_of_nodes

    # -- movement --------------------------------------------------------------

    def _transposed(self, slot: int) -> int:
        return self.steps.push(TABLE["transpose"], slot, axes=(1, 0))

    def _reshaped(self, slot: int, *shape: int) -> int:
        return self.steps.push(TABLE["reshape"], slot, shape=shape)

    def _shape(self, slot: int) -> tuple[int, ...]:
        return self.steps.columns.aval_at(slot)[0]

    def _diagonal(self, slot: int) -> int:
        """The diagonal of a matrix as a vector."""
        rows, columns = self._shape(slot)
        flat = self._reshaped(slot, rows * columns)
        count = min(rows, columns)
        key = ((0, count, columns + 1),)
        return self.steps.push(TABLE["index"], flat, key=key)

    def _diagonal_of(self, slot: int) -> int:
        found = self._diagonal(slot)
        return self._reshaped(found, *self._shape(found), 1)

    def _diagonal_matrix(self, slot: int) -> int:
        """A vector on the diagonal; of a matrix what is on it already."""
        rows, columns = self._shape(slot)
        if 1 in {rows, columns}:
            slot = self._reshaped(slot, rows * columns, 1)
            columns = rows = rows * columns
        unit = np.eye(rows, columns)
        unit.flags.writeable = False
        return self.steps.push(TABLE["mul"], slot, self.steps.columns.constant(unit))

    def _blocks(self, e: Any) -> _Visit:
        rows, columns = e.blockshape

        def build(*slots: int) -> int:
            joined = [
                self.steps.push(
                    TABLE["concatenate"],
                    *slots[row * columns : (row + 1) * columns],
                    axis=1,
                )
                for row in range(rows)
            ]
            return self.steps.push(TABLE["concatenate"], *joined, axis=0)

        return list(e.blocks), self._of_slots(build)

    def _kronecker(self, *slots: int) -> int:
        def two(a: int, b: int) -> int:
            (m, n), (p, q) = self._shape(a), self._shape(b)
            left, right = self._reshaped(a, m, 1, n, 1), self._reshaped(b, 1, p, 1, q)
            whole = self.steps.push(TABLE["mul"], left, right)
            return self._reshaped(whole, m * p, n * q)

        return functools.reduce(two, slots)

    def _slice(self, e: Any) -> _Visit:
        ranges = [range(*map(int, part)) for part in (e.rowslice, e.colslice)]
        key = tuple((part.start, len(part), part.step) for part in ranges)
        return [e.parent], self._of_slots(
            lambda slot: self.steps.push(TABLE["index"], slot, key=key)
        )

    def _entry(self, e: Any) -> _Visit:
        """An entry of an array, at a place of numbers."""
        whole, *indices = e.args
        if isinstance(e, sp.Indexed):
            whole, indices = e.base, list(e.indices)
        if not all(index.is_Integer for index in indices):
            msg = f"{e} is at no known place of {whole}: its indices must be numbers"
            raise ParseError(msg)
        key = tuple(map(int, indices))

        def build(slot: int) -> int:
            shape = self._shape(slot)
            if len(shape) != len(key) or not all(
                -size <= index < size for index, size in zip(key, shape, strict=True)
            ):
                msg = f"{e} is outside {whole}, whose shape is {shape}"
                raise ParseError(msg)
            place = tuple(i % size for i, size in zip(key, shape, strict=True))
            return self.steps.push(TABLE["index"], slot, key=place)

        return [whole], self._of_slots(build)

    # -- reductions and the like -----------------------------------------------

    def _summed(self, slot: int) -> int:
        axes = tuple(range(len(self._shape(slot))))
        return self.steps.push(TABLE["sum"], slot, axes=axes)

    def _trace(self, slot: int) -> int:
        return self._summed(self._diagonal(slot))

    def _dot(self, a: int, b: int) -> int:
        flat = [self._reshaped(slot, math.prod(self._shape(slot))) for slot in (a, b)]
        return self._summed(self.steps.push(TABLE["mul"], *flat))

    def _applied(self, e: Any) -> _Visit:
        """A function of every entry."""
        (symbol,) = e.function.signature
        return [e.expr], self._of_slots(
            lambda slot: self.lowered_by({symbol: slot}, e.function.expr)
        )


def _matrices(e: Any) -> list[Any]:
    return [part for part in e.args if getattr(part, "is_Matrix", True)]


# By the name of SymPy's class. What needs just its parts' slots: a method, or a row.
_PLAIN: Mapping[str, str] = {
    "MatAdd": "_plus",
    "HadamardProduct": "_entrywise",
    "KroneckerProduct": "_kronecker",
    "Transpose": "_transposed",
    "Adjoint": "_transposed",  # of real entries
    "Inverse": "inv",
    "Determinant": "det",
    "MatrixSolve": "solve",
    "Trace": "_trace",
    "DotProduct": "_dot",
    "DiagMatrix": "_diagonal_matrix",
    "DiagonalMatrix": "_diagonal_matrix",
    "DiagonalOf": "_diagonal_of",
}
# ... and what looks at the expression.
_VISITS: Mapping[str, str] = {
    "MatMul": "_times",
    "MatPow": "_power_of_matrix",
    "HadamardPower": "_entrywise_power",
    "ElementwiseApplyFunction": "_applied",
    "BlockMatrix": "_blocks",
    "BlockDiagMatrix": "_blocks",
    "MatrixSlice": "_slice",
    "MatrixElement": "_entry",
    "Indexed": "_entry",
    "Identity": "_filled",
    "ZeroMatrix": "_filled",
    "OneMatrix": "_filled",
}


def _sizes(e: Any) -> tuple[int, ...]:
    """The shape of a matrix, in numbers."""
    if not all(sp.sympify(size).is_Integer for size in e.shape):
        msg = f"{e} has the shape {e.shape}; its sizes must be numbers"
        raise ParseError(msg)
    return tuple(int(size) for size in e.shape)
