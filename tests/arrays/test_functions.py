"""Each call of cases.py: on Values as on arrays; its gradient against differences."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.special as sps

import tapegrad as tg
from tapegrad import Value

_spec = importlib.util.spec_from_file_location(
    "array_cases", Path(__file__).parent / "cases.py"
)
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)
INPUTS = cases.INPUTS


def names_in(text):
    found = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    return sorted(found & set(INPUTS))


def evaluated(text, values):
    return eval(text, {"np": np, "sps": sps, **values})  # noqa: S307 - our own table


def leaves(result):
    """The arrays of a result, flat; discrete ones become floats."""
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]


def plain(result):
    """The numbers of a result."""
    return [np.asarray(x._data if isinstance(x, Value) else x) for x in leaves(result)]


def expected(text):
    with np.errstate(all="ignore"):
        return plain(evaluated(text, INPUTS))


def agree(found, wanted, text):
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.shape == theirs.shape, text
        if theirs.dtype.kind == "f":
            assert mine.dtype == theirs.dtype, text
        tolerance = 1e-5 if theirs.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(
            mine.astype(float), theirs.astype(float), tolerance, tolerance
        )


@pytest.mark.parametrize("text", cases.CALLS)
def test_eager_as_in_numpy(text):
    values = {name: Value(INPUTS[name]) for name in names_in(text)}
    found = evaluated(text, values)
    agree(plain(found), expected(text), text)


@pytest.mark.parametrize("text", cases.CALLS)
def test_recorded_and_replayed_as_in_numpy(text):
    names = names_in(text)

    def f(*xs):
        made = leaves(evaluated(text, dict(zip(names, xs, strict=True))))
        return [x if isinstance(x, Value) else np.asarray(x) * 1.0 for x in made]

    tape = tg.record(f, *(INPUTS[name] for name in names))
    tape.check()
    found = plain(tape(*(INPUTS[name] for name in names)))
    wanted = expected(text)
    agree(
        [x.astype(float) if x.dtype.kind in "ib" else x for x in found],
        [x.astype(float) if x.dtype.kind in "ib" else x for x in wanted],
        text,
    )


def weighted(result):
    """One number of any result, with different weights for its entries."""
    total = 0.0
    for place, x in enumerate(leaves(result)):
        if isinstance(x, Value) and x.dtype != bool and np.dtype(x.dtype).kind == "f":
            weights = np.cos(np.arange(float(x.size)) + place).reshape(x.shape)
            total = total + np.sum(x * weights)
        elif not isinstance(x, Value) and np.asarray(x).dtype.kind == "f":
            weights = np.cos(np.arange(float(np.size(x))) + place)
            total = total + np.sum(x * weights.reshape(np.shape(x)))
    return total


SMOOTH = [
    text
    for text in cases.CALLS
    if "float32" not in text
    and "f" not in names_in(text)
    and any(x.dtype.kind == "f" for x in expected(text))
]


@pytest.mark.parametrize("text", SMOOTH)
def test_gradient_as_by_differences(text):
    names = names_in(text)
    points = [np.asarray(INPUTS[name], float) for name in names]

    def f(*xs):
        return weighted(evaluated(text, dict(zip(names, xs, strict=True))))

    leaves_in = [Value(point) for point in points]
    root = f(*leaves_in)
    if isinstance(root, Value):
        root.backward()
    way = [np.sin(1.0 + 3.0 * np.arange(x.size)).reshape(x.shape) for x in points]
    slope = sum(
        np.sum(leaf.grad * along) for leaf, along in zip(leaves_in, way, strict=True)
    )
    h = 1e-6
    with np.errstate(all="ignore"):
        ahead = f(*(x + h * d for x, d in zip(points, way, strict=True)))
        behind = f(*(x - h * d for x, d in zip(points, way, strict=True)))
    difference = (ahead - behind) / (2 * h)
    np.testing.assert_allclose(slope, difference, 2e-6, 2e-6)
    # the same from a tape, where nothing is known beforehand
    recorded = tg.grad(
        lambda *xs: f(*xs) + 0.0 * np.sum(xs[0]), tuple(range(len(names)))
    )
    bars = recorded(*points)
    for bar, leaf in zip(bars, leaves_in, strict=True):
        np.testing.assert_allclose(bar, leaf.grad + 0 * bar, 1e-9, 1e-12)


# Scalars are float64 here, whatever they were made of.
SINGLE = [text for text in SMOOTH if "s" not in names_in(text)]


@pytest.mark.parametrize("text", SINGLE)
def test_float32_is_not_widened(text):
    single = {name: x.astype(np.float32) for name, x in INPUTS.items()}
    with np.errstate(all="ignore"):
        wanted = plain(evaluated(text, single))
    found = plain(evaluated(text, {name: Value(x) for name, x in single.items()}))
    for mine, theirs in zip(found, wanted, strict=True):
        if theirs.dtype == np.float32:
            assert mine.dtype == np.float32
            np.testing.assert_allclose(mine, theirs, 2e-4, 2e-4)
