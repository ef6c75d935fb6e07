"""The coverage page is what the tables say, and the tables are what the tests call."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value
from tapegrad.arrays.coverage import page
from tapegrad.arrays.hints import HINTS
from tapegrad.arrays.registry import BY_NAME, found

_spec = importlib.util.spec_from_file_location(
    "array_cases", Path(__file__).parent / "cases.py"
)
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

NOT_RECORDED = "## Functions that are not recorded"


def test_the_page_is_current(root):
    shown = (root / "docs" / "numpy.md").read_text(encoding="utf-8")
    made = page()
    # what else there is in NumPy changes from version to version
    assert shown.split(NOT_RECORDED)[0] == made.split(NOT_RECORDED)[0], (
        "run: python -m tapegrad.arrays.coverage > docs/numpy.md"
    )


def test_every_function_of_the_table_is_called_by_a_test(root):
    text = "\n".join(cases.CALLS)
    for path in (root / "tests" / "arrays").glob("test_*.py"):
        text += path.read_text(encoding="utf-8")
    missing = [
        name for name in BY_NAME if not re.search(rf"np\.{re.escape(name)}\b", text)
    ]
    assert missing == []


def test_every_function_that_is_not_recorded_says_so():
    value = Value(np.eye(3))
    listed = re.findall(
        r"^\| `(np\.[\w.]+)` \|", page().split(NOT_RECORDED)[1], re.MULTILINE
    )
    assert len(listed) > 20
    called = 0
    for name in listed:
        function = found(name.removeprefix("np."))
        arguments = (value, 2)
        if isinstance(function, np.ufunc):
            arguments = (value, value)[: function.nin]
        try:
            function(*arguments)
        except tg.RecordError as problem:
            assert function.__name__ in str(problem)  # noqa: PT017
            called += 1
        except (TypeError, ValueError):  # other arguments are needed
            continue
    assert called > len(listed) / 2


@pytest.mark.parametrize("name", sorted(HINTS))
def test_a_hint_names_functions_that_exist(name):
    for mentioned in re.findall(r"np\.([a-z_.0-9]+[a-z_0-9])", HINTS[name]):
        assert found(mentioned) is not None, mentioned


def test_the_nearest_name_is_offered():
    with pytest.raises(tg.RecordError, match=r"np\.nanmedian .*np\.median"):
        np.nanmedian(Value([1.0, 2.0]))
    with pytest.raises(tg.RecordError, match=r"np\.fft\.rfft cannot .*complex"):
        np.fft.rfft(Value([1.0, 2.0]))
    with pytest.raises(tg.RecordError, match=r"test_coverage\.py:\d+"):
        np.unwrap(Value([1.0, 2.0]))
