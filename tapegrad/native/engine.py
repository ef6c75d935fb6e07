"""From LLVM text to machine code in this process. Floor 9; loads llvmlite.

Nothing in the text is an address: calls name their symbols, and the symbols are bound
here. The functions of C's maths library are those that Python's own ``math`` module is
linked to, so that native code and the interpreter agree bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from collections.abc import Iterable
from typing import Any

import llvmlite.binding as llvm

from tapegrad.errors import CompileError

# llvmlite locks each of its calls, but a module passes through several of them.
_LOCK = threading.RLock()


class Engine:
    """Machine code of one module, freed with this object.

    Args:
        text: LLVM source.
        codegen: code generation level, 0 (quickest to make) to 3.
        passes: level of the optimiser before it, 0 for none.

    Attributes:
        size: bytes of the object that the code generator made.

    Raises:
        CompileError: LLVM refuses the text, or a symbol is unknown in this process.
    """

    def __init__(self, text: str, *, codegen: int, passes: int) -> None:
        self._engine: Any = None
        self._context: Any = None
        self.size = 0
        with _LOCK:
            try:
                self._build(text, codegen, passes)
            except RuntimeError as problem:
                self.close()
                msg = f"LLVM refused the code that was made for it: {problem}"
                raise CompileError(msg) from problem

    def _build(self, text: str, codegen: int, passes: int) -> None:
        target, cpu, features = _host()
        # own context: constants live as long as their context, so in the global one
        # each compilation would leave some behind for ever
        self._context = llvm.create_context()
        module = llvm.parse_assembly(text, context=self._context)
        _resolve(
            function.name for function in module.functions if function.is_declaration
        )
        machine = target.create_target_machine(
            cpu=cpu, features=features, opt=codegen, jit=True
        )
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        if passes:
            tuning = llvm.create_pipeline_tuning_options(speed_level=passes)
            builder = llvm.create_pass_builder(machine, tuning)
            builder.getModulePassManager().run(module, builder)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.set_object_cache(self._made)
        self._engine.finalize_object()
        # the code stays, the module that it was made from is some 20 times larger
        self._engine.remove_module(module)
        module.close()

    def _made(self, module: Any, code: bytes) -> None:
        del module
        self.size = len(code)

    def address(self, name: str) -> int:
        """The address of a function of the module, while this object lives."""
        found: int = self._engine.get_function_address(name)
        if not found:
            msg = f"the module has no function {name!r}"
            raise CompileError(msg)
        return found

    def close(self) -> None:
        """Free the code, before the context that its module lived in."""
        for part in (self._engine, self._context):
            if part is not None:
                part.close()
        self._engine = self._context = None

    def __del__(self) -> None:
        if self._engine is not None:
            self.close()


def has_symbol(name: str) -> bool:
    """Whether a call can be bound: an LLVM intrinsic, or a symbol that is found."""
    return name.startswith("llvm.") or _bind(name)


def _resolve(names: Iterable[str]) -> None:
    """Bind symbols; LLVM would end the process on one that it does not find."""
    for name in names:
        if not has_symbol(name):
            msg = f"native code calls {name!r}, which no library of this process has"
            raise CompileError(msg)


@functools.cache
def _bind(name: str) -> bool:
    _host()
    for library in _libraries():
        try:
            found = getattr(library, name)
        except AttributeError:
            continue
        llvm.add_symbol(name, ctypes.cast(found, ctypes.c_void_p).value)
        return True
    return False


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
