"""The README and the docs run: every block is executed and its output compared.

* A `python` block runs, in order, in one namespace a page. Lines with `>>>` are a
  session whose output is compared; a block without them is a script that asserts.
* A `console` block's lines `$ tapegrad ...` run as commands, and output that is shown
  is compared. `...` stands for any text in both.
* A python block that opens with `# name.py` is also saved under that name where the
  page's commands run.
* A `py` block on a page `coming_from_x.md` is a program for the library x. These run,
  in a namespace of their own, where x is installed; elsewhere they must be Python.
* A block in any other language is listed in `READ_ONLY`, or the page fails: a
  misspelt language must not slip by unrun.
"""

from __future__ import annotations

import doctest
import importlib.util
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import tapegrad
from tapegrad.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

PYTHON = {"python", "pycon"}
READ_ONLY = {"text", "toml", "{math}", "{toctree}"}
# Blocks whose text Sphinx itself runs or checks; `docs/` holds few of them.
CHECKED_BY_SPHINX = re.compile(r"\{(auto\w+|eval-rst|include|note|tip|warning)\}")
# Shown commands that set up an environment: the Makefile's own job, not a page's.
SET_UP = {"make", "pip", "git"}

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|:{3,})(?P<info>.*)$")


# A float written out in full: two libms may differ in the last units of it.
LONG_FLOAT = re.compile(r"\d+\.\d{12,}(?:e[+-]?\d+)?")
LAST_UNITS = 1e-13


class Checker(doctest.OutputChecker):
    """Output as shown, but for the last units of floats that are written in full."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Whether the output is the one that the page shows."""
        shown = LONG_FLOAT.findall(want)

        def as_shown(found: re.Match[str]) -> str:
            near = (
                text
                for text in shown
                if math.isclose(float(text), float(found[0]), rel_tol=LAST_UNITS)
            )
            return next(near, found[0])

        got = LONG_FLOAT.sub(as_shown, got)
        return super().check_output(want, got, optionflags)


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line where the text starts."""

    language: str
    text: str
    line: int


class PageError(AssertionError):
    """A block of a page does not do what the page says; the message has file:line."""


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page; `{code-block} python` and its kin by language."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        at += 1
        if opening is None or not opening["info"].strip():
            continue
        indent, start = opening["indent"], at
        closing = indent + opening["marks"]
        while at < len(lines) and lines[at].rstrip() != closing:
            at += 1
        if at == len(lines):
            raise PageError(f"{page.name}:{start}: the block is never closed")
        words = opening["info"].split()
        body = [line.removeprefix(indent) for line in lines[start:at]]
        at += 1
        language = words[0]
        if language in {"{code-block}", "{code}", "{doctest}", "{testcode}"}:
            language = words[1] if len(words) > 1 else "python"
            while body and re.match(r":[\w-]+:", body[0]):  # directive options
                body.pop(0)
                start += 1
        yield Block(language, "\n".join(body) + "\n", start + 1)


def run_session(block: Block, page: Path, names: dict[str, Any]) -> None:
    """Run a block of `>>>` lines; raise where an output differs from the page."""
    test = doctest.DocTestParser().get_doctest(
        block.text, names, page.name, str(page), block.line - 1
    )
    report: list[str] = []
    runner = doctest.DocTestRunner(Checker(), optionflags=FLAGS, verbose=False)
    results = runner.run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    if results.failed:
        raise PageError("".join(report))


def run_script(block: Block, page: Path, names: dict[str, Any], where: Path) -> None:
    """Run a block without `>>>`; an error is reported at the page's own line."""
    first = block.text.partition("\n")[0]
    if named := re.fullmatch(r"# (\w+\.py)", first.strip()):
        (where / named[1]).write_text(block.text, encoding="utf-8")
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    try:
        exec(code, names)  # noqa: S102 - the page's own code is what is tested
    except Exception as error:
        raise PageError(f"{page.name}:{block.line}: {error!r}") from error


