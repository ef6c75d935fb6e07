"""The plugin as a user's project gets it: installed, and in a pytest of its own."""

from __future__ import annotations

import importlib.metadata

import pytest

pytest_plugins = ["pytester"]

HEAVY = ("sympy", "mpmath", "llvmlite", "scipy", "graphviz", "rich", "typer", "optree")


@pytest.fixture(autouse=True)
def _installed():
    found = importlib.metadata.entry_points(group="pytest11", name="tapegrad")
    if not list(found):
        pytest.skip("tapegrad is not installed with its plugin; run `make test`")


def test_the_fixture_passes_and_fails_with_the_report(pytester):
    pytester.makepyfile(
        """
        import numpy as np
        import tapegrad as tg

        def smooth(x, y):
            return x * np.exp(y)

        def lossy(x):
            return x * np.sin(tg.stop_gradient(x))

        def test_right(check_gradient):
            report = check_gradient(smooth, 2.0, 0.5, order=2)
            assert report.ok and len(report.rows) == 6

        def test_wrong(check_gradient):
            check_gradient(lossy, 2.0)
        """
    )
    found = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(
        [
            "*the gradient of lossy is in doubt*",
            "derivative*reverse*forward*mpmath*SymPy*differences*disagrees*",
            "x *0.909297427*0.0770037537*SymPy",
        ]
    )


def test_the_start_is_light(pytester):
    pytester.makepyfile(
        f"""
        import sys

        def test_nothing():
            assert "tapegrad.testing.plugin" in sys.modules
            assert not [name for name in {HEAVY!r} if name in sys.modules]
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def run(pytester, *args):
    return pytester.runpytest_subprocess(
        "--pyargs", "tapegrad.testing", "-p", "no:cacheprovider", *args
    )


def test_a_test_a_row(pytester):
    found = run(pytester, "-k", "neg or matmul", "--tapegrad-points", "20", "-v")
    found.assert_outcomes(passed=2, deselected=found.parseoutcomes()["deselected"])
    found.stdout.fnmatch_lines_random(["*test_row?neg? PASSED*", "*?matmul? PASSED*"])


def test_a_wrong_row_fails_with_its_report(pytester):
    pytester.makeconftest(
        """
        import dataclasses
        from tapegrad.rules import TABLE

        row = TABLE["neg"]
        wrong = dataclasses.replace(row, partials=lambda m, y, a: (1,))
        TABLE.rows[TABLE.by_name["neg"]] = wrong
        """
    )
    found = run(pytester, "-k", "neg", "--tapegrad-points", "20")
    assert found.parseoutcomes()["failed"] == 1
    found.stdout.fnmatch_lines(["neg*order 1*refuted*the difference is 2*"])


def test_points_below_one_are_refused(pytester):
    found = run(pytester, "-k", "neg", "--tapegrad-points", "0")
    assert found.ret != 0
    found.stdout.fnmatch_lines(["*--tapegrad-points must be 1 or more, got 0*"])
