"""Rows of products: matmul and einsum, linear in each operand. Floor 1.

Inner, outer, tensordot, kron, trace and products of vectors are made of these and of
data movement.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules import shapes
from tapegrad.rules.movement import unbroadcast
from tapegrad.rules.primitive import Primitive, Sample, row


def swapped(m: Any, x: Any) -> Any:
    """Each matrix of a stack transposed."""
    ndim = len(m.shape(x))
    return m.transpose(x, axes=(*range(ndim - 2), ndim - 1, ndim - 2))


MATMUL = row(
    Primitive(
        "matmul",
        2,
        kind="multilinear",
        lanes="stack",
        symbol="@",
        source="stacks of matrices; linear in each operand",
        numpy=lambda np, a, b: np.matmul(a, b),
        shape=shapes.matmul,
        pull=lambda m, bar, y, a, b: (
            unbroadcast(m, m.matmul(bar, swapped(m, b)), m.shape(a)),
            unbroadcast(m, m.matmul(swapped(m, a), bar), m.shape(b)),
        ),
        samples=(
            Sample(((2, 3), (3, 4))),
            Sample(((5, 2, 3), (3, 1))),
            Sample(((2, 0), (0, 3))),
        ),
    )
)


def _einsum_pull(m: Any, bar: Any, xs: Any, subscripts: str) -> Any:
    """Each operand's adjoint is an einsum of the adjoint and the other operands.

    An index that stands in one operand only has been summed beforehand, so each index
    of an operand stands in the output or in another operand.
    """
    inputs, output = subscripts.split("->")
    names = inputs.split(",")
    out = []
    for j, mine in enumerate(names):
        others = [k for k in range(len(names)) if k != j]
        text = ",".join([output, *(names[k] for k in others)]) + "->" + mine
        out.append(m.einsum(bar, *(xs[k] for k in others), subscripts=text))
    return tuple(out)


EINSUM = row(
    Primitive(
        "einsum",
        -1,
        kind="multilinear",
        symbol="einsum {subscripts}",
        source="a product summed over shared indices; linear in each operand",
        numpy=lambda np, *xs, subscripts: np.einsum(subscripts, *xs),
        shape=shapes.einsum,
        pull=lambda m, bar, y, *xs, subscripts: _einsum_pull(m, bar, xs, subscripts),
        samples=(
            Sample(((2, 3), (3, 4)), {"subscripts": "ij,jk->ik"}),
            Sample(((2, 3), (3,), (2,)), {"subscripts": "ij,j,i->ij"}),
            Sample(((2, 3), (4, 2)), {"subscripts": "ij,ki->kj"}),
        ),
    )
)
