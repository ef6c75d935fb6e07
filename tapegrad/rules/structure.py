"""Steps that are not functions of numbers: inputs, constants, guards, calls.

Floor 1. Sweeps know these rows by name; everything else is treated by its rule.
"""

from __future__ import annotations

from tapegrad.rules.primitive import Primitive, row

INPUT = row(
    Primitive("input", 0, kind="structure", source="independent variable; no operands")
)
CONST = row(
    Primitive("const", 0, kind="structure", source="a frozen number; no operands")
)
GUARD = row(
    Primitive(
        "guard",
        1,
        kind="structure",
        slots=0,
        source="the outcome of a comparison that reached Python control flow",
    )
)
CALL = row(
    Primitive(
        "call",
        -1,
        kind="structure",
        slots=-1,
        source="a sub-tape used as a step; it owns a slot for each of its outputs",
    )
)
