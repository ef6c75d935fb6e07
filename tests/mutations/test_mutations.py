"""The tool that plants faults, tested; and, thoroughly, the suite by that tool.

`test_no_fault_survives` is marked `deep`: it plants some 250 faults in a copy of the
package, about an hour on two cores.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

SOURCE = '''
"""A docstring with 1 number."""

LIMIT = 3


def slope(m, x, mask=None):
    """Another: a - b."""
    if x < LIMIT:
        raise ValueError(f"{x} is less than {LIMIT - 1}")
    total = m.where(m.less(x, 0), -x, x * x)
    total += (lambda y: y - 1)(x)
    return m.sum(total, mask=mask)
'''

WHERE = "m.where(m.less(x, 0), {}, {})"


@pytest.fixture
def tool(monkeypatch):
    """A module of the tool, by name: they stand beside each other, as scripts do."""
    monkeypatch.syspath_prepend(HERE)

    def load(name):
        return importlib.import_module(name)

    yield load
    for name in ("faults", "choose", "equivalent", "reach", "server", "run"):
        sys.modules.pop(name, None)


def planted(tool, **options):
    source = SOURCE.encode()
    return {
        fault.name.removeprefix("a.py::"): fault.planted(source).decode()
        for fault in tool("faults").faults("a.py", source, **options)
    }


def test_the_faults_of_a_small_file(tool):
    assert set(planted(tool)) == {
        "LIMIT number: 3 -> 4",
        "slope negated: x < LIMIT -> not (x < LIMIT)",
        "slope comparison: x < LIMIT -> x <= LIMIT",
        f"slope arms swapped: {WHERE.format('-x', 'x * x')} -> "
        + WHERE.format("x * x", "-x"),
        "slope arguments swapped: m.less(x, 0) -> m.less(0, x)",
        "slope number: 0 -> 1",
        "slope sign: -x -> x",
        "slope sign: x * x -> x / x",
        "slope term dropped: x * x -> x",
        "slope removed: total += (lambda y: y - 1)(x) -> pass",
        "slope sign: y - 1 -> y + 1",
        "slope operands swapped: y - 1 -> 1 - y",
        "slope term dropped: y - 1 -> y",
        "slope term dropped: y - 1 -> 1",
        "slope number: 1 -> 2",
        "slope mask dropped: mask -> None",
    }


def test_a_fault_changes_its_own_line_and_compiles(tool):
    lines = SOURCE.splitlines()
    for name, text in planted(tool).items():
        compile(text, name, "exec")
        changed = [
            one
            for one, other in zip(lines, text.splitlines(), strict=True)
            if one != other
        ]
        assert len(changed) == 1, name
        assert "raise" not in changed[0]
        assert '"""' not in changed[0]


def test_instructions_change_in_llvm_text_alone(tool):
    source = b'def add(a, b):\n    return f"fadd double {a}, {b}"\n'
    faults = tool("faults").faults
    assert not faults("a.py", source)
    (fault,) = faults("a.py", source, llvm=True)
    assert fault.planted(source) == source.replace(b"fadd", b"fsub")


def test_statements_of_several_lines_keep_their_length(tool):
    source = b"x = f(\n    1\n    + 2,\n)\ny = 3\n"
    for fault in tool("faults").faults("a.py", source):
        assert fault.planted(source).count(b"\n") == source.count(b"\n")


def test_the_choice_is_the_same_each_time_and_spread_over_the_modules(tool, root):
    choose = tool("choose")
    first = choose.choose(root, 60)
    assert first == choose.choose(root, 60)
    assert first != choose.choose(root, 60, seed="another")
    names = [choice.fault.name for choice in first]
    assert len(set(names)) == len(names)
    assert {choice.area for choice in first} == set(choose.AREAS)
    paths = {choice.fault.path for choice in first}
    for name in (
        "sweeps",
        "passing",
        "bulk",
        "passes",
        "native/lowering",
        "rules/gamma",
    ):
        assert any(path.startswith(f"tapegrad/{name}") for path in paths), name


@pytest.mark.deep  # a rewritten line need not fail the suite of every day
def test_what_is_left_out_is_still_there_and_has_a_reason(tool, root):
    choose, equivalent = tool("choose"), tool("equivalent")
    every = set()
    for area in choose.AREAS.values():
        for pattern in area.files:
            for path in (root / "tapegrad").glob(pattern):
                name = path.relative_to(root).as_posix()
                llvm = "/native/" in name
                found = tool("faults").faults(name, path.read_bytes(), llvm=llvm)
                every |= {fault.name for fault in found}
    stale = set(equivalent.EQUIVALENT) - every
    assert not stale, "no such fault any more; take the line out"
    assert all(equivalent.EQUIVALENT.values())
    for path, word in equivalent.QUIET:
        assert word in (root / "tapegrad" / path).read_text(), (path, word)


TESTS = """
def test_sum():
    import package
    assert package.add(1, 2) == 3

def test_that_never_ends():
    import package
    while package.add(1, 1) != 2:
        pass

def test_that_kills_its_process():
    import os, package
    if package.add(1, 1) != 2:
        os.abort()
"""


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["test_sum"], "failed"),
        (["test_that_never_ends", "test_sum"], "hung"),
        (["test_that_kills_its_process", "test_sum"], "crashed"),
    ],
)
def test_a_fault_is_seen_however_it_shows(tmp_path, names, what):
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    script = textwrap.dedent(
        f"""
        import sys, pathlib
        import server
        tree = pathlib.Path({str(tmp_path)!r})
        for text in ("a + b", "a - b"):
            (tree / "package.py").write_text(f"def add(a, b):\\n    return {{text}}\\n")
            names = ["test_it.py::" + name for name in {names!r}]
            found = server.run(tree, names, 5)
            print(found.what, found.by, found.ran, sep="|")
        """
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=True,
    )
    sound, faulty = (line.split("|") for line in done.stdout.splitlines())
    assert sound == ["passed", "", str(len(names))]
    assert faulty[0] == what
    assert faulty[1].startswith(f"test_it.py::{names[0]}")
    assert faulty[2] == "1"


@pytest.mark.deep
def test_no_fault_survives(capfd):
    command = [sys.executable, str(HERE / "run.py"), "--jobs", str(os.cpu_count() or 1)]
    with capfd.disabled():  # an hour without a word would look like a hang
        done = subprocess.run(command, check=False)
    assert done.returncode == 0, "survivors: see the list above, and docs/testing.md"
