"""The variables of a function: where they are declared, which registers share one.

Floor 9. A register of LLVM has one value for ever, and C's variables may have one, too:
``const double v3 = ...``. Those that loops change stand in for several registers: the
sum so far is the same variable as the sum with one more term.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tapegrad.native.c.parse import Function, Instruction
from tapegrad.native.c.shape import Region, Shape, common, shape_of


@dataclass(slots=True)
class Counter:
    """A loop that counts: ``for (i = 0; i < limit; i++)``.

    Args:
        register: the counter.
        limit: the operand that it is compared with.
        hidden: registers that need no lines of their own.
    """

    register: str
    limit: str
    hidden: frozenset[str]


@dataclass(slots=True)
class Plan:
    """What is known of a function before it is written.

    Attributes:
        shape: its regions.
        uses: how often each register is read.
        single: registers that are read once, in the block that makes them.
        home: where the variable of a register must be declared.
        shared: the phi whose variable a register is.
        counters: loops that count, by their first block.
        hidden: registers that the heads of such loops stand for.
        counting: the counters of such loops.
    """

    function: Function
    shape: Shape
    uses: dict[str, int] = field(default_factory=dict)
    single: set[str] = field(default_factory=set)
    home: dict[str, Region] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    counters: dict[int, Counter] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    counting: set[str] = field(default_factory=set)


def plan_of(function: Function, pure: Callable[[str], bool]) -> Plan:
    """Look at a function.

    Args:
        function: the function.
        pure: tells whether a function does nothing but give a result.
    """
    _drop_unread(function, pure)
    plan = Plan(function, shape_of(function))
    shape = plan.shape
    made: dict[str, int] = {}  # the block of each register
    order: dict[str, int] = {}
    sites: dict[str, list[int]] = {}
    later: dict[str, int] = {}
    stops: list[int] = []
    for block in shape.blocks:
        stops.append((stops[-1] if stops else 0) + len(block.body))
    moment = 0
    for number, block in enumerate(shape.blocks):
        for ins in block.body:
            moment += 1
            if ins.name:
                made[ins.name], order[ins.name] = number, moment
            for place, (_, text) in enumerate(ins.operands):
                if text[0] != "%":
                    continue
                name, where, when = text[1:], number, moment
                if ins.op == "phi":  # it is read where the other block ends
                    where = shape.place[ins.labels[place]]
                    when = stops[where]
                later[name] = max(when, later.get(name, 0))
                plan.uses[name] = plan.uses.get(name, 0) + 1
                sites.setdefault(name, []).append(where)
    for label, ins in shape.returns.items():
        for _, text in ins.operands:
            if text[0] == "%":
                name = text[1:]
                plan.uses[name] = plan.uses.get(name, 0) + 1
                leaving = [
                    n for n, b in enumerate(shape.blocks) if label in b.end.labels
                ]
                sites.setdefault(name, []).extend(leaving)
    plan.single = {
        name
        for name, where in sites.items()
        if len(where) == 1 and made.get(name) == where[0]
    }
    for number in shape.loops:
        _counter(plan, number, sites)
    for number, block in enumerate(shape.blocks):
        for ins in block.body:
            if ins.op == "phi":
                _share(plan, number, ins, made, order, later, sites)
    _homes(plan, made, sites)
    return plan


def _drop_unread(function: Function, pure: Callable[[str], bool]) -> None:
    """Drop instructions whose results nobody reads, and that do nothing else."""
    blocks = function.blocks
    read = {
        text[1:]
        for block in blocks
        for ins in block.body
        if ins.op == "phi"
        for _, text in ins.operands
    }
    for block in reversed(blocks):
        kept = []
        for ins in reversed(block.body):
            needed = ins.op == "phi" or (ins.op == "call" and not pure(ins.word))
            if ins.name and ins.name not in read and not needed:
                continue
            kept.append(ins)
            read.update(text[1:] for _, text in ins.operands)
        block.body[:] = reversed(kept)


def _counter(plan: Plan, number: int, sites: dict[str, list[int]]) -> None:
    """Whether a loop counts from 0, and up to what."""
    shape = plan.shape
    loop, head = shape.loops[number], shape.blocks[number]
    last = shape.blocks[loop.last]
    for phi in head.body:
        if phi.op != "phi" or phi.kind != "i64" or len(phi.operands) != 2:
            continue
        values = dict(zip(phi.labels, (x for _, x in phi.operands), strict=True))
        following = values.pop(last.label, "")
        if [*values.values()] != ["0"]:
            continue
        added = next((x for x in last.body if f"%{x.name}" == following), None)
        if added is None or added.op != "add":
            continue
        if [x for _, x in added.operands] != [f"%{phi.name}", "1"]:
            continue
        first = [ins for ins in head.body if ins.op != "phi"]
        if len(first) == 2 and len(first[1].operands) == 1 and last is not head:
            test, end, of, word = first[0], first[1], phi.name, "icmp slt"
            good = len(last.end.labels) == 1 and plan.uses[following[1:]] == 1
        else:
            end, of, word = last.end, following[1:], "icmp ult"
            test = last.body[-2] if len(last.body) > 1 else end
            good = plan.uses[of] == 2 and len(end.labels) == 2
            good = (
                good and test.operands[-1][1].isdigit() and test.operands[-1][1] != "0"
            )
        if not good or test.op != word or test.operands[0][1] != f"%{of}":
            continue
        if end.operands[0][1] != f"%{test.name}" or plan.uses[test.name] != 1:
            continue
        goes_on, leaves = end.labels
        inside = shape.place.get(goes_on, -1)
        if (
            not loop.first <= inside <= loop.last
            or shape.place.get(leaves) != loop.last + 1
        ):
            continue
        if _needed(shape, last.label if end is last.end else head.label, leaves, loop):
            continue
        region = [shape.region[where] for where in sites.get(phi.name, [])]
        if all(loop.around(where) for where in region):
            hidden = frozenset({following[1:], test.name})
            plan.hidden |= hidden
            plan.counting.add(phi.name)
            plan.counters[number] = Counter(phi.name, test.operands[1][1], hidden)
            return


def _needed(shape: Shape, source: str, leaves: str, loop: Region) -> bool:
    """Whether the block after a loop is handed something that the loop makes."""
    inside = {
        ins.name
        for block in shape.blocks[loop.first : loop.last + 1]
        for ins in block.body
    }
    for ins in shape.blocks[shape.place[leaves]].body:
        if ins.op == "phi":
            values = dict(zip(ins.labels, ins.operands, strict=True))
            if source in values and values[source][1][1:] in inside:
                return True
    return False


def _share(
    plan: Plan,
    number: int,
    phi: Instruction,
    made: dict[str, int],
    order: dict[str, int],
    later: dict[str, int],
    sites: dict[str, list[int]],
) -> None:
    """Let what a loop makes of a phi stand in the phi's own variable."""
    shape = plan.shape
    loop = shape.loops.get(number)
    if loop is None or len(phi.operands) != 2 or phi.kind == "ptr":
        return
    for label, (_, text) in zip(phi.labels, phi.operands, strict=True):
        name = text[1:] if text[0] == "%" else ""
        block = made.get(name, -1)
        if (
            not name
            or shape.place[label] != loop.last
            or shape.region[block] is not loop
        ):
            continue
        if name in plan.shared or later.get(phi.name, 0) > order[name]:
            continue
        ins = next(x for x in shape.blocks[block].body if x.name == name)
        outside = any(
            not loop.around(shape.region[where]) for where in sites.get(phi.name, [])
        )
        at_head = (
            number in plan.counters and len(shape.blocks[loop.last].end.labels) == 1
        )
        if ins.op != "phi" and (not outside or at_head):
            plan.shared[name] = phi.name


def _homes(plan: Plan, made: dict[str, int], sites: dict[str, list[int]]) -> None:
    """The innermost region around all places where a variable is set or read."""
    shape = plan.shape
    places: dict[str, list[int]] = {}
    for name, number in made.items():
        owner = plan.shared.get(name, name)
        places.setdefault(owner, []).extend([number, *sites.get(name, [])])
    for block in shape.blocks:
        for ins in block.body:
            if ins.op == "phi":
                places[ins.name] += [shape.place[label] for label in ins.labels]
    for name, where in places.items():
        region = shape.region[where[0]]
        for number in where[1:]:
            region = common(region, shape.region[number])
        plan.home[name] = region
