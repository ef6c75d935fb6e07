"""How long a Jacobian takes to build: SymPy's diff and lambdify, and a tape.

python tests/benchmarks/symbolic.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import sympy as sp

import tapegrad as tg

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from pendulum import accelerations  # found by the line above


def main() -> None:
    """Print seconds for both ways, and how far their numbers are apart."""
    forms, symbols = accelerations()
    at = [0.3, -0.5, 0.8, 1.0, -2.0, 0.5]
    tg.from_sympy(symbols[0] + 1, symbols)  # imports, and the table's functions

    start = time.perf_counter()
    tape = tg.from_sympy(forms, symbols)
    ours = np.array(tape.jacobian(*at))
    built = time.perf_counter() - start

    start = time.perf_counter()
    matrix = sp.Matrix(forms).jacobian(symbols)
    function = sp.lambdify(symbols, matrix, cse=True)
    theirs = np.asarray(function(*at))
    swollen = time.perf_counter() - start

    print(f"from_sympy and a first Jacobian   {built:8.3f} s   {len(tape)} steps")
    print(f"diff, lambdify(cse=True), first   {swollen:8.3f} s")
    print(f"ratio {swollen / built:.0f}, largest difference {abs(ours - theirs).max()}")


if __name__ == "__main__":
    main()
