"""SciPy's own Rosenbrock function, differentiated as it stands, and minimised.

f(x) = sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2

`scipy.optimize.rosen` is NumPy code that knows nothing of tapes. SciPy ships its
gradient and Hessian by hand, so there is something to compare with.
"""

import numpy as np
from scipy.optimize import minimize, rosen, rosen_der, rosen_hess, rosen_hess_prod

import tapegrad as tg
from tapegrad import Value

N = 10


def main():
    """Compare the derivatives, then minimise with them."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.5, 1.5, N)

    leaf = Value(x)
    out = rosen(leaf)
    out.backward()
    assert np.isclose(out.data, rosen(x), rtol=1e-14)
    assert np.allclose(leaf.grad, rosen_der(x), rtol=1e-12, atol=1e-10)
    print(f"rosen at {N} numbers: {out.data:.6f}; the gradient is rosen_der's")

    tape = tg.record(rosen, np.zeros(N))
    value, gradient = tape.value_and_gradient(x)
    direction = rng.normal(size=N)
    assert np.isclose(value, rosen(x), rtol=1e-14)
    assert np.allclose(gradient, rosen_der(x), rtol=1e-12, atol=1e-10)
    assert np.allclose(tape.hessian(x), rosen_hess(x), rtol=1e-12, atol=1e-9)
    product = tape.hvp((x,), (direction,))
    assert np.allclose(product, rosen_hess_prod(x, direction), rtol=1e-11, atol=1e-9)
    print(f"replayed: {len(tape)} steps for any x; Hessian and products agree")

    exact = tape.gradient(x, arithmetic="mpmath:50").astype(float)
    off = np.max(np.abs(gradient - exact) / np.abs(exact))
    assert off < 1e-12
    print(f"against 50 digits: relative error {off:.1e}")

    start = np.full(N, -1.0)
    start[::2] = 1.2
    native = tape.compile()
    assert np.allclose(native.gradient(x), gradient, rtol=1e-12, atol=1e-10)
    result = minimize(
        native.value_and_gradient,
        start,
        jac=True,
        method="BFGS",
        options={"gtol": 1e-10, "maxiter": 1000},
    )
    assert np.allclose(result.x, 1.0, rtol=0, atol=1e-8)
    off = np.abs(result.x - 1).max()
    print(f"BFGS: {result.nfev} calls, furthest from 1: {off:.0e}")
    newton = minimize(
        tape,
        start,
        jac=tape.gradient,
        hess=tape.hessian,
        method="trust-exact",
        options={"gtol": 1e-10},
    )
    assert np.allclose(newton.x, 1.0, rtol=0, atol=1e-10)
    print(f"with Hessians: {newton.nit} steps")


if __name__ == "__main__":
    main()
