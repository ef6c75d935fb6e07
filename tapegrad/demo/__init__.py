"""The demonstration: a certified fit, from function to native code. Floor 12.

from tapegrad import demo

report = demo.run()
assert report.ok
"""

from tapegrad.demo.figures import Check, Report, Timing, thurber
from tapegrad.demo.nist import (
    Fit,
    Model,
    Problem,
    data_folder,
    fit,
    matching_digits,
    read_problem,
)
from tapegrad.demo.show import run

__all__ = [
    "Check",
    "Fit",
    "Model",
    "Problem",
    "Report",
    "Timing",
    "data_folder",
    "fit",
    "matching_digits",
    "read_problem",
    "run",
    "thurber",
]
