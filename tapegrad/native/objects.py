"""From LLVM text to the bytes of an object. Floor 4; loads llvmlite.

What is made depends on nothing but the text, the levels, this machine and the versions
of what makes it: those are the key of an object on disk.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from tapegrad.errors import CompileError

# llvmlite locks each of its calls, but a module passes through several of them. A fork
# waits: LLVM in the middle of something, with llvmlite's lock, is of no use to a child.
LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire,
        after_in_parent=LOCK.release,
        after_in_child=LOCK.release,
    )

# How code is made, for all of it alike. The small model makes code for calls three
# times quicker than the large one; it needs all parts of the module close together,
# which llvmlite's own memory manager sees to. Tables are found relative to the code: a
# 32-bit address may not reach. Loops that clear or copy must bring `MEMORY` along:
# there is no table of functions that are far away.
MODEL = {"reloc": "pic", "codemodel": "small", "jit": True}
# Loops over arrays become vectors; to unroll them takes long and gains nothing.
LOOPS = {
    "loop_unrolling": False,
    "slp_vectorization": False,
    "loop_interleaving": False,
}

# A line of text that asks for steps on single numbers to be put together as vectors: it
# gains where turns of a loop are hundreds of them, and takes its time.
PAIRED = "; numbers side by side\n"

# A level beside the optimiser's own: what code of branches and calls gains by, in a
# tenth of the time. Loops there take a turn for each argument.
BRANCHES = -1
PASSES = (
    "always_inliner",
    "simplify_cfg",
    "instruction_combine",
    "loop_rotate",
    "loop_strength_reduce",
    "simplify_cfg",
)

# The attribute of a call that names functions of vectors for it.
VECTORS = "vector-function-abi-variant"


def emitted(text: str, codegen: int, passes: int, tuning: Mapping[str, bool]) -> bytes:
    """The object that LLVM makes of a text.

    Raises:
        CompileError: LLVM refuses the text.
    """
    code: bytes = _made(text, codegen, passes, tuning, "emit_object")
    return code


def listed(text: str, codegen: int, passes: int, tuning: Mapping[str, bool]) -> str:
    """The same code as assembly, for people.

    Raises:
        CompileError: LLVM refuses the text.
    """
    code: str = _made(text, codegen, passes, tuning, "emit_assembly")
    return code


def _made(
    text: str, codegen: int, passes: int, tuning: Mapping[str, bool], word: str
) -> Any:
    # the objects of LLVM that are not closed in it go with its frame, under the lock
    with LOCK:
        try:
            return _emitted(text, codegen, passes, tuning, word)
        except RuntimeError as problem:
            msg = f"LLVM refused the code that was made for it: {problem}"
            raise CompileError(msg) from problem


def _emitted(
    text: str, codegen: int, passes: int, tuning: Mapping[str, bool], word: str
) -> Any:
    # own context: constants live as long as their context, so in the global one
    # each compilation would leave some behind for ever
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context=context)
    machine = machine_at(codegen)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    if passes == BRANCHES:
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        builder = llvm.create_pass_builder(machine, options)
        few = llvm.create_new_module_pass_manager()
        for name in PASSES:
            getattr(few, f"add_{name}_pass")()
        few.run(module, builder)
    elif passes:
        options = llvm.create_pipeline_tuning_options(speed_level=passes)
        for name, value in tuning.items():
            setattr(options, name, value)
        if PAIRED in text:
            options.slp_vectorization = True
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        if VECTORS in text:
            # loops are vectors by now, and calls of functions of vectors are in
            # them; put in place, those cost a test where there is no need
            late = llvm.create_new_module_pass_manager()
            late.add_always_inliner_pass()
            late.add_simplify_cfg_pass()
            late.run(module, builder)
    code = getattr(machine, word)(module)
    module.close()
    context.close()
    return code


def machine_at(codegen: int) -> Any:
    """This machine, as a target for code."""
    target, cpu, features = host()
    return target.create_target_machine(
        cpu=cpu, features=features, opt=codegen, **MODEL
    )


def key_of(text: str, codegen: int, passes: int, tuning: Mapping[str, bool]) -> str:
    """The name of a text's code in the cache: all that has a say in what is made."""
    settings = (setting(), codegen, passes, sorted(tuning.items()))
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(text.encode())
    return digest.hexdigest()


@functools.cache
def setting() -> tuple[Any, ...]:
    """What is the same for all code that this process makes."""
    target, cpu, features = host()
    with LOCK:
        triple = target.triple
    try:
        # how it is made stands in this file, whatever version the package says it is
        making = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    except OSError:  # inside of an archive
        making = __file__
    versions = (making, llvmlite.__version__, llvm.llvm_version_info)
    return (*versions, triple, cpu, features, sorted(MODEL.items()))


@functools.cache
def host() -> tuple[Any, str, str]:
    """This machine as LLVM sees it."""
    with LOCK:
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
    features = host()[2].split(",")
    return machine in {"aarch64", "arm64"} or "+fma" in features


def lanes() -> int:
    """Doubles in a vector of this machine, as its loops are made."""
    return 4 if "+avx" in host()[2].split(",") else 2
