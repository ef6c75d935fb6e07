"""Verification: rows proved by SymPy, judged by mpmath, tiers compared. Floor 10."""

from tapegrad.proof.gradient import check_gradient
from tapegrad.proof.gradientreport import GradientReport
from tapegrad.proof.report import Report, Row
from tapegrad.proof.rounding import rounding_error
from tapegrad.proof.roundingreport import RoundingReport
from tapegrad.proof.verify import verify

__all__ = [
    "GradientReport",
    "Report",
    "RoundingReport",
    "Row",
    "check_gradient",
    "rounding_error",
    "verify",
]
