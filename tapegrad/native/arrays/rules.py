"""Where the nodes of rows of whole arrays are registered. Floor 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


def rule(f: Rule) -> Rule:
    """Register the nodes of the row that the function is named after."""
    RULES[f.__name__.strip("_")] = f
    return f
