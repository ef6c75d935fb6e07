"""From LLVM text to machine code in this process. Floor 5; loads llvmlite.

Nothing in the text is an address. Whatever stands outside a module is reached through a
*cell*, a pointer that is filled in once the code is loaded: so code could be kept on
disk, LLVM has no symbol to look up (it would end the process on one that it does not
find), and nothing has to stand near to anything else in memory. The functions of C's
maths library are those that Python's own ``math`` module is linked to: native code and
the interpreter agree bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import llvmlite.binding as llvm

from tapegrad.errors import CompileError

# llvmlite locks each of its calls, but a module passes through several of them.
_LOCK = threading.RLock()


# Calls have no side effects (errno is not read), and LLVM must not replace them: its
# pow(x, 2) would be x * x, in other last bits than the interpreter's.
PURE = "nobuiltin nounwind willreturn memory(none)"

CELL = "@{name}.at = dso_local global ptr null\n"
THROUGH = """\
define {scope} {gives} @{name}({operands}) {pure} {{
  %at = load ptr, ptr @{name}.at
  {got}call {gives} %at({operands}) {pure}
  ret {gives} {result}
}}
"""


@dataclass(frozen=True, slots=True)
class Outside:
    """Something outside the module: a function, or an object.

    Args:
        name: its symbol.
        gives: LLVM type of the result; empty for an object.
        takes: LLVM types of the operands.
        pure: whether it has no effect but its result.
        place: an array that stands for the object; the engine keeps it.
        shown: whether the code generator may call it, too.
    """

    name: str
    gives: str = "double"
    takes: tuple[str, ...] = ("double",)
    pure: bool = True
    place: Any = field(default=None, compare=False)
    shown: bool = False

    @property
    def intrinsic(self) -> bool:
        """Whether LLVM itself has it."""
        return self.name.startswith("llvm.")

    def declared(self) -> str:
        """The declaration, for people and for linkers."""
        operands = ", ".join(self.takes)
        pure = f" {PURE}" if self.pure else ""
        return f"declare {self.gives} @{self.name}({operands}){pure}\n"

    def through_cell(self) -> str:
        """The cell, and a function of that name that calls what the cell points to."""
        if self.intrinsic:
            return self.declared()
        cell = CELL.format(name=self.name)
        if not self.gives:
            return cell
        nothing = self.gives == "void"
        return cell + THROUGH.format(
            scope="dso_local" if self.shown else "internal",
            name=self.name,
            gives=self.gives,
            operands=", ".join(f"{kind} %a{i}" for i, kind in enumerate(self.takes)),
            pure=PURE if self.pure else "",
            got="" if nothing else "%got = ",
            result="" if nothing else "%got",
        )


MALLOC = Outside("malloc", "ptr", ("i64",), pure=False)
FREE = Outside("free", "void", ("ptr",), pure=False)

# What LLVM makes of loops that clear and copy: it calls these by their names.
MEMORY = (
    Outside("memset", "ptr", ("ptr", "i32", "i64"), pure=False, shown=True),
    Outside("memcpy", "ptr", ("ptr", "ptr", "i64"), pure=False, shown=True),
)


class Engine:
    """Machine code of one module, freed with this object.

    Args:
        text: LLVM source, without declarations.
        calls: the functions from outside that it calls.
        codegen: code generation level, 0 (quickest to make) to 3.
        passes: level of the optimiser before it, 0 for none.

    Attributes:
        size: bytes of the object that the code generator made.

    Raises:
        CompileError: LLVM refuses the text, or a symbol is unknown in this process.
    """

    def __init__(
        self,
        text: str,
        calls: Iterable[Outside] = (),
        *,
        codegen: int,
        passes: int,
    ) -> None:
        self._engine: Any = None
        self._kept: list[Any] = []
        self.size = 0
        with _LOCK:
            try:
                self._build(text, tuple(calls), codegen, passes)
            except RuntimeError as problem:
                self.close()
                msg = f"LLVM refused the code that was made for it: {problem}"
                raise CompileError(msg) from problem

    def _build(
        self, text: str, calls: Sequence[Outside], codegen: int, passes: int
    ) -> None:
        text = "".join([*(call.through_cell() for call in calls), text])
        cells = {call.name: _found(call) for call in calls if not call.intrinsic}
        self._kept = [call.place for call in calls]
        target, cpu, features = _host()
        # own context: constants live as long as their context, so in the global one
        # each compilation would leave some behind for ever
        context = llvm.create_context()
        module = llvm.parse_assembly(text, context=context)
        # the small model makes code for calls three times quicker than the large one;
        # it needs all parts of the module close together, which llvmlite's own memory
        # manager sees to
        machine = target.create_target_machine(
            cpu=cpu,
            features=features,
            opt=codegen,
            # Tables are found relative to the code: a 32-bit address may not reach.
            # Loops that clear or copy must bring MEMORY along: there is no table of
            # functions that are far away.
            reloc="pic",
            codemodel="small",
            jit=True,
        )
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        if passes:
            tuning = llvm.create_pipeline_tuning_options(speed_level=passes)
            if MEMORY[0] in calls:
                # loops become vectors; to unroll them takes long and gains nothing
                tuning.loop_unrolling = tuning.slp_vectorization = False
                tuning.loop_interleaving = False
            builder = llvm.create_pass_builder(machine, tuning)
            builder.getModulePassManager().run(module, builder)
        self._engine = llvm.create_mcjit_compiler(module, machine, use_lmm=True)
        sizes: list[int] = []  # not a method of self: a cycle would keep the code
        self._engine.set_object_cache(lambda _, code: sizes.append(len(code)))
        self._engine.finalize_object()
        self.size = sum(sizes)
        for name, place in cells.items():
            cell = self._engine.get_global_value_address(f"{name}.at")
            ctypes.c_void_p.from_address(cell).value = place
        # the code stays; the module that it was made from is some 20 times larger
        self._engine.remove_module(module)
        module.close()
        context.close()

    def address(self, name: str) -> int:
        """The address of a function of the module, while this object lives."""
        found: int = self._engine.get_function_address(name)
        if not found:
            msg = f"the module has no function {name!r}"
            raise CompileError(msg)
        return found

    def close(self) -> None:
        """Free the code."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def __del__(self) -> None:
        if self._engine is not None:
            self.close()


