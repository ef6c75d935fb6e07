"""The one exception tree of tapegrad. Floor 0: imports nothing.

Every message says what was wrong, where (step, operation, shapes, source line as far
as they are known) and what to do about it. Where Python has a type for the mistake,
the error is of that type too, so that ordinary ``except TypeError`` still works.
"""

from __future__ import annotations


class TapegradError(Exception):
    """Base class of everything that tapegrad raises on purpose."""


class RecordError(TapegradError, TypeError):
    """Something cannot be recorded, or was used outside its recording."""


class ShapeError(TapegradError, ValueError):
    """Shapes, lengths or structures do not fit together."""


class IndexOutOfBounds(ShapeError, IndexError):
    """An index that does not fit the array; an `IndexError`, so that loops end."""


class BranchChanged(TapegradError):
    """A replay took another branch than the recording did.

    Attributes:
        file: source file of the comparison, as it was when recorded.
        line: line in that file.
        operands: the operand values of the comparison on this replay.
        recorded: the outcome when the tape was recorded.
        step: number of the guard step on the tape.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        operands: tuple[object, ...] = (),
        recorded: object = None,
        step: int = -1,
    ) -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.operands = operands
        self.recorded = recorded
        self.step = step


class DomainError(TapegradError, ValueError):
    """An operation has no meaning in the arithmetic that was asked for."""


class TapeFormatError(TapegradError, ValueError):
    """A tape, or a file of one, breaks the grammar: where, and how.

    Attributes:
        offset: byte of the file where the damage shows, or -1.
        step: number of the step, or -1.
    """

    def __init__(self, message: str, *, offset: int = -1, step: int = -1) -> None:
        super().__init__(message)
        self.offset = offset
        self.step = step


class CompileError(TapegradError):
    """Native code could not be made, or was called with what it cannot take."""


class GradientMismatch(TapegradError, AssertionError):
    """Two witnesses of one derivative disagree."""


class ParseError(TapegradError, ValueError):
    """An expression given as text is outside the language that is read."""
