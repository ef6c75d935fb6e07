"""A function on a tape whose loops stay as recorded, for figures beside the default."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def recorded(f: Callable[..., Any], *args: Any) -> Any:
    """The tape of a function, every step by itself."""
    import tapegrad as tg

    # where ``record`` does not know the word, it never finds loops
    knows = "roll" in inspect.signature(tg.record).parameters
    return tg.record(f, *args, **({"roll": False} if knows else {}))
