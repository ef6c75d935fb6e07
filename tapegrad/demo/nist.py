"""Reference problems with certified solutions, and fits to them. Floor 12.

    min over b of   sum_i (model(x_i, b) - y_i)^2

for the nonlinear-regression problems of NIST's Statistical Reference Datasets (StRD),
whose solutions are certified to 11 digits. Imports the public surface of tapegrad
only; SciPy is loaded when a fit needs it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.errors import ShapeError

# A model takes x and then its parameters; floats, Values and symbols alike.
Model = Callable[..., Any]

# NIST certifies 11 significant digits, so more cannot be claimed.
CERTIFIED_DIGITS = 11.0
WANTED_DIGITS = 6.0


@dataclass(frozen=True, slots=True)
class Problem:
    """One reference problem, as its file states it.

    Attributes:
        name: as NIST names it.
        x: predictor, one float an observation.
        y: response, one float an observation.
        starts: the two starting points.
        certified: the certified parameters, 11 digits.
        residual_sum: the certified residual sum of squares.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    starts: tuple[tuple[float, ...], ...]
    certified: tuple[float, ...]
    residual_sum: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit found, beside what is certified.

    Attributes:
        problem: the problem that was fitted.
        start: number of the starting point, 0 or 1.
        found: the parameters.
        residual_sum: sum of squares at ``found``.
        evaluations: how often the residuals were replayed.
    """

    problem: Problem
    start: int
    found: tuple[float, ...]
    residual_sum: float
    evaluations: int

    @property
    def digits(self) -> tuple[float, ...]:
        """Matching digits of each parameter: -log10 of the relative error."""
        pairs = zip(self.found, self.problem.certified, strict=True)
        return tuple(matching_digits(found, sure) for found, sure in pairs)


def data_folder() -> Path:
    """Return the folder with the reference data: packaged, or the checkout's own."""
    here = Path(__file__).resolve().parents[1]
    packaged = here / "data"
    return packaged if packaged.is_dir() else here.parent / "examples" / "data"


def read_problem(source: str | Path) -> Problem:
    """Read a problem: a file, or a name such as "Thurber".

    Raises:
        ShapeError: when the file does not hold what its own header announces.
        FileNotFoundError: when there is no such file.
    """
    path = Path(source)
    if not path.suffix:
        path = data_folder() / f"{source}.dat"
    text = path.read_text(encoding="ascii")
    parameters = [
        [float(word) for word in line.split()]
        for line in re.findall(r"^ *b\d+ *= *(.+)$", text, flags=re.MULTILINE)
    ]
    # The data come last, below the last line that starts with "Data:".
    _, _, table = text.rpartition("\nData:")
    rows = [
        [float(word) for word in line.split()]
        for line in table.splitlines()[1:]
        if line.strip()
    ]
    announced = re.search(r"Number of Observations: *(\d+)", text)
    total = re.search(r"Residual Sum of Squares: *(\S+)", text)
    if announced is None or total is None or not parameters:
        msg = f"{path} is not a nonlinear-regression file of NIST's StRD"
        raise ShapeError(msg)
    # Two starts, the certified value and its standard deviation; y and one x.
    widths = {len(row) for row in parameters} == {4} and {len(r) for r in rows} == {2}
    if len(rows) != int(announced[1]) or not widths:
        msg = (
            f"{path} announces {announced[1]} observations of (y, x) and holds "
            f"{len(rows)} rows; fetch the file again"
        )
        raise ShapeError(msg)
    first, second, certified, _ = zip(*parameters, strict=True)
    y, x = zip(*rows, strict=True)
    return Problem(path.stem, x, y, (first, second), certified, float(total[1]))


def matching_digits(found: float, certified: float) -> float:
    """Digits that agree: -log10(|found - certified| / |certified|), at most 11."""
    error = abs(found - certified) / abs(certified)
    if math.isnan(error):
        return -math.inf
    return min(CERTIFIED_DIGITS, -math.log10(error)) if error else CERTIFIED_DIGITS


def fit(problem: Problem, model: Model, start: int = 0) -> Fit:
    """Fit a model by least squares with the tape's exact Jacobian.

    Levenberg-Marquardt (MINPACK through SciPy), scaled by the Jacobian's columns
    because the parameters differ by many orders of magnitude; then Gauss-Newton steps.

    Args:
        problem: data, starting points and certified values.
        model: ``model(x, b1, ..., bn)``, dimensionless.
        start: which starting point, 0 or 1.
    """
    from scipy.optimize import least_squares

    def residuals(*b: Any) -> list[Any]:
        pairs = zip(problem.x, problem.y, strict=True)
        return [model(x, *b) - y for x, y in pairs]

    tape = tg.record(residuals, *problem.starts[start])
    calls = 0

    def replay(b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        nonlocal calls
        calls += 1
        return np.array(tape(*b.tolist()), dtype=float)

    def jacobian(b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.array(tape.jacobian(*b.tolist()), dtype=float)

    tight = 1e-15
    b = least_squares(
        replay,
        np.array(problem.starts[start]),
        jac=jacobian,
        method="lm",
        x_scale="jac",
        ftol=tight,
        xtol=tight,
        gtol=tight,
        max_nfev=5000,
    ).x
    # The sum of squares is flat at its minimum: comparing sums can place b to half the
    # digits of a float only. The root of J^T r is not flat, so go on with its step.
    for _ in range(3):
        matrix = jacobian(b)
        scale = np.linalg.norm(matrix, axis=0)
        b = b - np.linalg.lstsq(matrix / scale, replay(b))[0] / scale
    residual_sum = float(np.sum(replay(b) ** 2))
    return Fit(problem, start, tuple(b.tolist()), residual_sum, calls)
