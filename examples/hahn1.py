"""NIST's Hahn1: thermal expansion of copper, 236 observations, seven parameters.

y = (b1 + b2 x + b3 x^2 + b4 x^3) / (1 + b5 x + b6 x^2 + b7 x^3)
"""

from tapegrad.demo import fit, read_problem

PROBLEM = "Hahn1"


def model(x, b1, b2, b3, b4, b5, b6, b7):
    """Coefficient of thermal expansion by temperature in kelvin."""
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


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
