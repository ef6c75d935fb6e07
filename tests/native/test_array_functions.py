"""NumPy's functions in native code: values and gradients are the interpreter's.

The calls are those of the array tests' table, a dozen on a tape: so few kernels are
built, and steps of many kinds meet in one of them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg

_spec = importlib.util.spec_from_file_location(
    "functions", Path(__file__).parents[1] / "arrays" / "test_functions.py"
)
functions = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(functions)

INPUTS, TOGETHER = functions.INPUTS, 12
GROUPS = [
    functions.cases.CALLS[start : start + TOGETHER]
    for start in range(0, len(functions.cases.CALLS), TOGETHER)
]


def names_of(texts):
    return sorted({name for text in texts for name in functions.names_in(text)})


def results(texts, values):
    """What each call gives, as a list of arrays."""
    return [
        [
            x if isinstance(x, tg.Value) else np.asarray(x) * 1.0
            for x in functions.leaves(functions.evaluated(text, values))
        ]
        for text in texts
    ]


def close(found, expected, text):
    for one, other in zip(found, expected, strict=True):
        one, other = np.asarray(one), np.asarray(other)  # noqa: PLW2901
        assert one.dtype == other.dtype, text
        assert one.shape == other.shape, text
        tolerance = 1e-5 if one.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(
            one.astype(float), other.astype(float), tolerance, tolerance, err_msg=text
        )


@pytest.mark.parametrize("texts", GROUPS, ids=lambda texts: texts[0])
def test_values_and_gradients(texts):
    names = names_of(texts)
    args = [INPUTS[name] for name in names]

    def everything(*xs):
        return results(texts, dict(zip(names, xs, strict=True)))

    def total(*xs):
        found = everything(*xs)
        return sum((functions.weighted(x) for x in found), 0.0 * xs[0].sum())

    values, tape = tg.record(everything, *args), tg.record(total, *args)
    for found, expected, text in zip(
        values.compile("1")(*args), values(*args), texts, strict=True
    ):
        close(found, expected, text)
    value, slopes = tape.compile("1").value_and_gradient(*args)
    expected, wanted = tape.value_and_gradient(*args)
    np.testing.assert_allclose(value, expected, 1e-6, err_msg=str(texts))
    if len(names) > 1:
        close(slopes, wanted, str(texts))
    else:
        close([slopes], [wanted], str(texts))
