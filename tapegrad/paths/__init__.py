"""Functions recorded once for each path of their control flow. Floor 10."""

from tapegrad.paths.cache import CacheInfo, PathsWarning
from tapegrad.paths.functions import Function, function
from tapegrad.paths.tree import Path

__all__ = ["CacheInfo", "Function", "Path", "PathsWarning", "function"]
