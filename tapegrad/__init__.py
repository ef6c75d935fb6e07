"""tapegrad: record, replay, differentiate, prove, print and compile. Floor 11.

``import tapegrad as tg``. Light on purpose: SymPy, llvmlite, graphviz and the rest
load when they are first needed.
"""

from __future__ import annotations

import importlib
from typing import Any

from tapegrad.arrays import (
    array,
    linalg,
    log_softmax,
    logsumexp,
    maximum,
    minimum,
    polygamma,
    relu,
    sigmoid,
    softmax,
    softplus,
    where,
)
from tapegrad.custom import custom_gradient, implicit
from tapegrad.errors import (
    BranchChanged,
    CompileError,
    DomainError,
    GradientMismatch,
    IndexOutOfBounds,
    ParseError,
    RecordError,
    ShapeError,
    TapeFormatError,
    TapegradError,
)
from tapegrad.loops import checkpoint, fori_loop, scan, while_loop
from tapegrad.operations import no_record
from tapegrad.recording import record
from tapegrad.tape import Step, Tape
from tapegrad.value import Value

__all__ = [
    "BranchChanged",
    "CompileError",
    "DomainError",
    "GradientMismatch",
    "IndexOutOfBounds",
    "ParseError",
    "RecordError",
    "ShapeError",
    "Step",
    "Tape",
    "TapeFormatError",
    "TapegradError",
    "Value",
    "array",
    "check_gradient",
    "checkpoint",
    "compile",
    "custom_gradient",
    "derive",
    "draw",
    "fori_loop",
    "from_bytes",
    "from_sympy",
    "function",
    "grad",
    "hessian",
    "hvp",
    "implicit",
    "jacobian",
    "jvp",
    "linalg",
    "linearize",
    "load",
    "log_softmax",
    "logsumexp",
    "maximum",
    "minimum",
    "nn",
    "no_record",
    "polygamma",
    "primitive",
    "record",
    "relu",
    "rounding_error",
    "scan",
    "sigmoid",
    "softmax",
    "softplus",
    "sparse_hessian",
    "sparse_jacobian",
    "stop_gradient",
    "sum_of_products",
    "taylor",
    "taylor_ode",
    "value_and_grad",
    "verify",
    "vjp",
    "vmap",
    "where",
    "while_loop",
]

__version__ = "0.1.0"

# Loaded when first asked for, each from its place: the import stays light.
_LAZY = {
    "check_gradient": "tapegrad.proof",
    "compile": "tapegrad.native.compiling",
    "derive": "tapegrad.symbolic.derive",
    "draw": "tapegrad.show.draw",
    "from_bytes": "tapegrad.tape.files",
    "from_sympy": "tapegrad.symbolic.incoming",
    "function": "tapegrad.paths",
    "grad": "tapegrad.transforms",
    "hessian": "tapegrad.transforms",
    "hvp": "tapegrad.transforms",
    "jacobian": "tapegrad.transforms",
    "jvp": "tapegrad.transforms",
    "linearize": "tapegrad.transforms",
    "load": "tapegrad.tape.files",
    "primitive": "tapegrad.primitives",
    "rounding_error": "tapegrad.proof",
    "sparse_hessian": "tapegrad.sparse",
    "sparse_jacobian": "tapegrad.sparse",
    "stop_gradient": "tapegrad.transforms",
    "sum_of_products": "tapegrad.sums",
    "taylor": "tapegrad.series",
    "taylor_ode": "tapegrad.series",
    "value_and_grad": "tapegrad.transforms",
    "verify": "tapegrad.proof",
    "vjp": "tapegrad.transforms",
    "vmap": "tapegrad.batching",
}
_OTHER_NAMES = {"compile": "compile_function"}  # compile() is a builtin's name


def __getattr__(name: str) -> Any:
    if name == "nn":
        return importlib.import_module("tapegrad.nn")
    if name not in _LAZY:
        msg = f"module 'tapegrad' has no attribute {name!r}"
        raise AttributeError(msg)
    module = importlib.import_module(_LAZY[name])
    found = getattr(module, _OTHER_NAMES.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "nn"})
