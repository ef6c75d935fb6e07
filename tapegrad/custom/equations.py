"""The row of a solution of equations. Floor 8.

    F(x, a) = 0      x_dot = -(dF/dx)^-1 dF/da a_dot
                     a_bar = -(dF/da)^T (dF/dx)^-T x_bar

(The implicit function theorem; Griewank & Walther section 15.1.) The solution is found
by the user's solver; the derivatives need F alone. Since the rule reads the solution's
own slots, it is differentiated again like any other: every order exists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.custom.solver import Solver
from tapegrad.derivatives import gradient_tape
from tapegrad.errors import DomainError, ShapeError
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape

# Newton steps at most on the way to many digits: each doubles them.
POLISH = 60
# Residuals below are near 0 whatever the scale: products of rounded numbers.
TINY = 1e-12
# Residuals in float32 have about six digits.
SINGLE = 1e-3


def _shape(given: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    tape, count = params["tape"], params["count"]
    takes = [tape.aval_of(slot) for slot in tape.inputs]
    if list(given) != takes[count:]:
        msg = f"the equations take {takes[count:]}, and get {list(given)}"
        raise ShapeError(msg)
    gives = [tape.aval_of(slot) for slot in tape.outputs]
    sizes = [
        sum(math.prod(shape) for shape, _ in avals) for avals in (takes[:count], gives)
    ]
    if sizes[0] != sizes[1] or any(dtype not in FLOATING for _, dtype in gives):
        msg = f"{sizes[1]} equations for {sizes[0]} unknowns"
        raise ShapeError(msg)
    return takes[:count]


# -- the linear systems ------------------------------------------------------------


def jacobian_tape(tape: Tape, count: int) -> Tape:
    """A tape of the residuals and their derivatives by the unknowns, made once."""
    known, key = tape._known, f"unknowns {count}"
    if key not in known:
        known[key] = sweeps.flat(gradient_tape(tape, wrt=range(count)))
    return known[key]  # type: ignore[no-any-return]


class System:
    """The equations and their matrix dF/dx at a point, in a reading.

    Args:
        m: the reading.
        params: of the step.
        ys: the unknowns, one a leaf.
        xs: the arguments.
    """

    def __init__(self, m: Any, params: Any, ys: Sequence[Any], xs: Any) -> None:
        tape, self.count = params["tape"], params["count"]
        self.m, self.name = m, params["name"]
        found = sweeps.outputs(jacobian_tape(tape, self.count), m, [*ys, *xs])
        many = len(tape.outputs)
        self.residuals, blocks = found[:many], found[many:]
        self.unknowns = [tape.aval_of(slot)[0] for slot in tape.inputs[: self.count]]
        self.equations = [tape.aval_of(slot)[0] for slot in tape.outputs]
        self.single = self.unknowns == [()] == self.equations
        self.matrix = blocks[0] if self.single else self._joined(blocks)

    def _joined(self, blocks: Sequence[Any]) -> Any:
        """dF/dx, a row an equation and a column an unknown."""
        m, rows = self.m, []
        for k, shape in enumerate(self.equations):
            mine = blocks[k * self.count : (k + 1) * self.count]
            flat = [
                m.reshape(block, shape=(math.prod(shape), math.prod(other)))
                for block, other in zip(mine, self.unknowns, strict=True)
            ]
            rows.append(m.concatenate(*flat, axis=1))
        return m.concatenate(*rows, axis=0)

    @property
    def flat(self) -> bool:
        """Whether the slope of a single equation is the number 0."""
        known = self.m.name != "recorder" and not self.m.symbolic
        return self.single and known and not self.matrix

    def solve(self, right: Sequence[Any], *, transposed: bool = False) -> list[Any]:
        """The solution of a system with dF/dx, or with its transpose.

        Raises:
            DomainError: the matrix is singular.
        """
        m = self.m
        into = self.equations if transposed else self.unknowns
        if self.single:
            if self.flat:
                raise self._singular(1)
            return [right[0] / self.matrix]
        matrix = m.transpose(self.matrix, axes=(1, 0)) if transposed else self.matrix
        columns = [
            m.reshape(part, shape=(math.prod(m.shape(part)), 1)) for part in right
        ]
        try:
            found = m.solve(matrix, m.concatenate(*columns, axis=0))
        except np.linalg.LinAlgError:
            size = sum(math.prod(shape) for shape in into)
            raise self._singular(size) from None
        parts, start = [], 0
        for shape in into:
            size = math.prod(shape)
            part = m.index(found, key=((start, size, 1),))
            parts.append(m.reshape(part, shape=shape))
            start += size
        return parts

    def _singular(self, size: int) -> DomainError:
        msg = (
            f"{self.name}: dF/dx, of shape ({size}, {size}), is singular at the "
            "solution, so the solution is no smooth function of the arguments; "
            "look for a double root, or for equations that depend on each other"
        )
        return DomainError(msg)


# -- the rules ---------------------------------------------------------------------


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    solver: Solver = params["solve"]
    if m.symbolic or m.name == "recorder":
        error = getattr(m, "error", DomainError)
        msg = (
            f"{params['name']} is solved by {solver}, which is Python code: it has no "
            "formula and no native code. Replay or differentiate the tape itself"
        )
        raise error(msg)
    floats = [_floats(x) for x in xs]
    tape = params["tape"]
    avals = [tape.aval_of(slot) for slot in tape.inputs[: params["count"]]]
    ys = [m.number(leaf) for leaf in solver(floats, avals)]
    if any(np.isnan(x).any() for x in floats if np.asarray(x).dtype.kind == "f"):
        return [m.like(0, y) * m.const("nan") for y in ys]
    if m.name.startswith("mpmath"):
        ys = _polished(m, params, ys, xs)
    _check(m, params, ys, xs)
    return ys


def _floats(x: Any) -> Any:
    """A number or array of any reading as floats; integers stay."""
    if isinstance(x, np.ndarray) and x.dtype.kind != "O":
        return x
    if isinstance(x, np.ndarray):
        return np.vectorize(float, otypes=[np.float64])(x)
    return x if isinstance(x, bool | np.integer) else float(x)


def _polished(m: Any, params: Any, ys: list[Any], xs: Sequence[Any]) -> list[Any]:
    """Newton's method from the solver's floats, to the digits of the reading."""
    last = math.inf
    for _ in range(POLISH):
        system = System(m, params, ys, xs)
        if system.flat:  # a double root has the digits that it has
            break
        steps = system.solve(system.residuals)
        size = max((_largest(step) for step in steps), default=0)
        if not size < last:
            break
        ys = [y - step for y, step in zip(ys, steps, strict=True)]
        last = size
    return ys


def _largest(x: Any) -> Any:
    """The largest magnitude of a number or array."""
    entries = np.ravel(np.asarray(x, object)).tolist()
    return max((abs(getattr(entry, "value", entry)) for entry in entries), default=0)


def _check(m: Any, params: Any, ys: Sequence[Any], xs: Sequence[Any]) -> None:
    """Refuse a solution that is none.

    A residual is compared with what a relative change of the unknowns by the tolerance
    would make of it, so that the scale of the equations does not matter.
    """
    system = System(m, params, ys, xs)
    matrix = np.abs(_floats(np.asarray(system.matrix)))
    size = np.concatenate([np.ravel(_floats(np.asarray(y))) for y in ys])
    tolerance = max(params["tolerance"], SINGLE if m.name == "float32" else 0.0)
    scale = np.reshape(matrix, (size.size, size.size)) @ np.maximum(np.abs(size), 1.0)
    residual = np.abs(
        np.concatenate([np.ravel(_floats(np.asarray(r))) for r in system.residuals])
    )
    bad = np.flatnonzero(~(residual <= tolerance * scale + TINY))
    if len(bad):
        worst = int(bad[np.argmax(np.nan_to_num(residual[bad], nan=np.inf))])
        msg = (
            f"{params['name']}: the solution of {params['solve']} is none: equation "
            f"{worst} of {residual.size} leaves the residual {residual[worst]:.3g}, "
            f"and at most {tolerance * scale[worst] + TINY:.3g} counts as 0. Make the "
            "solver more accurate, or pass a larger tolerance= to tg.implicit"
        )
        raise DomainError(msg)


def _replayed(
    m: Any, ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> tuple[Tape, list[Any]]:
    base = sweeps.flat(params["tape"])
    return base, sweeps.replay(base, m, [*ys, *xs])


def _pull(
    m: Any, bars: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    full = [
        m.like(0, y) if bar is None else bar for y, bar in zip(ys, bars, strict=True)
    ]
    seeds = System(m, params, ys, xs).solve(full, transposed=True)
    base, values = _replayed(m, ys, xs, params)
    slots = base.inputs[params["count"] :]
    given = sweeps.summed(base.outputs, [-seed for seed in seeds])
    found = sweeps.adjoint(base, m, values, given, slots)
    return [found[slot] for slot in slots]


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    base, values = _replayed(m, ys, xs, params)
    slots = base.inputs[params["count"] :]
    seeds = {
        slot: dot for slot, dot in zip(slots, dots, strict=True) if dot is not None
    }
    moved = sweeps.tangent(base, m, values, seeds)
    right = [
        m.like(0, values[slot]) if moved[slot] is None else moved[slot]
        for slot in base.outputs
    ]
    return [-part for part in System(m, params, ys, xs).solve(right)]


IMPLICIT = row(
    Primitive(
        "implicit",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=(
            dict.fromkeys(("tape", "solve", "count", "tolerance"))
            | {"name": "implicit"},
        ),
        run=_run,
        shape=_shape,
        pull=_pull,
        push=_push,
        source="the solution of equations; Griewank & Walther section 15.1",
    )
)
