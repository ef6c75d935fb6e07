"""How long derivatives take to build: SymPy's diff and lambdify, and a tape.

python tests/benchmarks/symbolic.py

SymPy differentiates the expression and compiles what it has become, with common
subexpressions found again (``cse=True``). The tape is read once and its sweep recorded.
Both start warm: imports, caches of functions and the table are paid for on another
expression. The last line tells whether SymPy's own route to native code works here.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.cache import clear_cache

import tapegrad as tg

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from pendulum import accelerations  # found by the line above

AT = [0.3, -0.5, 0.8, 1.0, -2.0, 0.5]
# Times that a build is repeated; the middle one counts.
TIMES = 5


def bicycle() -> tuple[list[Any], list[Any]]:
    """The kinematic bicycle, one step of Runge and Kutta: its state after it."""
    x, y, heading, speed, steer, push = sp.symbols("x y theta v delta a", real=True)
    length, rear, step = sp.Rational(27, 10), sp.Rational(3, 2), sp.Rational(1, 10)

    def rates(state: list[Any]) -> list[Any]:
        slip = sp.atan(rear / length * sp.tan(steer))
        turned = state[2] + slip
        return [
            state[3] * sp.cos(turned),
            state[3] * sp.sin(turned),
            state[3] * sp.sin(slip) / rear,
            push,
        ]

    state = [x, y, heading, speed]
    k1 = rates(state)
    k2 = rates([s + step / 2 * k for s, k in zip(state, k1, strict=True)])
    k3 = rates([s + step / 2 * k for s, k in zip(state, k2, strict=True)])
    k4 = rates([s + step * k for s, k in zip(state, k3, strict=True)])
    after = [
        s + step / 6 * (a + 2 * b + 2 * c + d)
        for s, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)
    ]
    return after, [x, y, heading, speed, steer, push]


def seconds(task: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The middle of some times of the processor, and what the task gives."""
    found = []
    result: Any = None
    for _ in range(times):
        clear_cache()
        start = time.process_time()
        result = task()
        found.append(time.process_time() - start)
    return statistics.median(found), np.asarray(result)


def warm(symbols: list[Any]) -> None:
    """What both pay only once."""
    small = [sp.sin(symbols[0]) * symbols[1] / (1 + symbols[2] ** 2), symbols[0] ** 2]
    tape = tg.from_sympy(small, symbols)
    tape.jacobian(*AT)
    tg.from_sympy(small[0], symbols).hessian(*AT)
    tg.from_sympy(small[0], symbols).compile()
    sp.lambdify(symbols, sp.Matrix(small).jacobian(symbols), cse=True)(*AT)


def llvm_of_sympy() -> str:
    """What SymPy's own route to LLVM does with the llvmlite that is installed."""
    x, y = sp.symbols("x y")
    try:
        from sympy.printing.llvmjitcode import llvm_callable

        value = llvm_callable([x, y], x * sp.sin(y) + 1)(2.0, 0.5)
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is the result
        return f"fails: {type(problem).__name__}: {str(problem).split('. ')[0]}"
    return f"works: {value}"


def main() -> None:
    """Print seconds for both ways, and how far their numbers are apart."""
    forms, symbols = accelerations()
    after, states = bicycle()
    warm(symbols)

    def jacobian(f: Any, by: Any) -> tuple[Any, Any]:
        return (
            lambda: tg.from_sympy(f, by).jacobian(*AT),
            lambda: sp.lambdify(by, sp.Matrix(f).jacobian(by), cse=True)(*AT),
        )

    works = {
        "pendulum, Jacobian of the accelerations": jacobian(forms, symbols),
        "bicycle, Jacobian of a step of Runge and Kutta": jacobian(after, states),
        "pendulum, Hessian of the first acceleration": (
            lambda: tg.from_sympy(forms[0], symbols).hessian(*AT),
            lambda: sp.lambdify(symbols, sp.hessian(forms[0], symbols), cse=True)(*AT),
        ),
    }
    for title, (ours, theirs) in works.items():
        built, mine = seconds(ours, TIMES)
        swollen, plain = seconds(theirs, 1)
        apart = np.max(np.abs(mine - plain) / np.maximum(np.abs(plain), 1.0))
        sys.stdout.write(
            f"{title}: from_sympy {built * 1e3:.1f} ms, diff and lambdify "
            f"{swollen * 1e3:.0f} ms, ratio {swollen / built:.0f}, difference "
            f"{apart:.1e}\n"
        )
    native = tg.from_sympy(forms[0], symbols).compile()
    value, gradient = native.value_and_gradient(*AT)
    exact = tg.from_sympy(forms[0], symbols).value_and_gradient(*AT)
    apart = max(abs(a - b) for a, b in zip(gradient, exact[1], strict=True))
    sys.stdout.write(
        f"native code of the first acceleration: value {value:.6g}, gradient within "
        f"{apart:.0e} of the interpreter's\nSymPy's llvmjitcode: {llvm_of_sympy()}\n"
    )


if __name__ == "__main__":
    main()
