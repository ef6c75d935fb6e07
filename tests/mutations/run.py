"""Faults planted in a copy of the package, one at a time: does the suite catch them?

    python tests/mutations/run.py                  about 250 faults, all of the package
    python tests/mutations/run.py --only Sums.add  the ones with that in their name

The last commit is copied (or the tree itself, where there is no git), the suite runs
once to learn which tests run which lines, and then each fault is planted and tests that
reach it are run, the cheapest first, until one fails. Results are kept in
build/mutations, by the content of the tree, so that a run that was stopped goes on.
A fault that no test catches is a survivor: it is listed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import traceback
from collections import Counter
from pathlib import Path

import server
from choose import AREAS, TOTAL, Choice, choose
from reach import Reach, measure, warm
from server import Outcome

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "build" / "mutations"

# Tests of the first round: some of each file, cheap ones.
FIRST_FILES, FIRST_TESTS, FIRST_SECONDS = 6, 12, 6.0
# Where fewer tests reach a line, the map may not show them all.
FEW = 5


def main() -> int:
    """The command."""
    options = _options()
    state, tree = _copied(options)
    if options.list:
        for choice in choose(tree, options.count, options.seed):
            _say(f"{choice.area:16} {choice.fault.name}")
        return 0
    options.map = options.map or state
    if not (options.map / "measured").exists():
        _say(f"which tests run which lines: one run of the suite ({state})")
        measure(state, tree, options.jobs, options.suite)
    choices = choose(tree, options.count, options.seed)
    if options.only:
        choices = [c for c in choices if any(o in c.fault.name for o in options.only)]
    known = {} if options.again else _results(state)
    missing = [choice for choice in choices if choice.fault.name not in known]
    _say(f"{len(choices)} faults, {len(choices) - len(missing)} of them known already")
    if missing:
        _workers(options, state, tree, missing)
        known = _results(state)
    mine = [known[c.fault.name] for c in choices if c.fault.name in known]
    if missing:
        _control(mine, tree)
    return _report(mine, choices, state)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, settings in {
        "count": {"type": int, "default": TOTAL, "help": "faults, about"},
        "jobs": {"type": int, "default": 1, "help": "processes"},
        "seed": {"default": "", "help": "another choice of faults"},
        "only": {"nargs": "*", "help": "faults with one of these in the name"},
        "again": {"action": "store_true", "help": "forget earlier results"},
        "commit": {"default": "HEAD", "help": "what is copied"},
        "state": {"type": Path, "default": STATE, "help": "where results stay"},
        "map": {"type": Path, "help": "results of a tree much like this one"},
        "suite": {"nargs": "*", "default": [], "help": "tests on the map: all"},
        "most": {"type": float, "default": 120.0, "help": "seconds a round"},
        "tests": {"nargs": "*", "help": "run these files or tests, no others"},
        "list": {"action": "store_true", "help": "only name the faults"},
    }.items():
        parser.add_argument(f"--{name}", **settings)
    return parser.parse_args()


def _say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# -- the copy ------------------------------------------------------------------------


def _copied(options: argparse.Namespace) -> tuple[Path, Path]:
    """The folder of this tree's results, and the copy in it."""
    options.state.mkdir(parents=True, exist_ok=True)
    fresh = options.state / f"fresh-{os.getpid()}"
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "archive", "--format=tar", options.commit]
        archive = subprocess.run(command, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(fresh, filter="data")
    else:
        ignored = shutil.ignore_patterns(".venv", "build", "dist", "__pycache__", ".*")
        shutil.copytree(ROOT, fresh, ignore=ignored)
    digest = hashlib.sha256()
    for path in sorted([*fresh.glob("tapegrad/**/*.py"), *fresh.glob("tests/**/*.py")]):
        if "mutations" not in path.parts[len(fresh.parts) :]:
            digest.update(
                path.relative_to(fresh).as_posix().encode() + path.read_bytes()
            )
    state = options.state / digest.hexdigest()[:12]
    tree = state / "tree"
    if tree.exists():
        shutil.rmtree(fresh)
    else:
        state.mkdir(exist_ok=True)
        fresh.rename(tree)
    return state, tree


# -- one fault -----------------------------------------------------------------------


def _rounds(choice: Choice, reach: Reach, hint: str, most: float) -> list[list[str]]:
    """In turn: a hint, a few cheap tests, all that reach the line, the area's own."""
    fault, area = choice.fault, AREAS[choice.area]
    reached = reach.tests(fault.path, fault.lines)
    own = [name for name in reached if name.startswith(area.tests)]
    files: dict[str, list[str]] = {}
    for name in [*own, *reached]:
        file = files.setdefault(name.split("::")[0], [])
        if len(file) < FIRST_TESTS and name not in file:
            file.append(name)
    first: list[str] = []
    for file in list(files.values())[:FIRST_FILES]:
        spent = 0.0
        for name in file:
            spent += reach.cost(name)
            if spent < FIRST_SECONDS / FIRST_FILES or name is file[0]:
                first.append(name)
    done = set(first)
    others = [name for name in dict.fromkeys([*own, *reached]) if name not in done]
    second = _affordable(others, reach, most)
    done |= set(second)
    # what is run on import, or in a process of its own, is on no map
    others = reach.within(area.tests) if len(reached) < FEW else []
    rest = [name for name in others if name not in done]
    file = hint.partition("::")[0]
    return [
        [hint] if file and (reach.tree / file).exists() else [],
        first,
        second,
        _affordable(rest, reach, most),
    ]


def _affordable(names: list[str], reach: Reach, most: float) -> list[str]:
    """As many as there is time for; the first of each function before the second.

    Args:
        names: the tests.
        reach: knows what they cost.
        most: processor time, in seconds, that they may take without a fault.
    """
    turn: Counter[str] = Counter()
    turns = []
    for name in names:
        function = name.split("[")[0]
        turns.append((turn[function], name))
        turn[function] += 1
    taken, spent = [], 0.0
    for _, name in sorted(turns, key=lambda pair: pair[0]):
        spent += reach.cost(name)
        if spent > most:
            break
        taken.append(name)
    return taken


def _tried(
    choice: Choice, rounds: list[list[str]], reach: Reach, work: Path
) -> Outcome:
    """Plant, run, and put the source back."""
    fault = choice.fault
    path = work / fault.path
    source, times = path.read_bytes(), path.stat()
    ran, seconds = 0, 0.0
    found = Outcome("passed", "", 0.0, 0)
    path.write_bytes(fault.planted(source))
    # another time: the compiled file of the sound source must not be taken for it
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**11))
    try:
        for names in rounds:
            if not names:
                continue
            limit = 20 + 5 * sum(map(reach.cost, names))
            found = server.run(work, names, limit)
            ran, seconds = ran + found.ran, seconds + found.seconds
            if found.what not in {"passed", "nothing ran"}:
                break
    finally:
        path.write_bytes(source)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return found._replace(seconds=seconds, ran=ran)


