"""Handles: the Values of a recording, each of which stands for a slot. Floor 5."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ambient import SILENT, opened
from tapegrad.errors import RecordError
from tapegrad.tape.guards import Guard, user_line
from tapegrad.value import Arrays, Value


class Handle(Value):
    """A Value inside a recording: it stands for a slot."""

    __slots__ = ()

    def _check_eager(self, what: str) -> None:
        msg = (
            f"cannot {what} of {self.where_from()} inside a recording: the tape has "
            "one value a slot; compute a new Value, and use tg.grad for derivatives"
        )
        raise RecordError(msg)

    @property
    def data(self) -> Any:
        """Refused: a number of this run would be frozen into the tape."""
        raise self.frozen(".data")

    @data.setter
    def data(self, value: Any) -> None:
        del value
        self._check_eager("assign .data")

    @property
    def grad(self) -> float:
        """Refused: adjoints are asked of the tape."""
        msg = (
            f"{self.where_from()} belongs to a recording, and has no .grad; ask the "
            "tape for its gradient, or use tg.grad on the function"
        )
        raise RecordError(msg)

    @grad.setter
    def grad(self, value: Any) -> None:
        del value
        self._check_eager("assign .grad")

    @property
    def _operands(self) -> tuple[Any, ...]:
        msg = f"{self.where_from()} belongs to a recording; see tape.steps for operands"
        raise RecordError(msg)

    def frozen(self, what: str) -> RecordError:
        """The error of a way to take a plain number out of a recording."""
        return RecordError(
            f"{what} of {self.where_from()} inside a recording would freeze a number "
            f"of this run into the tape ({':'.join(map(str, user_line()))}); use "
            "tg.stop_gradient(v) for a constant, and print(v) to look at it"
        )

    def where_from(self) -> str:
        """The slot, for messages."""
        return self.label or f"slot v{self._i}"

    def __bool__(self) -> bool:
        outcome = bool(self._data)
        self._guard(outcome)
        return outcome

    def __int__(self) -> int:
        outcome = int(self._data)
        self._guard(outcome)
        return outcome

    def __index__(self) -> int:
        if self._data != int(self._data):
            msg = f"{self.where_from()} = {self._data} is used as an index; use int()"
            raise RecordError(msg)
        return int(self)

    def _guard(self, outcome: bool | int) -> None:
        columns = opened()
        if columns is SILENT:  # a branch is a branch, whatever it does
            columns = self._rec
        columns.push_guard(columns.slot_of(self), Guard(outcome, *user_line()))

    def __float__(self) -> float:
        msg = (
            f"float() of {self.where_from()} inside a recording would lose its "
            f"derivative silently ({':'.join(map(str, user_line()))}); use the "
            "functions of NumPy (np.sin(v), not math.sin(v)), and lists in place of "
            "float arrays to collect results"
        )
        raise RecordError(msg)

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> Any:
        msg = "a Value of a recording cannot be copied or pickled; return it instead"
        raise RecordError(msg)

    def detach(self) -> Value:
        """Refused: a number of this run would be frozen into the tape."""
        raise self.frozen("detach()")


class ArrayHandle(Arrays, Handle):
    """A handle of an array."""

    __slots__ = ()

    def __bool__(self) -> bool:
        self._single("the truth value")
        outcome = bool(self._data)
        self._guard(outcome)
        return outcome

    def __int__(self) -> int:
        self._single("int()")
        outcome = int(np.asarray(self._data).item())
        self._guard(outcome)
        return outcome

    def __index__(self) -> int:
        self._single("an index made")
        if np.asarray(self._data).dtype.kind == "f":
            return super().__index__()
        return int(self)

    def __hash__(self) -> int:
        return id(self)


Handle._array_class = ArrayHandle
