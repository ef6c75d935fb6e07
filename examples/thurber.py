"""NIST's Thurber: electron mobility, seven parameters, a cubic over a cubic.

    y = (b1 + b2 x + b3 x^2 + b4 x^3) / (1 + b5 x + b6 x^2 + b7 x^3)

The whole way in the open: a plain function, its tape, an optimiser that asks the tape
for the exact Jacobian. NIST rates the problem "higher level of difficulty".
"""

import numpy as np
from scipy.optimize import least_squares

import tapegrad as tg
from tapegrad.demo import matching_digits, read_problem

PROBLEM = "Thurber"


def model(x, b1, b2, b3, b4, b5, b6, b7):
    """Electron mobility by log density."""
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


def main():
    """Fit from both starting points and compare with the certified values."""
    problem = read_problem(PROBLEM)

    def residuals(*b):
        pairs = zip(problem.x, problem.y, strict=True)
        return [model(x, *b) - y for x, y in pairs]

    tape = tg.record(residuals, *problem.starts[0])
    print(f"{len(problem.x)} observations, {len(tape)} steps on the tape")
    for number, start in enumerate(problem.starts, 1):
        # One tape serves every point: only its inputs change.
        solution = least_squares(
            lambda b: np.array(tape(*b.tolist())),
            start,
            jac=lambda b: np.array(tape.jacobian(*b.tolist())),
            method="lm",
            x_scale="jac",
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
        )
        print(f"start {number}:")
        for name, (found, certified) in enumerate(
            zip(solution.x.tolist(), problem.certified, strict=True), 1
        ):
            digits = matching_digits(found, certified)
            print(f"  b{name} {found:18.10e}  {certified:18.10e}  {digits:4.1f} digits")
            assert digits >= 6


if __name__ == "__main__":
    main()
