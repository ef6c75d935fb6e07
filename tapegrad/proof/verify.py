"""The verifier: every row proved, judged and compared. Floor 10.

    proof      diff(f, x_i) - partial_i == 0, per open piece, order by order (SymPy)
    accuracy   value and partials against 50 digits and more (mpmath)
    orders     second and third derivatives against the same, scaled
    edges      what is expected at poles, kinks and ends of the domain, in every tier
    tiers      forward, recorded, mpmath, eager, native, arrays, float32
    arrays     rows of whole arrays at their samples (see ``arrays``)

See Griewank & Walther section 3.2 for the sweeps that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from tapegrad.proof import accuracy, agreement, arrays
from tapegrad.proof.onestep import lent
from tapegrad.proof.orders import higher
from tapegrad.proof.prover import Prover
from tapegrad.proof.report import Report, Row
from tapegrad.proof.symbolic import Claim, claims
from tapegrad.rules import TABLE, Primitive

# Points in single precision, and of higher orders: some of those of the first.
LEAST, MOST = 30, 500


def verify(
    primitives: str | Primitive | Iterable[str | Primitive] | None = None,
    orders: int = 2,
    points: int = 1000,
    *,
    seconds: float = 10.0,
) -> Report:
    """Verify rows of the table: proofs, accuracy, edges, agreement of the tiers.

    Args:
        primitives: names, or rows (in the table or not); by default all that have
            derivatives, and all of whole arrays.
        orders: highest order that is proved.
        points: points a row, spread by exponent over its domain.
        seconds: time limit of one proof; one that takes longer is *unproved*.

    Returns:
        The report; ``report.ok`` only if everything is proved or held.

    Raises:
        RecordError: no primitive of that name.

    Example:
        >>> import tapegrad as tg
        >>> report = tg.verify(["sin"], points=20)
        >>> [(row.check, row.status) for row in report][:2]
        [('order 1', 'proved'), ('order 2', 'proved')]
    """
    rows = [row for row in _rows(primitives) if row.kind != "structure"]
    # the proofs run in their process while the points are judged here
    with Prover(seconds) as prover, ExitStack() as table:
        rows = [table.enter_context(lent(row)) for row in rows]
        queue = ThreadPoolExecutor(1)
        try:
            begun = [Proofs(row, orders, prover, queue) for row in rows]
            judged = [_judged(row, points) for row in rows]
            found = zip(begun, judged, strict=True)
            return Report(tuple(row for p, more in found for row in [*p.rows(), *more]))
        finally:  # whoever interrupts does not wait for the proofs still queued
            queue.shutdown(cancel_futures=True)


def _rows(primitives: Any) -> list[Primitive]:
    if primitives is None:
        return list(filter(judgeable, TABLE))
    if isinstance(primitives, str | Primitive):
        primitives = [primitives]
    return [TABLE[name] if isinstance(name, str) else name for name in primitives]


def judgeable(row: Primitive) -> bool:
    """Whether there is a derivative, or an array, to judge."""
    return row.differentiable or row.whole


def _provable(row: Primitive) -> bool:
    return bool(row.differentiable and row.pieces and row.domain)


def _judged(row: Primitive, points: int) -> list[Row]:
    """The numeric checks of a row."""
    if row.whole:
        return [
            found
            for check, part in arrays.checks(row)
            for found in _refuted_if_raised(row, check, part)
        ]
    if not _provable(row):
        return []
    judged = accuracy.samples(row, points)
    parts: list[tuple[str, Callable[[], Iterable[Row]]]] = [
        ("accuracy", lambda: accuracy.accuracy(row, judged)),
        ("outside the domain", lambda: accuracy.domain(row, points)),
        ("edges", lambda: agreement.edges(row)),
        *agreement.tiers(row, judged),
        ("float32", lambda: agreement.single(row, max(points // 4, LEAST))),
        ("orders", lambda: higher(row, min(max(points // 10, LEAST), MOST))),
    ]
    found: list[Row] = []
    for check, part in parts:
        found += _refuted_if_raised(row, check, part)
    return found


def _refuted_if_raised(
    row: Primitive, check: str, part: Callable[[], Iterable[Row]]
) -> list[Row]:
    """A rule that cannot be evaluated is wrong; the report says how it failed."""
    try:
        return list(part())
    except Exception as problem:  # noqa: BLE001 - whatever a rule under test raises
        detail = f"{type(problem).__name__}: {problem}"
        return [Row(row.name, check, "refuted", detail=detail)]


class Proofs:
    """The proofs of one row: asked for at once, answered when they are wanted.

    Args:
        row: the row.
        orders: highest order that is proved.
        prover: decides.
        queue: runs the prover, one claim after the other.
    """

    def __init__(
        self, row: Primitive, orders: int, prover: Prover, queue: Executor
    ) -> None:
        self.row = row
        self.pending: list[tuple[Claim, Future[tuple[str, str]]]] = []
        self.broken = ""
        if row.whole:  # judged by numbers alone
            return
        if not row.differentiable:
            self.broken = "the row has no derivative to prove"
        elif not _provable(row):
            self.broken = "the row names no pieces, or no domain"
        else:
            try:
                for claim in claims(row, orders):
                    answer = queue.submit(prover.decide, claim.difference)
                    self.pending.append((claim, answer))
            except Exception as problem:  # noqa: BLE001 - whatever a rule under test raises
                self.broken = f"{type(problem).__name__}: {problem}"

    def rows(self) -> Iterator[Row]:
        """A row of the report for each kind of claim: "order 1", "order 2", "body"."""
        verdicts: dict[str, list[tuple[Claim, str, str]]] = {}
        for claim, answer in self.pending:
            verdicts.setdefault(claim.check, []).append((claim, *answer.result()))
        for check, those in sorted(verdicts.items(), key=lambda item: item[0][::-1]):
            yield _summed_up(self.row, check, those)
        if self.broken:
            yield Row(self.row.name, "claims", "unproved", detail=self.broken)


def _summed_up(row: Primitive, check: str, those: list[tuple[Claim, str, str]]) -> Row:
    for status in ("refuted", "unproved"):
        for claim, verdict, detail in those:
            if verdict == status:
                said = f"{claim.what}: {detail}"
                return Row(row.name, check, status, len(those), detail=said)
    how = dict.fromkeys(detail for _, _, detail in those)
    return Row(row.name, check, "proved", len(those), detail=", ".join(how))
