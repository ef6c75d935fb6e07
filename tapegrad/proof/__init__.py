"""Verification: rows proved by SymPy, judged by mpmath, tiers compared. Floor 10."""

from tapegrad.proof.gradient import GradientReport, check_gradient
from tapegrad.proof.report import Report, Row
from tapegrad.proof.verify import verify

__all__ = ["GradientReport", "Report", "Row", "check_gradient", "verify"]
