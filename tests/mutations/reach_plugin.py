"""A pytest plugin: which lines each test runs, and what it costs.

Loaded by name (``-p reach_plugin``) in every worker of the run that makes the map.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import coverage
import pytest

STATE = Path(os.environ["MUTATIONS_STATE"])
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")

_coverage = coverage.Coverage(
    data_file=str(STATE / f"reach.{WORKER}.data"),
    source=[os.environ["MUTATIONS_PACKAGE"]],
    config_file=False,
    messages=False,
)
_coverage.set_option(
    "run:disable_warnings", ["module-not-measured", "no-data-collected"]
)
_coverage.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Lines that run from here on belong to this test."""
    _coverage.switch_context(item.nodeid)
    start = time.process_time()
    result = yield
    spent = time.process_time() - start
    _coverage.switch_context("")
    with (STATE / f"costs.{WORKER}.jsonl").open("a") as file:
        file.write(json.dumps([item.nodeid, round(spent, 4)]) + "\n")
    return result


def pytest_runtest_logreport(report):
    """A test that fails without any fault can catch none."""
    if report.failed:
        with (STATE / "failing.txt").open("a") as file:
            file.write(report.nodeid + "\n")


def pytest_unconfigure():
    """The map goes to disk."""
    _coverage.stop()
    _coverage.save()
