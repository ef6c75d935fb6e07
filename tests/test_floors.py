"""Imports go down, never up or sideways, and `import tapegrad` stays light.

Every module of the package stands on a floor. It may import its own package and the
floors below; siblings on one floor do not know each other. The doors are exempt: the
methods of `Tape` and `Value` that belong to an upper floor import it when called, and
those methods stand together in the two files named in `DOORS`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# The longest matching prefix counts. "" is the package itself, `import tapegrad`.
FLOORS = {
    "errors": 0,
    "pages": 0,
    "rules": 1,
    "tape": 2,
    "passes": 4,
    "passing": 3,
    "arriving": 3,
    "linearity": 3,
    "masks": 3,
    "programs": 4,
    "readings": 3,
    "real": 3,
    "sweeps": 3,
    "ambient": 4,
    "bulk": 5,
    "short": 5,
    "pulls": 4,
    "nested": 5,
    "doors": 5,
    "value": 5,
    "handle": 5,
    "apply": 5,
    "dtypes": 5,
    "operations": 6,
    "recorder": 6,
    "arrays": 7,
    "recording": 7,
    "sums": 7,
    "native.cache": 4,
    "native.locks": 4,
    "native.objects": 4,
    "native.engine": 5,
    "native.reading": 5,
    "native.accumulate": 6,
    "native.machine": 6,
    "derivatives": 7,
    "eager": 7,
    "expanding": 7,
    "fission": 7,
    "lifting": 7,
    "spreading": 7,
    "binding": 7,
    "calls": 8,
    "custom": 8,
    "jacobians": 8,
    "unrolling": 8,
    "loops": 9,
    "native": 9,
    "show": 9,
    "sparse": 9,
    "symbolic": 9,
    "batching": 10,
    "paths": 10,
    "primitives": 10,
    "rolling": 10,
    "proof": 10,
    "series": 10,
    "": 11,
    "transforms": 11,
    "bench": 12,
    "demo": 12,
    "nn": 12,
    "testing": 12,
    "cli": 13,
    "__main__": 14,
}

# Modules that stand together though they are files of their own.
TOGETHER = {
    "doors": "value",
    "handle": "value",
    "apply": "value",
    "dtypes": "value",
    "masks": "sweeps",
    "native.reading": "native.engine",
    "passing": "sweeps",
    "arriving": "sweeps",
    "nested": "value",
    "fission": "expanding",
    "lifting": "expanding",
    "spreading": "expanding",
    "jacobians": "calls",
}

DOORS = {"tape.doors", "doors"}

HEAVY = ("graphviz", "llvmlite", "mpmath", "optree", "rich", "scipy", "sympy", "typer")


class Import(NamedTuple):
    """One import of the package by itself: where it stands and what it names."""

    module: str
    line: int
    target: str


def place_of(module: str) -> str:
    """The key of `FLOORS` that a module (named without `tapegrad.`) belongs to."""
    parts = module.split(".")
    while parts and ".".join(parts) not in FLOORS:
        parts.pop()
    place = ".".join(parts)
    if not place and module:
        message = f"tapegrad/{module.replace('.', '/')} has no floor: name it in FLOORS"
        raise AssertionError(message)
    return place


def modules_of(package: Path) -> dict[str, Path]:
    """Every module under `package`, by its name without `tapegrad.`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts).removesuffix("__init__").rstrip(".")] = path
    return found


def imports_of(name: str, path: Path, modules: dict[str, Path]) -> list[Import]:
    """Each import, at any depth of the file, of something inside the package."""
    package = ["tapegrad", *name.split(".")] if name else ["tapegrad"]
    if path.name != "__init__.py":
        package.pop()
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            # `from tapegrad import sweeps` names a module; `from tapegrad import grad`
            # names a thing of the package itself.
            inner = [f"{base}.{alias.name}" for alias in node.names]
            named = [n if n.partition(".")[2] in modules else base for n in inner]
        else:
            continue
        found += [
            Import(name, node.lineno, target.partition(".")[2])
            for target in sorted({*named})
            if target.split(".")[0] == "tapegrad"
        ]
    return found


def breaches(package: Path) -> list[str]:
    """Each import that goes up or sideways, as `file:line: reason`."""
    modules = modules_of(package)
    found = []
    for name, path in modules.items():
        here = place_of(name)
        if name in DOORS or not name:
            continue  # the package's own face re-exports from every floor
        for item in imports_of(name, path, modules):
            there = place_of(item.target)
            same = TOGETHER.get(here, here) == TOGETHER.get(there, there)
            if not same and FLOORS[there] >= FLOORS[here]:
                found.append(
                    f"{path.name}:{item.line}: {name} (floor {FLOORS[here]}) imports "
                    f"{item.target or 'tapegrad'} (floor {FLOORS[there]})"
                )
    return found


