"""Rounding errors: estimates beside the truth, and the lines that make them."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import tapegrad as tg
from tapegrad import DomainError, RecordError, ShapeError, sweeps
from tapegrad.apply import apply
from tapegrad.proof.points import spread
from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE

RNG = np.random.default_rng(5)


def line_with(text):
    """The number of the line of this file that holds a text marked as its own."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (found,) = [n for n, line in enumerate(lines, 1) if line.endswith(f"# at: {text}")]
    return found


def quadratic(a, b, c):
    d = b * b - 4.0 * a * c
    r = np.sqrt(d)  # at: the root
    return (-b + r) / (2.0 * a)  # at: the cancellation


def log_sum_exp(x):
    e = np.exp(x)  # at: exponentials
    s = np.sum(e)
    return np.log(s)


def log_sum_exp_scalars(*xs):
    total = 0.0
    for x in xs:
        total = total + np.exp(x)  # at: exponentials of scalars
    return np.log(total)


def rump(a, b):
    p = 333.75 * b**6
    q = a**2 * (11 * a**2 * b**2 - b**6 - 121 * b**4 - 2)  # at: Rump
    return p + q + 5.5 * b**8 + a / (2 * b)


def rump_rearranged(a, b):
    p = (333.75 - a * a) * b**6
    q = a * a * (11 * a * a * b * b - 121 * b**4 - 2)
    return p + q + 5.5 * b**8 + a / (2 * b)


def one_pass_variance(x):
    n = float(len(x))
    mean = np.sum(x) / n  # at: the mean
    squares = np.sum(x * x) / n  # at: the squares
    return squares - mean * mean  # at: their difference


def one_pass_variance_of_scalars(*xs):
    s = q = 0.0
    for x in xs:
        s = s + x  # at: a sum
        q = q + x * x  # at: a sum of squares
    return q / len(xs) - (s / len(xs)) ** 2


def alternating(x):
    total = 0.0 * x
    for k in range(1, 3001):
        term = x**k / k
        total = total - term if k % 2 == 0 else total + term  # at: the sum
    return total


# name: the function, the point, lines of which one has to come first
HARD = {
    "quadratic formula": (quadratic, (1.0, 1e8, 1.0), ("the root",)),
    "log-sum-exp": (
        log_sum_exp,
        (np.array([-40.0, 1e-17, -50.0]),),
        ("exponentials",),
    ),
    "log-sum-exp, overflow": (
        log_sum_exp,
        (np.array([1000.0, 1000.5]),),
        ("exponentials",),
    ),
    "log-sum-exp, underflow": (
        log_sum_exp,
        (np.array([-1000.0, -1000.5]),),
        ("exponentials",),
    ),
    "log-sum-exp of scalars": (
        log_sum_exp_scalars,
        (1e-17, -38.0, -39.0),
        ("exponentials of scalars",),
    ),
    "Rump": (rump, (77617.0, 33096.0), ("Rump",)),
    "one-pass variance": (
        one_pass_variance,
        (RNG.normal(1e6, 1.0, 300),),
        ("the mean", "the squares"),
    ),
    "one-pass variance of scalars": (
        one_pass_variance_of_scalars,
        tuple(RNG.normal(1e6, 1.0, 60).tolist()),
        ("a sum", "a sum of squares"),
    ),
    "alternating sum": (alternating, (0.999,), ("the sum",)),
}


@pytest.mark.parametrize("name", HARD)
def test_the_estimate_is_near_the_truth_and_the_line_on_top(name):
    f, at, lines = HARD[name]
    report = tg.rounding_error(f, *at)
    assert report.ok, str(report)
    assert report.true_error
    if np.isfinite(report.true_error):
        assert 0.1 < report.estimate / report.true_error < 10.0
    else:
        assert report.estimate == report.true_error
    assert abs(report.estimate) <= report.bound * (1 + 1e-12)
    assert report.bound <= report.apriori * (1 + 1e-12)
    worst = report.lines[0]
    assert worst.file == __file__
    assert worst.line in set(map(line_with, lines))
    assert "# at: " in worst.code


def test_the_truth_is_that_of_many_digits():
    import mpmath

    with mpmath.workdps(60):
        b = mpmath.mpf(10) ** 8
        exact = (-b + mpmath.sqrt(b * b - 4)) / 2
        report = tg.rounding_error(quadratic, 1.0, 1e8, 1.0)
        assert report.exact == mpmath.nstr(exact, 20)
        assert report.true_error == float(mpmath.mpf(report.value) - exact)
    assert report.relative_error == pytest.approx(0.2549419, rel=1e-6)


