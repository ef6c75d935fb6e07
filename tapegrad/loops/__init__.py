"""Loops as single steps, and steps that forget what is inside them. Floor 9."""

from tapegrad.loops.checkpoint import checkpoint
from tapegrad.loops.scan import fori_loop, scan
from tapegrad.loops.whiles import while_loop

__all__ = ["checkpoint", "fori_loop", "scan", "while_loop"]