def test_imports_go_down(root: Path) -> None:
    assert breaches(root / "tapegrad") == []


def test_each_module_states_its_floor(root: Path) -> None:
    """What a module says of itself is what the table says of it."""
    modules, stated = modules_of(root / "tapegrad"), {}
    for name, path in modules.items():
        head = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found = re.search(r"\bFloor (\d+)", head)
        stated[name] = int(found[1]) if found else None
    assert stated == {name: FLOORS[place_of(name)] for name in modules}


def test_the_architecture_page_has_the_same_table(root: Path) -> None:
    page = (root / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", page, flags=re.MULTILINE)
    shown = {
        name.removesuffix(".py").strip("/").replace("/", "."): int(floor)
        for floor, names in rows
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert shown == {name or "tapegrad": floor for name, floor in FLOORS.items()}


def test_the_tree_is_seen(root: Path) -> None:
    modules = modules_of(root / "tapegrad")
    assert {"", "errors", "sweeps", "rules", "tape", "tape.doors", "doors"} <= {
        *modules
    }
    below_nn = imports_of("nn.layers", modules["nn.layers"], modules)
    assert below_nn, "no import found in nn: the reader of imports sees nothing"


def test_doors_import_only_when_called(root: Path) -> None:
    """A door that imported at module level would load the upper floor at once."""
    modules = modules_of(root / "tapegrad")
    for name in DOORS:
        tree = ast.parse(modules[name].read_text(encoding="utf-8"))
        top = ast.Module(
            [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []
        )
        at_once = {node.lineno for node in ast.walk(top) if hasattr(node, "lineno")}
        up = [
            item
            for item in imports_of(name, modules[name], modules)
            if item.line in at_once and FLOORS[place_of(item.target)] > FLOORS["value"]
        ]
        assert up == []


def test_no_import_in_disguise(root: Path) -> None:
    """`importlib` would hide an upward import from the test above."""
    for name, path in modules_of(root / "tapegrad").items():
        if name:  # the package's face loads its heavy half by name, on first use
            text = path.read_text(encoding="utf-8")
            assert "import_module" not in text, name
            assert "__import__(" not in text, name


@pytest.mark.parametrize(
    ("module", "line", "caught"),
    [
        ("rules/core.py", "from tapegrad.sweeps import replay", "sweeps"),
        ("rules/core.py", "from tapegrad import sweeps", "sweeps"),
        ("rules/core.py", "import tapegrad.sweeps", "sweeps"),
        ("rules/core.py", "from ..sweeps import replay", "sweeps"),
        ("rules/core.py", "from .. import sweeps", "sweeps"),
        ("rules/core.py", "def f():\n    from tapegrad.sweeps import replay", "sweeps"),
        ("rules/core.py", "from tapegrad import Value", "tapegrad"),
        ("readings/numpy.py", "from tapegrad.sweeps import replay", "sweeps"),
        ("sweeps.py", "import tapegrad.readings.numpy", "readings.numpy"),
    ],
)
def test_a_planted_import_is_caught(
    tmp_path: Path, module: str, line: str, caught: str
) -> None:
    for name in ("__init__", "sweeps", "rules/__init__", "readings/__init__"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("", encoding="utf-8")
    (tmp_path / "readings/numpy.py").write_text("", encoding="utf-8")
    assert breaches(tmp_path) == []
    (tmp_path / module).write_text(f"import math\n{line}\n", encoding="utf-8")
    (report,) = breaches(tmp_path)
    assert f"imports {caught} (floor" in report


def test_a_lower_import_is_fine(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "rules/core.py").write_text("from . import rows", encoding="utf-8")
    (tmp_path / "rules/rows.py").write_text("import math", encoding="utf-8")
    (tmp_path / "sweeps.py").write_text("from .rules import core", encoding="utf-8")
    assert breaches(tmp_path) == []


def test_a_module_without_a_floor_is_named(tmp_path: Path) -> None:
    (tmp_path / "attic.py").write_text("", encoding="utf-8")
    with pytest.raises(AssertionError, match="tapegrad/attic has no floor"):
        breaches(tmp_path)


def loaded_by(statement: str, root: Path) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `statement`."""
    show = "print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{statement}\n{show}"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return {*done.stdout.split()}


def test_import_loads_nothing_heavy(root: Path) -> None:
    loaded = loaded_by("import tapegrad", root)
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_eager_use_loads_nothing_heavy(root: Path) -> None:
    use = "import tapegrad as tg; v = tg.Value(2.0); (v * v).backward()"
    assert loaded_by(use, root).isdisjoint(HEAVY)


def test_the_light_test_can_fail(root: Path) -> None:
    assert "sympy" in loaded_by("import tapegrad, sympy", root)
