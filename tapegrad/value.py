"""Value: a number or an array that remembers how it was computed. Floor 5.

The arithmetic of a Value appends one row to the current columns (see ``ambient``):

    c = a * b      appends      mul, slot of a, slot of b, primal

(``apply``). A scalar is a `Value`, with the quickest way through; an array is an
`Array`, which is a Value too. No Value holds its operands: they are freed as they go,
and ``_prev`` finds the living ones when it is asked (see `value_at`).
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.ambient import Segment
from tapegrad.doors import ValueDoors
from tapegrad.errors import RecordError, ShapeError
from tapegrad.real import as_data, frozen
from tapegrad.rules import Primitive

new = object.__new__
_births = itertools.count()
# Types of data that are no plain scalars.
ARRAYS = (np.ndarray, np.generic)
# What a constant has in place of a time of birth.
CONSTANT = -1


class _Float64:
    """float64, as far as NumPy's functions ask.

    ``np.mean`` of an object array ends in ``total.dtype.type(total / n)``, which on a
    plain dtype would give a bare float and lose the derivative.
    """

    dtype = np.dtype("float64")
    name, kind, itemsize = dtype.name, dtype.kind, dtype.itemsize

    @staticmethod
    def type(value: Any) -> Any:
        """A Value as it is, anything else as a float64."""
        return value if isinstance(value, Value) else np.float64(value)

    def __eq__(self, other: object) -> bool:
        return bool(self.dtype == other)

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return repr(self.dtype)


FLOAT64 = _Float64()


class Value(ValueDoors):
    """A number or an array that records what is done with it.

    Args:
        data: a real number, or an array of floats (copied; lists and integer arrays
            become float64, float32 stays).
        label: a name, for lists and pictures.

    Example:
        >>> a, b = Value(2.0), Value(3.0)
        >>> c = a * b + b
        >>> c.backward()
        >>> a.grad, b.grad
        (3.0, 3.0)
    """

    # A leaf has its own _born, _grad and _label; what a step made has none of them:
    # the columns keep them by slot. A leaf's place is that of its last import.
    __slots__ = ("__weakref__", "_born", "_data", "_grad", "_i", "_label", "_rec")
    _born: int
    _data: Any
    _grad: Any
    _i: int
    _label: str
    _rec: Any
    _array_class: type[Value]

    def __init__(self, data: Any, label: str = "") -> None:
        if isinstance(data, Value):
            msg = "Value(value): it is a Value already; use value.detach() for a copy"
            raise RecordError(msg)
        self._data = as_data(data)
        if type(self._data) is not float:
            self.__class__ = self._array_class
        self._rec = None
        self._i = -1
        self._label = label
        self._born = next(_births)

    # -- what it is ------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The number itself, a float, or the array."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._check_eager("assign .data")
        data, label = self._data if value is self._data else as_data(value), self.label
        if type(data) is not float or type(self._data) is not float:
            self._check_grad(np.shape(data))
        # a new version: recorded steps keep the old number; later ones see a leaf
        if not self._is_leaf:
            self._born, self._label = next(_births), label
        self._data = data
        self.__class__ = Value if type(data) is float else self._array_class
        self._rec = None

    @property
    def grad(self) -> Any:
        """The accumulated adjoint, 0.0 before any sweep."""
        if self._is_leaf:
            return getattr(self, "_grad", 0.0)
        return self._rec.adjoint_of(self._i)

    @grad.setter
    def grad(self, value: Any) -> None:
        self._check_eager("assign .grad")
        bar = as_data(value)
        if type(bar) is not float and bar.shape not in {(), self.shape}:
            msg = (
                f"a .grad of shape {bar.shape} for a Value of shape {self.shape}; it "
                "has the Value's shape, or is one number"
            )
            raise ShapeError(msg)
        if self._is_leaf:
            self._grad = bar
        else:
            self._rec.set_adjoint(self._i, bar)

    @property
    def label(self) -> str:
        """The name, "" when there is none."""
        if self._is_leaf:
            return self._label
        return self._rec.labels.get(self._i, "")  # type: ignore[no-any-return]

    @label.setter
    def label(self, text: str) -> None:
        if self._is_leaf:
            self._label = str(text)
        else:
            self._rec.labels[self._i] = str(text)

    @property
    def _is_leaf(self) -> bool:
        """Whether no step made it; such a Value alone has a time of birth."""
        return hasattr(self, "_born")

    def _check_grad(self, shape: tuple[int, ...]) -> None:
        """Refuse data of another shape while an adjoint of the old shape is held."""
        if shape != self.shape and np.any(self.grad):
            msg = (
                f"data of shape {shape} for a Value of shape {self.shape} that holds "
                "a .grad, which the next sweep would add to; set .grad = 0.0 first"
            )
            raise ShapeError(msg)

    shape: Any = ()
    ndim: Any = 0
    size: Any = 1
    dtype: Any = FLOAT64

    def _check_eager(self, what: str) -> None:
        del what  # handles of a recording refuse; see Handle

    # -- micrograd's inside names ----------------------------------------------

    @property
    def _operands(self) -> tuple[Any, ...]:
        """Operands in order, constants as Values."""
        if self._is_leaf:
            return ()
        _, reads, _, _ = self._rec.step_at(self._i)
        return tuple(value_at(self._rec, slot) for slot in reads)

    @property
    def _prev(self) -> set[Value]:
        """The operands, as micrograd calls them."""
        return set(self._operands)

    @property
    def _step(self) -> tuple[Primitive, dict[str, Any]] | None:
        """The row and static parameters of the step that made it; None for a leaf."""
        if self._is_leaf:
            return None
        row, _, static, _ = self._rec.step_at(self._i)
        return row, dict(static)

    @property
    def _op(self) -> str:
        """How the operation is written: '+', '**2', 'tanh'; '' for a leaf."""
        made = self._step
        return made[0].sign(made[1]) if made else ""

    if TYPE_CHECKING:  # made from the table in `operations` and `arrays`

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def __hash__(self) -> int:
        return id(self)

    # -- conversions -----------------------------------------------------------

    def __float__(self) -> float:
        return float(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __index__(self) -> int:
        msg = f"{self!r} is a float and no index; use int(value)"
        raise RecordError(msg)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __repr__(self) -> str:
        return f"Value(data={self._data})"

    def __format__(self, spec: str) -> str:
        return format(self._data, spec) if spec else repr(self)

    def item(self) -> float:
        """The number as a plain float."""
        return float(self)

    def detach(self) -> Value:
        """A new leaf with the same number and no history."""
        return Value(self._data, self.label)

    def __reduce__(self) -> tuple[Any, ...]:
        return Value, (self._data, self.label)


class Arrays:
    """What differs for an array: to be mixed into a class of Values."""

    __slots__ = ()
    _data: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._data.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The NumPy dtype."""
        return np.asarray(self._data).dtype

    def _single(self, what: str) -> None:
        if self.size != 1:
            msg = (
                f"{what} of an array of shape {self.shape}, which is not one number; "
                "use .any(), .all(), an index or np.where"
            )
            raise ShapeError(msg)


