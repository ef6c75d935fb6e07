"""Matrix products and triangular systems, by BLAS. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.arrays.calling import (
    Text,
    copy_bytes,
    each,
    letter,
    library,
    nonzero_diagonal,
    operand,
    real,
    routine,
    stack,
    whole,
)
from tapegrad.native.arrays.costs import layout
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.words import BYTES, KINDS


@routine
def _gemm(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """Row by row as it stands, so the transposed product of the transposed factors."""
    del parts
    a, b = node.args
    count, n, m = stack(node)
    k, kind = a.shape[-1], KINDS[node.dtype]
    (left_turned, left), (right_turned, right) = (
        layout(x, out.plan.views[x]) or (False, 1) for x in (a, b)
    )

    def call(pointers: list[str]) -> None:
        one, two, three = pointers
        library(
            out,
            "blas",
            "gemm",
            kind,
            letter(out, "T" if right_turned else "N"),
            letter(out, "T" if left_turned else "N"),
            *(whole(out, size) for size in (m, n, k)),
            real(out, 1.0, kind),
            two,
            whole(out, right),
            one,
            whole(out, left),
            real(out, 0.0, kind),
            three,
            whole(out, m),
        )

    arrays = [
        (operand(out, a), n * k, kind),
        (operand(out, b), k * m, kind),
        (out.pointer(node.number), n * m, kind),
    ]
    each(out, count, arrays, call)


@routine
def _trsm(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """``a x = b`` is ``x^T a^T = b^T``, and transposed is how both stand."""
    del parts
    a, b = node.args
    count, n, k = stack(node)
    kind, which = KINDS[node.dtype], node.params
    mine, left = out.pointer(node.number), operand(out, a)
    copy_bytes(out, mine, operand(out, b), node.size * BYTES[kind])

    def call(p: list[str]) -> None:
        if not which["unit_diagonal"]:
            nonzero_diagonal(out, p[0], n, kind)
        letters = (
            "R",
            "U" if which["lower"] else "L",
            "T" if which["transposed"] else "N",
            "U" if which["unit_diagonal"] else "N",
        )
        size, many = whole(out, n), whole(out, k)
        one = real(out, 1.0, kind)
        args = (*(letter(out, x) for x in letters), many, size, one)
        library(out, "blas", "trsm", kind, *args, p[0], size, p[1], many)

    each(out, count, [(left, n * n, kind), (mine, n * k, kind)], call)
