"""The methods and operators that make a Value an array of NumPy. Floor 7.

Methods are the functions of the dispatch table, under ndarray's names; `install` puts
them on the class, together with the two protocols by which NumPy's own functions come
here: ``__array_ufunc__`` and ``__array_function__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.arrays import (
    choices,
    einsum,
    extra,
    items,
    joining,
    linalg,
    making,
    movement,
    order,
    products,
    reductions,
    repeating,
    running,
)
from tapegrad.arrays.lift import (
    astype,
    dtype_of,
    misfit,
    primal,
    real,
    recorded,
    shape_of,
    size_of,
    test,
)
from tapegrad.arrays.registry import array_function, call, entry_of
from tapegrad.arrays.ufuncs import array_ufunc
from tapegrad.errors import RecordError
from tapegrad.handle import ArrayHandle, Handle
from tapegrad.value import Array, Arrays, Value


def _shape(self: Value, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    """Another shape, given as one tuple or as several sizes; -1 is worked out."""
    del copy
    sizes = shape[0] if len(shape) == 1 else shape
    return movement.reshaped(self, sizes, order)


def _axes(self: Value, *axes: Any) -> Any:
    """Axes in another order, given as one tuple or as several numbers."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        return movement.transposed(self, axes[0])
    return movement.transposed(self, axes or None)


def _item(self: Value, *at: Any) -> Any:
    """One entry as a plain number, outside a recording."""
    if recorded(self):
        raise self.frozen("item()")
    return np.asarray(primal(self)).item(*at)


def _tolist(self: Value) -> Any:
    """Nested lists of scalar Values."""
    return items.as_array(self).tolist() if self.ndim else self


def _fill(self: Value, value: Any) -> None:
    """Write one number everywhere."""
    items.setitem(self, ..., value)


def _sort(self: Value, axis: Any = -1, kind: Any = None) -> None:
    """Refused: a Value is not sorted in place."""
    del axis, kind
    msg = f"v.sort() of shape {self.shape} sorts in place; write v = np.sort(v)"
    raise RecordError(msg)


def _copy(self: Value, order: str = "C") -> Any:
    """A copy, which may be written."""
    del order
    return movement.copy(self)


# ndarray's methods, and what each calls.
METHODS: dict[str, Callable[..., Any]] = {
    "sum": reductions.total,
    "prod": reductions.prod,
    "mean": reductions.mean,
    "max": reductions.maximum,
    "min": reductions.minimum,
    "ptp": reductions.spread,
    "var": reductions.variance,
    "std": reductions.deviation,
    "cumsum": running.cumsum,
    "cumprod": running.cumprod,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argsort": order.argsort,
    "argpartition": order.argpartition,
    "any": reductions.some,
    "all": reductions.every,
    "nonzero": choices.nonzero,
    "ravel": movement.ravel,
    "flatten": movement.flatten,
    "swapaxes": movement.swapaxes,
    "squeeze": movement.squeeze,
    "diagonal": making.diagonal,
    "trace": making.trace,
    "take": repeating.take,
    "repeat": repeating.repeat,
    "astype": movement.cast,
    "compress": lambda self, condition, axis=None: choices.compress(
        condition, self, axis
    ),
    "clip": choices.clip,
    "round": choices.rounded,
    "dot": products.dot,
    "conj": movement.copy,
    "conjugate": movement.copy,
    "searchsorted": order.searchsorted,
}
# every module with functions of the table is imported by now
MODULES = (einsum, extra, joining)
PLAIN: dict[str, Callable[..., Any]] = {
    "reshape": _shape,
    "transpose": _axes,
    "item": _item,
    "tolist": _tolist,
    "fill": _fill,
    "sort": _sort,
    "copy": _copy,
    "norm": linalg.norm,
}


