"""Peers side by side: times each in a process of its own, and writes the page.

    python tests/benchmarks/beside.py [--only WORK ...] [--peers PEER ...] [--page]

One thread of one core; caches that peers keep on disk are off, so what is built is
built anew. A figure that exists is replaced by the lesser of both, unless ``--anew`` is
given; ``--sizes`` measures some sizes alone, ``--page`` only writes the page. Figures
stand in ``results.json``; the page is made of them alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from harness import page  # noqa: E402
from harness.machine import described  # noqa: E402

if TYPE_CHECKING:
    from harness.work import Way, Work

RESULTS = HERE / "results.json"
PAGE = HERE.parent.parent / "docs" / "benchmarks.md"
WORKS = (
    "call",
    "rosenbrock",
    "straight",
    "minors",
    "options",
    "lorenz",
    "nbody",
    "mixture_loops",
    "bundle",
    "chain",
    "layers",
    "mixture",
    "exponentials",
    "distinct",
    "eager",
)


def environment(scratch: str) -> dict[str, str]:
    """One thread, and caches that are empty."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false "
        "--xla_force_host_platform_device_count=1",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/torch",
        "TAPEGRAD_CACHE": "0",
        "TMPDIR": scratch,
    }


def measured(
    work: Work, way: Way, size: int, limit: float | None = None
) -> dict[str, Any]:
    """A figure, or why there is none."""
    limit = limit or work.limit
    if way.most is not None and size > way.most:
        return {"left out": f"not tried beyond {way.most:,}"}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        command = [sys.executable, "-m", "harness.measure"]
        try:
            run = subprocess.run(
                [*pinned(), *command, work.name, way.name, str(size)],
                cwd=HERE,
                env=environment(scratch),
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"left out": f"no result in {limit:.0f} s"}
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no word"])[-1]
        return {"left out": f"failed: {last[:120]}"}
    found: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return found


def pinned() -> list[str]:
    """A command before the command that keeps it on one core, where there is one."""
    if shutil.which("taskset") is None or not hasattr(os, "sched_getaffinity"):
        return []
    return ["taskset", "-c", str(max(os.sched_getaffinity(0)))]


def merged(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The lesser of two figures."""
    if old is None or "run" not in old or "run" not in new:
        return old if old is not None and "run" in old else new
    builds = [b for b in (old["build"], new["build"]) if b is not None]
    run = min(old["run"], new["run"])
    return {**new, "build": min(builds, default=None), "run": run}


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=WORKS, help="works")
    parser.add_argument("--peers", nargs="*", help="parts of names of ways")
    parser.add_argument("--sizes", nargs="*", type=int, help="sizes of works")
    parser.add_argument("--anew", action="store_true", help="forget older figures")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    parser.add_argument("--limit", type=float, help="seconds a figure")
    given = parser.parse_args()
    results: dict[str, Any] = {}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    works = [importlib.import_module(f"works.{name}").WORK for name in WORKS]
    if not given.page:
        results["machine"] = described()
        for work in works:
            if not given.only or work.name in given.only:
                update(results, work, given)
    PAGE.write_text(page.written(works, results), encoding="utf-8")


def update(results: dict[str, Any], work: Work, given: argparse.Namespace) -> None:
    """Measure the ways of a work, and keep each figure at once."""
    figures = results.setdefault("figures", {}).setdefault(work.name, {})
    for way in work.ways.values():
        words = given.peers or [""]
        if not any(word.lower() in way.name.lower() for word in words):
            continue
        mine = figures.setdefault(way.name, {})
        for size in work.sizes:
            if given.sizes and size not in given.sizes:
                continue
            found = measured(work, way, size, given.limit)
            old = None if given.anew else mine.get(str(size))
            mine[str(size)] = merged(old, found)
            sys.stderr.write(f"{work.name} {size} {way.name}: {found}\n")
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
