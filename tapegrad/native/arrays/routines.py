"""Routines that take and give whole arrays: BLAS, LAPACK, sorting, running sums. Floor 9.

Each emits the calls for one node. LAPACK counts columns first: a matrix as it stands
here is its transpose there, and the nodes (see ``rows``) are arranged so that little is
moved. Where a routine fails, the kernel returns -2: the interpreter says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.memory import Arena
from tapegrad.native.arrays.plan import Plan, layout
from tapegrad.native.arrays.words import (
    BYTES,
    DOUBLE,
    KINDS,
    SMALL_WHOLE,
    number,
    stored,
)
from tapegrad.native.engine import Outside

FAILED, OUT_OF_BOUNDS = -2, -3


class Text(Protocol):
    """The text that a routine's calls go into."""

    plan: Plan
    arena: Arena
    called: dict[str, Outside]
    globals: dict[str, str]

    def emit(self, *lines: str) -> None:
        """Append instructions."""

    def fresh(self, letter: str = "v") -> str:
        """A new name."""

    def pointer(self, base: int) -> str:
        """The register that points to a stored array."""

    def loop(self, count: int | str, body: Callable[[str], None]) -> None:
        """A loop."""

    def leave(self, good: str, status: int) -> None:
        """Return a status unless a condition holds."""

    def declare(self, name: str, kind: str, takes: Sequence[str]) -> None:
        """A function that is called."""

    def scratch(self, size: int) -> str:
        """Memory for this routine only."""


Routine = Callable[[Text, Node, Sequence[Node]], None]
ROUTINES: dict[str, Routine] = {}


def routine(f: Routine) -> Routine:
    """Register the routine that a call node names."""
    ROUTINES[f.__name__] = f
    return f


# -- words -----------------------------------------------------------------------------


def _whole(out: Text, value: int) -> str:
    name = f"@n{value}" if value >= 0 else f"@m{-value}"
    out.globals[name] = f"{name} = internal constant i32 {value}\n"
    return name


def _letter(out: Text, value: str) -> str:
    name = f"@letter{value}"
    out.globals[name] = f"{name} = internal constant i8 {ord(value)}\n"
    return name


def _real(out: Text, value: float, kind: str) -> str:
    name = f"@r{int(value)}.{kind}"
    out.globals[name] = f"{name} = internal constant {kind} {number(value, kind)}\n"
    return name


def _library(out: Text, library: str, name: str, kind: str, *args: str) -> None:
    """Call a routine of BLAS or LAPACK; all its arguments are pointers."""
    full = f"{library}_{'d' if kind == DOUBLE else 's'}{name}"
    out.called[full] = Outside(full, "void", ("ptr",) * len(args), pure=False)
    out.emit(f"call void @{full}({', '.join(f'ptr {arg}' for arg in args)})")


def _info(out: Text) -> str:
    return out.scratch(4)


def _succeeded(out: Text, info: str) -> None:
    code, good = out.fresh(), out.fresh()
    out.emit(f"{code} = load i32, ptr {info}", f"{good} = icmp eq i32 {code}, 0")
    out.leave(good, FAILED)


def _copy(out: Text, target: str, source: str, size: int) -> None:
    _copy_declared(out)
    out.emit(
        f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, "
        "i1 false)"
    )


def _operand(out: Text, node: Node) -> str:
    """A pointer to the first entry of a stored node or view."""
    view = out.plan.views[node]
    base = out.pointer(view.base.number)
    return _moved(out, base, str(view.offset), KINDS[node.dtype]) if view.offset else base


def _moved(out: Text, pointer: str, by: str, kind: str) -> str:
    made = out.fresh("p")
    out.emit(f"{made} = getelementptr {stored(kind)}, ptr {pointer}, i64 {by}")
    return made


def _each(
    out: Text,
    count: int,
    arrays: Sequence[tuple[str, int, str]],
    body: Callable[[list[str]], None],
) -> None:
    """Run over a stack: each array is a pointer, entries an element, and their type."""
    if count == 1:
        body([pointer for pointer, _, _ in arrays])
        return

    def turn(i: str) -> None:
        found = []
        for pointer, step, kind in arrays:
            by = out.fresh()
            out.emit(f"{by} = mul i64 {i}, {step}")
            found.append(_moved(out, pointer, by, kind))
        body(found)

    out.loop(count, turn)


def _stack(node: Node) -> tuple[int, int, int]:
    """How many matrices, and their rows and columns."""
    n, m = node.shape[-2:]
    return node.size // (n * m), n, m


