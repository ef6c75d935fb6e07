"""Rows that reduce axes: sum, prod, mean, std, max, min, norm, logsumexp. Floor 1.

``axes`` is a sorted tuple of places, never negative; the reduced axes go away. The
partials are an array like the operand: the sweep multiplies the adjoint, spread over
the reduced axes, and pushes a tangent forward as ``sum(partial * dot)``.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules import shapes
from tapegrad.rules.movement import flipped, spread
from tapegrad.rules.primitive import Primitive, Sample, row

_AXES = (
    Sample(((4,),), {"axes": (0,)}),
    Sample(((2, 3),), {"axes": (1,)}),
    Sample(((2, 3, 2),), {"axes": (0, 2)}),
    Sample(((2, 3),), {"axes": ()}),
)

_MASKS = tuple(Sample(sample.shapes, sample.params, ("bool",)) for sample in _AXES)


def _count(m: Any, x: Any, axes: Any) -> int:
    shape = m.shape(x)
    count = 1
    for axis in axes:
        count *= shape[axis]
    return count


SUM = row(
    Primitive(
        "sum",
        1,
        kind="linear",
        lanes="axes",
        source="linear",
        numpy=lambda np, x, axes: np.sum(x, axes),
        shape=shapes.reduction,
        pull=lambda m, bar, y, x, axes: (spread(m, bar, m.shape(x), axes),),
        fold="add",
        samples=(*_AXES, Sample(((0, 2),), {"axes": (0,)})),
    )
)


def _before(m: Any, x: Any, axis: int) -> Any:
    """Products of the entries before each one along an axis; 1 before the first.

    By doubling: log2(n) products of whole arrays, right whatever entries are zero.
    """
    shape = m.shape(x)
    size = shape[axis]

    def cut(value: Any, start: int, count: int) -> Any:
        key = tuple(
            (start, count, 1) if place == axis else (0, extent, 1)
            for place, extent in enumerate(shape)
        )
        return m.index(value, key=key)

    one = m.like(1, cut(x, 0, 1))
    found = m.concatenate(one, cut(x, 0, size - 1), axis=axis)
    reach = 1
    while reach < size:
        grown = cut(found, reach, size - reach) * cut(found, 0, size - reach)
        found = m.concatenate(cut(found, 0, reach), grown, axis=axis)
        reach *= 2
    return found


def _others(m: Any, x: Any, axes: Any) -> Any:
    """The product of all other entries, for each entry: no division by a zero."""
    shape = m.shape(x)
    if not axes or not _count(m, x, range(len(shape))):
        return m.like(1, x)
    # the reduced axes last and joined to one
    order = (*(i for i in range(len(shape)) if i not in axes), *axes)
    lead = shapes.reduced(shape, axes)
    flat = m.reshape(m.transpose(x, axes=order), shape=(*lead, _count(m, x, axes)))
    axis = len(lead)
    after = flipped(m, _before(m, flipped(m, flat, axis), axis), axis)
    both = _before(m, flat, axis) * after
    back = m.reshape(both, shape=tuple(shape[i] for i in order))
    return m.transpose(back, axes=tuple(order.index(i) for i in range(len(shape))))


PROD = row(
    Primitive(
        "prod",
        1,
        lambda m, y, x, axes: (_others(m, x, axes),),
        kind="reduction",
        lanes="axes",
        source="exclusive products: right with any number of zeros, at every order",
        numpy=lambda np, x, axes: np.prod(x, axes),
        shape=shapes.reduction,
        fold="mul",
        samples=_AXES,
    )
)


def _mean(np: Any, x: Any, axes: Any) -> Any:
    """The mean; NumPy's warns where there are no entries, and a sweep is silent."""
    if np.size(x):
        return np.mean(x, axes)
    return np.sum(x, axes) / np.zeros((), x.dtype)


MEAN = row(
    Primitive(
        "mean",
        1,
        kind="linear",
        lanes="axes",
        source="linear; NaN over no entries, as in NumPy",
        numpy=_mean,
        shape=shapes.reduction,
        pull=lambda m, bar, y, x, axes: (
            spread(m, bar / m.like(_count(m, x, axes), bar), m.shape(x), axes),
        ),
        samples=_AXES,
    )
)


def _deviation(m: Any, y: Any, x: Any, axes: Any, ddof: int) -> Any:
    """(x - mean) / (y * (n - ddof)); 0 where all entries are equal."""
    shape = m.shape(x)
    away = x - spread(m, m.mean(x, axes=axes), shape, axes)
    slope = away / (y * (_count(m, x, axes) - ddof))
    return m.where(m.equal(y, 0), 0, slope)


def _std(np: Any, x: Any, axes: Any, ddof: int) -> Any:
    """The deviation, silent where no freedom is left."""
    count = 1
    for axis in axes:
        count *= np.shape(x)[axis]
    if count > ddof:
        return np.std(x, axes, ddof=ddof)
    away = x - np.reshape(_mean(np, x, axes), shapes.kept(np.shape(x), axes))
    return np.sqrt(np.sum(away * away, axes) / np.zeros((), away.dtype))


