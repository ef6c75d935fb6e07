"""Code on disk: what is kept, who may write it, and all that may be wrong with it."""

from __future__ import annotations

import functools
import os
import pickle
import stat
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.errors import CompileError
from tapegrad.native import arraycalls, cache, engine, keeping, objects
from tapegrad.native.arrays import lower_arrays
from tapegrad.native.arrays.graph import Node
from tapegrad.native.cache import HOUR, MAGIC, VARIABLE, Store, opened

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")

TEXT = """\
define double @kernel(double %x) {
  %twice = fadd double %x, %x
  ret double %twice
}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    place = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(place))
    return place


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def run(program, **environment):
    """Run a program in a process of its own; what it prints."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    return found.stdout


def make():
    return engine.Engine(TEXT, codegen=1, passes=1)


# -- the store -------------------------------------------------------------------------


def test_what_was_put_is_found(store):
    assert store.get("key") is None
    assert store.put("key", b"payload")
    assert store.get("key") == b"payload"
    assert store.put("key", b"another")
    assert store.get("key") == b"another"
    assert store.get("other") is None
    assert [path.name for path in store.folder.iterdir()] == ["key"]


def test_each_damaged_byte_is_found(store):
    payload = bytes(range(64))
    store.put("key", payload)
    path = store.folder / "key"
    good = path.read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        path.write_bytes(bad)
        assert store.get("key") is None, place
        assert not path.exists(), place
    path.write_bytes(good)
    assert store.get("key") == payload


@pytest.mark.parametrize("length", [0, 1, len(MAGIC), cache.HEAD, cache.HEAD + 1])
def test_a_short_file_is_damaged(store, length):
    store.put("key", b"payload")
    path = store.folder / "key"
    path.write_bytes(path.read_bytes()[:length])
    assert store.get("key") is None
    assert store.put("key", b"payload")
    assert store.get("key") == b"payload"


def test_more_bytes_than_were_written_are_damage(store):
    store.put("key", b"payload")
    path = store.folder / "key"
    path.write_bytes(path.read_bytes() + b"\0")
    assert store.get("key") is None


def test_a_file_under_another_name_is_damaged(store):
    store.put("one", b"payload")
    (store.folder / "one").rename(store.folder / "two")
    assert store.get("two") is None
    assert list(store.folder.iterdir()) == []


def test_a_folder_in_the_place_of_a_file(store):
    (store.folder / "key").mkdir()
    assert store.get("key") is None
    assert not store.put("key", b"payload")
    assert [path.name for path in store.folder.iterdir()] == ["key"]


@posix
def test_a_link_is_not_followed(store, tmp_path_factory):
    store.put("key", b"payload")
    outside = tmp_path_factory.mktemp("outside") / "file"
    (store.folder / "key").rename(outside)
    (store.folder / "key").symlink_to(outside)
    assert store.get("key") is None
    assert outside.exists()
    assert store.put("key", b"payload")
    assert not (store.folder / "key").is_symlink()
    assert store.get("key") == b"payload"


@posix
def test_a_pipe_is_not_waited_for(store):
    os.mkfifo(store.folder / "key")
    assert store.get("key") is None
    assert store.put("key", b"payload")
    assert store.get("key") == b"payload"


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_read(store, mode):
    store.put("key", b"payload")
    (store.folder / "key").chmod(mode)
    assert store.get("key") is None


@posix
def test_a_file_of_somebody_else_is_not_read(store, monkeypatch):
    store.put("key", b"payload")
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert store.get("key") is None


def test_it_stays_within_its_bounds(tmp_path):
    store = Store(tmp_path, most=20_000)
    for number in range(100):
        assert store.put(f"{number:064}", bytes([number]) * 1000)
        # the files that were used least recently are known by their times
        os.utime(tmp_path / f"{number:064}", (1e9 + number, 1e9 + number))
    found = sorted(int(path.name) for path, _ in store.files())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert 10 <= len(found) < 20
    assert found[-1] == 99


