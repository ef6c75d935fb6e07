"""From LLVM text to machine code in this process. Floor 5; loads llvmlite.

Nothing in the text is an address. Whatever stands outside a module is reached through a
*cell*, a pointer that is filled in once the code is loaded: so code is kept on disk
(`cache`), LLVM has no symbol to look up (it would end the process on one that it does
not find), and nothing has to stand near to anything else in memory. The functions of
C's maths library are those that Python's own ``math`` module is linked to: native code
and the interpreter agree bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import llvmlite.binding as llvm

from tapegrad.errors import CompileError
from tapegrad.native import cache
from tapegrad.native.locks import aside
from tapegrad.native.objects import LOCK, LOOPS, emitted, key_of, machine_at

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
            pure=PURE if self.pure else "" if self.shown else "alwaysinline",
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
        passes: level of the optimiser before it, 0 for none, or `objects.BRANCHES`.

    Attributes:
        size: bytes of the object that the code generator made.
        origin: "cache", read from disk; "kept", made and written there; "built", made.
        key: of its file in the cache; empty if it is not there.

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
        outside = tuple(calls)
        # libraries are loaded here: a thread would wait for what this one is loading
        cells = _cells(outside)
        tuning = LOOPS if MEMORY[0] in outside else {}
        text = "".join([*(call.through_cell() for call in outside), text])
        self._kept = [call.place for call in outside]
        aside(functools.partial(self._make, text, codegen, passes, tuning, cells))

    def _make(
        self,
        text: str,
        codegen: int,
        passes: int,
        tuning: Mapping[str, bool],
        cells: Mapping[str, int],
    ) -> None:
        """Read the object, or make and keep it; then load it."""
        store, _ = cache.opened()
        key = key_of(text, codegen, passes, tuning) if store else ""
        code = store.get(key) if store else None
        self.origin, self.key = "cache", key
        if code is None:
            code = emitted(text, codegen, passes, tuning)
            kept = store is not None and store.put(key, code)
            self.origin, self.key = ("kept", key) if kept else ("built", "")
        self._load(code, cells)

    @classmethod
    def recalled(cls, key: str, calls: Iterable[Outside]) -> Engine | None:
        """The code that the cache has by a key, or None.

        Raises:
            CompileError: a symbol is unknown in this process.
        """
        store, _ = cache.opened()
        code = store.get(key) if store else None
        if code is None:
            return None
        engine, outside = cls.__new__(cls), tuple(calls)
        engine.origin, engine.key = "cache", key
        engine._kept = [call.place for call in outside]  # noqa: SLF001 - its own
        aside(functools.partial(engine._load, code, _cells(outside)))  # noqa: SLF001
        return engine

    def _load(self, code: bytes, cells: Mapping[str, int]) -> None:
        """Put an object in its place in memory, and fill in its cells."""
        self._engine: Any = None
        self.size = len(code)
        with LOCK:
            self._place(code, cells)

    def _place(self, code: bytes, cells: Mapping[str, int]) -> None:
        # an engine needs a module to begin with; its code is in the object alone
        context = llvm.create_context()
        module = llvm.parse_assembly("", context=context)
        machine = machine_at(0)
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        engine = llvm.create_mcjit_compiler(module, machine, use_lmm=True)
        self._engine = engine
        engine.remove_module(module)
        module.close()
        context.close()
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        for name, place in cells.items():
            cell = engine.get_global_value_address(f"{name}.at")
            ctypes.c_void_p.from_address(cell).value = place

    def address(self, name: str) -> int:
        """The address of a function of the module, while this object lives."""
        with LOCK:
            found: int = self._engine.get_function_address(name)
        if not found:
            msg = f"the module has no function {name!r}"
            raise CompileError(msg)
        return found

    def close(self) -> None:
        """Free the code."""
        engine, self._engine = getattr(self, "_engine", None), None
        if engine is not None:
            with LOCK:
                engine.close()

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        # at the end of the process a thread may have stopped with the lock in its hands
        if not ending():
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


def _cells(calls: Iterable[Outside]) -> dict[str, int]:
    """What the cells of a module point to."""
    return {call.name: _found(call) for call in calls if not call.intrinsic}


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
