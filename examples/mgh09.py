"""NIST's MGH09: a quadratic over a quadratic that many a good algorithm fails on.

y = b1 (x^2 + x b2) / (x^2 + x b3 + b4)
"""

from tapegrad.demo import fit, read_problem

PROBLEM = "MGH09"


def model(x, b1, b2, b3, b4):
    """Kowalik and Osborne's rational function."""
    return b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4)


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