def test_what_is_read_is_used(store):
    for number in range(4):
        store.put(f"{number}", b"payload")
        os.utime(store.folder / f"{number}", (1e9 + number, 1e9 + number))
    assert store.get("0")
    assert time.time() - (store.folder / "0").stat().st_mtime < HOUR
    each = (store.folder / "0").stat().st_size
    Store(store.folder, most=4 * each - 1).shrink()
    assert {path.name for path, _ in store.files()} == {"0", "3"}


def test_what_a_killed_writer_left_goes(store):
    for name, age in (("new-young", 0.0), ("new-old", 2 * HOUR)):
        (store.folder / name).write_bytes(b"half")
        when = time.time() - age
        os.utime(store.folder / name, (when, when))
    store.shrink()
    assert {path.name for path, _ in store.files()} == {"new-young"}


def test_what_is_too_large_is_not_kept(tmp_path):
    store = Store(tmp_path, most=400)
    assert store.put("fits", bytes(100))
    assert not store.put("large", bytes(101))
    assert not store.put("empty", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["fits"]


def test_clear(store):
    store.put("one", b"payload")
    store.put("two", b"payload")
    assert store.clear() == 2
    assert list(store.folder.iterdir()) == []


def test_writers_and_readers_at_once(store):
    """Whoever reads sees the whole of one of the files, or nothing."""
    payloads = {bytes([letter]) * 50_000 for letter in range(8)}
    wrong, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            found = store.get("key")
            if found is not None and found not in payloads:
                wrong.append(found)

    def write(payload):
        wrong.extend(payload for _ in range(40) if not store.put("key", payload))

    readers = [threading.Thread(target=read) for _ in range(4)]
    writers = [threading.Thread(target=write, args=(each,)) for each in payloads]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not wrong
    assert store.get("key") in payloads
    assert [path.name for path in store.folder.iterdir()] == ["key"]


@pytest.mark.parametrize("fails", ["write", "replace"])
def test_a_full_disk(store, monkeypatch, fails):
    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *problem):
            self.file.close()

        def write(self, content):
            self.file.write(content[:3])
            raise OSError(28, "No space left on device")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if fails == "write":
            fdopen = os.fdopen
            patch.setattr(os, "fdopen", lambda *how: Full(fdopen(*how)))
        else:
            patch.setattr(Path, "replace", full)
        assert not store.put("key", b"payload")
    assert list(store.folder.iterdir()) == []
    assert store.put("key", b"payload")


# -- where it is -----------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", "0", "off", "OFF", " "])
def test_no_cache_at_all(monkeypatch, word):
    monkeypatch.setenv(VARIABLE, word)
    assert opened() == (None, f"off: {VARIABLE}={word}")
    assert make().origin == "built"


@posix
def test_the_folder_is_its_owners_alone(folder):
    found, where = opened()
    assert found == Store(folder)
    assert where == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found.put("key", b"payload")
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="where Linux keeps caches")
def test_the_usual_place(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert opened()[1] == str(tmp_path / ".cache" / "tapegrad")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert opened()[1] == str(tmp_path / "xdg" / "tapegrad")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "")
    assert opened()[0] is None


@posix
def test_nothing_is_made_in_the_home_of_somebody_else(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mine = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: mine + 1)
        found, why = opened()
    assert found is None
    assert "somebody else" in why
    assert list(tmp_path.iterdir()) == []
    assert opened()[0] is not None


@posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_left_alone(folder, mode):
    folder.mkdir()
    folder.chmod(mode)
    found, why = opened()
    assert found is None
    assert why == f"off: {folder} is not yours alone to write to"
    assert make().origin == "built"
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(folder):
    folder.write_text("mine")
    assert opened()[0] is None
    assert make().origin == "built"
    assert folder.read_text() == "mine"


