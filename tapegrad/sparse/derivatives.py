"""tg.sparse_jacobian and tg.sparse_hessian. Floor 9.

Recorded once, at the example; the tape gives the pattern, the pattern the colours.
Each call is then one replay and as many sweeps as there are colours.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad import sweeps
from tapegrad.binding import arithmetic_of, bind, numbers, plain
from tapegrad.derivatives import differentiable, gradient_tape, scalar_output
from tapegrad.errors import CompileError, ShapeError
from tapegrad.recording import record
from tapegrad.sparse.plan import Plan, hessian_plan, jacobian_plan
from tapegrad.sparse.written import Written, written
from tapegrad.tape.tape import Tape

if TYPE_CHECKING:
    import scipy.sparse as sp

Argnums = int | tuple[int, ...]
Maker = Callable[[Tape, Sequence[int], dict[int, Any]], Plan]

# A derivative of so many entries gets native code, where its sweeps are no more than so
# many steps: at the second call, or later by so many steps a call. The compiler takes
# some milliseconds a step, and the interpreter has the time back by and by.
MANY, SHORT, PACE = 1000, 1000, 50


class Sparse:
    """A derivative that is called for a scipy.sparse.csr_array.

    Attributes:
        tape: the function, recorded at the example.
    """

    def __init__(
        self,
        tape: Tape,
        derived: Tape,
        argnums: Argnums,
        maker: Maker,
        *,
        plan: Plan | None = None,
        level: str | None = None,
    ) -> None:
        self.tape = tape
        self._argnums = argnums
        self._base = sweeps.flat(derived)
        self._maker = maker
        self._square = maker is hessian_plan
        chosen, self._cuts = chosen_places(tape, argnums)
        self._wrt = [self._base.inputs[place] for place in chosen]
        smooth = set(differentiable(tape))
        self._still = [
            (place, slot)
            for place, slot in enumerate(self._base.inputs)
            if place not in smooth
        ]
        self._plan = plan or self._made(self._numbers(tape.example or ()))
        self._level = level
        self._written: tuple[Plan, Written] | None = None
        self._called: tuple[Plan | None, int] = None, 0  # in a row, with one plan
        self._refused = False  # whether a step has no native code
        if level is not None:
            self._kernel(self._plan)

    @property
    def pattern(self) -> sp.csr_array:
        """Where the derivative can be nonzero: a csr_array of truth values."""
        return self._plan.pattern.copy()

    @property
    def colors(self) -> np.ndarray[Any, Any]:
        """The colour of each column, or of each row: see `mode`."""
        return self._plan.colours.copy()

    @property
    def mode(self) -> str:
        """``columns`` (forward sweeps), ``rows`` (reverse) or ``star`` (a Hessian)."""
        return "star" if self._square else "rows" if self._plan.rows else "columns"

    @property
    def native(self) -> bool:
        """Whether there is native code for it: asked for, or made after some calls."""
        return self._written is not None

    def __repr__(self) -> str:
        rows, columns = self._plan.pattern.shape
        word = "hessian" if self._square else "jacobian"
        return (
            f"<sparse {word} {rows} x {columns}: {self._plan.pattern.nnz} entries, "
            f"{self._plan.count} colours ({self.mode})>"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The derivative at these arguments.

        Returns:
            A csr_array with an entry for each of the pattern; a tuple of them where
            argnums is a tuple (for a Hessian, a tuple of tuples).

        Raises:
            ShapeError: another shape or structure than at the example.
            BranchChanged: a guard does not hold here.
        """
        plan, inputs = self._plan, None
        if self._still:
            inputs = self._inputs(args, kwargs)
            if not plan.fits(self._fixed(inputs)):
                self._plan = plan = self._made(inputs)
        native = self._native(plan)
        found = None if native is None else native.entries(args, kwargs)
        if found is None:
            # the interpreter tells a NaN of the function from one of a seed's zero
            if inputs is None:
                inputs = self._inputs(args, kwargs)
            with np.errstate(all="ignore"):
                found = plan.entries(arithmetic_of(self._base, "float64"), inputs)
        return self._nested(_matrix(plan.pattern, found))

    def compile(self, level: str = "auto") -> Sparse:
        """The same derivative with all its sweeps as native code.

        Args:
            level: of optimisation, as for `Tape.compile`.

        Raises:
            CompileError: a step has no native code.
        """
        parts = self.tape, self._base, self._argnums, self._maker
        return Sparse(*parts, plan=self._plan, level=level)

    def _native(self, plan: Plan) -> Written | None:
        """The native code for a plan, where it was asked for or is worth it."""
        if not plan.places.size:
            return None
        if self._level is not None:
            return self._kernel(plan)
        if self._written is not None and self._written[0] is plan:
            return self._written[1]
        steps = plan.count * len(self._base)
        if self._refused or plan.places.size < MANY or steps > SHORT:
            return None
        before = self._called[1] if self._called[0] is plan else 0
        self._called = plan, before + 1
        if before + 1 < max(2, steps // PACE):
            return None
        try:
            return self._kernel(plan)
        except CompileError:
            self._refused = True
            return None

    def _kernel(self, plan: Plan) -> Written:
        """The native code for a plan; another plan has other seeds."""
        if self._written is None or self._written[0] is not plan:
            self._written = (plan, written(plan, self.tape, self._level or "auto"))
        return self._written[1]

    def _inputs(self, args: Any, kwargs: Any) -> list[Any]:
        return self._numbers(plain(self.tape, bind(self.tape, args, kwargs)))

    def _numbers(self, leaves: Sequence[Any]) -> list[Any]:
        return numbers(self._base, arithmetic_of(self._base, "float64"), leaves)

    def _fixed(self, inputs: Sequence[Any]) -> dict[int, Any]:
        return {slot: inputs[place] for place, slot in self._still}

    def _made(self, inputs: Sequence[Any]) -> Plan:
        fixed = {
            slot: np.array(x) if isinstance(x, np.ndarray) else x
            for slot, x in self._fixed(inputs).items()
        }
        return self._maker(self._base, self._wrt, fixed)

    def _nested(self, whole: Any) -> Any:
        if isinstance(self._argnums, int):
            return whole
        cuts = list(zip(self._cuts, self._cuts[1:], strict=False))
        if not self._square:
            return tuple(whole[:, low:high] for low, high in cuts)
        return tuple(
            tuple(whole[top:end, low:high] for low, high in cuts) for top, end in cuts
        )


def _matrix(pattern: sp.csr_array, entries: Any) -> sp.csr_array:
    """A matrix of a pattern; its index arrays are its own, and may be written to."""
    # SciPy's constructor looks for the least dtype of the indices each time
    made = copy.copy(pattern)
    made.data = entries
    made.indices, made.indptr = pattern.indices.copy(), pattern.indptr.copy()
    return made


def sparse_jacobian(
    f: Callable[..., Any], *example: Any, argnums: Argnums = 0, **kwargs: Any
) -> Sparse:
    """A Jacobian that knows its zeros: pattern and colours are found once.

    Args:
        f: a function of floats and arrays in any nesting; or a tape.
        *example: arguments to record it at; for a tape they may be left out.
        argnums: which argument the columns are for; a tuple gives a tuple.
        **kwargs: as example, by keyword.

    Returns:
        A callable of f's arguments that gives a scipy.sparse.csr_array: a row for each
        entry of the outputs, a column for each entry of the argument, both in order.
        `.pattern` and `.colors` say what was found.

    Raises:
        ShapeError: nothing to differentiate by, or the derivative is not sparse.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> jacobian = tg.sparse_jacobian(lambda x: x[1:] * x[:-1], np.ones(4))
        >>> print(jacobian(np.array([1.0, 2.0, 3.0, 4.0])).toarray())
        [[2. 1. 0. 0.]
         [0. 3. 2. 0.]
         [0. 0. 4. 3.]]
        >>> int(jacobian.colors.max()) + 1
        2

    Source: Curtis, Powell and Reid (1974); Griewank & Walther chapters 7 and 8.
    """
    tape = _recorded(f, example, kwargs)
    return Sparse(tape, tape, argnums, jacobian_plan)


def sparse_hessian(
    f: Callable[..., Any], *example: Any, argnums: Argnums = 0, **kwargs: Any
) -> Sparse:
    """A Hessian that knows its zeros; arguments as for `sparse_jacobian`.

    Returns:
        A callable that gives a symmetric scipy.sparse.csr_array, from products of the
        Hessian with as many directions as a star colouring has colours.

    Raises:
        ShapeError: f gives more than one number, or the Hessian is not sparse.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> f = lambda x: np.sum(x[1:] * x[:-1] ** 2)
        >>> hessian = tg.sparse_hessian(f, np.ones(3))
        >>> print(hessian(np.array([1.0, 2.0, 3.0])).toarray())
        [[4. 2. 0.]
         [2. 6. 4.]
         [0. 4. 0.]]

    Source: Gebremedhin, Manne and Pothen, SIAM Review 47 (2005), section 4.
    """
    tape = _recorded(f, example, kwargs)
    scalar_output(tape)
    places, _ = chosen_places(tape, argnums)
    derived = gradient_tape(tape, values=False, wrt=places)
    return Sparse(tape, derived, argnums, hessian_plan)


def _recorded(f: Any, example: Sequence[Any], kwargs: dict[str, Any]) -> Tape:
    if not isinstance(f, Tape):
        return record(f, *example, **kwargs)
    if example or kwargs:
        f(*example, **kwargs)  # says what does not fit
    if f.example is None:
        msg = "the tape carries no example; record the function again"
        raise ShapeError(msg)
    return f


def chosen_places(tape: Tape, argnums: Argnums) -> tuple[list[int], list[int]]:
    """Inputs of the chosen arguments that have a derivative, and where each begins.

    Raises:
        ShapeError: there is no such argument, or it holds no float.
    """
    structure, smooth = tape.structure, set(differentiable(tape))
    trees = structure.arguments
    starts = np.cumsum([0, *(len(tree.dynamic) for tree in trees)]).tolist()
    found: list[int] = []
    cuts = [0]
    for number in (argnums,) if isinstance(argnums, int) else argnums:
        if not -structure.positional <= number < structure.positional:
            msg = (
                f"argnums={argnums}, but the example has {structure.positional} "
                "positional arguments"
            )
            raise ShapeError(msg)
        place = number % structure.positional
        mine = [i for i in range(starts[place], starts[place + 1]) if i in smooth]
        if not mine:
            msg = (
                f"args[{number}] holds no float, and there is nothing to differentiate "
                "by; pass floats (2.0, not 2; x.astype(float))"
            )
            raise ShapeError(msg)
        if set(mine) & set(found):
            msg = f"argnums={argnums} names an argument twice"
            raise ShapeError(msg)
        found += mine
        sizes = (np.prod(tape.aval_of(tape.inputs[i])[0], dtype=int) for i in mine)
        cuts.append(cuts[-1] + int(sum(sizes)))
    return found, cuts
