"""A pendulum of three links: SymPy's equations of motion, differentiated as a tape.

SymPy solves the equations of motion for the three accelerations. Their Jacobian by the
angles and rates is asked of the tape, and checked against central differences of
SymPy's own `lambdify`. The same tape as machine code gives the same accelerations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

import tapegrad as tg

LINKS = 3


def accelerations() -> tuple[list[Any], list[Any]]:
    """The accelerations of equal links of mass and length 1, and their symbols."""
    q = list(sp.symbols(f"q:{LINKS}", real=True))
    w = list(sp.symbols(f"w:{LINKS}", real=True))
    hanging = [LINKS - i for i in range(LINKS)]  # masses at or below each joint
    mass = sp.Matrix(
        LINKS,
        LINKS,
        lambda i, j: min(hanging[i], hanging[j]) * sp.cos(q[i] - q[j]),
    )
    force = sp.Matrix(
        [
            -sum(
                min(hanging[i], hanging[j]) * sp.sin(q[i] - q[j]) * w[j] ** 2
                for j in range(LINKS)
            )
            - sp.Rational(981, 100) * hanging[i] * sp.sin(q[i])
            for i in range(LINKS)
        ]
    )
    return list(mass.LUsolve(force)), [*q, *w]


def main() -> None:
    """Compare the Jacobian with differences of SymPy's own function."""
    forms, symbols = accelerations()
    tape = tg.from_sympy(forms, symbols)
    at = np.array([0.3, -0.5, 0.8, 1.0, -2.0, 0.5])
    jacobian = np.array(tape.jacobian(*at.tolist()))
    plain = sp.lambdify(symbols, forms, cse=True)
    assert np.allclose(tape(*at.tolist()), plain(*at), rtol=1e-13)
    step = 1e-6
    for column, unit in enumerate(np.eye(len(at)) * step):
        ahead, behind = np.array(plain(*(at + unit))), np.array(plain(*(at - unit)))
        slope = (ahead - behind) / (2 * step)
        assert np.allclose(jacobian[:, column], slope, rtol=1e-6, atol=1e-6)
    native = tape.compile()  # the same tape as machine code
    assert np.allclose(native(*at.tolist()), tape(*at.tolist()), rtol=1e-12)
    print(f"{len(tape)} steps; the Jacobian of the accelerations:")
    print(np.round(jacobian, 4))


if __name__ == "__main__":
    main()