# -- all of them ---------------------------------------------------------------------


def _workers(
    options: argparse.Namespace, state: Path, tree: Path, missing: list[Choice]
) -> None:
    """Each worker has a copy of its own; the results go to one file."""
    warm(tree)
    server.preload()
    reach = Reach(options.map, tree)
    hints = _hints(options.state)
    tests = reach.within(tuple(options.tests)) if options.tests else []
    pids = []
    for number in range(options.jobs):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        code = 1
        try:
            work = state / f"work-{os.getpid()}"
            shutil.copytree(tree, work)  # times and compiled files too
            for choice in missing[number :: options.jobs]:
                hint = hints.get(choice.fault.name, "")
                rounds = (
                    [tests] if tests else _rounds(choice, reach, hint, options.most)
                )
                _one(choice, rounds, reach, work, state)
            shutil.rmtree(work)
            code = 0
        except BaseException:  # noqa: BLE001 - a fork ends here, whatever it was
            traceback.print_exc()
        finally:
            os._exit(code)
    if any(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids):
        raise SystemExit("a worker stopped")


def _control(results: list[dict], tree: Path) -> None:
    """The tests that caught faults pass without one, in the same kind of run."""
    names = sorted(
        {r["by"] for r in results if "::" in r["by"] and r["what"] == "failed"}
    )
    while names:
        found = server.run(tree, names, 3600)
        if found.what == "passed":
            return
        _say(f"fails without a fault: {found.by}; what it caught is open")
        names.remove(found.by)
        for record in results:
            if record["by"] == found.by:
                record["what"] = "unsure"


def _hints(state: Path) -> dict[str, str]:
    """Which test caught a fault of that name in another tree."""
    found = {}
    for folder in state.iterdir():
        for record in _results(folder).values():
            if record["what"] == "failed" and "::" in record["by"]:
                found[record["name"]] = record["by"]
    return found


def _one(
    choice: Choice, rounds: list[list[str]], reach: Reach, work: Path, state: Path
) -> None:
    fault = choice.fault
    found = _tried(choice, rounds, reach, work)
    record = {
        "name": fault.name,
        "area": choice.area,
        "line": fault.line,
        "what": found.what,
        "by": found.by,
        "seconds": round(found.seconds, 1),
        "ran": found.ran,
    }
    with (state / "results.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    _say(
        f"{found.what:8} {found.seconds:6.1f} s {found.ran:5}  {fault.name}  {found.by}"
    )


def _results(state: Path) -> dict[str, dict]:
    """By name; a later result replaces an earlier one."""
    path = state / "results.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {record["name"]: record for record in map(json.loads, lines)}


def _report(results: list[dict], choices: list[Choice], state: Path) -> int:
    """The table, and the survivors; 1 if there are any."""
    caught = [r for r in results if r["what"] in {"failed", "crashed", "hung"}]
    lines = ["| place | slip | caught by | s |", "|---|---|---|---|"]
    for record in results:
        place, slip = record["name"].split(" ", 1)
        by = record["by"] if record in caught else "**nothing**"
        how = "" if record["what"] == "failed" else f" ({record['what']})"
        cells = [f"{place} line {record['line']}", slip, by + how, record["seconds"]]
        lines.append(
            "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"
        )
    (state / "report.md").write_text("\n".join(lines) + "\n")
    _say()
    for area in AREAS:
        mine = [r for r in results if r["area"] == area]
        good = sum(r in caught for r in mine)
        _say(f"{area:16} {good:4} of {len(mine):4} caught")
    _say(
        f"{'all':16} {len(caught):4} of {len(choices):4} caught: {state / 'report.md'}"
    )
    survivors = [r for r in results if r not in caught]
    for record in survivors:
        _say(f"survived ({record['what']}): {record['name']}  line {record['line']}")
    return 1 if survivors or len(results) < len(choices) else 0


if __name__ == "__main__":
    sys.exit(main())
