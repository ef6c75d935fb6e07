"""Every part of native code stands in the architecture page's table of rooms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_each_part_of_native_code_is_in_the_table(root: Path) -> None:
    page = (root / "docs/architecture.md").read_text(encoding="utf-8")
    start = page.index("| room in `native/` |")
    table = page[start : page.index("\n\n", start)]
    rooms = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = [name for room in rooms for name in re.findall(r"`([^`]+)`", room)]
    folder = root / "tapegrad/native"
    there = [path.name for path in folder.glob("[!_]*.py")]
    there += [f"{path.parent.name}/" for path in folder.glob("*/__init__.py")]
    assert sorted(named) == sorted(there)
