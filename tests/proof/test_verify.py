"""The verifier proves every row, and a wrong row does not get past it."""

from __future__ import annotations

import dataclasses
import io
import json
import threading

import pytest

from tapegrad.errors import RecordError
from tapegrad.proof import Report, Row, verify
from tapegrad.proof.prover import Prover
from tapegrad.rules import TABLE

ROWS = [row for row in TABLE if row.differentiable]
NAMES = [row.name for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_every_row_is_proved_and_holds(row):
    report = verify([row.name], points=60)
    assert report.ok, "\n".join(map(str, report.failures))
    assert {"order 1", "order 2"} <= {
        r.check for r in report.rows if r.status == "proved"
    }
    if row.body is not None:
        assert "body" in {r.check for r in report.rows if r.status == "proved"}
    held = {r.check for r in report.rows if r.status == "held"}
    if row.edges:
        assert "edges" in held
    assert set(TIERS) | {"scaled, order 2", "scaled, order 3"} <= held


TIERS = [
    f"{what}, {tier}"
    for what in ("value", "partials")
    for tier in (
        "floats",
        "NumPy",
        "mpmath",
        "eager",
        "native",
        "arrays",
        "eager arrays",
        "native arrays",
        "float32 arrays",
        "float32 native arrays",
    )
]


@pytest.mark.deep
@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_ten_thousand_points(row):
    report = verify([row.name], orders=3, points=10_000, seconds=120)
    assert report.ok, "\n".join(map(str, report.failures))
    assert all(r.count >= 10_000 for r in report if r.check == "value, floats")


def partials_with(name, change):
    """A row whose partials are changed: ``change(m, partials, y, *xs)``."""
    row = TABLE[name]

    def wrong(m, y, *xs, **params):
        return change(m, row.partials(m, y, *xs, **params), y, *xs)

    return dataclasses.replace(row, partials=wrong, params=row.params[:2])


def ungated_log():
    return dataclasses.replace(TABLE["log"], partials=lambda m, y, x: (1 / x,))


def halves(m, x):
    c = (2**27 + 1) * x
    high = c - (c - x)
    split = m.exp(-(high * high)) * m.exp(-((x - high) * (x + high)))
    small = m.less(m.abs(x), 32)
    return m.const("two_over_sqrt_pi") * m.where(small, split, m.exp(-(x * x)))


PLANTED = {
    "wrong sign": partials_with("cos", lambda m, p, y, x: (-p[0],)),
    "wrong factor": partials_with("sech2", lambda m, p, y, x: (2 * p[0],)),
    "missing term": partials_with("tanh", lambda m, p, y, x: (1,)),
    "missing operand's share": partials_with("mul", lambda m, p, y, a, b: (p[0], 0)),
    "operands swapped": partials_with("div", lambda m, p, y, a, b: (p[1], p[0])),
    "wrong second order": partials_with(
        # right at every x, but constant at 0 and so without a second derivative there
        "exp",
        lambda m, p, y, x: (m.where(m.equal(x, 0), 1, y),),
    ),
    "wrong domain gate": ungated_log(),
    "gate too wide": partials_with(
        "sqrt", lambda m, p, y, x: (m.where(m.less(1, x), p[0], m.const("nan")),)
    ),
    "wrong side of a kink": partials_with(
        "relu", lambda m, p, y, x: (m.where(m.less(x, 0), 1, 0),)
    ),
    "wrong at a kink only": partials_with(
        "abs", lambda m, p, y, x: (m.where(m.less(x, 0), -1, 1),)
    ),
    "wrong power": partials_with("powc", lambda m, p, y, x: (x * p[0],)),
    "too few partials": partials_with("add", lambda m, p, y, a, b: p[:1]),
    "raises": partials_with("sin", lambda m, p, y, x: (m.no_such_word(x),)),
    "a body that differs": dataclasses.replace(
        TABLE["relu"], body=lambda m, x: m.where(m.less(x, 0), 0, x + x)
    ),
    "cancels left of 0": partials_with("expm1", lambda m, p, y, x: (y + 1,)),
    "overflows": partials_with("asinh", lambda m, p, y, x: (1 / m.sqrt(1 + x * x),)),
    "wrong left of 0": partials_with(
        "lgamma", lambda m, p, y, x: (m.where(m.less(x, 0), -p[0], p[0]),)
    ),
    "off by one quotient": partials_with("mod", lambda m, p, y, a, b: (p[0], 1 + p[1])),
    "cancels": dataclasses.replace(
        # proved by SymPy, and 0 at x = 20 in floats
        TABLE["tanh"],
        partials=lambda m, y, x: (1 - y * y,),
    ),
    "off by ten ulps": partials_with(
        # of the partial alone, and too small for proofs by numbers to see
        "sin",
        lambda m, p, y, x: (p[0] + p[0] * 5 / 2**51,),
    ),
    "second order cancels": dataclasses.replace(
        # proved, and the first partial is good; its derivative is large terms' rest
        TABLE["atanh"],
        partials=lambda m, y, x: (m.where(m.equal(y, y), 1 / ((1 - x) * (1 + x)), y),),
    ),
    "wrong in float32": dataclasses.replace(
        # splits the 53 digits of float64 into halves, which float32 has not
        TABLE["gaussian"],
        body=halves,
    ),
    "wrong in machine code": dataclasses.replace(
        TABLE["sinh"], name="growth", body=lambda m, x: m.sinh(x), llvm="@cosh"
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_bug_is_found_and_named(what):
    row = PLANTED[what]
    report = verify([row], points=60)
    assert not report.ok
    assert {bad.primitive for bad in report.failures} == {row.name}
    assert any(bad.status == "refuted" for bad in report.failures)
    assert row.name in str(report)


def test_which_check_finds_which_bug():
    def found(what, points=60):
        return {bad.check for bad in verify([PLANTED[what]], points=points).failures}

    assert "order 1" in found("wrong sign")
    second = found("wrong second order")
    assert "order 2" in second
    assert "order 1" not in second
    gate = found("wrong domain gate")
    assert {"edges", "outside the domain"} <= gate
    assert "order 1" not in gate
    assert found("wrong at a kink only") == {"edges"}
    assert "order 1" not in found("cancels")
    assert "partials, floats" in found("cancels")
    assert {"order 1", "partials, floats"} <= found("off by ten ulps")
    assert found("second order cancels") == {"scaled, order 2"}
    assert found("wrong in float32", 400) == {
        "value, float32 arrays",
        "partials, float32 arrays",
    }
    native = found("wrong in machine code")
    assert {"edges", "value, native", "value, native arrays"} <= native
    assert all("native" in check for check in native - {"edges"})


def test_a_refutation_shows_the_point():
    report = verify([PLANTED["wrong sign"]], points=60)
    bad = next(row for row in report.failures if row.check == "order 1")
    assert bad.status == "refuted"
    assert "x = 1/3 the difference is 0.654389393592" in bad.detail


def test_the_table_is_left_alone():
    before = TABLE["cos"]
    verify([PLANTED["wrong sign"]], points=60)
    assert TABLE["cos"] is before
    assert verify(["cos"], points=60).ok


def test_no_answer_is_unproved_and_never_ok(monkeypatch):
    monkeypatch.setattr(
        Prover, "decide", lambda self, e: ("unproved", "no answer within 10 s")
    )
    report = verify(["exp"], points=60)
    assert not report.ok
    assert [r.check for r in report.failures] == ["order 1", "order 2"]
    assert {r.status for r in report.failures} == {"unproved"}
    assert "d/dx everywhere: no answer" in report.failures[0].detail


def test_rows_without_a_derivative_or_pieces_are_unproved():
    assert [r.status for r in verify(["less"]).rows] == ["unproved"]
    bare = dataclasses.replace(TABLE["exp"], pieces=())
    report = verify([bare])
    assert [r.status for r in report.rows] == ["unproved"]
    assert not report.ok


def test_names_rows_and_one_alone():
    assert {r.primitive for r in verify("neg", points=60).rows} == {"neg"}
    assert {r.primitive for r in verify(TABLE["neg"], points=60).rows} == {"neg"}
    with pytest.raises(RecordError, match="no primitive 'nonsense'"):
        verify(["nonsense"])


def test_orders():
    def orders(n):
        rows = verify(["exp"], orders=n, points=60).rows
        return [(r.check, r.status) for r in rows if r.check.startswith("order")]

    assert orders(1) == [("order 1", "proved")]
    assert orders(3) == [(f"order {n}", "proved") for n in (1, 2, 3)]


def test_a_row_that_is_not_in_the_table_is_judged_in_every_tier():
    row = dataclasses.replace(
        TABLE["softplus"], name="ramp", partials=lambda m, y, x: (m.sigmoid(x),)
    )
    report = verify([row], points=60)
    assert report.ok, report
    assert set(TIERS) <= {r.check for r in report}
    assert {r.primitive for r in report} == {"ramp"}
    assert "ramp" not in TABLE
    # another of that name is another row, in machine code as well
    wrong = dataclasses.replace(row, body=lambda m, x: m.relu(x))
    bad = {r.check for r in verify([wrong], points=60).failures}
    assert {"body", "value, floats", "value, native", "value, eager"} <= bad
    assert verify([row], points=60).ok


def test_a_row_that_a_tier_cannot_read_says_so_and_the_others_go_on():
    # NumPy and C know it by other names, mpmath by its own alone
    row = dataclasses.replace(TABLE["tanh"], name="mine", ufunc="tanh", scalar="tanh")
    report = verify([row], points=60)
    bad = {r.check: r.detail for r in report.failures}
    assert set(bad) == {"edges", "mpmath"}
    assert "give the row a body" in bad["mpmath"]
    assert "value, native" in {r.check for r in report if r.ok}


def test_off_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(verify("tanh", orders=1)))
    thread.start()
    thread.join()
    assert found[0].ok


def test_nothing_verified_is_not_ok():
    assert not verify([]).ok
    assert not Report(()).ok


MADE = Report(
    (
        Row("f", "order 1", "proved", 2, detail="simplify"),
        Row(
            "f",
            "partials, floats",
            "held",
            10,
            1.25,
            4.0,
            (2.0, float("inf")),
            "d/dx1",
            (1.25, 0.5),
        ),
        Row("f", "partials, native", "held", 10, 3.0, 4.0, (1.0,), "", (0.5, 3.0)),
        Row("g|h", "order 1", "unproved", 1, detail="no answer within 10 s"),
        Row("g|h", "edges", "refuted", 3, float("inf"), 4.0, (0.0,), "<wrong>"),
    )
)


def test_a_report_as_text():
    lines = str(MADE).splitlines()
    assert lines[0].split()[:3] == ["primitive", "check", "status"]
    assert lines[-2:] == [
        "2 primitives, 5 checks: 1 proved, 2 held, 1 unproved, 1 refuted",
        "of 2 first partials 2 within 4 ulps (100%), 1 within 2 ulps (50%)",
    ]
    assert "2.0, inf" in lines[3]
    assert [row.ok for row in MADE] == [True, True, True, False, False]
    assert len(MADE) == 5
    assert repr(MADE) == f"<Report: {MADE.summary()}>"


def test_a_report_as_json():
    found = json.loads(MADE.to_json())
    assert found["ok"] is False
    assert found["rows"][1]["figure"] == 1.25
    assert found["rows"][1]["at"] == [2.0, "inf"]
    assert found["rows"][4]["figure"] == "inf"
    assert found["first_partials"] == {"count": 2, "within_4": 2, "within_2": 1}


def test_partials_of_helper_rows_are_counted_apart():
    both = Report(
        (
            *MADE.rows,
            Row("h", "partials, floats", "held", 1, 3.0, 4.0, (), "", (3,), True),
        )
    )
    assert both.goals() == (
        "of 2 first partials 2 within 4 ulps (100%), 1 within 2 ulps (50%); "
        "of 1 of helper rows 1 within 4 ulps (100%), 0 within 2 ulps (0%)"
    )
    found = json.loads(both.to_json())
    assert found["first_partials"]["count"] == 2
    assert found["of_helper_rows"] == {"count": 1, "within_4": 1, "within_2": 0}
    assert [r.helper for r in verify("sech2", points=60) if r.each] == [True] * 8


def test_each_first_partial_by_its_worst_tier():
    assert MADE.partials() == {("f", 1): 1.25, ("f", 2): 3.0}
    assert Report(()).goals() == ""


def test_a_report_as_markdown_and_html():
    lines = MADE.to_markdown().splitlines()
    assert lines[1] == "|" + "---|" * 8
    assert "| 2.0, inf | d/dx1 |" in lines[3]
    assert lines[5].startswith("| g\\|h | order 1 | unproved |")
    assert lines[-1] == MADE.goals()
    page = MADE._repr_html_()
    assert "&lt;wrong&gt;" in page
    assert page.count("<tr>") == 6


def test_a_report_on_a_console():
    from rich.console import Console

    console = Console(width=180, record=True, file=io.StringIO())
    console.print(MADE)
    shown = console.export_text()
    assert "refuted" in shown
    assert MADE.summary() in shown
    assert MADE.goals() in shown
    assert "2.0, inf" in shown
