"""Two moons told apart by a network 2-16-16-1, its weights in matrices.

loss = mean of max(0, 1 - sign * score) + 1e-4 * sum of p^2
p   <- p - (1.0 - 0.9 k/100) * d loss / d p        in step k of 100

Trained three times from the same weights: eagerly; with the whole step, optimiser and
all, recorded once and replayed; and with that tape compiled. The losses agree.

    python examples/moons.py [--plot FOLDER]

saves the loss curve and the decision boundary as pictures (needs matplotlib).
"""

import argparse
from pathlib import Path

import numpy as np

import tapegrad as tg
from tapegrad import nn

STEPS, PENALTY, SEED = 100, 1e-4, 1


def two_moons(n=100, noise=0.1, seed=1337):
    """Points of shape (n, 2) and signs +1 or -1, as scikit-learn's make_moons."""
    rng = np.random.RandomState(seed)
    angle = np.linspace(0, np.pi, n // 2)
    outer = np.column_stack([np.cos(angle), np.sin(angle)])
    inner = np.column_stack([1 - np.cos(angle), 0.5 - np.sin(angle)])
    points = np.concatenate([outer, inner])
    signs = np.repeat([-1.0, 1.0], n // 2)
    order = np.arange(n)
    rng.shuffle(order)
    return points[order] + rng.normal(scale=noise, size=(n, 2)), signs[order]


def check_points(points, signs):
    """Compare with scikit-learn's own, where it is installed."""
    try:
        from sklearn.datasets import make_moons
    except ImportError:
        print("points: by the formula (scikit-learn is not installed)")
        return
    theirs, classes = make_moons(100, noise=0.1, random_state=1337)
    assert np.allclose(points, theirs, rtol=0, atol=1e-15)
    assert np.array_equal(signs, 2.0 * classes - 1)
    print("points: those of scikit-learn's make_moons")


def fresh():
    """The network with its first weights, and an optimiser for it."""
    model = nn.MLP(2, [16, 16, 1], "relu", output="linear", seed=SEED, arrays=True)
    return model, nn.SGD(model.parameters())


def rate(k):
    """The learning rate of step k."""
    return 1.0 - 0.9 * k / STEPS


def loss_of(model, points, signs):
    """The hinge loss with its penalty."""
    return nn.hinge_loss(model(points)[:, 0], signs, model, PENALTY)


def step(model, optimiser, points, signs):
    """One step of training as a pure function: loss, and what moved."""
    loss, slopes = tg.value_and_grad(loss_of)(model, points, signs)
    return loss, optimiser.update(model, slopes)


def eagerly(points, signs):
    """Train with backward()."""
    model, optimiser = fresh()
    losses = []
    for k in range(STEPS):
        loss = loss_of(model, points, signs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.lr = rate(k)
        optimiser.step()
        losses.append(float(loss))
    return model, losses


def by(run, points, signs):
    """Train with a tape of the step, or with its native code."""
    model, optimiser = fresh()
    losses = []
    for k in range(STEPS):
        optimiser.lr = rate(k)
        loss, updated = run(model, optimiser, points, signs)
        optimiser.load(updated)
        losses.append(float(loss))
    return model, losses


def accuracy(model, points, signs):
    """The share of points on their own side."""
    return np.mean((model(points).data[:, 0] > 0) == (signs > 0))


def plot(folder, model, losses, points, signs):
    """Save the loss curve and the decision boundary."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    axis.semilogy(losses)
    axis.set(xlabel="step", ylabel="loss", title="Hinge loss with L2 penalty")
    figure.savefig(folder / "moons_loss.png", dpi=120)

    sides = [np.linspace(-1.75, 2.75, 181), np.linspace(-1.25, 1.75, 121)]
    x, y = np.meshgrid(*sides)
    scores = model(np.column_stack([x.ravel(), y.ravel()])).data.reshape(x.shape)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    axis.contourf(x, y, scores > 0, levels=[-0.5, 0.5, 1.5], cmap="RdBu_r", alpha=0.4)
    axis.contour(
        x, y, scores, levels=[-1, 0, 1], colors="k", linewidths=[0.6, 1.6, 0.6]
    )
    axis.scatter(*points.T, c=signs, cmap="RdBu_r", edgecolors="k", s=28)
    axis.set(title="Decision boundary and margins", aspect="equal")
    figure.savefig(folder / "moons_boundary.png", dpi=120)
    print(f"pictures: {folder / 'moons_loss.png'}, {folder / 'moons_boundary.png'}")


def main():
    """Train, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    points, signs = two_moons()
    check_points(points, signs)

    model, losses = eagerly(points, signs)
    assert len(model.parameters()) == 6
    assert sum(p.size for p in model.parameters()) == 337
    print(f"eagerly:  loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    assert accuracy(model, points, signs) == 1.0

    tape = tg.record(step, *fresh(), points, signs)
    for way, run in {"replayed": tape, "compiled": tape.compile()}.items():
        other, same = by(run, points, signs)
        print(f"{way}: loss {same[0]:.4f} -> {same[-1]:.4f}")
        # The order of summation may differ, and training amplifies it.
        assert np.allclose(same, losses, rtol=1e-6)
        assert accuracy(other, points, signs) == 1.0
    print(f"accuracy after {STEPS} steps: 100%")
    if given.plot:
        plot(given.plot, model, losses, points, signs)


if __name__ == "__main__":
    main()
