"""Rows of whole arrays at their samples: values, pulls and pushes in a reading.

Floor 10. The judge is mpmath at 50 digits, with central differences of h = 1e-15, which
hold 30 digits:

    d/dh f(x + h dot)  =  (f(x + h dot) - f(x - h dot)) / 2h
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad import passing
from tapegrad.errors import DomainError
from tapegrad.proof.onestep import reading_for
from tapegrad.readings import reading
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules import Primitive, Sample, shapes
from tapegrad.tape.structure import Structure, Tree, flatten

# Directions along which a derivative is compared, at each sample.
DIRECTIONS = 3

JUDGE = "mpmath:50"
STEP = "1e-15"


@dataclass(frozen=True)
class Case:
    """A row at one sample, with what derivatives are compared along.

    Args:
        row: the row.
        params: static parameters.
        xs: operands; floats, indices, or conditions.
        dots: a direction for each operand that has a derivative, else None.
        bars: an adjoint for each slot.
    """

    row: Primitive
    params: Mapping[str, Any]
    xs: tuple[Any, ...]
    dots: tuple[Any, ...]
    bars: tuple[Any, ...]

    @property
    def free(self) -> list[int]:
        """Places of the operands that have a derivative."""
        return [place for place, dot in enumerate(self.dots) if dot is not None]


def cases(row: Primitive) -> list[Case]:
    """A row's samples with numbers in them."""
    found = []
    for number, sample in enumerate(row.samples):
        for turn in range(DIRECTIONS):
            rng = np.random.default_rng([number, turn])
            found.append(_case(row, sample, rng))
    return found


def _case(row: Primitive, sample: Sample, rng: Any) -> Case:
    kinds = sample.make or ("real",) * len(sample.shapes)
    pairs = list(zip(kinds, sample.shapes, strict=True))
    xs = tuple(operand(kind, shape, rng) for kind, shape in pairs)
    dots = tuple(
        None if kind.startswith(("index", "bool")) else _direction(kind, shape, rng)
        for kind, shape in pairs
    )
    case = Case(row, dict(sample.params), xs, dots, ())
    bars = tuple(_plain(rng.normal(size=shape)) for shape, _ in avals(case))
    return dataclasses.replace(case, bars=bars)


def avals(case: Case) -> list[shapes.Aval]:
    """Shape and dtype of each slot, as the row says."""
    shape: Any = case.row.shape
    given = [(np.shape(x), MIXED.dtype(x)) for x in case.xs]
    found = shape(*given, **case.params)
    return list(found) if case.row.slots > 1 else [found]


def operand(kind: str, shape: tuple[int, ...], rng: Any) -> Any:
    """An array of a kind that a `Sample` names.

    Args:
        kind: "real", "positive", "spd", "symmetric", "regular", "lower", "bool" or
            "index:<n>".
        shape: its shape.
        rng: a NumPy generator.
    """
    if kind.startswith("index:"):
        return rng.integers(0, int(kind.partition(":")[2]), shape)
    x = rng.normal(size=shape)
    if kind == "bool":
        return x > 0
    if kind == "positive":
        x = np.abs(x) + 0.5
    elif kind == "spd":
        x = x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])
    elif kind == "symmetric":
        x = x + np.swapaxes(x, -1, -2)
    elif kind == "regular":
        x = x + 3.0 * np.eye(shape[-1])
    elif kind == "lower":
        x = np.tril(x) + 3.0 * np.eye(shape[-1])
    elif kind != "real":
        msg = f"a sample asks for operands of kind {kind!r}, which there is not"
        raise DomainError(msg)
    return _plain(x)


def _direction(kind: str, shape: tuple[int, ...], rng: Any) -> Any:
    x = rng.normal(size=shape)
    if kind in {"spd", "symmetric"}:
        x = x + np.swapaxes(x, -1, -2)
    return _plain(x)


def _plain(x: Any) -> Any:
    return float(x) if not np.shape(x) else x


# -- a row and its derivatives in a reading --------------------------------------------


