"""Options: Greeks to third order, and the volatility that a price implies.

The price of a European option (Black & Scholes 1973, Merton 1973) on a share at s, for
the strike k, t years ahead, with the interest r and the dividend q a year and the
volatility v:

    C = s exp(-q t) N(d1) - k exp(-r t) N(d2)        N: the normal distribution
    d1 = (log(s / k) + (r - q + v^2 / 2) t) / (v sqrt(t))        d2 = d1 - v sqrt(t)

A Greek is a derivative of it: delta by s, vega by v, gamma by s twice, ultima by v
three times. Thirteen of them come from that one formula by nesting `tg.grad`, a whole
chain of options at once, and each is compared with its closed form (Haug 2007, chapter
2).

The way back, from a price to its volatility, has no formula. `tg.implicit` finds it by
Newton's method and differentiates the equation, not the iteration. As a plain `while`
under `tg.function` the iteration itself is recorded, a path for each number of rounds.
"""

import numpy as np
from scipy.special import erfc

import tapegrad as tg

S, K, T, R, Q, V = range(6)  # the arguments' places


def normal(x):
    """The normal distribution. By erfc, as 1 + erf cancels in the left tail."""
    return 0.5 * erfc(x / -np.sqrt(2.0))


def density(x):
    """Its derivative."""
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def d1_of(s, k, t, r, q, v):
    """Log-moneyness in standard deviations."""
    return (np.log(s / k) + (r - q + v * v / 2) * t) / (v * np.sqrt(t))


def call(s, k, t, r, q, v):
    """The right to buy at k."""
    d1 = d1_of(s, k, t, r, q, v)
    d2 = d1 - v * np.sqrt(t)
    return s * np.exp(-q * t) * normal(d1) - k * np.exp(-r * t) * normal(d2)


def put(s, k, t, r, q, v):
    """The right to sell at k."""
    d1 = d1_of(s, k, t, r, q, v)
    d2 = d1 - v * np.sqrt(t)
    return k * np.exp(-r * t) * normal(-d2) - s * np.exp(-q * t) * normal(-d1)


def each(f, place):
    """The derivative of each option's price by its own number at that place.

    Options do not touch each other, so the gradient of their sum holds all of them.
    """
    return tg.grad(lambda *a: np.sum(f(*a)), place)


# Name, the arguments it is a derivative by, and a factor: time runs backwards.
GREEKS = {
    "delta": ((S,), 1),
    "vega": ((V,), 1),
    "theta": ((T,), -1),
    "rho": ((R,), 1),
    "gamma": ((S, S), 1),
    "vanna": ((S, V), 1),
    "volga": ((V, V), 1),
    "charm": ((S, T), -1),
    "veta": ((V, T), -1),
    "speed": ((S, S, S), 1),
    "zomma": ((S, S, V), 1),
    "color": ((S, S, T), -1),
    "ultima": ((V, V, V), 1),
}


def closed_forms(s, k, t, r, q, v):
    """The Greeks of a call, as a handbook has them."""
    root = np.sqrt(t)
    d1 = d1_of(s, k, t, r, q, v)
    d2 = d1 - v * root
    now, later = np.exp(-q * t), np.exp(-r * t)
    peak = now * density(d1)
    drift = 2 * (r - q) * t - d2 * v * root
    vega = s * peak * root
    gamma = peak / (s * v * root)
    return {
        "delta": now * normal(d1),
        "vega": vega,
        "theta": -s * peak * v / (2 * root)
        - r * k * later * normal(d2)
        + q * s * now * normal(d1),
        "rho": k * t * later * normal(d2),
        "gamma": gamma,
        "vanna": -peak * d2 / v,
        "volga": vega * d1 * d2 / v,
        "charm": q * now * normal(d1) - peak * drift / (2 * t * v * root),
        "veta": vega * (q + (r - q) * d1 / (v * root) - (1 + d1 * d2) / (2 * t)),
        "speed": -gamma / s * (d1 / (v * root) + 1),
        "zomma": gamma * (d1 * d2 - 1) / v,
        "color": gamma / (2 * t) * (2 * q * t + 1 + drift / (v * root) * d1),
        "ultima": -vega / v**2 * (d1 * d2 * (1 - d1 * d2) + d1**2 + d2**2),
    }


def chain():
    """Options on one share: seven strikes times four dates, each with a volatility."""
    k, t = np.meshgrid(np.linspace(70.0, 130.0, 7), [0.1, 0.5, 1.0, 2.0])
    smile = 0.2 + 0.15 * np.log(k / 100) ** 2 + 0.02 * np.sqrt(t)
    even = np.ones_like(k)
    return 100.0 * even, k, t, 0.03 * even, 0.01 * even, smile


