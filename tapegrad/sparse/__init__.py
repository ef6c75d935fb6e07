"""Sparse derivatives: pattern, colouring, compressed sweeps. Floor 9."""

from __future__ import annotations

from tapegrad.sparse.derivatives import Sparse, sparse_hessian, sparse_jacobian

__all__ = ["Sparse", "sparse_hessian", "sparse_jacobian"]
