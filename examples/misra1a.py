"""NIST's Misra1a: adsorption in dental research, two parameters.

y = b1 (1 - exp(-b2 x))
"""

import numpy as np

from tapegrad.demo import fit, read_problem

PROBLEM = "Misra1a"


def model(x, b1, b2):
    """Volume by pressure."""
    return b1 * (1 - np.exp(-b2 * x))


def main():
    """Fit from both starting points and compare with the certified values."""
    problem = read_problem(PROBLEM)
    for start in (0, 1):
        result = fit(problem, model, start)
        print(f"start {start + 1}: {result.evaluations} replays")
        for name, (found, certified, digits) in enumerate(
            zip(result.found, problem.certified, result.digits, strict=True), 1
        ):
            print(f"  b{name} {found:18.10e}  {certified:18.10e}  {digits:4.1f} digits")
            assert digits >= 6


if __name__ == "__main__":
    main()
