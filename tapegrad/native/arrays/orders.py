"""Sorting, places of extremes, running sums, places from outside. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.arrays.calling import (
    OUT_OF_BOUNDS,
    Text,
    copy_bytes,
    copy_declared,
    each,
    moved,
    operand,
    routine,
)
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.words import BYTES, KINDS, stored


@routine
def _cumsum(out: Text, node: Node, parts: Sequence[Node]) -> None:
    del parts
    x = node.args[0]
    axis, kind = node.params["axis"], KINDS[node.dtype]
    if not node.size:
        return
    size = node.shape[axis]
    inner = 1
    for extent in node.shape[axis + 1 :]:
        inner *= extent
    outer = node.size // (size * inner)
    source, target = operand(out, x), out.pointer(node.number)

    def block(p: list[str]) -> None:
        copy_bytes(out, p[1], p[0], inner * BYTES[kind])
        out.loop((size - 1) * inner, lambda i: add(i, p))

    def add(i: str, p: list[str]) -> None:
        later, old, new, total = (out.fresh() for _ in range(4))
        out.emit(f"{later} = add i64 {i}, {inner}")
        before = moved(out, p[1], i, kind)
        here, goes = moved(out, p[0], later, kind), moved(out, p[1], later, kind)
        word = "fadd" if kind in {"double", "float"} else "add"
        out.emit(
            f"{old} = load {kind}, ptr {before}",
            f"{new} = load {kind}, ptr {here}",
            f"{total} = {word} {kind} {old}, {new}",
            f"store {kind} {total}, ptr {goes}",
        )

    step = size * inner
    each(out, outer, [(source, step, kind), (target, step, kind)], block)


@routine
def _argmost(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """The first place of the largest (or smallest) entry; a NaN counts as that."""
    del parts
    x = node.args[0]
    size, kind = x.shape[-1], KINDS[x.dtype]
    if not node.size:
        return
    best = out.scratch(8)
    word = "ogt" if node.params["most"] else "olt"

    def row(p: list[str]) -> None:
        first = out.fresh()
        out.emit(
            f"{first} = load {kind}, ptr {p[0]}",
            f"store {kind} {first}, ptr {best}",
            f"store i64 0, ptr {p[1]}",
        )
        out.loop(size, lambda i: look(i, p))

    def look(i: str, p: list[str]) -> None:
        here = moved(out, p[0], i, kind)
        entry, old, better, nan, known, news, take = (out.fresh() for _ in range(7))
        value, place, at = out.fresh(), out.fresh(), out.fresh()
        out.emit(
            f"{entry} = load {kind}, ptr {here}",
            f"{old} = load {kind}, ptr {best}",
            f"{better} = fcmp {word} {kind} {entry}, {old}",
            f"{nan} = fcmp uno {kind} {entry}, {entry}",
            f"{known} = fcmp ord {kind} {old}, {old}",
            f"{news} = and i1 {nan}, {known}",
            f"{take} = or i1 {better}, {news}",
            f"{value} = select i1 {take}, {kind} {entry}, {kind} {old}",
            f"store {kind} {value}, ptr {best}",
            f"{at} = load i64, ptr {p[1]}",
            f"{place} = select i1 {take}, i64 {i}, i64 {at}",
            f"store i64 {place}, ptr {p[1]}",
        )

    arrays = [(operand(out, x), size, kind), (out.pointer(node.number), 1, "i64")]
    each(out, node.size, arrays, row)


# Runs of doubling length are merged from one array of places into the other and back.
# An entry of the right run goes first only if it is less, so equal ones keep their
# order; a NaN is greater than every number.
SORT = """\
define internal void @sort.{kind}(ptr %x, ptr %to, ptr %other, i64 %n) noinline {{
entry:
  br label %count
count:
  %c = phi i64 [ 0, %entry ], [ %c2, %counted ]
  %cm = icmp slt i64 %c, %n
  br i1 %cm, label %counted, label %passes
counted:
  %ca = getelementptr i64, ptr %to, i64 %c
  store i64 %c, ptr %ca
  %c2 = add i64 %c, 1
  br label %count
passes:
  %w = phi i64 [ 1, %count ], [ %w2, %passed ]
  %from = phi ptr [ %to, %count ], [ %into, %passed ]
  %into = phi ptr [ %other, %count ], [ %from, %passed ]
  %wm = icmp slt i64 %w, %n
  br i1 %wm, label %runs, label %finish
runs:
  %s = phi i64 [ 0, %passes ], [ %end, %run.done ]
  %sm = icmp slt i64 %s, %n
  br i1 %sm, label %run, label %passed
run:
  %mid0 = add i64 %s, %w
  %midc = icmp slt i64 %mid0, %n
  %mid = select i1 %midc, i64 %mid0, i64 %n
  %end0 = add i64 %mid, %w
  %endc = icmp slt i64 %end0, %n
  %end = select i1 %endc, i64 %end0, i64 %n
  br label %merge
merge:
  %k = phi i64 [ %s, %run ], [ %k2, %put ]
  %i = phi i64 [ %s, %run ], [ %i2, %put ]
  %j = phi i64 [ %mid, %run ], [ %j2, %put ]
  %km = icmp slt i64 %k, %end
  br i1 %km, label %choose, label %run.done
choose:
  %il = icmp slt i64 %i, %mid
  %jl = icmp slt i64 %j, %end
  %both = and i1 %il, %jl
  br i1 %both, label %compare, label %put
compare:
  %ia = getelementptr i64, ptr %from, i64 %i
  %ip = load i64, ptr %ia
  %ja = getelementptr i64, ptr %from, i64 %j
  %jp = load i64, ptr %ja
  %xa = getelementptr {kind}, ptr %x, i64 %ip
  %xv = load {kind}, ptr %xa
  %ya = getelementptr {kind}, ptr %x, i64 %jp
  %yv = load {kind}, ptr %ya
  %less = {compare} {kind} %yv, %xv
  {nans}
  br label %put
put:
  %right = phi i1 [ %jl, %choose ], [ %right.first, %compare ]
  %left.gone = xor i1 %il, true
  %alone = and i1 %jl, %left.gone
  %take.right = select i1 %both, i1 %right, i1 %alone
  %place = select i1 %take.right, i64 %j, i64 %i
  %ea = getelementptr i64, ptr %from, i64 %place
  %e = load i64, ptr %ea
  %ka = getelementptr i64, ptr %into, i64 %k
  store i64 %e, ptr %ka
  %step.right = zext i1 %take.right to i64
  %step.left = xor i64 %step.right, 1
  %i2 = add i64 %i, %step.left
  %j2 = add i64 %j, %step.right
  %k2 = add i64 %k, 1
  br label %merge
run.done:
  br label %runs
passed:
  %w2 = shl i64 %w, 1
  br label %passes
finish:
  %home = icmp eq ptr %from, %to
  br i1 %home, label %done, label %copy
copy:
  %bytes = shl i64 %n, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  br label %done
done:
  ret void
}}
"""
NANS = """\
%ynum = fcmp ord {kind} %yv, %yv
  %xnan = fcmp uno {kind} %xv, %xv
  %tail = and i1 %ynum, %xnan
  %right.first = or i1 %less, %tail"""


@routine
def _argsort(out: Text, node: Node, parts: Sequence[Node]) -> None:
    del parts
    x = node.args[0]
    if not node.size:
        return
    size, kind = x.shape[-1], KINDS[x.dtype]
    real = kind in {"double", "float"}
    out.globals[f"@sort.{kind}"] = SORT.format(
        kind=stored(kind),
        compare="fcmp olt" if real else "icmp slt" if kind != "i1" else "icmp ult",
        nans=NANS.format(kind=kind) if real else "%right.first = or i1 %less, false",
    )
    other = out.scratch(size * 8)
    copy_declared(out)

    def row(p: list[str]) -> None:
        args = f"ptr {p[0]}, ptr {p[1]}, ptr {other}, i64 {size}"
        out.emit(f"call void @sort.{kind}({args})")

    arrays = [(operand(out, x), size, kind), (out.pointer(node.number), size, "i64")]
    each(out, node.size // size, arrays, row)


def bounds(out: Text, node: Node) -> None:
    """Integers that are used as places must be places."""
    x, size = node.args[0], node.params["size"]
    if not x.size:
        return
    kind = KINDS[x.dtype]

    def check(entry: str) -> None:
        low, high, good = (out.fresh() for _ in range(3))
        out.emit(
            f"{low} = icmp sge {kind} {entry}, {-size}",
            f"{high} = icmp slt {kind} {entry}, {size}",
            f"{good} = and i1 {low}, {high}",
        )
        out.leave(good, OUT_OF_BOUNDS)

    def look(i: str) -> None:
        entry = out.fresh()
        out.emit(f"{entry} = load {kind}, ptr {moved(out, source, i, kind)}")
        check(entry)

    name = out.register(x)
    if name is not None:
        check(name)
        return
    source = operand(out, x)
    out.loop(x.size, look)
