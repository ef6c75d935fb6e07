"""Lanes through products and linear systems. Floor 10.

Lanes are one more axis of a stack of matrices; but where only one side has lanes, they
become rows or columns of one product, which BLAS computes at once.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad.batching.lanes import Lanes, all_aligned, bare, shape_of
from tapegrad.batching.reading import RULES, Batching, lane_by_lane
from tapegrad.rules import Primitive

Params = Mapping[str, Any]


def _matmul(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row, params
    m, (left, right) = b.m, xs
    plain = len(shape_of(left)) == 2 == len(shape_of(right))
    if plain and not isinstance(right, Lanes):
        rows, shared = shape_of(left)
        flat = m.reshape(left.value, shape=(b.size * rows, shared))
        found = m.matmul(flat, right)
        return Lanes(m.reshape(found, shape=(b.size, rows, shape_of(right)[1])))
    if plain and not isinstance(left, Lanes) and shape_of(right)[1] == 1:
        # a matrix and a vector in each lane: the vectors are rows of one matrix
        rows, shared = shape_of(left)
        flat = m.reshape(right.value, shape=(b.size, shared))
        found = m.matmul(flat, m.transpose(left, axes=(1, 0)))
        return Lanes(m.reshape(found, shape=(b.size, rows, 1)))
    return Lanes(m.matmul(*all_aligned(m, xs)))


def _einsum(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Any:
    """One more letter, of the operands that have lanes and of the result."""
    inputs, output = params["subscripts"].split("->")
    free = [x for x in string.ascii_letters if x not in params["subscripts"]]
    if not free:  # all 52 letters have their part already
        return lane_by_lane(b, row, xs, params)
    letter = free[0]
    names = [
        letter + mine if isinstance(x, Lanes) else mine
        for x, mine in zip(xs, inputs.split(","), strict=True)
    ]
    subscripts = f"{','.join(names)}->{letter}{output}"
    return Lanes(b.m.einsum(*map(bare, xs), subscripts=subscripts))


def _system(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    """A matrix that all lanes share is factored once: lanes are its right sides."""
    m, (matrix, right) = b.m, xs
    function = getattr(m, row.name)
    shared = not isinstance(matrix, Lanes) and b.size
    if not shared or len(shape_of(matrix)) != 2 or len(shape_of(right)) != 2:
        return Lanes(function(*all_aligned(m, xs), **params))
    rows, columns = shape_of(right)
    beside = m.transpose(right.value, axes=(1, 0, 2))
    flat = m.reshape(beside, shape=(rows, b.size * columns))
    found = function(matrix, flat, **params)
    parts = m.reshape(found, shape=(shape_of(matrix)[1], b.size, columns))
    return Lanes(m.transpose(parts, axes=(1, 0, 2)))


RULES.update(
    matmul=_matmul,
    einsum=_einsum,
    solve=_system,
    solve_triangular=_system,
    lstsq=_system,
)
