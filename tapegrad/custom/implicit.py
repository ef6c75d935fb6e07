"""Solutions of equations, differentiated by the implicit function theorem. Floor 8."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ambient import current
from tapegrad.custom.equations import IMPLICIT
from tapegrad.custom.inputs import Inputs
from tapegrad.custom.solver import Solver, as_unknown
from tapegrad.errors import RecordError, ShapeError
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import Recorder, recording_onto
from tapegrad.recording import is_output, output_slot
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import Tree, flatten

Function = Callable[..., Any]


def implicit(F: Function, solve: Function, *, tolerance: float = 1e-6) -> Function:  # noqa: N803 - as mathematics writes it
    """The solution x of ``F(x, *args) = 0`` as a differentiable function of args.

    Args:
        F: a function of the unknowns and the arguments that returns as many numbers as
            there are unknowns, nested in any way. It is recorded.
        solve: ``solve(*args)`` finds the unknowns, at plain numbers and arrays, by any
            means: SciPy, a table, a loop. It is not recorded, and runs again on every
            replay.
        tolerance: relative accuracy of the unknowns that is asked of the solver,
            dimensionless. Residuals of F above what such an error would leave are
            refused.

    Returns:
        A function of args that returns the unknowns, nested as `solve` returns them.
        Derivatives of every order and in both modes are those of the exact solution
        near by: a linear system with dF/dx each, whatever the solver did.

    Raises:
        DomainError: F is not near 0 at what `solve` found; or dF/dx is singular.
        ShapeError: another number of equations than of unknowns.
        RecordError: F reads a Value that is no argument.
        CompileError: native code of it is asked for; a solver is Python code.
        TapeFormatError: a tape of it is saved to a file.

    Example:
        >>> import tapegrad as tg
        >>> root = tg.implicit(lambda x, a: x * x - a, lambda a: a**0.5)
        >>> root(4.0), tg.grad(root)(4.0), tg.grad(tg.grad(root))(4.0)
        (2.0, 0.25, -0.03125)
    """

    @functools.wraps(solve)
    def solution(*args: Any) -> Any:
        inputs = Inputs(solve, args)
        solver = Solver(solve, tuple(inputs.trees))
        leaves, tree = solver.solution(
            [getattr(x, "_data", x) for x in inputs.operands]
        )
        if not leaves or tree.statics:
            msg = f"{solver} found {tree.build(leaves)!r}, and numbers are needed"
            raise RecordError(msg)
        solver.result = tree
        unknowns = [as_unknown(leaf) for leaf in leaves]
        params = {
            "tape": _recorded(F, solver, inputs, unknowns, tree),
            "solve": solver,
            "count": len(unknowns),
            "tolerance": float(tolerance),
            "name": _name(F, solve),
        }
        if inputs.plain:
            with np.errstate(all="ignore"):
                found = IMPLICIT.run(MIXED, inputs.operands, params)  # type: ignore[misc]
            return tree.build([np.array(y) if np.shape(y) else y for y in found])
        return tree.build(apply_nested(IMPLICIT, inputs.operands, params))

    return solution


def _recorded(
    F: Function,  # noqa: N803
    solver: Solver,
    inputs: Inputs,
    unknowns: list[Any],
    tree: Tree,
) -> Any:
    """The equations as a tape of the unknowns and the arguments.

    Raises:
        ShapeError: another number of equations than of unknowns.
        RecordError: F reads a Value that is no argument, or returns no numbers.
    """
    around = current()
    recorder = Recorder(around if isinstance(around, Recorder) else None)
    name = getattr(F, "__name__", type(F).__name__) + "()"
    first = [
        recorder.variable(y, "x" if tree.bare else f"x{k}")
        for k, y in enumerate(unknowns)
    ]
    mine = inputs.variables(recorder)
    slots = tuple(handle._i for handle in [*first, *mine])
    with recording_onto(recorder):
        result = F(tree.build(first), *inputs.nest(mine))
        leaves, nested = flatten(result, is_output)
        if not leaves or nested.statics:
            msg = f"{name} returned {result!r}, and residuals are numbers"
            raise RecordError(msg)
        outputs = tuple(output_slot(recorder, leaf, name) for leaf in leaves)
    if recorder.captured:
        msg = (
            f"{name} reads {recorder.captured[0].where_from()} of the recording around "
            f"it, which is no argument, so {solver} knows nothing of it; pass it as an "
            "argument"
        )
        raise RecordError(msg)
    count = sum(math.prod(np.shape(y)) for y in unknowns)
    avals = [recorder.aval_at(slot) for slot in outputs]
    found = sum(math.prod(shape) for shape, _ in avals)
    if count != found or any(dtype not in FLOATING for _, dtype in avals):
        shapes = ", ".join(str(shape) for shape, _ in avals)
        msg = (
            f"{name} gives {found} equations (of shape {shapes}) for the {count} "
            f"unknowns that {solver} finds; there must be as many"
        )
        raise ShapeError(msg)
    example = tuple(handle._data for handle in [*first, *mine])
    return prune(recorder.freeze(slots, outputs, example=example))


def _name(*functions: Function) -> str:
    """What the step is called: the first name that is one."""
    names = [getattr(f, "__name__", "") for f in functions]
    return next((name for name in names if name.isidentifier()), "implicit")
