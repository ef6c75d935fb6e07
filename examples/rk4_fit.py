"""Hares and lynxes: the parameters of a differential equation, from 21 years of pelts.

    hares' = (a - b lynxes) hares        lynxes' = (d hares - c) lynxes

(Lotka 1925, Volterra 1926). The classic method of Runge and Kutta integrates it: years
are a `tg.scan`, and the time steps of a year are a `tg.fori_loop` inside. The fit is
Levenberg and Marquardt's, on logarithms, as pelts are counted with an error in percent.
It asks the tape for the Jacobian of all 42 residuals by the six unknowns: a, b, c, d,
and both populations of 1900.
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import tapegrad as tg

PELTS = Path(__file__).parent / "data" / "lynx_hare.csv"
STEPS_A_YEAR = 10

# Point estimates in the literature: by optimisation (Howard 2009), and a posterior
# mean with its 80% intervals (Carpenter 2018, by Stan).
HOWARD = (0.55, 0.028, 0.84, 0.026)
CARPENTER = (0.55, 0.028, 0.80, 0.024)
ERROR_SCALE = 0.25  # Carpenter's, of both populations' logarithms
INTERVALS = ((0.47, 0.63), (0.023, 0.033), (0.69, 0.91), (0.020, 0.029))


def rates(z, p):
    """Growth of hares and lynxes, thousands a year."""
    a, b, c, d = p[0], p[1], p[2], p[3]
    hares, lynxes = z[0], z[1]
    return np.stack([(a - b * lynxes) * hares, (d * hares - c) * lynxes])


def runge_kutta(z, p, h):
    """One time step of h years."""
    k1 = rates(z, p)
    k2 = rates(z + h / 2 * k1, p)
    k3 = rates(z + h / 2 * k2, p)
    k4 = rates(z + h * k3, p)
    return z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def populations(p, start, years=20, steps=STEPS_A_YEAR):
    """Both populations at the start and after each year; shape (years + 1, 2)."""

    def year(z, _):
        z = tg.fori_loop(0, steps, lambda _, z: runge_kutta(z, p, 1.0 / steps), z)
        return z, z

    _, later = tg.scan(year, start, length=years)
    return np.concatenate([start[None], later])


def residuals(logs, pelts):
    """Logarithms of model over pelts."""
    unknown = np.exp(logs)  # all six are positive
    return np.log(populations(unknown[:4], unknown[4:]) / pelts).ravel()


def levenberg_marquardt(f, jacobian, x, rounds=50):
    """A minimum of |f|^2 / 2, and how many Jacobians it took."""
    damping, value = 1e-3, f(x)
    for used in range(rounds):
        j = jacobian(x)
        slope, curvature = j.T @ value, j.T @ j
        step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), slope)
        if np.abs(step).max() < 1e-8:
            return x, used + 1
        tried = f(x - step)
        if tried @ tried < value @ value:
            x, value, damping = x - step, tried, damping / 10
        else:
            damping *= 10
    raise RuntimeError("no minimum was found")


def order_of_the_method():
    """The error falls by 16 when steps are halved; so it is of order four."""
    p, start = np.array(HOWARD), np.array([30.0, 4.0])
    exact = solve_ivp(
        lambda _, z: rates(z, p), (0, 5), start, "DOP853", rtol=1e-12, atol=1e-12
    ).y[:, -1]
    errors = [np.abs(populations(p, start, 5, n)[-1] - exact).max() for n in (10, 20)]
    ratio = errors[0] / errors[1]
    print(f"halving the time step divides the error by {ratio:.1f}")
    assert 14 < ratio < 18


def main():
    """Fit, and set the result beside SciPy's and the published ones."""
    order_of_the_method()
    pelts = np.loadtxt(PELTS, delimiter=",", comments=["#", "year"])[:, 1:]
    first = np.log([0.6, 0.03, 0.9, 0.03, 30.0, 4.0])

    tape = tg.record(partial(residuals, pelts=pelts), first)
    native = tape.compile()
    print(f"{len(tape)} steps on the tape, for {20 * STEPS_A_YEAR} time steps")
    exact = tg.jacobian(partial(residuals, pelts=pelts))(first)
    assert np.allclose(native.jacobian(first), exact, rtol=1e-10, atol=1e-11)

    found, rounds = levenberg_marquardt(native, native.jacobian, first)
    error = residuals(found, pelts)
    variance = error @ error / (error.size - 6)
    print(f"fitted in {rounds} rounds, error scale {np.sqrt(variance):.4f}")
    assert abs(np.sqrt(variance) - ERROR_SCALE) < 0.02

    # Spread of the estimates, from the Jacobian at the minimum.
    j = native.jacobian(found)
    spread = np.exp(found) * np.sqrt(np.diag(np.linalg.inv(j.T @ j)) * variance)

    # SciPy's optimiser, with Jacobians by differences.
    theirs = least_squares(native, first, xtol=1e-15, ftol=1e-15, gtol=1e-12)
    assert np.allclose(found, theirs.x, rtol=0, atol=1e-6)

    print("      found  spread   Howard  Carpenter")
    for k, name in enumerate("abcd"):
        mine, low, high = np.exp(found[k]), *INTERVALS[k]
        published = f"{HOWARD[k]:7.3f}  {CARPENTER[k]:9.3f}"
        print(f"  {name} {mine:.5f} {spread[k]:.5f}  {published}")
        assert low < mine < high
        assert abs(mine - CARPENTER[k]) < 0.3 * spread[k]
    hares, lynxes = np.exp(found[4:])
    print(f"  1900: {hares:.1f} and {lynxes:.1f} thousand")


if __name__ == "__main__":
    main()
