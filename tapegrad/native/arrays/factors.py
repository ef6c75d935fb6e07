"""What is read from factors: determinants, least squares by LAPACK. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.arrays.calling import (
    FAILED,
    Text,
    copy_bytes,
    each,
    letter,
    library,
    moved,
    operand,
    routine,
    stack,
    status_word,
    succeeded,
    whole,
)
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.words import BYTES, DOUBLE, KINDS, SMALL_WHOLE, number
from tapegrad.native.engine import Outside


@routine
def _determinant(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """From LU factors: the product of the diagonal, its logarithm, or its sign."""
    del parts
    lu, pivots = node.args
    count, n, _ = stack(lu)
    kind, which = KINDS[node.dtype], node.params["kind"]
    total = out.scratch(8)
    logarithm = "log" if which == "log" else ""
    if logarithm:
        out.called["log"] = Outside("log", DOUBLE, (DOUBLE,))

    def call(p: list[str]) -> None:
        start = number(0.0 if logarithm else 1.0, DOUBLE)
        out.emit(f"store double {start}, ptr {total}")
        out.loop(n, lambda i: term(i, p))
        found = out.fresh()
        out.emit(f"{found} = load double, ptr {total}")
        if kind != DOUBLE:
            narrow = out.fresh()
            out.emit(f"{narrow} = fptrunc double {found} to {kind}")
            found = narrow
        out.emit(f"store {kind} {found}, ptr {p[2]}")

    def term(i: str, p: list[str]) -> None:
        place, old, entry = out.fresh(), out.fresh(), out.fresh()
        out.emit(f"{place} = mul i64 {i}, {n + 1}")
        at = moved(out, p[0], place, kind)
        out.emit(
            f"{entry} = load {kind}, ptr {at}", f"{old} = load double, ptr {total}"
        )
        if kind != DOUBLE:
            wide = out.fresh()
            out.emit(f"{wide} = fpext {kind} {entry} to double")
            entry = wide
        made = out.fresh()
        if logarithm:
            size, log = out.fresh(), out.fresh()
            out.declare("llvm.fabs.f64", DOUBLE, (DOUBLE,))
            out.emit(
                f"{size} = call double @llvm.fabs.f64(double {entry})",
                f"{log} = call double @log(double {size})",
                f"{made} = fadd double {old}, {log}",
            )
        else:
            if which == "sign":
                entry = _sign(out, entry)
            turned, row, swapped, factor = (out.fresh() for _ in range(4))
            at = moved(out, p[1], i, SMALL_WHOLE)
            one, minus = number(1.0, DOUBLE), number(-1.0, DOUBLE)
            short, next_row = out.fresh(), out.fresh()
            out.emit(
                f"{row} = load i32, ptr {at}",
                f"{short} = trunc i64 {i} to i32",
                f"{next_row} = add i32 {short}, 1",
                f"{swapped} = icmp ne i32 {row}, {next_row}",
                f"{factor} = select i1 {swapped}, double {minus}, double {one}",
                f"{turned} = fmul double {entry}, {factor}",
                f"{made} = fmul double {old}, {turned}",
            )
        out.emit(f"store double {made}, ptr {total}")

    arrays = [
        (operand(out, lu), n * n, kind),
        (operand(out, pivots), n, SMALL_WHOLE),
        (out.pointer(node.number), 1, kind),
    ]
    each(out, count, arrays, call)


def _sign(out: Text, x: str) -> str:
    """-1, 0 or 1, and NaN for NaN."""
    zero, one, minus = (number(v, DOUBLE) for v in (0.0, 1.0, -1.0))
    above, below, first, found = (out.fresh() for _ in range(4))
    out.emit(
        f"{above} = fcmp ogt double {x}, {zero}",
        f"{below} = fcmp olt double {x}, {zero}",
        f"{first} = select i1 {below}, double {minus}, double {x}",
        f"{found} = select i1 {above}, double {one}, double {first}",
    )
    return found


@routine
def _gels(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """Least squares by QR; fails where a column depends on others, but for rounding."""
    del parts
    a = node.args[0]
    count, n, m = stack(a)  # transposed: n columns of m entries
    k, kind = node.shape[-2], KINDS[a.dtype]
    taken, mine = out.scratch(a.size * BYTES[kind]), out.pointer(node.number)
    copy_bytes(out, taken, operand(out, a), a.size * BYTES[kind])
    copy_bytes(out, mine, operand(out, node.args[1]), node.size * BYTES[kind])
    room = n + max(n, k) * 64
    work, info = out.scratch(room * BYTES[kind]), status_word(out)
    ends = out.scratch(16)
    epsilon = 2.0**-52 if kind == DOUBLE else 2.0**-23
    suffix = "f64" if kind == DOUBLE else "f32"

    def diagonal(i: str, p: list[str]) -> None:
        place, entry, size = out.fresh(), out.fresh(), out.fresh()
        out.emit(f"{place} = mul i64 {i}, {m + 1}")
        at = moved(out, p[0], place, kind)
        out.emit(
            f"{entry} = load {kind}, ptr {at}",
            f"{size} = call {kind} @llvm.fabs.{suffix}({kind} {entry})",
        )
        for place_of, word in ((0, "olt"), (1, "ogt")):
            end = moved(out, ends, str(place_of), kind)
            old, better, new = out.fresh(), out.fresh(), out.fresh()
            out.emit(
                f"{old} = load {kind}, ptr {end}",
                f"{better} = fcmp {word} {kind} {size}, {old}",
                f"{new} = select i1 {better}, {kind} {size}, {kind} {old}",
                f"store {kind} {new}, ptr {end}",
            )

    def call(p: list[str]) -> None:
        rows, columns, many = whole(out, m), whole(out, n), whole(out, k)
        args = (letter(out, "N"), rows, columns, many, p[0], rows, p[1], rows)
        library(out, "lapack", "gels", kind, *args, work, whole(out, room), info)
        succeeded(out, info)
        out.declare(f"llvm.fabs.{suffix}", kind, (kind,))
        top = moved(out, ends, "1", kind)
        out.emit(
            f"store {kind} {number(float('inf'), kind)}, ptr {ends}",
            f"store {kind} {number(0.0, kind)}, ptr {top}",
        )
        out.loop(n, lambda i: diagonal(i, p))
        least, most, bound, good = (out.fresh() for _ in range(4))
        factor = number(epsilon * max(m, n), kind)
        out.emit(
            f"{least} = load {kind}, ptr {ends}",
            f"{most} = load {kind}, ptr {top}",
            f"{bound} = fmul {kind} {most}, {factor}",
            f"{good} = fcmp ogt {kind} {least}, {bound}",
        )
        out.leave(good, FAILED)

    each(out, count, [(taken, n * m, kind), (mine, k * m, kind)], call)
