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
import hashlib
import math
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from tapegrad.errors import CompileError
from tapegrad.native import cache

# llvmlite locks each of its calls, but a module passes through several of them. A fork
# waits: LLVM in the middle of something, with llvmlite's lock, is of no use to a child.
_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_LOCK.acquire,
        after_in_parent=_LOCK.release,
        after_in_child=_LOCK.release,
    )


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


# How code is made, for all of it alike. The small model makes code for calls three
# times quicker than the large one; it needs all parts of the module close together,
# which llvmlite's own memory manager sees to. Tables are found relative to the code: a
# 32-bit address may not reach. Loops that clear or copy must bring MEMORY along: there
# is no table of functions that are far away.
MODEL = {"reloc": "pic", "codemodel": "small", "jit": True}
# Loops over arrays become vectors; to unroll them takes long and gains nothing.
LOOPS = {
    "loop_unrolling": False,
    "slp_vectorization": False,
    "loop_interleaving": False,
}

# The attribute of a call that names functions of vectors for it.
VECTORS = "vector-function-abi-variant"


class Engine:
    """Machine code of one module, freed with this object.

    Args:
        text: LLVM source, without declarations.
        calls: the functions from outside that it calls.
        codegen: code generation level, 0 (quickest to make) to 3.
        passes: level of the optimiser before it, 0 for none.

    Attributes:
        size: bytes of the object that the code generator made.
        origin: "cache", read from disk; "kept", made and written there; "built", made.

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
        outside = tuple(calls)
        self._kept = [call.place for call in outside]
        cells = {call.name: _found(call) for call in outside if not call.intrinsic}
        text = "".join([*(call.through_cell() for call in outside), text])
        tuning = LOOPS if MEMORY[0] in outside else {}
        store, _ = cache.opened()
        key = _key(text, codegen, passes, tuning) if store else ""
        code = store.get(key) if store else None
        self.origin = "built" if code is None else "cache"
        with _LOCK:
            try:
                if code is None:
                    code = _emitted(text, codegen, passes, tuning)
                self._load(code, cells)
            except RuntimeError as problem:
                self.close()
                msg = f"LLVM refused the code that was made for it: {problem}"
                raise CompileError(msg) from problem
        self.size = len(code)
        if store and self.origin == "built" and store.put(key, code):
            self.origin = "kept"

    def _load(self, code: bytes, cells: Mapping[str, int]) -> None:
        """Put an object in its place in memory, and fill in its cells."""
        # an engine needs a module to begin with; its code is in the object alone
        context = llvm.create_context()
        module = llvm.parse_assembly("", context=context)
        machine = _machine(0)
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
        with _LOCK:
            found: int = self._engine.get_function_address(name)
        if not found:
            msg = f"the module has no function {name!r}"
            raise CompileError(msg)
        return found

    def close(self) -> None:
        """Free the code."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with _LOCK:
                engine.close()

    def __del__(self) -> None:
        # at the end of the process a thread may have stopped with the lock in its hands
        if not sys.is_finalizing():
            self.close()


def _emitted(text: str, codegen: int, passes: int, tuning: Mapping[str, bool]) -> bytes:
    """The object that LLVM makes of a text.

    It is asked for the object, and not for code in memory with the object on the side:
    an interrupt would come up in LLVM's call back to Python, and be lost there.
    """
    # own context: constants live as long as their context, so in the global one each
    # compilation would leave some behind for ever
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context=context)
    machine = _machine(codegen)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    if passes:
        options = llvm.create_pipeline_tuning_options(speed_level=passes)
        for name, value in tuning.items():
            setattr(options, name, value)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        if VECTORS in text:
            # loops have become vectors, so calls of functions of vectors stand in them
            late = llvm.create_new_module_pass_manager()
            late.add_always_inliner_pass()
            late.add_simplify_cfg_pass()
            late.run(module, builder)
    code: bytes = machine.emit_object(module)
    module.close()
    context.close()
    return code


def _machine(codegen: int) -> Any:
    """This machine, as a target for code."""
    target, cpu, features = _host()
    return target.create_target_machine(
        cpu=cpu, features=features, opt=codegen, **MODEL
    )


def _key(text: str, codegen: int, passes: int, tuning: Mapping[str, bool]) -> str:
    """The name of a text's code in the cache: all that has a say in what is made."""
    settings = (_setting(), codegen, passes, sorted(tuning.items()))
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(text.encode())
    return digest.hexdigest()


@functools.cache
def _setting() -> tuple[Any, ...]:
    """What is the same for all code that this process makes."""
    target, cpu, features = _host()
    with _LOCK:
        triple = target.triple
    try:
        # how it is made stands in this file, whatever version the package says it is
        making = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    except OSError:  # inside of an archive
        making = __file__
    versions = (making, llvmlite.__version__, llvm.llvm_version_info)
    return (*versions, triple, cpu, features, sorted(MODEL.items()))


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
    with _LOCK:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        return (
            llvm.Target.from_default_triple(),
            llvm.get_host_cpu_name(),
            llvm.get_host_cpu_features().flatten(),
        )


def fuses() -> bool:
    """Whether this machine multiplies and adds in one operation, rounded once."""
    machine = llvm.get_process_triple().split("-")[0]
    features = _host()[2].split(",")
    return machine in {"aarch64", "arm64"} or "+fma" in features
