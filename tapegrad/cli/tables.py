"""Points in files: CSV, one a row, and NPY. Floor 13.

What is no number is named with its line and column; an array's size is compared with
the file's before anything is allocated, and pickles are not opened.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tapegrad.errors import ParseError


@dataclass(frozen=True, slots=True)
class Row:
    """A row of numbers.

    Args:
        names: names of the numbers, or none.
        numbers: the numbers, dimensionless.
        where: file and line.
    """

    names: Sequence[str]
    numbers: Sequence[float]
    where: str


def rows_of(path: Path, expected: Sequence[str] | None = None) -> list[Row]:
    """The points of a CSV file, at least one.

    Args:
        path: the file; its first row may be a header of names. Empty lines are passed
            over.
        expected: the names of the numbers in order, when they are known. A header may
            give them in another order; without a header, numbers are in this one.

    Raises:
        ParseError: what is wrong, with line and column.
        OSError: the file cannot be read.
    """
    names: Sequence[str] = ()
    order: Sequence[int] | None = None
    found: list[Row] = []
    for line, cells in _lines(path):
        where = f"{path}:{line}"
        if not found and not names and not any(map(_is_number, cells)):
            names, order = _header(cells, expected, where)
            continue
        width = len(names) or len(expected or cells)
        if found and expected is None:
            width = len(found[0].numbers)
        if len(cells) != width:
            _wrong(where, f"this row has {len(cells)} cells, and {width} are needed")
        numbers = [_number(cell, where, place) for place, cell in enumerate(cells, 1)]
        if order is not None:
            numbers = [numbers[place] for place in order]
        found.append(Row(names if expected is None else (), numbers, where))
    if not found:
        _wrong(str(path), "the file holds no points; write one a row, as in 1.2,0.7")
    return found


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not empty."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
        except csv.Error as problem:
            _wrong(f"{path}:{reader.line_num}", f"this is no CSV: {problem}")
        except UnicodeDecodeError as problem:
            _wrong(
                f"{path}:{reader.line_num + 1}", f"this is no text: {problem.reason}"
            )


def _float(cell: str) -> float:
    """A float; ValueError for Python's ``1_000``, which other programs do not write."""
    return float(cell if "_" not in cell else "")


def _is_number(cell: str) -> bool:
    try:
        _float(cell)
    except ValueError:
        return False
    return True


def _header(
    cells: Sequence[str], expected: Sequence[str] | None, where: str
) -> tuple[list[str], list[int] | None]:
    """The names, and the places of the expected ones among them."""
    names = [cell.strip() for cell in cells]
    if len(set(names)) != len(names):
        _wrong(where, f"a name stands twice in the header {', '.join(names)}")
    if expected is None:
        for place, name in enumerate(names, 1):
            if not name.isidentifier():
                _wrong(where, f"column {place}: {name!r} is no number and no name")
        return names, None
    for place, name in enumerate(names, 1):
        if name not in expected:
            known = ", ".join(expected[:20])
            what = f"{name!r} is no number and no name of an input ({known})"
            _wrong(where, f"column {place}: {what}")
    if missing := [name for name in expected if name not in names]:
        _wrong(where, f"the header lacks {', '.join(missing[:20])}")
    return names, [names.index(name) for name in expected]


def _number(cell: str, where: str, column: int) -> float:
    try:
        return _float(cell)
    except ValueError:
        what = repr(cell) if cell.strip() else "an empty cell"
        _wrong(where, f"column {column}: {what} is no number")


def _wrong(where: str, what: str) -> NoReturn:
    msg = f"{where}: {what}"
    raise ParseError(msg)


def array_of(path: Path) -> npt.NDArray[Any]:
    """The array of an NPY file.

    Raises:
        ParseError: no NPY file, a truncated one, or one that does not hold numbers.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read: Any = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        except (ValueError, EOFError) as problem:
            _wrong(str(path), f"this is no NPY file: {str(problem).splitlines()[0]}")
        if dtype.kind not in "fiub":
            _wrong(str(path), f"the array is of dtype {dtype}, not of numbers")
        size = math.prod(shape) * dtype.itemsize
        there = os.fstat(file.fileno()).st_size - file.tell()
        if there < size or any(extent < 0 for extent in shape):
            what = (
                f"an array of shape {shape} takes {size} bytes, and {there} are there"
            )
            _wrong(str(path), f"the file is truncated: {what}")
        file.seek(0)
        array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    if array.dtype == np.float16 or array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