class Array(Arrays, Value):
    """A Value that holds an array."""

    __slots__ = ()

    @property
    def data(self) -> Any:
        """The array. A leaf's is its own and may be written; others are read-only.

        What was recorded keeps its numbers: a leaf that was used hands out a fresh
        copy, which becomes its data.
        """
        data = self._data
        if self._is_leaf and not data.flags.writeable:
            self._data = data = data.copy()
            self._rec = None
        return data

    @data.setter
    def data(self, value: Any) -> None:
        Value.data.fset(self, value)  # type: ignore[attr-defined]

    def __float__(self) -> float:
        self._single("float()")
        return float(self._data.item())

    def __int__(self) -> int:
        self._single("int()")
        return int(self._data.item())

    def __bool__(self) -> bool:
        self._single("the truth value")
        return bool(self._data.item())

    def __hash__(self) -> int:
        return id(self)


Value._array_class = Array


def leaf(data: Any) -> Value:
    """A Value without history that takes over a float or an array."""
    made = new(Array if isinstance(data, ARRAYS) else Value)
    made._data, made._rec, made._i = frozen(data), None, -1
    made._label, made._born = "", next(_births)
    return made


def constant(number: Any) -> Value:
    """A Value that stands for a number in the code: no leaf of anyone's making."""
    made = leaf(number)
    made._born = CONSTANT
    return made


def value_at(segment: Segment, slot: int) -> Value:
    """The Value that stands for a slot of a segment: the very object, if it lives.

    Values do not hold their operands: a chain of them would stay in memory, and the
    garbage collector would walk it again and again, which costs as much as all the
    rest of recording. So the living ones are looked for when somebody asks; a Value
    that nobody holds any more is made anew, since its slot has all that it had. (After
    ``gc.freeze()`` the collector does not show what lived before; that is made anew.)
    """
    known = segment.imports.get(slot)
    if known is None:
        known = segment.seen.get(slot)
    if known is None and slot >= segment.searched:
        segment.searched = segment.n
        for found in gc.get_referrers(segment):
            if type(found) in {Value, Array} and found._rec is segment:
                segment.seen[found._i] = found
        known = segment.seen.get(slot)
    if known is None:
        row, _, _, primal = segment.step_at(slot)
        if row.arity == 0:
            known = constant(primal)
        else:
            known = new(Array if isinstance(primal, ARRAYS) else Value)
        known._data, known._rec, known._i = primal, segment, slot
        segment.seen[slot] = known
    return known
