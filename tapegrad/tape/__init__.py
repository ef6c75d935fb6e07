"""Steps, columns, recorder, guards and the grammar. Floor 2."""

from tapegrad.tape.guards import Guard
from tapegrad.tape.recorder import Columns
from tapegrad.tape.structure import Structure
from tapegrad.tape.tape import Step, Tape

__all__ = ["Columns", "Guard", "Step", "Structure", "Tape"]
