"""The sparsity pattern of a tape's derivative, from one pass over it. Floor 9.

    reach(v_i) = union of reach(v_j) over the operands j that a derivative passes to

(Griewank & Walther section 7.1, index domains.) Arrays carry tables, single entries
integers with a bit for each variable, so that long tapes of scalars cost little. A
pattern holds every entry that can be nonzero at any inputs for which the tape holds;
it is too large only where values decide: both arms of a ``where`` count, and an index
that floats decide may be any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import DomainError
from tapegrad.expanding import expanded
from tapegrad.passing import SMOOTH
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.sparse import reaches
from tapegrad.sparse.reaches import Reach
from tapegrad.sparse.relations import Operand, everything, passes, through
from tapegrad.tape.tape import Tape

# Steps with sub-tapes whose derivatives are those of what they run.
LOOPS = frozenset({"scan", "checkpoint"})
# Values with more entries are not looked at for zeros.
LOOK = 1 << 24


class Reaches:
    """What each slot of a flat tape depends on.

    Args:
        tape: a tape without call steps.
        wrt: the input slots that hold the variables, in order.
        given: values of the inputs that have no derivative, by slot.
        keep: the slots whose reach is asked for; None for all.
    """

    def __init__(
        self,
        tape: Tape,
        wrt: Sequence[int],
        given: Mapping[int, Any],
        keep: Sequence[int] | None,
    ) -> None:
        self.tape = tape
        sizes = [math.prod(tape.aval_of(slot)[0]) for slot in wrt]
        self.variables = sum(sizes)
        # an integer for a single entry, a table for arrays, None for no dependence
        self.found: list[Any] = [None] * tape.slot_count
        self.values: dict[int, Any] = dict(given)
        self._first = dict(zip(wrt, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._last = None if keep is None else last_uses(tape, keep)
        with np.errstate(all="ignore"):
            self._pass()

    def of(self, slot: int) -> Reach:
        """The reach of a slot, as a table."""
        found = self.found[slot]
        if found is None:
            size = math.prod(self.tape.aval_of(slot)[0])
            return reaches.empty(size, self.variables)
        return reaches.from_bits(found, self.variables) if type(found) is int else found

    def lines(self, slot: int) -> tuple[Any, Any]:
        """The columns of all rows of a slot, and how many each row has."""
        found = self.found[slot]
        if type(found) is int:
            columns = reaches.columns_of(found)
            return columns, [len(columns)]
        table = self.of(slot)
        return table.indices, np.diff(table.indptr)

    def _pass(self) -> None:
        tape = self.tape
        rows = [TABLE[name] for name in tape.operations]
        statics = [dict(static) for static in tape.statics]
        sizes = [math.prod(shape) for shape, _ in tape.avals]
        smooth = [dtype in FLOATING for _, dtype in tape.avals]
        first, aval = tape.first.tolist(), tape.aval.tolist()
        found, last = self.found, self._last
        for step, (code, static, reads) in enumerate(_columns(tape)):
            row, slot, end = rows[code], first[step], first[step + 1]
            if not reads:
                self._leaf(row, slot, statics[static])
            elif all(found[i] is None for i in reads):
                self._evaluate(row, slot, end, reads, statics[static])
            elif row.kind == "elementwise" and sizes[aval[slot]] == 1:
                # of single entries, but those of shape (1,) may be among them
                self._single(row, slot, reads, statics[static])
            else:
                for mine in range(slot, end):
                    if smooth[aval[mine]]:
                        found[mine] = self._table(row, mine, reads, statics[static])
            if last is not None:
                for i in last.get(step, ()):
                    found[i] = None
                    self.values.pop(i, None)

    def _leaf(self, row: Primitive, slot: int, params: Mapping[str, Any]) -> None:
        """Variables depend on themselves; a constant is known."""
        if slot in self._first:
            size = math.prod(self.tape.aval_of(slot)[0])
            first = self._first[slot]
            self.found[slot] = (
                1 << first if size == 1 else reaches.units(size, first, self.variables)
            )
        elif row.name == "const":
            self.values[slot] = MIXED.number(params["value"])

    def _evaluate(
        self, row: Primitive, slot: int, end: int, reads: Sequence[int], params: Any
    ) -> None:
        """The value of a step that no variable reaches, where it is known."""
        values = self.values
        if end - slot != 1 or row.kind == "structure":
            return
        if all(i in values for i in reads):
            shape = self.tape.aval_of(slot)[0]
            if math.prod(shape) <= LOOK:
                function = getattr(MIXED, row.name)
                values[slot] = function(*[values[i] for i in reads], **params)

    def _single(
        self, row: Primitive, slot: int, reads: Sequence[int], params: Any
    ) -> None:
        """A step of single entries."""
        found, values, bits = self.found, self.values, 0
        for i, passed in zip(reads, passes(row, len(reads), params), strict=True):
            if passed and found[i] is not None:
                bits |= found[i]
        if row.name == "mul":
            one, two = reads
            for i in (one, two):
                if i in values and not np.any(values[i]):
                    bits = 0
        found[slot] = bits or None

    def _table(
        self, row: Primitive, slot: int, reads: Sequence[int], params: Any
    ) -> Any:
        """A step of arrays."""
        shape = self.tape.aval_of(slot)[0]
        operands = [
            Operand(
                self.tape.aval_of(i)[0],
                None if self.found[i] is None else self.of(i),
                self.values.get(i),
            )
            for i in reads
        ]
        if row.kind in SMOOTH:
            made = through(row, params, operands, shape)
        elif row.kind in {"discrete", "cut", "predicate"}:
            return None
        else:
            made = everything(operands, shape)
        if made is None or not made.nnz:
            return None
        return reaches.bits_of(made) if made.shape[0] == 1 else made


def pattern(
    tape: Tape, wrt: Sequence[int], given: Mapping[int, Any] | None = None
) -> Reach:
    """The pattern of the Jacobian of all outputs by the entries of some inputs.

    Args:
        tape: a tape without call steps.
        wrt: input slots, in order.
        given: values of the inputs that have no derivative, by slot.

    Returns:
        A csr_array of truth values: entries of the outputs, in order, by entries of
        the inputs.

    Raises:
        ShapeError: the derivative is not sparse.
    """
    base = _written_out(tape)
    moved = dict(zip(tape.inputs, base.inputs, strict=True))
    fixed = {moved[slot]: value for slot, value in (given or {}).items()}
    found = Reaches(base, [moved[slot] for slot in wrt], fixed, base.outputs)
    return reaches.stacked(
        [found.lines(slot) for slot in base.outputs], found.variables
    )


def _written_out(tape: Tape) -> Tape:
    """The tape with its loops written out, where that is all that its sub-tapes are.

    A step with a gradient of its own need not depend on what its sub-tape reads; and a
    loop may be too long, or end by a condition. Such a step counts as dense.
    """
    todo, seen = [tape], set[str]()
    while todo:
        current = todo.pop()
        seen.update(name for name in current.operations if TABLE[name].nested)
        for static in current.statics:
            todo += [value for _, value in static if isinstance(value, Tape)]
    if not seen or not seen <= LOOPS:
        return tape
    try:
        return expanded(tape)
    except DomainError:
        return tape


def _columns(tape: Tape) -> Iterator[tuple[int, int, list[int]]]:
    """Opcode, static index and operands of each step."""
    offsets, operands = tape.offsets.tolist(), tape.operands.tolist()
    low = 0
    for code, static, high in zip(
        tape.opcode.tolist(), tape.static.tolist(), offsets[1:], strict=True
    ):
        yield code, static, operands[low:high]
        low = high


def last_uses(tape: Tape, keep: Sequence[int]) -> dict[int, list[int]]:
    """The slots that no later step reads, by the step that reads them last."""
    owner = np.repeat(np.arange(len(tape)), np.diff(tape.offsets))
    last = np.full(tape.slot_count, -1)
    np.maximum.at(last, tape.operands, owner)
    last[list(keep)] = -1
    found: dict[int, list[int]] = {}
    for slot in np.flatnonzero(last >= 0).tolist():
        found.setdefault(int(last[slot]), []).append(slot)
    return found
