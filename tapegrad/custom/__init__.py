"""Functions with derivatives of their own: a pullback, or an equation. Floor 8."""

from tapegrad.custom.gradient import custom_gradient

__all__ = ["custom_gradient"]
