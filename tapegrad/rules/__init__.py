"""The table of primitives: one row each, written once, read many ways. Floor 1.

To add a primitive, add a row in the module of its family. Nothing else lists them.
"""

from tapegrad.rules import (
    arithmetic,
    elementary,
    factors,
    gamma,
    hyperbolic,
    indexing,
    kinks,
    linalg,
    logistic,
    movement,
    products,
    reductions,
    rounding,
    special,
    stacks,
    structure,
    trigonometric,
)
from tapegrad.rules.primitive import INF, REAL, TABLE, Edge, Primitive, Sample, Table

__all__ = [
    "INF",
    "REAL",
    "TABLE",
    "Edge",
    "Primitive",
    "Sample",
    "Table",
    "arithmetic",
    "elementary",
    "factors",
    "gamma",
    "hyperbolic",
    "indexing",
    "kinks",
    "linalg",
    "logistic",
    "movement",
    "products",
    "reductions",
    "rounding",
    "special",
    "stacks",
    "structure",
    "trigonometric",
]
