"""Every row of the table, on arrays: native code against NumPy and the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from tapegrad.derivatives import gradient_tape
from tapegrad.native.arrays.rows import missing
from tapegrad.rules import TABLE
from tapegrad.rules.primitive import Sample

# Rows without samples of their own.
MORE = {
    "argsort": [Sample(((7,),), {"axis": 0}), Sample(((3, 4),), {"axis": 0})],
    "argmax": [Sample(((7,),), {"axis": 0}), Sample(((3, 4),), {"axis": 1})],
    "argmin": [Sample(((2, 3, 2),), {"axis": 1}), Sample(((3, 4),), {"axis": 0})],
    "any": [Sample(((3, 4),), {"axes": (1,)}, ("bool",))],
    "all": [Sample(((3, 4),), {"axes": (0, 1)}, ("bool",))],
}
WHOLE = [row for row in TABLE if row.whole]
ENTRYWISE = [
    row for row in TABLE if not row.whole and row.kind in {"elementwise", "predicate"}
]
EXACT = {"add", "sub", "mul", "div", "neg", "sqrt", "abs", "max", "relu"}


def made(rng, shape, how, dtype):
    """An operand as a sample asks for it."""
    if how.startswith("index"):
        size = int(how[6:])
        return rng.integers(-size, size, shape)
    if how == "bool":
        return rng.random(shape) < 0.5
    x = rng.normal(size=shape)
    if how == "positive":
        x = np.abs(x) + 0.1
    if how in {"spd", "symmetric"}:
        x = x @ np.swapaxes(x, -1, -2) + (how == "spd") * np.eye(shape[-1])
    if how in {"regular", "lower"}:
        x = x + 4 * np.eye(shape[-1])
    return x.astype(dtype)


def cases_of(row, dtype):
    """Operands and parameters of a row's samples."""
    rng = np.random.default_rng(7)
    out = []
    for sample in (*row.samples, *MORE.get(row.name, ())):
        makes = sample.make or ("real",) * len(sample.shapes)
        pairs = zip(sample.shapes, makes, strict=True)
        operands = [made(rng, shape, how, dtype) for shape, how in pairs]
        out.append((operands, dict(sample.params)))
    return out


def test_each_row_has_native_code():
    assert missing() == []
    assert all(row.samples or row.name in MORE for row in WHOLE)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row.name)
def test_row_of_whole_arrays(row, dtype, kernel, steps):
    cases = cases_of(row, dtype)
    tape = steps(row, cases)
    status, found = kernel(tape)(*[x for operands, _ in cases for x in operands])
    assert status == 0
    want = []
    for operands, params in cases:
        y = row.numpy(np, *operands, **params)
        want += y if row.slots > 1 else [y]
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for mine, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "row", [row for row in WHOLE if row.kind != "discrete"], ids=lambda row: row.name
)
def test_adjoint_of_row_of_whole_arrays(row, both, steps):
    cases = cases_of(row, "float64")[:2]
    for case in cases:
        grown = gradient_tape(steps(row, [case]))
        both(grown, *case[0])


@pytest.mark.parametrize("row", ENTRYWISE, ids=lambda row: row.name)
def test_entrywise_row_broadcasts(row, kernel, steps):
    """A row, and a column against it, long enough for vectors and their remainder."""
    rng = np.random.default_rng(3)
    shapes = [(37,), (3, 1), (1, 37)][: row.arity]
    domain = row.domain or ((-np.inf, np.inf),) * row.arity
    for params in row.params[:3]:
        operands = []
        for shape, (low, high) in zip(shapes, domain, strict=True):
            ends = max(low, -3.0), min(high, 3.0)
            operands.append(rng.uniform(*ends, size=shape))
        if row.name.startswith("logical"):
            operands = [x > 0 for x in operands]
        tape = steps(row, [(operands, params)])
        status, (found,) = kernel(tape)(*operands)
        assert status == 0
        want = interpreted(row, operands, params)
        if row.name in EXACT or row.kind == "predicate":
            np.testing.assert_array_equal(found, want)
        else:
            np.testing.assert_allclose(found, want, rtol=1e-13, atol=1e-300)


def interpreted(row, operands, params):
    """The interpreter's arrays."""
    from tapegrad.readings.mixed import MIXED

    with np.errstate(all="ignore"):
        return getattr(MIXED, row.name)(*operands, **params)
