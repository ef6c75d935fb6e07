"""check_gradient: independent witnesses of one function's derivatives."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import GradientMismatch, RecordError, ShapeError, Value, check_gradient
from tapegrad.rules import TABLE


def rosenbrock(x, y):
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def test_a_right_gradient_and_hessian():
    report = check_gradient(rosenbrock, -1.2, 1.0, order=2)
    assert report.ok
    assert report.worst < 1e-15
    assert [row.derivative for row in report.rows] == [
        "x",
        "y",
        "x, x",
        "x, y",
        "y, x",
        "y, y",
    ]
    np.testing.assert_allclose(
        [row.reverse for row in report.rows], [-215.6, -88.0, 1330, 480, 480, 200]
    )
    for row in report.rows:
        assert set(row.witnesses) == {"forward", "mpmath", "SymPy", "differences"}
        assert None not in row.witnesses.values()


POINTS = {
    "everything": (
        lambda x, y: np.tanh(x * y) / (1 + np.exp(-x)) + abs(y) * np.log(x) ** 2,
        (1.3, -0.7),
    ),
    "nested arguments": (
        lambda d: d["a"] * d["b"][0] ** 3 + d["b"][1],
        ({"a": 2.0, "b": [3.0, 1.0]},),
    ),
    "a branch": (lambda x: x * x if x > 0 else -x, (1.5,)),
    "at a kink": (lambda x: abs(x) + x.relu() + np.maximum(x, 0.0), (0.0,)),
    "at a pole": (np.sqrt, (0.0,)),
    "outside the domain": (np.log, (-1.0,)),
    "at zero": (lambda x: x * x, (0.0,)),
    "huge": (lambda x: x / 3 + 1, (1e200,)),
    "tiny": (lambda x: x / 3, (1e-200,)),
    "unused": (lambda x, y: x * 2, (1.0, 2.0)),
    "constant": (lambda x: 3.0, (1.0,)),
    "where": (lambda x: tg.where(x > 0, np.log(x), x), (-1.0,)),
}


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("order", [1, 2])
def test_right_derivatives_pass(name, order):
    f, at = POINTS[name]
    report = check_gradient(f, *at, order=order, raise_on_error=True)
    assert report.ok, str(report)


@pytest.fixture
def plant():
    """Puts a wrong row into the table, and the right one back."""
    before = list(TABLE.rows)
    yield put
    TABLE.rows[:] = before


def put(name, change):
    row = TABLE[name]

    def wrong(m, y, *xs, **params):
        return change(row.partials(m, y, *xs, **params), *xs)

    TABLE.rows[TABLE.by_name[name]] = dataclasses.replace(row, partials=wrong)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sin", lambda p, x: (-p[0],)),
        ("sin", lambda p, x: (p[0] * 2,)),
        ("mul", lambda p, a, b: (p[0], 0)),
    ],
)
def test_a_wrong_rule_is_found(plant, name, change):
    plant(name, change)
    report = check_gradient(lambda x: np.sin(x) * x, 0.7)
    assert not report.ok
    # forward, reverse and mpmath read the same wrong rule; SymPy and differences do not
    assert report.rows[0].disagrees in {"SymPy", "differences"}
    assert report.rows[0].error > 1e-2
    with pytest.raises(GradientMismatch, match="derivative by x is"):
        check_gradient(lambda x: np.sin(x) * x, 0.7, raise_on_error=True)


def test_a_lost_derivative_is_found_by_differences_alone():
    report = check_gradient(lambda x, y: x * Value(x._data) + y, 2.0, 1.0)
    assert [row.disagrees for row in report.rows] == ["differences", ""]
    row = report.rows[0]
    assert row.witnesses["forward"] == row.witnesses["SymPy"] == row.reverse == 2.0
    assert row.witnesses["differences"] == pytest.approx(4.0)


MATRIX = np.array([[2.0, 0.3], [-0.4, 1.5]])
ARRAYS = {
    "a product": (lambda a, b: (a @ b * 2.0).sum(), (MATRIX, np.ones((2, 3)))),
    "broadcasting": (lambda a, b: ((a - b) ** 2).sum(), (MATRIX, 0.7)),
    "nested": (lambda d: (d["w"] * d["b"]).sum(), ({"w": MATRIX, "b": 2.0},)),
    "indices": (lambda a, k: (a[k] * a[0]).sum(), (MATRIX, np.array([1, 1]))),
    "a solution": (lambda a: (np.linalg.inv(a) ** 2).sum(), (MATRIX,)),
    "determinant": (lambda a: np.linalg.slogdet(a)[1], (MATRIX,)),
    "sorted": (lambda a: (np.sort(a, axis=1) * np.arange(2.0)).sum(), (MATRIX,)),
    "float32": (lambda a: np.exp(a).sum(), (MATRIX.astype(np.float32),)),
    "eigenvalues": (lambda a: np.linalg.eigvalsh(a @ a.T)[0], (MATRIX,)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("order", [1, 2])
def test_arrays_have_a_row_an_entry(name, order):
    f, at = ARRAYS[name]
    report = check_gradient(f, *at, order=order, raise_on_error=True)
    count = sum(
        np.size(x["w"]) + 1 if isinstance(x, dict) else np.size(x)
        for x in at
        if not hasattr(x, "dtype") or x.dtype.kind == "f"
    )
    assert len(report.rows) == count + (order - 1) * count**2
    last = report.rows[count - 1].derivative
    assert last.endswith(("[1, 1]", "[1, 2]", "b"))


def test_many_entries_are_sampled_and_taken_together():
    x = np.linspace(0.1, 3.0, 500)
    report = check_gradient(lambda x: np.sum(np.sin(x) * x), x)
    assert report.ok, str(report)
    assert len(report.rows) == 65
    assert report.rows[-1].derivative == "all 500 at once"
    assert report.rows[-1].witnesses["differences"] is not None
    lost = check_gradient(
        lambda x: np.sum(x * np.where(np.arange(500) == 1, x._data, x)), x
    )
    assert [row.disagrees for row in lost.rows if not row.ok] == ["differences"]


@pytest.mark.usefixtures("plant")
def test_a_wrong_pull_is_found():
    row = TABLE["matmul"]
    wrong = dataclasses.replace(
        row, pull=lambda m, bar, y, a, b: (m.like(0, a), row.pull(m, bar, y, a, b)[1])
    )
    TABLE.rows[TABLE.by_name["matmul"]] = wrong
    report = check_gradient(lambda a: (a @ a).sum(), MATRIX)
    assert {row.disagrees for row in report.rows} <= {"forward", "SymPy", "differences"}
    assert not any(row.ok for row in report.rows)


def test_bad_input():
    with pytest.raises(ShapeError, match="order 1 or 2"):
        check_gradient(rosenbrock, 1.0, 2.0, order=3)
    with pytest.raises(ShapeError, match="2 outputs"):
        check_gradient(lambda x: [x, x], 1.0)
    with pytest.raises(RecordError):
        check_gradient(lambda x: "text", 1.0)
    with pytest.raises(RecordError, match="needs a function"):
        check_gradient("text", 1.0)


def test_a_report_as_text_and_json():
    report = check_gradient(np.log, -1.0)
    head, line = str(report).splitlines()
    assert head.split() == [
        "derivative",
        "reverse",
        "forward",
        "mpmath",
        "SymPy",
        "differences",
        "worst",
        "error",
        "disagrees",
    ]
    assert line.split()[:5] == ["x", "nan", "nan", "nan", "-"]
    found = json.loads(report.to_json())
    assert found["ok"] is True
    assert found["rows"][0]["reverse"] == "nan"
    assert math.isnan(report.rows[0].reverse)
    assert repr(report) == "<GradientReport: 1 derivatives, 0 in doubt>"
    assert report._repr_html_().startswith("<pre>derivative")


def test_more_steps_than_sympy_is_asked():
    def long(x):
        for _ in range(400):
            x = x + np.sin(x) * 0.001
        return x

    report = check_gradient(long, 1.0)
    assert report.ok
    assert report.rows[0].witnesses["SymPy"] is None
