"""The methods of a tape that belong to upper floors: one-line doors. Floor 2.

Each imports what it needs when it is called; nothing here computes. This file and
``tapegrad/doors.py`` are the only places that may import upwards, and the floor test
knows just them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import graphviz

    from tapegrad.native.compiled import Compiled
    from tapegrad.proof.roundingreport import RoundingReport
    from tapegrad.recording import Recording
    from tapegrad.tape.tape import Tape


class Doors:
    """Everything one can ask of a tape; see each method's target for the whole text."""

    __slots__ = ()

    def check(self: Any) -> None:
        """Raise `TapeFormatError` unless the tape obeys the grammar."""
        from tapegrad.tape.check import check

        check(self)

    def save(self: Any, path: str | os.PathLike[str]) -> None:
        """Write a file that `tg.load` reads, in one piece."""
        from tapegrad.tape.files import save

        save(self, path)

    def to_bytes(self: Any) -> bytes:
        """The bytes of such a file, for `tg.from_bytes`."""
        from tapegrad.tape.files import to_bytes

        return to_bytes(self)

    @staticmethod
    def recording(*, lines: bool = False) -> Recording:
        """``with Tape.recording() as rec``: record by hand, input by input."""
        from tapegrad.recording import Recording

        return Recording(lines=lines)

    # -- execution -------------------------------------------------------------

    def __call__(
        self: Any,
        *args: Any,
        arithmetic: str = "float64",
        replace: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Replay at new inputs; `replace` nudges labelled intermediates."""
        from tapegrad import calls

        return calls.replay(self, args, kwargs, arithmetic, replace)

    def value_and_gradient(
        self: Any, *args: Any, arithmetic: str = "float64", **kwargs: Any
    ) -> Any:
        """(value, gradient) of a tape with one scalar output."""
        from tapegrad import calls

        return calls.value_and_gradient(self, args, kwargs, arithmetic)

    def gradient(
        self: Any, *args: Any, arithmetic: str = "float64", **kwargs: Any
    ) -> Any:
        """The gradient, nested like the arguments."""
        from tapegrad import calls

        return calls.value_and_gradient(self, args, kwargs, arithmetic)[1]

    def jacobian(
        self: Any, *args: Any, arithmetic: str = "float64", **kwargs: Any
    ) -> Any:
        """Every output's gradient, nested like the outputs, then the arguments."""
        from tapegrad.transforms import dense

        return dense.jacobian(self, args, kwargs, arithmetic)

    def hessian(
        self: Any, *args: Any, arithmetic: str = "float64", **kwargs: Any
    ) -> Any:
        """Second derivatives, nested like the arguments, twice."""
        from tapegrad.transforms import dense

        return dense.hessian(self, args, kwargs, arithmetic)

    def jvp(self: Any, args: Any, tangents: Any, arithmetic: str = "float64") -> Any:
        """(value, tangent): the derivative along a direction, by forward mode."""
        from tapegrad import calls

        return calls.jvp(self, args, tangents, arithmetic)

    def vjp(self: Any, args: Any, cotangents: Any, arithmetic: str = "float64") -> Any:
        """Adjoints of the arguments for given output adjoints, by reverse mode."""
        from tapegrad import calls

        return calls.vjp(self, args, cotangents, arithmetic)

    def hvp(self: Any, args: Any, direction: Any, arithmetic: str = "float64") -> Any:
        """Hessian times a direction, forward over reverse."""
        from tapegrad import calls

        return calls.hvp(self, args, direction, arithmetic)

    def slots(self: Any, *args: Any, arithmetic: str = "float64") -> list[Any]:
        """The value of every slot."""
        from tapegrad import calls

        return calls.slots(self, args, arithmetic)

    def adjoints(self: Any, *args: Any, arithmetic: str = "float64") -> list[Any]:
        """The adjoint of every slot, 0.0 where none arrives."""
        from tapegrad import calls

        return calls.adjoints(self, args, arithmetic)

    def adjoint_tape(self: Any) -> Tape:
        """The gradient as a tape of its own."""
        from tapegrad.derivatives import adjoint_tape

        return adjoint_tape(self)

    def tangent_tape(self: Any) -> Tape:
        """The forward derivative as a tape: inputs, then their tangents."""
        from tapegrad.derivatives import tangent_tape

        return tangent_tape(self)

    def simplify(self: Any, arithmetic: str = "float64") -> Tape:
        """The same function in fewer steps, bit for bit."""
        from tapegrad.passes import simplify

        return simplify(self, arithmetic)

    def rolled(
        self: Any,
        *,
        trips: int = 8,
        steps: int = 512,
        checkpoint: int = 0,
        reassociate: bool = False,
    ) -> Tape:
        """Repeated steps as loops, bit for bit unless sums may be reassociated."""
        from tapegrad.rolling import Options, rolled

        return rolled(self, Options(trips, steps, checkpoint, reassociate))

    def unrolled(self: Any) -> Tape:
        """The same function with the loops of `rolled` written out again."""
        from tapegrad.rolling.unroll import unrolled

        return unrolled(self)

    # -- native ----------------------------------------------------------------

    def compile(self: Any, level: str | int = "auto", **options: Any) -> Compiled:
        """Native code for this tape; options are accuracy, threads and budget."""
        from tapegrad.native.compiling import compile_tape

        return compile_tape(self, level, **options)

    def to_llvm(self: Any) -> str:
        """The LLVM source of value and gradient."""
        from tapegrad.native.compiling import llvm_source

        return llvm_source(self)

    def to_c(self: Any, name: str = "f", *, derivative: bool = True) -> str:
        """One self-contained C99 file: value, and gradient or Jacobian."""
        from tapegrad.native.c import to_c

        return to_c(self, name, derivative=derivative)

    # -- symbolic --------------------------------------------------------------

    def to_sympy(self: Any, *, derivative: bool | str = False) -> Any:
        """The outputs in the input labels; derivatives, a "jacobian", a "hessian"."""
        from tapegrad.symbolic.export import to_sympy

        return to_sympy(self, derivative=derivative)

    def latex(self: Any, *, derivative: bool | str = False) -> str:
        """The outputs, or their derivatives, as LaTeX; Jacobians as matrices."""
        from tapegrad.symbolic.latex import latex

        return latex(self, derivative=derivative)

    def to_python(self: Any) -> str:
        """NumPy source of value and gradient."""
        from tapegrad.symbolic.python import to_python

        return to_python(self)

    def trace(self: Any, *args: Any, symbolic: bool = False) -> Any:
        """The forward and reverse sweep, one line a step; as formulas too."""
        from tapegrad.show.trace import trace

        return trace(self, args, symbolic=symbolic)

    # -- proof -----------------------------------------------------------------

    def rounding_error(
        self: Any, *args: Any, arithmetic: str = "float64", **kwargs: Any
    ) -> RoundingReport:
        """How far off the result is, and which source lines make it so."""
        from tapegrad.proof.rounding import analysed

        return analysed(self, args, kwargs, arithmetic)

    # -- seeing ----------------------------------------------------------------

    def to_json(self: Any) -> str:
        """Value, operation and children of the outputs, for people and pages."""
        from tapegrad.show.dump import to_json

        return to_json(self)

    def draw(self: Any, *args: Any) -> graphviz.Digraph:
        """The tape as a picture."""
        from tapegrad.show.draw import draw

        return draw(self, *args)

    def __str__(self: Any) -> str:
        from tapegrad.show.listing import listing

        return listing(self)

    def __repr__(self: Any) -> str:
        from tapegrad.show.listing import headline

        return headline(self)

    def _repr_svg_(self: Any) -> str | None:
        from tapegrad.show.draw import svg

        return svg(self)

    def _repr_latex_(self: Any) -> str | None:
        from tapegrad.symbolic.latex import latex_or_none

        return latex_or_none(self)
