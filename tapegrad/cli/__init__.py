"""The command line, `tapegrad` or `python -m tapegrad`. Floor 13.

``commands`` holds the commands, ``points`` what they are told: targets and points.
"""

from tapegrad.cli.commands import app, main

__all__ = ["app", "main"]
