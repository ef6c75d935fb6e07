"""What planted faults in the lowering showed to be tested nowhere else."""

from __future__ import annotations

import pytest

from tapegrad.native import engine


@pytest.mark.parametrize("call", [*engine.MEMORY, engine.MALLOC, engine.FREE])
def test_what_writes_memory_is_not_declared_pure(call):
    assert engine.PURE not in call.declared()
    assert engine.PURE not in call.through_cell()
    pure = engine.Outside(call.name, call.gives, call.takes, pure=True)
    assert engine.PURE in pure.declared()
    assert engine.PURE in pure.through_cell()
