"""Faults that change nothing that is promised: never planted, each with its reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults import Fault

# Functions and constants, by module, that only speed, memory or words depend on. A
# fault in such a function, or in what is decided by such a constant, is left out.
QUIET: dict[tuple[str, str], str] = {
    ("sweeps.py", "BLOCK"): "steps read at a time: memory",
    ("passing.py", "no_answer"): "words of an error",
    ("bulk.py", "FEW"): "from where on NumPy is quicker than floats",
    ("bulk.py", "MANY_SLOTS"): "from where on native code is quicker",
    ("jacobians.py", "SWEEPS"): "from where on a forward sweep is quicker",
    ("native/machine/choice.py", "PRICE"): "when the machine is loaded: speed",
    ("native/machine/choice.py", "LEAST"): "from where on the machine is quicker",
    ("native/machine/build.py", "MOST"): "when a machine of one's own pays",
    ("rules/linalg.py", "BLOCK"): "size of the blocks of a triangular system: speed",
    ("readings/bigatoms.py", "SPARE"): "digits to spare, more than are needed",
    ("native/arrayentry.py", "LONG"): "when other threads may run",
    ("native/arrayjacobian.py", "FEW"): "when the gradients stand on one tape: speed",
    ("native/numbercalls.py", "SHORT"): "which level of optimisation",
    ("native/numbercalls.py", "CHUNK"): "steps a function: speed of the build",
    ("native/numbercalls.py", "perf_counter"): "how long a build took, for a report",
    ("native/report.py", "Part"): "figures of a build, for people",
    ("native/lowering.py", "LIMIT"): "what fits into memory, about",
    ("native/lowering.py", "ON_STACK"): "where a buffer stands",
    ("native/thunk.py", "ROOM"): "where a buffer stands",
    ("native/arraythunk.py", "ROOM"): "where a buffer stands",
    ("native/arrays/costs.py", "work_of"): "what a plan goes by: speed",
    ("native/arrays/costs.py", "_work_of"): "what a plan goes by: speed",
    ("native/arrays/costs.py", "repeats"): "what a plan goes by: speed",
    ("native/arrays/costs.py", "CALLED"): "what a plan goes by: speed",
    ("native/arrays/costs.py", "SLOW"): "what a plan goes by: speed",
    ("native/arrays/costs.py", "PARTS"): "what a plan goes by: speed",
    ("native/arrays/folds.py", "SMALL"): "when BLAS is quicker than a loop",
    ("native/arrays/function.py", "WRITTEN"): "constants in the text or in memory",
    (
        "native/arrays/function.py",
        "LOOP",
    ): "where functions are cut: speed of the build",
    ("native/arrays/items.py", "BOXES"): "when a selection is stored: speed",
    ("native/arrays/items.py", "nests"): "a figure of a build, for people",
    ("native/arrays/lower.py", "LONG"): "where functions are cut: speed of the build",
    ("native/arrays/movement.py", "FAR"): "how far a read is followed: speed",
    ("native/arrays/plan.py", "CHEAP"): "what is repeated or stored: speed",
    ("native/arrays/plan.py", "WIDE"): "what is made in one nest: speed",
    ("native/arrays/sequence.py", "TOGETHER"): "what is made in one nest: speed",
    ("native/arrays/sequence.py", "BACK"): "what is made in one nest: speed",
    ("native/arrays/writes.py", "FEW"): "which writes are joined: speed",
    ("native/arrays/writes.py", "FEW_WIDE"): "which writes are joined: speed",
    ("native/arrays/writes.py", "MOST"): "which writes are joined: speed",
}

# Single faults, by name.
EQUIVALENT: dict[str, str] = {
    "tapegrad/rules/gamma.py::_sympy_polygamma comparison: x > 0 -> x >= 0": (
        "both arms have their pole at 0"
    ),
    "tapegrad/native/nesting.py::_taker comparison: "
    "None in inner -> None not in inner": "optree takes it apart just so, if slower",
    "tapegrad/native/nesting.py::_taker comparison: "
    "None in inner -> None not in inner #1": "optree takes it apart just so, if slower",
    "tapegrad/native/vectormath/exponential.py::exp number: 746.0 -> 753.46": (
        "exp is 0 from -745.2 on; the bound keeps the exponent in range, with room"
    ),
    "tapegrad/native/arrays/calling.py::module number: 3 -> 4": (
        "a status, read by its name wherever it is used"
    ),
    "tapegrad/readings/mpmath.py::MpmathReading.pow comparison: "
    "exponent > 0 -> exponent >= 0": "an exponent of 0 has left before",
    "tapegrad/readings/mpmath.py::MpmathReading.pow comparison: "
    "exponent > 0 -> exponent >= 0 #1": "an exponent of 0 has left before",
    "tapegrad/native/arrays/words.py::EntryReading._select number: 1 -> 2": (
        "the arms of a row are floats of one kind, which is the common one as well"
    ),
    "tapegrad/native/arrays/writes.py::join_writes term dropped: {node for node in "
    'graph.nodes if node.op in {"guard", "check"}} | {*out… -> {*outputs}': (
        "chains that a guard alone reads are not joined then: slower, the same numbers"
    ),
    "tapegrad/rules/structure.py::CALL number: 1 -> 2 #1": (
        "any negative number means: as many slots as there are outputs"
    ),
    "tapegrad/tape/inline.py::_Bound.__init__ removed: super().__init__() -> pass": (
        "a list begins empty in any case"
    ),
    "tapegrad/native/arraycalls.py::exact comparison: "
    "data.dtype.num != wanted.num -> data.dtype.num == wanted.num": (
        "an array of the other dtype of the same integers is declined by the entry, "
        "and the interpreter reads it"
    ),
    "tapegrad/native/arraythunk.py::SOURCE instruction: "
    ", ptr null, i32 0, i32 0, ptr -> i32 1": (
        "NumPy looks at the size of an entry for strings alone"
    ),
    "tapegrad/native/arrays/plan.py::Plan._share number: 3 -> 4": (
        "readers are counted up to there; it is asked whether there are two"
    ),
    "tapegrad/tape/files/container.py::_header term dropped: length + 8 -> length": (
        "a file shorter than its header has been refused, and each tensor adds to it"
    ),
}


def changes_nothing(fault: Fault) -> bool:
    """Whether a fault is one of those above."""
    if fault.name in EQUIVALENT:
        return True
    return any(
        fault.path == f"tapegrad/{path}"
        and (name in fault.where.split(".") or re.search(rf"\b{name}\b", fault.before))
        for path, name in QUIET
    )