def test_where_digits_go_is_named():
    report = tg.rounding_error(quadratic, 1.0, 1e8, 1.0)
    lost = report.cancellations[0]
    assert lost.line == line_with("the cancellation")
    assert lost.digits == pytest.approx(15.8, abs=0.2)
    assert "cancellation: +" in str(report)
    stable = tg.rounding_error(lambda a, b: 2.0 / (-b - a), 1.0, 1e8)
    assert stable.cancellations == ()


@pytest.mark.parametrize("f", [rump, rump_rearranged])
def test_rump_says_that_no_digit_is_right(f):
    report = tg.rounding_error(f, 77617.0, 33096.0)
    assert report.exact == "-0.82739605994682136814"
    assert report.relative_error > 1.0
    assert "no digit of the result is right" in report.verdict
    assert report.bound > 1e20
    lucky = tg.rounding_error(rump_rearranged, 77617.0, 33096.0)
    assert "errors of 1.51e+21 together cancel" in lucky.verdict


def test_a_jump_is_not_seen_by_first_order():
    report = tg.rounding_error(lambda x: np.floor(x - 1e-17), 1.0)
    assert (report.value, report.true_error, report.estimate) == (1.0, 1.0, 0.0)
    assert not report.ok
    assert "first order does not see it" in report.verdict


def test_a_selection_that_rounding_turns_is_named():
    def f(x):
        y = x - 1e-17
        return tg.where(y < 1.0, 5.0, 7.0 * y)  # at: a selection

    report = tg.rounding_error(f, 1.0)
    assert not report.ok
    assert (report.value, report.true_error) == (7.0, 2.0)
    assert f"test_rounding.py:{line_with('a selection')} decides otherwise" in str(
        report
    )


def test_a_branch_that_rounding_turns_leaves_no_exact_result():
    def f(x):
        y = x - 1e-17
        return y if y >= 1.0 else -y  # at: a branch

    report = tg.rounding_error(f, 1.0)
    assert report.true_error is None
    assert report.relative_error is None
    assert not report.ok
    assert report.estimate == 1e-17
    line = line_with("a branch")
    assert f"test_rounding.py:{line} goes the other way" in report.verdict
    assert json.loads(report.to_json())["true_error"] is None


def test_what_is_exact_is_said_to_be():
    report = tg.rounding_error(lambda x: x * 2.0 + 1.0, 3.0)
    assert report.ok
    assert report.true_error == report.estimate == report.bound == 0.0
    assert "the result is exact" in report.verdict


def test_fifty_digits_may_be_too_few():
    report = tg.rounding_error(lambda x: (x + 1e300) - 1e300, 1.0)
    assert report.digits == 700
    assert (report.exact, report.true_error, report.estimate) == ("1.0", -1.0, -1.0)


def test_of_several_results_the_worst_entry():
    def f(x):
        return {"fine": x * 3.0, "bad": np.exp(x) - 1.0}

    report = tg.rounding_error(f, np.array([1.0, 1e-12]))
    assert report.output == "['bad'][1]"
    assert report.value == f(np.array([1.0, 1e-12]))["bad"][1]
    assert report.ok
    scalars = tg.rounding_error(lambda x: (x / 3.0, (1.0 + x) - 1.0), 1e-9)
    assert scalars.output == "[1]"


def test_single_precision_and_what_it_would_be():
    def f(x):
        return np.sum(x)

    single = tg.rounding_error(f, np.float32([1e8, 1, 2, 3]))
    assert (single.true_error, single.estimate, single.unit) == (-6.0, -6.0, 2**-24)
    double = tg.record(f, np.array([1e8, 1.0, 2.0, 3.0]))
    assert double.rounding_error().true_error == 0.0
    lower = double.rounding_error(arithmetic="float32")
    assert lower.true_error == -6.0
    third = tg.record(lambda x: x * 3.0, 1 / 3).rounding_error(arithmetic="float32")
    assert third.ok
    assert third.estimate == pytest.approx(third.true_error)
    assert third.steps[0].operation == "input"


WHOLES = {
    "solve": (np.linalg.solve, ((6, 6), (6,))),
    "inv": (np.linalg.inv, ((4, 4),)),
    "det": (np.linalg.det, ((5, 5),)),
    "cholesky": (lambda a: np.linalg.cholesky(a @ a.T), ((4, 4),)),
    "eigh": (lambda a: np.linalg.eigh(a + a.T)[1][0], ((3, 3),)),
    "matmul": (lambda a, b: a @ b, ((5, 6), (6, 3))),
    "einsum": (lambda a, b: np.einsum("ij,kj->ik", a, b), ((4, 7), (2, 7))),
    "cumsum": (np.cumsum, ((30,),)),
    "prod": (np.prod, ((12,),)),
    "std": (np.std, ((20,),)),
    "norm": (np.linalg.norm, ((20,),)),
    "softmax": (tg.softmax, ((6,),)),
    "logsumexp": (tg.logsumexp, ((6,),)),
    "mean of writes": (lambda x: np.mean(x[::2] * np.exp(x[1::2])), ((12,),)),
    "a mask": (lambda x: np.sum(x[x > 0] / 3.0), ((12,),)),
}


