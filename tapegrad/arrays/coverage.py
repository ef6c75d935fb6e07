"""The coverage page, made from the dispatch tables. Floor 7.

``python -m tapegrad.arrays.coverage > docs/numpy.md`` writes the page anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tapegrad.arrays.composed import COMPOSED
from tapegrad.arrays.hints import HINTS
from tapegrad.arrays.methods import METHODS, PLAIN
from tapegrad.arrays.registry import BY_NAME, FUNCTIONS
from tapegrad.arrays.ufuncs import ACCUMULATED, REDUCED
from tapegrad.rules import TABLE

HOW = {
    "row": "one step",
    "composed": "composed",
    "plain": "no step",
}
_DISPATCHED = type(np.sum)

_HEAD = """\
# NumPy as it is written

<!-- made by: python -m tapegrad.arrays.coverage > docs/numpy.md -->

A Value holds a number or an array, and NumPy's own functions take it: they are recorded
instead of computed, one step of the table or several.

```python
>>> import numpy as np
>>> import tapegrad as tg
>>> def f(x):
...     d = np.diff(x)
...     return np.sum(np.where(d > 0, d, 0.0) ** 2) + np.linalg.norm(x[1:-1])
>>> tg.grad(f)(np.array([0.0, 3.0, 1.0, 4.0]))
array([-6.        ,  6.9486833 , -5.68377223,  6.        ])
```

Functions that go through NumPy's protocols alone work unchanged, SciPy's among them:

```python
>>> from scipy.optimize import rosen, rosen_der
>>> x = np.array([1.3, 0.7, 0.8, 1.9])
>>> bool(np.allclose(tg.grad(rosen)(x), rosen_der(x)))
True
```

## What is different from NumPy

* **Writing** `x[key] = v` and `x[key] += v` make a new version of the array. NumPy
  would show the write in views of the array, and a write to a view in the array; here
  such a view is refused after the write, and so is the write to a view. `x += v` shows
  under every name of the array; of an eager leaf, as of a number, it makes a new Value.
  The data of an eager leaf are written through `value.data`.
* **Plain arrays** cannot hold Values: `out = np.zeros(3); out[0] = v` is an error
  inside a recording. Make the array with `np.zeros_like(v)` or `np.zeros(3, like=v)`,
  or collect a list and `np.stack` it.
* **Choices** that depend on numbers, `np.nonzero(x > 0)`, `x[x > 0]`, leave a guard
  inside a recording: a replay that would choose otherwise raises `BranchChanged`.
  `np.where`, `x[x > 0] = 0.0`, `np.argsort` and indexing by it need none.
* **dtypes** are float64 and float32. Counts are floats: `np.sum(x > 0)`. Arrays of
  integers that are arguments of a recorded function, places (`np.argsort`) and the
  counters of loops are int64 as in NumPy: `+ - * // %`, a power to 64, `abs`,
  `np.minimum`, `np.maximum`, `np.clip` and `np.where` of integers give integers, which
  go round at 2**63 and may be indices; comparisons are exact. `/`, every other
  function, sums, and whatever meets a float, give floats. An eager
  `Value(np.arange(3))` holds floats.
* **Copies and conversions**: `np.asarray(v)` is an array of scalar Values (objects),
  never of bare floats, so that functions which start with it keep the derivative.
* `np.array([a, b])` **of Values** is such an array of objects, too: NumPy goes through
  it entry by entry, and `np.linalg` refuses it. `tg.array([[a, b], [c, d]])` and
  `np.stack([a, b])` give one array.
* **SciPy's functions** that convert to floats first (`scipy.linalg.solve_triangular`,
  `scipy.special.logsumexp`) cannot record; there are `tg.linalg.solve_triangular`,
  `tg.linalg.cho_factor`, `tg.linalg.cho_solve`, `tg.logsumexp`, `tg.softmax`,
  `tg.log_softmax`, `tg.polygamma`.
* **out=, where=** and other keywords that are not listed are errors that name them.
"""


def page() -> str:
    """The text of docs/numpy.md."""
    parts = [
        _HEAD,
        "## Functions\n",
        "A step is a row of the table of primitives; a composition has several.\n",
        _table(("function", "recorded as", "note"), _functions()),
        "\n## Ufuncs\n",
        "With `reduce` for "
        + _named(f"np.{name}" for name in REDUCED)
        + "; `accumulate` for "
        + _named(f"np.{name}" for name in ACCUMULATED)
        + "; `outer` for all.\n",
        _table(("ufunc", "recorded as"), _ufuncs()),
        "\n## Methods and operators\n",
        _methods(),
        "\n## Functions that are not recorded\n",
        "Each raises a `RecordError` that says so, with a way round if there is one.\n",
        _table(("function", "instead"), _missing()),
    ]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _key(name: str) -> tuple[bool, str]:
    """The order on the page: numpy's own functions first, then its modules'."""
    return "." in name, name.lower()


def _functions() -> Iterator[tuple[str, ...]]:
    for name in sorted(BY_NAME, key=_key):
        entry = BY_NAME[name]
        yield f"`np.{name}`", HOW[entry.how], entry.note


def _ufuncs() -> Iterator[tuple[str, ...]]:
    names = {
        name: f"`{row.name}`"
        for name, row in TABLE.by_ufunc.items()
        if isinstance(getattr(np, name, None), np.ufunc)
    }
    names |= dict.fromkeys(COMPOSED, "composed")
    names |= dict.fromkeys(("power", "float_power"), "`pow`, `powc`")
    names["matmul"] = "`matmul`"
    special = {
        "erf",
        "erfc",
        "logit",
        "xlogy",
    }
    names |= {name: f"`{name}`" for name in special if name in TABLE}
    for name in sorted(names, key=lambda name: (not hasattr(np, name), name)):
        module = "np" if hasattr(np, name) else "scipy.special"
        yield f"`{module}.{name}`", names[name]


def _methods() -> str:
    unary = [
        row.name
        for row in TABLE
        if row.kind == "elementwise"
        and row.arity == 1
        and row.params == ({},)
        and not row.operator
    ]
    text = "`v.name()` for " + _named(sorted({*METHODS, *PLAIN})) + ".\n\n"
    text += "Of rows of the table: " + _named(sorted({*unary} - {*METHODS})) + ".\n\n"
    return text + (
        "`+ - * / // % ** @ abs()`, `divmod`, `round`, comparisons, `& | ^ ~` of truth "
        "values; `len`, iteration, `v[key]`, `v[key] = x`; `v.T`, `v.mT`, `v.real`, "
        "`v.shape`, `v.ndim`, `v.size`, `v.dtype`.\n"
    )


def _missing() -> Iterator[tuple[str, ...]]:
    listed = []
    for path, module in (("", np), ("linalg.", np.linalg), ("fft.", np.fft)):
        for name in dir(module):
            thing: Any = getattr(module, name)
            ours = isinstance(thing, _DISPATCHED)
            if ours and thing not in FUNCTIONS:
                listed.append(path + name)
    listed += [
        name
        for name in dir(np)
        if isinstance(getattr(np, name), np.ufunc)
        and getattr(np, name).__name__ not in COMPOSED
        and getattr(np, name).__name__ not in TABLE.by_ufunc
    ]
    for name in sorted(set(listed), key=_key):
        yield f"`np.{name}`", HINTS.get(name, "")


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the command's output
