"""Value: a number that remembers, on a tape, how it was computed. Floor 5.

The arithmetic of a Value appends one row to the current columns (see ``ambient``):

    c = a * b      appends      mul, slot of a, slot of b, primal

No Value holds its operands: they are freed as they go, and ``_prev`` finds the living
ones when it is asked (see `value_at`).
"""

from __future__ import annotations

import gc
import itertools
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.ambient import SILENT, Segment, opened
from tapegrad.doors import ValueDoors
from tapegrad.errors import RecordError
from tapegrad.readings import SCALAR
from tapegrad.real import as_number
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.arithmetic import POW, POWC
from tapegrad.tape.guards import Guard, user_line

new = object.__new__
_births = itertools.count()
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
    """A scalar that records what is done with it.

    Args:
        data: a real number.
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
    _grad: float
    _i: int
    _label: str
    _rec: Any

    def __init__(self, data: Any, label: str = "") -> None:
        if isinstance(data, Value):
            msg = "Value(value): it is a Value already; use value.detach() for a copy"
            raise RecordError(msg)
        self._data = as_number(data)
        self._rec = None
        self._i = -1
        self._label = label
        self._born = next(_births)

    # -- what it is ------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The number itself, a float."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._check_eager("assign .data")
        number, label = as_number(value), self.label
        # a new version: recorded steps keep the old number; later ones see a leaf
        if not self._is_leaf:
            self._born, self._label = next(_births), label
        self._data = number
        self._rec = None

    @property
    def grad(self) -> float:
        """The accumulated adjoint, 0.0 before any sweep."""
        if self._is_leaf:
            return getattr(self, "_grad", 0.0)
        return self._rec.adjoint_of(self._i)  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Any) -> None:
        self._check_eager("assign .grad")
        number = as_number(value)
        if self._is_leaf:
            self._grad = number
        else:
            self._rec.set_adjoint(self._i, number)

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

    shape: tuple[int, ...] = ()
    ndim = 0
    size = 1
    dtype = FLOAT64

    @property
    def T(self) -> Value:  # noqa: N802 - NumPy's name
        """The transpose; a scalar is its own."""
        return self

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

    # -- arithmetic (the hot operators are made below) -------------------------

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, Value):
            return apply(POW, self, exponent)
        if isinstance(exponent, np.ndarray) and exponent.ndim:
            return NotImplemented
        return apply(POWC, self, exponent=_exponent(exponent))

    def __rpow__(self, base: Any) -> Any:
        return apply(POW, base, self)

    def __pos__(self) -> Value:
        return self

    if TYPE_CHECKING:  # made from the table in `operations`; here for type checkers
        __add__ = __radd__ = __sub__ = __rsub__ = __pow__
        __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__

        def __neg__(self) -> Value: ...
        def __abs__(self) -> Value: ...
        def __getattr__(self, name: str) -> Callable[[], Value]: ...

    # -- comparisons: plain bools here, steps inside a recording ---------------

    def __eq__(self, other: object) -> Any:
        return compare("equal", self, other)

    def __ne__(self, other: object) -> Any:
        return compare("not_equal", self, other)

    def __lt__(self, other: Any) -> Any:
        return compare("less", self, other)

    def __le__(self, other: Any) -> Any:
        return compare("less_equal", self, other)

    def __gt__(self, other: Any) -> Any:
        return compare("greater", self, other)

    def __ge__(self, other: Any) -> Any:
        return compare("greater_equal", self, other)

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

    # -- NumPy -----------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        """``np.tanh(v)`` records; arrays are taken entry by entry, as objects."""
        inputs = tuple(map(_unwrapped, inputs))
        if any(isinstance(x, np.ndarray) for x in inputs):
            objects = [_object(x) if isinstance(x, Value) else x for x in inputs]
            objects = [np.asarray(x, dtype=object) for x in objects]
            return getattr(ufunc, method)(*objects, **kwargs)
        row = TABLE.by_ufunc.get(_UFUNC_ALIASES.get(ufunc.__name__, ufunc.__name__))
        if method != "__call__" or kwargs or row is None:
            return unsupported(ufunc, method, kwargs)
        if row.kind == "predicate":
            return compare(row.name, *inputs)
        if row.name == "pow" and not isinstance(inputs[1], Value):
            return inputs[0] ** inputs[1]
        return apply(row, *inputs)


# ufuncs that are another one under a second name
_UFUNC_ALIASES = {"fabs": "absolute", "float_power": "power", "true_divide": "divide"}


def unsupported(ufunc: Any, method: str, kwargs: dict[str, Any]) -> Any:
    """Raise the error of a NumPy function that cannot be recorded."""
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if kwargs:
        name += "(" + ", ".join(f"{key}=" for key in kwargs) + ")"
    known = ", ".join(sorted(set(TABLE.by_ufunc)))
    msg = (
        f"{name} cannot be recorded on a Value; recorded ufuncs: {known}. Write it in "
        "these, or convert with float(value) where no derivative is needed"
    )
    raise RecordError(msg)


def _unwrapped(x: Any) -> Any:
    """A 0-d array as its number: NumPy's scalars arrive like this, too."""
    return x[()] if isinstance(x, np.ndarray) and not x.ndim else x