@pytest.mark.parametrize("name", WHOLES)
def test_rows_of_whole_arrays(name):
    f, shapes = WHOLES[name]
    report = tg.rounding_error(f, *(RNG.normal(size=shape) for shape in shapes))
    assert report.ok, str(report)
    assert report.true_error is not None
    scale = report.unit * abs(report.value)
    assert abs(report.estimate - report.true_error) < 1e-3 * (
        abs(report.true_error) + 0.1 * scale
    )


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.kind == "elementwise"], ids=lambda row: row.name
)
def test_the_local_error_of_a_row_is_its_true_error(row):
    """One step: the estimate is the truth, whatever the row, and within its bound."""
    for at in spread(row, 12):
        with tg.Tape.recording() as rec:
            rec.output(apply(row, *map(rec.input, at), **row.params[0]))
        report = rec.tape.rounding_error()
        if not np.isfinite(report.value) or 0.0 < abs(report.value) < 1e-300:
            continue
        assert report.estimate == report.true_error
        assert abs(report.estimate) <= 2 * row.ulps * report.apriori, at


def test_inside_a_nested_derivative():
    def f(x):
        return tg.grad(lambda z: np.sin(z) * z)(x) * 2.0  # at: a slope

    report = tg.rounding_error(f, 1.5)
    assert report.ok
    assert {line.line for line in report.lines} == {line_with("a slope")}


def test_tapes_find_their_lines_again():
    tape = tg.record(quadratic, 1.0, 1e8, 1.0)
    assert tape.lines is None
    report = tape.rounding_error(1.0, 1e7, 1.0)
    assert report.lines[0].file == __file__
    assert tape.rounding_error().value == quadratic(1.0, 1e8, 1.0)
    bare = pickle.loads(pickle.dumps(tape))
    assert bare.rounding_error().lines == ()
    assert "slot" in str(bare.rounding_error())


def test_a_function_that_does_not_record_twice_alike_has_no_lines():
    calls = []

    def f(x):
        calls.append(x)
        return x * float(len(calls)) / 3.0

    assert tg.record(f, 1.0).rounding_error().lines == ()

    def once(x):
        calls.append(x)
        if len(calls) > 3:
            raise ValueError
        return x / 3.0

    tape = tg.record(once, 1.0)
    assert len(tape.rounding_error().steps) == 1


def test_lines_are_kept_and_are_not_content():
    lined = tg.record(quadratic, 1.0, 3.0, 1.0, lines=True)
    plain = tg.record(quadratic, 1.0, 3.0, 1.0)
    assert lined == plain
    assert hash(lined) == hash(plain)
    assert lined.to_bytes() == plain.to_bytes()
    file, line = lined.line_of(lined.outputs[0])
    assert (file, line) == (__file__, line_with("the cancellation"))
    again = pickle.loads(pickle.dumps(lined))
    assert again.line_of(lined.outputs[0]) == (file, line)
    assert plain.line_of(plain.outputs[0]) is None
    with tg.Tape.recording(lines=True) as rec:
        x = rec.input(2.0)
        rec.output(np.exp(x))  # at: by hand
    assert rec.tape.line_of(rec.tape.outputs[0])[1] == line_with("by hand")


def test_sub_tapes_keep_their_lines():
    inner = tg.record(lambda x: x * x / 3.0, 2.0, lines=True)  # at: inner
    bare = tg.record(lambda x: x * x / 5.0, 2.0)

    def f(x):
        y = inner(x)
        return bare(y)  # at: a call

    base = sweeps.flat(tg.record(f, 2.0, lines=True))
    assert base.line_of(base.outputs[0])[1] == line_with("a call")
    assert base.line_of(base.inputs[0] + 1)[1] == line_with("inner")


def test_a_long_recording_has_all_its_lines():
    def f(x):
        y = x
        for _ in range(40_000):
            y = y * x + x  # at: a loop
        return y

    tape = tg.record(f, 0.5, lines=True)
    assert len(tape.lines.column) == tape.slot_count == 80_001
    assert {tape.line_of(slot)[1] for slot in range(1, tape.slot_count, 997)} == {
        line_with("a loop")
    }


