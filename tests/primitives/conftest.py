"""Primitives that several test modules use: each is defined once in a process.

They stay in the table: tapes of other tests may stand in columns that count its rows.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg

X, Y = sp.symbols("x y")
K = sp.Symbol("k", positive=True)


def black_scholes() -> Any:
    """The price of a European call."""
    s, k, r, v, t = sp.symbols("S K r sigma T", positive=True)
    root = v * sp.sqrt(t)
    d1 = (sp.log(s / k) + (r + v**2 / 2) * t) / root
    d2 = d1 - root
    normal = [(1 + sp.erf(d / sp.sqrt(2))) / 2 for d in (d1, d2)]
    return tg.primitive(
        "t_call",
        s * normal[0] - k * sp.exp(-r * t) * normal[1],
        [s, k, r, v, t],
        domain={
            "S": (1, 1000),
            "K": (1, 1000),
            "r": (0, 0.5),
            "sigma": (0.01, 2),
            "T": (0.01, 10),
        },
    )


def lambert(x: Any) -> Any:
    """W(x) by a fixed number of Halley's steps."""
    log = np.log1p(x)
    w = log * (1 - np.log1p(log) / (2 + log))
    for _ in range(4):
        e = np.exp(w)
        f = w * e - x
        w = w - f / (e * (w + 1) - (w + 2) * f / (2 * w + 2))
    return w


def _morse() -> Any:
    depth, a, r = sp.symbols("D a r0")
    form = depth * (1 - sp.exp(-a * (X - r))) ** 2
    return tg.primitive("t_morse", form, [X, depth, a, r])


DEFINITIONS = {
    "planck": lambda: tg.primitive(
        "t_planck", X**3 / (sp.exp(X) - 1), [X], domain=(1e-3, 600)
    ),
    "step": lambda: tg.primitive("t_step", 1 / (1 + sp.exp(-2 * K * X)), [X, K]),
    "softabs": lambda: tg.primitive("t_softabs", sp.sqrt(X**2 + K**2), [X, K]),
    "morse": _morse,
    "call": black_scholes,
    "lambert": lambda: tg.primitive(
        "t_lambert",
        lambert,
        partials=lambda y, x: 1 / (np.exp(y) * (1 + y)),
        sympy=sp.LambertW,
        domain=(0, 1e6),
    ),
    "derived": lambda: tg.primitive("t_derived", lambert, domain=(0, 1e6)),
    "decay": lambda: tg.primitive(
        "t_decay",
        lambda x, y: x * np.exp(-y),
        partials=lambda m, v, x, y: (m.exp(-y), -v),
        sympy=X * sp.exp(-Y),
    ),
    "huber": lambda: tg.primitive(
        "t_huber",
        sp.Piecewise((X**2 / 2, sp.Abs(X) <= 1), (sp.Abs(X) - sp.S.Half, True)),
        [X],
    ),
}


@functools.cache
def defined(name: str) -> Any:
    """A primitive of the list, defined when it is first asked for."""
    return DEFINITIONS[name]()


@pytest.fixture(params=DEFINITIONS)
def each(request: pytest.FixtureRequest) -> Any:
    """Every primitive of the list."""
    return defined(request.param)


@pytest.fixture
def the() -> Any:
    """A primitive of the list by name."""
    return defined
