"""np.einsum: subscripts written out until the row of that name takes them. Floor 7.

The row knows letters alone, each of them once in an operand, and none that stands in
one operand only. The rest is data movement and sums before it.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from tapegrad.arrays.lift import (
    dtype_of,
    index,
    line,
    misfit,
    ndim_of,
    operand,
    real,
    record,
    reshape,
    shape_of,
    total,
    transpose,
)
from tapegrad.arrays.products import turned
from tapegrad.arrays.registry import implements
from tapegrad.errors import RecordError, ShapeError


@implements(
    "einsum", how="row", note='subscripts as text; "..." and repeated indices too'
)
def einsum(subscripts: Any, *operands: Any) -> Any:
    """A product summed over named indices."""
    if not isinstance(subscripts, str):
        msg = (
            "einsum with lists of ints cannot be recorded; write the indices as text, "
            f'"ij,jk->ik" ({line()})'
        )
        raise RecordError(msg)
    xs = [operand(x) for x in operands]
    if xs and all(dtype_of(x).kind == "b" for x in xs):
        msg = (
            f"einsum of truth values ({line()}): in NumPy it gives truth values; "
            "convert them with .astype(float)"
        )
        raise RecordError(msg)
    xs = [real(x) for x in xs]
    names, output = _written_out(subscripts, xs)
    names, xs = _unstretched(subscripts, names, xs)
    kept: list[Any] = []
    left: list[str] = []
    for place, (x, text) in enumerate(zip(xs, names, strict=True)):
        one, short = _diagonals(x, text)
        others = output + "".join(names[:place] + names[place + 1 :])
        lonely = tuple(i for i, name in enumerate(short) if name not in others)
        if lonely:  # an index of one operand alone is summed before the product
            one = total(one, lonely)
            short = "".join(name for name in short if name in others)
        kept.append(one)
        left.append(short)
    if len(kept) == 1:
        axes = [left[0].index(name) for name in output]
        return turned(kept[0], axes)
    text = ",".join(left) + "->" + output
    return record("einsum", *kept, subscripts=text)


def _written_out(subscripts: str, xs: Sequence[Any]) -> tuple[list[str], str]:
    """Indices of each operand and of the output, letters only."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    names = inputs.split(",")
    if len(names) != len(xs):
        msg = f"einsum {subscripts!r} names {len(names)} operands, got {len(xs)}"
        raise ShapeError(f"{msg} ({line()})")
    spare = [name for name in string.ascii_letters if name not in text]
    dots = 0
    for name, x in zip(names, xs, strict=True):
        if "..." in name:
            dots = max(dots, ndim_of(x) - len(name.replace("...", "")))
    shared = "".join(spare[:dots])
    found = []
    for name, x in zip(names, xs, strict=True):
        count = ndim_of(x) - len(name.replace("...", ""))
        full = (
            name.replace("...", shared[len(shared) - count :])
            if count
            else (name.replace("...", ""))
        )
        if len(full) != ndim_of(x) or (not full.isalpha() and full):
            raise misfit(f"einsum {subscripts!r}", *xs)
        found.append(full)
    if not arrow:
        every = "".join(found)
        once = sorted(name for name in set(every) if every.count(name) == 1)
        output = shared + "".join(name for name in once if name not in shared)
    output = output.replace("...", shared)
    strange = set(output) - set("".join(found))
    if strange or len(set(output)) != len(output):
        msg = f"einsum {subscripts!r}: the output's indices do not fit ({line()})"
        raise ShapeError(msg)
    return found, output


def _unstretched(
    subscripts: str, names: Sequence[str], xs: Sequence[Any]
) -> tuple[list[str], list[Any]]:
    """Operands without the axes of size 1 that NumPy would stretch."""
    sizes: dict[str, int] = {}
    for text, x in zip(names, xs, strict=True):
        for name, size in zip(text, shape_of(x), strict=True):
            known = sizes.setdefault(name, size)
            if 1 not in {known, size} and known != size:
                raise misfit(f"einsum {subscripts!r}", *xs, why=f"differ in {name!r}")
            sizes[name] = size if known == 1 else known
    texts, found = [], []
    for text, x in zip(names, xs, strict=True):
        thin = [
            axis
            for axis, (name, size) in enumerate(zip(text, shape_of(x), strict=True))
            if size != sizes[name]
        ]
        found.append(index(x, dict.fromkeys(thin, 0)) if thin else x)
        texts.append("".join(n for axis, n in enumerate(text) if axis not in thin))
    return texts, found


def _diagonals(x: Any, text: str) -> tuple[Any, str]:
    """An index that stands twice in one operand takes the diagonal."""
    while len(set(text)) < len(text):
        name = next(name for name in text if text.count(name) > 1)
        i = text.index(name)
        j = text.index(name, i + 1)
        rest = [k for k in range(len(text)) if k not in {i, j}]
        shape = shape_of(x)
        n = shape[i]
        lead = [shape[k] for k in rest]
        flat = reshape(transpose(x, (*rest, i, j)), (*lead, n * n))
        x = index(flat, {len(rest): (0, n, n + 1)})
        text = "".join(text[k] for k in rest) + name
    return x, text
