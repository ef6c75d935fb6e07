"""Planets and weather by Taylor series of order 20.

    y' = f(y)        y(t + h) = c_0 + c_1 h + ... + c_20 h^20

`tg.taylor_ode` gives the coefficients of a solution from the tape of the right side.
The last two of them say how far the series reaches, so the step follows by itself
(Jorba and Zou, Experimental Mathematics 14, 2005). An orbit of eccentricity 0.6 has to
close after 10 turns and to keep its energy; Lorenz's attractor, where an error grows as
exp(0.9 t), is compared with the same integration in 50 digits.
"""

from __future__ import annotations

import math

import numpy as np

import tapegrad as tg

ORDER = 20


def kepler(state):
    """A body in the plane around the sun, which stands in the origin."""
    place, velocity = state[:2], state[2:]
    distance = np.sqrt(np.sum(place * place))
    return np.concatenate([velocity, -place / distance**3])


def lorenz(state):
    """Lorenz, Journal of the Atmospheric Sciences 20 (1963)."""
    x, y, z = state["x"], state["y"], state["z"]
    return {
        "x": 10.0 * (y - x),
        "y": x * (28.0 - z) - y,
        "z": x * y - 8.0 * z / 3.0,
    }


def reach(series):
    """How far a series of order 20 holds 16 digits, where a state is of size 1."""
    sizes = [float(np.max(np.abs(series[k]))) for k in (-2, -1)]
    radius = min(
        (1.0 / size) ** (1.0 / (ORDER + k))
        for k, size in zip((-1, 0), sizes, strict=True)
    )
    return radius / math.e**2 * math.exp(-0.7 / (ORDER - 1))


def orbit(eccentricity, turns):
    """The state after some turns, how many steps, and the largest error of energy."""
    speed = math.sqrt((1 + eccentricity) / (1 - eccentricity))
    state = np.array([1 - eccentricity, 0.0, 0.0, speed])
    tape = tg.record(kepler, state)
    time, end, steps, worst = 0.0, 2 * math.pi * turns, 0, 0.0
    while time < end:
        series = tg.taylor_ode(tape, state, ORDER)
        h = min(reach(series), end - time)
        state = np.polynomial.polynomial.polyval(h, series)
        time, steps = time + h, steps + 1
        energy = state[2:] @ state[2:] / 2 - 1 / math.hypot(state[0], state[1])
        worst = max(worst, abs(energy + 0.5) / 0.5)
    return state, steps, worst


def weather(end, h, arithmetic):
    """Lorenz's x, y, z at a time, in steps of one length."""
    state = {"x": 1.0, "y": 1.0, "z": 1.0}
    tape = tg.record(lorenz, state)
    for _ in range(round(end / h)):
        series = tg.taylor_ode(tape, state, ORDER, arithmetic=arithmetic)
        state = {
            name: sum(c * h**k for k, c in reversed(list(enumerate(mine))))
            for name, mine in series.items()
        }
    return state


def main():
    state, steps, worst = orbit(0.6, 10)
    away = np.max(np.abs(state - [0.4, 0.0, 0.0, 2.0]))
    print(f"Kepler, e = 0.6: 10 turns in {steps} steps of order {ORDER}")
    print(f"  distance from the start {away:.1e}, energy to {worst:.1e}")
    assert steps < 500
    assert away < 1e-11
    assert worst < 1e-14

    h, end = 2.0**-6, 3.0
    floats, digits = (weather(end, h, a) for a in ("float64", "mpmath:50"))
    error = max(abs(float(digits[name]) - floats[name]) for name in floats)
    print(f"Lorenz at t = {end:g}: x = {floats['x']:.12f}")
    print(f"  {error:.1e} from the same in 50 digits")
    assert error < 1e-12

    # the series itself is cut off at order 20: half the step hardly changes it
    finer = weather(end, h / 2, "float64")
    error = max(abs(finer[name] - floats[name]) for name in floats)
    print(f"  {error:.1e} from half the step")
    assert error < 1e-12


if __name__ == "__main__":
    main()
