"""Arrays of a reading's own numbers: NumPy's object arrays. Floor 3.

mpmath's numbers and SymPy's expressions have no arrays of their own. Elementwise rows
go entry by entry, with broadcasting; rows that move entries run on object arrays as
they stand; sums and products use the numbers' operators. A result of shape () is the
bare number. Masks are arrays of bools where conditions are decided, indices arrays of
ints.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import DomainError, ShapeError
from tapegrad.readings.base import Reading
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE, Primitive

Function = Callable[..., Any]


def boxed(x: Any) -> Any:
    """A number as an array of shape (); arrays, and NumPy's ints, as they are."""
    if isinstance(x, np.ndarray | np.generic):
        return x
    box = np.empty((), object)
    box[()] = x
    return box


def entrywise(function: Function) -> Function:
    """A function of numbers, applied entry by entry where an operand is an array."""

    @functools.wraps(function)
    def wide(*xs: Any, **params: Any) -> Any:
        if not any(type(x) is np.ndarray for x in xs):
            return function(*xs, **params)
        columns = np.broadcast_arrays(*(boxed(x).astype(object) for x in xs))
        out = np.empty(columns[0].shape, object)
        for place in np.ndindex(out.shape):
            out[place] = function(*(column[place] for column in columns), **params)
        return truths(out)

    return wide


def _of_ints(row: Primitive, function: Function) -> Function:
    """The function, and what NumPy gives where the operands are its ints."""
    first = 1 if row.kind == "select" else 0
    whole = getattr(MIXED, row.name)

    @functools.wraps(function)
    def either(*xs: Any, **params: Any) -> Any:
        if all(_is_whole(x) for x in xs[first:]):
            return whole(*xs, **params)
        return function(*xs, **params)

    return either


def _method_of_ints(name: str, method: Function) -> Function:
    """The same for a reading's own word."""

    @functools.wraps(method)
    def either(self: Any, *xs: Any, **params: Any) -> Any:
        row = TABLE[name]
        return _of_ints(row, functools.partial(method, self))(*xs, **params)

    return either


def _is_whole(x: Any) -> bool:
    kind = x.dtype.kind if isinstance(x, np.ndarray | np.generic) else ""
    return kind == "i"


def truths(x: Any) -> Any:
    """An array of Python's bools as one of NumPy's, which masks are."""
    decided = x.size and all(type(entry) is bool for entry in x.flat)
    return x.astype(bool) if decided else x


def _of_arrays(method: Function) -> Function:
    """A reading's own word for single numbers, entry by entry."""

    @functools.wraps(method)
    def wide(self: Any, *xs: Any, **params: Any) -> Any:
        return entrywise(functools.partial(method, self))(*xs, **params)

    return wide


