"""Colours for compressed derivatives. Floor 9.

Columns of a Jacobian that share no row can be found in one sweep: they get one colour
(Curtis, Powell and Reid, 1974). For a symmetric matrix a *star colouring* needs fewer:
neighbours differ, and no path of four vertices has only two colours, so that each pair
of colours makes stars, and each entry can be read off at one of its two places
(Gebremedhin, Manne and Pothen, SIAM Review 47, 2005, sections 3 and 4).

All is greedy, the lowest colour that fits, with sets of colours as integers, one bit a
colour: a step costs the entries of one column, whatever its rows hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.sparse.reaches import Reach

Colours = npt.NDArray[np.int32]


def columns(pattern: Reach) -> Colours:
    """A colour for each column, such that no row has a colour twice.

    Natural order first, which is best for bands; where it needs more colours than the
    fullest row has entries, the fullest columns first, if that needs fewer.
    """
    least = int(np.diff(pattern.indptr).max(initial=0))
    by_column = pattern.tocsc()
    lines = _lists(by_column.indices, by_column.indptr)
    found = _columns(lines, range(len(lines)), pattern.shape[0])
    if found.max(initial=-1) + 1 > least:
        order = _fullest_first(by_column.indptr)
        other = _columns(lines, order, pattern.shape[0])
        if other.max() < found.max():
            return other
    return found


def _columns(
    lines: Sequence[Sequence[int]], order: Sequence[int], rows: int
) -> Colours:
    taken = [0] * rows  # colours that a row has
    found = np.zeros(len(lines), np.int32)
    for column in order:
        mine = lines[column]
        used = 0
        for row in mine:
            used |= taken[row]
        bit = ~used & (used + 1)
        for row in mine:
            taken[row] |= bit
        found[column] = bit.bit_length() - 1
    return found


def star(pattern: Reach) -> Colours:
    """A star colouring of a symmetric pattern, the diagonal left aside.

    In natural order, and where that takes more than three (any path of four needs
    them), with the fullest columns first, too: the better of both.
    """
    lines = _lists(pattern.indices, pattern.indptr)
    found = _star(lines, range(len(lines)))
    if found.max(initial=0) > 2:
        other = _star(lines, _fullest_first(pattern.indptr))
        if other.max() < found.max():
            return other
    return found


def _star(lines: Sequence[Sequence[int]], order: Sequence[int]) -> Colours:
    """Greedy: each vertex keeps every pair of colours a set of stars.

    Three sets of colours for a vertex w: `near`, those of its neighbours; `twice`,
    those of two or more of them, of whose stars w is the centre; `bound`, those of the
    centres of stars that w is a leaf of. A vertex v may not have

        the colour of a neighbour w, or a colour that w is bound to: a path of four;
        where neighbours share a colour: a colour near any of them, for v is a centre.
    """
    count = len(lines)
    colour = [-1] * count
    near, twice, bound = [0] * count, [0] * count, [0] * count
    for v in order:
        mine = [w for w in lines[v] if w != v and colour[w] >= 0]
        used, shared = near[v], twice[v]
        for w in mine:
            used |= bound[w]
            if shared >> colour[w] & 1:
                used |= near[w]
        bit = ~used & (used + 1)
        colour[v] = c = bit.bit_length() - 1
        for w in mine:
            if shared >> colour[w] & 1:
                bound[w] |= bit  # a leaf of v
            if twice[w] & bit:
                bound[v] |= 1 << colour[w]  # v is one more leaf of w
        for w in lines[v]:
            if w == v:
                continue
            if not near[w] & bit:
                near[w] |= bit
            elif not twice[w] & bit:
                twice[w] |= bit
                if colour[w] >= 0:  # w has become a centre: its leaves are bound
                    centre = 1 << colour[w]
                    for u in lines[w]:
                        if u != w and colour[u] == c:
                            bound[u] |= centre
    return np.array(colour, np.int32)


def _lists(indices: Any, starts: Any) -> list[list[int]]:
    """Rows of a table as lists."""
    flat, bounds = indices.tolist(), starts.tolist()
    return [flat[low:high] for low, high in itertools.pairwise(bounds)]


def _fullest_first(starts: Any) -> list[int]:
    return np.argsort(-np.diff(starts), kind="stable").tolist()  # type: ignore[no-any-return]