def _part(out: Text, parts: Sequence[Node], place: int, size: int) -> str:
    """Where a result goes; results that nobody reads go to scratch memory."""
    for part in parts:
        if part.params["place"] == place:
            return out.pointer(part.number)
    return out.scratch(size)


# -- products --------------------------------------------------------------------------


@routine
def gemm(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """Row by row as it stands, so the transposed product of the transposed factors."""
    del parts
    a, b = node.args
    count, n, m = _stack(node)
    k, kind = a.shape[-1], KINDS[node.dtype]
    (left_turned, left), (right_turned, right) = (
        layout(x, out.plan.views[x]) or (False, 1) for x in (a, b)
    )

    def call(pointers: list[str]) -> None:
        one, two, three = pointers
        _library(
            out,
            "blas",
            "gemm",
            kind,
            _letter(out, "T" if right_turned else "N"),
            _letter(out, "T" if left_turned else "N"),
            *(_whole(out, size) for size in (m, n, k)),
            _real(out, 1.0, kind),
            two,
            _whole(out, right),
            one,
            _whole(out, left),
            _real(out, 0.0, kind),
            three,
            _whole(out, m),
        )

    arrays = [
        (_operand(out, a), n * k, kind),
        (_operand(out, b), k * m, kind),
        (out.pointer(node.number), n * m, kind),
    ]
    _each(out, count, arrays, call)


# -- linear algebra --------------------------------------------------------------------


@routine
def getrf(out: Text, node: Node, parts: Sequence[Node]) -> None:
    a = node.args[0]
    count, n, _ = _stack(a)
    kind = KINDS[a.dtype]
    lu = _part(out, parts, 0, a.size * BYTES[kind])
    pivots = _part(out, parts, 1, count * n * 4)
    _copy(out, lu, _operand(out, a), a.size * BYTES[kind])
    info = _info(out)

    def call(p: list[str]) -> None:
        size = _whole(out, n)
        _library(out, "lapack", "getrf", kind, size, size, p[0], size, p[1], info)
        if node.params["strict"]:
            _succeeded(out, info)

    _each(out, count, [(lu, n * n, kind), (pivots, n, SMALL_WHOLE)], call)


@routine
def getrs(out: Text, node: Node, parts: Sequence[Node]) -> None:
    del parts
    lu, pivots, b = node.args
    count, k, n = _stack(node)
    kind = KINDS[node.dtype]
    mine = out.pointer(node.number)
    _copy(out, mine, _operand(out, b), node.size * BYTES[kind])
    info = _info(out)

    def call(p: list[str]) -> None:
        size, many, turned = _whole(out, n), _whole(out, k), _letter(out, "T")
        args = (turned, size, many, p[0], size, p[1], p[2], size, info)
        _library(out, "lapack", "getrs", kind, *args)

    arrays = [
        (_operand(out, lu), n * n, kind),
        (_operand(out, pivots), n, SMALL_WHOLE),
        (mine, k * n, kind),
    ]
    _each(out, count, arrays, call)


@routine
def getri(out: Text, node: Node, parts: Sequence[Node]) -> None:
    del parts
    lu, pivots = node.args
    count, n, _ = _stack(node)
    kind = KINDS[node.dtype]
    mine = out.pointer(node.number)
    _copy(out, mine, _operand(out, lu), node.size * BYTES[kind])
    room = 64 * n
    work, info = out.scratch(room * BYTES[kind]), _info(out)

    def call(p: list[str]) -> None:
        size = _whole(out, n)
        args = (size, p[0], size, p[1], work, _whole(out, room), info)
        _library(out, "lapack", "getri", kind, *args)
        _succeeded(out, info)

    arrays = [(mine, n * n, kind), (_operand(out, pivots), n, SMALL_WHOLE)]
    _each(out, count, arrays, call)


@routine
def determinant(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """From LU factors: the product of the diagonal, its logarithm, or its sign."""
    del parts
    lu, pivots = node.args
    count, n, _ = _stack(lu)
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
        at = _moved(out, p[0], place, kind)
        out.emit(f"{entry} = load {kind}, ptr {at}", f"{old} = load double, ptr {total}")
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
            at = _moved(out, p[1], i, SMALL_WHOLE)
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
        (_operand(out, lu), n * n, kind),
        (_operand(out, pivots), n, SMALL_WHOLE),
        (out.pointer(node.number), 1, kind),
    ]
    _each(out, count, arrays, call)


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
def potrf(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """The lower triangle, which is the upper one of the transpose."""
    del parts
    a = node.args[0]
    count, n, _ = _stack(a)
    kind = KINDS[a.dtype]
    mine = out.pointer(node.number)
    _copy(out, mine, _operand(out, a), a.size * BYTES[kind])
    info = _info(out)

    def call(p: list[str]) -> None:
        size = _whole(out, n)
        args = (_letter(out, "U"), size, p[0], size, info)
        _library(out, "lapack", "potrf", kind, *args)
        _succeeded(out, info)

    _each(out, count, [(mine, n * n, kind)], call)


@routine
def trsm(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """``a x = b`` is ``x^T a^T = b^T``, and transposed is how both stand."""
    del parts
    a, b = node.args
    count, n, k = _stack(node)
    kind, which = KINDS[node.dtype], node.params
    mine, left = out.pointer(node.number), _operand(out, a)
    _copy(out, mine, _operand(out, b), node.size * BYTES[kind])

    def check(i: str, p: list[str]) -> None:
        place, entry, good = out.fresh(), out.fresh(), out.fresh()
        out.emit(f"{place} = mul i64 {i}, {n + 1}")
        at = _moved(out, p[0], place, kind)
        out.emit(
            f"{entry} = load {kind}, ptr {at}",
            f"{good} = fcmp une {kind} {entry}, {number(0.0, kind)}",
        )
        out.leave(good, FAILED)

    def call(p: list[str]) -> None:
        if not which["unit_diagonal"]:
            out.loop(n, lambda i: check(i, p))
        letters = (
            "R",
            "U" if which["lower"] else "L",
            "T" if which["transposed"] else "N",
            "U" if which["unit_diagonal"] else "N",
        )
        size, many = _whole(out, n), _whole(out, k)
        one = _real(out, 1.0, kind)
        args = (*(_letter(out, x) for x in letters), many, size, one)
        _library(out, "blas", "trsm", kind, *args, p[0], size, p[1], many)

    _each(out, count, [(left, n * n, kind), (mine, n * k, kind)], call)


@routine
def syevd(out: Text, node: Node, parts: Sequence[Node]) -> None:
    a = node.args[0]
    count, n, _ = _stack(a)
    kind = KINDS[a.dtype]
    w = _part(out, parts, 0, count * n * BYTES[kind])
    v = _part(out, parts, 1, a.size * BYTES[kind])
    _copy(out, v, _operand(out, a), a.size * BYTES[kind])
    room, whole_room = 1 + 6 * n + 2 * n * n + 64 * n, 3 + 5 * n
    work, whole_work = out.scratch(room * BYTES[kind]), out.scratch(whole_room * 4)
    info = _info(out)

    def call(p: list[str]) -> None:
        size = _whole(out, n)
        args = (_letter(out, "V"), _letter(out, "L"), size, p[0], size, p[1], work)
        rest = (_whole(out, room), whole_work, _whole(out, whole_room), info)
        _library(out, "lapack", "syevd", kind, *args, *rest)
        _succeeded(out, info)

    _each(out, count, [(v, n * n, kind), (w, n, kind)], call)


@routine
def gesdd(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """Singular values only; a matrix and its transpose have the same."""
    del parts
    a = node.args[0]
    count, rows, columns = _stack(a)
    kind, least = KINDS[a.dtype], min(rows, columns)
    room = 7 * least + 64 * (rows + columns) + max(rows, columns) + 4 * least * least
    copy = out.scratch(a.size * BYTES[kind])
    _copy(out, copy, _operand(out, a), a.size * BYTES[kind])
    work, whole_work = out.scratch(room * BYTES[kind]), out.scratch(8 * least * 4)
    unused, info = out.scratch(8), _info(out)

    def call(p: list[str]) -> None:
        one = _whole(out, 1)
        m, n = _whole(out, columns), _whole(out, rows)
        args = (_letter(out, "N"), m, n, p[0], m, p[1], unused, one, unused, one)
        rest = (work, _whole(out, room), whole_work, info)
        _library(out, "lapack", "gesdd", kind, *args, *rest)
        _succeeded(out, info)

    mine = out.pointer(node.number)
    _each(out, count, [(copy, rows * columns, kind), (mine, least, kind)], call)


@routine
def gels(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """Least squares by QR; fails where a column depends on others, but for rounding."""
    del parts
    a = node.args[0]
    count, n, m = _stack(a)  # transposed: n columns of m entries
    k, kind = node.shape[-2], KINDS[a.dtype]
    copy, mine = out.scratch(a.size * BYTES[kind]), out.pointer(node.number)
    _copy(out, copy, _operand(out, a), a.size * BYTES[kind])
    _copy(out, mine, _operand(out, node.args[1]), node.size * BYTES[kind])
    room = n + max(n, k) * 64
    work, info = out.scratch(room * BYTES[kind]), _info(out)
    ends = out.scratch(16)
    epsilon = 2.0**-52 if kind == DOUBLE else 2.0**-23
    suffix = "f64" if kind == DOUBLE else "f32"

    def diagonal(i: str, p: list[str]) -> None:
        place, entry, size = out.fresh(), out.fresh(), out.fresh()
        out.emit(f"{place} = mul i64 {i}, {m + 1}")
        at = _moved(out, p[0], place, kind)
        out.emit(
            f"{entry} = load {kind}, ptr {at}",
            f"{size} = call {kind} @llvm.fabs.{suffix}({kind} {entry})",
        )
        for place_of, word in ((0, "olt"), (1, "ogt")):
            end = _moved(out, ends, str(place_of), kind)
            old, better, new = out.fresh(), out.fresh(), out.fresh()
            out.emit(
                f"{old} = load {kind}, ptr {end}",
                f"{better} = fcmp {word} {kind} {size}, {old}",
                f"{new} = select i1 {better}, {kind} {size}, {kind} {old}",
                f"store {kind} {new}, ptr {end}",
            )

    def call(p: list[str]) -> None:
        rows, columns, many = _whole(out, m), _whole(out, n), _whole(out, k)
        args = (_letter(out, "N"), rows, columns, many, p[0], rows, p[1], rows)
        _library(out, "lapack", "gels", kind, *args, work, _whole(out, room), info)
        _succeeded(out, info)
        out.declare(f"llvm.fabs.{suffix}", kind, (kind,))
        top = _moved(out, ends, "1", kind)
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

    _each(out, count, [(copy, n * m, kind), (mine, k * m, kind)], call)


# -- order and running sums ------------------------------------------------------------


@routine
def cumsum(out: Text, node: Node, parts: Sequence[Node]) -> None:
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
    source, target = _operand(out, x), out.pointer(node.number)

    def block(p: list[str]) -> None:
        _copy(out, p[1], p[0], inner * BYTES[kind])
        out.loop((size - 1) * inner, lambda i: add(i, p))

    def add(i: str, p: list[str]) -> None:
        later, old, new, total = (out.fresh() for _ in range(4))
        out.emit(f"{later} = add i64 {i}, {inner}")
        before = _moved(out, p[1], i, kind)
        here, goes = _moved(out, p[0], later, kind), _moved(out, p[1], later, kind)
        word = "fadd" if kind in {"double", "float"} else "add"
        out.emit(
            f"{old} = load {kind}, ptr {before}",
            f"{new} = load {kind}, ptr {here}",
            f"{total} = {word} {kind} {old}, {new}",
            f"store {kind} {total}, ptr {goes}",
        )

    step = size * inner
    _each(out, outer, [(source, step, kind), (target, step, kind)], block)


@routine
def argmost(out: Text, node: Node, parts: Sequence[Node]) -> None:
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
        here = _moved(out, p[0], i, kind)
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

    arrays = [(_operand(out, x), size, kind), (out.pointer(node.number), 1, "i64")]
    _each(out, node.size, arrays, row)


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
def argsort(out: Text, node: Node, parts: Sequence[Node]) -> None:
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
    _copy_declared(out)

    def row(p: list[str]) -> None:
        args = f"ptr {p[0]}, ptr {p[1]}, ptr {other}, i64 {size}"
        out.emit(f"call void @sort.{kind}({args})")

    arrays = [(_operand(out, x), size, kind), (out.pointer(node.number), size, "i64")]
    _each(out, node.size // size, arrays, row)


def _copy_declared(out: Text) -> None:
    name = "llvm.memcpy.p0.p0.i64"
    out.called[name] = Outside(name, "void", ("ptr", "ptr", "i64", "i1"), pure=False)


def bounds(out: Text, node: Node) -> None:
    """Integers that are used as places must be places."""
    x, size = node.args[0], node.params["size"]
    if not x.size:
        return
    kind, source = KINDS[x.dtype], _operand(out, x)

    def look(i: str) -> None:
        entry, low, high, good = (out.fresh() for _ in range(4))
        at = _moved(out, source, i, kind)
        out.emit(
            f"{entry} = load {kind}, ptr {at}",
            f"{low} = icmp sge {kind} {entry}, {-size}",
            f"{high} = icmp slt {kind} {entry}, {size}",
            f"{good} = and i1 {low}, {high}",
        )
        out.leave(good, OUT_OF_BOUNDS)

    out.loop(x.size, look)