def _object(value: Value) -> Any:
    box = np.empty((), dtype=object)
    box[()] = value
    return box


def constant(number: Any) -> Value:
    """A Value that stands for a number in the code: no leaf of anyone's making."""
    made = Value(number)
    made._born = CONSTANT
    return made


def _exponent(exponent: Any) -> int | float:
    """A constant exponent as it was written: 2 stays an int, 0.5 a float."""
    if type(exponent) is int and abs(exponent) < 2**53:
        return exponent
    return as_number(exponent)


def compare(name: str, *operands: Any) -> Any:
    """A comparison: a step where one operand belongs to a recording, else a bool."""
    if name.startswith("logical_"):
        operands = tuple(map(_truth, operands))
    plain: list[Any] = []
    recorded = False
    for x in map(_unwrapped, operands):
        if isinstance(x, Value):
            recorded = recorded or isinstance(x, Handle)
            plain.append(x._data)
        elif isinstance(x, numbers.Real | np.bool_):
            plain.append(x)
        else:
            return NotImplemented  # Python decides: == is False, < a TypeError
    if recorded:
        return apply(TABLE[name], *operands)
    return bool(getattr(SCALAR, name)(*plain))


def _truth(x: Any) -> Any:
    """An operand of logic: a bool stays, a number is true where it is not 0."""
    data = x._data if isinstance(x, Value) else x
    is_number = isinstance(data, numbers.Real) and not isinstance(data, bool)
    return x != 0 if is_number else x


# -- recording an operation ------------------------------------------------------


def apply(row: Primitive, *operands: Any, **params: Any) -> Any:
    """Apply a primitive to Values and numbers, and record the step.

    Args:
        row: a row of the table whose result is one number.
        operands: Values or real numbers.
        params: static parameters of the step.

    Returns:
        A Value (a bool for a predicate outside a recording).

    Raises:
        RecordError: an operand is no real number, or belongs to another recording.
    """
    columns = opened()
    if columns is SILENT:
        for x in operands:
            if isinstance(x, Handle):
                raise x.frozen("no_record()")
        return Value(SCALAR.apply(row, *map(_primal, operands), **params))
    slots, primals = [], []
    for x in operands:
        if isinstance(x, Value):
            slots.append(columns.slot_of(x))
            primals.append(x._data)
        elif isinstance(x, bool | np.bool_) and _takes_bool(row, len(slots)):
            slots.append(columns.constant(bool(x)))
            primals.append(bool(x))
        else:
            number = as_number(x)
            slots.append(columns.constant(number))
            primals.append(number)
    y = SCALAR.apply(row, *primals, **params)
    return make(columns, columns.push(row, slots, params, y), y)


