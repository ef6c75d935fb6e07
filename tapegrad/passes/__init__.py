"""Passes: tape in, tape out, IEEE meaning kept. Floor 4."""

from __future__ import annotations

from tapegrad.passes.dead import prune
from tapegrad.passes.simplify import simplify, tidy

__all__ = ["prune", "simplify", "tidy"]
