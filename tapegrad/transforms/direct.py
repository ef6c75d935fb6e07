"""Compiled functions that answer a transform themselves. Floor 11.

A transform records what it is given. Where that is compiled code and is called with the
very floats and arrays it takes, its own methods have the answer, in a few microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.calls import steps_of
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import SCALAR, Aval, Tape


def takes(f: Any, *calls: Sequence[Any]) -> bool:
    """Whether f is compiled code of bare arguments that are floats.

    Args:
        f: what a transform was given.
        *calls: the arguments, and directions of the same shapes.
    """
    tape = steps_of(f)
    if tape is f or not isinstance(tape, Tape):
        return False
    structure = tape.structure
    if structure.keywords or not all(tree.bare for tree in structure.arguments):
        return False
    avals = [tape.aval_of(slot) for slot in tape.inputs]
    return all(
        len(args) == len(avals) and all(map(_exact, args, avals)) for args in calls
    )


def is_scalar(f: Any) -> bool:
    """Whether compiled code gives one bare float."""
    tape = f.tape
    bare = tape.structure.result.bare and len(tape.outputs) == 1
    return bool(bare and tape.aval_of(tape.outputs[0]) == SCALAR)


def _exact(x: Any, aval: Aval) -> bool:
    shape, dtype = aval
    if aval == SCALAR:
        return type(x) is float
    if type(x) is not np.ndarray or dtype not in FLOATING:
        return False
    return bool(x.shape == shape and x.dtype == dtype)