def test_a_folder_that_cannot_be_made(folder, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert opened() == (None, f"off: {folder}: Read-only file system")
    assert make().origin == "built"


# -- what is kept in it ----------------------------------------------------------------


def test_code_is_built_once(folder):
    first, second = make(), make()
    assert [first.origin, second.origin] == ["kept", "cache"]
    assert first.size == second.size
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(objects, "MODEL", {**objects.MODEL, "more": 1}),
        lambda patch: patch.setattr(objects.llvmlite, "__version__", "0"),
        lambda patch: patch.setattr(objects.llvm, "llvm_version_info", (1, 0, 0)),
        lambda patch: patch.setattr(
            objects, "host", lambda: (*HOST[:1], "other", HOST[2])
        ),
        lambda patch: patch.setattr(objects, "host", lambda: (*HOST[:2], "+other")),
    ],
    ids=["model", "llvmlite", "LLVM", "CPU", "features"],
)
def test_what_the_key_is_made_of(monkeypatch, change):
    before = objects.key_of(TEXT, 1, 1, {})
    with monkeypatch.context() as patch:
        objects.setting.cache_clear()
        change(patch)
        assert objects.key_of(TEXT, 1, 1, {}) != before
    objects.setting.cache_clear()
    assert objects.key_of(TEXT, 1, 1, {}) == before


HOST = objects.host()


def test_each_setting_has_its_own_code():
    settings = [
        (TEXT, 1, 1, {}),
        (TEXT + "\n", 1, 1, {}),
        (TEXT, 0, 1, {}),
        (TEXT, 1, 0, {}),
        (TEXT, 1, 1, objects.LOOPS),
    ]
    assert len({objects.key_of(*each) for each in settings}) == len(settings)


def test_the_report_says_where_code_is_from(folder):
    def built():
        compiled = tg.compile(lambda x, y: x * y + y / x, 1.0, 2.0)
        return compiled, compiled.value_and_gradient(3.0, 4.0)

    first, second = built(), built()
    assert first[1] == second[1]
    assert first[0].report.parts["gradient"].origin == "kept"
    assert second[0].report.parts["gradient"].origin == "cache"
    assert "built in" in str(first[0].report)
    assert "read in" in str(second[0].report)
    arrays = [tg.compile(lambda x: (x * x).sum(), np.ones(3)) for _ in range(2)]
    assert [each(np.ones(3)) for each in arrays] == [3.0, 3.0]
    assert [each.report.parts["value"].origin for each in arrays] == ["kept", "cache"]
    assert list(folder.iterdir())


def test_damaged_code_is_built_again(folder):
    make()
    (path,) = folder.iterdir()
    good = path.read_bytes()
    for place in range(0, len(good), 41):
        path.write_bytes(good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :])
        assert make().origin == "kept", place
        assert path.read_bytes() == good, place
    for length in range(0, len(good), 97):
        path.write_bytes(good[:length])
        assert make().origin == "kept", length


