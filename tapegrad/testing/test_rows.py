"""A test for each row of the table; see the package's text. Floor 12."""

from __future__ import annotations

import pytest

from tapegrad.proof import verify
from tapegrad.proof.verify import judgeable
from tapegrad.rules import TABLE

NAMES = [row.name for row in TABLE if judgeable(row)]


@pytest.mark.parametrize("name", NAMES)
def test_row(name: str, tapegrad_points: int) -> None:
    """The row is proved, and its numbers hold."""
    __tracebackhide__ = True
    report = verify(name, points=tapegrad_points)
    if not report.ok:
        pytest.fail(str(report), pytrace=False)
