"""SymPy's witness: derivatives of a tape's closed form, with 50 digits. Floor 10.

The tape is replayed on symbols; SymPy differentiates what comes out, so that no rule of
the table takes part. A formula can be too long, or take SymPy too long: calls are
counted, and where they are spent it has no answer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.errors import DomainError, ShapeError
from tapegrad.proof.oracle import Judge
from tapegrad.proof.witnesses import Direction, Point, Witness
from tapegrad.symbolic.budget import within
from tapegrad.tape import Tape

# Steps, and entries of all arrays together, beyond which SymPy is not asked; and the
# size of matrices whose inverse it can still differentiate.
SYMBOLIC, SYMBOLIC_ENTRIES, SYMBOLIC_MATRIX = 300, 400, 2
# Calls of functions that SymPy may make for one derivative.
SYMBOLIC_CALLS = 3_000_000
# Steps of which SymPy is asked for third derivatives.
SYMBOLIC_THIRD = 60


class ClosedForm:
    """SymPy's derivatives of a tape's formula, each of them worked out once.

    Args:
        tape: a flat tape with one output.
        point: where.
    """

    def __init__(self, tape: Tape, point: Point) -> None:
        self.tape = tape
        self.point = point
        self._asked = False
        self._form: Any = None
        self._names: dict[tuple[int, tuple[int, ...]], Any] = {}
        self._known: dict[tuple[Any, ...], Any] = {}

    def along(
        self, directions: Sequence[Direction], by: Sequence[Direction] = ()
    ) -> Witness:
        """Derivatives along directions, of the one by others; None without an answer.

        Args:
            directions: along which.
            by: what the form is differentiated by before.
        """
        nothing: Witness = [None] * len(directions)
        long = len(by) > 1 and len(self.tape) > SYMBOLIC_THIRD
        if long or any(one.place < 0 for one in by) or self._formula() is None:
            return nothing
        at = [float(x) for x in self._numbers()]
        where = dict(zip(self._names.values(), at, strict=True))
        found = list(nothing)
        for row, direction in enumerate(directions):
            if direction.place < 0 or self._form is None:
                continue
            task = functools.partial(self._judged, (*by, direction), at, where)
            found[row] = within(SYMBOLIC_CALLS, task, self._given_up)
        return found

    def _judged(
        self, by: Sequence[Direction], at: Sequence[float], where: Mapping[Any, float]
    ) -> float | None:
        derivative = self._derivative(by)
        if _at_kink(derivative, where):
            return None
        try:
            exact = Judge(list(self._names.values()), derivative)(at)
        except NotImplementedError:  # floor' and the like stay unevaluated
            return None
        return None if exact is None else float(exact)

    def _given_up(self) -> None:
        """SymPy took too long, and will over the next derivative, too."""
        self._form = None

    def _derivative(self, by: Sequence[Direction]) -> Any:
        import sympy as sp

        form = self._form
        names = tuple(self._names[one.place, one.index] for one in by)
        for count, name in enumerate(names, 1):
            key = names[:count]
            if key not in self._known:
                self._known[key] = sp.diff(form, name)
            form = self._known[key]
        return form

    def _numbers(self) -> list[Any]:
        return [
            np.asarray(self.point.inputs[place])[index] for place, index in self._names
        ]

    def _formula(self) -> Any:
        """The closed form; None where there is none, or too long a one."""
        if not self._asked:
            self._asked = True
            self._form = within(SYMBOLIC_CALLS, self._written, lambda: None)
        return self._form

    def _written(self) -> Any:
        tape, point = self.tape, self.point
        if len(tape) > SYMBOLIC or point.entries(tape) > SYMBOLIC_ENTRIES:
            return None
        import sympy as sp

        from tapegrad.readings.sympy import SYMPY
        from tapegrad.readings.sympymatrices import MATRICES
        from tapegrad.symbolic.closed import careful
        from tapegrad.symbolic.limits import limited

        if any(
            step.primitive.name in MATRICES
            and max(tape.aval_of(step.operands[0])[0], default=0) > SYMBOLIC_MATRIX
            for step in tape.steps
        ):
            return None
        inputs = list(map(SYMPY.number, point.inputs))
        for place in point.floating:
            shape = np.shape(point.inputs[place])
            box = np.empty(shape, object)
            for index in np.ndindex(shape):
                name = sp.Symbol(f"x{len(self._names)}", real=True)
                self._names[place, index] = box[index] = name
            inputs[place] = box if shape else box[()]
        try:
            limited(tape)
            form = careful(
                lambda: sp.sympify(sweeps.replay(tape, SYMPY, inputs)[tape.outputs[0]]),
                "the formula",
            )
        except (DomainError, ShapeError, np.linalg.LinAlgError):
            return None
        # outside the domain formulas go on
        at = list(map(float, self._numbers()))
        return None if Judge(list(self._names.values()), form)(at) is None else form


def _at_kink(derivative: Any, point: Mapping[Any, float]) -> bool:
    """Whether SymPy's conventions for jumps, which are not the table's, decide."""
    import sympy as sp

    jumps = derivative.atoms(sp.Heaviside, sp.sign, sp.DiracDelta)
    return any(abs(jump.args[0].subs(point).evalf()) < 1e-12 for jump in jumps)