# Everything that a kernel may hold: thunks, loops, tables, calls of BLAS and of Python.
PROGRAM = """
import numpy as np
from scipy import special
import tapegrad as tg

def numbers(x, y):
    return special.erf(x) * np.exp(y) + tg.where(x > y, x, y)

def arrays(x, a):
    z = np.exp(x[np.array([2, 0, 1])]) @ a
    return (z * np.array([1.0, 2.0, 3.0])).sum() + np.linalg.solve(a, x).sum()

x, a = np.arange(3.0), np.eye(3) + 0.1
one = tg.compile(numbers, 0.5, 0.25, level=0)
two = tg.compile(arrays, x, a, level=0)
print(one.value_and_gradient(0.5, 0.25))
print([each.tolist() for each in two.gradient(x, a)])
print(one.ufunc()(x, 1.0).tolist())
print(*(each.origin for c in (one, two) for each in c.report.parts.values()))
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_processes_make_the_same_bytes(tmp_path):
    """No address of a process is in the code: each process has others."""
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
        found.append(run(PROGRAM, TAPEGRAD_CACHE=str(tmp_path / name)))
    assert found[0] == found[1]
    assert found[0].split()[-3:] == ["kept"] * 3
    one, two = (contents(tmp_path / name) for name in ("one", "two"))
    assert len(one) >= 6
    assert one == two


def test_the_same_text_each_time(monkeypatch):
    """Nothing in a text hangs on where in memory its maker stood."""

    def f(x, a):
        z = np.exp(x[np.array([2, 0, 1])]) @ a
        return (z * np.array([1.0, 2.0, 3.0])).sum() + np.linalg.solve(a, x).sum()

    tape = sweeps.flat(tg.record(f, np.arange(3.0), np.eye(3) + 0.1))
    grown, texts = arraycalls.tape_of(tape, "gradient"), set()
    for salt in range(12):
        order = functools.partialmethod(lambda node, by: hash((by, node.number)), salt)
        monkeypatch.setattr(Node, "__hash__", order)
        texts.add(lower_arrays(grown).text)
    assert len(texts) == 1


def test_another_process_reads_it(tmp_path):
    first = run(PROGRAM, TAPEGRAD_CACHE=str(tmp_path / "cache"))
    before = contents(tmp_path / "cache")
    second = run(PROGRAM, TAPEGRAD_CACHE=str(tmp_path / "cache"))
    assert first.splitlines()[:3] == second.splitlines()[:3]
    assert second.split()[-3:] == ["cache"] * 3
    assert contents(tmp_path / "cache") == before


FEW = """
import tapegrad as tg
one = tg.compile(lambda x, y: x * y + y, 2.0, 3.0)
print(one.value_and_gradient(4.0, 5.0), one(1.0, 2.0))
"""


def test_processes_at_once(tmp_path):
    """Several processes begin with the same empty folder."""
    environment = {**os.environ, VARIABLE: str(tmp_path / "cache")}
    each = [
        subprocess.Popen(
            [sys.executable, "-c", FEW], env=environment, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    found = [process.communicate()[0] for process in each]
    assert all(process.returncode == 0 for process in each)
    assert found == [b"(25.0, (5.0, 5.0)) 4.0\n"] * 3
    assert len(contents(tmp_path / "cache")) == 3
    assert not list((tmp_path / "cache").glob("new-*"))


@posix
def test_no_more_room_for_files(tmp_path):
    """The system refuses to write: the code is built, and nothing is left behind."""
    program = "import resource, signal\n"
    program += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    program += "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
    found = run(program + PROGRAM, TAPEGRAD_CACHE=str(tmp_path / "cache"))
    assert found.split()[-3:] == ["built"] * 3
    assert list((tmp_path / "cache").iterdir()) == []


# -- tapes that are not derived again --------------------------------------------------


def long(x, y):
    for _ in range(400):
        x, y = x * 0.999 + np.sin(y), y * 0.5 + x / 3.0
    return x * y


def short(x):
    return ((x[1:] - x[:-1] ** 2) ** 2).sum()


def wide(x):
    return np.exp(np.sin(x) * x).sum() * np.cumsum(x)[-1]


KIND_NAMES = ["numbers", "entries", "arrays"]
KINDS = [(long, (0.5, 0.25)), (short, (np.ones(8),)), (wide, (np.ones(90),))]


@pytest.fixture
def recalled(folder, monkeypatch):
    """All tapes are looked up in an empty cache."""
    monkeypatch.setattr(keeping, "FEW", {False: 0, True: 0})
    monkeypatch.setattr(keeping, "TABLE", Rows())
    return folder


def both(f, arguments, part="gradient", **options):
    """Value and gradient by native code, and what the report says."""
    compiled = tg.record(f, *arguments).compile(**options)
    found = getattr(compiled, part)(*arguments)
    return found, compiled.report.parts["gradient" if part != "value" else part]


@pytest.mark.parametrize(("f", "arguments"), KINDS, ids=KIND_NAMES)
@pytest.mark.usefixtures("recalled")
def test_what_is_known_is_not_derived_again(monkeypatch, f, arguments):
    first, built = both(f, arguments)
    with monkeypatch.context() as patch:
        patch.setattr(arraycalls, "tape_of", list.append)  # nobody calls it
        patch.setattr(keeping, "Source", None)
        second, read = both(f, arguments)
    np.testing.assert_array_equal(first, second)
    assert (built.origin, read.origin) == ("kept", "cache")
    assert replace(built, seconds=0.0, origin="") == replace(
        read, seconds=0.0, origin=""
    )


@pytest.mark.usefixtures("recalled")
def test_what_the_key_of_a_part_is_made_of(monkeypatch):
    def key(f=long, arguments=KINDS[0][1], part="value", how=(1,)):
        base = sweeps.flat(tg.record(f, *arguments))
        return keeping._key(keeping.Asked(lambda: base, base, part), how)

    keys = [
        key(),
        key(part="gradient"),
        key(how=(2,)),
        key(lambda x, y: long(x, y) + 1.0),
        key(lambda x, y: long(y, x)),
        key(*KINDS[1]),
        key(KINDS[1][0], (np.ones(9),)),
    ]
    assert key() == keys[0]
    assert all(len(each) == 64 for each in keys)
    assert len(set(keys)) == len(keys)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "_installed", lambda: ("another",))
        assert key() not in keys
        patch.setattr(keeping, "_installed", tuple)
        assert not key()
    with monkeypatch.context() as patch:  # a user's row: its definition may change
        patch.setattr(keeping, "TABLE", Rows("mine"))
        assert not key()
    monkeypatch.setenv(VARIABLE, "0")
    assert not key()


class Rows:
    """A table with these rows of a user's, whatever other tests have defined."""

    def __init__(self, *names):
        self.by_name = names

    def defined(self, names):
        return [(name, "digest", "") for name in names]


