"""The native tests once more, with an allocator that looks for writes past the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENTRIES = ["test_array_entry.py", "test_array_entry_outs.py", "test_outs.py"]


def run(names):
    command = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-x"]
    command += ["-p", "no:cacheprovider", *(str(HERE / name) for name in names)]
    environment = os.environ | {"PYTHONMALLOC": "debug"}
    found = subprocess.run(command, capture_output=True, env=environment, check=False)
    text = (found.stdout + found.stderr).decode()
    assert found.returncode == 0, text[-3000:]


def test_entries():
    run(ENTRIES)


@pytest.mark.deep
def test_all():
    others = {Path(__file__).name, *ENTRIES}
    run(sorted({path.name for path in HERE.glob("test_*.py")} - others))
