"""What every test shares: hypothesis without clocks, and the repository's root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline is a clock in a test: slow machines would fail correct code. The search
# is derandomised so that a failure seen once is seen again by whoever looks.
settings.register_profile("tapegrad", deadline=None, derandomize=True)
settings.load_profile("tapegrad")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout that holds these tests."""
    return ROOT


@pytest.fixture
def dot() -> str:
    """The `dot` program; without it the test is skipped, and the report says so."""
    found = shutil.which("dot")
    if found is None:
        pytest.skip("graphviz's dot is not installed")
    return found
