"""How long derivatives take to build: SymPy's diff and lambdify, and a tape.

python tests/benchmarks/symbolic.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

import tapegrad as tg

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from pendulum import accelerations  # found by the line above

AT = [0.3, -0.5, 0.8, 1.0, -2.0, 0.5]


def seconds(task: Callable[[], Any]) -> tuple[float, Any]:
    """How long a task takes, once, and what it gives."""
    start = time.perf_counter()
    found = task()
    return time.perf_counter() - start, np.asarray(found)


def main() -> None:
    """Print seconds for both ways, and how far their numbers are apart."""
    forms, symbols = accelerations()
    tg.from_sympy(symbols[0] + 1, symbols)  # imports, and the table's functions
    works: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "Jacobian of the accelerations": (
            lambda: tg.from_sympy(forms, symbols).jacobian(*AT),
            lambda: sp.lambdify(symbols, sp.Matrix(forms).jacobian(symbols), cse=True)(
                *AT
            ),
        ),
        "Hessian of the first": (
            lambda: tg.from_sympy(forms[0], symbols).hessian(*AT),
            lambda: sp.lambdify(symbols, sp.hessian(forms[0], symbols), cse=True)(*AT),
        ),
    }
    for title, (ours, theirs) in works.items():
        built, mine = seconds(ours)
        swollen, plain = seconds(theirs)
        sys.stdout.write(
            f"{title}: from_sympy {built:.3f} s, diff and lambdify {swollen:.3f} s, "
            f"ratio {swollen / built:.0f}, difference {abs(mine - plain).max():.1e}\n"
        )


if __name__ == "__main__":
    main()