def test_a_file_of_the_package_that_changes_makes_it_stale(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "native").mkdir(parents=True)
    source = package / "rows.py"
    source.write_text("one = 1\n")
    monkeypatch.setattr(keeping, "__file__", str(package / "native" / "keeping.py"))
    installed = keeping._installed.__wrapped__
    before = installed()
    assert installed() == before
    os.utime(source, (1e9, 1e9))
    touched = installed()
    source.write_text("two = 2\n")
    os.utime(source, (1e9, 1e9))
    assert len(set(map(repr, (before, touched, installed())))) == 3
    source.unlink()
    assert installed() == ()


def test_code_that_is_gone_is_built_again(recalled):
    first, _ = both(*KINDS[0])
    for path in recalled.iterdir():
        if b'"code"' not in path.read_bytes():
            path.unlink()
    second, part = both(*KINDS[0])
    assert first == second
    assert part.origin == "kept"
    assert both(*KINDS[0])[1].origin == "cache"


@pytest.mark.usefixtures("recalled")
def test_a_function_that_this_process_lacks(monkeypatch):
    first, _ = both(*KINDS[0])

    def lack(*_):
        raise CompileError("native code calls 'sin', which no library has")

    monkeypatch.setattr(engine.Engine, "recalled", lack)
    assert both(*KINDS[0])[0] == first


@pytest.mark.parametrize("most", [keeping.TABLES, 8])
def test_tables_are_kept_with_a_part_or_made_again(recalled, monkeypatch, most):
    """Two tapes with the same text, whose code reads arrays that are not the same."""
    monkeypatch.setattr(keeping, "TABLES", most)
    at = [np.arange(100)[::-1] % 50 + 25, np.arange(100) // 2]
    origins = []
    for index in (*at, *at):
        x = np.linspace(0.0, 1.0, 100)
        (value, slope), part = both(lambda x, i=index: (x[i] ** 2).sum(), (x,), VALUES)
        assert np.isclose(value, (x[index] ** 2).sum(), rtol=1e-14)
        assert np.allclose(slope, np.bincount(index, minlength=100) * 2.0 * x)
        origins.append(part.origin)
    assert origins == ["kept", "cache", "cache", "cache"]
    parts = [path for path in recalled.iterdir() if b'"code"' in path.read_bytes()]
    assert len(parts) == (2 if most > 8 else 0)


VALUES = "value_and_gradient"


@pytest.mark.usefixtures("recalled")
def test_options_have_code_of_their_own():
    parts = [both(*KINDS[0], level=level)[1] for level in (0, 1, 0, 1)]
    assert [part.level for part in parts] == [0, 1, 0, 1]
    assert [part.origin for part in parts] == ["kept", "kept", "cache", "cache"]


def test_a_pickle_holds_no_code(folder):
    compiled = tg.compile(lambda x: x * x, 2.0)
    assert compiled(3.0) == 9.0
    assert folder.is_dir()
    again = pickle.loads(pickle.dumps(compiled))
    assert again(3.0) == 9.0
    assert again.report.parts["value"].origin == "cache"
