"""What planted faults in the rules showed to be tested nowhere else."""

from __future__ import annotations

import importlib
import pkgutil

from tapegrad import rules
from tapegrad.rules import Primitive


def own_rows():
    """The rows of the package; other tests may have put theirs into the table."""
    for module in pkgutil.iter_modules(rules.__path__, "tapegrad.rules."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Primitive):
                yield value


def test_which_rows_are_judged_leniently():
    # helpers below the normal floats, sums that cancel near their zeros, ulps: one more
    # on these lists is a decision, never a slip
    helpers = {row.name for row in own_rows() if row.helper}
    assert helpers == {
        *("direction", "gaussian", "inversion", "polygamma"),
        *("sech2", "share", "sinc_slope"),
    }
    cancels = {row.name for row in own_rows() if row.cancels}
    assert cancels == {
        *("digamma", "inversion", "lgamma", "logaddexp", "polygamma"),
        *("sinc", "sinc_slope"),
    }