def values(m: Any, case: Case, xs: Sequence[Any]) -> tuple[Any, ...]:
    """What the row gives, one value a slot."""
    found = reading_for(m, case.row).evaluator(case.row)(*xs, **case.params)
    return found if case.row.slots > 1 else (found,)


def pulled(m: Any, case: Case, xs: Sequence[Any], bars: Sequence[Any]) -> list[Any]:
    """The adjoint of each operand that has one."""
    row, mine, ys = case.row, reading_for(m, case.row), values(m, case, xs)
    if row.slots > 1:
        parts: Any = row.pull(mine, tuple(bars), ys, *xs, **case.params)  # type: ignore[misc]
    else:
        wanted = [dot is not None for dot in case.dots]
        parts = passing.contributions(
            mine, row, ys[0], xs, bars[0], None, case.params, wanted
        )
        parts = [part for _, part, _ in parts]
    found = []
    for i in case.free:
        part, dtype = parts[i], m.dtype(xs[i])
        part = m.like(0, xs[i]) if part is None else part
        found.append(part if m.dtype(part) == dtype else m.astype(part, dtype=dtype))
    return found


def pushed(m: Any, case: Case, xs: Sequence[Any], dots: Any) -> tuple[Any, ...]:
    """The tangent of each slot."""
    mine, ys = reading_for(m, case.row), values(m, case, xs)
    y = ys if case.row.slots > 1 else ys[0]
    found = passing.pushed(mine, case.row, y, xs, dots, case.params)
    return found if case.row.slots > 1 else (found,)


def pull_tape(case: Case) -> Any:
    """The pull as a tape: operands in, their adjoints out."""
    recorder = Recorder()
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        xs = [
            recorder.variable(x) if place in case.free else m.number(x)
            for place, x in enumerate(case.xs)
        ]
        bars = [m.number(bar) for bar in case.bars]
        outputs = [recorder.slot_of(bar) for bar in pulled(m, case, xs, bars)]
        inputs = [recorder.slot_of(xs[i]) for i in case.free]
    _, result = flatten(outputs, lambda leaf: isinstance(leaf, int))
    return recorder.freeze(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        structure=Structure(tuple(Tree() for _ in inputs), (), result),
        example=tuple(case.xs[i] for i in case.free),
    )


# -- the judge -------------------------------------------------------------------------


class Judge:
    """A row at 50 digits, and differences of it.

    Args:
        case: the row at a sample.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.m: Any = reading(JUDGE)
        self.xs = [self.m.number(x) for x in case.xs]
        self.bars = [self.m.number(bar) for bar in case.bars]
        self.dots = [None if dot is None else self.m.number(dot) for dot in case.dots]

    def _moved(self, step: Any) -> list[Any]:
        return [
            x if dot is None else x + dot * step
            for x, dot in zip(self.xs, self.dots, strict=True)
        ]

    def _difference(self, function: Any) -> list[Any]:
        step = self.m.number(STEP)
        above, below = function(self._moved(step)), function(self._moved(-step))
        return [(a - b) / (step + step) for a, b in zip(above, below, strict=True)]

    def values(self) -> list[Any]:
        """What the row gives."""
        return list(values(self.m, self.case, self.xs))

    def slopes(self) -> list[Any]:
        """The derivative of each slot along the direction."""
        return self._difference(lambda xs: values(self.m, self.case, xs))

    def curvature(self) -> list[Any]:
        """The derivative of the pull along the direction."""
        return self._difference(lambda xs: pulled(self.m, self.case, xs, self.bars))


def rounded(x: Any) -> Any:
    """An array of many digits as floats."""
    flat = [float(entry) for entry in np.asarray(x, object).ravel()]
    return np.array(flat).reshape(np.shape(x))


def signs(found: Sequence[Any], exact: Sequence[Any]) -> Any:
    """What makes eigenvectors those of another computation: only their sign is free."""
    together = np.sum(np.asarray(found[1]) * np.asarray(exact[1]), -2, keepdims=True)
    return np.sign(together)
