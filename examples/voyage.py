"""A voyage between planets: plain nested loops over lists, recorded as a loop.

A probe leaves near the Earth and is to be where Mars will be 0.7 years later. The sun,
the Earth and Jupiter pull at it in 350 leapfrog steps. Newton's method finds its first
velocity: each iteration needs the place it reaches, and the slopes of that place by the
velocity, through all steps. The function is written as one writes it; the tape holds
its loop as one step. Units: astronomical units, years, masses of the sun.
"""

from __future__ import annotations

import math

import numpy as np

import tapegrad as tg

STEPS, STEP = 350, 0.002
PULL = 4 * math.pi**2  # the gravitational constant in these units
# mass, distance from the sun, years of an orbit, angle at the start
PLANETS = [(3.0e-6, 1.0, 1.0, 0.0), (9.5e-4, 5.2, 11.86, 1.0)]
START = [1.05, 0.02, 0.0]
TARGET = [-1.18, 0.95, 0.04]


def reached(velocity):
    """Where the probe is after all steps, from its first velocity."""
    place, speed = list(START), [velocity[i] for i in range(3)]
    for step in range(STEPS):
        pullers = [(1.0, [0.0, 0.0, 0.0])]
        for mass, distance, years, angle in PLANETS:
            turn = angle + 2 * math.pi * (step + 0.5) * STEP / years
            at = [distance * math.cos(turn), distance * math.sin(turn), 0.0]
            pullers.append((mass, at))
        for i in range(3):
            place[i] = place[i] + 0.5 * STEP * speed[i]
        for mass, at in pullers:
            away = [place[i] - at[i] for i in range(3)]
            square = away[0] ** 2 + away[1] ** 2 + away[2] ** 2
            pull = PULL * mass * STEP / (square * np.sqrt(square))
            for i in range(3):
                speed[i] = speed[i] - pull * away[i]
        for i in range(3):
            place[i] = place[i] + 0.5 * STEP * speed[i]
    return place[0], place[1], place[2]


def main() -> None:
    """Find the velocity, and show how small the tape is."""
    velocity = np.array([0.5, 6.5, 0.1])
    tape = tg.record(reached, velocity)
    slopes = tape.compile()
    for iteration in range(12):
        miss = np.array(slopes(velocity)) - TARGET
        print(f"{iteration}: misses by {np.linalg.norm(miss):.2e}")
        if np.linalg.norm(miss) < 1e-12:
            break
        velocity = velocity - np.linalg.solve(np.array(slopes.jacobian(velocity)), miss)
    assert np.allclose(reached(velocity), TARGET, atol=1e-11)
    print(f"velocity {np.round(velocity, 6)}")
    flat = tg.record(reached, velocity, roll=False)
    print(f"{len(flat):,} recorded steps; {len(tape)} with the loop as one step")
    assert len(tape) * 50 < len(flat)


if __name__ == "__main__":
    main()
