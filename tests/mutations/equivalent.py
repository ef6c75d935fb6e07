"""Faults that change nothing that is promised: never planted, each with its reason."""

from __future__ import annotations

# Functions and constants, by module, that only speed or words depend on.
QUIET: dict[tuple[str, str], str] = {
    ("sweeps.py", "BLOCK"): "steps read at a time: memory, no result",
    ("passing.py", "no_answer"): "words of an error",
}

# Single faults, by name.
EQUIVALENT: dict[str, str] = {}