def test_eager_values_have_a_report_by_step():
    x = tg.Value(0.1)
    y = x * 3.0
    y.label = "y"
    report = (y - 0.3).tape.rounding_error()
    assert report.steps[0].label == "y"
    assert report.true_error == report.estimate == 2.7755575615628914e-17
    assert report.cancellations[0].place == "v4"


def test_bad_input():
    tape = tg.record(quadratic, 1.0, 3.0, 1.0)
    with pytest.raises(DomainError, match="float64 and float32, not of 'sympy'"):
        tape.rounding_error(1.0, 3.0, 1.0, arithmetic="sympy")
    with pytest.raises(ShapeError, match="takes 3 arguments"):
        tape.rounding_error(1.0)
    with pytest.raises(ShapeError, match="no result of the tape is a float"):
        tg.rounding_error(lambda x, i: i[0], 1.0, np.array([1, 2]))
    with pytest.raises(RecordError, match="needs a function"):
        tg.rounding_error("x")


def test_the_forms_of_a_report():
    report = tg.rounding_error(quadratic, 1.0, 1e8, 1.0)
    found = json.loads(report.to_json())
    assert found["ok"] is True
    assert found["value"] == report.value
    assert found["lines"][0]["line"] == report.lines[0].line
    assert found["steps"][0]["operation"] == "sqrt"
    infinite = tg.rounding_error(log_sum_exp, np.array([1000.0, 1000.5]))
    assert json.loads(infinite.to_json())["true_error"] == "inf"
    text = str(report)
    assert "first order sees it" in text
    assert f"test_rounding.py:{line_with('the root')}" in text
    assert "| line | code |" in report.to_markdown()
    assert report._repr_html_().count("<table>") == 2
    assert repr(report).startswith("<RoundingReport: value -7.45")
    console = Console(width=120, file=io.StringIO())
    console.print(report)
    assert "true error" in console.file.getvalue()


def test_a_planted_loss_of_digits_is_the_line_on_top(monkeypatch):
    """A cosine that is off in the tenth digit, in doubles alone."""
    right = SCALAR.cos
    monkeypatch.setattr(SCALAR, "cos", lambda x: right(x) * (1 + 1e-10))

    def f(x):
        y = np.exp(x) / 3.0
        z = np.cos(y)  # at: a bad cosine
        return z * y

    tape = tg.record(f, 0.3, lines=True)
    report = tape.rounding_error()
    assert report.lines[0].line == line_with("a bad cosine")
    assert report.ok
    assert report.bound > 1e3 * report.apriori


def test_steps_of_constants_alone_are_rounded_as_well():
    def f(x):
        root = np.sqrt(tg.Value(2.0))  # at: a constant's root
        return x * root

    report = tg.rounding_error(f, 3.0)
    assert report.ok
    assert report.estimate == pytest.approx(report.true_error, rel=1e-9)
    assert line_with("a constant's root") in {line.line for line in report.lines}
    assert len(report.steps) == 2


def test_steps_that_are_recorded_in_one_go_have_lines():
    def f(x, y):
        first = x * y
        return tg.sum_of_products([x, y, x], [y, y, x], first)  # at: in one go

    tape = tg.record(f, 0.1, 0.3, lines=True)
    assert len(tape.lines.column) == tape.slot_count == 9
    assert {tape.line_of(slot)[1] for slot in range(3, 9)} == {line_with("in one go")}


@pytest.mark.parametrize("name", ["sum", "matmul", "einsum", "cumsum", "mean"])
def test_sums_that_cancel_are_within_their_bound(name):
    f = {
        "sum": np.sum,
        "matmul": lambda x: x @ np.ones(len(x)),
        "einsum": lambda x: np.einsum("i,i->", x, np.ones(len(x))),
        "cumsum": lambda x: np.cumsum(x)[-1],
        "mean": np.mean,
    }[name]
    x = RNG.normal(size=200) * 1e3
    x = np.concatenate([x, -x, [1e-3]])
    report = tg.rounding_error(f, x)
    assert report.ok
    assert abs(report.true_error) > 100 * report.unit * abs(report.value)
    assert report.bound <= report.apriori


def test_a_listing_shows_lines_that_are_known():
    lined = tg.record(quadratic, 1.0, 3.0, 1.0, lines=True)
    plain = tg.record(quadratic, 1.0, 3.0, 1.0)
    text = str(lined).splitlines()
    assert "line" in text[0].split()
    (root,) = [line for line in text if " sqrt " in line]
    assert f"test_rounding.py:{line_with('the root')}" in root
    assert "line" not in str(plain).splitlines()[0].split()
