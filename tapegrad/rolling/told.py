"""Guards that vary, written out: each says what it has seen. Floor 10.

v8 = v7 xor True, and a guard on v8 that varies: that is a guard on v7, which saw True.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tapegrad.rolling.stretches import Stretch

Ids = npt.NDArray[np.int64]


def with_outcomes(
    work: Stretch,
    varying: Sequence[int],
    xor: int,
    seen: Callable[[int], bool | None],
    plain: Callable[[int, bool], int],
) -> tuple[Stretch, Ids]:
    """The steps with guards that know their outcome.

    Args:
        work: all steps.
        varying: numbers of the parameters of guards that vary.
        xor: number of the name of the step that such a guard is on.
        seen: of a name the truth value that it is a constant of; None for none.
        plain: the number of a guard's parameters with an outcome of its own.

    Returns:
        The steps; and for each slot how many slots before it are gone.
    """
    begins, first = _running(work.counts), _running(work.owns)

    def makers(slots: Ids) -> Ids:
        return np.searchsorted(first, slots, "right") - 1

    guards = np.flatnonzero(np.isin(work.statics, varying))
    guards = guards[work.operands[begins[guards]] >= 0]
    makes = makers(work.operands[begins[guards]])
    known = work.names[makes] == xor
    guards, makes = guards[known], makes[known]
    found = [seen(name) for name in work.operands[begins[makes] + 1].tolist()]
    known = np.array([outcome is not None for outcome in found], bool)
    guards, makes = guards[known], makes[known]
    operands, statics = work.operands.copy(), work.statics.copy()
    operands[begins[guards]] = operands[begins[makes]]
    outcomes = [outcome for outcome in found if outcome is not None]
    statics[guards] = [
        plain(static, outcome)
        for static, outcome in zip(statics[guards].tolist(), outcomes, strict=True)
    ]
    gone = np.zeros(len(work.names), bool)
    gone[makes] = True
    gone[makers(operands[operands >= 0])] = False  # somebody else reads it
    slots = np.repeat(gone, work.owns)
    before = np.cumsum(slots)
    operands = operands[np.repeat(~gone, work.counts)]
    mine = operands >= 0
    operands[mine] -= before[operands[mine]]
    made = dataclasses.replace(
        work,
        names=work.names[~gone],
        counts=work.counts[~gone],
        operands=operands,
        statics=statics[~gone],
        owns=work.owns[~gone],
        avals=work.avals[~slots],
    )
    return made, before


def _running(counts: Ids) -> Ids:
    return np.concatenate([[0], np.cumsum(counts)])