def _method(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """A method that refuses keywords as the function does."""
    entry = entry_of(f"ndarray.{name}", run, "row", "", getattr(np, name, None))

    def method(self: Value, *args: Any, **kwargs: Any) -> Any:
        return call(entry, (self, *args), kwargs)

    method.__name__, method.__doc__ = name, run.__doc__
    return method


def _operator(run: Callable[..., Any], *, swapped: bool = False) -> Any:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.dtype.kind == "O":
            return NotImplemented
        return run(other, self) if swapped else run(self, other)

    return method


def _logic(name: str) -> Callable[..., Any]:
    def run(a: Any, b: Any) -> Any:
        if dtype_of(a).kind != "b" or dtype_of(b).kind != "b":
            return NotImplemented
        return test(name, a, b)

    return run


def _invert(self: Value) -> Any:
    if dtype_of(self).kind != "b":
        msg = f"~ of an array of {dtype_of(self)}: it is for truth values"
        raise RecordError(msg)
    return test("logical_not", self)


def _mod(a: Any, b: Any) -> Any:
    return np.remainder(a, b)


def _floor(a: Any, b: Any) -> Any:
    return np.floor_divide(a, b)


OPERATORS: dict[str, Callable[..., Any]] = {
    "matmul": products.matmul,
    "mod": _mod,
    "floordiv": _floor,
    "divmod": np.divmod,
    "and": _logic("logical_and"),
    "or": _logic("logical_or"),
    "xor": _logic("logical_xor"),
}
# ``x += y`` on an array: the Value stands for the result under all of its names.
INPLACE = ("add", "sub", "mul", "truediv", "pow", "matmul", "mod", "floordiv")


def _augmented(name: str) -> Callable[..., Any]:
    plain = f"__{name}__"

    def method(self: Any, other: Any) -> Any:
        made = getattr(self, plain)(other)
        if made is NotImplemented:
            return made
        if isinstance(made, Value) and shape_of(made) != self.shape:
            raise misfit(f"in-place {name}", self, other)
        if isinstance(made, Value) and dtype_of(self).kind == "f":
            made = astype(made, dtype_of(self).name)  # an array keeps its dtype
        return items.inplace(self, made)

    return method


def _ufunc(self: Value, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """``np.tanh(v)`` records."""
    del self
    return array_ufunc(ufunc, method, inputs, kwargs)


def _function(self: Value, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """``np.sum(v)`` records."""
    del self, types
    return array_function(function, args, kwargs)


def install(scalar: type[Value] = Value, mixin: type[Arrays] = Arrays) -> None:
    """Put the methods on the classes: all on Value, those of sequences on arrays."""
    methods = {name: _method(name, run) for name, run in METHODS.items()} | PLAIN
    for name, method in methods.items():
        for kind in (scalar, Handle, Array, ArrayHandle):
            if kind is scalar or name in vars(kind):  # a row may have that name, too
                setattr(kind, name, method)
    for name, run in OPERATORS.items():
        setattr(scalar, f"__{name}__", _operator(run))
        setattr(scalar, f"__r{name}__", _operator(run, swapped=True))
    own: dict[str, Any] = {
        "T": property(movement.transposed),
        "mT": property(products.matrix_transpose),
        "real": property(real),
        "imag": property(choices.imaginary_part),
        "__invert__": _invert,
        "__array_ufunc__": _ufunc,
        "__array_function__": _function,
        "__round__": lambda self, digits=0: choices.rounded(self, digits or 0),
    }
    for name, thing in own.items():
        setattr(scalar, name, thing)
    sequence: dict[str, Any] = {
        "__pos__": movement.copy,
        "__getitem__": items.getitem,
        "__setitem__": items.setitem,
        "__iter__": items.iterate,
        "__len__": items.length,
        "__array__": items.as_array,
        "nbytes": property(lambda self: size_of(self) * dtype_of(self).itemsize),
        "flat": property(lambda self: items.iterate(movement.ravel(self))),
    }
    for name, thing in sequence.items():
        setattr(mixin, name, thing)
    for name in INPLACE:
        setattr(mixin, f"__i{name}__", _augmented(name))