def run_console(block: Block, page: Path, where: Path) -> None:
    """Run the `$ tapegrad ...` lines and compare what is shown below each."""
    here = f"{page.name}:{block.line}"
    chunks = re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.MULTILINE)
    if chunks[0].strip() or len(chunks) == 1:
        raise PageError(f"{here}: a console block starts with a line `$ command`")
    for chunk in chunks[1:]:
        line, _, expected = chunk.partition("\n")
        command = shlex.split(line, comments=True)
        if command[0] in SET_UP:
            continue
        if command[0] != "tapegrad":
            raise PageError(f"{here}: only tapegrad's commands are run: {line}")
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=where,
            env=os.environ
            | {"COLUMNS": "88", "NO_COLOR": "1", "TERM": "dumb"}
            | {"PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PageError(
                f"{here}: `{line}` ended with {done.returncode}:\n{done.stderr}"
            )
        same = Checker().check_output(expected, done.stdout, FLAGS)
        if expected.strip() and not same:
            raise PageError(f"{here}: `{line}` printed\n{done.stdout}\nnot\n{expected}")


def run_theirs(block: Block, page: Path, names: dict[str, Any], where: Path) -> None:
    """Run a block for the library that a page `coming_from_x.md` is about."""
    prefix, _, library = page.stem.partition("coming_from_")
    if prefix or not library:
        raise PageError(f"{page.name}:{block.line}: a py block is another library's")
    session = re.search(r"^\s*>>> ", block.text, flags=re.MULTILINE) is not None
    if importlib.util.find_spec(library) is not None:
        if session:
            run_session(block, page, names)
        else:
            run_script(block, page, names, where)
    elif not session:
        compile(block.text, str(page), "exec")


def run_page(page: Path, where: Path) -> int:
    """Run every block of `page` with `where` as its directory; how many ran."""
    names: dict[str, Any] = {"__name__": "__main__"}
    theirs: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    for block in blocks_of(page):
        if block.language in READ_ONLY or CHECKED_BY_SPHINX.match(block.language):
            continue
        if block.language == "py":
            run_theirs(block, page, theirs, where)
        elif block.language == "console":
            run_console(block, page, where)
        elif block.language not in PYTHON:
            raise PageError(
                f"{page.name}:{block.line}: nothing runs {block.language!r} blocks"
            )
        elif re.search(r"^\s*>>> ", block.text, flags=re.MULTILINE):
            run_session(block, page, names)
        else:
            run_script(block, page, names, where)
        ran += 1
    return ran


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_page(page, tmp_path)
    shown = re.findall(
        r"^ *```(?:python|pycon|console)", page.read_text("utf-8"), re.MULTILINE
    )
    assert ran >= len(shown)


def test_pages_are_found() -> None:
    assert {"README.md", "quickstart.md", "tape.md", "edges.md"} <= {
        p.name for p in PAGES
    }


USE_OF_SEC = """
import numpy as np
import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.operations import install
from tapegrad.rules.primitive import row

install(row(SEC))
report = tg.verify(primitives=["sec"], points=20)
print(report.ok, flush=True)
v = tg.Value(0.5)
v.sec().backward()
tan, sec = np.tan(0.5), 1 / np.cos(0.5)
assert abs(v.grad - tan * sec) < 1e-15
second = tg.grad(tg.grad(lambda x: x.sec()))(0.5)
assert abs(second - (tan**2 * sec + sec**3)) < 1e-14
tape = tg.record(lambda x: x.sec(), 0.5)
assert str(tape.to_sympy(derivative=True)["x"]) == "tan(x)*sec(x)"
assert abs(tape.compile().gradient(0.5) - tan * sec) < 1e-15
x = np.linspace(-1.0, 1.0, 5)
slopes = tg.grad(lambda x: np.sum(x.sec()))(x)
assert np.allclose(slopes, np.tan(x) / np.cos(x), rtol=1e-15)
assert tg.from_bytes(tape.to_bytes()) == tape
"""


