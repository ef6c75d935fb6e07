"""Which columns an operation appends to: the ambient tape. Floor 4.

Eager Values stand on a chain of short *segments*. A sweep, or a length limit, closes
the current one; a newer segment may refer to an older one, never the reverse; it
imports leaves by version; a segment that nothing refers to is freed by Python. So a
training loop of any length runs in bounded memory. One current segment a context
(``contextvars``): threads do not mix. (A task begins with a copy of its parent's
context, and may append to the segment that was open there. Nothing is confused: a sweep
touches only what leads to its root.) Inside a recording the context's columns are the
recorder's, and under ``no_record()`` there are none.
"""

from __future__ import annotations

import itertools
from contextvars import ContextVar
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from tapegrad.errors import RecordError
from tapegrad.real import frozen
from tapegrad.rules import TABLE
from tapegrad.rules.structure import INPUT
from tapegrad.tape.recorder import Columns, aval_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_serials = itertools.count()

# Bytes of arrays after which a segment closes, so that old ones can be freed.
ROOM = 1 << 26
# A thread may ask for adjoints that another one has left waiting.
_SETTLING = Lock()
INPUT_CODE = TABLE.opcode(INPUT)


class Segment(Columns):
    """One segment of an ambient tape.

    Attributes:
        serial: segments made later have larger numbers.
        thread: the thread that opened it.
        imports: the Value that stands in a slot: a leaf, or one of an older segment.
        origins: segment and slot of each import that is no leaf.
        adopted: slot of each imported Value, by identity.
        literals: the Value that stands for a number met in an expression.
        searched: slots below had their living Values put into `seen`.
        bytes: taken by the arrays of its slots.
        whole: it has steps of arrays, which sweep in their own way.
        few, many_bars: accumulated adjoints of the slots, of short and long sweeps.
        waiting: those of the last short sweep.
    """

    __slots__ = (
        "__weakref__",
        "_seen",
        "adopted",
        "bytes",
        "few",
        "imports",
        "literals",
        "many_bars",
        "origins",
        "searched",
        "serial",
        "thread",
        "waiting",
        "whole",
    )
    eager = True
    keeps = True

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.whole = False
        self.serial = next(_serials)
        self.thread = get_ident()
        self.imports: dict[int, Any] = {}
        self.origins: dict[int, tuple[Segment, int]] = {}
        self.adopted: dict[int, int] = {}
        self.literals: dict[float, Any] = {}
        self._seen: WeakValueDictionary[int, Any] | None = None
        self.searched = 0
        self.few: dict[int, Any] = {}
        self.waiting: Any = None
        self.many_bars: npt.NDArray[np.float64] | None = None

    @property
    def seen(self) -> WeakValueDictionary[int, Any]:
        """Values known to stand for slots, as long as they live."""
        if self._seen is None:
            self._seen = WeakValueDictionary()
        return self._seen

    def full(self) -> None:
        """The length limit: close, and let the next operation open another one.

        The rows stay in the flat list: turning them into columns here could lose one
        that a thread with a copy of this context appends in the same moment.
        """
        self.close()

    def close(self) -> None:
        """No more steps; leaves forget their place here, so nothing holds a cycle."""
        for value in self.imports.values():
            if value._rec is self:
                value._rec = None
        self.literals = {}
        if current() is self:
            CURRENT.set(CLOSED)

    def slot_of(self, value: Any) -> int:
        """The slot of a Value here; leaves and older Values are imported."""
        if value._rec is self:
            return int(value._i)
        known = self.adopted.get(id(value)) if self.adopted else None
        if known is not None:
            rec, i = self.origins[known]
            if value._rec is rec and value._i == i:  # still what was imported
                return known
        if value._rec is not None and not value._rec.eager:
            raise foreign(value)
        leaf = value._is_leaf and value._born >= 0
        if known is not None and not leaf:
            return known
        data = value._data
        if type(data) is float:
            slot = self.put(INPUT_CODE, 0, 0, data)
        else:
            slot = self.input(frozen(data), aval_of(data))
        self.imports[slot] = value
        if leaf:
            value._rec, value._i = self, slot
        else:
            # its place now: given other data, the Value would be a leaf
            self.origins[slot] = value._rec, value._i
            self.adopted[id(value)] = slot
        return slot

    def push_arrays(self, *step: Any) -> list[int]:
        """Append a step with arrays; many bytes of them close the segment."""
        slots = super().push_arrays(*step)
        self.whole = True
        self.bytes += sum(getattr(primal, "nbytes", 0) for primal in step[3])
        if self.bytes > ROOM:
            self.close()
        return slots

    # Accumulated adjoints: of short sweeps in a dictionary, of long ones in an array.
    # Few ask for those of inner Values, so the last short sweep's wait to be added.

    def adjoint_of(self, slot: int) -> Any:
        """The accumulated adjoint of a slot."""
        few = self._settled().get(slot, 0.0)
        if self.many_bars is None or slot >= len(self.many_bars):
            return few
        return few + float(self.many_bars[slot])

    def set_adjoint(self, slot: int, number: Any) -> None:
        """Put a number in place of what a slot has accumulated."""
        self._settled()[slot] = number
        if self.many_bars is not None and slot < len(self.many_bars):
            self.many_bars[slot] = 0.0

    def add_few(self, bars: Any) -> None:
        """Add the adjoints of a short sweep: by slot, None where there is none."""
        self._settled()
        self.waiting = bars

    def _settled(self) -> dict[int, Any]:
        """What short sweeps have accumulated."""
        if self.waiting is None:
            return self.few
        with _SETTLING:
            held, bars = self.few, self.waiting
            if bars is not None:
                pairs = enumerate(bars) if type(bars) is list else bars.items()
                for slot, bar in pairs:
                    if bar is not None:
                        held[slot] = held.get(slot, 0.0) + bar
                self.waiting = None
        return held

    def add_many(self, bars: npt.NDArray[np.float64]) -> None:
        """Add the adjoints of a long sweep, of the first slots."""
        if self.many_bars is None or len(self.many_bars) < len(bars):
            bars = bars.copy()
            if self.many_bars is not None:
                bars[: len(self.many_bars)] += self.many_bars
            self.many_bars = bars
        else:
            self.many_bars[: len(bars)] += bars


def foreign(value: Any) -> RecordError:
    """The error of a recording's Value that is used outside of it."""
    return RecordError(
        f"{value.where_from()} = {value._data} belongs to another recording, or to one "
        "that is finished; return it from the recorded function, or replay the tape"
    )


class Nowhere:
    """Stands for columns where there are none."""

    __slots__ = ("name",)
    eager = True
    thread = None

    def __init__(self, name: str) -> None:
        self.name = name


# The next eager operation opens a segment.
CLOSED = Nowhere("closed")
# Inside no_record().
SILENT = Nowhere("silent")

CURRENT: ContextVar[Any] = ContextVar("tapegrad_columns", default=CLOSED)
current = CURRENT.get


def opened() -> Any:
    """The current columns; a new segment where none is open.

    A thread that was started with a copy of another one's context opens its own.
    """
    columns = current()
    if columns is CLOSED or (
        columns.eager and columns.thread is not None and columns.thread != get_ident()
    ):
        columns = Segment()
        CURRENT.set(columns)
    return columns
