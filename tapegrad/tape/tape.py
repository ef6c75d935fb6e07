"""The frozen Wengert tape: flat columns, immutable, hashable by content. Floor 2.

A tape is a straight line of *steps* in static single assignment form. Step k applies a
primitive to operand slots below its own and owns zero or more consecutive slots:

    v_i = f_k(v_a, v_b, ...; static parameters)          a, b, ... < i

(Griewank & Walther section 2.2, the evaluation procedure.) Inputs and constants are
steps without operands. Nothing here knows what a number is: sweeps read the columns.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.check import defined_alike
from tapegrad.tape.doors import Doors
from tapegrad.tape.guards import Guard
from tapegrad.tape.lines import Lines, Place
from tapegrad.tape.structure import Structure

Ints = npt.NDArray[np.int32]

# A slot's abstract value: shape and dtype.
Aval = tuple[tuple[int, ...], str]
SCALAR: Aval = ((), "float64")
BOOLEAN: Aval = ((), "bool")

# Static parameters of a step, frozen: sorted pairs of name and value.
Static = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a tape, as seen by people; sweeps read the columns.

    Args:
        number: place on the tape, from 0.
        primitive: the row of the table.
        operands: slots that it reads.
        params: static parameters.
        slots: slots that it owns.
        label: the name given to its first slot, or "".
    """

    number: int
    primitive: Primitive
    operands: tuple[int, ...]
    params: Mapping[str, Any]
    slots: range
    label: str = ""

    @property
    def sign(self) -> str:
        """How the operation is written: ``+``, ``tanh``, ``**2``."""
        return self.primitive.sign(self.params)


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Tape(Doors):
    """A frozen tape. Made by ``tg.record``, by ``Tape.recording()`` or by a pass.

    Args:
        operations: names of the primitives that occur, sorted.
        opcode: for each step, the index of its primitive in ``operations``.
        offsets: operands of step k are ``operands[offsets[k]:offsets[k + 1]]``.
        operands: slots read, all steps in one column.
        first: step k owns the slots ``first[k] .. first[k + 1] - 1``.
        static: for each step, the index of its parameters in ``statics``.
        statics: distinct static parameters; ``statics[0]`` is the empty one.
        aval: for each slot, the index of its shape and dtype in ``avals``.
        avals: distinct shapes and dtypes.
        inputs, outputs: slots, in order.
        labels: names of slots, for people; not part of the content.
        structure: how arguments and results nest.
        example: the inputs it was recorded at; not part of the content.
        lines: where the steps stood in the source; not part of the content, and known
            only where the recording was asked to note it.
    """

    operations: tuple[str, ...]
    opcode: npt.NDArray[np.uint16]
    offsets: Ints
    operands: Ints
    first: Ints
    static: Ints
    statics: tuple[Static, ...]
    aval: npt.NDArray[np.uint16]
    avals: tuple[Aval, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    labels: Mapping[int, str] = field(default_factory=dict)
    structure: Structure = field(default_factory=Structure)
    example: tuple[Any, ...] | None = None
    lines: Lines | None = None
    # what was found out about the content, once: its digest, its flat form
    _known: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for column in self._columns():
            column.setflags(write=False)

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.opcode,
            self.offsets,
            self.operands,
            self.first,
            self.static,
            self.aval,
        )

    # -- content ---------------------------------------------------------------

    @property
    def digest(self) -> str:
        """SHA-256 over columns, constants and guards: the tape's content."""
        if "digest" not in self._known:
            sha = hashlib.sha256()
            for column in self._columns():
                sha.update(str(column.shape).encode())
                sha.update(np.ascontiguousarray(column).tobytes())
            for part in (
                self.operations,
                self.statics,
                self.avals,
                self.inputs,
                self.outputs,
            ):
                sha.update(_canonical(part))
            for name, definition, _ in TABLE.defined(self.operations):
                sha.update(_canonical((name, definition)))
            self._known["digest"] = sha.hexdigest()
        return self._known["digest"]  # type: ignore[no-any-return]

    def __hash__(self) -> int:
        return int(self.digest[:16], 16)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tape):
            return NotImplemented
        return self is other or self.digest == other.digest

    def __reduce__(self) -> tuple[Any, ...]:
        names = [name for name in self.__dataclass_fields__ if name != "_known"]
        fields = {name: getattr(self, name) for name in names}
        definitions = TABLE.defined(self.operations)
        return _rebuild, (fields, definitions) if definitions else (fields,)

    # -- size and steps --------------------------------------------------------

    def __len__(self) -> int:
        return len(self.opcode)

    @property
    def slot_count(self) -> int:
        """Number of slots: one value each on a replay."""
        return int(self.first[-1])

    @property
    def nbytes(self) -> int:
        """Bytes held by the columns."""
        return sum(column.nbytes for column in self._columns())

    def step(self, number: int) -> Step:
        """The step at a place on the tape."""
        low, high = self.offsets[number], self.offsets[number + 1]
        slots = range(int(self.first[number]), int(self.first[number + 1]))
        return Step(
            number,
            TABLE[self.operations[self.opcode[number]]],
            tuple(self.operands[low:high].tolist()),
            dict(self.statics[self.static[number]]),
            slots,
            self.labels.get(slots.start, "") if slots else "",
        )

    def __iter__(self) -> Iterator[Step]:
        return (self.step(number) for number in range(len(self)))

    @property
    def steps(self) -> Sequence[Step]:
        """All steps, as a list of `Step`."""
        return list(self)

    @property
    def guards(self) -> tuple[Guard, ...]:
        """The guards on the tape, in order."""
        if "guard" not in self.operations:
            return ()
        code = self.operations.index("guard")
        numbers = np.flatnonzero(self.opcode == code)
        return tuple(
            dict(self.statics[self.static[number]])["guard"] for number in numbers
        )

    @property
    def arrays(self) -> bool:
        """Whether sweeps meet more than floats and truth values."""
        return any(aval not in {SCALAR, BOOLEAN} for aval in self.avals) or any(
            TABLE[name].whole or TABLE[name].nested for name in self.operations
        )

    def aval_of(self, slot: int) -> Aval:
        """Shape and dtype of a slot."""
        return self.avals[self.aval[slot]]

    def label_of(self, slot: int) -> str:
        """The name of a slot, or ``v<number>``."""
        return self.labels.get(slot) or f"v{slot}"

    def line_of(self, slot: int) -> Place | None:
        """File and line where the step of a slot was recorded, if that is known."""
        return None if self.lines is None else self.lines.of(slot)

    def owner(self, slot: int) -> int:
        """The number of the step that owns a slot."""
        return int(np.searchsorted(self.first, slot, side="right")) - 1

    def input_labels(self) -> tuple[str, ...]:
        """Names of the inputs; unnamed ones are called by their slot."""
        return tuple(self.label_of(slot) for slot in self.inputs)


def _rebuild(fields: dict[str, Any], definitions: Any = ()) -> Tape:
    """Unpickle: made anew and checked, columns frozen again."""
    defined_alike(definitions)
    tape = Tape(**fields)
    tape.check()
    return tape


def _canonical(value: Any) -> bytes:
    """Bytes that are equal for equal content: floats by bits, guards without lines."""
    if isinstance(value, tuple):
        return b"(" + b",".join(_canonical(part) for part in value) + b")"
    if isinstance(value, float):
        return b"f" + struct.pack("<d", value)
    if isinstance(value, Guard):
        return b"g" + repr(value.outcome).encode() + b"v" * value.varies
    if isinstance(value, Tape):
        return b"t" + value.digest.encode()
    if isinstance(value, np.ndarray):
        head = f"{value.dtype.str}{value.shape}".encode()
        return b"a" + head + np.ascontiguousarray(value).tobytes()
    return type(value).__name__.encode() + repr(value).encode()