@pytest.mark.parametrize(
    ("partial", "verdict", "code"),
    [("(y * m.tan(x),)", "True", 0), ("(-y * m.tan(x),)", "False", 1)],
)
def test_the_row_of_contributing_is_all_it_takes(
    partial: str, verdict: str, code: int
) -> None:
    (row,) = [
        b.text for b in blocks_of(ROOT / "CONTRIBUTING.md") if b.language == "python"
    ]
    assert "(y * m.tan(x),)" in row
    done = subprocess.run(
        [sys.executable, "-c", row.replace("(y * m.tan(x),)", partial) + USE_OF_SEC],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == (verdict, code), done.stderr


def unlisted(reference: str) -> list[str]:
    """Public names and commands that a reference leaves out."""
    # these are told by `automodule`, or member by member
    whole = {"linalg", "nn", *dir(tapegrad.errors)}
    for members in re.findall(r":members: (.+)", reference):
        whole |= set(members.split(", "))
    names = {name for name in tapegrad.__all__ if f"tapegrad.{name}\n" not in reference}
    commands = [command.callback.__name__ for command in app.registered_commands]
    return [
        *sorted(names - whole),
        *(name for name in commands if f"$ tapegrad {name} --help" not in reference),
    ]


def test_the_reference_has_every_public_name_and_command() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert unlisted(text) == []
    for name in ("tapegrad.from_sympy", "log_softmax", "$ tapegrad check --help"):
        assert unlisted(text.replace(name, "")), name


# ----------------------------------------------------- planted bugs: each must fail

WRONG = {
    "wrong output": "```python\n>>> 1 + 1\n3\n```\n",
    "wrong in the tenth digit": (
        "```python\n>>> 0.1234567891234567\n0.1234567881234567\n```\n"
    ),
    "wrong sign": "```python\n>>> -0.1234567891234567\n0.1234567891234567\n```\n",
    "wrong assertion": "```python\nassert 1 + 1 == 3\n```\n",
    "error": "```python\nundefined_name\n```\n",
    "wrong value of tapegrad": (
        "```python\nfrom tapegrad import Value\n\nx = Value(3.0)\n(x * x).backward()\n"
        "```\n\n```python\n>>> x.grad\n7.0\n```\n"
    ),
    "misspelt language": "```pyhton\n1 + 1\n```\n",
    "open block": "```python\n1 + 1\n",
    "code-block": "```{code-block} python\n:caption: a\nassert 1 + 1 == 3\n```\n",
    "doctest directive": "```{doctest}\n>>> 1 + 1\n3\n```\n",
    "indented": "1. a\n\n   ```python\n   assert 1 + 1 == 3\n   ```\n",
    "second block": "```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n",
    "unknown command": "```console\n$ tapegrad no-such-command\n```\n",
    "wrong command output": "```console\n$ tapegrad --help\nnothing of the kind\n```\n",
    "another library's block": "```py\n1 + 1\n```\n",
    "another program": "```console\n$ rm x\n```\n",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_page_fails(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(PageError):
        run_page(page, tmp_path)


def test_a_right_page_passes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n# saved.py\nx = 2\n```\n\n```python\n>>> x + 1\n3\n```\n"
        "```python\n>>> [0.1 + 0.2, 0.1]\n[0.3000000000000000, 0.1]\n```\n"
        "```console\n$ make test\n$ tapegrad --help\n...Usage...\n```\n"
        "```text\nanything\n```\n",
        encoding="utf-8",
    )
    assert run_page(page, tmp_path) == 4
    assert (tmp_path / "saved.py").exists()


@pytest.mark.parametrize(
    ("library", "text"),
    [
        ("sympy", ">>> import sympy\n>>> sympy.Integer(1) + 1\n3"),
        ("sympy", "assert 1 + 1 == 3"),
        ("no_such_library", "1 +"),
    ],
)
def test_a_wrong_program_of_another_library_fails(
    tmp_path: Path, library: str, text: str
) -> None:
    page = tmp_path / f"coming_from_{library}.md"
    page.write_text(f"```py\n{text}\n```\n", encoding="utf-8")
    with pytest.raises((PageError, SyntaxError)):
        run_page(page, tmp_path)


def test_a_program_of_a_library_that_is_not_there_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "coming_from_no_such_library.md"
    page.write_text("```py\nimport no_such_library\n```\n", encoding="utf-8")
    assert run_page(page, tmp_path) == 1


def test_the_line_of_an_error_is_the_page_s(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("one\n\n```python\n\nassert 0\n```\n", encoding="utf-8")
    with pytest.raises(PageError, match=r"page\.md:4") as caught:
        run_page(page, tmp_path)
    cause = caught.value.__cause__
    assert cause is not None
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_next is not None
    assert cause.__traceback__.tb_next.tb_lineno == 5
