"""tapegrad: record, replay, differentiate, prove, print and compile.

``import tapegrad as tg``. Light on purpose: SymPy, llvmlite, graphviz and the rest
load when they are first needed.
"""

from __future__ import annotations

from tapegrad.errors import (
    BranchChanged,
    CompileError,
    DomainError,
    GradientMismatch,
    ParseError,
    RecordError,
    ShapeError,
    TapeFormatError,
    TapegradError,
)
from tapegrad.recording import record
from tapegrad.tape import Step, Tape
from tapegrad.value import Value, maximum, no_record, where

__version__ = "0.1.0"
