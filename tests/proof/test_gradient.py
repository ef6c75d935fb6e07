"""check_gradient: independent witnesses of one function's derivatives."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import tapegrad as tg
from tapegrad import (
    DomainError,
    GradientMismatch,
    RecordError,
    ShapeError,
    Value,
    check_gradient,
)
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
    report = check_gradient(lambda x, y: x * Value(x._data) + y, 2.0, 1.0, order=1)
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
    report = check_gradient(lambda x: np.sum(np.sin(x) * x), x, order=1)
    assert report.ok, str(report)
    assert len(report.rows) == 65
    assert report.rows[-1].derivative == "all 500 at once"
    assert report.rows[-1].witnesses["differences"] is not None
    lost = check_gradient(
        lambda x: np.sum(x * np.where(np.arange(500) == 1, x._data, x)),
        x,
        order=1,
    )
    off = [row.derivative for row in lost.rows if not row.ok]
    assert off == ["x[1]", "all 500 at once"]


@pytest.mark.usefixtures("plant")
def test_a_wrong_pull_is_found():
    row = TABLE["matmul"]
    wrong = dataclasses.replace(
        row, pull=lambda m, bar, y, a, b: (m.like(0, a), row.pull(m, bar, y, a, b)[1])
    )
    TABLE.rows[TABLE.by_name["matmul"]] = wrong
    report = check_gradient(lambda a: (a @ a).sum(), MATRIX, order=1)
    assert {row.disagrees for row in report.rows} <= {"forward", "SymPy", "differences"}
    assert not any(row.ok for row in report.rows)


def test_bad_input():
    with pytest.raises(ShapeError, match="order 1, 2 or 3"):
        check_gradient(rosenbrock, 1.0, 2.0, order=4)
    with pytest.raises(ShapeError, match="no floats .int64 of shape"):
        check_gradient(lambda x, i: i[::-1], 1.0, np.array([1, 2]))
    with pytest.raises(RecordError):
        check_gradient(lambda x: "text", 1.0)
    with pytest.raises(RecordError, match="needs a function"):
        check_gradient("text", 1.0)


def test_a_report_as_text_and_json():
    report = check_gradient(np.log, -1.0, order=1)
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
        "note",
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


# -- arrays that need care -----------------------------------------------------------

RNG = np.random.default_rng(11)


def normal(*shape):
    return RNG.normal(size=shape)


def written(x):
    y = np.where(x > 0.5, np.log(abs(x)), x * x)
    y[0] = 3.0 * y[1]
    joined = np.concatenate([y, np.cumsum(x)[::-1]])
    return np.prod(joined[[1, 2, 1]]) + np.max(joined) + np.std(joined)


CARE = {
    "a layer": (
        lambda x, w, b: np.mean(np.tanh(x @ w + b) ** 2),
        (normal(1, 2), normal(2, 2), normal(2)),
    ),
    "writes, places, reductions": (written, (np.array([0.3, 0.6, 0.9]),)),
    "a factor": (lambda a: np.sum(np.linalg.cholesky(a @ a.T)), (normal(2, 2),)),
    "a system": (
        lambda a, b: np.sum(np.linalg.solve(a, b)),
        (normal(2, 2) + 3 * np.eye(2), normal(2)),
    ),
    "places as an argument": (
        lambda x, at: np.sum(x[at] ** 3),
        (normal(4), np.array([0, 0, 3])),
    ),
    "empty": (lambda x: np.sum(x * x), (np.ones((0, 3)),)),
    "a zero vector": (lambda x: np.linalg.norm(x) + np.sum(x), (np.zeros(2),)),
    "ties": (lambda x: np.max(x) - np.min(x * 2), (np.array([1.0, 1.0, 0.0]),)),
    "a pole beside": (lambda x: np.sum(np.sqrt(x)), (np.array([0.0, 1.0]),)),
    "outside beside": (lambda x: np.sum(np.log(x)), (np.array([-1.0, 1.0]),)),
    "an arm not selected": (
        lambda x: np.sum(np.where(x > 0, np.log(x), x)),
        (np.array([-1.0, 0.0, 2.0]),),
    ),
}


# A Hessian's row is the adjoint of one entry among zeros, and 0 times inf is NaN.
FIRST = ("a pole beside", "outside beside")


@pytest.mark.parametrize("name", CARE)
@pytest.mark.parametrize("order", [1, 2])
def test_arrays_that_need_care(name, order):
    f, at = CARE[name]
    report = check_gradient(f, *at, order=1 if name in FIRST else order)
    assert report.ok, str(report)


def test_entries_are_named_and_every_witness_answers():
    f, at = CARE["a layer"]
    report = check_gradient(f, *at, order=1)
    labels = [row.derivative for row in report.rows]
    assert labels[:4] == ["x[0, 0]", "x[0, 1]", "w[0, 0]", "w[0, 1]"]
    assert labels[-1] == "b[1]"
    tape = tg.record(f, *at)
    swept = np.concatenate([np.ravel(g) for g in tape.gradient(*at)])
    np.testing.assert_array_equal([row.reverse for row in report.rows], swept)
    for row in report.rows:
        assert None not in row.witnesses.values()
    small = check_gradient(lambda x: np.sum(x**3), np.array([1.0, 2.0]), order=2)
    assert [row.derivative for row in small.rows[2:]] == [
        "x[0], x[0]",
        "x[0], x[1]",
        "x[1], x[0]",
        "x[1], x[1]",
    ]
    assert [row.reverse for row in small.rows] == [3.0, 12.0, 6.0, 0.0, 0.0, 12.0]


def test_many_entries_are_checked_along_a_direction():
    def rosenbrock(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    report = check_gradient(rosenbrock, normal(40), order=2)
    assert report.ok, str(report)
    assert report.worst < 1e-11
    labels = {row.derivative for row in report.rows}
    assert "all 40 at once, all 40 at once" in labels
    assert "x[0], all 40 at once" in labels
    assert len(report.rows) == 40 + 17 * 17


def replaced(name, **change):
    """A planted bug in the table."""
    TABLE.rows[TABLE.by_name[name]] = dataclasses.replace(TABLE[name], **change)


WRONG = {
    "reversed sums": ("cumsum", lambda m, bar, y, x, axis: (m.cumsum(bar, axis=axis),)),
    "a lost factor": (
        "matmul",
        lambda m, bar, y, a, b: (
            m.matmul(bar, m.transpose(b, axes=(1, 0))),
            m.matmul(m.transpose(a, axes=(1, 0)), bar) * 2,
        ),
    ),
    "a lost operand": ("matmul", lambda m, bar, y, a, b: (None, None)),
}


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_pull_is_found_and_the_entry_named(name):
    row, pull = WRONG[name]
    replaced(row, pull=pull)
    report = check_gradient(
        lambda x, w: np.sum(np.cumsum(x @ w, axis=0) ** 2), normal(3, 2), normal(2, 2)
    )
    assert not report.ok
    with pytest.raises(GradientMismatch, match=r"the derivative by [xw]\[\d, \d\] is"):
        check_gradient(
            lambda x, w: np.sum(np.cumsum(x @ w, axis=0) ** 2),
            normal(3, 2),
            normal(2, 2),
            raise_on_error=True,
        )


@pytest.mark.usefixtures("plant")
def test_one_wrong_entry_among_thousands_is_named():
    """A reverse sweep that loses entry 1234 disagrees with the forward sweep there."""

    def pull(m, bar, y, x, axes):
        found = row.pull(m, bar, y, x, axes)[0]
        return (m.index_set(found, m.like(0, y), key=(1234,)),)

    row = TABLE["sum"]
    replaced("sum", pull=pull)
    with pytest.raises(
        GradientMismatch, match=r"the derivative by a\[1234\] is 0.0 by"
    ):
        check_gradient(np.sum, np.linspace(1.0, 2.0, 3_000), raise_on_error=True)


def test_a_derivative_lost_in_one_entry_is_named():
    mask = np.arange(600).reshape(30, 20) == 411

    def lost(x, w):
        return np.sum(x * Value(np.where(mask, w._data, 1.0))) + np.sum(w)

    report = check_gradient(lost, normal(30, 20) + 3.0, normal(30, 20))
    named = [row for row in report.rows if not row.ok]
    assert [row.derivative for row in named] == ["w[20, 11]", "all 1200 at once"]
    assert [row.disagrees for row in named] == ["differences", "differences"]
    assert named[0].reverse == 1.0


@pytest.mark.usefixtures("plant")
def test_a_wrong_second_derivative_is_found():
    """Right once and wrong when differentiated again: a value taken as a constant."""

    def pull(m, bar, y, x, axes):
        return row.pull(m, m.stop_gradient(bar), y, x, axes)

    row = TABLE["sum"]
    replaced("sum", pull=pull)
    first = check_gradient(lambda x: np.exp(np.sum(x)), normal(3), order=1)
    assert first.ok, str(first)
    second = check_gradient(lambda x: np.exp(np.sum(x)), normal(3), order=2)
    assert not second.ok
    assert {row.derivative.count(",") for row in second.rows if not row.ok} == {1}


def test_random_numbers_in_arrays_are_found():
    with pytest.raises(RecordError, match="random"):
        check_gradient(lambda x: np.sum(x * RNG.normal(size=3)), np.ones(3))


# -- several results, keywords, orders, tolerances -----------------------------------


def test_each_of_several_results_has_rows():
    report = check_gradient(
        lambda x: [x * x, {"a": np.sin(x) * np.ones(2)}], 1.3, order=2
    )
    assert report.ok, str(report)
    labels = [row.derivative for row in report.rows]
    assert labels == [
        *("f[0] by x", "f[0] by x, x"),
        *("f[1]['a'][0] by x", "f[1]['a'][0] by x, x"),
        *("f[1]['a'][1] by x", "f[1]['a'][1] by x, x"),
    ]
    assert [row.reverse for row in report.rows[:2]] == [2.6, 2.0]
    ints = check_gradient(lambda x, i: (x * x, i[::-1]), 2.0, np.array([1, 2]), order=1)
    assert [row.derivative for row in ints.rows] == ["f[0] by x"]


def test_many_results_are_sampled_and_taken_together():
    report = check_gradient(np.exp, np.linspace(0.0, 1.0, 30), order=1)
    assert report.ok, str(report)
    heads = {row.derivative.partition(" by ")[0] for row in report.rows}
    assert len(heads) == 8
    assert "all 30 results at once" in heads
    x = np.linspace(0.0, 1.0, 30)
    for row in report.rows:
        head, _, entry = row.derivative.partition(" by x")
        if head.startswith("f"):
            wanted = np.exp(x[int(entry[1:-1])]) * (head == f"f{entry}")
            assert row.reverse == pytest.approx(wanted)


def test_a_lost_derivative_of_one_result_is_found():
    def f(x):
        y = x * x
        return [y, y * Value(y._data)]

    report = check_gradient(f, 1.5, order=1)
    assert [(row.derivative, row.disagrees) for row in report.rows] == [
        ("f[0] by x", ""),
        ("f[1] by x", "differences"),
    ]


def test_keywords_are_arguments():
    def f(x, *, k, power=2):
        return k["a"] * x**power

    report = check_gradient(f, 2.0, k={"a": 3.0}, power=3, order=2)
    assert report.ok, str(report)
    assert [row.reverse for row in report.rows] == [36.0, 8.0, 36.0, 12.0, 12.0, 0.0]
    assert report.rows[1].derivative == "k['a']"


def test_third_derivatives():
    report = check_gradient(lambda x, y: np.sin(x * y) * np.exp(y), 0.4, 0.8, order=3)
    assert report.ok, str(report)
    assert [row.derivative.count(",") for row in report.rows] == [0] * 2 + [1] * 4 + [
        2
    ] * 8
    assert report.worst < 1e-14
    for row in report.rows:
        assert None not in row.witnesses.values()
    arrays = check_gradient(lambda x: np.sum(x**4) * x[0], np.arange(1.0, 8.0), order=3)
    assert arrays.ok, str(arrays)
    third = {row.derivative: row.reverse for row in arrays.rows}
    assert third["x[0], x[0], x[0]"] == 60.0
    assert "all 7 at once, all 7 at once, all 7 at once" in third


@pytest.mark.usefixtures("plant")
def test_a_wrong_third_derivative_is_found():
    """Right twice, and wrong when it is differentiated again."""

    def partials(m, y, x):
        flat = m.stop_gradient(x) - x
        return (y + flat * flat,)

    replaced("exp", partials=partials)
    report = check_gradient(np.exp, 0.3, order=3)
    assert [row.derivative for row in report.failures] == ["x, x, x"]
    assert report.rows[2].reverse == pytest.approx(2 + np.exp(0.3))


def test_tapes_and_compiled_functions():
    tape = tg.record(lambda a, b: a * np.exp(b), 1.0, 2.0)
    report = check_gradient(tape, 1.0, 2.0, order=2)
    assert report.ok
    assert [row.derivative for row in report.rows[:3]] == ["a", "b", "a, a"]
    native = check_gradient(tape.compile(), 1.0, 2.0, order=1)
    assert native.ok
    assert "native" in str(native)
    assert [row.witnesses["native"] for row in native.rows] == list(
        tape.gradient(1.0, 2.0)
    )
    several = tg.compile(lambda x: (x * 2.0, np.sum(np.sin(x))), np.ones(2))
    assert check_gradient(several, np.array([0.5, 1.5]), order=1).ok
    many = tg.compile(lambda x: (np.sin(x), x[0] * x), np.ones(6))
    report = check_gradient(many, np.linspace(0.5, 1.5, 6), order=1)
    assert report.ok, str(report)
    assert report.rows[-1].derivative == "all 12 results at once by x[5]"


def test_wrong_native_code_is_found(monkeypatch):
    compiled = tg.compile(lambda x, y: x * y, 2.0, 3.0)
    right = compiled.gradient
    monkeypatch.setitem(
        compiled.__dict__, "gradient", lambda *xs: tuple(2 * g for g in right(*xs))
    )
    report = check_gradient(compiled, 2.0, 3.0, order=1)
    assert [row.disagrees for row in report.rows] == ["native", "native"]


def test_custom_gradients_and_user_rows():
    @tg.custom_gradient
    def wrong(x):
        return np.sin(x), lambda bar: (-bar * np.cos(x),)

    report = check_gradient(wrong, 0.3)
    assert report.rows[0].disagrees in {"SymPy", "differences"}

    @tg.custom_gradient
    def right(x):
        return np.sin(x), lambda bar: (bar * np.cos(x),)

    assert check_gradient(right, 0.3, order=2).ok


def test_a_tolerance_may_be_asked_for():
    def f(x):
        return np.sin(x * 1e8)

    assert check_gradient(f, 0.3, rtol=1e-7).ok
    report = check_gradient(f, 0.3, rtol=1e-14)
    assert report.rows[0].disagrees == "mpmath"
    assert "rounding: the same sweep with 50 digits is" in report.rows[0].note
    for rtol in (1e-20, -1.0, 0.0, math.nan, math.inf):
        with pytest.raises(DomainError, match="cannot be met"):
            check_gradient(f, 0.3, rtol=rtol)
    with pytest.raises(DomainError, match=r"1\.2e-07 apart"):
        check_gradient(np.sum, np.ones(2, np.float32), rtol=1e-9)


# -- kinks, edges, branches ----------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "left", "right", "derivative"),
    [
        (abs, -1, 1, 0.0),
        (lambda x: abs(x) * 3 + x, -2, 4, 1.0),
        (lambda x: np.maximum(x, 2 * x), 1, 2, 1.5),
        (tg.relu, 0, 1, 0.0),
        (lambda x: x * x if x > 1 else x, 1, 2, 1.0),
    ],
)
def test_a_kink_is_said_and_is_no_alarm(f, left, right, derivative):
    report = check_gradient(f, 1.0 if derivative == 1.0 and left == 1 else 0.0)
    assert report.ok
    row = report.rows[0]
    assert row.reverse == derivative
    assert row.witnesses["differences"] is None
    assert row.note.startswith(f"a kink: slope {left}")
    assert f"and {right}" in row.note
    assert "a kink" in str(report)
    assert "a kink" in report.to_markdown()


def test_a_number_outside_the_slopes_of_a_kink_is_an_alarm():
    @tg.custom_gradient
    def wrong(x):
        return abs(x), lambda bar: (bar * 5.0,)

    row = check_gradient(wrong, 0.0).rows[0]
    assert (row.reverse, row.disagrees) == (5.0, "differences")
    assert row.witnesses["differences"] == pytest.approx(1.0)


def test_edges_and_jumps_are_said():
    def note(f, x):
        report = check_gradient(f, x)
        assert report.ok, str(report)
        return report.rows[0].note

    assert note(np.sqrt, 0.0) == "the edge of the domain: no value to the left"
    assert note(np.log, -1.0) == "the function is nan here"
    assert "a jump" in note(np.floor, 1.0)
    assert note(lambda x: x * x, 2.0) == ""


def test_a_branch_that_many_digits_take_otherwise():
    def f(x):
        y = x - 1e-17
        return y * y if y >= 1.0 else -y

    report = check_gradient(f, 1.0)
    assert report.ok
    assert report.rows[0].witnesses["mpmath"] is None
    assert "with 50 digits the branch at" in report.rows[0].note


def test_functions_that_fail_beside_the_point():
    def f(x):
        if x != 1.0:
            message = "only at 1"
            raise ValueError(message)
        return x * x

    report = check_gradient(f, 1.0)
    assert report.ok
    assert "f raises ValueError: only at 1" in report.rows[0].note


# -- functions that are none ---------------------------------------------------------


def test_what_changes_between_calls_is_named_with_its_line():
    calls = [0]

    def random(x):
        y = x * x
        return y * RNG.random()  # the number enters here

    def clock(x):
        return x * time.perf_counter()

    def grows(x):
        calls[0] += 1
        return np.sum(x[: calls[0]])

    def turns(x):
        calls[0] += 1
        return [x] * (2 + calls[0] % 2)

    lines = Path(__file__).read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if "number enters" in text)
    with pytest.raises(
        RecordError, match=rf"step 2: const .*test_gradient.py:{line}\)"
    ):
        check_gradient(random, 2.0)
    with pytest.raises(RecordError, match=r"step 1: const .* a clock or global"):
        check_gradient(clock, 2.0)
    with pytest.raises(RecordError, match=r"of shape .*\(3,\).* of .*\(4,\)"):
        check_gradient(grows, np.ones(9))
    with pytest.raises(RecordError, match="1 steps and . results, and 1 steps and"):
        check_gradient(turns, 2.0)


def test_complex_results_are_refused():
    for f in (lambda x: x * 1j, lambda x: 2j, lambda x: np.sqrt(x) * np.array([1j])):
        with pytest.raises(RecordError, match="complex"):
            check_gradient(f, 2.0)


def test_a_report_on_a_console():
    console = Console(width=140, file=io.StringIO())
    console.print(check_gradient(abs, 0.0, order=1))
    text = console.file.getvalue()
    assert "a kink: slope -1" in text
    assert "1 derivative, 0 in doubt" in text


def test_every_input_has_its_worst_row():
    def lost(x, w):
        return np.sum(x * np.where(np.arange(3) == 1, w._data, w)) + np.sum(x**3)

    report = check_gradient(lost, np.arange(1.0, 4.0), np.arange(2.0, 5.0), order=2)
    assert list(report.inputs) == ["x", "w"]
    assert report.inputs["w"].derivative == "w[1]"
    assert report.inputs["w"].disagrees == "differences"
    right = check_gradient(lambda d, y: d["a"] * y, {"a": 2.0}, 3.0)
    assert list(right.inputs) == ["d['a']", "y"]
    found = json.loads(report.to_json())["inputs"]
    assert found["w"]["disagrees"] == "differences"


def test_second_derivatives_are_checked_unasked():
    report = check_gradient(lambda x, y: x * y * y, 2.0, 3.0)
    assert [row.derivative for row in report.rows] == [
        "x",
        "y",
        "x, x",
        "x, y",
        "y, x",
        "y, y",
    ]


TOO_COARSE = {
    "turns within a step": (np.sin, 1e10),
    "a frequency": (lambda x: np.sin(x * 1e6), 1e16),
    "close to an essential singularity": (lambda x: np.sin(1 / x), 1e-5),
    "lost below the smallest float": (lambda x: x**2, 1e-150),
    "rounded away": (lambda c: (1e8 + np.sqrt(1e16 - 4.0 * c)) / 2.0, 1.0),
    "a kink close by": (abs, 1e-9),
    "an entry": (lambda x: np.sum(np.sin(1e10 * x)), np.ones(2)),
}


@pytest.mark.parametrize("name", TOO_COARSE)
def test_where_floats_are_too_coarse_for_differences(name):
    f, point = TOO_COARSE[name]
    report = check_gradient(f, point, order=1)
    assert report.ok
    for row in report.rows:
        assert row.witnesses["differences"] == pytest.approx(row.reverse, rel=1e-7)
        assert "too coarse for differences" in row.note


def test_a_wrong_gradient_where_floats_are_too_coarse():
    @tg.custom_gradient
    def wrong(x):
        return np.sin(x), lambda bar: bar * np.cos(x) * 1.001

    @tg.custom_gradient
    def beside_a_kink(x):
        return np.abs(x), lambda bar: bar * 0.5

    for f, point in ((wrong, 1e10), (beside_a_kink, 1e-9)):
        (row,) = check_gradient(f, point, order=1).rows
        assert not row.ok
        assert row.witnesses["differences"] == pytest.approx(row.witnesses["SymPy"])


def test_a_derivative_lost_where_floats_are_too_coarse():
    report = check_gradient(lambda x: np.sin(x) + Value(x._data), 1e10, order=1)
    assert report.rows[0].disagrees == "differences"  # the recording is not f


def test_writes_in_place_are_seen_by_differences():
    def f(x):
        x[0] = x[1] * x[0]
        return np.sum(x**2)

    given = np.array([1.0, 2.0, 3.0])
    for row in check_gradient(f, given, order=1).rows:
        assert row.witnesses["differences"] == pytest.approx(row.reverse)
    assert given[0] == 1.0
