"""What the figures were measured on: processor and versions, no names of hosts."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

PEERS = (
    "numpy",
    "scipy",
    "llvmlite",
    "casadi",
    "jax",
    "torch",
    "autograd",
    "heyoka",
    "symengine",
    "sympy",
    "micrograd",
    "xad",
    "numba",
)


def described() -> dict[str, str]:
    """By what is described."""
    import tapegrad

    found = {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "Python": platform.python_version(),
        "tapegrad": tapegrad.__version__,
    }
    for name in PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    found["C compiler"] = compiler()
    return found


def processor() -> str:
    """Its model, as the system says it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def compiler() -> str:
    """The C compiler's own words."""
    found = shutil.which("cc")
    if found is None:
        return "none"
    run = subprocess.run(
        [found, "--version"], capture_output=True, text=True, check=False
    )
    return run.stdout.splitlines()[0] if run.stdout else "unknown"