def _takes_bool(row: Primitive, place: int) -> bool:
    """Whether an operand is a condition, so that True is not the number 1."""
    if row.kind == "select":
        return place == 0
    return row.name.startswith("logical_")


def make(columns: Any, slot: int, primal: Any) -> Any:
    """The Value that stands for a slot."""
    made = new(Value if columns.eager else Handle)
    made._data, made._rec, made._i = primal, columns, slot
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
            if type(found) is Value and found._rec is segment:
                segment.seen[found._i] = found
        known = segment.seen.get(slot)
    if known is None:
        row, _, _, primal = segment.step_at(slot)
        known = constant(primal) if row.arity == 0 else new(Value)
        known._data, known._rec, known._i = primal, segment, slot
        segment.seen[slot] = known
    return known


def _primal(x: Any) -> Any:
    if isinstance(x, Value):
        return x._data
    return bool(x) if isinstance(x, bool | np.bool_) else as_number(x)


class Handle(Value):
    """A Value inside a recording: it stands for a slot."""

    __slots__ = ()

    def _check_eager(self, what: str) -> None:
        msg = (
            f"cannot {what} of {self.where_from()} inside a recording: the tape has "
            "one value a slot; compute a new Value, and use tg.grad for derivatives"
        )
        raise RecordError(msg)

    @property
    def data(self) -> Any:
        """Refused: a number of this run would be frozen into the tape."""
        raise self.frozen(".data")

    @data.setter
    def data(self, value: Any) -> None:
        del value
        self._check_eager("assign .data")

    @property
    def grad(self) -> float:
        """Refused: adjoints are asked of the tape."""
        msg = (
            f"{self.where_from()} belongs to a recording, and has no .grad; ask the "
            "tape for its gradient, or use tg.grad on the function"
        )
        raise RecordError(msg)

    @grad.setter
    def grad(self, value: Any) -> None:
        del value
        self._check_eager("assign .grad")

    @property
    def _operands(self) -> tuple[Any, ...]:
        msg = f"{self.where_from()} belongs to a recording; see tape.steps for operands"
        raise RecordError(msg)

    def frozen(self, what: str) -> RecordError:
        """The error of a way to take a plain number out of a recording."""
        return RecordError(
            f"{what} of {self.where_from()} inside a recording would freeze a number "
            f"of this run into the tape ({':'.join(map(str, user_line()))}); use "
            "tg.stop_gradient(v) for a constant, and print(v) to look at it"
        )

    def where_from(self) -> str:
        """The slot, for messages."""
        return self.label or f"slot v{self._i}"

    def __bool__(self) -> bool:
        outcome = bool(self._data)
        self._guard(outcome)
        return outcome

    def __int__(self) -> int:
        outcome = int(self._data)
        self._guard(outcome)
        return outcome

    def __index__(self) -> int:
        if self._data != int(self._data):
            msg = f"{self.where_from()} = {self._data} is used as an index; use int()"
            raise RecordError(msg)
        return int(self)

    def _guard(self, outcome: bool | int) -> None:
        columns = opened()
        if columns is SILENT:  # a branch is a branch, whatever it does
            columns = self._rec
        columns.push_guard(columns.slot_of(self), Guard(outcome, *user_line()))

    def __float__(self) -> float:
        msg = (
            f"float() of {self.where_from()} inside a recording would lose its "
            f"derivative silently ({':'.join(map(str, user_line()))}); use the "
            "functions of NumPy (np.sin(v), not math.sin(v)), and lists in place of "
            "float arrays to collect results"
        )
        raise RecordError(msg)

    def __hash__(self) -> int:
        return id(self)

    __eq__ = Value.__eq__
    __ne__ = Value.__ne__

    def __reduce__(self) -> Any:
        msg = "a Value of a recording cannot be copied or pickled; return it instead"
        raise RecordError(msg)

    def detach(self) -> Value:
        """Refused: a number of this run would be frozen into the tape."""
        raise self.frozen("detach()")
