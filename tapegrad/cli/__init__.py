"""The command line, `tapegrad` or `python -m tapegrad`. Floor 13.

``app`` is the program; ``tapes``, ``checks``, ``commands``, ``caching`` and
``exporting`` hold its commands; ``points`` and ``tables`` read what they are told:
targets, points, files of points.
"""

from tapegrad.cli import caching, checks, commands, exporting, tapes
from tapegrad.cli.app import app, main

__all__ = ["app", "caching", "checks", "commands", "exporting", "main", "tapes"]
