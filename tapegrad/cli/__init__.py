"""The command line, `tapegrad` or `python -m tapegrad`. Floor 13.

``app`` is the program, ``tapes``, ``checks`` and ``commands`` hold its commands;
``points`` and ``tables`` read what they are told: targets, points, files of points.
"""

from tapegrad.cli import checks, commands, tapes
from tapegrad.cli.app import app, main

__all__ = ["app", "checks", "commands", "main", "tapes"]