def greeks(options):
    """Thirteen Greeks of the chain, beside closed forms, and of puts by parity."""
    exact = closed_forms(*options)
    s, k, t, r, q, _ = options
    # C - P = s exp(-q t) - k exp(-r t); what is left of it is a Greek of few arguments
    forward = {
        "delta": np.exp(-q * t),
        "theta": q * s * np.exp(-q * t) - r * k * np.exp(-r * t),
        "rho": k * t * np.exp(-r * t),
        "charm": q * np.exp(-q * t),
    }
    print(f"{exact['delta'].size} options; the middle one, one year ahead:")
    for name, (places, sign) in GREEKS.items():
        of_call, of_put = call, put
        for place in places:
            of_call, of_put = each(of_call, place), each(of_put, place)
        found = sign * of_call(*options)
        scale = np.abs(exact[name]).max()
        off = np.abs(found - exact[name]).max() / scale
        parity = found - sign * of_put(*options) - forward.get(name, 0.0)
        print(f"  {name:7}{found[2, 3]:14.8f}   off by {off:.0e} of the largest")
        assert off < 1e-12
        assert np.abs(parity).max() < 1e-12 * max(scale, np.abs(s).max())


def misfit(v, price, s, k, t, r, q):
    """What is left between the price of a volatility and the one that was seen."""
    return call(s, k, t, r, q, v) - price


def newton(price, s, k, t, r, q):
    """Volatilities by Newton's method on plain numbers, for all options at once."""
    # where vega is largest, as a start: from there the method cannot overshoot
    v = np.sqrt(2 * np.abs(np.log(s / k) + (r - q) * t) / t) + 1e-3
    for _ in range(50):
        step = misfit(v, price, s, k, t, r, q) / closed_forms(s, k, t, r, q, v)["vega"]
        v = v - step
        if np.abs(step).max() < 1e-14:
            break
    return v


def volatilities(options):
    """From prices back to volatilities, and how those move with the prices."""
    *known, smile = options
    prices = call(*options)
    implied = tg.implicit(misfit, newton)
    found = implied(prices, *known)
    exact = closed_forms(*known, found)
    # Far from the money a price hardly knows its volatility: vega says how well.
    off = np.abs(found - smile) * exact["vega"] / known[0]
    print(f"volatilities found again, to prices within {off.max():.0e} of s")
    assert off.max() < 1e-14

    # By the price: 1 / vega, and -volga / vega^3 the second time.
    first = each(implied, 0)(prices, *known)
    second = each(each(implied, 0), 0)(prices, *known)
    assert np.allclose(first * exact["vega"], 1, rtol=1e-11)
    assert np.allclose(second * exact["vega"] ** 3, -exact["volga"], rtol=1e-10)
    # By the share's price, at a fixed price of the option: -delta / vega.
    moved = each(implied, 1)(prices, *known)
    assert np.allclose(moved * exact["vega"], -exact["delta"], rtol=1e-11)
    print("their derivatives are 1/vega, -volga/vega^3 and -delta/vega")


def other_ways(options):
    """The same Greeks, option by option and order by order."""
    exact = closed_forms(*options)
    flat = [a.ravel() for a in options]
    delta = tg.vmap(tg.grad(call, S))(*flat)
    assert np.allclose(delta, exact["delta"].ravel(), rtol=1e-12)
    # coefficients of C(v + t), whose third is ultima / 3!
    *known, v = options
    series = tg.taylor(lambda v: call(*known, v), v, np.ones_like(v), 3)
    for order, name in enumerate(("vega", "volga", "ultima"), 1):
        scale = np.abs(exact[name]).max() * 1e-12
        found = series[order] * (1, 1, 2, 6)[order]
        assert np.allclose(found, exact[name], rtol=1e-12, atol=scale)
    print("tg.vmap and tg.taylor agree")


@tg.function(maxsize=None)
def searched(price, s, k, t, r, q):
    """One volatility, by Newton's method as one writes it down."""
    v = np.sqrt(2 * abs(np.log(s / k) + (r - q) * t) / t) + 1e-3
    step = 1.0
    while abs(step) > 1e-9:
        d1 = d1_of(s, k, t, r, q, v)
        vega = s * np.exp(-q * t) * density(d1) * np.sqrt(t)
        step = misfit(v, price, s, k, t, r, q) / vega
        v = v - step
    return v


def one_by_one(options):
    """A search whose length depends on the numbers."""
    *known, smile = options
    prices = call(*options)
    exact = closed_forms(*options)
    places = [(i, j) for i in range(4) for j in range(1, 6)]  # not too far out
    for place in places:
        given = [float(prices[place]), *(float(a[place]) for a in known)]
        assert abs(searched(*given) - smile[place]) < 1e-11
        by_price = searched.gradient(*given)[0]
        assert abs(by_price * exact["vega"][place] - 1) < 1e-10
    print(f"{len(places)} searches took {len(searched.paths)} paths")
    assert len(searched.paths) < len(places)


def main():
    """Greeks, then volatilities."""
    options = chain()
    greeks(options)
    other_ways(options)
    volatilities(options)
    one_by_one(options)


if __name__ == "__main__":
    main()
