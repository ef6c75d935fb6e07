"""What pytest gets where tapegrad is installed: an option and a fixture. Floor 12.

pytest imports this at each start, in projects that have nothing to do with gradients,
too. So it imports nothing but pytest, and the rest when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tapegrad.proof import GradientReport

# Quick: some minutes become half a minute, and a wrong rule is found all the same.
POINTS = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--tapegrad-points``."""
    parser.getgroup("tapegrad").addoption(
        "--tapegrad-points",
        type=int,
        default=POINTS,
        metavar="N",
        help="points a row in `--pyargs tapegrad.testing` (default: %(default)s)",
    )


@pytest.fixture
def tapegrad_points(request: pytest.FixtureRequest) -> int:
    """Points a row, as the command line says."""
    points: int = request.config.getoption("--tapegrad-points")
    if points < 1:
        msg = f"--tapegrad-points must be 1 or more, got {points}"
        raise pytest.UsageError(msg)
    return points


@pytest.fixture
def check_gradient() -> Callable[..., GradientReport]:
    """`tapegrad.check_gradient`, which fails the test when a witness disagrees.

    Returns:
        A function like `tapegrad.check_gradient`; it returns the report.

    Example:
        def test_loss(check_gradient):
            check_gradient(loss, np.ones(3), order=1)
    """

    def check(f: Callable[..., Any], *args: Any, **kwargs: Any) -> GradientReport:
        __tracebackhide__ = True
        from tapegrad.proof import check_gradient

        report = check_gradient(f, *args, **kwargs)
        if not report.ok:
            name = getattr(f, "__qualname__", repr(f))
            pytest.fail(f"the gradient of {name} is in doubt\n{report}", pytrace=False)
        return report

    return check
