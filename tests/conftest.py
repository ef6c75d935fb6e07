"""What every test shares: hypothesis without clocks, a cache, and the root."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline is a clock in a test: slow machines would fail correct code. The search
# is derandomised so that a failure seen once is seen again by whoever looks.
settings.register_profile("tapegrad", deadline=None, derandomize=True)
settings.load_profile("tapegrad")

# Tests keep their code in a folder of their own, which all workers share, and which is
# gone afterwards; the user's is neither read nor written.
CACHE = "TAPEGRAD_CACHE"


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is compiled: the first worker makes the folder."""
    if not hasattr(config, "workerinput"):
        config.cache_of_code = tempfile.TemporaryDirectory(prefix="tapegrad-code-")
        os.environ[CACHE] = config.cache_of_code.name


def pytest_unconfigure(config: pytest.Config) -> None:
    """The folder goes with the session."""
    if not hasattr(config, "workerinput"):
        config.cache_of_code.cleanup()


@pytest.fixture(autouse=True, scope="session")
def _texts_are_made() -> None:
    """Tests that plant bugs in the lowering must not get the code of another time."""
    from tapegrad.native import keeping

    for kind in keeping.FEW:
        keeping.FEW[kind] = sys.maxsize


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
