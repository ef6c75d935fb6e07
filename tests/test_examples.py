"""Every file in examples/ is run as a user would run it, and must succeed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.rglob("*.py"))


def run(script: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(script), *options],
        cwd=folder,
        # The checkout that is tested, whatever else may be installed.
        # One thread: several, in several processes, mostly wait for each other.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "script", SCRIPTS, ids=lambda path: path.relative_to(EXAMPLES).as_posix()
)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example shows what it found"
    assert list(tmp_path.iterdir()) == [], "an example leaves no files behind"
    if done.stdout.startswith("skipped: "):
        pytest.skip(done.stdout.strip().removeprefix("skipped: "))


def test_all_lessons_are_there() -> None:
    numbers = [path.name[:2] for path in sorted((EXAMPLES / "lessons").glob("*.py"))]
    assert numbers == [f"{n:02d}" for n in range(1, 10)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_asserts_something(script: Path) -> None:
    assert "    assert " in script.read_text() or "\nassert " in script.read_text()


def test_a_wrong_number_is_caught(tmp_path: Path) -> None:
    text = (EXAMPLES / "lessons" / "05_readme.py").read_text()
    wrong = tmp_path / "wrong.py"
    wrong.write_text(text.replace("138.8338", "138.8339"))
    done = run(wrong, tmp_path)
    assert done.returncode == 1
    assert "AssertionError" in done.stderr


def test_pictures_of_the_moons(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = run(EXAMPLES / "moons.py", tmp_path, "--plot", str(tmp_path))
    assert done.returncode == 0, done.stderr
    pictures = sorted(tmp_path.iterdir())
    assert [path.name for path in pictures] == ["moons_boundary.png", "moons_loss.png"]
    for path in pictures:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5_000


@pytest.mark.deep
def test_scalars_learn_the_moons(tmp_path: Path) -> None:
    done = run(EXAMPLES / "moons_scalars.py", tmp_path, "100")
    assert done.returncode == 0, done.stderr
    assert "accuracy after 100 steps: 100%" in done.stdout