STD = row(
    Primitive(
        "std",
        1,
        lambda m, y, x, axes, ddof: (_deviation(m, y, x, axes, ddof),),
        kind="reduction",
        lanes="axes",
        source="root of the mean squared deviation; 0 at equal numbers",
        numpy=_std,
        shape=shapes.reduction,
        samples=(
            Sample(((4,),), {"axes": (0,), "ddof": 0}),
            Sample(((2, 3),), {"axes": (1,), "ddof": 1}),
        ),
    )
)


def _share(m: Any, y: Any, x: Any, axes: Any) -> Any:
    """1/n at each of the n entries that equal the extreme; NaN where that is NaN."""
    hit = m.where(m.equal(x, y), 1, 0)
    ties = spread(m, m.sum(hit, axes=axes), m.shape(x), axes)
    return m.where(m.equal(y, y), hit / ties, y)


AMAX = row(
    Primitive(
        "amax",
        1,
        lambda m, y, x, axes: (_share(m, y, x, axes),),
        kind="reduction",
        lanes="axes",
        source="convex kink at ties, minimum-norm subgradient 1/n each",
        numpy=lambda np, x, axes: np.max(x, axes),
        shape=shapes.reduction,
        fold="max",
        samples=_AXES[:3],
    )
)
AMIN = row(
    Primitive(
        "amin",
        1,
        lambda m, y, x, axes: (_share(m, y, x, axes),),
        kind="reduction",
        lanes="axes",
        source="concave kink at ties, minimum-norm supergradient 1/n each",
        numpy=lambda np, x, axes: np.min(x, axes),
        shape=shapes.reduction,
        fold="min",
        samples=_AXES[:3],
    )
)


def _length(np: Any, x: Any, axes: Any) -> Any:
    """Scaled by the largest entry, so that squares neither overflow nor underflow."""
    size = np.abs(x)
    top = np.max(size, axes, keepdims=True, initial=0)
    usable = np.isfinite(top) & (top > 0)
    scale = np.where(usable, top, 1)
    found = np.sqrt(np.sum(np.square(x / scale), axes, keepdims=True)) * scale
    return np.sum(np.where(np.isinf(top) & ~np.isnan(found), top, found), axes)


NORM = row(
    Primitive(
        "norm",
        1,
        lambda m, y, x, axes: (m.where(m.equal(y, 0), 0, x / y),),
        kind="reduction",
        lanes="axes",
        source="Euclidean length; convex kink at the zero vector, subgradient 0",
        numpy=_length,
        shape=shapes.reduction,
        fold="hypot",
        samples=_AXES[:3],
    )
)


def _logsumexp(np: Any, x: Any, axes: Any) -> Any:
    top = np.max(x, axes, keepdims=True, initial=-np.inf)
    base = np.where(np.isfinite(top), top, 0)
    total = np.log(np.sum(np.exp(x - base), axes, keepdims=True)) + base
    return np.sum(total, axes)


LOGSUMEXP = row(
    Primitive(
        "logsumexp",
        1,
        # not exp(x - y): at large numbers the rounding of y is magnified
        lambda m, y, x, axes: (m.softmax(x, axes=axes),),
        kind="reduction",
        lanes="axes",
        source="log of the sum of exponentials, shifted by the largest entry",
        numpy=_logsumexp,
        shape=shapes.reduction,
        fold="logaddexp",
        samples=_AXES[:3],
    )
)


def _softmax(np: Any, x: Any, axes: Any) -> Any:
    e = np.exp(x - np.max(x, axes, keepdims=True, initial=-np.inf))
    return e / np.sum(e, axes, keepdims=True)


def _centred(m: Any, d: Any, y: Any, axes: Any) -> Any:
    """y * (d - sum(y * d)): the Jacobian of softmax, which is symmetric."""
    return y * (d - spread(m, m.sum(y * d, axes=axes), m.shape(y), axes))


SOFTMAX = row(
    Primitive(
        "softmax",
        1,
        kind="matrix",
        lanes="axes",
        source="exponentials over their sum; shifted by the largest entry",
        numpy=_softmax,
        shape=shapes.same,
        pull=lambda m, bar, y, x, axes: (_centred(m, bar, y, axes),),
        push=lambda m, dots, y, x, axes: _centred(m, dots[0], y, axes),
        samples=_AXES[:3],
    )
)
ANY = row(
    Primitive(
        "any",
        1,
        kind="discrete",
        lanes="axes",
        source="logical or over axes",
        numpy=lambda np, x, axes: np.any(x, axes),
        shape=lambda x, axes: (shapes.reduced(x[0], axes), "bool"),
        samples=_MASKS,
    )
)
ALL = row(
    Primitive(
        "all",
        1,
        kind="discrete",
        lanes="axes",
        source="logical and over axes",
        numpy=lambda np, x, axes: np.all(x, axes),
        shape=lambda x, axes: (shapes.reduced(x[0], axes), "bool"),
        samples=_MASKS,
    )
)
