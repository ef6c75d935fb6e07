"""Functions with derivatives of their own: a pullback, or an equation. Floor 8."""

from tapegrad.custom.gradient import custom_gradient
from tapegrad.custom.implicit import implicit

__all__ = ["custom_gradient", "implicit"]
