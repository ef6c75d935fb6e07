"""The verifier: every row proved, judged and compared. Floor 10.

    proof      diff(f, x_i) - partial_i == 0, per open piece, order by order (SymPy)
    accuracy   value and partials against 50 digits and more (mpmath)
    edges      what is expected at poles, kinks and ends of the domain, in every tier
    tiers      forward, reverse, recorded, mpmath and native against each other

See Griewank & Walther section 3.2 for the sweeps that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tapegrad.proof import accuracy, agreement
from tapegrad.proof.prover import Prover
from tapegrad.proof.report import Report, Row
from tapegrad.proof.symbolic import Claim, claims
from tapegrad.rules import TABLE, Primitive


def verify(
    primitives: str | Primitive | Iterable[str | Primitive] | None = None,
    orders: int = 2,
    points: int = 1000,
    *,
    seconds: float = 10.0,
) -> Report:
    """Verify rows of the table: proofs, accuracy, edges, agreement of the tiers.

    Args:
        primitives: names, or rows (in the table or not); all that have derivatives by
            default.
        orders: highest order that is proved.
        points: points a row, spread by exponent over its domain.
        seconds: time limit of one proof; one that takes longer is *unproved*.

    Returns:
        The report; ``report.ok`` only if everything is proved or held.

    Raises:
        RecordError: no primitive of that name.

    Example:
        >>> import tapegrad as tg
        >>> print(tg.verify(["sin"], points=20).summary().split(":")[0])
        1 primitives, 12 checks
    """
    rows = [row for row in _rows(primitives) if row.kind != "structure"]
    found: list[Row] = []
    with Prover(seconds) as prover:
        for row in rows:
            found += _verified(row, prover, orders, points)
    return Report(tuple(found))


def _rows(primitives: Any) -> list[Primitive]:
    if primitives is None:
        return [row for row in TABLE if row.differentiable]
    if isinstance(primitives, str | Primitive):
        primitives = [primitives]
    return [TABLE[name] if isinstance(name, str) else name for name in primitives]


def _verified(row: Primitive, prover: Prover, orders: int, points: int) -> list[Row]:
    if not row.differentiable:
        detail = "the row has no derivative to prove"
        return [Row(row.name, "partials", "unproved", detail=detail)]
    if not (row.pieces and row.domain):
        detail = "the row names no pieces, or no domain; nothing can be proved of it"
        return [Row(row.name, "pieces", "unproved", detail=detail)]
    found = list(proofs(row, prover, orders))
    judged = accuracy.samples(row, points)
    parts: list[tuple[str, Callable[[], Iterable[Row]]]] = [
        ("accuracy", lambda: accuracy.accuracy(row, judged)),
        ("outside the domain", lambda: accuracy.domain(row, points)),
        ("edges", lambda: agreement.edges(row)),
        ("tiers", lambda: agreement.agreement(row, judged)),
    ]
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


def proofs(row: Primitive, prover: Prover, orders: int) -> Iterator[Row]:
    """A row of the report for each kind of claim: "order 1", "order 2", "body"."""
    verdicts: dict[str, list[tuple[Claim, str, str]]] = {}
    broken = ""
    try:
        for claim in claims(row, orders):
            status, detail = prover.decide(claim.difference)
            verdicts.setdefault(claim.check, []).append((claim, status, detail))
    except Exception as problem:  # noqa: BLE001 - whatever a rule under test raises
        broken = f"{type(problem).__name__}: {problem}"
    for check, those in sorted(verdicts.items(), key=lambda item: item[0][::-1]):
        yield _summed_up(row, check, those)
    if broken:
        yield Row(row.name, "closed form", "unproved", detail=broken)


def _summed_up(row: Primitive, check: str, those: list[tuple[Claim, str, str]]) -> Row:
    for status in ("refuted", "unproved"):
        for claim, verdict, detail in those:
            if verdict == status:
                said = f"{claim.what}: {detail}"
                return Row(row.name, check, status, len(those), detail=said)
    how = dict.fromkeys(detail for _, _, detail in those)
    return Row(row.name, check, "proved", len(those), detail=", ".join(how))
