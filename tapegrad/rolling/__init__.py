"""Loops found again in what was recorded, and written out again. Floor 10."""

from tapegrad.rolling.build import rolled
from tapegrad.rolling.plan import Options

__all__ = ["Options", "rolled"]