class ObjectReading(Reading):
    """Base of readings whose arrays are object arrays.

    A subclass says what a number is; its own methods for elementwise rows take numbers.

    Attributes:
        matrices: rows of linear algebra, as functions of single matrices.
    """

    matrices: Mapping[str, Function]

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if name in TABLE and not TABLE[name].whole:
                wide = _of_arrays(method)
                whole = TABLE[name].integers
                setattr(cls, name, _method_of_ints(name, wide) if whole else wide)

    def evaluator(self, row: Primitive) -> Function:
        """The function that applies a row, to numbers or to arrays of them."""
        found = self._evaluator(row)
        return _of_ints(row, found) if row.integers else found

    def _evaluator(self, row: Primitive) -> Function:
        own = getattr(type(self), row.name, None)
        if own is not None:
            return own.__get__(self)  # type: ignore[no-any-return]
        if row.name in self.matrices:
            return functools.partial(self._stacked, row, self.matrices[row.name])
        if row.numpy is not None:
            return functools.partial(self._moved, row)
        return entrywise(super().evaluator(row))

    # -- words of rule text besides the rows ---------------------------------------

    def shape(self, x: Any) -> tuple[int, ...]:
        """The shape, () for a number."""
        return x.shape if isinstance(x, np.ndarray) else ()

    def dtype(self, x: Any) -> str:
        """The dtype that this stands for: "float64" for arrays of numbers."""
        if isinstance(x, np.ndarray | np.generic) and x.dtype != object:
            return x.dtype.name
        first = next(iter(x.flat), None) if isinstance(x, np.ndarray) else x
        return "bool" if self.is_condition(first) else "float64"

    def is_condition(self, x: Any) -> bool:
        """Whether an entry is a truth value, or a condition."""
        return isinstance(x, bool)

    def numbers(self, value: Any) -> Any:
        """An array of numbers; indices and masks stay as they are."""
        if value.dtype.kind in "biu":
            return value
        return self.lifted(value.astype(object))

    def lifted(self, x: Any) -> Any:
        """NumPy's result: plain numbers become this reading's, shape () bare."""
        if not isinstance(x, np.ndarray):
            x = boxed(x)
        if x.dtype != object:
            if x.dtype.kind in "biu":
                return x if x.ndim else x.item() if x.dtype == bool else x[()]
            x = np.asarray(x).astype(object)
        out = np.empty(x.shape, object)
        for place in np.ndindex(x.shape):
            entry = x[place]
            if type(entry) is np.ndarray:  # NumPy puts a box of shape () in as it is
                entry = entry[()]
            out[place] = self.number(entry) if type(entry) in {int, float} else entry
        return out if out.ndim else out[()]

    def like(self, value: int, other: Any) -> Any:
        """An integer as a number, spread over the shape of another value."""
        number = self.number(value)
        if not self.shape(other):
            return number
        out = np.empty(self.shape(other), object)
        for place in np.ndindex(out.shape):
            out[place] = number
        return out

    def count_up(self, shape: tuple[int, ...]) -> Any:
        """0, 1, 2, ... as numbers."""
        return self.lifted(np.arange(math.prod(shape)).reshape(shape).astype(object))

    def astype(self, x: Any, dtype: str) -> Any:
        """A conversion: floats of every width are numbers of this reading."""
        kind = np.dtype(dtype).kind
        arrays = boxed(x)
        if kind == "f":
            found = entrywise(self._as_number)(arrays.astype(object))
            return found[()] if isinstance(found, np.ndarray) else found
        change = self.truth if kind == "b" else self.whole_number
        return np.asarray(entrywise(change)(arrays.astype(object))).astype(dtype)[()]

    def _as_number(self, x: Any) -> Any:
        """A number; a condition counts as 1 or 0."""
        if self.is_condition(x):
            return self.where(x, self.number(1), self.number(0))
        return self.number(x)

    def truth(self, x: Any) -> bool:
        """Whether a number is not 0."""
        return x if isinstance(x, bool) else bool(self.not_equal(x, 0))

    def whole_number(self, x: Any) -> int:
        """A number without its fraction."""
        try:
            return int(x)
        except TypeError:
            msg = f"{x} has no integer value in {self.name} arithmetic"
            raise DomainError(msg) from None

    # -- rows of whole arrays ------------------------------------------------------

    def _moved(self, row: Primitive, *xs: Any, **params: Any) -> Any:
        """A row as NumPy computes it, on objects."""
        return self.lifted(row.numpy(np, *map(boxed, xs), **params))  # type: ignore[misc]

    def _stacked(
        self, row: Primitive, function: Function, *xs: Any, **params: Any
    ) -> Any:
        """A function of single matrices, over stacks of them."""
        if not all(x.size for x in xs):
            plain = row.numpy(np, *(np.zeros(x.shape) for x in xs), **params)  # type: ignore[misc]
            several = isinstance(plain, tuple)
            return tuple(map(self.lifted, plain)) if several else self.lifted(plain)
        avals = row.shape(*((x.shape, "float64") for x in xs), **params)  # type: ignore[misc]
        several = row.slots > 1
        outs = [np.empty(shape, object) for shape, _ in (avals if several else [avals])]
        lead = np.broadcast_shapes(*(x.shape[:-2] for x in xs))
        wide = [np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in xs]
        for place in np.ndindex(lead):
            found = function(*(x[place] for x in wide), **params)
            for out, part in zip(outs, found if several else [found], strict=True):
                out[place] = part
        made = tuple(map(self.lifted, outs))
        return made if several else made[0]

    def _folded(self, function: Function, x: Any, axes: Sequence[int]) -> Any:
        """A function of two numbers repeated along axes."""
        rest = [place for place in range(len(self.shape(x))) if place not in axes]
        count = math.prod(self.shape(x)[axis] for axis in axes)
        if not count:
            msg = f"shape {self.shape(x)} has no entries to choose from"
            raise ShapeError(msg)
        flat = np.transpose(boxed(x), (*rest, *axes))
        flat = flat.reshape(*flat.shape[: len(rest)], count)
        total = flat[..., 0]
        for i in range(1, count):
            total = function(total, flat[..., i])
        return self.lifted(total)

    def mean(self, x: Any, axes: Sequence[int]) -> Any:
        """The sum over the number of entries; NaN of none."""
        count = math.prod(self.shape(x)[axis] for axis in axes)
        total = self.sum(x, axes=axes)
        return total / count if count else self.like(1, total) * self.const("nan")

    def std(self, x: Any, axes: Sequence[int], ddof: int) -> Any:
        """The root of the mean squared deviation."""
        shape = self.shape(x)
        kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
        away = x - self.reshape(self.mean(x, axes=axes), shape=kept)
        count = math.prod(shape[axis] for axis in axes)
        squares = self.sum(away * away, axes=axes)
        return self.sqrt(squares / self.like(count - ddof, squares))

    def norm(self, x: Any, axes: Sequence[int]) -> Any:
        """The root of the sum of squares: exponents have no end here."""
        return self.sqrt(self.sum(x * x, axes=axes))

    def logsumexp(self, x: Any, axes: Sequence[int]) -> Any:
        """Unshifted: exponents have no end here."""
        return self.log(self.sum(self.exp(x), axes=axes))

    def softmax(self, x: Any, axes: Sequence[int]) -> Any:
        """Exponentials over their sum."""
        kept = tuple(1 if i in axes else s for i, s in enumerate(self.shape(x)))
        grown = self.exp(x)
        return grown / self.reshape(self.sum(grown, axes=axes), shape=kept)

    def amax(self, x: Any, axes: Sequence[int]) -> Any:
        """The largest entry; NaN where there is one."""
        return self._folded(self.max, x, axes)

    def amin(self, x: Any, axes: Sequence[int]) -> Any:
        """The smallest entry; NaN where there is one."""
        return -self._folded(self.max, -x, axes)
