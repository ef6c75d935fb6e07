"""Factorisations, by LAPACK. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.arrays.calling import (
    Text,
    copy_bytes,
    each,
    finite_entries,
    letter,
    library,
    nonzero_diagonal,
    operand,
    part,
    routine,
    stack,
    status_word,
    succeeded,
    whole,
)
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.words import BYTES, KINDS, SMALL_WHOLE


@routine
def _getrf(out: Text, node: Node, parts: Sequence[Node]) -> None:
    a = node.args[0]
    count, n, _ = stack(a)
    kind = KINDS[a.dtype]
    lu = part(out, parts, 0, a.size * BYTES[kind])
    pivots = part(out, parts, 1, count * n * 4)
    copy_bytes(out, lu, operand(out, a), a.size * BYTES[kind])
    info = status_word(out)

    def call(p: list[str]) -> None:
        size = whole(out, n)
        library(out, "lapack", "getrf", kind, size, size, p[0], size, p[1], info)

    each(out, count, [(lu, n * n, kind), (pivots, n, SMALL_WHOLE)], call)


@routine
def _getrs(out: Text, node: Node, parts: Sequence[Node]) -> None:
    del parts
    lu, pivots, b = node.args
    count, k, n = stack(node)
    kind = KINDS[node.dtype]
    mine = out.pointer(node.number)
    copy_bytes(out, mine, operand(out, b), node.size * BYTES[kind])
    info = status_word(out)

    def call(p: list[str]) -> None:
        nonzero_diagonal(out, p[0], n, kind)
        size, many = whole(out, n), whole(out, k)
        # the factors are those of the transpose, as it stands
        turned = letter(out, "N" if node.params["transposed"] else "T")
        args = (turned, size, many, p[0], size, p[1], p[2], size, info)
        library(out, "lapack", "getrs", kind, *args)

    arrays = [
        (operand(out, lu), n * n, kind),
        (operand(out, pivots), n, SMALL_WHOLE),
        (mine, k * n, kind),
    ]
    each(out, count, arrays, call)


@routine
def _getri(out: Text, node: Node, parts: Sequence[Node]) -> None:
    del parts
    lu, pivots = node.args
    count, n, _ = stack(node)
    kind = KINDS[node.dtype]
    mine = out.pointer(node.number)
    copy_bytes(out, mine, operand(out, lu), node.size * BYTES[kind])
    room = 64 * n
    work, info = out.scratch(room * BYTES[kind]), status_word(out)

    def call(p: list[str]) -> None:
        size = whole(out, n)
        args = (size, p[0], size, p[1], work, whole(out, room), info)
        library(out, "lapack", "getri", kind, *args)
        succeeded(out, info)

    arrays = [(mine, n * n, kind), (operand(out, pivots), n, SMALL_WHOLE)]
    each(out, count, arrays, call)


@routine
def _potrf(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """The lower triangle, which is the upper one of the transpose."""
    del parts
    a = node.args[0]
    count, n, _ = stack(a)
    kind = KINDS[a.dtype]
    mine = out.pointer(node.number)
    copy_bytes(out, mine, operand(out, a), a.size * BYTES[kind])
    info = status_word(out)

    def call(p: list[str]) -> None:
        size = whole(out, n)
        args = (letter(out, "U"), size, p[0], size, info)
        library(out, "lapack", "potrf", kind, *args)
        succeeded(out, info)

    each(out, count, [(mine, n * n, kind)], call)


@routine
def _syevd(out: Text, node: Node, parts: Sequence[Node]) -> None:
    a = node.args[0]
    count, n, _ = stack(a)
    kind = KINDS[a.dtype]
    w = part(out, parts, 0, count * n * BYTES[kind])
    v = part(out, parts, 1, a.size * BYTES[kind])
    copy_bytes(out, v, operand(out, a), a.size * BYTES[kind])
    room, whole_room = 1 + 6 * n + 2 * n * n + 64 * n, 3 + 5 * n
    work, whole_work = out.scratch(room * BYTES[kind]), out.scratch(whole_room * 4)
    info = status_word(out)

    def call(p: list[str]) -> None:
        finite_entries(out, p[0], n * n, kind)
        size = whole(out, n)
        args = (letter(out, "V"), letter(out, "L"), size, p[0], size, p[1], work)
        rest = (whole(out, room), whole_work, whole(out, whole_room), info)
        library(out, "lapack", "syevd", kind, *args, *rest)
        succeeded(out, info)

    each(out, count, [(v, n * n, kind), (w, n, kind)], call)


@routine
def _gesdd(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """Singular values only; a matrix and its transpose have the same."""
    del parts
    a = node.args[0]
    count, rows, columns = stack(a)
    kind, least = KINDS[a.dtype], min(rows, columns)
    room = 7 * least + 64 * (rows + columns) + max(rows, columns) + 4 * least * least
    copy = out.scratch(a.size * BYTES[kind])
    copy_bytes(out, copy, operand(out, a), a.size * BYTES[kind])
    work, whole_work = out.scratch(room * BYTES[kind]), out.scratch(8 * least * 4)
    unused, info = out.scratch(8), status_word(out)

    def call(p: list[str]) -> None:
        finite_entries(out, p[0], rows * columns, kind)
        one = whole(out, 1)
        m, n = whole(out, columns), whole(out, rows)
        args = (letter(out, "N"), m, n, p[0], m, p[1], unused, one, unused, one)
        rest = (work, whole(out, room), whole_work, info)
        library(out, "lapack", "gesdd", kind, *args, *rest)
        succeeded(out, info)

    mine = out.pointer(node.number)
    each(out, count, [(copy, rows * columns, kind), (mine, least, kind)], call)
