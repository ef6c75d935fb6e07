"""Bundle adjustment: cameras and points from what the cameras saw.

Each observation is a point X seen by a camera with rotation r (an axis times an angle),
centre C, focal length f and radial distortion k:

    (u, v, w) = R(r) (X - C)      p = (u, v) / w
    seen = f * (1 + k1 |p|^2 + k2 |p|^4) * p

(the model of Srajer, Kukelova & Fitzgibbon 2018, without its principal point). A
residual depends on one camera and one point, so a row of the Jacobian has 12 entries
and 12 sweeps find all of it, however many cameras and points there are. SciPy solves
the fit with the sparse matrix.
"""

import numpy as np
from scipy.optimize import least_squares

import tapegrad as tg

CAMERAS, POINTS, SEEN_BY = 6, 60, 4
PER_CAMERA = 9


def turned(r, x):
    """Points turned by Rodrigues' formula."""
    angle = np.sqrt(np.sum(r * r, axis=1, keepdims=True))
    axis = r / angle
    along = np.sum(axis * x, axis=1, keepdims=True)
    a, b = axis, x
    across = np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )
    return (
        np.cos(angle) * x + np.sin(angle) * across + (1 - np.cos(angle)) * along * axis
    )


def projected(cameras, points):
    """Where each camera sees its point; a row an observation."""
    r, centre, f, k = np.split(cameras, [3, 6, 7], axis=1)
    inside = turned(r, points - centre)
    p = inside[:, :2] / inside[:, 2:]
    square = np.sum(p * p, axis=1, keepdims=True)
    return f * (1 + k[:, :1] * square + k[:, 1:] * square**2) * p


def residuals(unknown, which, what, seen):
    """All coordinates' errors, as one long vector."""
    cut = CAMERAS * PER_CAMERA
    cameras = unknown[:cut].reshape(CAMERAS, PER_CAMERA)
    points = unknown[cut:].reshape(POINTS, 3)
    return (projected(cameras[which], points[what]) - seen).ravel()


def scene(rng):
    """Cameras on a ring that look at a cloud of points, and what they see."""
    turn = np.linspace(0.0, 1.0, CAMERAS)
    cameras = np.zeros((CAMERAS, PER_CAMERA))
    cameras[:, :3] = rng.normal(scale=0.05, size=(CAMERAS, 3))
    cameras[:, 3:6] = np.stack([3 * turn - 1.5, np.sin(6 * turn), -8 + turn], axis=1)
    cameras[:, 6] = 500.0
    cameras[:, 7:] = rng.normal(scale=0.01, size=(CAMERAS, 2))
    points = rng.uniform(-1.5, 1.5, (POINTS, 3))
    which = np.concatenate([rng.permutation(CAMERAS)[:SEEN_BY] for _ in range(POINTS)])
    what = np.repeat(np.arange(POINTS), SEEN_BY)
    seen = (
        projected(cameras[which], points[what]) + rng.normal(size=(len(what), 2)) * 0.1
    )
    return np.concatenate([cameras.ravel(), points.ravel()]), which, what, seen


def main():
    """Fit a disturbed scene, and check the Jacobian."""
    rng = np.random.default_rng(0)
    truth, which, what, seen = scene(rng)
    start = truth + rng.normal(scale=0.02, size=truth.size)
    given = which, what, seen

    jacobian = tg.sparse_jacobian(residuals, start, *given).compile()
    print(jacobian)
    rows, columns = jacobian.pattern.shape
    assert jacobian.pattern.nnz == rows * (PER_CAMERA + 3)
    assert jacobian.colors.max() + 1 == PER_CAMERA + 3 < columns

    exact = tg.jacobian(residuals)(start, *given)
    found = jacobian(start, *given)
    assert np.allclose(found.toarray(), exact, rtol=1e-12, atol=1e-12)

    fit = least_squares(
        residuals, start, jac=jacobian, args=given, x_scale="jac", tr_solver="lsmr"
    )
    before = np.sqrt(np.mean(residuals(start, *given) ** 2))
    after = np.sqrt(np.mean(fit.fun**2))
    print(f"error of a coordinate: {before:.2f} before, {after:.3f} after the fit")
    assert after < 0.1, "below the noise, for the unknowns fit some of it"


if __name__ == "__main__":
    main()
