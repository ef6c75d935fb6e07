"""What users hold: a tape as native code. Floor 9; loads llvmlite.

The value is lowered from the tape, derivatives from tapes that are made of it: of its
gradient, its pullbacks, or its tangents. Each is built when it is first asked for.
Where arguments and result are numbers and arrays, the methods are builtins without a
Python frame; other structures are taken apart and put together in Python around the
same kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tapegrad import sweeps
from tapegrad.derivatives import (
    differentiable,
    gradient_tree,
    scalar_output,
)
from tapegrad.native import (
    arraycalls,
    arrayjacobian,
    directions,
    numbercalls,
    thunk,
)
from tapegrad.native.arraycalls import Shaped
from tapegrad.native.arrayentry import ArrayKernel
from tapegrad.native.budget import left_out
from tapegrad.native.directions import Along
from tapegrad.native.entry import Kernel, builtin
from tapegrad.native.keeping import Asked
from tapegrad.native.locks import Lock, Once
from tapegrad.native.nesting import builder, result_maker
from tapegrad.native.numbercalls import Floats
from tapegrad.native.options import DEFAULT, Options
from tapegrad.native.outs import takes_out
from tapegrad.native.report import Report
from tapegrad.native.scalars.kernels import build_numbers, is_numbers, rows_fit
from tapegrad.native.scalars.woven import adjoint_tape
from tapegrad.native.uncompiled import interpreted
from tapegrad.tape.tape import Tape

if TYPE_CHECKING:
    import numpy as np


class Compiled:
    """A tape as native code; made by `Tape.compile` or `tg.compile`.

    Call it for the value. The methods give what the tape's methods of the same name
    give, nested alike. With ``out=``, arrays nested like the result are filled with it
    and come back; None stands for what is to be made new. Pickling keeps the tape and
    the options, and builds again.

    Attributes:
        tape: the tape it was made from.
        options: as they were asked for.

    Example:
        >>> import tapegrad as tg
        >>> tape = tg.record(lambda x, y: x * y + y, 2.0, 3.0)
        >>> tape.compile().value_and_gradient(4.0, 5.0)
        (25.0, (5.0, 5.0))
    """

    def __init__(self, tape: Tape, options: Options = DEFAULT) -> None:
        self.tape = tape
        self.options = options
        self._base = sweeps.flat(tape)
        self._lock = Lock()
        self._parts: dict[str, Kernel | ArrayKernel] = {}
        self._left: dict[str, str] = {}
        self._ufuncs: dict[str, np.ufunc] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self.tape, self.options)

    def __repr__(self) -> str:
        built = ", ".join(self._parts) or "nothing"
        return f"<Compiled: {len(self.tape)} steps, {built} built so far>"

    @property
    def level(self) -> str:
        """LLVM's level, as it was asked for."""
        return self.options.level

    @property
    def report(self) -> Report:
        """What has been built so far, and what it took."""
        parts = {name: kernel.part for name, kernel in self._parts.items()}
        left = dict(self._left)
        return Report(2, self.options.level, len(self.tape), parts, left)

    # -- what users call -------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs, nested as the function returned them."""
        return self.value(*args, **kwargs)

    @Once
    def value(self) -> Callable[..., Any]:
        """The same as calling it; for plain numbers without a Python frame."""
        # a bound method of self here would be a cycle, and keep the code alive
        shape, bare = result_maker(self.tape)
        kind = thunk.VALUE if bare else thunk.FLAT
        return self._door("value", "value", kind, shape)

    @Once
    def value_and_gradient(self) -> Callable[..., Any]:
        """``(value, gradient)``; the gradient is bare for one argument."""
        scalar_output(self.tape)
        nest = _nester(self.tape)
        return self._door(
            "value_and_gradient",
            "gradient",
            thunk.PAIR,
            lambda found: (found[0], nest(found, 1)),
        )

    @Once
    def gradient(self) -> Callable[..., Any]:
        """The gradient, nested like the arguments."""
        scalar_output(self.tape)
        nest = _nester(self.tape)
        return self._door(
            "gradient", "gradient", thunk.GRADIENT, lambda found: nest(found, 1)
        )

    @Once
    def jacobian(self) -> Callable[..., Any]:
        """Every output's gradient, nested like the outputs, then the arguments."""
        one = arrayjacobian.few_numbers(self._base) or rows_fit(self._base)
        if self._base.arrays and not one:
            if self._leaves_out("pullback 0"):
                return self.tape.jacobian
            return arrayjacobian.Jacobian(self.tape, self._base, self._array_kernel)
        nest, build = _nester(self.tape), builder(self.tape.structure.result)
        inputs, outputs = len(differentiable(self._base)), len(self.tape.outputs)
        starts = [outputs + row * inputs for row in range(outputs)]
        return self._door(
            "jacobian",
            "gradient",
            thunk.FLAT,
            lambda found: build([nest(found, start) for start in starts]),
        )

    @Once
    def hessian(self) -> Callable[..., Any]:
        """Second derivatives, nested like the arguments, twice."""
        scalar_output(self.tape)
        return Compiled(adjoint_tape(self.tape), self.options).jacobian

    def jvp(self, args: Any, tangents: Any, *, out: Any = None) -> Any:
        """``(value, tangent)`` along a direction; tuples, one entry an argument."""
        return self._jvp(args, tangents, out)

    def vjp(self, args: Any, cotangents: Any, *, out: Any = None) -> Any:
        """``(value, adjoints)`` for adjoints of the outputs, nested like them."""
        return self._vjp(args, cotangents, out)

    def hvp(self, args: Any, direction: Any, *, out: Any = None) -> Any:
        """Hessian times a direction; tuples, one entry an argument."""
        return self._hvp(args, direction, out)

    @Once
    def _jvp(self) -> Along:
        return directions.jvp_of(self.tape, self._derived)

    @Once
    def _vjp(self) -> Along:
        return directions.vjp_of(self.tape, self._derived)

    @Once
    def _hvp(self) -> Along:
        return directions.hvp_of(self.tape, self._derived)

    def ufunc(self) -> np.ufunc:
        """The value as a NumPy ufunc: broadcasting, ``out=``, ``where=``.

        A tape of numbers takes arrays of points; one of arrays becomes a generalised
        ufunc, whose core dimensions are those of its arguments. It runs in blocks, as
        code of vectors, and lets other threads run. It is not pickled; this object is.

        Raises:
            CompileError: the tape has guards, or inputs that are not float64.

        Example:
            >>> import numpy as np, tapegrad as tg
            >>> area = tg.compile(lambda r, h: 3.0 * r * r * h, 1.0, 1.0).ufunc()
            >>> area(np.array([1.0, 2.0]), np.array([[1.0], [10.0]]))
            array([[  3.,  12.],
                   [ 30., 120.]])
        """
        return self._ufunc("value")

    def gradient_ufunc(self, *, value: bool = False) -> np.ufunc:
        """The gradient as a NumPy ufunc: an output for each argument.

        Args:
            value: the function's value before them, as one more output.

        Raises:
            CompileError: as for `ufunc`; the tape has several outputs.

        Example:
            >>> import numpy as np, tapegrad as tg
            >>> slopes = tg.compile(lambda x, y: x * y, 1.0, 1.0).gradient_ufunc()
            >>> slopes(np.array([1.0, 2.0]), 5.0)
            (array([5., 5.]), array([1., 2.]))
        """
        return self._ufunc("value_and_gradient" if value else "gradient")

    def jacobian_ufunc(self, *, argnums: Sequence[int] | None = None) -> np.ufunc:
        """The Jacobian as a NumPy ufunc: an output for each result and argument.

        The derivatives of the first result come first. That of an array by an array
        has the axes of both.

        Args:
            argnums: places of the arguments that it is by; all by default.

        Raises:
            CompileError: as for `ufunc`; a result is an array that is not computed
                entry by entry.

        Example:
            >>> import numpy as np, tapegrad as tg
            >>> turn = tg.compile(lambda r, a: (r * np.cos(a), r * np.sin(a)), 1.0, 0.0)
            >>> blocks = np.empty((3, 2, 2))
            >>> out = tuple(blocks[:, i, j] for i in range(2) for j in range(2))
            >>> _ = turn.jacobian_ufunc()(np.array([1.0, 2.0, 3.0]), 0.0, out=out)
            >>> print(blocks[2])
            [[ 1. -0.]
             [ 0.  3.]]
        """
        return self._ufunc("jacobian", argnums)

    # -- building --------------------------------------------------------------

    def _ufunc(self, part: str, argnums: Sequence[int] | None = None) -> np.ufunc:
        from tapegrad.native.ufuncs import ufunc_of

        name = part if argnums is None else f"{part} {tuple(argnums)}"
        with self._lock.held():
            if name not in self._ufuncs:
                made, kernel = ufunc_of(self.tape, part, self.options, argnums)
                self._parts[f"{name} ufunc"] = kernel
                self._ufuncs[name] = made
            return self._ufuncs[name]

    def _derived(self, name: str, tape: Tape) -> Callable[..., Any]:
        """The code of a tape that was made of this one, noted in the report."""
        native = Compiled(tape, self.options)
        run = native.value
        if "value" in native._parts:
            self._parts[name] = native._parts["value"]
        else:
            self._left[name] = native._left["value"]
        return run

    def _door(
        self, name: str, part: str, kind: int, shape: Callable[[Floats], Any]
    ) -> Callable[..., Any]:
        """What a method is: a builtin, where arguments and result are plain numbers.

        Where only the arguments are, a builtin takes them, and the result is put
        together in Python.
        """
        if self._leaves_out(part):
            return interpreted(self.tape, self._base, part, self.options, shape)
        kernel = self._kernel(part)
        if isinstance(kernel, ArrayKernel):
            return arraycalls.door(self.tape, self._base, part, kernel, kind, shape)
        raw = builtin(part, kernel, thunk.FLAT, numbercalls.Replay(self._base, part))
        checked: Callable[..., Floats] = numbercalls.Checked(self.tape, raw)
        structure, out = self.tape.structure, takes_out(self.tape)
        if structure.keywords or not _bare(self.tape):
            return Shaped(checked, shape, out=out)
        if kind == thunk.FLAT or not structure.result.bare:
            flat = builtin(name, kernel, thunk.FLAT, checked)
            return Shaped(flat, shape, out=out)
        return builtin(name, kernel, kind, Shaped(checked, shape, out=out))

    def _leaves_out(self, part: str) -> bool:
        """Whether a part is left to the interpreter; the report says why."""
        arrays = self._base.arrays and not is_numbers(self._base, part)
        reason = left_out(self.options, self._base, part, arrays=arrays)
        if reason:
            self._left[part] = reason
        return bool(reason)

    def _kernel(self, part: str) -> Kernel | ArrayKernel:
        """The code of the value, or of values and gradients, built once."""
        if self._base.arrays:
            return self._array_kernel(part)
        kernel: Kernel = self._once(part, numbercalls.build)
        return kernel

    def _array_kernel(self, part: str) -> ArrayKernel:
        make: Callable[..., ArrayKernel] = arraycalls.build_arrays
        if is_numbers(self._base, part):
            make = functools.partial(build_numbers, self._base, part)
        kernel: ArrayKernel = self._once(part, make)
        return kernel

    def _once(self, part: str, make: Callable[..., Any]) -> Any:
        with self._lock.held():
            if part not in self._parts:
                tape = functools.partial(arraycalls.tape_of, self._base, part)
                asked = Asked(tape, self._base, part)
                self._parts[part] = make(asked, self.options)
            return self._parts[part]


def _bare(tape: Tape) -> bool:
    """Whether each argument is one number."""
    return all(tree.bare for tree in tape.structure.arguments)


def _nester(tape: Tape) -> Callable[[Floats, int], Any]:
    """How a gradient is cut out of a kernel's outputs and nested like the arguments."""
    count = len(differentiable(tape))
    if not _bare(tape) or count != len(tape.inputs):
        make = builder(gradient_tree(tape))
        return lambda found, at: make(found[at : at + count])
    if count == 1:
        return lambda found, at: found[at]
    return lambda found, at: found[at : at + count]