def callable_outside(name: str) -> bool:
    """Whether a call can be bound: an LLVM intrinsic, or a symbol that is found."""
    return name.startswith("llvm.") or symbol(name) is not None


@functools.cache
def symbol(name: str) -> int | None:
    """The address of a symbol in this process, or None.

    Routines of linear algebra are called ``blas_dgemm`` and ``lapack_dgetrf``.
    """
    library, _, routine = name.partition("_")
    if library in {"blas", "lapack"}:
        return _linear_algebra(library, routine)
    for loaded in _libraries():
        try:
            return ctypes.cast(getattr(loaded, name), ctypes.c_void_p).value
        except AttributeError:
            continue
    return None


def _linear_algebra(library: str, routine: str) -> int | None:
    """The address of a routine of BLAS or LAPACK, as SciPy hands it to compilers."""
    # SciPy takes half a second to load: not before it is needed
    from scipy.linalg import cython_blas, cython_lapack

    modules = {"blas": cython_blas, "lapack": cython_lapack}
    capsule = modules[library].__pyx_capi__.get(routine)
    if capsule is None:
        return None
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    found: int | None = pointer_of(capsule, name_of(capsule))
    return found


def _found(call: Outside) -> int:
    if call.place is not None:
        return int(call.place.ctypes.data)
    place = symbol(call.name)
    if place is None:
        msg = f"native code calls {call.name!r}, which no library of this process has"
        raise CompileError(msg)
    return place


@functools.cache
def _libraries() -> tuple[Any, ...]:
    """Where symbols are looked up: Python's maths library, then Python itself."""
    found: list[Any] = []
    if getattr(math, "__file__", None):
        found.append(ctypes.CDLL(math.__file__))
    return (*found, ctypes.pythonapi)


@functools.cache
def _host() -> tuple[Any, str, str]:
    """This machine as LLVM sees it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return (
        llvm.Target.from_default_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    )
