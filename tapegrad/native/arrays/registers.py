"""Operations as instructions, each at the outermost loop it depends on. Floor 9."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tapegrad.native.arrays.entries import Entries, Linear, Operation
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.words import TRUTH, WHOLE, converted, number, stored


class Writer(Protocol):
    """The function that the text goes into."""

    def fresh(self, letter: str = "v") -> str:
        """A new name."""

    def pointer(self, base: int) -> str:
        """The register that points to a stored array."""

    def form(
        self,
        name: str,
        kinds: Sequence[str],
        params: object,
        gives: str,
        *,
        loops: bool,
    ) -> str:
        """The template of a row at one entry."""

    def parallel(self, parts: int) -> tuple[str, str]:
        """New marks: of loads and stores, and of the loop they are independent in.

        The loop runs in so many parts at a time; 0 is for one of few turns, of which
        no vectors are made.
        """

    def declare(self, name: str, kind: str, takes: Sequence[str]) -> None:
        """A function that is called."""

    def extent(self, size: int) -> str:
        """The turns of a loop over so many entries: a literal, or a register."""


@dataclass(frozen=True, slots=True)
class Strip:
    """The rows that nests run over at a time, one of a group's strips.

    Args:
        first: the register of the first row.
        count: the register of how many there are.
        most: how many there are in all strips but the last.
        inner: numbers of nodes whose buffers hold the rows of this strip only.
        cells: addresses of numbers that all strips reduce to.
        few: whether it is the short one that is left at the end.
    """

    first: str
    count: str
    most: int
    inner: Container[int]
    cells: Mapping[Node, str]
    few: bool = False


@dataclass(slots=True)
class Registers:
    """The registers of a loop nest's operations.

    Args:
        entries: the operations.
        out: the function that the text goes into.
        strip: the rows that it runs over, where these are not all.
    """

    entries: Entries
    out: Writer
    strip: Strip | None = None
    _extents: list[int] = field(default_factory=list)
    _loops: list[tuple[int, int]] = field(default_factory=list)
    _lines: list[list[str]] = field(default_factory=list)
    _named: dict[int, tuple[str, int]] = field(default_factory=dict)
    _addresses: dict[tuple[str, int, int], str] = field(default_factory=dict)
    _counters: list[str] = field(default_factory=list)
    _mark: str = ""

    def _steps(self, place: Linear) -> list[int]:
        """The steps of the loops that are left; the first is of no loop."""
        return [0, *(place.steps[axis] * times for axis, times in self._loops)]

    # -- values ----------------------------------------------------------------

    def _value(self, number_of: int) -> tuple[str, int]:
        """The register of an operation, and the loop that it stands in."""
        for place in range(len(self._named), number_of + 1):
            self._named[place] = self._made(self.entries.operations[place])
        return self._named[number_of]

    def _made(self, op: Operation) -> tuple[str, int]:
        if op.what in {"number", "register"}:
            return op.extra, 0
        args = [self._named[arg] for arg in op.args]
        level = max((at for _, at in args), default=0)
        makers: dict[str, Callable[..., tuple[str, int]]] = {
            "map": self._map,
            "cast": self._cast,
            "load": self._load,
            "keep": self._keep,
            "pick": self._pick,
        }
        return makers[op.what](op, [name for name, _ in args], level)

    def _map(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        kinds = [self.entries.operations[arg].kind for arg in op.args]
        name, params = op.extra
        made = self.out.fresh()
        form = self.out.form(name, kinds, params, op.kind, loops=level > 0)
        self._lines[level].append(form.format(made[2:], *args).rstrip("\n"))
        return made, level

    def _cast(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        have = self.entries.operations[op.args[0]].kind
        text = converted(args[0], have, op.kind)
        if "@llvm.fptosi" in text:
            self.out.declare(text.split("@")[1].split("(")[0], op.kind, (have,))
        made = self.out.fresh()
        self._lines[level].append(f"{made} = {text}")
        return made, level

    def _load(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        del args, level
        assert op.place is not None  # noqa: S101 - a load has one
        steps = self._steps(op.place)
        level = max((at for at, step in enumerate(steps) if step), default=0)
        lines = self._lines[level]
        address = self._address(op.extra, op.place, op.kind, level, lines)
        return self._loaded(address, op.kind, level, lines), level

    def _loaded(self, address: str, kind: str, level: int, lines: list[str]) -> str:
        made = self.out.fresh()
        mark = self._mark if level == len(self._extents) else ""
        lines.append(f"{made} = load {stored(kind)}, ptr {address}{mark}")
        if kind != TRUTH:
            return made
        truth = self.out.fresh()
        lines.append(f"{truth} = icmp ne i8 {made}, 0")
        return truth

    def _keep(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        assert op.place is not None  # noqa: S101
        steps = self._steps(op.place)
        level = max(level, *(at for at, step in enumerate(steps) if step), 0)
        lines = self._lines[level]
        total = str(op.place.constant)
        for at, step in enumerate(steps):
            if step:
                part, whole = self.out.fresh(), self.out.fresh()
                lines.append(f"{part} = mul i64 {self._counters[at]}, {step}")
                lines.append(f"{whole} = add i64 {part}, {total}")
                total = whole
        keeps, made = self.out.fresh(), self.out.fresh()
        lines.append(f"{keeps} = icmp {op.extra} i64 {total}, 0")
        zero = number(0, op.kind)
        lines.append(
            f"{made} = select i1 {keeps}, {op.kind} {args[0]}, {op.kind} {zero}"
        )
        return made, level

    def _pick(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        assert op.place is not None  # noqa: S101
        steps = self._steps(op.place)
        level = max(level, *(at for at, step in enumerate(steps) if step), 0)
        lines = self._lines[level]
        base, axes = op.extra
        address = self._address(base, op.place, op.kind, level, lines)
        address = moved_by(self.out, lines, address, args, axes, op.kind)
        return self._loaded(address, op.kind, level, lines), level

    def _address(
        self, base: int, place: Linear, kind: str, level: int, lines: list[str]
    ) -> str:
        """The address of an entry; its parts stand at the loops they depend on."""
        memory = stored(kind)
        address = self.out.pointer(base)
        if place.constant:
            address = self._moved(address, place.constant, memory)
        if self.strip is not None and place.steps[0] and base not in self.strip.inner:
            address = self._at_strip(address, self.strip.first, place.steps[0], memory)
        for at, step in enumerate(self._steps(place)):
            if not step:
                continue
            key = (address, at, step)
            if key not in self._addresses:
                i = self._counters[at]
                here = lines if at == level else self._lines[at]
                if step != 1:
                    scaled = self.out.fresh()
                    here.append(f"{scaled} = mul nsw i64 {i}, {step}")
                    i = scaled
                made = self.out.fresh("p")
                here.append(
                    f"{made} = getelementptr inbounds {memory}, ptr {address}, i64 {i}"
                )
                if here is not self._lines[at]:  # a tail: not seen from inside
                    address = made
                    continue
                self._addresses[key] = made
            address = self._addresses[key]
        return address

    def _at_strip(self, address: str, row: str, step: int, memory: str) -> str:
        """An address moved to where the strip begins."""
        key = (address, -2, step)
        if key not in self._addresses:
            scaled, made = self.out.fresh(), self.out.fresh("p")
            self._lines[0] += [
                f"{scaled} = mul nsw i64 {row}, {step}",
                f"{made} = getelementptr {memory}, ptr {address}, i64 {scaled}",
            ]
            self._addresses[key] = made
        return self._addresses[key]

    def _moved(self, address: str, by: int, memory: str) -> str:
        key = (address, -1, by)
        if key not in self._addresses:
            made = self.out.fresh("p")
            self._lines[0].append(
                f"{made} = getelementptr inbounds {memory}, ptr {address}, i64 {by}"
            )
            self._addresses[key] = made
        return self._addresses[key]


def moved_by(
    out: Writer,
    lines: list[str],
    address: str,
    indices: Sequence[str],
    axes: Sequence[tuple[int, int]],
    kind: str,
) -> str:
    """An address moved along axes by integers; a negative one counts from the end."""
    for index, (step, size) in zip(indices, axes, strict=True):
        below, back, place, scaled, moved = (out.fresh() for _ in range(5))
        lines += [
            f"{below} = icmp slt {WHOLE} {index}, 0",
            f"{back} = add {WHOLE} {index}, {size}",
            f"{place} = select i1 {below}, {WHOLE} {back}, {WHOLE} {index}",
            f"{scaled} = mul {WHOLE} {place}, {step}",
            f"{moved} = getelementptr {stored(kind)}, ptr {address}, {WHOLE} {scaled}",
        ]
        address = moved
    return address
